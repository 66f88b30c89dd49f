//! B3, Zipkin's format: one header `b3`, or several `X-B3-*`. Reading prefers the single header; ids may have 64 bits
//! and any case of hex. A missing sampling state leaves the decision to the receiver in B3; W3C flags cannot say so,
//! hence it reads as not sampled, as in the OpenTelemetry SDKs.

use super::syntax::trim_ows;
use super::{Carrier, single_value};
use crate::context::SpanContext;
use crate::ids::{SpanId, TraceId};

/// The single header.
pub const HEADER: &str = "b3";

const TRACE_ID: &str = "x-b3-traceid";
const SPAN_ID: &str = "x-b3-spanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

/// The headers of the other form that are written. `x-b3-parentspanid` names the grandparent: of no use to a receiver.
pub const MULTI_HEADERS: [&str; 4] = [TRACE_ID, SPAN_ID, SAMPLED, FLAGS];

/// What B3 headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum B3 {
    /// The sender's span.
    Context(SpanContext),
    /// Only whether to sample: the receiver starts the trace.
    Deferred(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    On,
    Debug,
}

impl State {
    fn of(context: &SpanContext) -> Self {
        match (context.debug, context.sampled()) {
            (true, _) => Self::Debug,
            (false, true) => Self::On,
            (false, false) => Self::Off,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::Off),
            "1" => Some(Self::On),
            "d" => Some(Self::Debug),
            _ => None,
        }
    }
}

/// Reads the value of the `b3` header: `{trace}-{span}`, then perhaps `-{state}` and `-{parent}`; or the state alone.
#[must_use]
pub fn parse_single(value: &str) -> Option<B3> {
    let value = trim_ows(value);
    if let Some(state) = State::parse(value) {
        return Some(B3::Deferred(state != State::Off));
    }
    let mut fields = value.split('-');
    let (trace, span) = (fields.next()?, fields.next()?);
    let state = match fields.next() {
        Some(text) => State::parse(text)?,
        None => State::Off,
    };
    if let Some(parent) = fields.next() {
        SpanId::from_hex_any_case(parent)?;
    }
    if fields.next().is_some() {
        return None;
    }
    context(trace, span, state).map(B3::Context)
}

/// Reads the `X-B3-*` values, each `None` when its header is missing.
#[must_use]
pub fn parse_multi(trace: Option<&str>, span: Option<&str>, sampled: Option<&str>, flags: Option<&str>) -> Option<B3> {
    let state = match (flags, sampled) {
        // Debug implies sampled, whatever else is said.
        (Some("1"), _) => Some(State::Debug),
        (_, Some("1")) => Some(State::On),
        (_, Some("0")) => Some(State::Off),
        (_, Some(text)) if text.eq_ignore_ascii_case("true") => Some(State::On),
        (_, Some(text)) if text.eq_ignore_ascii_case("false") => Some(State::Off),
        (_, Some(_)) => return None,
        (_, None) => None,
    };
    match (trace, span) {
        (Some(trace), Some(span)) => context(trace, span, state.unwrap_or(State::Off)).map(B3::Context),
        (None, None) => state.map(|state| B3::Deferred(state != State::Off)),
        _ => None,
    }
}

fn context(trace: &str, span: &str, state: State) -> Option<SpanContext> {
    let trace_id = match trace.len() {
        16 => TraceId::from_u128(SpanId::from_hex_any_case(trace)?.to_u64().into()),
        _ => TraceId::from_hex_any_case(trace)?,
    };
    let flags = if state == State::Off { 0 } else { SpanContext::SAMPLED };
    let context = SpanContext {
        remote: true,
        debug: state == State::Debug,
        ..SpanContext::new(trace_id, SpanId::from_hex_any_case(span)?, flags)
    };
    context.is_valid().then_some(context)
}

/// Reads the single header and, when it is missing or invalid, the others.
pub(super) fn extract(carrier: &dyn Carrier) -> Option<B3> {
    if let Some(found) = single_value(carrier, HEADER).and_then(|value| parse_single(&value)) {
        return Some(found);
    }
    let [trace, span, sampled, flags] = MULTI_HEADERS.map(|name| single_value(carrier, name));
    parse_multi(trace.as_deref(), span.as_deref(), sampled.as_deref(), flags.as_deref())
}

pub(super) fn inject_single(context: &SpanContext, set: &mut dyn FnMut(&str, String)) {
    let mut out = String::with_capacity(51);
    context.trace_id.push_hex(&mut out);
    out.push('-');
    context.span_id.push_hex(&mut out);
    out.push_str(match State::of(context) {
        State::Off => "-0",
        State::On => "-1",
        State::Debug => "-d",
    });
    set(HEADER, out);
}

pub(super) fn inject_multi(context: &SpanContext, set: &mut dyn FnMut(&str, String)) {
    set(TRACE_ID, context.trace_id.to_string());
    set(SPAN_ID, context.span_id.to_string());
    match State::of(context) {
        State::Off => set(SAMPLED, "0".into()),
        State::On => set(SAMPLED, "1".into()),
        // Instead of x-b3-sampled, not beside it.
        State::Debug => set(FLAGS, "1".into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::context::Baggage;
    use crate::propagation::support::{context, set};

    #[test]
    fn b3_multi_debug_replaces_the_sampled_header() {
        let mut names = Vec::new();
        let debug = SpanContext { debug: true, ..context(1) };
        set(&["b3multi"]).inject(Some(&debug), &Baggage::new(), &mut |name, _| {
            names.push(name.to_owned());
        });
        assert_eq!(names, ["x-b3-traceid", "x-b3-spanid", "x-b3-flags"]);
    }

    #[test]
    fn broken_b3_values_are_refused() {
        let (t, s) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for bad in [
            String::new(),
            "2".into(),
            "-".into(),
            t.into(),
            format!("{t}-"),
            format!("{t}-{s}-2"),
            format!("{t}-{s}-true"),
            format!("{t}-{s}-1-xyz"),
            format!("{t}-{s}-1-{s}-1"),
            format!("0{t}-{s}-1"),
            format!("{}-{s}-1", "0".repeat(32)),
            format!("{t}-0000000000000000-1"),
            format!("{t}-{s}-\u{e9}"),
        ] {
            assert_eq!(parse_single(&bad), None, "{bad}");
        }
        let unsampled = parse_single(&format!("{t}-{s}"));
        assert!(matches!(unsampled, Some(B3::Context(context)) if !context.sampled()), "no state reads as unsampled");
        let with_parent = parse_single(&format!("{}-{s}-1-{s}", t.to_uppercase()));
        assert!(matches!(with_parent, Some(B3::Context(context)) if context.sampled()));
        assert_eq!(parse_single("d"), Some(B3::Deferred(true)));

        assert_eq!(parse_multi(Some(t), None, Some("1"), None), None, "half of the ids");
        assert_eq!(parse_multi(Some(t), Some(s), Some("yes"), None), None);
        assert_eq!(parse_multi(None, None, Some("False"), None), Some(B3::Deferred(false)));
        assert_eq!(parse_multi(None, None, None, Some("1")), Some(B3::Deferred(true)));
        assert_eq!(parse_multi(None, None, None, None), None);
    }
}
