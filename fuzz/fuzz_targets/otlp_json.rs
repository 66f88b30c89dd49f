//! Spans made of arbitrary bytes become JSON that a second reader takes, with the texts and numbers that went in; and a
//! response in JSON, whatever it holds, is read as that reader reads it.
#![no_main]

use std::sync::Arc;

use ironspan::finished::{BatchBuilder, Resource, SpanHead, Value};
use ironspan::ids::{SpanId, TraceId};
use ironspan::kind::{Kind, Outcome, SpanKind};
use ironspan::ledger::PROCESS;
use ironspan::sinks::otlp::encode::traces_data;
use ironspan::sinks::otlp::json::{read_partial_success, to_json};
use ironspan::sinks::{Delivery, Destination};
use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;

fuzz_target!(|data: &[u8]| {
    let Some((&[first, second], rest)) = data.split_first_chunk::<2>() else { return };
    respond(rest);
    let (name, tape) = rest.split_at(usize::from(second).min(rest.len()));
    let name = String::from_utf8_lossy(name);

    let mut builder = BatchBuilder::new();
    builder.begin(&name, "a=b", &name, "");
    builder.attributes().extend(tape);
    builder.end_attributes();
    builder.event(u64::MAX, &name, u32::from(first), |attributes| attributes.extend(tape));
    builder.end_events();
    builder.link((TraceId::from_u128(7), SpanId::from_u64(9)), 0x101, "", 0, |attributes| {
        attributes.str("k");
        attributes.str(&name);
    });
    builder.finish_span(SpanHead {
        trace_id: TraceId::from_u128(u128::MAX),
        span_id: SpanId::from_u64(1),
        parent_id: (first & 1 == 1).then(|| SpanId::from_u64(u64::MAX)),
        start_unix_nano: 1,
        end_unix_nano: u64::MAX,
        flags: u32::from(first),
        kind: Kind::Span,
        span_kind: SpanKind::Internal,
        outcome: if first & 2 == 2 { Outcome::Error } else { Outcome::Ok },
        dropped_attributes: u32::from(first),
        dropped_events: 0,
        dropped_links: u32::MAX,
    });
    let batch = builder.build(Arc::new(Resource::default()), None);
    let destination = Arc::new(Destination::new("fuzz", usize::MAX));
    let deliveries = Delivery::fan_out(batch, &[destination], &PROCESS);
    let message = traces_data(&deliveries).expect("there is a span");
    let json: Json = serde_json::from_slice(&to_json(&message)).expect("JSON");

    let span = &json["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(text(&span["name"]), name);
    assert_eq!(text(&span["endTimeUnixNano"]), u64::MAX.to_string());
    assert_eq!(text(&span["traceId"]), "f".repeat(32));
    assert_eq!(text(&span["parentSpanId"]).len(), usize::from(first & 1) * 16);
    assert_eq!(span["status"]["message"].as_str().unwrap_or_default(), if first & 2 == 2 { &*name } else { "" });
    assert_eq!(span["droppedLinksCount"].as_u64(), Some(u64::from(u32::MAX)));

    let view = deliveries[0].spans().next().expect("there is a span");
    let written: Vec<_> = view.attributes().filter(|(key, _)| !key.is_empty()).collect();
    let read = span["attributes"].as_array().cloned().unwrap_or_default();
    assert_eq!(read.len(), written.len());
    for ((key, value), pair) in written.iter().zip(&read) {
        assert_eq!(text(&pair["key"]), *key);
        let read = &pair["value"];
        match value {
            Value::Str(value) => assert_eq!(text(&read["stringValue"]), *value),
            Value::Int(value) => assert_eq!(text(&read["intValue"]), value.to_string()),
            Value::Bool(value) => assert_eq!(read["boolValue"].as_bool(), Some(*value)),
            Value::Float(value) if value.is_finite() => {
                assert_eq!(read["doubleValue"].as_f64().map(f64::to_bits), Some(value.to_bits()));
            }
            Value::Float(_) => assert!(["NaN", "Infinity", "-Infinity"].contains(&&*text(&read["doubleValue"]))),
            Value::Bytes(value) => assert_eq!(text(&read["bytesValue"]).len(), value.len().div_ceil(3) * 4),
            Value::List(_) => assert!(read["arrayValue"].is_object()),
            Value::Map(_) => assert!(read["kvlistValue"].is_object()),
            Value::Null => assert_eq!(*read, serde_json::json!({})),
        }
    }
    deliveries.into_iter().for_each(Delivery::delivered);
});

fn respond(body: &[u8]) {
    let told = read_partial_success(body);
    let Ok(answer) = serde_json::from_slice::<Json>(body) else { return assert_eq!(told, None) };
    let partial = &answer["partialSuccess"];
    assert_eq!(told.is_some(), answer.get("partialSuccess").is_some());
    let told = told.unwrap_or_default();
    assert_eq!(told.error_message, partial["errorMessage"].as_str().unwrap_or_default());
    if let Some(count) = partial["rejectedSpans"].as_i64() {
        assert_eq!(told.rejected_spans, count);
    }
}
