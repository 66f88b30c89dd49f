//! A call of a language model (GenAI semantic conventions, inference spans).

use std::borrow::Cow;

use crate::semconv::Payloads;
use crate::semconv::facts::{Facts, Payload};
use crate::semconv::finish::{self, Reasons};
use crate::semconv::kinds::{common, given, model_name, outcome_side, payload, write_beside};
use crate::semconv::messages::{Messages, Proof, Side, messages_within};
use crate::semconv::parts::Parts;
use crate::semconv::request::Request;
use crate::semconv::response::{self, Response};
use crate::semconv::tools;
use crate::semconv::usage::Found;
use crate::semconv::view::View;

/// Where requests keep instructions apart from their messages (Anthropic, Google, the Responses API).
const INSTRUCTIONS: [&str; 3] = ["system", "system_instruction", "instructions"];

pub(super) fn describe(payloads: &Payloads<'_>, facts: &mut Facts<'_>) -> String {
    let request = Request::write(given(payloads.params), facts);
    let said = given(payloads.messages).or(given(payloads.input));
    let completes = request.completes || request.prompt.is_some() && said.is_none();
    let operation = if completes { "text_completion" } else { "chat" };
    facts.str("gen_ai.operation.name", operation);

    if let Some(sent) = said.or(request.messages).or(request.prompt) {
        write_sent(sent, request.system, facts);
    } else {
        instructions(request.system, facts);
    }
    if given(payloads.messages).is_some() {
        payload(facts, Payload::Input, payloads.input);
    }

    let reasons: Vec<Cow<'_, str>> =
        payloads.finish_reasons.iter().filter_map(|reason| View::new(reason).word()).collect();
    let mut response = Response::default();
    if let Some(output) = payloads.output.map(View::new) {
        let written = facts.json("gen_ai.output.messages", output, |out| {
            let mut messages = Messages::new(out, outcome_side(payloads), Proof::Said);
            messages.reasons = &reasons;
            response::write(&mut messages, output, &mut response)
        });
        if !written {
            response.reasons = Reasons::default();
            response.note_wrapper(output);
            facts.payload(Payload::Output, output);
        }
    }
    finish_reasons(reasons, &response, facts);
    let found = Found { counted: response.counted, places: &response.usage };
    common(payloads, &request, found, facts);
    if let Some(model) = response.model {
        facts.text("gen_ai.response.model", model);
    }
    if let Some(id) = response.id {
        facts.text("gen_ai.response.id", id);
    }
    if let Some(offered) = given(payloads.tools).or(request.tools) {
        facts.json("gen_ai.tool.definitions", offered, |out| tools::write(offered, tools::WITH_SCHEMAS, out));
    }
    if let Some(prompt) = given(payloads.prompt) {
        write_prompt(prompt, facts);
    }
    model_name(operation, payloads, &request)
}

/// What the model was sent, with what lies beside the messages.
fn write_sent(sent: View<'_>, system: Option<View<'_>>, facts: &mut Facts<'_>) {
    let written = facts.json("gen_ai.input.messages", sent, |out| {
        Messages::new(out, Side::Input, Proof::Said).array(sent, &mut Response::default())
    });
    if !written {
        instructions(system, facts);
        return facts.payload(Payload::Input, sent);
    }
    if messages_within(sent).is_some() {
        let beside = sent.pick(INSTRUCTIONS).into_iter().flatten().next();
        instructions(system.or(beside), facts);
        facts.json_payload(Payload::Input, sent, |out| write_beside(sent, &INSTRUCTIONS, out));
    } else {
        instructions(system, facts);
    }
}

/// Instructions that a request holds apart from its messages, as parts.
fn instructions(system: Option<View<'_>>, facts: &mut Facts<'_>) {
    let Some(system) = system.filter(|system| !system.is_empty()) else { return };
    // Google wraps them as a message.
    let system = system.pick(["parts", "content"]).into_iter().flatten().next().unwrap_or(system);
    facts.json("gen_ai.system_instructions", system, |out| {
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

/// The prompt template in use: its name, or a mapping of what is known of it.
fn write_prompt(prompt: View<'_>, facts: &mut Facts<'_>) {
    if let Some(text) = prompt.str() {
        let is_name = text.len() <= MAX_PROMPT_NAME && !text.contains(['{', '\n']);
        return facts.text(if is_name { "gen_ai.prompt.name" } else { "ironspan.prompt.template" }, prompt);
    }
    let [name, id, version, variables, template, text] =
        prompt.pick(["name", "id", "version", "variables", "template", "text"]);
    for (key, value) in [
        ("gen_ai.prompt.name", name.or(id)),
        ("gen_ai.prompt.version", version),
        ("ironspan.prompt.template", template.or(text)),
    ] {
        if let Some(value) = value {
            facts.text(key, value);
        }
    }
    let Some(variables) = variables else { return };
    let mut key = String::from("gen_ai.prompt.variable.");
    let stem = key.len();
    for (name, value) in variables.pairs() {
        key.truncate(stem);
        key.push_str(&name.to_str());
        facts.numerous(&key, &crate::resolve::text_of(value.bytes()));
    }
}
