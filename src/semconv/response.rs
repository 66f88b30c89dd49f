//! What came out of a model call, in the wrappers of providers and frameworks: which messages are its choices, and what
//! it says of model, id, usage and the reasons for stopping.

use crate::semconv::finish::{self, Reasons};
use crate::semconv::messages::{Messages, Proof, is_block, is_item};
use crate::semconv::stream;
use crate::semconv::usage::Counts;
use crate::semconv::view::View;

/// What a response says of itself.
#[derive(Debug, Default)]
pub(super) struct Response<'a> {
    /// The model that answered: text.
    pub(super) model: Option<View<'a>>,
    /// The provider's id of the response: text.
    pub(super) id: Option<View<'a>>,
    /// Places where usage was found, best first. All say the same, so only one may count.
    pub(super) usage: Vec<View<'a>>,
    /// Usage that was put together from the chunks of a stream.
    pub(super) counted: Option<Counts>,
    /// Why each choice ended.
    pub(super) reasons: Reasons<'a>,
}

/// Most places of usage that are kept: a long history repeats them per message.
const MAX_USAGE: usize = 8;

impl<'a> Response<'a> {
    /// Notes a message's or generation's metadata.
    pub(super) fn note_metadata(&mut self, metadata: View<'a>) {
        let [model_name, model, model_id, version, id] =
            metadata.pick(["model_name", "model", "model_id", "model_version", "id"]);
        self.model =
            self.model.or(model_name.or(model).or(model_id).or(version).filter(|model| model.text().is_some()));
        self.id = self.id.or(id.filter(|id| id.text().is_some()));
        self.note_usage(metadata);
        if metadata.get("eval_count").is_some() {
            // Ollama's counts stand among the rest of the metadata.
            self.push_usage(metadata);
        }
    }

    /// Notes where a wrapper keeps its usage.
    fn note_usage(&mut self, wrapper: View<'a>) {
        let [token_usage, usage, metadata, camel, counts, meta, count] = wrapper.pick([
            "token_usage",
            "usage",
            "usage_metadata",
            "usageMetadata",
            "tokenUsage",
            // Cohere's, in its first version and in LangChain's package.
            "meta",
            "token_count",
        ]);
        for found in [metadata, token_usage, usage, camel, counts, meta, count].into_iter().flatten() {
            self.push_usage(found);
        }
    }

    /// Notes a mapping of counts.
    pub(super) fn push_usage(&mut self, usage: View<'a>) {
        if self.usage.len() < MAX_USAGE && usage.is_map() {
            self.usage.push(usage);
        }
    }

    /// Notes what a provider's response object says beside its choices.
    pub(super) fn note_wrapper(&mut self, wrapper: View<'a>) {
        self.note_names(wrapper);
        self.note_usage(wrapper);
    }

    /// Notes what LlamaIndex keeps of a provider's response beside the message: the response, or the event or chunk that
    /// ended the stream.
    fn note_raw(&mut self, raw: View<'a>) {
        self.note_wrapper(raw);
        if let Some(whole) = raw.get("response").filter(|whole| whole.is_map()) {
            self.note_wrapper(whole);
        }
    }

    /// Notes the model and the id that a provider's response object has.
    pub(super) fn note_names(&mut self, wrapper: View<'a>) {
        let [model, model_name, version, version_camel] =
            wrapper.pick(["model", "model_name", "model_version", "modelVersion"]);
        let [id, response_id, response_camel] = wrapper.pick(["id", "response_id", "responseId"]);
        let text = |view: Option<View<'a>>| view.filter(|view| view.text().is_some());
        self.model = self.model.or(text(model.or(model_name).or(version).or(version_camel)));
        self.id = self.id.or(text(id.or(response_id).or(response_camel)));
    }
}

/// Appends the choices in `value` as a JSON array of output messages and says whether it holds any; if not, nothing is
/// appended. What the response says of itself is noted either way.
pub(super) fn write<'a>(messages: &mut Messages<'_, '_>, value: View<'a>, response: &mut Response<'a>) -> bool {
    let start = messages.out.position();
    messages.out.raw("[");
    if choices(messages, value, response) && messages.written() > 0 {
        messages.out.raw("]");
        return true;
    }
    messages.out.rewind(start);
    false
}

/// The choices themselves, without brackets. Where they turn out to be none, a part may have been appended.
pub(super) fn choices<'a>(messages: &mut Messages<'_, '_>, value: View<'a>, response: &mut Response<'a>) -> bool {
    if value.is_list() {
        let Some(first) = value.first() else { return false };
        if let Some(written) = stream::write(messages, value, response) {
            return written;
        }
        if messages.proof == Proof::Said {
            if is_generation(first) {
                return value.items().all(|item| generation(messages, item, response));
            }
            if is_item(first) {
                messages.answer(value, None, response);
                return true;
            }
            if is_block(first) {
                return messages.blocks(value, response);
            }
            if first.is_list() && first.first().is_some_and(is_generation) {
                return first.items().all(|item| generation(messages, item, response));
            }
        }
        return messages.any_of(value, response);
    }
    if !value.is_map() {
        return messages.any_of(value, response);
    }
    let [generations, choices, candidates, output, message] =
        value.pick(["generations", "choices", "candidates", "output", "message"]);
    let [llm_output, raw, text, messages_key, inner, role] =
        value.pick(["llm_output", "raw", "text", "messages", "response", "role"]);
    if let Some(generations) = generations.filter(|list| list.is_list()) {
        let written = generated(messages, generations, response);
        if let Some(llm_output) = llm_output {
            response.note_wrapper(llm_output);
        }
        return written;
    }
    if let Some(choices) = choices.filter(|list| list.is_list()) {
        response.note_wrapper(value);
        return choices.items().all(|choice| openai_choice(messages, choice, response));
    }
    if let Some(candidates) = candidates.filter(|list| list.is_list()) {
        response.note_wrapper(value);
        return candidates.items().all(|candidate| google_candidate(messages, candidate, response));
    }
    if let Some(output) = output {
        if output.is_list() && output.first().is_some_and(|item| item.get("type").is_some()) {
            response.note_wrapper(value);
            let reason = value.get("incomplete_details").and_then(|details| details.get("reason"));
            let reason = reason.or(value.get("status")).and_then(View::word);
            messages.answer(output, reason, response);
            return true;
        }
        if let Some(message) = output.get("message") {
            response.note_usage(value);
            let reason = value.get("stopReason").and_then(View::word);
            return messages.message(message, response, reason);
        }
    }
    if let Some(raw) = raw.filter(|_| role.is_none() && message.is_some())
        && let Some(whole) = better_in_raw(message, raw)
    {
        return self::choices(messages, whole, response);
    }
    let alternative = role.is_none()
        && (message.is_some_and(View::is_map)
            || text.is_some() && messages.proof == Proof::Said && is_generation(value));
    // What LlamaIndex's agents return holds the message under `response`.
    let written = alternative && generation(messages, value, response)
        || messages_key.is_none() && inner.is_some_and(|inner| messages.message(inner, response, None));
    if written {
        if let Some(raw) = raw {
            response.note_raw(raw);
        } else if alternative {
            // A provider's own response with a message in it (Cohere).
            response.note_wrapper(value);
        }
        if let Some(extra) = value.get("additional_kwargs").filter(|_| alternative) {
            response.note_usage(extra);
            response.push_usage(extra);
        }
        return true;
    }
    if role.is_some() && value.get("stop_reason").is_some() {
        // An Anthropic message is the response, too.
        response.note_wrapper(value);
    }
    messages.any_of(value, response)
}

/// What a provider answered, where LlamaIndex's message says less: the items of the Responses API in their order, with
/// hosted tools and refusals; choices whose refusal or speech left the message empty.
fn better_in_raw<'a>(message: Option<View<'a>>, raw: View<'a>) -> Option<View<'a>> {
    let whole = raw.get("response").filter(|whole| whole.is_map()).unwrap_or(raw);
    let [output, choices] = whole.pick(["output", "choices"]);
    let filled = |list: Option<View<'a>>| list.is_some_and(|list| list.is_list() && !list.is_empty());
    let [blocks, content, extra] = message?.pick(["blocks", "content", "additional_kwargs"]);
    let says_nothing = [blocks, content, extra].into_iter().flatten().all(View::is_empty);
    let has_message = choices.and_then(View::first).is_some_and(|choice| choice.get("message").is_some());
    (filled(output) || says_nothing && has_message).then_some(whole)
}

/// LangChain's result: one list of alternatives per prompt. A span is one prompt.
fn generated<'a>(messages: &mut Messages<'_, '_>, generations: View<'a>, response: &mut Response<'a>) -> bool {
    let Some(first) = generations.first() else { return false };
    let alternatives = if first.is_list() {
        if generations.items().nth(1).is_some() {
            return false;
        }
        first
    } else {
        generations
    };
    alternatives.items().all(|item| generation(messages, item, response))
}

/// Whether a value is one alternative of LangChain's, or a completion of LlamaIndex's.
fn is_generation(value: View<'_>) -> bool {
    let [text, message, info, raw, role] = value.pick(["text", "message", "generation_info", "raw", "role"]);
    let by_class = value.class().is_some_and(|class| {
        matches!(
            &*class,
            "Generation" | "GenerationChunk" | "ChatGeneration" | "ChatGenerationChunk" | "CompletionResponse"
        )
    });
    role.is_none()
        && text.or(message).is_some()
        && (by_class || info.or(raw).or(message.filter(|m| m.is_map())).is_some())
}

fn generation<'a>(messages: &mut Messages<'_, '_>, value: View<'a>, response: &mut Response<'a>) -> bool {
    let [message, text, info, done_reason, raw] =
        value.pick(["message", "text", "generation_info", "done_reason", "raw"]);
    let reason = info.and_then(finish::in_metadata).or_else(|| finish::in_response(raw.unwrap_or(value)));
    let written = match (message.filter(|message| message.is_map()), text.and_then(View::text)) {
        (Some(message), _) => messages.message(message, response, reason),
        (None, Some(text)) => {
            messages.text_choice(text, reason, response);
            true
        }
        (None, None) => false,
    };
    if let Some(info) = info {
        response.note_metadata(info);
    }
    if done_reason.is_some() {
        // Ollama answers with the message, its model and its counts side by side.
        response.note_wrapper(value);
        response.push_usage(value);
    }
    written
}

fn openai_choice<'a>(messages: &mut Messages<'_, '_>, choice: View<'a>, response: &mut Response<'a>) -> bool {
    let [message, delta, text, reason] = choice.pick(["message", "delta", "text", "finish_reason"]);
    let reason = reason.and_then(View::word);
    match (message.or(delta), text.and_then(View::text)) {
        (Some(message), _) => messages.message(message, response, reason),
        (None, Some(text)) => {
            messages.text_choice(text, reason, response);
            true
        }
        (None, None) => false,
    }
}

fn google_candidate<'a>(messages: &mut Messages<'_, '_>, candidate: View<'a>, response: &mut Response<'a>) -> bool {
    let [content, reason, reason_camel] = candidate.pick(["content", "finish_reason", "finishReason"]);
    let reason = reason.or(reason_camel).and_then(View::word);
    content.is_some_and(|content| messages.message(content, response, reason))
}
