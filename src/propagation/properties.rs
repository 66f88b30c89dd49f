//! Properties of the formats over arbitrary contexts, baggage and bytes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::support::{context, headers, set};
use super::tracestate::TraceState;
use super::*;
use crate::context::BaggageEntry;
use crate::ids::{SpanId, TraceId};

fn any_context() -> impl Strategy<Value = SpanContext> {
    (1_u128.., 1_u64.., 0_u8..4, prop::bool::ANY, any_state()).prop_map(|(trace, span, flags, debug, state)| {
        SpanContext {
            remote: true,
            debug: debug && flags & 1 == 1,
            trace_state: state.and_then(|text| TraceState::parse(&text)?.into_text()),
            ..SpanContext::new(TraceId::from_u128(trace), SpanId::from_u64(span), flags)
        }
    })
}

fn any_state() -> impl Strategy<Value = Option<String>> {
    prop::option::of("([a-z0-9][a-z0-9_*/@-]{0,9}=[ -+\\--<>-~]{0,9}[!-+\\--<>-~][ \t]?,[ \t]?){0,33}")
}

fn any_baggage() -> impl Strategy<Value = Baggage> {
    prop::collection::vec(("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}", any::<String>(), "(p[0-9](=[a-z%]{0,3})?)?"), 0..8)
        .prop_map(|entries| {
            Baggage::from_entries(entries.into_iter().map(|(key, value, metadata)| BaggageEntry {
                key: key.into(),
                value: value.into(),
                metadata: metadata.into(),
            }))
        })
}

proptest! {
    #[test]
    fn what_w3c_headers_carry_arrives(context in any_context(), baggage in any_baggage()) {
        let propagators = Propagators::default();
        let found = propagators.extract(&headers(&propagators, &context, &baggage), None);
        prop_assert_eq!(found.context, Some(SpanContext { debug: false, ..context }));
        prop_assert_eq!(found.baggage.unwrap_or_default(), baggage);
    }

    #[test]
    fn what_other_formats_carry_arrives(context in any_context(), which in 0_usize..4) {
        let one = set(&[["b3", "b3multi", "jaeger", "xray"][which]]);
        let found = one.extract(&headers(&one, &context, &Baggage::new()), None).context;
        // These formats know neither the random flag nor tracestate, and X-Ray no debug mark.
        let debug = context.debug && which != 3;
        prop_assert_eq!(found, Some(SpanContext { flags: context.flags & 1, debug, trace_state: None, ..context }));
    }

    #[test]
    fn jaeger_baggage_arrives_but_for_keys_that_differ_in_case_only(baggage in any_baggage()) {
        let one = set(&["jaeger"]);
        let mut carrier = Headers::default();
        let left_out = one.inject(None, &baggage, &mut |name, value| carrier.push(name, Some(&value)));
        let found = one.extract(&carrier, None).baggage.unwrap_or_default();
        prop_assert_eq!(found.len() + left_out, baggage.len());
        for entry in &baggage {
            let first = baggage.iter().find(|other| other.key.eq_ignore_ascii_case(&entry.key));
            let expected = first.filter(|first| first.key == entry.key).map(|first| &*first.value);
            prop_assert_eq!(found.get(&entry.key), expected);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(
        values in prop::collection::vec((0_usize..12, prop::collection::vec(any::<u8>(), 0..80)), 0..6),
    ) {
        let all = set(&NAMES);
        let mut names = all.fields();
        names.extend(["uberctx-a", "uberctx-"]);
        let mut carrier = Headers::default();
        for (name, value) in &values {
            carrier.push_bytes(names[*name].as_bytes(), Some(value));
        }
        let found = all.extract(&carrier, None);
        prop_assert!(found.context.as_ref().is_none_or(|context| context.is_valid() && context.remote));
        if let Some(context) = found.context {
            let again = all.extract(&headers(&all, &context, &Baggage::new()), None).context;
            prop_assert!(again.is_some_and(|again| again.trace_id == context.trace_id));
        }
    }

    #[test]
    fn a_valid_traceparent_prints_as_it_was(text in "(00|01)-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]") {
        if let Some(context) = traceparent::parse(&text) {
            let printed = context.traceparent();
            prop_assert_eq!(printed.get(2..), text.get(2..));
        } else {
            prop_assert!(text.contains(&"0".repeat(16)));
        }
    }

    #[test]
    fn a_single_changed_character_never_breaks_the_reader(place in 0_usize..55, replacement: char) {
        let text: String = context(1)
            .traceparent()
            .chars()
            .enumerate()
            .map(|(i, c)| if i == place { replacement } else { c })
            .collect();
        if let Some(context) = traceparent::parse(&text) {
            prop_assert!(replacement.is_ascii_digit() || ('a'..='f').contains(&replacement) || replacement == '-');
            prop_assert!(context.is_valid());
        }
    }

    #[test]
    fn inserting_keeps_every_other_member(text in any_state(), value in "[a-z]{1,5}") {
        let state = TraceState::parse(&text.unwrap_or_default()).unwrap_or_default();
        let ours = state.insert("ironspan", &value).unwrap();
        prop_assert_eq!(ours.iter().next(), Some(("ironspan", value.as_str())));
        let expected: Vec<_> = state.iter().filter(|(key, _)| *key != "ironspan").take(31).collect();
        prop_assert_eq!(ours.iter().skip(1).collect::<Vec<_>>(), expected);
        prop_assert_eq!(TraceState::parse(ours.as_str().unwrap()), Some(ours.clone()));
    }
}
