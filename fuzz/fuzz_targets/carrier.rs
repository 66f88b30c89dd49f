//! All formats at once over a list of `name:value` lines of arbitrary bytes: what comes out is valid and within limits,
//! an invalid carrier leaves the current context alone, and what is handed on arrives at a second process unchanged.
#![no_main]

use ironspan::context::{Baggage, SpanContext};
use ironspan::ids::{SpanId, TraceId};
use ironspan::propagation::environment::{Environment, normalise};
use ironspan::propagation::{Headers, NAMES, Propagators, Repeated, baggage, tracestate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|&b| b == b'\n');
    // The first byte turns formats on and off and says how repeated headers are read.
    let mask = lines.next().and_then(|line| line.first().copied()).unwrap_or_default();
    let names = NAMES.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 0).map(|(_, name)| *name);
    let propagators = Propagators::from_names(names).expect("known names");
    let mut headers = Headers::new(if mask & 0x40 == 0 { Repeated::All } else { Repeated::Last });
    let mut variables = Vec::new();
    for line in lines {
        let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..));
        headers.push_bytes(name, value);
        variables.push((
            normalise(&String::from_utf8_lossy(name)),
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
        ));
    }
    for (name, _) in &variables {
        assert_eq!(&normalise(name), name);
        assert!(
            name.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_')) && !name.as_bytes()[0].is_ascii_digit()
        );
    }

    let current = SpanContext::new(TraceId::from_u128(1), SpanId::from_u64(2), 1);
    for found in [
        propagators.extract(&headers, None),
        propagators.extract(&variables.into_iter().collect::<Environment>(), None),
    ] {
        if let Some(context) = &found.context {
            assert!(context.is_valid() && context.remote && context.flags & !SpanContext::KNOWN_FLAGS == 0);
            assert!(context.trace_state.as_deref().is_none_or(|text| {
                tracestate::TraceState::parse(text).is_some_and(|state| state.as_str() == Some(text))
            }));
            assert_eq!(found.deferred, None);
        }
        let entries = found.baggage.clone().unwrap_or_default();
        assert!(entries.len() <= 2 * baggage::MAX_MEMBERS);

        let mut sent = Headers::default();
        let fields = propagators.fields();
        let left_out = propagators.inject(found.context.as_ref(), &entries, &mut |name, value| {
            assert!(fields.contains(&name) || name.starts_with("uberctx-"));
            assert!(value.bytes().all(|b| (0x20..=0x7e).contains(&b)), "no line breaks, no text beyond ASCII");
            sent.push(name, Some(&value));
        });
        let again = propagators.extract(&sent, None);
        assert_eq!(
            again.context.as_ref().map(|c| (c.trace_id, c.span_id)),
            found.context.as_ref().map(|c| (c.trace_id, c.span_id))
        );
        assert!(left_out > 0 || again.baggage.unwrap_or_default().len() == entries.len());
    }
    let found = propagators.extract(&headers, Some(&current)).context;
    let alone = propagators.extract(&headers, None).context;
    assert_eq!(found, Some(alone.unwrap_or(current)));
    propagators.inject(None, &Baggage::new(), &mut |name, _| panic!("{name} set from nothing"));
});
