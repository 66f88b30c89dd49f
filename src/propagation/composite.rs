//! Tests of the configured set: how the formats work together, and what none of them may do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use super::support::{context, headers, set};
use super::tracestate::TraceState;
use super::*;
use crate::ids::{SpanId, TraceId};

#[test]
fn names_are_normalised_deduplicated_and_cleared_by_none() {
    assert_eq!(set(&["tracecontext", " Baggage ", "TRACECONTEXT", ""]), Propagators::default());
    assert!(set(&["tracecontext", "none", "b3"]).is_empty());
    assert!(set(&[]).is_empty());
    let fields = set(&NAMES).fields();
    assert_eq!(
        fields,
        [
            "traceparent",
            "tracestate",
            "baggage",
            "b3",
            "x-b3-traceid",
            "x-b3-spanid",
            "x-b3-sampled",
            "x-b3-flags",
            "uber-trace-id",
            "x-amzn-trace-id"
        ]
    );
}

#[test]
fn an_unknown_name_is_refused_and_the_known_ones_listed() {
    let error = Propagators::from_names(["baggage", "b4 ", "none"]).unwrap_err();
    assert_eq!(error, UnknownPropagator("b4".into()));
    let text = error.to_string();
    assert!(NAMES.iter().chain(&["none", "b4"]).all(|name| text.contains(name)), "{text}");
}

#[test]
fn only_declared_fields_are_injected() {
    let all = set(&NAMES);
    let fields = all.fields();
    let debug = SpanContext { debug: true, trace_state: Some("a=1".into()), ..context(3) };
    for context in [context(0), context(1), debug] {
        all.inject(Some(&context), &Baggage::new().with("k", "v"), &mut |name, _| {
            assert!(fields.contains(&name) || name == "uberctx-k", "{name}");
        });
    }
}

#[test]
fn nothing_is_injected_without_a_valid_context_and_baggage() {
    let all = set(&NAMES);
    for context in [None, Some(SpanContext::default()), Some(SpanContext { span_id: SpanId::INVALID, ..context(1) })] {
        let left_out = all.inject(context.as_ref(), &Baggage::new(), &mut |name, _| panic!("{name}"));
        assert_eq!(left_out, 0);
    }
}

#[test]
fn the_last_format_that_finds_a_context_wins() {
    let other = SpanContext { remote: true, ..SpanContext::new(TraceId::from_u128(7), SpanId::from_u64(8), 1) };
    let mut carrier = headers(&set(&["tracecontext"]), &context(1), &Baggage::new());
    set(&["b3"]).inject(Some(&other), &Baggage::new(), &mut |name, value| {
        carrier.push(name, Some(&value));
    });
    let found = |names: &[&str]| set(names).extract(&carrier, None).context.unwrap();
    assert_eq!(found(&["tracecontext", "b3"]), other);
    assert_eq!(found(&["b3", "tracecontext"]), context(1));
    assert_eq!(found(&["tracecontext", "jaeger"]), context(1), "a format that finds nothing takes nothing away");
}

#[test]
fn a_decision_without_ids_yields_to_any_context() {
    let mut carrier = headers(&set(&["tracecontext"]), &context(1), &Baggage::new());
    carrier.push("b3", Some("0"));
    let found = set(&["tracecontext", "b3"]).extract(&carrier, None);
    assert_eq!((found.context, found.deferred), (Some(context(1)), None));
    let found = set(&["b3"]).extract(&carrier, Some(&context(3)));
    assert_eq!((found.context, found.deferred), (Some(context(3)), None));
}

#[test]
fn baggage_of_two_formats_comes_together_and_the_later_wins() {
    let carrier: Headers =
        [("baggage", "a=1,b=2"), ("Uberctx-b", "3%204"), ("uberctx-c", "5"), ("uberctx-bad key", "6")]
            .into_iter()
            .collect();
    let found = set(&["baggage", "jaeger"]).extract(&carrier, None).baggage.unwrap();
    assert_eq!(found, Baggage::new().with("a", "1").with("b", "3 4").with("c", "5"));
    let found = set(&["jaeger", "baggage"]).extract(&carrier, None).baggage.unwrap();
    assert_eq!(found.get("b"), Some("2"));
}

#[test]
fn debug_travels_in_b3_and_jaeger_but_not_in_traceparent() {
    let debug = SpanContext { debug: true, ..context(1) };
    for name in ["b3", "b3multi", "jaeger"] {
        let one = set(&[name]);
        assert_eq!(one.extract(&headers(&one, &debug, &Baggage::new()), None).context, Some(debug.clone()), "{name}");
    }
    let w3c = set(&["tracecontext"]);
    assert_eq!(w3c.extract(&headers(&w3c, &debug, &Baggage::new()), None).context, Some(context(1)));
}

#[test]
fn a_repeated_span_header_counts_as_none_in_every_format() {
    for name in ["tracecontext", "b3", "b3multi", "jaeger", "xray"] {
        let one = set(&[name]);
        let mut twice = Headers::default();
        for flags in [0, 1] {
            one.inject(Some(&context(flags)), &Baggage::new(), &mut |name, value| twice.push(name, Some(&value)));
        }
        assert_eq!(one.extract(&twice, None), Extracted::default(), "{name}");
    }
}

/// A carrier that hands out what it has, without the caps of [`Headers`].
struct Lines<'a>(&'a str, Vec<&'a str>);

impl Carrier for Lines<'_> {
    fn get_all(&self, name: &str, each: &mut dyn FnMut(&str)) {
        if name == self.0 {
            self.1.iter().for_each(|line| each(line));
        }
    }

    fn keys(&self, each: &mut dyn FnMut(&str)) {
        each(self.0);
    }
}

#[test]
fn a_huge_header_is_invalid_whatever_it_holds() {
    let blanks = " ".repeat(MAX_HEADER_BYTES);
    for name in ["tracecontext", "b3", "b3multi", "jaeger", "xray"] {
        let one = set(&[name]);
        one.inject(Some(&context(1)), &Baggage::new(), &mut |header, value| {
            if !header.starts_with("x-b3-") {
                let padded = format!("{blanks}{value}");
                assert_eq!(one.extract(&Lines(header, vec![&value]), None).context, Some(context(1)), "{header}");
                assert_eq!(one.extract(&Lines(header, vec![&padded]), None).context, None, "{header}");
            }
        });
    }
    let padded = format!("{blanks}{}", context(1).traceparent());
    let carrier: Headers = [("traceparent", padded)].into_iter().collect();
    assert_eq!(Propagators::default().extract(&carrier, None).context, None);
}

#[test]
fn a_huge_tracestate_is_dropped_wherever_it_stands() {
    let blanks = " ".repeat(MAX_HEADER_BYTES);
    assert_eq!(TraceState::parse(&format!("{blanks}a=1")), None);
    for lines in [vec![blanks.as_str(), "a=1"], vec!["a=1", &blanks], vec!["a=1", &blanks, "b=2"]] {
        assert_eq!(tracestate::extract(&Lines("tracestate", lines)), TraceState::default());
    }
    let fits = " ".repeat(MAX_HEADER_BYTES - 10);
    assert_eq!(tracestate::extract(&Lines("tracestate", vec![&fits, "a=1"])).as_str(), Some("a=1"));
}
