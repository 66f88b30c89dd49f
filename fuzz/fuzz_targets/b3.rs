//! The single header is read if and only if a second reader accepts it; the separate headers agree with the single one
//! that says the same; what is read survives both forms, with its debug mark.
#![no_main]

use ironspan::context::Baggage;
use ironspan::propagation::b3::{B3, parse_multi, parse_single};
use ironspan::propagation::{Headers, Propagators};
use libfuzzer_sys::fuzz_target;

fn accepts(value: &str) -> bool {
    let hex =
        |text: &str, lengths: &[usize]| lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = |text: &str, lengths: &[usize]| hex(text, lengths) && text.bytes().any(|b| b != b'0');
    match value.split('-').collect::<Vec<_>>()[..] {
        [state] => ["0", "1", "d"].contains(&state),
        [trace, span] => id(trace, &[16, 32]) && id(span, &[16]),
        [trace, span, state] => id(trace, &[16, 32]) && id(span, &[16]) && ["0", "1", "d"].contains(&state),
        [trace, span, state, parent] => {
            id(trace, &[16, 32]) && id(span, &[16]) && ["0", "1", "d"].contains(&state) && hex(parent, &[16])
        }
        _ => false,
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let value = text.trim_matches([' ', '\t']);
    let parsed = parse_single(text);
    assert_eq!(parsed.is_some(), accepts(value));

    let mut fields = text.split('|');
    let mut next = || fields.next().filter(|field| !field.is_empty());
    let (trace, span, sampled, flags) = (next(), next(), next(), next());
    if let Some(B3::Context(context)) = parse_multi(trace, span, sampled, flags) {
        let state = match (context.debug, context.sampled()) {
            (true, _) => "d",
            (false, true) => "1",
            (false, false) => "0",
        };
        let single = format!("{}-{}-{state}", trace.expect("was read"), span.expect("was read"));
        assert_eq!(parse_single(&single), Some(B3::Context(context)));
    }

    let Some(B3::Context(context)) = parsed else {
        return;
    };
    assert!(context.is_valid() && context.remote && (context.sampled() || !context.debug));
    for name in ["b3", "b3multi"] {
        let propagators = Propagators::from_names([name]).expect("a known name");
        let mut headers = Headers::default();
        propagators.inject(Some(&context), &Baggage::new(), &mut |name, value| headers.push(name, Some(&value)));
        assert_eq!(propagators.extract(&headers, None).context.as_ref(), Some(&context));
    }
});
