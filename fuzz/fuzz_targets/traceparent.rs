//! A value is read if and only if a second reader, made of byte positions alone, accepts it; and what is read prints to
//! the same ids and flags and reads back equal.
#![no_main]

use ironspan::context::SpanContext;
use ironspan::propagation::traceparent;
use libfuzzer_sys::fuzz_target;

/// The grammar of W3C Trace Context Level 2, by position.
fn accepts(value: &[u8]) -> bool {
    let lower_hex = |bytes: &[u8]| bytes.iter().all(|b| b"0123456789abcdef".contains(b));
    value.len() >= 55
        && value.len() <= 512
        && [2, 35, 52].iter().all(|&place| value[place] == b'-')
        && [0..2, 3..35, 36..52, 53..55].into_iter().all(|range| lower_hex(&value[range]))
        && value[3..35].iter().any(|&b| b != b'0')
        && value[36..52].iter().any(|&b| b != b'0')
        && match &value[..2] {
            b"ff" => false,
            b"00" => value.len() == 55,
            _ => value.len() == 55 || value[55] == b'-',
        }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let trimmed = text.trim_matches([' ', '\t']);
    let parsed = traceparent::parse(text);
    assert_eq!(parsed.is_some(), accepts(trimmed.as_bytes()));
    let Some(context) = parsed else { return };
    assert!(context.remote && !context.debug && context.is_valid());
    assert_eq!(context.flags & !SpanContext::KNOWN_FLAGS, 0);
    let printed = context.traceparent();
    assert_eq!(printed[3..52], trimmed[3..52]);
    assert_eq!(traceparent::parse(&printed), Some(context));
});
