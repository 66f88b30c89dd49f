//! How much of a span is kept: OpenTelemetry's limits, and ours over the size of values.
//!
//! Each limit is the first of: argument of `init`, the variable for spans, the general variable, the default.
//!
//! Source: OpenTelemetry specification, "SDK environment variables", "Attribute limits" and "Span limits"; otlp.md
//! section 11 for the order.

use super::env::{Reader, parse_integer};
use super::error::{ConfigError, Problem};
use crate::resolve::SpanLimits;
use crate::resolve::attributes::AttributeLimits;

/// Counts up to here make sense to us and fit every counter on the wire.
const MAX_COUNT: u64 = u32::MAX as u64;

/// Limits of one span. What is over a limit is cut or left out, marked, and counted on the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Characters kept of a text value (bytes of a byte string), inside lists and mappings too. `None` keeps all.
    pub attribute_value_length: Option<usize>,
    /// Attributes of a span, top level only.
    pub attributes: usize,
    /// Events of a span.
    pub events: usize,
    /// Links of a span.
    pub links: usize,
    /// Attributes of an event.
    pub event_attributes: usize,
    /// Attributes of a link.
    pub link_attributes: usize,
    /// Levels of lists and mappings within a value.
    pub depth: usize,
    /// Values within one value, all levels together.
    pub nodes: usize,
    /// Items of one list or mapping.
    pub items: usize,
    /// Bytes of one span in memory.
    pub span_bytes: usize,
    /// Bytes of all spans that wait anywhere in the pipeline.
    pub buffer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attribute_value_length: None,
            attributes: 128,
            events: 128,
            links: 128,
            event_attributes: 128,
            link_attributes: 128,
            depth: 64,
            nodes: 20_000,
            items: 1024,
            span_bytes: 16 * 1024 * 1024,
            buffer_bytes: 64 * 1024 * 1024,
        }
    }
}

impl From<&Limits> for SpanLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            attributes: AttributeLimits { count: Some(limits.attributes), value_length: limits.attribute_value_length },
            events: Some(limits.events),
            links: Some(limits.links),
            event_attributes: Some(limits.event_attributes),
            link_attributes: Some(limits.link_attributes),
        }
    }
}

/// Limits given in code; `None` leaves one to the environment and the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Limits`")]
pub struct LimitOptions {
    pub attribute_value_length: Option<i64>,
    pub attributes: Option<i64>,
    pub events: Option<i64>,
    pub links: Option<i64>,
    pub event_attributes: Option<i64>,
    pub link_attributes: Option<i64>,
    pub depth: Option<i64>,
    pub nodes: Option<i64>,
    pub items: Option<i64>,
    pub span_bytes: Option<i64>,
    pub buffer_bytes: Option<i64>,
}

/// One limit: how it is called in code, its variables, and what it may be.
struct Rule {
    option: &'static str,
    variables: &'static [&'static str],
    least: u64,
    most: u64,
}

impl Rule {
    const fn count(option: &'static str, variables: &'static [&'static str]) -> Self {
        Self { option, variables, least: 0, most: MAX_COUNT }
    }

    const fn ours(option: &'static str, least: u64, most: u64) -> Self {
        Self { option, variables: &[], least, most }
    }

    /// The limit from code or environment; `None` leaves the default.
    fn resolve(&self, given: Option<i64>, reader: &mut Reader<'_>) -> Result<Option<usize>, ConfigError> {
        let mut limit = None;
        // All are read, whoever decides: a wrong variable is told in any case.
        for name in self.variables {
            let value = reader.read(name, |text| parse_integer(text, self.least..=self.most), "not used");
            limit = limit.or(value);
        }
        if let Some(given) = given {
            limit = u64::try_from(given).ok().filter(|given| (self.least..=self.most).contains(given));
            if limit.is_none() {
                let problem = Problem::new(
                    format!("is {given}, which is out of range"),
                    format!("write a whole number from {} to {}", self.least, self.most),
                );
                return Err(ConfigError::new(format!("limits.{}", self.option), problem));
            }
        }
        Ok(limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }
}

impl Limits {
    /// Resolves the limits.
    pub(super) fn resolve(options: &LimitOptions, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        const LENGTH: Rule = Rule::count(
            "attribute_value_length",
            &["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"],
        );
        const ATTRIBUTES: Rule =
            Rule::count("attributes", &["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"]);
        // The general count also rules where there is no variable for spans' events and links of their own.
        const EVENT_ATTRIBUTES: Rule =
            Rule::count("event_attributes", &["OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"]);
        const LINK_ATTRIBUTES: Rule =
            Rule::count("link_attributes", &["OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"]);
        const EVENTS: Rule = Rule::count("events", &["OTEL_SPAN_EVENT_COUNT_LIMIT"]);
        const LINKS: Rule = Rule::count("links", &["OTEL_SPAN_LINK_COUNT_LIMIT"]);
        // 64 is what receivers take; deeper values would need a larger stack in every reader.
        const DEPTH: Rule = Rule::ours("depth", 1, 64);
        const NODES: Rule = Rule::ours("nodes", 1, 10_000_000);
        const ITEMS: Rule = Rule::ours("items", 1, 10_000_000);
        // A span must hold its own name and ids; and two of the largest must fit the buffer.
        const SPAN_BYTES: Rule = Rule::ours("span_bytes", 4096, 256 * 1024 * 1024);
        const BUFFER_BYTES: Rule = Rule::ours("buffer_bytes", 1024 * 1024, 64 * 1024 * 1024 * 1024);

        let default = Self::default();
        let limits = Self {
            attribute_value_length: LENGTH.resolve(options.attribute_value_length, reader)?,
            attributes: ATTRIBUTES.resolve(options.attributes, reader)?.unwrap_or(default.attributes),
            events: EVENTS.resolve(options.events, reader)?.unwrap_or(default.events),
            links: LINKS.resolve(options.links, reader)?.unwrap_or(default.links),
            event_attributes: EVENT_ATTRIBUTES
                .resolve(options.event_attributes, reader)?
                .unwrap_or(default.event_attributes),
            link_attributes: LINK_ATTRIBUTES
                .resolve(options.link_attributes, reader)?
                .unwrap_or(default.link_attributes),
            depth: DEPTH.resolve(options.depth, reader)?.unwrap_or(default.depth),
            nodes: NODES.resolve(options.nodes, reader)?.unwrap_or(default.nodes),
            items: ITEMS.resolve(options.items, reader)?.unwrap_or(default.items),
            span_bytes: SPAN_BYTES.resolve(options.span_bytes, reader)?.unwrap_or(default.span_bytes),
            buffer_bytes: BUFFER_BYTES.resolve(options.buffer_bytes, reader)?.unwrap_or(default.buffer_bytes),
        };
        if limits.span_bytes > limits.buffer_bytes {
            let problem = Problem::new(
                format!("is {}, which is more than limits.buffer_bytes ({})", limits.span_bytes, limits.buffer_bytes),
                "write a smaller number, or a larger one there",
            );
            return Err(ConfigError::new("limits.span_bytes", problem));
        }
        Ok(limits)
    }
}
