//! One span with everything that was recorded of it.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::content::{Body, Texts};
use super::json::{Json, Object, Raw, Time, object, write_list};
use super::messages;
use super::words::{Status, Tokens, kind_from_number};
use super::{ReadError, Reader, Trouble};
use crate::keys::names;
use crate::kind::Kind;

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanError {
    /// Its class.
    pub error_type: Option<String>,
    /// What it says.
    pub message: Option<String>,
    /// Where it was raised.
    pub stack: Option<String>,
}

impl Json for SpanError {
    fn write(&self, out: &mut String) {
        object!(out, "type": self.error_type, "message": self.message, "stack": self.stack);
    }
}

/// The conversation of a model call: JSON arrays in the shape of the GenAI conventions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// The system's instructions.
    pub instructions: Raw,
    /// Messages sent.
    pub input: Raw,
    /// Messages that came back.
    pub output: Raw,
}

impl Json for Messages {
    fn write(&self, out: &mut String) {
        object!(out, "instructions": self.instructions, "input": self.input, "output": self.output);
    }
}

/// A span with its content. JSON inside is as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanContent {
    /// 16 hexadecimal digits.
    pub id: String,
    /// 32 hexadecimal digits.
    pub trace: String,
    /// The span above.
    pub parent: Option<String>,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// The agent it worked for.
    pub agent: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// Who serves the model.
    pub provider: Option<String>,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Nanoseconds, so far for one that runs.
    pub duration_ns: i64,
    /// The service.
    pub service: Option<String>,
    /// What went wrong.
    pub error: Option<SpanError>,
    /// The conversation, where there is one.
    pub messages: Option<Messages>,
    /// Tools offered to the model: a JSON array.
    pub tools: Raw,
    /// Documents found: a JSON array.
    pub documents: Raw,
    /// What was searched for.
    pub query: Option<String>,
    /// What went in, as text or JSON text.
    pub input: Option<String>,
    /// What came out.
    pub output: Option<String>,
    /// Bytes of what came cut, by the name of the field.
    pub whole: Vec<(&'static str, usize)>,
    /// Tokens.
    pub usage: Tokens,
    /// USD.
    pub cost: Option<f64>,
    /// Nanoseconds until the first chunk of a stream.
    pub first_chunk_ns: Option<i64>,
    /// Why the model stopped.
    pub finish_reasons: Vec<String>,
    /// W3C tracestate.
    pub state: Option<String>,
    /// Every attribute.
    pub attributes: Value,
    /// Events, as the contract has them.
    pub events: Vec<Value>,
    /// Links, as the contract has them.
    pub links: Vec<Value>,
    /// Who sent it.
    pub resource: Raw,
    /// Bytes of the content.
    pub bytes: usize,
}

impl Json for SpanContent {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        object.put("id", &self.id);
        object.put("trace", &self.trace);
        object.put("parent", &self.parent);
        object.put("name", &self.name);
        object.put("kind", &self.kind);
        object.put("status", &self.status);
        object.put("agent", &self.agent);
        object.put("model", &self.model);
        object.put("provider", &self.provider);
        object.put("start", &Time(self.start_ns));
        object.put("duration", &self.duration_ns);
        object.put("service", &self.service);
        object.put("error", &self.error);
        object.put("messages", &self.messages);
        object.put("tools", &self.tools);
        object.put("documents", &self.documents);
        object.put("query", &self.query);
        object.put("input", &self.input);
        object.put("output", &self.output);
        object.with("whole", |out| {
            let mut whole = Object::new(out);
            self.whole.iter().for_each(|(name, bytes)| whole.put(name, bytes));
            whole.end();
        });
        object.put("usage", &self.usage);
        object.put("cost", &self.cost);
        object.put("first_chunk", &self.first_chunk_ns);
        object.put("finish_reasons", &self.finish_reasons);
        object.put("state", &self.state);
        object.put("attributes", &self.attributes);
        object.with("events", |out| write_list(out, &self.events, Json::write));
        object.with("links", |out| write_list(out, &self.links, Json::write));
        object.put("resource", &self.resource);
        object.put("bytes", &self.bytes);
        object.end();
    }
}

/// A span's columns and its content, unread.
struct Stored {
    parent: Option<String>,
    name: String,
    kind: Kind,
    status: Status,
    agent: String,
    model: String,
    provider: Option<String>,
    start_ns: i64,
    duration_ns: i64,
    error_type: Option<String>,
    error: Option<String>,
    usage: Tokens,
    cost: Option<f64>,
    first_chunk_ns: Option<i64>,
    service: Option<String>,
    resource: Option<String>,
    data: String,
}

impl Reader {
    /// A span of the trace whose id begins with `trace`. Texts of over 32 KB come cut unless they are wanted `whole`.
    ///
    /// # Errors
    ///
    /// There is no such span, or no such trace.
    pub fn span(&self, trace: &str, span: &str, whole: bool) -> Result<SpanContent, ReadError> {
        self.ask(|connection| {
            let trace = super::trace::find(connection, trace)?;
            self.content(connection, trace, span, whole)
        })
    }

    pub(super) fn content(
        &self,
        connection: &Connection,
        trace: String,
        span: &str,
        whole: bool,
    ) -> Result<SpanContent, Trouble> {
        let span = span.to_ascii_lowercase();
        let stored = match stored(connection, &trace, &span)? {
            Some(stored) => stored,
            None => self.still_open(connection, &trace, &span)?.ok_or_else(|| Trouble::not_found("span", &span))?,
        };
        let mut texts = Texts::new(connection);
        let body = Body::expanded(&stored.data, &mut texts)?;
        let bytes = stored.data.len() + texts.bytes;
        Ok(assemble(trace, span, stored, &body, bytes, whole))
    }

    fn still_open(&self, connection: &Connection, trace: &str, span: &str) -> Result<Option<Stored>, Trouble> {
        let open = self.open_spans(connection, Some(trace), usize::MAX)?;
        Ok(open.into_iter().find(|open| open.id == span).map(|open| Stored {
            parent: open.parent,
            name: open.name,
            kind: open.kind,
            status: open.status,
            agent: open.agent,
            model: open.model,
            provider: None,
            start_ns: open.start_ns,
            duration_ns: if open.status == Status::Running {
                self.now().saturating_sub(open.start_ns).max(0)
            } else {
                0
            },
            error_type: None,
            error: None,
            usage: Tokens::default(),
            cost: None,
            first_chunk_ns: None,
            service: None,
            resource: None,
            data: open.data,
        }))
    }
}

fn stored(connection: &Connection, trace: &str, span: &str) -> Result<Option<Stored>, Trouble> {
    let mut statement = connection.prepare_cached(
        "SELECT s.parent_id, s.name, s.kind, s.status, s.agent, s.model, s.provider, s.start_ns, s.duration_ns, \
         s.error_type, s.error, s.input_tokens, s.output_tokens, s.cached_tokens, s.reasoning_tokens, s.cost, \
         s.first_chunk_ns, r.service, r.json, b.data \
         FROM trace t JOIN span s ON s.trace = t.id AND s.span_id = ?2 \
         LEFT JOIN resource r ON r.id = s.resource LEFT JOIN body b ON b.id = s.id WHERE t.trace_id = ?1",
    )?;
    let stored = statement.query_row(params![trace, span], |row| {
        Ok(Stored {
            parent: row.get(0)?,
            name: row.get(1)?,
            kind: kind_from_number(row.get(2)?),
            status: Status::from_number(row.get(3)?),
            agent: row.get(4)?,
            model: row.get(5)?,
            provider: row.get(6)?,
            start_ns: row.get(7)?,
            duration_ns: row.get(8)?,
            error_type: row.get(9)?,
            error: row.get(10)?,
            usage: Tokens::from_row(row, 11)?,
            cost: row.get(15)?,
            first_chunk_ns: row.get(16)?,
            service: row.get(17)?,
            resource: row.get(18)?,
            data: row.get::<_, Option<String>>(19)?.unwrap_or_default(),
        })
    });
    Ok(stored.optional()?)
}

fn assemble(id: String, span: String, stored: Stored, body: &Body, bytes: usize, whole: bool) -> SpanContent {
    let mut cut = Vec::new();
    let mut limited = |field: &'static str, keys: &[&str]| {
        let text = keys.iter().find_map(|key| body.text(key))?;
        if whole || text.len() <= messages::LONGEST {
            return Some(text.to_owned());
        }
        cut.push((field, text.len()));
        Some(messages::head(text).to_owned())
    };
    let query = limited("query", &["gen_ai.retrieval.query.text"]);
    let input = limited("input", &["input.value", "gen_ai.tool.call.arguments"]);
    let output = limited("output", &["output.value", "gen_ai.tool.call.result"]);
    let array = |key: &str| body.text(key).and_then(|text| messages::array(text, whole));
    let empty = || Raw(String::from("[]"));
    let parts = [array("gen_ai.system_instructions"), array("gen_ai.input.messages"), array("gen_ai.output.messages")];
    let has_messages = parts.iter().any(Option::is_some);
    let [instructions, sent, received] = parts.map(|part| part.unwrap_or_else(empty));
    let instructions = as_message(instructions);
    let mut attributes = Value::Object(body.attributes().cloned().unwrap_or_default());
    let mut events: Vec<Value> = body.events().cloned().collect();
    if !whole {
        messages::cut_attributes(&mut attributes);
        for event in &mut events {
            if let Some(attributes) = event.get_mut("attributes") {
                messages::cut_attributes(attributes);
            }
        }
    }
    let error = (stored.status == Status::Error).then(|| error_of(&stored, body));
    let some = |text: String| (!text.is_empty()).then_some(text);
    SpanContent {
        id: span,
        trace: id,
        parent: stored.parent,
        name: stored.name,
        kind: stored.kind,
        status: stored.status,
        agent: some(stored.agent),
        model: some(stored.model),
        provider: stored.provider,
        start_ns: stored.start_ns,
        duration_ns: stored.duration_ns,
        service: stored.service,
        error,
        messages: has_messages.then_some(Messages { instructions, input: sent, output: received }),
        tools: array("gen_ai.tool.definitions").unwrap_or_else(empty),
        documents: array("gen_ai.retrieval.documents").unwrap_or_else(empty),
        query,
        input,
        output,
        whole: cut,
        usage: stored.usage,
        cost: stored.cost,
        first_chunk_ns: stored.first_chunk_ns,
        finish_reasons: finish_reasons(body),
        state: some(body.state().to_owned()),
        attributes,
        events,
        links: body.links().map(link).collect(),
        resource: Raw(stored.resource.unwrap_or_else(|| String::from("{}"))),
        bytes,
    }
}

/// The conventions have the instructions as parts; here they are messages like the others.
fn as_message(parts: Raw) -> Raw {
    let are_parts = messages::parsed(Some(&parts.0)).first().is_some_and(|first| first.get("parts").is_none());
    if are_parts { Raw(["[{\"role\":\"system\",\"parts\":", &parts.0, "}]"].concat()) } else { parts }
}

fn finish_reasons(body: &Body) -> Vec<String> {
    match body.attribute("gen_ai.response.finish_reasons") {
        Some(Value::Array(reasons)) => reasons.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(reason)) => vec![reason.clone()],
        _ => Vec::new(),
    }
}

fn link(link: super::content::Link<'_>) -> Value {
    let mut map = serde_json::Map::new();
    map.insert(String::from("trace"), Value::from(link.trace));
    map.insert(String::from("span"), Value::from(link.span));
    map.insert(String::from("role"), Value::from(link.role));
    let attributes = link.attributes.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::default()));
    map.insert(String::from("attributes"), attributes);
    Value::Object(map)
}

/// The whole message and the stack are in the event; the columns have the first line.
fn error_of(stored: &Stored, body: &Body) -> SpanError {
    let exception = body.events().filter(|event| event.get("name").and_then(Value::as_str) == Some("exception")).last();
    let detail = |key: &str| {
        let text = exception?.get("attributes")?.get(key)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    SpanError {
        error_type: stored.error_type.clone().or_else(|| detail(names::EXCEPTION_TYPE)),
        message: detail(names::EXCEPTION_MESSAGE).or_else(|| stored.error.clone()),
        stack: detail(names::EXCEPTION_STACKTRACE),
    }
}
