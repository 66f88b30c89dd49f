//! `traceparent` (W3C Trace Context Level 2): `VERSION-TRACEID-PARENTID-FLAGS` in lowercase hex. Reading is strict where
//! the specification is, and forward compatible: later versions are read by the layout of version 00, which is also
//! the only one written.

use super::syntax::trim_ows;
use super::{Carrier, single_value, tracestate};
use crate::context::SpanContext;
use crate::ids::{SpanId, TraceId, hex_value};

/// The header name.
pub const HEADER: &str = "traceparent";

/// Length of version 00; later versions may append `-` and more.
const LENGTH: usize = 55;

/// Longest value that is looked at: nine times what is defined, and no sender means well beyond that.
const MAX_LENGTH: usize = 512;

/// Reads one value, with the blanks around it that HTTP allows. The context is remote and has only flags of
/// [`SpanContext::KNOWN_FLAGS`]. `None` for anything invalid: then a new trace starts.
#[must_use]
pub fn parse(value: &str) -> Option<SpanContext> {
    let value = trim_ows(value);
    if value.len() > MAX_LENGTH {
        return None;
    }
    let (head, tail) = value.split_at_checked(LENGTH)?;
    let mut fields = head.split('-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    // A fifth field cannot follow: the lengths of these four make up all of `head`.
    match hex_pair(version)? {
        0xff => return None,
        0 if !tail.is_empty() => return None,
        _ if !tail.is_empty() && !tail.starts_with('-') => return None,
        _ => {}
    }
    let context = SpanContext {
        remote: true,
        ..SpanContext::new(
            trace.parse::<TraceId>().ok()?,
            parent.parse::<SpanId>().ok()?,
            hex_pair(flags)? & SpanContext::KNOWN_FLAGS,
        )
    };
    context.is_valid().then_some(context)
}

/// Exactly two lowercase hex digits.
fn hex_pair(text: &str) -> Option<u8> {
    match text.as_bytes() {
        &[high, low] => Some(hex_value(high, false)? << 4 | hex_value(low, false)?),
        _ => None,
    }
}

/// Reads `traceparent` and, under a valid one, `tracestate`. Several `traceparent` headers contradict each other: none
/// of them counts, as the W3C test harness demands.
pub(super) fn extract(carrier: &dyn Carrier) -> Option<SpanContext> {
    let mut context = parse(&single_value(carrier, HEADER)?)?;
    context.trace_state = tracestate::extract(carrier).into_text();
    Some(context)
}

pub(super) fn inject(context: &SpanContext, set: &mut dyn FnMut(&str, String)) {
    set(HEADER, context.traceparent());
    // Checked again, because anyone can fill the field, and a line break in it would be another header.
    if let Some(state) = context.trace_state.as_deref().and_then(tracestate::TraceState::parse)
        && let Some(text) = state.as_str()
    {
        set(tracestate::HEADER, text.to_owned());
    }
}
