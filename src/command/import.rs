//! `ironspan import`: spans from OTLP JSON and from our own lines. A span that is there already stays as it is, so the
//! same file may be imported again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Deserializer, Map, Value};

use super::args::{Common, Import};
use super::otlp::{Incoming, read};
use super::output::{Failure, Out};
use super::store;
use crate::finished::{BatchBuilder, OwnedValue, Resource, SpanHead};
use crate::ids::{SpanId, TraceId};
use crate::json::read_base64;
use crate::store::{Access, Database, StoreError, Writer};
use crate::tape::Tape;
use crate::terminal::format;

/// Spans of one transaction.
const PORTION: usize = 1_000;
/// Spans above one that are looked at for its agent.
const ABOVE: usize = 1_000;
/// Bytes of a file.
const LARGEST: u64 = 2 << 30;
/// Sentences about what could not be read.
const TOLD: usize = 5;

pub(crate) fn run(common: &Common, import: &Import, out: &mut Out<'_>) -> Result<(), Failure> {
    // Unlike other commands, this one may make the store.
    let database = Database::open(&store::place(common, out)?, Access::Write)?;
    let mut writer = Writer::new(database);
    let before = spans(&writer)?;
    let (mut wrong, mut found) = (Vec::new(), 0_usize);
    for path in &import.files {
        let bytes = if path.as_os_str() == "-" { out.read_input()? } else { contents(&out.path(path))? };
        let mut incoming = Vec::new();
        // Lines, one document, or several: JSON values with space between them.
        let mut documents = Deserializer::from_slice(&bytes).into_iter::<Value>();
        while let Some(document) = documents.next() {
            out.step(documents.byte_offset() as u64, Some(bytes.len() as u64), "bytes read")?;
            let document = document.map_err(|error| {
                Failure::Usage(
                    format!("{} is no JSON: {error}", path.display()),
                    Some(String::from("OTLP JSON (a document, or one a line) and lines of `ironspan export` are read")),
                )
            })?;
            let documents = if let Value::Array(items) = document { items } else { vec![document] };
            incoming.extend(documents.iter().flat_map(|document| read(document, &mut wrong)));
        }
        name_agents(&mut incoming);
        let all = (found + incoming.len()) as u64;
        for portion in incoming.chunks(PORTION) {
            write(&mut writer, portion)?;
            found += portion.len();
            out.step(found as u64, Some(all), "spans written")?;
        }
    }
    let new = spans(&writer)?.saturating_sub(before);
    for text in wrong.iter().take(TOLD) {
        out.note(&format!("left out: {text}"))?;
    }
    if wrong.len() > TOLD {
        out.note(&format!("left out: {} more", wrong.len() - TOLD))?;
    }
    if found == 0 {
        return Err(Failure::Nothing(String::from("no spans were found")));
    }
    if out.json {
        return out.value(&serde_json::json!({"spans": found, "new": new, "left_out": wrong.len()}));
    }
    let known = u64::try_from(found).unwrap_or(0).saturating_sub(new);
    out.say(&format!("{} imported, {} there already", format::plural(new, "span"), format::count(known)))
}

fn contents(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::Usage(format!("{} cannot be read: {error}", path.display()), None);
    if std::fs::metadata(path).map_err(failed)?.len() > LARGEST {
        return Err(Failure::Usage(format!("{} has more than 2 GB: cut it into parts", path.display()), None));
    }
    std::fs::read(path).map_err(failed)
}

fn spans(writer: &Writer) -> Result<u64, StoreError> {
    let database = writer.database();
    let count = database.connection.query_row("SELECT count(*) FROM span", [], |row| row.get::<_, i64>(0));
    Ok(u64::try_from(count.map_err(|error| database.explain(error))?).unwrap_or(0))
}

/// OTLP does not say which agent a step was for: it is the nearest one above it.
fn name_agents(spans: &mut [Incoming]) {
    let places: HashMap<(TraceId, SpanId), usize> =
        spans.iter().enumerate().map(|(at, span)| ((span.trace, span.id), at)).collect();
    let mut found: Vec<(usize, String)> = Vec::new();
    for (at, span) in spans.iter().enumerate().filter(|(_, span)| span.agent.is_empty()) {
        let mut above = Some(span);
        // Parents may go round in circles.
        for _ in 0..ABOVE {
            let Some(step) = above else { break };
            if !step.agent.is_empty() {
                found.push((at, step.agent.clone()));
                break;
            }
            above = step.parent.and_then(|parent| spans.get(*places.get(&(step.trace, parent))?));
        }
    }
    for (at, agent) in found {
        if let Some(span) = spans.get_mut(at) {
            span.agent = agent;
        }
    }
}

fn write(writer: &mut Writer, incoming: &[Incoming]) -> Result<(), StoreError> {
    let mut by_resource: BTreeMap<String, Vec<&Incoming>> = BTreeMap::new();
    for span in incoming {
        by_resource.entry(Value::Object(span.resource.clone()).to_string()).or_default().push(span);
    }
    for spans in by_resource.into_values() {
        let resource = spans.first().map(|span| resource(&span.resource)).unwrap_or_default();
        let mut builder = BatchBuilder::new();
        for span in spans {
            add(&mut builder, span);
        }
        let batch = builder.build(Arc::new(resource), None);
        let views = (0..batch.len()).filter_map(|at| batch.get(at));
        writer.finished(views, batch.resource(), |_, _| true)?;
    }
    Ok(())
}

pub(super) fn add(builder: &mut BatchBuilder, span: &Incoming) {
    builder.begin(&span.name, &span.state, &span.message, &span.agent);
    push_pairs(builder.attributes(), &span.attributes);
    builder.end_attributes();
    for (time, name, attributes) in &span.events {
        builder.event(*time, name, 0, |tape| push_pairs(tape, attributes));
    }
    builder.end_events();
    for (trace, id, attributes) in &span.links {
        builder.link((*trace, *id), 0, "", 0, |tape| push_pairs(tape, attributes));
    }
    builder.finish_span(SpanHead {
        trace_id: span.trace,
        span_id: span.id,
        parent_id: span.parent,
        start_unix_nano: span.start,
        end_unix_nano: span.end.max(span.start),
        flags: span.flags,
        kind: span.kind,
        span_kind: span.kind.default_span_kind(),
        outcome: span.outcome,
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
    });
}

fn push_pairs(tape: &mut Tape, pairs: &Map<String, Value>) {
    for (key, value) in pairs {
        tape.str(key);
        push(tape, value);
    }
}

/// The parser has bounded the depth. Bytes are told from mappings as in the store: `src/store/body.rs`.
fn push(tape: &mut Tape, value: &Value) {
    match value {
        Value::Null => tape.null(),
        Value::Bool(value) => tape.bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => tape.int(integer),
            None => tape.float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => tape.str(text),
        Value::Array(items) => {
            tape.list();
            for item in items {
                push(tape, item);
            }
            tape.end();
        }
        Value::Object(members) => {
            let only = |key: &str| members.get(key).filter(|_| members.len() == 1);
            let bytes = only("$bytes").and_then(Value::as_str).and_then(|text| read_base64(text.as_bytes()));
            if let Some(bytes) = bytes {
                return tape.bytes(&bytes);
            }
            tape.map();
            push_pairs(tape, only("$map").and_then(Value::as_object).unwrap_or(members));
            tape.end();
        }
    }
}

/// Who sent spans, by its attributes.
pub(super) fn resource(attributes: &Map<String, Value>) -> Resource {
    Resource {
        attributes: attributes.iter().map(|(key, value)| (key.clone(), owned(value))).collect(),
        scope_name: String::from("ironspan"),
        scope_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn owned(value: &Value) -> OwnedValue {
    match value {
        Value::String(text) => OwnedValue::Str(text.clone()),
        Value::Bool(value) => OwnedValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => OwnedValue::Int(integer),
            None => OwnedValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Array(items) => OwnedValue::List(items.iter().map(owned).collect()),
        // A resource has no maps of its own in this store; as JSON text nothing of it is lost.
        other => OwnedValue::Str(other.to_string()),
    }
}
