//! Kind by kind: which payloads become which attributes, and the span's name `{operation} {entity}` (GenAI semantic
//! conventions, spans).

use std::borrow::Cow;

use crate::json::Writer;
use crate::kind::{Kind, Outcome};
use crate::semconv::Payloads;
use crate::semconv::facts::{Facts, Payload};
use crate::semconv::messages::{Messages, Proof, Side, messages_within};
use crate::semconv::parts::{Parts, sole_text, write_structured};
use crate::semconv::request::Request;
use crate::semconv::response::{self, Response};
use crate::semconv::view::{View, is_text};
use crate::semconv::{documents, finish, provider, tools, usage};
use crate::tape::Token;

/// Sets what follows from `payloads` and returns the span's name.
pub(super) fn describe(kind: Kind, payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    if kind != Kind::Generation
        && let Some(operation) = kind.operation()
    {
        facts.str("gen_ai.operation.name", operation);
    }
    let name = match kind {
        Kind::Generation => generation(payloads, facts),
        Kind::Embedding => embedding(payloads, facts),
        Kind::Retrieval | Kind::Rerank => retrieval(kind, payloads, facts),
        Kind::Tool => tool(payloads, facts),
        Kind::Agent | Kind::Workflow => conversation(kind, payloads, facts),
        Kind::Span | Kind::Evaluator | Kind::Guardrail => plain(kind, payloads, facts),
    };
    if let Some(cost) = payloads.cost {
        usage::write_cost(View::new(cost), facts);
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

fn view(value: Option<&[u8]>) -> Option<View<'_>> {
    value.map(View::new)
}

/// `{operation} {entity}`, or the operation alone. Entities of many kilobytes are no names.
fn named(operation: &str, entity: &str) -> String {
    let mut name = String::with_capacity(operation.len() + 1 + entity.len());
    name.push_str(operation);
    if !entity.is_empty() {
        name.push(' ');
        name.push_str(entity);
    }
    name
}

fn payload(facts: &mut Facts<'_>, side: Payload, value: Option<&[u8]>) {
    if let Some(value) = value {
        facts.payload(side, View::new(value));
    }
}

/// What a payload beside a kind's own becomes: nothing of it is lost.
fn leftovers(payloads: &Payloads<'_>, facts: &mut Facts<'_>) {
    payload(facts, Payload::Input, payloads.input.or(payloads.messages).or(payloads.query).or(payloads.arguments));
    payload(facts, Payload::Output, payloads.output.or(payloads.documents));
}

fn plain(kind: Kind, payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    leftovers(payloads, facts);
    common(payloads, &[], facts);
    if payloads.name.is_empty() { kind.name().to_owned() } else { payloads.name.clone() }
}

/// Usage, and what else any kind may carry.
fn common<'a>(payloads: &Payloads<'a>, found: &[View<'a>], facts: &mut Facts<'_>) {
    if !payloads.usage.is_empty() || !found.is_empty() {
        usage::write(&payloads.usage, found, facts);
    }
    if let Some(model) = view(payloads.model) {
        facts.text("gen_ai.request.model", model);
    }
    if let Some(name) = view(payloads.provider).and_then(View::str).filter(|name| !name.trim().is_empty()) {
        facts.str("gen_ai.provider.name", &provider::normalised(&name));
    }
}

fn outcome_side(payloads: &Payloads<'_>) -> Side {
    Side::Output { failed: payloads.outcome != Outcome::Ok }
}

fn generation(payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    let request = Request::write(view(payloads.params), facts);
    let completes = request.completes || request.prompt.is_some() && payloads.messages.or(payloads.input).is_none();
    let operation = if completes { "text_completion" } else { "chat" };
    facts.str("gen_ai.operation.name", operation);
    let mut response = Response::default();
    let sent = payloads.messages.or(payloads.input).map(View::new).or(request.messages).or(request.prompt);
    if let Some(sent) = sent {
        let size = sent.bytes().len();
        let written = facts.json("gen_ai.input.messages", size, |out| {
            Messages::new(out, Side::Input, Proof::Said).array(sent, &mut Response::default())
        });
        if !written {
            facts.payload(Payload::Input, sent);
        }
        let within = sent.pick(["system", "system_instruction", "instructions"]).into_iter().flatten().next();
        instructions(request.system.or(within), facts);
    } else {
        instructions(request.system, facts);
    }
    if payloads.messages.is_some() {
        payload(facts, Payload::Input, payloads.input);
    }
    let reasons: Vec<Cow<'_, str>> =
        payloads.finish_reasons.iter().filter_map(|reason| View::new(reason).word()).collect();
    if let Some(output) = view(payloads.output) {
        let written = facts.json("gen_ai.output.messages", output.bytes().len(), |out| {
            let mut messages = Messages::new(out, outcome_side(payloads), Proof::Said);
            messages.reasons = &reasons;
            response::write(&mut messages, output, &mut response)
        });
        if !written {
            facts.payload(Payload::Output, output);
        }
    }
    finish_reasons(reasons, &response, facts);
    let usage_of_params: &[View<'_>] = &response.usage;
    common(payloads, usage_of_params, facts);
    if let Some(model) = request.model {
        facts.text("gen_ai.request.model", model);
    }
    if let Some(name) = request.provider.and_then(View::str) {
        facts.str("gen_ai.provider.name", &provider::normalised(&name));
    }
    if let Some(model) = response.model {
        facts.text("gen_ai.response.model", model);
    }
    if let Some(id) = response.id {
        facts.text("gen_ai.response.id", id);
    }
    if let Some(offered) = view(payloads.tools).or(request.tools) {
        facts.json("gen_ai.tool.definitions", 256, |out| tools::write(offered, tools::WITH_SCHEMAS, out));
    }
    if let Some(prompt) = view(payloads.prompt) {
        write_prompt(prompt, facts);
    }
    model_name(operation, payloads, request.model)
}

/// A given name, else the model's.
fn model_name(operation: &str, payloads: &Payloads<'_>, model: Option<View<'_>>) -> String {
    if !payloads.name.is_empty() {
        return payloads.name.clone();
    }
    let model = view(payloads.model).or(model).and_then(View::str);
    named(operation, model.as_deref().unwrap_or_default())
}

/// Instructions that a request holds apart from its messages: text parts only.
fn instructions(system: Option<View<'_>>, facts: &mut Facts<'_>) {
    let Some(system) = system.filter(|system| !system.is_empty()) else { return };
    // Google wraps them as a message.
    let system = system.pick(["parts", "content"]).into_iter().flatten().next().unwrap_or(system);
    facts.json("gen_ai.system_instructions", system.bytes().len(), |out| {
        out.raw("[");
        let mut parts = Parts::new(out);
        parts.content(system);
        let any = parts.any();
        out.raw("]");
        any
    });
}

/// The reasons that the caller gave, else those that the response has, one per choice.
fn finish_reasons<'a>(given: Vec<Cow<'a, str>>, response: &Response<'a>, facts: &mut Facts<'_>) {
    let known = response.reasons.known();
    if known.len() >= given.len() {
        facts.words("gen_ai.response.finish_reasons", known);
    } else {
        let words: Vec<_> = given.into_iter().map(finish::normalised).collect();
        facts.words("gen_ai.response.finish_reasons", &words);
    }
}

/// Longest text that is taken for the name of a prompt rather than for the prompt.
const MAX_PROMPT_NAME: usize = 128;

fn write_prompt(prompt: View<'_>, facts: &mut Facts<'_>) {
    if let Some(text) = prompt.str() {
        let is_name = text.len() <= MAX_PROMPT_NAME && !text.contains(['{', '\n']);
        facts.text(if is_name { "gen_ai.prompt.name" } else { "ironspan.prompt.template" }, prompt);
        return;
    }
    let [name, id, version, variables, template, text] =
        prompt.pick(["name", "id", "version", "variables", "template", "text"]);
    if let Some(name) = name.or(id) {
        facts.text("gen_ai.prompt.name", name);
    }
    if let Some(version) = version {
        facts.text("gen_ai.prompt.version", version);
    }
    if let Some(template) = template.or(text) {
        facts.text("ironspan.prompt.template", template);
    }
    if let Some(variables) = variables {
        let mut key = String::from("gen_ai.prompt.variable.");
        let stem = key.len();
        for (name, value) in variables.pairs() {
            key.truncate(stem);
            key.push_str(&name.to_str());
            facts.numerous(&key, &crate::resolve::text_of(value.bytes()));
        }
    }
}

/// Whether a value is a vector: a sequence that begins with a number.
fn dimensions(vector: View<'_>) -> Option<usize> {
    let first = vector.first()?;
    matches!(first.token(), Some(Token::Float(_) | Token::Int(_))).then(|| vector.items().count())
}

fn embedding(payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    let request = Request::write(view(payloads.params), facts);
    let mut found = Vec::new();
    if let Some(output) = view(payloads.output) {
        let [data, embeddings, usage] = output.pick(["data", "embeddings", "usage"]);
        found.extend(usage);
        let rows = data.or(embeddings).unwrap_or(output);
        let first = rows.first().map(|row| row.get("embedding").unwrap_or(row));
        match dimensions(rows).or_else(|| dimensions(first?)) {
            // Vectors are no reading matter, and large: their length is what is recorded of them.
            Some(count) => facts.int("gen_ai.embeddings.dimension.count", i64::try_from(count).unwrap_or(i64::MAX)),
            None => facts.payload(Payload::Output, output),
        }
    }
    leftovers(&Payloads { output: None, documents: None, ..sources(payloads) }, facts);
    common(payloads, &found, facts);
    if let Some(model) = request.model {
        facts.text("gen_ai.request.model", model);
    }
    if let Some(name) = request.provider.and_then(View::str) {
        facts.str("gen_ai.provider.name", &provider::normalised(&name));
    }
    model_name("embeddings", payloads, request.model)
}

/// The payloads that go into a step.
fn sources<'a>(payloads: &Payloads<'a>) -> Payloads<'a> {
    Payloads {
        input: payloads.input,
        messages: payloads.messages,
        query: payloads.query,
        arguments: payloads.arguments,
        ..Payloads::default()
    }
}

fn retrieval(kind: Kind, payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    if let Some(query) = payloads.query.or(payloads.input).map(View::new) {
        let [text, text_short] = query.pick(["query_str", "query"]);
        facts.text("gen_ai.retrieval.query.text", text.or(text_short).unwrap_or(query));
    }
    if payloads.query.is_some() {
        payload(facts, Payload::Input, payloads.input);
    }
    if let Some(source) = view(payloads.source) {
        facts.text("gen_ai.data_source.id", source);
    }
    if let Some(top_k) = view(payloads.top_k).and_then(View::int) {
        facts.int("gen_ai.retrieval.top_k", top_k);
    }
    if let Some(found) = view(payloads.documents) {
        let written =
            facts.json("gen_ai.retrieval.documents", found.bytes().len(), |out| documents::write(found, true, out));
        if !written {
            facts.payload(Payload::Output, found);
        }
        payload(facts, Payload::Output, payloads.output);
    } else if let Some(output) = view(payloads.output) {
        let written =
            facts.json("gen_ai.retrieval.documents", output.bytes().len(), |out| documents::write(output, false, out));
        if !written {
            facts.payload(Payload::Output, output);
        }
    }
    let request = Request::write(view(payloads.params), facts);
    common(payloads, &[], facts);
    if let Some(model) = request.model {
        facts.text("gen_ai.request.model", model);
    }
    if !payloads.name.is_empty() {
        return payloads.name.clone();
    }
    let source = view(payloads.source).and_then(View::str);
    named(kind.operation().unwrap_or(kind.name()), source.as_deref().unwrap_or_default())
}

fn tool(payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    if !payloads.name.is_empty() {
        facts.str("gen_ai.tool.name", &payloads.name);
    }
    facts.str("gen_ai.tool.type", "function");
    if let Some(id) = view(payloads.call_id) {
        facts.text("gen_ai.tool.call.id", id);
    }
    if let Some(description) = view(payloads.description) {
        facts.text("gen_ai.tool.description", description);
    }
    if let Some(arguments) = payloads.arguments.or(payloads.input).map(View::new) {
        structured("gen_ai.tool.call.arguments", arguments, facts);
    }
    if payloads.arguments.is_some() {
        payload(facts, Payload::Input, payloads.input);
    }
    if let Some(output) = view(payloads.output) {
        let [content, id, kind, structured_content, raw_output] =
            output.pick(["content", "tool_call_id", "type", "structuredContent", "raw_output"]);
        let is_message = id.is_some() && content.is_some()
            || kind.and_then(View::str).as_deref() == Some("tool")
            || output.class().as_deref() == Some("ToolMessage");
        let is_protocol = content.is_some_and(View::is_list) && output.is_map() && !is_message;
        let is_output = output.class().as_deref() == Some("ToolOutput");
        let result = if is_message {
            content.unwrap_or(output)
        } else if is_output {
            raw_output.or(content).unwrap_or(output)
        } else if is_protocol {
            structured_content.or(content).unwrap_or(output)
        } else {
            output
        };
        structured("gen_ai.tool.call.result", result, facts);
        if let Some(id) = id.filter(|_| is_message) {
            facts.text("gen_ai.tool.call.id", id);
        }
    }
    common(payloads, &[], facts);
    named("execute_tool", &payloads.name)
}

/// JSON where the value is structure or text that is JSON, else text as it is.
fn structured(key: &str, value: View<'_>, facts: &mut Facts<'_>) {
    let text = if value.is_list() { sole_text(value) } else { value.text() };
    let Some(text) = text else {
        facts.json(key, value.bytes().len(), |out| {
            write_structured(value, out);
            true
        });
        return;
    };
    let text = text.to_str();
    let is_json = text.trim_start().starts_with(['{', '[']) && facts.json(key, text.len(), |out| out.json_text(&text));
    if !is_json {
        facts.str(key, &text);
    }
}

fn conversation(kind: Kind, payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    let is_agent = kind == Kind::Agent;
    if !payloads.name.is_empty() {
        facts.str(if is_agent { "gen_ai.agent.name" } else { "gen_ai.workflow.name" }, &payloads.name);
    }
    if let Some(description) = view(payloads.description) {
        let key = if is_agent { "gen_ai.agent.description" } else { "ironspan.workflow.description" };
        facts.text(key, description);
    }
    if let Some(role) = view(payloads.role) {
        facts.text("ironspan.agent.role", role);
    }
    let input = payloads.messages.or(payloads.input).map(View::new);
    let proof = if payloads.messages.is_some() { Proof::Said } else { Proof::Form };
    spoken(is_agent, Side::Input, proof, input, facts);
    if payloads.messages.is_some() {
        payload(facts, Payload::Input, payloads.input);
    }
    spoken(is_agent, outcome_side(payloads), Proof::Form, view(payloads.output), facts);
    common(payloads, &[], facts);
    named(kind.operation().unwrap_or_default(), &payloads.name)
}

/// What an agent or a workflow was given or returned: messages where it has that form, with what lies beside them as
/// the plain value; else the plain value. What an agent is told or answers in one text is both.
fn spoken(is_agent: bool, side: Side, proof: Proof, value: Option<View<'_>>, facts: &mut Facts<'_>) {
    let Some(value) = value else { return };
    let (key, plain) = match side {
        Side::Input => ("gen_ai.input.messages", Payload::Input),
        Side::Output { .. } => ("gen_ai.output.messages", Payload::Output),
    };
    let is_said = is_agent && value.text().is_some_and(|text| !text.bytes.is_empty());
    let written = facts.json(key, value.bytes().len(), |out| {
        let mut messages = Messages::new(out, side, if is_said { Proof::Said } else { proof });
        match side {
            Side::Input => messages.array(value, &mut Response::default()),
            Side::Output { .. } => response::write(&mut messages, value, &mut Response::default()),
        }
    });
    if !written || is_said {
        return facts.payload(plain, value);
    }
    if messages_within(value).is_some() {
        facts.json_payload(plain, 256, |out| write_beside(value, out));
    }
}

/// Appends a state without its messages, and says whether anything is left of it.
fn write_beside(state: View<'_>, out: &mut Writer<'_>) -> bool {
    let mut any = false;
    out.raw("{");
    for (key, value) in state.pairs() {
        if is_text(key, "messages") || is_text(key, "contents") || value.is_empty() {
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
