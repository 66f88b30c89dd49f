//! Finished spans as OTLP messages: the one mapping from [`SpanView`] to the `opentelemetry-proto` structs, and their
//! protobuf bytes. JSON is made from the same structs in [`super::json`], so both encodings carry the same fields.
//!
//! The structs are filled directly and not by way of `opentelemetry_sdk::SpanData`: `opentelemetry::Value` knows no maps,
//! no bytes and no mixed lists, all of which OTLP has (`AnyValue`) and model messages need.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Wire;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource as WireResource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData, status::StatusCode};
use prost::Message;

use crate::finished::{Attributes, EventView, LinkView, OwnedValue, Resource, SpanView, Value};
use crate::keys::names;
use crate::kind::Outcome;
use crate::sinks::Delivery;

/// Containers nested deeper than this become an empty value (OpenTelemetry specification, `AttributeValueDepthLimit`).
const DEPTH_LIMIT: usize = 64;

/// The spans of some deliveries of one resource as one OTLP message: one `ResourceSpans` with one `ScopeSpans`.
///
/// `None` when there is no span: empty envelopes are refused by some receivers, so none is ever sent.
#[must_use]
pub fn traces_data<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> Option<TracesData> {
    let mut resource = None;
    let mut spans = Vec::new();
    for delivery in deliveries {
        resource.get_or_insert_with(|| delivery.batch().resource());
        spans.reserve(delivery.len());
        spans.extend(delivery.spans().map(|view| span(&view)));
    }
    let resource = resource.filter(|_| !spans.is_empty())?;
    Some(envelope(resource, spans))
}

/// The protobuf bytes of `data`: the body of a `TracesData` and of an `ExportTraceServiceRequest`, which are laid out
/// alike.
#[must_use]
pub fn to_protobuf(data: &TracesData) -> Vec<u8> {
    data.encode_to_vec()
}

fn envelope(resource: &Resource, spans: Vec<Span>) -> TracesData {
    let attributes = resource
        .attributes
        .iter()
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| key_value(key, Some(owned(value))))
        .collect();
    let scope = InstrumentationScope {
        name: resource.scope_name.clone(),
        version: resource.scope_version.clone(),
        ..InstrumentationScope::default()
    };
    TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(WireResource { attributes, ..WireResource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
}

fn span(view: &SpanView<'_>) -> Span {
    let head = view.head();
    Span {
        trace_id: head.trace_id.to_bytes().to_vec(),
        span_id: head.span_id.to_bytes().to_vec(),
        trace_state: view.trace_state().to_owned(),
        parent_span_id: head.parent_id.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        flags: head.flags,
        name: view.name().to_owned(),
        kind: i32::from(head.span_kind as u8),
        start_time_unix_nano: head.start_unix_nano,
        end_time_unix_nano: head.end_unix_nano.max(head.start_unix_nano),
        attributes: key_values(view.attributes(), 0),
        dropped_attributes_count: head.dropped_attributes,
        events: view.events().map(|view| event(&view)).collect(),
        dropped_events_count: head.dropped_events,
        links: view.links().map(|view| link(&view)).collect(),
        dropped_links_count: head.dropped_links,
        status: Some(status(head.outcome, view.status_message())),
    }
}

/// OTLP knows three codes; ours are ERROR with a message, and UNSET for all the rest (OK is the operator's word).
fn status(outcome: Outcome, message: &str) -> Status {
    if outcome == Outcome::Error {
        Status { message: message.to_owned(), code: StatusCode::Error as i32 }
    } else {
        Status::default()
    }
}

fn event(view: &EventView<'_>) -> Event {
    Event {
        time_unix_nano: view.time_unix_nano,
        name: view.name.to_owned(),
        attributes: key_values(view.attributes, 0),
        dropped_attributes_count: view.dropped_attributes,
    }
}

fn link(view: &LinkView<'_>) -> Link {
    Link {
        trace_id: view.trace_id.to_bytes().to_vec(),
        span_id: view.span_id.to_bytes().to_vec(),
        trace_state: view.trace_state.to_owned(),
        attributes: key_values(view.attributes, 0),
        dropped_attributes_count: view.dropped_attributes,
        flags: view.flags,
    }
}

fn key_values(attributes: Attributes<'_>, depth: usize) -> Vec<KeyValue> {
    attributes.filter(|(key, _)| !key.is_empty()).map(|(key, value)| key_value(key, any(value, depth))).collect()
}

fn key_value(key: &str, value: Option<Wire>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

/// `None` is the empty `AnyValue`.
fn any(value: Value<'_>, depth: usize) -> Option<Wire> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => Wire::BoolValue(value),
        Value::Int(value) => Wire::IntValue(value),
        Value::Float(value) => Wire::DoubleValue(value),
        Value::Str(text) => Wire::StringValue(text.to_owned()),
        Value::Bytes(bytes) => Wire::BytesValue(bytes.to_vec()),
        Value::List(_) | Value::Map(_) if depth >= DEPTH_LIMIT => return None,
        Value::List(items) => Wire::ArrayValue(ArrayValue {
            values: items.map(|item| AnyValue { value: any(item, depth + 1) }).collect(),
        }),
        Value::Map(pairs) => Wire::KvlistValue(KeyValueList { values: key_values(pairs, depth + 1) }),
    })
}

fn owned(value: &OwnedValue) -> Wire {
    match value {
        OwnedValue::Str(text) => Wire::StringValue(text.clone()),
        OwnedValue::Int(value) => Wire::IntValue(*value),
        OwnedValue::Float(value) => Wire::DoubleValue(*value),
        OwnedValue::Bool(value) => Wire::BoolValue(*value),
        OwnedValue::List(items) => Wire::ArrayValue(ArrayValue {
            values: items.iter().map(|item| AnyValue { value: Some(owned(item)) }).collect(),
        }),
    }
}

/// Shortens the longest texts and byte strings of `data`, evenly, until its protobuf form has at most `limit` bytes, and
/// marks every span with [`names::TRUNCATED`]. Keys, ids, numbers and the resource stay as they are.
///
/// Returns false, with `data` shortened as far as that goes, when what has to stay is larger than `limit`.
pub fn shorten(data: &mut TracesData, limit: usize) -> bool {
    for span in spans_mut(data) {
        if !span.attributes.iter().any(|pair| pair.key == names::TRUNCATED) {
            span.attributes.push(key_value(names::TRUNCATED, Some(Wire::BoolValue(true))));
        }
    }
    let mut cap = 0;
    each_long(data, &mut |long| cap = cap.max(long.len()));
    loop {
        let size = data.encoded_len();
        if size <= limit {
            return true;
        }
        // A quarter at a time: the result stays near the limit, and a text of a gigabyte takes 60 rounds.
        if cap < 16 {
            return false;
        }
        cap -= cap / 4;
        each_long(data, &mut |long| long.cut(cap));
    }
}

/// A value that may be long.
enum Long<'a> {
    Text(&'a mut String),
    Bytes(&'a mut Vec<u8>),
}

impl Long<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    fn cut(self, cap: usize) {
        match self {
            Self::Text(text) => {
                if text.len() > cap {
                    text.truncate((0..=cap).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0));
                }
            }
            Self::Bytes(bytes) => bytes.truncate(cap),
        }
    }
}

fn spans_mut(data: &mut TracesData) -> impl Iterator<Item = &mut Span> {
    data.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans).flat_map(|scope| &mut scope.spans)
}

fn each_long(data: &mut TracesData, visit: &mut impl FnMut(Long<'_>)) {
    for span in spans_mut(data) {
        visit(Long::Text(&mut span.name));
        if let Some(status) = &mut span.status {
            visit(Long::Text(&mut status.message));
        }
        let events = span.events.iter_mut().flat_map(|event| &mut event.attributes);
        let links = span.links.iter_mut().flat_map(|link| &mut link.attributes);
        for pair in span.attributes.iter_mut().chain(events).chain(links) {
            each_long_value(pair.value.as_mut(), visit);
        }
    }
}

fn each_long_value(value: Option<&mut AnyValue>, visit: &mut impl FnMut(Long<'_>)) {
    match value.and_then(|any| any.value.as_mut()) {
        Some(Wire::StringValue(text)) => visit(Long::Text(text)),
        Some(Wire::BytesValue(bytes)) => visit(Long::Bytes(bytes)),
        Some(Wire::ArrayValue(list)) => list.values.iter_mut().for_each(|item| each_long_value(Some(item), visit)),
        Some(Wire::KvlistValue(map)) => {
            map.values.iter_mut().for_each(|pair| each_long_value(pair.value.as_mut(), visit));
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure here is the finding")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::finished::{Batch, BatchBuilder};
    use crate::ids::{SpanId, TraceId};
    use crate::kind::SpanKind;
    use crate::ledger::Ledger;
    use crate::sinks::Destination;
    use crate::sinks::otlp::testing;

    fn deliveries(batch: Batch) -> Vec<Delivery> {
        let ledger: &'static Ledger = Box::leak(Box::default());
        ledger.spans.create_many(batch.len() as u64);
        Delivery::fan_out(batch, &[Arc::new(Destination::new("otlp", 1 << 20))], ledger)
    }

    fn encoded(batch: Batch) -> TracesData {
        traces_data(&deliveries(batch)).unwrap()
    }

    fn only_span(data: &TracesData) -> &Span {
        let [resource] = data.resource_spans.as_slice() else { panic!("one resource") };
        let [scope] = resource.scope_spans.as_slice() else { panic!("one scope") };
        let [span] = scope.spans.as_slice() else { panic!("one span") };
        span
    }

    fn value<'a>(pairs: &'a [KeyValue], key: &str) -> Option<&'a Wire> {
        pairs.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
    }

    fn text(text: &str) -> Wire {
        Wire::StringValue(text.to_owned())
    }

    #[test]
    fn every_field_of_a_span_arrives() {
        let mut head = testing::head(7);
        head.parent_id = Some(SpanId::from_u64(0x0102_0304_0506_0708));
        head.span_kind = SpanKind::Client;
        head.outcome = Outcome::Error;
        head.flags = 0x301;
        (head.dropped_attributes, head.dropped_events, head.dropped_links) = (1, 2, 3);
        let mut builder = BatchBuilder::new();
        builder.begin("chat m", "a=1", "no key", "");
        builder.attributes().str("n");
        builder.attributes().int(-5);
        builder.end_attributes();
        builder.event(99, "retry", 4, |tape| {
            tape.str("at");
            tape.int(1);
        });
        builder.end_events();
        builder.link((TraceId::from_u128(11), SpanId::from_u64(12)), 0x100, "b=2", 5, |tape| {
            tape.str("ironspan.link.role");
            tape.str("prompt");
        });
        builder.finish_span(head);
        let data = encoded(builder.build(testing::resource(), None));

        let scope = data.resource_spans[0].scope_spans[0].scope.as_ref().unwrap();
        assert_eq!((scope.name.as_str(), scope.version.as_str()), ("ironspan", "0.1.0"));
        let resource = data.resource_spans[0].resource.as_ref().unwrap();
        assert_eq!(value(&resource.attributes, "service.name"), Some(&text("demo")));

        let span = only_span(&data);
        assert_eq!(span.trace_id, head.trace_id.to_bytes());
        assert_eq!(span.span_id, head.span_id.to_bytes());
        assert_eq!(span.parent_span_id, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!((span.flags, span.kind, span.trace_state.as_str(), span.name.as_str()), (0x301, 3, "a=1", "chat m"));
        assert_eq!(span.start_time_unix_nano, head.start_unix_nano);
        assert_eq!(span.end_time_unix_nano, head.end_unix_nano);
        let dropped = (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count);
        assert_eq!(dropped, (1, 2, 3));
        assert_eq!(value(&span.attributes, "n"), Some(&Wire::IntValue(-5)));
        assert_eq!(span.status, Some(Status { message: "no key".to_owned(), code: 2 }));
        let event = &span.events[0];
        assert_eq!((event.time_unix_nano, event.name.as_str(), event.dropped_attributes_count), (99, "retry", 4));
        assert_eq!(value(&event.attributes, "at"), Some(&Wire::IntValue(1)));
        let link = &span.links[0];
        assert_eq!(link.trace_id, TraceId::from_u128(11).to_bytes());
        assert_eq!(link.span_id, SpanId::from_u64(12).to_bytes());
        assert_eq!((link.flags, link.trace_state.as_str(), link.dropped_attributes_count), (0x100, "b=2", 5));
        assert_eq!(value(&link.attributes, "ironspan.link.role"), Some(&text("prompt")));
    }

    #[test]
    fn values_of_every_type_arrive_nested_and_mixed() {
        let data = encoded(testing::one(testing::head(0), |tape| {
            tape.str("all");
            tape.list();
            tape.null();
            tape.bool(true);
            tape.float(f64::NEG_INFINITY);
            tape.bytes(b"\x00\xff");
            tape.map();
            tape.str("k");
            tape.str("v");
            tape.end();
            tape.end();
        }));
        let Some(Wire::ArrayValue(list)) = value(&only_span(&data).attributes, "all") else { panic!("a list") };
        let values: Vec<_> = list.values.iter().map(|any| any.value.clone()).collect();
        let pair = KeyValueList { values: vec![key_value("k", Some(text("v")))] };
        assert_eq!(
            values,
            [
                None,
                Some(Wire::BoolValue(true)),
                Some(Wire::DoubleValue(f64::NEG_INFINITY)),
                Some(Wire::BytesValue(vec![0, 255])),
                Some(Wire::KvlistValue(pair)),
            ]
        );
    }

    #[test]
    fn containers_beyond_the_depth_limit_are_empty_values() {
        let data = encoded(testing::one(testing::head(0), |tape| {
            tape.str("deep");
            (0..100).for_each(|_| tape.list());
            (0..100).for_each(|_| tape.end());
        }));
        let (mut depth, mut at) = (0, value(&only_span(&data).attributes, "deep"));
        while let Some(Wire::ArrayValue(list)) = at {
            depth += 1;
            at = list.values.first().and_then(|any| any.value.as_ref());
        }
        assert_eq!(depth, DEPTH_LIMIT);
    }

    #[test]
    fn outcomes_other_than_error_leave_the_status_unset() {
        for outcome in [Outcome::Ok, Outcome::Cancelled, Outcome::Interrupted, Outcome::Abandoned] {
            let mut head = testing::head(0);
            head.outcome = outcome;
            let data = encoded(testing::one(head, |_| {}));
            assert_eq!(only_span(&data).status, Some(Status::default()));
        }
    }

    #[test]
    fn nothing_to_send_makes_no_envelope() {
        let mut parts = deliveries(testing::named(0, ["a", "b"]));
        let rest = parts[0].split_off(0);
        assert!(traces_data(&parts).is_none());
        assert_eq!(traces_data(&[rest]).unwrap().resource_spans[0].scope_spans[0].spans.len(), 2);
    }

    #[test]
    fn shortening_cuts_the_longest_texts_on_character_borders_and_marks_the_span() {
        let mut data = encoded(testing::one(testing::head(0), |tape| {
            tape.str("short");
            tape.str("stays");
            tape.str("long");
            tape.list();
            tape.str(&"é".repeat(50_000));
            tape.bytes(&vec![7; 30_000]);
            tape.end();
        }));
        assert!(shorten(&mut data, 20_000));
        assert!(data.encoded_len() <= 20_000 && data.encoded_len() > 10_000, "{}", data.encoded_len());
        let span = only_span(&data);
        assert_eq!(value(&span.attributes, "short"), Some(&text("stays")));
        assert_eq!(value(&span.attributes, names::TRUNCATED), Some(&Wire::BoolValue(true)));
        assert_eq!(TracesData::decode(to_protobuf(&data).as_slice()).unwrap(), data);
        assert!(!shorten(&mut data, 50), "ids and keys alone are larger");
    }
}
