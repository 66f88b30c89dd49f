//! What tests of this folder share: sets by name, a context, and a carrier that was injected into.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::{Headers, Propagators};
use crate::context::{Baggage, SpanContext};
use crate::ids::{SpanId, TraceId};

pub(super) fn set(names: &[&str]) -> Propagators {
    Propagators::from_names(names.iter().copied()).unwrap()
}

pub(super) fn context(flags: u8) -> SpanContext {
    SpanContext { remote: true, ..SpanContext::new(TraceId::from_u128(0x1234 << 64 | 5), SpanId::from_u64(6), flags) }
}

pub(super) fn headers(propagators: &Propagators, context: &SpanContext, baggage: &Baggage) -> Headers {
    let mut headers = Headers::default();
    propagators.inject(Some(context), baggage, &mut |name, value| {
        headers.push(name, Some(&value));
    });
    headers
}
