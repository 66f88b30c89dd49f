//! The project's table of propagation vectors, row by row. Names of rows (P01, S01, G01, ...) are those of the table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::context::BaggageEntry;
use crate::ids::SpanId;

const T: &str = "0af7651916cd43dd8448eb211c80319c";
const S: &str = "b7ad6b7169203331";
const Z32: &str = "00000000000000000000000000000000";
const Z16: &str = "0000000000000000";
const P01: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn propagators(names: &str) -> Propagators {
    Propagators::from_names(names.split(',')).unwrap()
}

fn extract(names: &str, headers: &[(&str, &str)]) -> Extracted {
    let headers: Headers = headers.iter().copied().collect();
    propagators(names).extract(&headers, None)
}

fn inject(names: &str, context: Option<&SpanContext>, baggage: &Baggage) -> Vec<(String, String)> {
    let mut set = Vec::new();
    assert_eq!(propagators(names).inject(context, baggage, &mut |name, value| set.push((name.to_owned(), value))), 0);
    set
}

/// The flags a sampled child sends on, or `None` when the value is invalid.
fn flags_out(traceparent: &str) -> Option<String> {
    let context = extract("tracecontext", &[("traceparent", traceparent)]).context?;
    assert_eq!((context.trace_id.to_string().as_str(), context.span_id.to_string().as_str()), (T, S));
    assert!(context.remote && !context.debug && context.flags <= 3);
    let child = context.child(SpanId::from_u64(1));
    let sent = inject("tracecontext", Some(&child), &Baggage::new());
    let [(_, sent)] = sent.as_slice() else { panic!("{sent:?}") };
    Some(sent.strip_prefix("00-0af7651916cd43dd8448eb211c80319c-0000000000000001-").unwrap().to_owned())
}

#[test]
fn traceparent_rows_p01_to_p30() {
    let capital = P01.replace(T, &T.to_uppercase());
    let long = format!("01{}-{}", P01.strip_prefix("00").unwrap(), "x".repeat(9000));
    for (row, value, out) in [
        ("P01", format!("00-{T}-{S}-01"), Some("01")),
        ("P02", format!("00-{T}-{S}-00"), Some("00")),
        ("P03", format!("00-{T}-{S}-02"), Some("02")),
        ("P04", format!("00-{T}-{S}-03"), Some("03")),
        ("P05", format!("00-{T}-{S}-ff"), Some("03")),
        ("P06", format!("00-{T}-{S}-09"), Some("01")),
        ("P07", format!("ff-{T}-{S}-01"), None),
        ("P08", format!("01-{T}-{S}-01"), Some("01")),
        ("P09", format!("01-{T}-{S}-01-extra"), Some("01")),
        ("P10", format!("01-{T}-{S}-01.extra"), None),
        ("P11", format!("fe-{T}-{S}-00-"), Some("00")),
        ("P12", format!("00-{T}-{S}-01-extra"), None),
        ("P13", format!("00-{T}-{S}-01-"), None),
        ("P14", format!("00-{Z32}-{S}-01"), None),
        ("P15", format!("00-{T}-{Z16}-01"), None),
        ("P16", capital, None),
        ("P17", format!("0A-{T}-{S}-01"), None),
        ("P18", format!("00-{}-{S}-01", T.get(..31).unwrap()), None),
        ("P19", format!("00-{T}0-{S}-01"), None),
        ("P20", format!("00-{T}-{}-01", S.get(..15).unwrap()), None),
        ("P21", format!("00-{T}-{S}-1"), None),
        ("P22", format!("00-{T}-{S}-0g"), None),
        ("P23", format!(" \t{P01} "), Some("01")),
        ("P24", P01.replace('-', "_"), None),
        ("P25", format!("0-{T}-{S}-01"), None),
        ("P26", String::new(), None),
        ("P27", format!("01-{T}-{S}-zz"), None),
        ("P28", P01.replace('a', "g"), None),
        ("P29", format!("02-{T}-{S}"), None),
        ("P30", long, None),
    ] {
        assert_eq!(flags_out(&value).as_deref(), out, "{row} {value}");
    }
}

#[test]
fn traceparent_row_p31_two_headers_contradict_each_other() {
    let other = P01.replace(T, "1234567890abcdef1234567890abcdef");
    for second in [other.as_str(), P01, ""] {
        let found = extract("tracecontext", &[("traceparent", P01), ("Traceparent", second)]);
        assert_eq!(found, Extracted::default(), "P31 {second:?}");
    }
}

/// What is handed on for these `tracestate` lines under P01.
fn state_out(lines: &[&str]) -> String {
    let headers = lines.iter().map(|line| ("tracestate", *line)).chain([("traceparent", P01)]).collect::<Vec<_>>();
    let context = extract("tracecontext", &headers).context.unwrap();
    let sent = inject("tracecontext", Some(&context), &Baggage::new());
    match sent.as_slice() {
        [_] => String::new(),
        [_, (name, value)] if name == "tracestate" => value.clone(),
        _ => panic!("{sent:?}"),
    }
}

fn numbered(count: usize) -> String {
    (0..count).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",")
}

#[test]
fn tracestate_rows_s01_to_s23_and_s28() {
    let key_of = |length: usize| format!("{}=1", "z".repeat(length));
    let value_of = |length: usize| format!("a={}", "v".repeat(length));
    for (row, value, out) in [
        ("S01", "a=1".to_owned(), "a=1".to_owned()),
        ("S02", "b=2,a=1".into(), "b=2,a=1".into()),
        ("S03", String::new(), String::new()),
        ("S04", " a=1 ,\tb=2\t".into(), "a=1,b=2".into()),
        ("S05", "a=1,,b=2".into(), "a=1,b=2".into()),
        ("S06", "a=1,a=2".into(), "a=1".into()),
        ("S07", "A=1,b=2".into(), String::new()),
        ("S08", "1a=1".into(), "1a=1".into()),
        ("S09", "t1@v=1".into(), "t1@v=1".into()),
        ("S10", "foo@=1".into(), "foo@=1".into()),
        ("S11", "@foo=1,b=2".into(), String::new()),
        ("S12", "foo.bar=1".into(), String::new()),
        ("S13", key_of(256), key_of(256)),
        ("S14", key_of(257), String::new()),
        ("S15", "a=b=c".into(), String::new()),
        ("S16", "a=".into(), String::new()),
        ("S17", value_of(256), value_of(256)),
        ("S18", value_of(257), String::new()),
        ("S19", numbered(32), numbered(32)),
        ("S20", numbered(33), String::new()),
        ("S22", "a=  x".into(), "a=  x".into()),
        ("S23", "a=\u{e9}".into(), String::new()),
        ("S28", "ot=th:c;rv:6e6d1a75832a2f,x=1".into(), "ot=th:c;rv:6e6d1a75832a2f,x=1".into()),
    ] {
        assert_eq!(state_out(&[&value]), out, "{row} {value}");
    }
    assert_eq!(state_out(&["a=1", "b=2"]), "a=1,b=2", "S21");
}

#[test]
fn tracestate_row_s24_is_ignored_without_traceparent() {
    assert_eq!(extract("tracecontext", &[("tracestate", "a=1")]), Extracted::default());
    let invalid = [("tracestate", "a=1"), ("traceparent", "00-x")];
    assert_eq!(extract("tracecontext", &invalid), Extracted::default());
}

#[test]
fn tracestate_rows_s25_to_s27_insert_to_the_left() {
    let parse = |text: &str| tracestate::TraceState::parse(text).unwrap();
    let two = parse("b=2,a=1");
    assert_eq!(two.insert("ironspan", "v").unwrap().as_str(), Some("ironspan=v,b=2,a=1"), "S25");
    assert_eq!(two.insert("a", "9").unwrap().as_str(), Some("a=9,b=2"), "S26");
    let full = parse(&numbered(32)).insert("ironspan", "v").unwrap();
    assert_eq!(full.as_str(), Some(format!("ironspan=v,{}", numbered(31)).as_str()), "S27");
}

fn entry(key: &str, value: &str, metadata: &str) -> BaggageEntry {
    BaggageEntry { key: key.into(), value: value.into(), metadata: metadata.into() }
}

#[test]
fn baggage_rows_g01_to_g15() {
    let many: Vec<_> = (0..64).map(|i| (format!("key{i}"), format!("{i}"))).collect();
    let many_text = many.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    let large = format!("a={},b=2", "x".repeat(8192));
    for (row, text, expected) in [
        ("G01", "a=1,b=2", vec![entry("a", "1", ""), entry("b", "2", "")]),
        ("G02", " a = 1 ; p1 ; k = v , b=2", vec![entry("a", "1", "p1;k=v"), entry("b", "2", "")]),
        ("G03", "u=Am%C3%A9lie", vec![entry("u", "Am\u{e9}lie", "")]),
        ("G04", "a=1=2", vec![entry("a", "1=2", "")]),
        ("G05", "a=%zz", vec![entry("a", "%zz", "")]),
        ("G06", "a=%FF", vec![entry("a", "\u{fffd}", "")]),
        ("G07", "a=", vec![entry("a", "", "")]),
        ("G08", "a b=1,c=2", vec![entry("c", "2", "")]),
        ("G09", "novalue,c=2", vec![entry("c", "2", "")]),
        ("G10", "a=\"x\"", vec![]),
        ("G11", "a=b\\c", vec![]),
        ("G12", &many_text, many.iter().map(|(key, value)| entry(key, value, "")).collect()),
        ("G13", &large, vec![entry("b", "2", "")]),
        ("G14", "A=1,a=2", vec![entry("A", "1", ""), entry("a", "2", "")]),
        ("G15", "a=1,a=2", vec![entry("a", "2", "")]),
    ] {
        let expected = (!expected.is_empty()).then(|| Baggage::from_entries(expected));
        assert_eq!(extract("baggage", &[("Baggage", text)]).baggage, expected, "{row} {text:.60}");
    }
}

#[test]
fn baggage_rows_g16_to_g18_encode() {
    for (row, value, out) in
        [("G16", "a b", "a%20b"), ("G17", "50%", "50%25"), ("G18", "x,y;z", "x%2Cy%3Bz"), ("+", "1+1", "1+1")]
    {
        let sent = inject("baggage", None, &Baggage::new().with("k", value));
        assert_eq!(sent, [("baggage".to_owned(), format!("k={out}"))], "{row}");
        assert_eq!(baggage::parse(&format!("k={out}")).get("k"), Some(value), "{row}");
    }
}

/// Trace id, span id, sampled, debug.
fn b3_context(headers: &[(&str, &str)]) -> Option<(String, String, bool, bool)> {
    let context = extract("b3", headers).context?;
    assert!(context.remote && !context.random());
    Some((context.trace_id.to_string(), context.span_id.to_string(), context.sampled(), context.debug))
}

#[test]
fn b3_rows_b01_to_b05() {
    let (single, short) = (format!("{T}-{S}-1"), format!("8448eb211c80319c-{S}-d"));
    let found = |trace: &str, debug| Some((trace.to_owned(), S.to_owned(), true, debug));
    assert_eq!(b3_context(&[("b3", &single)]), found(T, false), "B01");
    assert_eq!(b3_context(&[("b3", &short)]), found("00000000000000008448eb211c80319c", true), "B02");

    let deferred = extract("b3", &[("b3", "0")]);
    assert_eq!((deferred.context, deferred.deferred), (None, Some(false)), "B03");

    let multi = [("X-B3-TraceId", "8448EB211C80319C"), ("X-B3-SpanId", S), ("X-B3-Sampled", "true")];
    assert_eq!(b3_context(&multi), found("00000000000000008448eb211c80319c", false), "B04");

    let both = [("b3", "nonsense"), ("x-b3-traceid", T), ("x-b3-spanid", S), ("x-b3-sampled", "1")];
    assert_eq!(b3_context(&both), found(T, false), "B05");
}

#[test]
fn jaeger_rows_j01_and_j02() {
    let encoded = format!("{T}%3A{S}%3A0%3A1");
    let context = extract("jaeger", &[("Uber-Trace-Id", &encoded)]).context.unwrap();
    assert_eq!((context.trace_id.to_string(), context.span_id.to_string()), (T.into(), S.into()), "J01");
    assert!(context.sampled() && !context.debug, "J01");

    let context = extract("jaeger", &[("uber-trace-id", "1:2:0:3")]).context.unwrap();
    assert_eq!((context.trace_id.to_u128(), context.span_id.to_u64()), (1, 2), "J02");
    assert!(context.sampled() && context.debug, "J02");
}

#[test]
fn environment_rows_e01_and_e02() {
    let read = |name: &str| {
        let variables: environment::Environment = [(name, P01)].into_iter().collect();
        Propagators::default().extract(&variables, None).context
    };
    assert_eq!(read("TRACEPARENT").unwrap().traceparent(), P01, "E01");
    assert_eq!(read("traceparent"), None, "E02");
}

#[test]
fn kafka_rows_k01_and_k02_and_the_last_of_several() {
    let other = P01.replace(T, "1234567890abcdef1234567890abcdef");
    let read = |values: &[Option<&[u8]>]| {
        let mut headers = Headers::new(Repeated::Last);
        for value in values {
            headers.push_bytes(b"traceparent", *value);
        }
        Propagators::default().extract(&headers, None).context.map(|context| context.traceparent())
    };
    assert_eq!(read(&[Some(P01.as_bytes())]).as_deref(), Some(P01), "K01");
    assert_eq!(read(&[None]), None, "K02");
    assert_eq!(read(&[Some(other.as_bytes()), Some(P01.as_bytes())]).as_deref(), Some(P01));
    assert_eq!(read(&[Some(P01.as_bytes()), Some(b"\xff\xfe")]), None, "not UTF-8 counts as invalid");
}

#[test]
fn amqp_row_q01_no_headers_give_no_context() {
    assert_eq!(Propagators::default().extract(&Headers::default(), None), Extracted::default(), "Q01");
}

#[test]
fn mcp_rows_m01_and_m02() {
    let read = |value: &str| extract("tracecontext,baggage", &[("traceparent", value)]).context;
    assert_eq!(read(P01).unwrap().traceparent(), P01, "M01");
    let (meta, http) = (read(&format!("{P01}-extra")), read(P01));
    assert!(meta.is_none() && http.is_some(), "M02: no parent, and the HTTP context is there to link to");
}

#[test]
fn row_x01_an_invalid_carrier_leaves_the_current_context() {
    let current =
        SpanContext { trace_state: Some("a=1".into()), ..SpanContext::new(T.parse().unwrap(), SpanId::from_u64(9), 3) };
    let headers: Headers =
        [("traceparent", format!("ff-{T}-{S}-01")), ("tracestate", "b=2".into())].into_iter().collect();
    let found = Propagators::default().extract(&headers, Some(&current));
    assert_eq!(found, Extracted { context: Some(current), ..Extracted::default() }, "X01");
}
