//! A list is read if and only if each of its members passes a second check; reading what was read changes nothing; the
//! limits hold; members are never altered, invented or reordered, before and after one is inserted.
#![no_main]

use ironspan::propagation::MAX_HEADER_BYTES;
use ironspan::propagation::tracestate::{MAX_CHARS, MAX_MEMBERS, TraceState};
use libfuzzer_sys::fuzz_target;

fn accepts(member: &str) -> bool {
    let bytes = member.as_bytes();
    let Some(equals) = bytes.iter().position(|&b| b == b'=') else {
        return false;
    };
    let (key, value) = (&bytes[..equals], &bytes[equals + 1..]);
    (1..=256).contains(&key.len())
        && (1..=256).contains(&value.len())
        && !b"_-*/@".contains(&key[0])
        && key.iter().all(|b| b"abcdefghijklmnopqrstuvwxyz0123456789_-*/@".contains(b))
        && value.iter().all(|&b| (0x20..=0x7e).contains(&b) && b != b'=' && b != b',')
        && value[value.len() - 1] != b' '
}

/// `part` comes out of `whole` by leaving members out.
fn is_subsequence<'a>(part: &[(&str, &str)], whole: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
    let mut part = part.iter();
    let mut next = part.next();
    for member in whole {
        if next == Some(&member) {
            next = part.next();
        }
    }
    next.is_none()
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let sent: Vec<&str> =
        text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()).collect();
    let good = text.len() <= MAX_HEADER_BYTES && sent.len() <= MAX_MEMBERS && sent.iter().all(|member| accepts(member));
    let parsed = TraceState::parse(text);
    assert_eq!(parsed.is_some(), good);
    let Some(state) = parsed else { return };

    let kept: Vec<_> = state.iter().collect();
    assert!(is_subsequence(&kept, sent.iter().filter_map(|member| member.split_once('='))));
    assert!(state.as_str().is_none_or(|text| !text.is_empty() && text.len() <= MAX_CHARS));
    assert_eq!(TraceState::parse(state.as_str().unwrap_or_default()), Some(state.clone()));
    for (key, value) in &kept {
        assert_eq!(state.get(key), Some(*value), "keys are unique");
    }

    let ours = state.insert("ironspan", "v").expect("key and value are allowed");
    let after: Vec<_> = ours.iter().collect();
    assert_eq!(after[0], ("ironspan", "v"));
    assert!(after.len() <= MAX_MEMBERS && ours.as_str().is_some_and(|text| text.len() <= MAX_CHARS));
    assert!(is_subsequence(&after[1..], kept.iter().copied().filter(|(key, _)| *key != "ironspan")));
    assert_eq!(TraceState::parse(ours.as_str().unwrap_or_default()), Some(ours.clone()));

    // The input as key and value: taken if and only if it then reads back.
    let (key, value) = text.split_once('|').unwrap_or((text, "v"));
    match TraceState::default().insert(key, value) {
        Some(one) => assert_eq!(one.get(key), Some(value)),
        None => assert!(!accepts(&format!("{key}={value}")) || key.contains('@') || key.as_bytes()[0].is_ascii_digit()),
    }
});
