//! Why a model stopped, in one vocabulary (GenAI semantic conventions, `FinishReason`).

use std::borrow::Cow;

use crate::semconv::view::View;

/// The conventions' word for a provider's; a word that nobody here knows stays.
pub(super) fn normalised(reason: Cow<'_, str>) -> Cow<'_, str> {
    let word = match reason.as_ref() {
        "stop" | "end_turn" | "stop_sequence" | "STOP" | "STOP_SEQUENCE" | "eos" | "eos_token" | "complete"
        | "completed" | "COMPLETE" | "finished" | "end" => "stop",
        "tool_calls" | "tool_call" | "tool_use" | "function_call" | "tool-calls" | "TOOL_CALL" => "tool_call",
        "length"
        | "max_tokens"
        | "MAX_TOKENS"
        | "max_output_tokens"
        | "model_length"
        | "token_limit"
        | "model_context_window_exceeded"
        | "incomplete" => "length",
        "content_filter"
        | "content_filtered"
        | "content-filter"
        | "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "ERROR_TOXIC"
        | "guardrail_intervened"
        | "refusal" => "content_filter",
        "error"
        | "failed"
        | "cancelled"
        | "insufficient_system_resource"
        | "malformed_model_output"
        | "malformed_tool_use"
        | "ERROR"
        | "ERROR_LIMIT"
        | "TIMEOUT"
        | "USER_CANCEL"
        | "MALFORMED_FUNCTION_CALL"
        | "MALFORMED_RESPONSE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS" => "error",
        _ => return reason,
    };
    Cow::Borrowed(word)
}

/// The reason that a framework keeps among a response's metadata.
pub(super) fn in_metadata(metadata: View<'_>) -> Option<Cow<'_, str>> {
    let [finish, stop, done, camel, status, incomplete] = metadata.pick([
        "finish_reason",
        "stop_reason",
        "done_reason",
        "stopReason",
        "status",
        // The Responses API says here what was the matter, and in the status only that something was.
        "incomplete_details",
    ]);
    let incomplete = incomplete.and_then(|details| details.get("reason"));
    let places = [finish, stop, done, camel, incomplete, status];
    let word = places.into_iter().flatten().find_map(View::word)?;
    // A response that is not done yet has no reason.
    (!matches!(&*word, "" | "in_progress" | "queued")).then_some(word)
}

/// The reason in a provider's own response: of its first choice, or of the whole.
pub(super) fn in_response(response: View<'_>) -> Option<Cow<'_, str>> {
    let [choices, candidates, event] = response.pick(["choices", "candidates", "response"]);
    let choice = choices.or(candidates).and_then(View::first);
    choice
        .and_then(|choice| {
            let [reason, camel] = choice.pick(["finish_reason", "finishReason"]);
            reason.or(camel)?.word()
        })
        .or_else(|| in_metadata(response))
        .or_else(|| in_metadata(event?))
}

/// The reasons of all choices, in order.
#[derive(Debug, Default)]
pub(super) struct Reasons<'a> {
    words: Vec<Cow<'a, str>>,
    known: bool,
}

impl<'a> Reasons<'a> {
    /// Adds that of the next choice: what is known of it, else what is assumed.
    pub(super) fn push(&mut self, known: Option<Cow<'a, str>>, assumed: &'static str) {
        self.known |= known.is_some();
        self.words.push(known.unwrap_or(Cow::Borrowed(assumed)));
    }

    /// One word per choice, if any of them is known: assumptions alone are no fact to report.
    pub(super) fn known(&self) -> &[Cow<'a, str>] {
        if self.known { &self.words } else { &[] }
    }
}
