//! Stored spans as OTLP JSON, for the page's download and for `ironspan export` (OTLP specification, "JSON Protobuf
//! Encoding": ids in hexadecimal, 64-bit numbers as texts).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Status;
use super::json::{Json as _, write_list};
use super::span::SpanContent;
use crate::json::write_str;
use crate::keys::names;

/// Appends `TracesData`, by who sent the spans. Open ones have no end and so no place in it.
pub(crate) fn write(spans: &[SpanContent], out: &mut String) {
    let mut by_resource: BTreeMap<&str, Vec<&SpanContent>> = BTreeMap::new();
    for span in spans.iter().filter(|span| !span.status.is_open()) {
        by_resource.entry(&span.resource.0).or_default().push(span);
    }
    out.push_str("{\"resourceSpans\":");
    write_list(out, by_resource, |(resource, spans), out| {
        let resource: Value = serde_json::from_str(resource).unwrap_or_default();
        out.push_str("{\"resource\":{\"attributes\":");
        write_pairs(resource.as_object(), out);
        out.push_str("},\"scopeSpans\":[{\"scope\":{\"name\":\"ironspan\",\"version\":");
        write_str(scope_version(&resource), out);
        out.push_str("},\"spans\":");
        write_list(out, spans, write_span);
        out.push_str("}]}");
    });
    out.push('}');
}

/// The version of the instrumentation scope, which the store does not keep: that of the ironspan which recorded the spans.
pub(crate) fn scope_version(resource: &Value) -> &str {
    let text = |name: &str| resource.get(name).and_then(Value::as_str);
    let recorded = text("telemetry.sdk.version").filter(|_| text("telemetry.sdk.name") == Some("ironspan"));
    recorded.unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// The attributes of a span on its way out, with what OTLP has no field for: spans of ours carry it already, those from
/// elsewhere do not.
pub(crate) fn attributes(span: &SpanContent) -> Map<String, Value> {
    let mut attributes = span.attributes.as_object().cloned().unwrap_or_default();
    attributes.entry(names::KIND).or_insert_with(|| span.kind.name().into());
    if !matches!(span.status, Status::Ok | Status::Error) {
        attributes.entry(names::STATUS).or_insert_with(|| span.status.name().into());
    }
    attributes
}

fn write_span(span: &SpanContent, out: &mut String) {
    let text = |out: &mut String, key: &str, value: &str| {
        out.push_str(key);
        write_str(value, out);
    };
    text(out, "{\"traceId\":", &span.trace);
    text(out, ",\"spanId\":", &span.id);
    if let Some(state) = &span.state {
        text(out, ",\"traceState\":", state);
    }
    if let Some(parent) = &span.parent {
        text(out, ",\"parentSpanId\":", parent);
    }
    text(out, ",\"name\":", &span.name);
    out.push_str(",\"kind\":");
    (span.kind.default_span_kind() as i64).write(out);
    text(out, ",\"startTimeUnixNano\":", &span.start_ns.to_string());
    text(out, ",\"endTimeUnixNano\":", &span.start_ns.saturating_add(span.duration_ns).to_string());
    out.push_str(",\"attributes\":");
    write_pairs(Some(&attributes(span)), out);
    out.push_str(",\"events\":");
    write_list(out, &span.events, |event, out| {
        let member = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        text(out, "{\"timeUnixNano\":", member("time"));
        text(out, ",\"name\":", member("name"));
        out.push_str(",\"attributes\":");
        write_pairs(event.get("attributes").and_then(Value::as_object), out);
        out.push('}');
    });
    out.push_str(",\"links\":");
    write_list(out, &span.links, |link, out| {
        let member = |key: &str| link.get(key).and_then(Value::as_str).unwrap_or_default();
        text(out, "{\"traceId\":", member("trace"));
        text(out, ",\"spanId\":", member("span"));
        out.push_str(",\"attributes\":");
        write_pairs(link.get("attributes").and_then(Value::as_object), out);
        out.push('}');
    });
    out.push_str(",\"status\":{");
    if let Some(error) = &span.error {
        text(out, "\"code\":2,\"message\":", error.message.as_deref().unwrap_or_default());
    }
    out.push_str("}}");
}

fn write_pairs(attributes: Option<&Map<String, Value>>, out: &mut String) {
    write_list(out, attributes.into_iter().flatten(), |(key, value), out| {
        out.push_str("{\"key\":");
        write_str(key, out);
        out.push_str(",\"value\":");
        write_value(value, out);
        out.push('}');
    });
}

/// AnyValue. The store's parser has bounded the depth.
pub(crate) fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("{}"),
        Value::Bool(flag) => {
            out.push_str("{\"boolValue\":");
            flag.write(out);
            out.push('}');
        }
        Value::Number(number) => {
            if let Some(integer) = number.as_i64() {
                out.push_str("{\"intValue\":\"");
                integer.write(out);
                out.push_str("\"}");
            } else {
                out.push_str("{\"doubleValue\":");
                number.as_f64().write(out);
                out.push('}');
            }
        }
        Value::String(text) => {
            out.push_str("{\"stringValue\":");
            write_str(text, out);
            out.push('}');
        }
        Value::Array(items) => {
            out.push_str("{\"arrayValue\":{\"values\":");
            write_list(out, items, write_value);
            out.push_str("}}");
        }
        Value::Object(map) => {
            if let (1, Some(Value::String(bytes))) = (map.len(), map.get("$bytes")) {
                out.push_str("{\"bytesValue\":");
                write_str(bytes, out);
                out.push('}');
            } else {
                out.push_str("{\"kvlistValue\":{\"values\":");
                write_pairs(Some(map), out);
                out.push_str("}}");
            }
        }
    }
}
