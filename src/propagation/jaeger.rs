//! Jaeger's own format (deprecated in favour of `traceparent`, still sent by older clients):
//! `uber-trace-id: {trace}:{span}:{parent}:{flags}` and one header `uberctx-{key}` per baggage entry.

use super::syntax::{is_token, percent_decode, trim_ows};
use super::{Carrier, MAX_HEADER_BYTES, baggage, single_value};
use crate::context::{Baggage, BaggageEntry, SpanContext};
use crate::ids::{SpanId, TraceId};

/// The header of the span.
pub const HEADER: &str = "uber-trace-id";

/// What the names of baggage headers begin with.
pub const BAGGAGE_PREFIX: &str = "uberctx-";

const SAMPLED: u8 = 1;
const DEBUG: u8 = 2;

/// Longest value that is looked at: 69 characters, each perhaps percent-encoded, and as much again.
const MAX_LENGTH: usize = 512;

/// Reads a value, percent-encoded or not. Leading zeros of ids may be missing; the parent, deprecated in the format
/// itself, is not looked at.
#[must_use]
pub fn parse(value: &str) -> Option<SpanContext> {
    let value = trim_ows(value);
    if value.len() > MAX_LENGTH {
        return None;
    }
    let value = percent_decode(value);
    let mut fields = value.split(':');
    let (trace, span, _parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() {
        return None;
    }
    let flags = u8::try_from(padded_hex(flags, 2)?).ok()?;
    let debug = flags & DEBUG != 0;
    let sampled = if debug || flags & SAMPLED != 0 { SpanContext::SAMPLED } else { 0 };
    let context = SpanContext {
        remote: true,
        debug,
        ..SpanContext::new(
            TraceId::from_u128(padded_hex(trace, 32)?),
            SpanId::from_u64(u64::try_from(padded_hex(span, 16)?).ok()?),
            sampled,
        )
    };
    context.is_valid().then_some(context)
}

/// One to `max` hex digits. Not `from_str_radix` alone, which takes a sign.
fn padded_hex(text: &str, max: usize) -> Option<u128> {
    if text.len() > max || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

pub(super) fn extract(carrier: &dyn Carrier) -> Option<SpanContext> {
    parse(&single_value(carrier, HEADER)?)
}

/// Collects the `uberctx-*` headers, within the limits of [`baggage`]. Keys stay as the carrier spells them.
pub(super) fn extract_baggage(carrier: &dyn Carrier) -> Option<Baggage> {
    let mut entries: Vec<BaggageEntry> = Vec::new();
    let mut taken = 0;
    carrier.keys(&mut |name| {
        let Some((prefix, key)) = name.split_at_checked(BAGGAGE_PREFIX.len()) else {
            return;
        };
        let ours = prefix.eq_ignore_ascii_case(BAGGAGE_PREFIX) && is_token(key);
        // Lines of one header come once per line; `get_all` has read them all at the first.
        if !ours || entries.len() >= baggage::MAX_MEMBERS || entries.iter().any(|entry| &*entry.key == key) {
            return;
        }
        carrier.get_all(name, &mut |value| {
            let size = name.len() + value.len();
            if value.len() <= MAX_HEADER_BYTES
                && taken + size <= baggage::MAX_BYTES
                && trim_ows(value).bytes().all(|byte| matches!(byte, b' '..=b'~'))
            {
                taken += size;
                let value = percent_decode(trim_ows(value)).into();
                entries.push(BaggageEntry { key: key.into(), value, metadata: "".into() });
            }
        });
    });
    (!entries.is_empty()).then(|| Baggage::from_entries(entries))
}

pub(super) fn inject(context: &SpanContext, set: &mut dyn FnMut(&str, String)) {
    let mut out = String::with_capacity(53);
    context.trace_id.push_hex(&mut out);
    out.push(':');
    context.span_id.push_hex(&mut out);
    out.push_str(match (context.debug, context.sampled()) {
        (true, _) => ":0:3",
        (false, true) => ":0:1",
        (false, false) => ":0:0",
    });
    set(HEADER, out);
}

/// Writes baggage entries; returns how many could not be: names that are no token or equal another but for case (header
/// names have none), and what is beyond the limits.
pub(super) fn inject_baggage(entries: &Baggage, set: &mut dyn FnMut(&str, String)) -> usize {
    let mut written: Vec<&str> = Vec::new();
    let mut bytes = 0;
    for BaggageEntry { key, value, .. } in entries {
        if written.len() >= baggage::MAX_MEMBERS
            || !is_token(key)
            || value.len() > baggage::MAX_BYTES
            || written.iter().any(|other| other.eq_ignore_ascii_case(key))
        {
            continue;
        }
        let name = format!("{BAGGAGE_PREFIX}{key}");
        let mut encoded = String::new();
        baggage::encode_value(value, &mut encoded);
        if bytes + name.len() + encoded.len() <= baggage::MAX_BYTES {
            bytes += name.len() + encoded.len();
            written.push(key);
            set(&name, encoded);
        }
    }
    entries.len() - written.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::propagation::Headers;

    #[test]
    fn lines_of_one_baggage_header_are_read_once() {
        let value = "x".repeat(100);
        let lines = std::iter::repeat_n("uberctx-a", 60).chain(["uberctx-b"]);
        let carrier: Headers = lines.map(|name| (name, value.as_str())).collect();
        let found = extract_baggage(&carrier).unwrap();
        assert_eq!(found, Baggage::new().with("a", &value).with("b", &value));
    }

    #[test]
    fn broken_jaeger_values_are_refused() {
        for bad in [
            "",
            "1:2:0",
            "1:2:0:1:1",
            "0:2:0:1",
            "1:0:0:1",
            "1:2:0:",
            "1:2:0:x",
            "1:2:0:001",
            "+1:2:0:1",
            ":2:0:1",
            "1:12345678901234567:0:1",
            "1%3A2%3A0",
            "%ff:2:0:1",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(&format!("{}1:2:0:1", " ".repeat(10))).map(|context| context.flags), Some(1));
        assert_eq!(parse(&format!("1:2:{}:1", "0".repeat(600))), None);
        assert!(parse("1:2:anything:2").is_some_and(|context| context.sampled() && context.debug));
    }
}
