//! What the test harness of the W3C Trace Context repository (`test/test.py`) asks of a service: it sends headers and
//! looks at those of the request that the service makes next. [`round`] is such a service, with the clean-up of Level 2
//! where the levels differ.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::ids::{SpanId, generate_trace_id};

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";

/// Receives, opens a span, sends: the outgoing trace id and tracestate.
fn round(headers: &[(&str, &str)]) -> (String, Option<String>) {
    let received: Headers = headers.iter().copied().collect();
    let propagators = Propagators::default();
    let own = SpanContext::new(generate_trace_id(), SpanId::from_u64(1), SpanContext::KNOWN_FLAGS);
    let span = match propagators.extract(&received, None).context {
        Some(parent) => parent.child(SpanId::from_u64(1)),
        None => own,
    };
    let (mut trace, mut state) = (None, None);
    propagators.inject(Some(&span), &Baggage::new(), &mut |name, value| match name {
        "traceparent" => {
            trace = traceparent::parse(&value).map(|context| context.trace_id.to_string());
        }
        _ => state = Some(value),
    });
    (trace.unwrap(), state)
}

fn continues(traceparent: &str) -> bool {
    round(&[("traceparent", traceparent)]).0 == TRACE
}

fn state(lines: &[&str]) -> Option<String> {
    let headers: Vec<_> =
        std::iter::once(("traceparent", PARENT)).chain(lines.iter().map(|line| ("tracestate", *line))).collect();
    let (trace, state) = round(&headers);
    assert_eq!(trace, TRACE, "a broken tracestate never costs the trace: {lines:?}");
    state
}

#[test]
fn without_headers_a_valid_trace_starts() {
    let (trace, state) = round(&[]);
    assert_ne!(trace, TRACE);
    assert_eq!(state, None);
}

#[test]
fn traceparent_is_found_in_any_case_and_under_no_other_name() {
    for name in ["traceparent", "TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
        assert_eq!(round(&[(name, PARENT)]).0, TRACE, "{name}");
    }
    for name in ["trace-parent", "trace.parent", "trace_parent"] {
        assert_ne!(round(&[(name, PARENT)]).0, TRACE, "{name}");
    }
}

#[test]
fn duplicated_traceparent_starts_a_new_trace() {
    let other = "00-12345678901234567890123456789011-1234567890123456-01";
    for pair in [[other, PARENT], [PARENT, other], [PARENT, PARENT]] {
        let (trace, _) = round(&pair.map(|value| ("traceparent", value)));
        assert!(!pair.iter().any(|sent| sent.contains(&trace)), "{pair:?}");
    }
}

#[test]
fn traceparent_that_continues_the_trace() {
    for suffix in ["", "\t", " ", "\t ", " \t"] {
        assert!(continues(&format!("{PARENT}{suffix}")));
        assert!(continues(&format!("{suffix}{PARENT}")));
    }
    let future = PARENT.replacen("00", "cc", 1);
    assert!(continues(&future));
    assert!(continues(&format!("{future}-what-the-future-will-be-like")));
}

#[test]
fn traceparent_that_starts_a_new_trace() {
    let (trace, span) = (TRACE, "1234567890123456");
    let zeros = "0".repeat(32);
    for bad in [
        format!("{PARENT}."),
        format!("{PARENT}-what-the-future-will-be-like"),
        format!("{}.what-the-future-will-be-like", PARENT.replacen("00", "cc", 1)),
        PARENT.replacen("00", "ff", 1),
        PARENT.replacen("00", ".0", 1),
        PARENT.replacen("00", "0.", 1),
        PARENT.replacen("00", "000", 1),
        PARENT.replacen("00", "0000", 1),
        PARENT.replacen("00", "0", 1),
        PARENT.replacen("00", "", 1),
        format!("00-{zeros}-{span}-01"),
        format!("00-.{}-{span}-01", trace.get(1..).unwrap()),
        format!("00-{}.-{span}-01", trace.get(..31).unwrap()),
        format!("00-{trace}3-{span}-01"),
        format!("00-{}-{span}-01", trace.get(..31).unwrap()),
        format!("00-{trace}-0000000000000000-01"),
        format!("00-{trace}-.234567890123456-01"),
        format!("00-{trace}-123456789012345.-01"),
        format!("00-{trace}-12345678901234567-01"),
        format!("00-{trace}-123456789012345-01"),
        format!("00-{trace}-{span}-.0"),
        format!("00-{trace}-{span}-0."),
        format!("00-{trace}-{span}-001"),
        format!("00-{trace}-{span}-1"),
        format!("\n{PARENT}"),
        format!("{PARENT}\u{a0}"),
        format!("{PARENT},{PARENT}"),
    ] {
        assert!(!continues(&bad), "{bad}");
    }
}

#[test]
fn tracestate_needs_a_traceparent() {
    let (_, state) = round(&[("tracestate", "foo=1")]);
    assert_eq!(state, None);
    let (_, state) = round(&[("traceparent", "00-bad"), ("tracestate", "foo=1"), ("tracestate", "bar=2")]);
    assert_eq!(state, None);
}

#[test]
fn tracestate_that_is_handed_on() {
    let tenant = format!("{}@{}=1", "t".repeat(241), "v".repeat(14));
    let keys = "abcdefghijklmnopqrstuvwxyz0123456789_-*/=1";
    let printable: String = (' '..='~').filter(|c| !matches!(c, ',' | '=')).collect();
    let value = format!("foo={printable}");
    for (lines, out) in [
        (vec!["foo=1", "bar=2"], "foo=1,bar=2"),
        (vec!["foo=1", ""], "foo=1"),
        (vec!["", "foo=1"], "foo=1"),
        (vec!["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        (vec!["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (vec!["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
        (vec![" foo=1"], "foo=1"),
        (vec!["\tfoo=1 "], "foo=1"),
        (vec!["foo=1,foo=1"], "foo=1"),
        (vec!["foo=1", "foo=2"], "foo=1"),
        (vec![keys], keys),
        (vec![tenant.as_str()], tenant.as_str()),
        (vec![value.as_str()], value.as_str()),
        (vec!["foo@@bar=1"], "foo@@bar=1"),
    ] {
        assert_eq!(state(&lines).as_deref(), Some(out), "{lines:?}");
    }
}

#[test]
fn tracestate_that_is_dropped() {
    let many = (0..33).map(|i| format!("bar{i:02}={i}")).collect::<Vec<_>>().join(",");
    let (long_key, long_value) = (format!("{}=1", "z".repeat(257)), format!("foo={}", "v".repeat(257)));
    for lines in [
        vec!["foo =1"],
        vec!["FOO=1"],
        vec!["foo.bar=1"],
        vec!["@foo=1,bar=2"],
        vec!["foo"],
        vec!["=1"],
        vec!["foo=bar=baz"],
        vec!["foo=,bar=3"],
        vec!["foo=1\u{7f}"],
        vec!["foo=a\tb"],
        vec!["foo=a\r\nx: y"],
        vec!["foo=1", "BAR=2"],
        vec![many.as_str()],
        vec!["a=1", many.as_str()],
        vec![long_key.as_str()],
        vec![long_value.as_str()],
        vec![""],
        vec![],
    ] {
        assert_eq!(state(&lines), None, "{lines:?}");
    }
}

#[test]
fn child_flags_keep_the_random_bit_and_drop_unknown_ones() {
    for (received, sent) in [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("fd", "01"), ("fe", "02")] {
        let context = traceparent::parse(&format!("00-{TRACE}-1234567890123456-{received}")).unwrap();
        assert!(context.child(SpanId::from_u64(2)).traceparent().ends_with(sent), "{received}");
    }
}
