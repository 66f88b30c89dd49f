//! OTLP messages as OTLP JSON (OTLP specification, JSON Protobuf Encoding): lowerCamelCase keys, ids in hex, enums as
//! integers, 64-bit integers as strings, bytes in base64, NaN and infinities as strings, default values left out.
//!
//! Written here and not by the serde derives of `opentelemetry-proto`, which turn a NaN or an infinity into `null` and
//! write every default value.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Wire;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};

use crate::json::{write_base64, write_float, write_str};

/// `data` as one line of JSON, without a line feed at the end: the body of a request with `application/json`, and one
/// line of an OTLP JSON lines file (OpenTelemetry specification, file exporter).
#[must_use]
pub fn to_json(data: &TracesData) -> Vec<u8> {
    let mut out = String::with_capacity(1024);
    object(&mut out, |out| out.list("resourceSpans", &data.resource_spans, resource_spans));
    out.into_bytes()
}

/// What a response in JSON says beyond success (OTLP specification, "Partial Success"): `None` when it says nothing, or is
/// no JSON. Proto3 JSON writes 64-bit integers as strings, and readers take numbers, too.
#[must_use]
pub fn read_partial_success(body: &[u8]) -> Option<ExportTracePartialSuccess> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = answer.get("partialSuccess")?;
    let rejected = partial.get("rejectedSpans").and_then(|count| match count {
        serde_json::Value::String(digits) => digits.parse().ok(),
        other => other.as_i64(),
    });
    let message = partial.get("errorMessage").and_then(serde_json::Value::as_str).unwrap_or_default();
    Some(ExportTracePartialSuccess { rejected_spans: rejected.unwrap_or(0), error_message: message.to_owned() })
}

/// The members of a JSON object that is being written.
struct Members<'a> {
    out: &'a mut String,
    first: bool,
}

fn object(out: &mut String, write: impl FnOnce(&mut Members<'_>)) {
    out.push('{');
    write(&mut Members { out, first: true });
    out.push('}');
}

fn array<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

impl Members<'_> {
    /// Writes a key; the caller writes its value.
    fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self.out
    }

    fn list<T>(&mut self, key: &str, items: &[T], write: impl FnMut(&mut String, &T)) {
        if !items.is_empty() {
            array(self.key(key), items, write);
        }
    }

    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            write_str(value, self.key(key));
        }
    }

    fn hex(&mut self, key: &str, bytes: &[u8]) {
        if !bytes.is_empty() {
            let out = self.key(key);
            out.push('"');
            for byte in bytes {
                out.extend([byte >> 4, byte & 0xf].map(hex_digit));
            }
            out.push('"');
        }
    }

    /// 64-bit integers are strings: a JSON reader may keep only 53 bits of a number.
    fn u64(&mut self, key: &str, value: u64) {
        quoted_int(self.key(key), value);
    }

    fn u32(&mut self, key: &str, value: u32) {
        if value != 0 {
            int(self.key(key), value);
        }
    }

    fn i32(&mut self, key: &str, value: i32) {
        if value != 0 {
            int(self.key(key), value);
        }
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from(if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) })
}

fn int(out: &mut String, value: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(value));
}

fn quoted_int(out: &mut String, value: impl itoa::Integer) {
    out.push('"');
    int(out, value);
    out.push('"');
}

fn resource_spans(out: &mut String, data: &ResourceSpans) {
    object(out, |out| {
        if let Some(resource) = &data.resource {
            object(out.key("resource"), |out| {
                out.list("attributes", &resource.attributes, key_value);
                out.u32("droppedAttributesCount", resource.dropped_attributes_count);
            });
        }
        out.list("scopeSpans", &data.scope_spans, scope_spans);
        out.text("schemaUrl", &data.schema_url);
    });
}

fn scope_spans(out: &mut String, data: &ScopeSpans) {
    object(out, |out| {
        if let Some(InstrumentationScope { name, version, attributes, dropped_attributes_count }) = &data.scope {
            object(out.key("scope"), |out| {
                out.text("name", name);
                out.text("version", version);
                out.list("attributes", attributes, key_value);
                out.u32("droppedAttributesCount", *dropped_attributes_count);
            });
        }
        out.list("spans", &data.spans, span);
        out.text("schemaUrl", &data.schema_url);
    });
}

fn span(out: &mut String, span: &Span) {
    object(out, |out| {
        out.hex("traceId", &span.trace_id);
        out.hex("spanId", &span.span_id);
        out.text("traceState", &span.trace_state);
        out.hex("parentSpanId", &span.parent_span_id);
        out.u32("flags", span.flags);
        // Some readers want the key even when the name is empty.
        write_str(&span.name, out.key("name"));
        out.i32("kind", span.kind);
        out.u64("startTimeUnixNano", span.start_time_unix_nano);
        out.u64("endTimeUnixNano", span.end_time_unix_nano);
        out.list("attributes", &span.attributes, key_value);
        out.u32("droppedAttributesCount", span.dropped_attributes_count);
        out.list("events", &span.events, event);
        out.u32("droppedEventsCount", span.dropped_events_count);
        out.list("links", &span.links, link);
        out.u32("droppedLinksCount", span.dropped_links_count);
        if let Some(Status { message, code }) = &span.status {
            object(out.key("status"), |out| {
                out.text("message", message);
                out.i32("code", *code);
            });
        }
    });
}

fn event(out: &mut String, event: &Event) {
    object(out, |out| {
        out.u64("timeUnixNano", event.time_unix_nano);
        write_str(&event.name, out.key("name"));
        out.list("attributes", &event.attributes, key_value);
        out.u32("droppedAttributesCount", event.dropped_attributes_count);
    });
}

fn link(out: &mut String, link: &Link) {
    object(out, |out| {
        out.hex("traceId", &link.trace_id);
        out.hex("spanId", &link.span_id);
        out.text("traceState", &link.trace_state);
        out.list("attributes", &link.attributes, key_value);
        out.u32("droppedAttributesCount", link.dropped_attributes_count);
        out.u32("flags", link.flags);
    });
}

fn key_value(out: &mut String, pair: &KeyValue) {
    object(out, |out| {
        write_str(&pair.key, out.key("key"));
        if let Some(value) = &pair.value {
            any_value(out.key("value"), value);
        }
    });
}

fn any_value(out: &mut String, value: &AnyValue) {
    object(out, |out| match &value.value {
        // An index into a profile's string table has no meaning in a trace.
        None | Some(Wire::StringValueStrindex(_)) => {}
        Some(Wire::StringValue(value)) => write_str(value, out.key("stringValue")),
        Some(Wire::BoolValue(value)) => {
            out.key("boolValue").push_str(if *value { "true" } else { "false" });
        }
        Some(Wire::IntValue(value)) => quoted_int(out.key("intValue"), *value),
        Some(Wire::DoubleValue(value)) => write_float(*value, out.key("doubleValue")),
        Some(Wire::ArrayValue(list)) => object(out.key("arrayValue"), |out| {
            array(out.key("values"), &list.values, any_value);
        }),
        Some(Wire::KvlistValue(map)) => object(out.key("kvlistValue"), |out| {
            array(out.key("values"), &map.values, key_value);
        }),
        Some(Wire::BytesValue(bytes)) => write_base64(bytes, out.key("bytesValue")),
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests: a failure here is the finding")]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
    use opentelemetry_proto::tonic::resource::v1::Resource;

    use super::*;

    fn any(value: Wire) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn pair(key: &str, value: Option<Wire>) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
    }

    fn data(attributes: Vec<KeyValue>) -> TracesData {
        let span = Span {
            trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes().to_vec(),
            span_id: 0xb7ad_6b71_6920_3331_u64.to_be_bytes().to_vec(),
            parent_span_id: vec![0, 1, 2, 3, 4, 5, 6, 0xff],
            trace_state: "a=1".to_owned(),
            flags: 0x101,
            name: "chat \"m\"\n".to_owned(),
            kind: 3,
            start_time_unix_nano: 1_700_000_000_000_000_000,
            end_time_unix_nano: u64::MAX,
            attributes,
            dropped_attributes_count: 1,
            events: vec![Event { time_unix_nano: 5, name: "e".to_owned(), ..Event::default() }],
            links: vec![Link { trace_id: vec![1; 16], span_id: vec![2; 8], flags: 256, ..Link::default() }],
            status: Some(Status { message: "no".to_owned(), code: 2 }),
            ..Span::default()
        };
        TracesData {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![pair("service.name", Some(Wire::StringValue("demo".to_owned())))],
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "ironspan".to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans: vec![span],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        }
    }

    #[test]
    fn a_span_reads_as_the_specification_writes_it() {
        let line = String::from_utf8(to_json(&data(vec![pair("n", Some(Wire::IntValue(i64::MIN)))]))).unwrap();
        assert_eq!(
            line,
            concat!(
                r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"demo"}}]},"#,
                r#""scopeSpans":[{"scope":{"name":"ironspan"},"spans":[{"#,
                r#""traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","traceState":"a=1","#,
                r#""parentSpanId":"00010203040506ff","flags":257,"name":"chat \"m\"\n","kind":3,"#,
                r#""startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"18446744073709551615","#,
                r#""attributes":[{"key":"n","value":{"intValue":"-9223372036854775808"}}],"droppedAttributesCount":1,"#,
                r#""events":[{"timeUnixNano":"5","name":"e"}],"#,
                r#""links":[{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202","flags":256}],"#,
                r#""status":{"message":"no","code":2}}]}]}]}"#,
            )
        );
    }

    #[test]
    fn values_follow_the_json_encoding() {
        let cases = [
            (None, "{}"),
            (Some(Wire::StringValue(String::new())), r#"{"stringValue":""}"#),
            (Some(Wire::BoolValue(false)), r#"{"boolValue":false}"#),
            (Some(Wire::DoubleValue(0.1)), r#"{"doubleValue":0.1}"#),
            (Some(Wire::DoubleValue(f64::NAN)), r#"{"doubleValue":"NaN"}"#),
            (Some(Wire::DoubleValue(f64::INFINITY)), r#"{"doubleValue":"Infinity"}"#),
            (Some(Wire::DoubleValue(f64::NEG_INFINITY)), r#"{"doubleValue":"-Infinity"}"#),
            (Some(Wire::BytesValue(vec![])), r#"{"bytesValue":""}"#),
            (Some(Wire::BytesValue(vec![0xfb])), r#"{"bytesValue":"+w=="}"#),
            (Some(Wire::BytesValue(vec![0xfb, 0xff])), r#"{"bytesValue":"+/8="}"#),
            (Some(Wire::BytesValue(vec![0xfb, 0xff, 0xfe])), r#"{"bytesValue":"+//+"}"#),
            (Some(Wire::ArrayValue(ArrayValue::default())), r#"{"arrayValue":{"values":[]}}"#),
            (
                Some(Wire::ArrayValue(ArrayValue { values: vec![any(Wire::IntValue(1)), AnyValue { value: None }] })),
                r#"{"arrayValue":{"values":[{"intValue":"1"},{}]}}"#,
            ),
            (
                Some(Wire::KvlistValue(KeyValueList { values: vec![pair("k", Some(Wire::BoolValue(true)))] })),
                r#"{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":true}}]}}"#,
            ),
        ];
        for (value, expected) in cases {
            let mut out = String::new();
            any_value(&mut out, &AnyValue { value });
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn another_reader_of_otlp_json_gets_back_what_was_written() {
        let nested = Wire::KvlistValue(KeyValueList {
            values: vec![
                pair("list", Some(Wire::ArrayValue(ArrayValue { values: vec![any(Wire::IntValue(i64::MAX))] }))),
                pair("bytes", Some(Wire::BytesValue((0..=255).collect()))),
                pair("text", Some(Wire::StringValue("\u{0}\u{1f}\u{2028}\u{10ffff}é".to_owned()))),
            ],
        });
        let data = data(vec![pair("nested", Some(nested)), pair("double", Some(Wire::DoubleValue(1e300)))]);
        let read: TracesData = serde_json::from_slice(&to_json(&data)).unwrap();
        assert_eq!(read, data);
    }
}
