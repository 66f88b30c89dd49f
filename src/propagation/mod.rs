//! Context propagation: reading and writing the headers that carry a span's identity and the baggage from one process to
//! the next. One file per format; this one holds what is common: the [`Carrier`] they read from, and the configured
//! set of them, [`Propagators`].
//!
//! Everything here is total: whatever a carrier holds, the answer is a context or none, never an error. Headers come
//! from strangers.

pub mod b3;
pub mod baggage;
pub mod carrier;
pub mod environment;
pub mod jaeger;
mod syntax;
pub mod traceparent;
pub mod tracestate;
pub mod xray;

#[cfg(test)]
mod composite;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod support;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod w3c_harness;

pub use carrier::{Carrier, Headers, Repeated};

use crate::context::{Baggage, SpanContext};
use syntax::trim_ows;

/// Names that [`Propagators::from_names`] knows, beside `none`.
pub const NAMES: [&str; 6] = ["tracecontext", "baggage", "b3", "b3multi", "jaeger", "xray"];

/// Bytes of one header (all its lines together) that are looked at. No format needs more than a fraction; beyond it a
/// value is treated as invalid, so that reading costs a bounded time.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// A propagator name nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown propagator {0:?}; write one or more of {names}, or none", names = NAMES.join(", "))]
pub struct UnknownPropagator(pub String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    TraceContext,
    Baggage,
    B3,
    B3Multi,
    Jaeger,
    XRay,
}

/// What [`Propagators::extract`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// The sender's span, else the current context that was passed in. Always valid when it was read from a carrier.
    pub context: Option<SpanContext>,
    /// The sender's baggage; `None` leaves the present one as it is.
    pub baggage: Option<Baggage>,
    /// The sender decided on sampling without naming a trace (B3 `b3: 0`); only without a context. See
    /// [`crate::sampling::Sampler::decide_root`].
    pub deferred: Option<bool>,
}

/// The configured formats (`OTEL_PROPAGATORS`), read and written in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propagators {
    formats: Vec<Format>,
}

impl Default for Propagators {
    /// `tracecontext,baggage`, the default of the OpenTelemetry SDK specification.
    fn default() -> Self {
        Self { formats: vec![Format::TraceContext, Format::Baggage] }
    }
}

impl Propagators {
    /// The set behind these names. Case, surrounding blanks, empty names and repetitions are ignored; `none` among them
    /// gives the empty set, as does no name at all.
    ///
    /// # Errors
    ///
    /// [`UnknownPropagator`] for the first unknown name; its text lists the known ones.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownPropagator> {
        let mut formats = Vec::new();
        let mut none = false;
        for name in names {
            let format = match name.trim().to_ascii_lowercase().as_str() {
                "" => continue,
                "none" => {
                    none = true;
                    continue;
                }
                "tracecontext" => Format::TraceContext,
                "baggage" => Format::Baggage,
                "b3" => Format::B3,
                "b3multi" => Format::B3Multi,
                "jaeger" => Format::Jaeger,
                "xray" => Format::XRay,
                _ => return Err(UnknownPropagator(name.trim().into())),
            };
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        if none {
            formats.clear();
        }
        Ok(Self { formats })
    }

    /// True when nothing is read or written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.formats.is_empty()
    }

    /// The lowercase header names that [`Self::inject`] may set: what to clear first in a carrier that is used again.
    /// Jaeger's `uberctx-*` names follow from the baggage and are not among them.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        let mut fields = Vec::new();
        for format in &self.formats {
            fields.extend_from_slice(match format {
                Format::TraceContext => &[traceparent::HEADER, tracestate::HEADER],
                Format::Baggage => &[baggage::HEADER],
                Format::B3 => &[b3::HEADER],
                Format::B3Multi => &b3::MULTI_HEADERS,
                Format::Jaeger => &[jaeger::HEADER],
                Format::XRay => &[xray::HEADER],
            });
        }
        fields
    }

    /// Reads all formats in order. For the span context the last format that finds a valid one wins; baggage entries of
    /// several formats come together, the later one winning per key. Where nothing valid is found, `current` is
    /// handed back and the rest is `None`.
    #[must_use]
    pub fn extract(&self, carrier: &dyn Carrier, current: Option<&SpanContext>) -> Extracted {
        let mut found = Extracted::default();
        for format in &self.formats {
            match format {
                Format::TraceContext => found.take_context(traceparent::extract(carrier)),
                Format::Baggage => found.take_baggage(baggage::extract(carrier)),
                Format::B3 | Format::B3Multi => match b3::extract(carrier) {
                    Some(b3::B3::Context(context)) => found.take_context(Some(context)),
                    Some(b3::B3::Deferred(sampled)) => found.deferred = Some(sampled),
                    None => {}
                },
                Format::Jaeger => {
                    found.take_context(jaeger::extract(carrier));
                    found.take_baggage(jaeger::extract_baggage(carrier));
                }
                Format::XRay => found.take_context(xray::extract(carrier)),
            }
        }
        if found.context.is_none() {
            found.context = current.cloned();
        }
        if found.context.is_some() {
            found.deferred = None;
        }
        found
    }

    /// Writes all formats by calling `set` with a lowercase name and a value; an equal name in the carrier is to be
    /// replaced. An absent or invalid context writes no span headers, empty baggage no baggage header.
    ///
    /// Returns how many baggage entries a configured format could not carry: keys that are no HTTP token, or entries beyond
    /// the limits of [`baggage`].
    pub fn inject(&self, context: Option<&SpanContext>, baggage: &Baggage, set: &mut dyn FnMut(&str, String)) -> usize {
        let context = context.filter(|context| context.is_valid());
        let mut left_out = 0;
        for format in &self.formats {
            match (format, context) {
                (Format::Baggage, _) => left_out = left_out.max(baggage::inject(baggage, set)),
                (Format::TraceContext, Some(context)) => traceparent::inject(context, set),
                (Format::B3, Some(context)) => b3::inject_single(context, set),
                (Format::B3Multi, Some(context)) => b3::inject_multi(context, set),
                (Format::Jaeger, context) => {
                    if let Some(context) = context {
                        jaeger::inject(context, set);
                    }
                    left_out = left_out.max(jaeger::inject_baggage(baggage, set));
                }
                (Format::XRay, Some(context)) => xray::inject(context, set),
                (_, None) => {}
            }
        }
        left_out
    }
}

impl Extracted {
    fn take_context(&mut self, context: Option<SpanContext>) {
        if context.is_some() {
            self.context = context;
        }
    }

    fn take_baggage(&mut self, baggage: Option<Baggage>) {
        let Some(later) = baggage else { return };
        self.baggage = Some(match self.baggage.take() {
            Some(earlier) => earlier.merged(later.iter().cloned()),
            None => later,
        });
    }
}

/// The value of a header that must not be repeated: `None` when it is missing, comes twice, or is absurdly long.
fn single_value(carrier: &dyn Carrier, name: &str) -> Option<String> {
    let mut lines = 0_usize;
    let mut found = None;
    carrier.get_all(name, &mut |value| {
        lines = lines.saturating_add(1);
        found = (lines == 1 && value.len() <= MAX_HEADER_BYTES).then(|| trim_ows(value).to_owned());
    });
    found
}
