//! Why a model stopped, in one vocabulary (GenAI semantic conventions, `FinishReason`).

use std::borrow::Cow;

use crate::semconv::view::View;

/// The conventions' word for a provider's; a word that nobody here knows stays.
pub(super) fn normalised(reason: Cow<'_, str>) -> Cow<'_, str> {
    let word = match reason.as_ref() {
        "stop" | "end_turn" | "stop_sequence" | "STOP" | "eos" | "eos_token" | "complete" | "completed"
        | "COMPLETE" | "finished" | "end" => "stop",
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
        | "guardrail_intervened"
        | "refusal" => "content_filter",
        "error" | "failed" | "cancelled" | "ERROR" | "MALFORMED_FUNCTION_CALL" => "error",
        _ => return reason,
    };
    Cow::Borrowed(word)
}

/// The reason that a framework keeps among a response's metadata.
pub(super) fn in_metadata(metadata: View<'_>) -> Option<Cow<'_, str>> {
    let [finish, stop, done, camel, status] =
        metadata.pick(["finish_reason", "stop_reason", "done_reason", "stopReason", "status"]);
    [finish, stop, done, camel, status].into_iter().flatten().find_map(View::word).filter(|word| !word.is_empty())
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
