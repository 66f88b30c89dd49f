//! Kind by kind: which payloads become which attributes, and the span's name `{operation} {entity}` (GenAI semantic
//! conventions, spans). Model calls have a file of their own.

use crate::json::Writer;
use crate::kind::{Kind, Outcome};
use crate::semconv::Payloads;
use crate::semconv::facts::{Facts, Payload};
use crate::semconv::messages::{Messages, Proof, Side, messages_within};
use crate::semconv::parts::{sole_text, write_structured};
use crate::semconv::request::Request;
use crate::semconv::response::{self, Response};
use crate::semconv::usage::Found;
use crate::semconv::view::{View, is_text};
use crate::semconv::{documents, generation, provider, usage};
use crate::tape::Token;

/// Sets what follows from `payloads` and returns the span's name.
pub(super) fn describe(kind: Kind, payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    // What a model call is, its parameters say.
    if kind != Kind::Generation
        && let Some(operation) = kind.operation()
    {
        facts.str("gen_ai.operation.name", operation);
    }
    let name = match kind {
        Kind::Generation => generation::describe(payloads, facts),
        Kind::Embedding => embedding(payloads, facts),
        Kind::Retrieval | Kind::Rerank => retrieval(kind, payloads, facts),
        Kind::Tool => tool(payloads, facts),
        Kind::Agent | Kind::Workflow => conversation(kind, payloads, facts),
        Kind::Span | Kind::Evaluator | Kind::Guardrail => plain(kind, payloads, facts),
    };
    if let Some(cost) = given(payloads.cost) {
        usage::write_cost(cost, facts);
    }
    if let Some(seconds) = payloads.first_chunk_seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0) {
        facts.float("gen_ai.response.time_to_first_chunk", seconds);
        if kind == Kind::Generation {
            facts.bool("gen_ai.request.stream", true);
        }
    }
    if let Some(chunks) = payloads.chunks {
        facts.int("ironspan.stream.chunks", chunks);
    }
    name
}

/// A payload that says something: `None` given for an option is none.
pub(super) fn given(value: Option<&[u8]>) -> Option<View<'_>> {
    value.map(View::new).filter(|value| value.token() != Some(Token::Null))
}

/// `{operation} {entity}`, or the operation alone.
fn named(operation: &str, entity: &str) -> String {
    if entity.is_empty() { operation.to_owned() } else { [operation, " ", entity].concat() }
}

/// A given name, else the model's.
pub(super) fn model_name(operation: &str, payloads: &Payloads<'_>, request: &Request<'_>) -> String {
    if !payloads.name.is_empty() {
        return payloads.name.clone();
    }
    let model = given(payloads.model).or(request.model).and_then(View::str);
    named(operation, model.as_deref().unwrap_or_default())
}

/// Sets a step's input or output, if there is one.
pub(super) fn payload(facts: &mut Facts<'_>, side: Payload, value: Option<&[u8]>) {
    if let Some(value) = value {
        facts.payload(side, View::new(value));
    }
}

/// Which messages an operation's output is: those of one that failed say so.
pub(super) fn outcome_side(payloads: &Payloads<'_>) -> Side {
    Side::Output { failed: payloads.outcome != Outcome::Ok }
}

/// Model, provider and usage, which any kind may carry. `found` is the usage that the output holds.
pub(super) fn common<'a>(payloads: &Payloads<'a>, request: &Request<'a>, found: Found<'_, 'a>, facts: &mut Facts<'_>) {
    usage::write(&payloads.usage, found, facts);
    if let Some(model) = given(payloads.model).or(request.model) {
        facts.text("gen_ai.request.model", model);
    }
    let named = given(payloads.provider).or(request.provider).and_then(View::str);
    if let Some(name) = named.filter(|name| !name.trim().is_empty()) {
        facts.str("gen_ai.provider.name", &provider::normalised(&name));
    }
}

/// Any step: what went in and what came out, under whatever name the caller gave it.
fn plain(kind: Kind, payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    let input = payloads.input.or(payloads.messages).or(payloads.query).or(payloads.arguments);
    payload(facts, Payload::Input, input);
    payload(facts, Payload::Output, payloads.output.or(payloads.documents));
    let request = Request::write(given(payloads.params), facts);
    common(payloads, &request, Found::default(), facts);
    if payloads.name.is_empty() { kind.name().to_owned() } else { payloads.name.clone() }
}

fn embedding(payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    let request = Request::write(given(payloads.params), facts);
    payload(facts, Payload::Input, payloads.input.or(payloads.messages).or(payloads.query));
    let mut found = Vec::new();
    if let Some(output) = payloads.output.map(View::new) {
        let [data, embeddings, usage, model] = output.pick(["data", "embeddings", "usage", "model"]);
        found.extend(usage);
        if let Some(model) = model.filter(|model| model.text().is_some()) {
            facts.text("gen_ai.response.model", model);
        }
        let rows = data.or(embeddings).unwrap_or(output);
        let first = rows.first().map(|row| row.get("embedding").unwrap_or(row));
        match dimensions(rows).or_else(|| dimensions(first?)) {
            // Vectors are no reading matter, and large: their length is what is recorded of them.
            Some(count) => facts.int("gen_ai.embeddings.dimension.count", count),
            None => facts.payload(Payload::Output, output),
        }
    }
    common(payloads, &request, Found { counted: None, places: &found }, facts);
    model_name("embeddings", payloads, &request)
}

/// The length of a vector: a sequence that begins with a number.
fn dimensions(vector: View<'_>) -> Option<i64> {
    let first = vector.first()?;
    let is_vector = matches!(first.token(), Some(Token::Float(_) | Token::Int(_)));
    is_vector.then(|| i64::try_from(vector.items().count()).unwrap_or(i64::MAX))
}

fn retrieval(kind: Kind, payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    const QUERY: &str = "gen_ai.retrieval.query.text";
    let within = |value: View<'_>| {
        let [text, short] = value.pick(["query_str", "query"]);
        text.or(short).map(View::bytes).map(<[u8]>::to_vec)
    };
    match given(payloads.query) {
        Some(query) => {
            match within(query) {
                Some(text) => facts.text(QUERY, View::new(&text)),
                None => facts.text(QUERY, query),
            }
            payload(facts, Payload::Input, payloads.input);
        }
        None => match given(payloads.input) {
            Some(input) if input.text().is_some() => facts.text(QUERY, input),
            Some(input) => {
                if let Some(text) = within(input) {
                    facts.text(QUERY, View::new(&text));
                }
                facts.payload(Payload::Input, input);
            }
            None => {}
        },
    }
    if let Some(source) = given(payloads.source) {
        facts.text("gen_ai.data_source.id", source);
    }
    if let Some(top_k) = given(payloads.top_k).and_then(View::int) {
        facts.int("gen_ai.retrieval.top_k", top_k);
    }
    let said = given(payloads.documents);
    if let Some(found) = said.or(given(payloads.output)) {
        let written =
            facts.json("gen_ai.retrieval.documents", found, |out| documents::write(found, said.is_some(), out));
        if !written {
            facts.payload(Payload::Output, found);
        }
    }
    if said.is_some() {
        payload(facts, Payload::Output, payloads.output);
    }
    let request = Request::write(given(payloads.params), facts);
    common(payloads, &request, Found::default(), facts);
    if !payloads.name.is_empty() {
        return payloads.name.clone();
    }
    let source = given(payloads.source).and_then(View::str);
    named(kind.operation().unwrap_or(kind.name()), source.as_deref().unwrap_or_default())
}

fn tool(payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    if !payloads.name.is_empty() {
        facts.str("gen_ai.tool.name", &payloads.name);
    }
    facts.str("gen_ai.tool.type", "function");
    if let Some(id) = given(payloads.call_id) {
        facts.text("gen_ai.tool.call.id", id);
    }
    if let Some(description) = given(payloads.description) {
        facts.text("gen_ai.tool.description", description);
    }
    match given(payloads.arguments) {
        Some(arguments) => {
            structured("gen_ai.tool.call.arguments", arguments, facts);
            payload(facts, Payload::Input, payloads.input);
        }
        None => {
            if let Some(input) = given(payloads.input) {
                structured("gen_ai.tool.call.arguments", input, facts);
            }
        }
    }
    if let Some(output) = payloads.output.map(View::new) {
        let (result, id) = tool_result(output);
        structured("gen_ai.tool.call.result", result, facts);
        if let Some(id) = id {
            facts.text("gen_ai.tool.call.id", id);
        }
    }
    let request = Request::write(given(payloads.params), facts);
    common(payloads, &request, Found::default(), facts);
    named("execute_tool", &payloads.name)
}

/// What a tool gave back inside a framework's wrapper, and the id of the call that it answers.
fn tool_result(output: View<'_>) -> (View<'_>, Option<View<'_>>) {
    let class = output.class();
    // LangGraph's tools may answer with an update of the state, whose last message is the answer.
    if class.as_deref() == Some("Command") {
        let last = output.get("update").and_then(|update| update.get("messages")?.items().last());
        return last.filter(|last| last.get("tool_call_id").is_some()).map_or((output, None), tool_result);
    }
    let [content, id, kind, structured, raw_output, tool_name] =
        output.pick(["content", "tool_call_id", "type", "structuredContent", "raw_output", "tool_name"]);
    let Some(content) = content else {
        // LlamaIndex keeps what the function returned beside the text of it.
        return (raw_output.filter(|_| tool_name.is_some()).unwrap_or(output), None);
    };
    if id.is_some() || class.as_deref() == Some("ToolMessage") || kind.and_then(View::str).as_deref() == Some("tool") {
        return (content, id);
    }
    if let Some(raw) = raw_output.filter(|_| tool_name.is_some()) {
        return (raw, None);
    }
    // The Model Context Protocol: blocks for the model, and the same as structure.
    if content.is_list()
        && (structured.is_some() || output.pick(["isError", "is_error"]).into_iter().any(|e| e.is_some()))
    {
        return (structured.unwrap_or(content), None);
    }
    (output, None)
}

/// JSON where the value is structure or text that is JSON, else text as it is.
fn structured(key: &str, value: View<'_>, facts: &mut Facts<'_>) {
    let text = if value.is_list() { sole_text(value) } else { value.text() };
    let Some(text) = text else {
        facts.json(key, value, |out| {
            write_structured(value, out);
            true
        });
        return;
    };
    let text = text.to_str();
    let is_json = text.trim_start().starts_with(['{', '[']) && facts.json(key, value, |out| out.json_text(&text));
    if !is_json {
        facts.str(key, &text);
    }
}

fn conversation(kind: Kind, payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    let is_agent = kind == Kind::Agent;
    if !payloads.name.is_empty() {
        facts.str(if is_agent { "gen_ai.agent.name" } else { "gen_ai.workflow.name" }, &payloads.name);
    }
    if let Some(description) = given(payloads.description) {
        let key = if is_agent { "gen_ai.agent.description" } else { "ironspan.workflow.description" };
        facts.text(key, description);
    }
    if let Some(role) = given(payloads.role) {
        facts.text("ironspan.agent.role", role);
    }
    match given(payloads.messages) {
        Some(messages) => {
            spoken(is_agent, Side::Input, Proof::Said, messages, facts);
            payload(facts, Payload::Input, payloads.input);
        }
        None => {
            if let Some(input) = payloads.input {
                spoken(is_agent, Side::Input, Proof::Form, View::new(input), facts);
            }
        }
    }
    if let Some(output) = payloads.output {
        spoken(is_agent, outcome_side(payloads), Proof::Form, View::new(output), facts);
    }
    let request = Request::write(given(payloads.params), facts);
    common(payloads, &request, Found::default(), facts);
    named(kind.operation().unwrap_or_default(), &payloads.name)
}

/// What an agent or a workflow was given or returned: messages where it has that form, with what lies beside them as
/// the plain value; else the plain value. What an agent is told or answers in one text is both.
fn spoken(is_agent: bool, side: Side, proof: Proof, value: View<'_>, facts: &mut Facts<'_>) {
    let (key, plain) = match side {
        Side::Input => ("gen_ai.input.messages", Payload::Input),
        Side::Output { .. } => ("gen_ai.output.messages", Payload::Output),
    };
    let is_one_text = is_agent && value.text().is_some_and(|text| !text.bytes.is_empty());
    let proof = if is_one_text { Proof::Said } else { proof };
    let written = facts.json(key, value, |out| {
        let mut messages = Messages::new(out, side, proof);
        match side {
            Side::Input => messages.array(value, &mut Response::default()),
            Side::Output { .. } => response::write(&mut messages, value, &mut Response::default()),
        }
    });
    if !written || is_one_text {
        facts.payload(plain, value);
    } else if messages_within(value).is_some() {
        facts.json_payload(plain, value, |out| write_beside(value, &[], out));
    }
}

/// Appends a mapping without the messages in it and the keys in `but`, and says whether anything is left of it.
pub(super) fn write_beside(state: View<'_>, but: &[&str], out: &mut Writer<'_>) -> bool {
    // Models of frameworks that wrap messages say so in a field.
    let but_kind = state.class().is_some();
    let mut any = false;
    out.raw("{");
    for (key, value) in state.pairs() {
        let skipped = is_text(key, "messages")
            || is_text(key, "contents")
            || but_kind && is_text(key, "type")
            || but.iter().any(|name| is_text(key, name));
        if skipped || value.is_empty() {
            continue;
        }
        if any {
            out.raw(",");
        }
        any = true;
        out.key(&key.to_str());
        out.value(value.bytes());
    }
    out.raw("}");
    any
}
