//! Spans from OTLP JSON or from our own lines (OTLP specification, "JSON Protobuf Encoding": ids in hexadecimal, 64-bit
//! numbers as texts), and those of the store on their way to a receiver.

use serde_json::{Map, Value};

use crate::ids::{SpanId, TraceId};
use crate::json::read_base64;
use crate::keys::names;
use crate::kind::{Kind, Outcome};
use crate::store::read::otlp as store_otlp;
use crate::store::read::span::SpanContent;

/// Containers nested deeper than this become nothing.
const DEPTH: usize = 64;
/// Code of a failed span in OTLP.
const ERROR: i64 = 2;

/// A span that comes from a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incoming {
    pub(crate) trace: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: String,
    pub(crate) agent: String,
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) flags: u32,
    pub(crate) message: String,
    pub(crate) state: String,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) events: Vec<(u64, String, Map<String, Value>)>,
    pub(crate) links: Vec<(TraceId, SpanId, Map<String, Value>)>,
    pub(crate) resource: Map<String, Value>,
}

impl Incoming {
    /// A span of the store on its way out, as it would be read from OTLP; `None` for one that has not ended.
    pub(crate) fn stored(span: SpanContent) -> Option<Self> {
        if span.status.is_open() {
            return None;
        }
        let nanoseconds = |number: i64| u64::try_from(number).unwrap_or(0);
        let start = nanoseconds(span.start_ns);
        let attributes = store_otlp::attributes(&span);
        let resource: Value = serde_json::from_str(&span.resource.0).unwrap_or_default();
        Some(Self {
            trace: TraceId::from_hex_any_case(&span.trace)?,
            id: SpanId::from_hex_any_case(&span.id)?,
            parent: span.parent.as_deref().and_then(SpanId::from_hex_any_case),
            name: span.name,
            agent: span.agent.unwrap_or_default(),
            kind: span.kind,
            outcome: outcome(span.status.name()),
            start,
            end: start.saturating_add(nanoseconds(span.duration_ns)),
            flags: 0,
            message: span.error.and_then(|error| error.message).unwrap_or_default(),
            state: span.state.unwrap_or_default(),
            attributes,
            events: span.events.iter().map(|event| own_event(event, start)).collect(),
            links: span.links.iter().filter_map(own_link).collect(),
            resource: resource.as_object().cloned().unwrap_or_default(),
        })
    }
}

/// The spans of one JSON document: `TracesData` of OTLP, or a line of `ironspan export`. What cannot be read is told by
/// a sentence each, and left out.
pub(crate) fn read(document: &Value, wrong: &mut Vec<String>) -> Vec<Incoming> {
    let list = |value: &Value, names: [&str; 2]| -> Vec<Value> {
        let found = names.iter().find_map(|name| value.get(name)).and_then(Value::as_array);
        found.cloned().unwrap_or_default()
    };
    if document.get("trace").is_some() && document.get("id").is_some() {
        return own(document).map_err(|text| wrong.push(text)).into_iter().collect();
    }
    let resources = list(document, ["resourceSpans", "resource_spans"]);
    if resources.is_empty() {
        wrong.push(String::from("neither resourceSpans of OTLP nor a line of `ironspan export`"));
    }
    let mut spans = Vec::new();
    for resource in resources {
        let attributes = plain_pairs(resource.get("resource").and_then(|resource| resource.get("attributes")), 0);
        for scope in list(&resource, ["scopeSpans", "scope_spans"]) {
            for span in scope.get("spans").and_then(Value::as_array).into_iter().flatten() {
                match foreign(span, &attributes) {
                    Ok(span) => spans.push(span),
                    Err(text) => wrong.push(text),
                }
            }
        }
    }
    spans
}

fn trace_id(value: Option<&Value>) -> Result<TraceId, String> {
    let id = value.and_then(Value::as_str).and_then(TraceId::from_hex_any_case).filter(|id| id.is_valid());
    id.ok_or_else(|| String::from("a span without a trace id of 32 hexadecimal digits"))
}

fn span_id(value: Option<&Value>) -> Result<SpanId, String> {
    let id = value.and_then(Value::as_str).and_then(SpanId::from_hex_any_case).filter(|id| id.is_valid());
    id.ok_or_else(|| String::from("a span without an id of 16 hexadecimal digits"))
}

/// A number, also as the text that 64-bit numbers are in JSON.
fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(digits) => digits.parse().ok(),
        other => other.as_u64(),
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn foreign(span: &Value, resource: &Map<String, Value>) -> Result<Incoming, String> {
    let attributes = plain_pairs(span.get("attributes"), 0);
    let start = number(span.get("startTimeUnixNano")).ok_or("a span without startTimeUnixNano")?;
    let status = span.get("status");
    let code = status.and_then(|status| status.get("code"));
    let has_failed =
        code.is_some_and(|code| code.as_i64() == Some(ERROR) || code.as_str() == Some("STATUS_CODE_ERROR"));
    let outcome = if has_failed {
        Outcome::Error
    } else {
        attributes.get(names::STATUS).and_then(Value::as_str).map_or(Outcome::Ok, outcome)
    };
    let items = |name: &str| span.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let events = items("events").into_iter().map(|event| {
        let time = number(event.get("timeUnixNano")).unwrap_or(start);
        (time, text(&event, "name"), plain_pairs(event.get("attributes"), 0))
    });
    let links = items("links").into_iter().filter_map(|link| {
        let ids = (trace_id(link.get("traceId")).ok()?, span_id(link.get("spanId")).ok()?);
        Some((ids.0, ids.1, plain_pairs(link.get("attributes"), 0)))
    });
    Ok(Incoming {
        trace: trace_id(span.get("traceId"))?,
        id: span_id(span.get("spanId"))?,
        parent: span_id(span.get("parentSpanId")).ok(),
        name: text(span, "name"),
        agent: attributes.get("gen_ai.agent.name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        kind: kind(&attributes),
        outcome,
        start,
        end: number(span.get("endTimeUnixNano")).unwrap_or(start),
        flags: number(span.get("flags")).and_then(|flags| u32::try_from(flags).ok()).unwrap_or(0),
        message: status.map(|status| text(status, "message")).unwrap_or_default(),
        state: text(span, "traceState"),
        events: events.collect(),
        links: links.collect(),
        resource: resource.clone(),
        attributes,
    })
}

/// A line of `ironspan export`.
fn own(line: &Value) -> Result<Incoming, String> {
    let start = number(line.get("start")).ok_or("a span without start")?;
    let items = |name: &str| line.get(name).and_then(Value::as_array).into_iter().flatten();
    let status = line.get("status").and_then(Value::as_str).unwrap_or("ok");
    if matches!(status, "running" | "lost") {
        return Err(String::from("a span that had not ended"));
    }
    Ok(Incoming {
        trace: trace_id(line.get("trace"))?,
        id: span_id(line.get("id"))?,
        parent: span_id(line.get("parent")).ok(),
        name: text(line, "name"),
        agent: text(line, "agent"),
        kind: line.get("kind").and_then(Value::as_str).and_then(Kind::from_name).unwrap_or_default(),
        outcome: outcome(status),
        start,
        end: start.saturating_add(number(line.get("duration")).unwrap_or(0)),
        flags: 0,
        message: line.get("error").map(|error| text(error, "message")).unwrap_or_default(),
        state: text(line, "state"),
        attributes: object(line, "attributes"),
        events: items("events").map(|event| own_event(event, start)).collect(),
        links: items("links").filter_map(own_link).collect(),
        resource: object(line, "resource"),
    })
}

fn object(value: &Value, name: &str) -> Map<String, Value> {
    value.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn own_event(event: &Value, start: u64) -> (u64, String, Map<String, Value>) {
    (number(event.get("time")).unwrap_or(start), text(event, "name"), object(event, "attributes"))
}

fn own_link(link: &Value) -> Option<(TraceId, SpanId, Map<String, Value>)> {
    let ids = (trace_id(link.get("trace")).ok()?, span_id(link.get("span")).ok()?);
    Some((ids.0, ids.1, object(link, "attributes")))
}

fn outcome(word: &str) -> Outcome {
    match word {
        "error" => Outcome::Error,
        "cancelled" => Outcome::Cancelled,
        "interrupted" => Outcome::Interrupted,
        "abandoned" => Outcome::Abandoned,
        _ => Outcome::Ok,
    }
}

/// What a step is, as ironspan, the GenAI conventions or OpenInference say it.
fn kind(attributes: &Map<String, Value>) -> Kind {
    let word = |name: &str| attributes.get(name).and_then(Value::as_str).unwrap_or_default();
    if let Some(kind) = Kind::from_name(word(names::KIND)) {
        return kind;
    }
    match word("gen_ai.operation.name") {
        "chat" | "text_completion" | "generate_content" => return Kind::Generation,
        "embeddings" => return Kind::Embedding,
        "execute_tool" => return Kind::Tool,
        "invoke_agent" | "create_agent" => return Kind::Agent,
        "invoke_workflow" => return Kind::Workflow,
        "retrieval" => return Kind::Retrieval,
        _ => {}
    }
    match word("openinference.span.kind") {
        "LLM" => Kind::Generation,
        "EMBEDDING" => Kind::Embedding,
        "TOOL" => Kind::Tool,
        "AGENT" => Kind::Agent,
        "RETRIEVER" => Kind::Retrieval,
        "RERANKER" => Kind::Rerank,
        "GUARDRAIL" => Kind::Guardrail,
        "EVALUATOR" => Kind::Evaluator,
        _ => Kind::Span,
    }
}

fn plain_pairs(pairs: Option<&Value>, depth: usize) -> Map<String, Value> {
    let pairs = pairs.and_then(Value::as_array).into_iter().flatten();
    pairs
        .filter_map(|pair| {
            let key = pair.get("key")?.as_str().filter(|key| !key.is_empty())?;
            Some((key.to_owned(), plain(pair.get("value").unwrap_or(&Value::Null), depth)))
        })
        .collect()
}

fn plain(value: &Value, depth: usize) -> Value {
    let Some((name, inner)) = value.as_object().and_then(|members| members.iter().next()) else { return Value::Null };
    if depth > DEPTH {
        return Value::Null;
    }
    match name.as_str() {
        // As the store has bytes. What is no base64 is a text.
        "bytesValue" if inner.as_str().is_some_and(|text| read_base64(text.as_bytes()).is_some()) => {
            Map::from_iter([(String::from("$bytes"), inner.clone())]).into()
        }
        "stringValue" | "boolValue" | "doubleValue" | "bytesValue" => inner.clone(),
        "intValue" => match inner {
            Value::String(digits) => digits.parse::<i64>().map_or(Value::Null, Value::from),
            other => other.clone(),
        },
        "arrayValue" => {
            let values = inner.get("values").and_then(Value::as_array).into_iter().flatten();
            values.map(|item| plain(item, depth + 1)).collect()
        }
        "kvlistValue" => {
            let pairs = plain_pairs(inner.get("values"), depth + 1);
            // Its first key looks like one of ours and is the user's.
            if pairs.keys().next().is_some_and(|key| key.starts_with('$')) {
                Map::from_iter([(String::from("$map"), pairs.into())]).into()
            } else {
                pairs.into()
            }
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_survive_the_way_out_and_in() {
        let value = json!({"a": [1, -2.5, true, null, "x", {"$bytes": "AP8="}],
            "b": {"c": {"d": 9_007_199_254_740_993_i64}}});
        let mut text = String::new();
        crate::store::read::otlp::write_value(&value, &mut text);
        assert_eq!(plain(&serde_json::from_str(&text).unwrap(), 0), value);
    }

    #[test]
    fn bytes_stay_bytes_and_what_only_looks_like_them_does_not() {
        assert_eq!(plain(&json!({"bytesValue": "AP8="}), 0), json!({"$bytes": "AP8="}));
        assert_eq!(plain(&json!({"bytesValue": "no base64"}), 0), json!("no base64"));
        let pair = json!({"key": "$bytes", "value": {"stringValue": "AP8="}});
        let map = plain(&json!({"kvlistValue": {"values": [pair]}}), 0);
        assert_eq!(map, json!({"$map": {"$bytes": "AP8="}}));
    }

    #[test]
    fn what_is_no_span_is_told() {
        let mut wrong = Vec::new();
        assert!(read(&json!({"hello": 1}), &mut wrong).is_empty());
        assert!(read(&json!({"trace": "7", "id": "8", "start": "1"}), &mut wrong).is_empty());
        let spans = json!([{"traceId": "ab", "spanId": "cd", "startTimeUnixNano": "5"}, {"startTimeUnixNano": "5"}, 7]);
        let document = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
        assert!(read(&document, &mut wrong).is_empty());
        assert_eq!(wrong.len(), 5, "{wrong:?}");
    }

    #[test]
    fn a_span_of_another_tool_is_known_by_its_attributes() {
        let attributes = json!([{"key": "openinference.span.kind", "value": {"stringValue": "LLM"}}]);
        let span = json!({"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "llm",
            "startTimeUnixNano": "5", "endTimeUnixNano": 9, "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
            "attributes": attributes});
        let mut wrong = Vec::new();
        let document = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
        let spans = read(&document, &mut wrong);
        let span = spans.first().unwrap();
        assert_eq!(
            (span.kind, span.outcome, span.end, span.message.as_str()),
            (Kind::Generation, Outcome::Error, 9, "no")
        );
    }
}
