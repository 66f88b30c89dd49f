//! A value that is not percent-encoded is read if and only if a second reader accepts it; what is read survives writing;
//! any text survives as a baggage value.
#![no_main]

use ironspan::context::Baggage;
use ironspan::propagation::{Headers, Propagators, jaeger};
use libfuzzer_sys::fuzz_target;

fn accepts(value: &str) -> bool {
    let hex = |text: &str, max: usize| (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = |text: &str, max: usize| hex(text, max) && text.bytes().any(|b| b != b'0');
    match value.split(':').collect::<Vec<_>>()[..] {
        [trace, span, _, flags] => value.len() <= 512 && id(trace, 32) && id(span, 16) && hex(flags, 2),
        _ => false,
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let value = text.trim_matches([' ', '\t']);
    let parsed = jaeger::parse(text);
    if !value.contains('%') {
        assert_eq!(parsed.is_some(), accepts(value));
    }
    let propagators = Propagators::from_names(["jaeger"]).expect("a known name");
    let own = Baggage::new().with("key", text);
    let mut headers = Headers::default();
    let left_out = propagators.inject(parsed.as_ref(), &own, &mut |name, value| {
        assert!(value.bytes().all(|b| (0x21..=0x7e).contains(&b)), "{name}");
        headers.push(name, Some(&value));
    });
    let found = propagators.extract(&headers, None);
    assert_eq!(found.context, parsed);
    assert_eq!(found.baggage, (left_out == 0).then_some(own));
    assert!(left_out == 0 || text.len() * 3 + 16 > 8192);
});
