//! Limits hold; keys are tokens and unique; what was read and fits is written in plain header characters and reads back
//! equal; any text at all survives as a value.
#![no_main]

use ironspan::context::Baggage;
use ironspan::propagation::baggage::{MAX_BYTES, MAX_MEMBERS, encode, parse};
use libfuzzer_sys::fuzz_target;

fn check_header(text: &str) {
    assert!(text.len() <= MAX_BYTES);
    assert!(text.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'"' && b != b'\\'));
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let baggage = parse(text);
    assert!(baggage.len() <= MAX_MEMBERS);
    assert!(baggage.iter().map(|entry| entry.key.len() + 1).sum::<usize>() <= MAX_BYTES);
    for (place, entry) in baggage.iter().enumerate() {
        assert!(
            !entry.key.is_empty()
                && entry.key.bytes().all(|b| b.is_ascii_graphic() && !b"(),/:;<=>?@[\\]{}\"".contains(&b))
        );
        assert!(text.contains(&*entry.key), "keys are not decoded");
        assert!(baggage.iter().skip(place + 1).all(|other| other.key != entry.key));
    }
    let (header, left_out) = encode(&baggage);
    check_header(&header);
    let again = parse(&header);
    assert_eq!(again.len() + left_out, baggage.len());
    assert!(again.iter().all(|entry| baggage.iter().any(|other| other == entry)));
    // Only growth in encoding (a bare % or a replaced byte) may leave an entry out.
    assert!(left_out == 0 || text.contains('%'));

    let own = Baggage::new().with("key", text);
    let (header, left_out) = encode(&own);
    check_header(&header);
    if left_out == 0 {
        assert_eq!(parse(&header), own);
    } else {
        assert!(text.len() * 3 + 4 > MAX_BYTES);
    }
    let (header, _) = encode(&Baggage::new().with(text, "value"));
    assert!(header.is_empty() || parse(&header).get(text) == Some("value"));
});
