//! Messages in the shapes of providers and frameworks to `ChatMessage` and `OutputMessage` JSON (GenAI semantic
//! conventions, "Recording content"): OpenAI chat and Responses, Anthropic, Google, Bedrock, LangChain objects and their
//! dumps, LlamaIndex, plain text, and the conventions' own form.
//!
//! Everything is written straight from the tape. A value that turns out to be no message is taken back, so that the
//! caller can record it as it is: nothing is guessed and nothing is lost.

use std::borrow::Cow;

use crate::json::Writer;
use crate::semconv::finish;
use crate::semconv::parts::Parts;
use crate::semconv::response::Response;
use crate::semconv::view::View;
use crate::tape::{Text, Token};

/// Which messages are written: what a model or agent was given, or what it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// `gen_ai.input.messages`.
    Input,
    /// `gen_ai.output.messages`: each has a `finish_reason`, which readers need even where nobody knows it.
    Output {
        /// The operation did not end well: what has no reason ended by `error`.
        failed: bool,
    },
}

impl Side {
    fn speaker(self) -> &'static str {
        match self {
            Self::Input => "user",
            Self::Output { .. } => "assistant",
        }
    }
}

/// How much has to be known of a value before it counts as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The caller says it is messages: text is one, too.
    Said,
    /// It may be anything (the state of a graph): only what has the form of a message is one.
    Form,
}

/// Messages deeper than this many sequences are none.
const MAX_NESTING: u32 = 3;

/// Writes messages as a JSON array.
pub(super) struct Messages<'w, 'o> {
    pub(super) out: &'w mut Writer<'o>,
    pub(super) side: Side,
    pub(super) proof: Proof,
    /// Why the choices ended, where the caller said so: better than what the values say.
    pub(super) reasons: &'w [Cow<'w, str>],
    written: usize,
}

impl<'w, 'o> Messages<'w, 'o> {
    /// A writer that has written nothing.
    pub(super) fn new(out: &'w mut Writer<'o>, side: Side, proof: Proof) -> Self {
        Self { out, side, proof, reasons: &[], written: 0 }
    }

    /// How many messages have been written.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Appends `value` as a JSON array of messages and says whether it is that; if not, nothing is appended.
    pub(super) fn array<'a>(&mut self, value: View<'a>, response: &mut Response<'a>) -> bool {
        let start = self.out.position();
        self.out.raw("[");
        let done = self.any_of(value, response) && self.written > 0;
        self.out.raw("]");
        if !done {
            self.out.rewind(start);
            self.written = 0;
        }
        done
    }

    /// Appends a message, or a sequence of them, and says whether `value` is that; if not, a part may have been appended.
    pub(super) fn any_of<'a>(&mut self, value: View<'a>, response: &mut Response<'a>) -> bool {
        self.any(value, response, MAX_NESTING)
    }

    fn any<'a>(&mut self, value: View<'a>, response: &mut Response<'a>, nesting: u32) -> bool {
        match value.token() {
            Some(Token::Text(text)) => {
                self.proof == Proof::Said && {
                    self.plain(text, response);
                    true
                }
            }
            Some(Token::List) => self.sequence(value, response, nesting),
            Some(Token::Map | Token::Object(_)) => match messages_within(value) {
                Some(inner) if nesting > 0 => self.state(inner, response, nesting - 1),
                _ => self.message(value, response, None),
            },
            _ => false,
        }
    }

    /// What lies under `messages`: the key is proof enough that text is one.
    fn state<'a>(&mut self, inner: View<'a>, response: &mut Response<'a>, nesting: u32) -> bool {
        match inner.text() {
            Some(text) => {
                self.plain(text, response);
                true
            }
            None => self.any(inner, response, nesting),
        }
    }

    fn sequence<'a>(&mut self, list: View<'a>, response: &mut Response<'a>, nesting: u32) -> bool {
        let Some(first) = list.items().find(|item| !is_passed_over(*item)) else { return false };
        if first.is_list() && role_and_content(first).is_none() {
            // A batch of conversations: one span is one call, so there is one.
            let sole = list.items().nth(1).is_none();
            return sole && nesting > 0 && self.any(first, response, nesting - 1);
        }
        if is_block(first) && self.proof == Proof::Said {
            return self.blocks(list, response);
        }
        list.items().filter(|item| !is_passed_over(*item)).all(|item| match item.token() {
            Some(Token::Text(text)) => {
                self.proof == Proof::Said && {
                    self.plain(text, response);
                    true
                }
            }
            Some(Token::List) => match role_and_content(item) {
                Some((role, content)) => {
                    self.pair(&role, content, response);
                    true
                }
                None => false,
            },
            _ => self.message(item, response, None),
        })
    }

    /// Begins a message before its parts.
    pub(super) fn begin(&mut self, role: &str) {
        if self.written > 0 {
            self.out.raw(",");
        }
        self.written += 1;
        self.out.raw("{\"role\":");
        self.out.word(role);
        self.out.raw(",\"parts\":[");
    }

    /// Ends a message behind its parts.
    pub(super) fn end<'a>(
        &mut self,
        name: Option<View<'a>>,
        calls: bool,
        reason: Option<Cow<'a, str>>,
        response: &mut Response<'a>,
    ) {
        self.out.raw("]");
        if let Some(name) = name.and_then(View::text).filter(|name| !name.bytes.is_empty()) {
            self.out.raw(",\"name\":");
            self.out.text(name);
        }
        if let Side::Output { failed } = self.side {
            let said = self.reasons.get(self.written - 1).map(|said| Cow::Owned(said.to_string()));
            // `completed` is the state of a whole response and leaves open why the model stopped.
            let reason = reason.map(|word| if calls && word == "completed" { "tool_call".into() } else { word });
            let known = said.or(reason).map(finish::normalised);
            let assumed = if failed {
                "error"
            } else if calls {
                "tool_call"
            } else {
                "stop"
            };
            self.out.raw(",\"finish_reason\":");
            self.out.word(known.as_deref().unwrap_or(assumed));
            response.reasons.push(known, assumed);
        }
        self.out.raw("}");
    }

    /// A message of one text.
    fn plain(&mut self, text: Text<'_>, response: &mut Response<'_>) {
        self.text_choice(text, None, response);
    }

    /// A message of one text that ended by `reason`.
    pub(super) fn text_choice<'a>(
        &mut self,
        text: Text<'_>,
        reason: Option<Cow<'a, str>>,
        response: &mut Response<'a>,
    ) {
        self.begin(self.side.speaker());
        Parts::new(self.out).text(text);
        self.end(None, false, reason, response);
    }

    fn pair<'a>(&mut self, role: &str, content: View<'a>, response: &mut Response<'a>) {
        self.begin(role);
        let mut parts = Parts::new(self.out);
        parts.content(content);
        let calls = parts.calls > 0;
        self.end(None, calls, None, response);
    }

    /// Content blocks without a message around them: one message.
    pub(super) fn blocks<'a>(&mut self, list: View<'a>, response: &mut Response<'a>) -> bool {
        self.pair(self.side.speaker(), list, response);
        true
    }

    /// Items of the Responses API that together are one answer: one message, as a choice is never split.
    pub(super) fn answer<'a>(&mut self, items: View<'a>, reason: Option<Cow<'a, str>>, response: &mut Response<'a>) {
        self.begin("assistant");
        let mut parts = Parts::new(self.out);
        for item in items.items() {
            let [kind, content] = item.pick(["type", "content"]);
            match content.filter(|_| kind.and_then(View::word).as_deref() == Some("message")) {
                Some(content) => parts.content(content),
                None => parts.block(item),
            }
        }
        let calls = parts.calls > 0;
        self.end(None, calls, reason, response);
    }

    /// Appends one message and says whether `value` is one; if not, nothing is appended. `reason` is what the choice
    /// around the message says of its end.
    pub(super) fn message<'a>(
        &mut self,
        value: View<'a>,
        response: &mut Response<'a>,
        reason: Option<Cow<'a, str>>,
    ) -> bool {
        let Some(message) = Message::read(value, self.side.speaker()) else { return false };
        message.note(response);
        self.begin(&message.role);
        let mut parts = Parts::new(self.out);
        message.write_parts(&mut parts);
        let calls = parts.calls > 0;
        let reason = reason.or_else(|| message.reason());
        self.end(message.name, calls, reason, response);
        true
    }
}

/// Whether an item among messages is none and says nothing: the mark where the walker stopped, and LangGraph's order to
/// remove a message.
fn is_passed_over(item: View<'_>) -> bool {
    match item.token() {
        Some(Token::Cut(_)) => true,
        Some(Token::Object(_)) => item.class().as_deref() == Some("RemoveMessage"),
        _ => false,
    }
}

/// The messages inside a mapping that holds them beside other things: the state of a graph, a request, a prompt value.
pub(super) fn messages_within(value: View<'_>) -> Option<View<'_>> {
    let [messages, contents, role, content, parts] = value.pick(["messages", "contents", "role", "content", "parts"]);
    if role.is_some() && content.or(parts).is_some() {
        return None;
    }
    messages.or(contents)
}

/// A pair as LangChain takes it: `("human", "hello")`.
fn role_and_content(pair: View<'_>) -> Option<(Cow<'_, str>, View<'_>)> {
    let mut items = pair.items();
    let (Some(role), Some(content), None) = (items.next(), items.next(), items.next()) else { return None };
    let role = known_role(&role.str()?)?;
    (content.text().is_some() || content.is_list()).then_some((Cow::Borrowed(role), content))
}

/// The conventions' word for a role, if it is one that providers and frameworks use.
fn known_role(role: &str) -> Option<&'static str> {
    Some(match role {
        "user" | "human" | "USER" | "HumanMessage" | "HumanMessageChunk" => "user",
        "assistant" | "ai" | "model" | "chatbot" | "ASSISTANT" | "MODEL" | "CHATBOT" | "AIMessage"
        | "AIMessageChunk" => "assistant",
        // OpenAI's newer models call the system's instructions those of the developer.
        "system" | "developer" | "SYSTEM" | "DEVELOPER" | "SystemMessage" | "SystemMessageChunk" => "system",
        "tool"
        | "function"
        | "TOOL"
        | "FUNCTION"
        | "ToolMessage"
        | "ToolMessageChunk"
        | "FunctionMessage"
        | "FunctionMessageChunk" => "tool",
        _ => return None,
    })
}

/// Whether a value is a block of content rather than a message.
pub(super) fn is_block(value: View<'_>) -> bool {
    let [kind, block_kind, role] = value.pick(["type", "block_type", "role"]);
    if role.is_some() {
        return false;
    }
    let Some(kind) = kind.or(block_kind).and_then(View::word) else { return false };
    matches!(
        &*kind,
        "text"
            | "image"
            | "image_url"
            | "input_text"
            | "input_image"
            | "input_audio"
            | "output_text"
            | "tool_use"
            | "tool_result"
            | "thinking"
            | "redacted_thinking"
            | "document"
            | "server_tool_use"
            | "text-plain"
            | "audio"
            | "video"
            | "media"
            | "non_standard"
    )
}

/// Whether a value is an item of the Responses API other than a plain message.
pub(super) fn is_item(value: View<'_>) -> bool {
    let [kind, role, data] = value.pick(["type", "role", "data"]);
    let Some(kind) = kind.and_then(View::word) else { return false };
    role.is_none()
        && data.is_none()
        && (matches!(&*kind, "reasoning" | "function_call_output" | "custom_tool_call_output" | "compaction")
            || (kind.ends_with("_call") && kind != "tool_call"))
}

/// A message's fields, wherever its shape keeps them.
struct Message<'a> {
    role: Cow<'a, str>,
    /// The message is one block of content (an item of the Responses API).
    item: Option<View<'a>>,
    content: Option<View<'a>>,
    tool_calls: Option<View<'a>>,
    invalid_calls: Option<View<'a>>,
    function_call: Option<View<'a>>,
    call_id: Option<View<'a>>,
    name: Option<View<'a>>,
    refusal: Option<View<'a>>,
    reasoning: Option<View<'a>>,
    /// Speech, beside the content (OpenAI).
    audio: Option<View<'a>>,
    metadata: Option<View<'a>>,
    usage: Option<View<'a>>,
    reason: Option<View<'a>>,
}

impl<'a> Message<'a> {
    fn read(value: View<'a>, speaker: &'static str) -> Option<Self> {
        if !value.is_map() {
            return None;
        }
        let (value, outer_kind) = unwrapped(value);
        let [role, kind, content, parts, blocks] = value.pick(["role", "type", "content", "parts", "blocks"]);
        let [tool_calls, function_call, call_id, name, invalid_calls, extra] = value.pick([
            "tool_calls",
            "function_call",
            "tool_call_id",
            "name",
            "invalid_tool_calls",
            "additional_kwargs",
        ]);
        let [metadata, usage, refusal, reasoning, reasoning_short, thinking] = value.pick([
            "response_metadata",
            "usage_metadata",
            "refusal",
            "reasoning_content",
            "reasoning",
            "thinking",
        ]);
        let [finish_reason, stop_reason, audio, pieces] =
            value.pick(["finish_reason", "stop_reason", "audio", "tool_call_chunks"]);
        let kind = kind.and_then(View::word).or(outer_kind);
        let filled = |view: Option<View<'a>>| view.filter(|view| !view.is_empty());
        // The pieces of a streamed call hold what the model wrote; the calls parsed from them lack what broke off.
        let (pieces, is_piece) = (filled(pieces), kind.as_deref().is_some_and(|kind| kind.ends_with("Chunk")));
        let (pieces, invalid_calls) = if is_piece && pieces.is_some() { (pieces, None) } else { (None, invalid_calls) };
        let tool_calls = pieces.or(filled(tool_calls));
        let body = content.or(parts).or(blocks);
        let blocks = filled(blocks);
        let role = match role.and_then(View::word) {
            Some(role) => {
                // A mapping with a role alone may be anything.
                body.or(tool_calls).or(function_call).or(refusal).or(audio)?;
                known_role(&role).map_or(role, Cow::Borrowed)
            }
            None => match kind.as_deref().and_then(known_role) {
                Some(role) => {
                    body.or(tool_calls)?;
                    Cow::Borrowed(role)
                }
                None if is_item(value) => {
                    return Some(Self::item(value, kind.as_deref().unwrap_or_default()));
                }
                None => match value.class().as_deref().and_then(known_role) {
                    Some(role) => Cow::Borrowed(role),
                    // Google's contents may leave the role out, where they are what the user says.
                    None if parts.is_some_and(View::is_list) => Cow::Borrowed(speaker),
                    None => return None,
                },
            },
        };
        let [extra_calls, extra_call, extra_id, extra_refusal, extra_reasoning, extra_audio] = match extra {
            Some(extra) => {
                extra.pick(["tool_calls", "function_call", "tool_call_id", "refusal", "reasoning_content", "audio"])
            }
            None => [None; 6],
        };
        let invalid_calls = filled(invalid_calls);
        let only_results = || body.is_some_and(|list| list.first().is_some() && list.items().all(is_result_block));
        // Anthropic sends the results of tools as the user; the conventions have a role for them.
        let role = if role == "user" && only_results() { Cow::Borrowed("tool") } else { role };
        // LangChain keeps the provider's own form beside the parsed one; LlamaIndex has the former only, or blocks.
        let parsed = tool_calls.or(invalid_calls).is_some();
        let in_blocks = blocks.is_some_and(|blocks| blocks.items().any(is_call_block));
        Some(Self {
            role,
            item: None,
            content: filled(content).or(filled(parts)).or(blocks).or(body),
            tool_calls: tool_calls.or(filled(extra_calls).filter(|_| !parsed && !in_blocks)),
            invalid_calls,
            function_call: function_call.or(extra_call.filter(|_| !parsed && !in_blocks)),
            call_id: call_id.or(extra_id),
            name,
            refusal: refusal.or(extra_refusal),
            reasoning: filled(reasoning).or(filled(extra_reasoning)).or(filled(reasoning_short)).or(filled(thinking)),
            audio: audio.or(extra_audio).filter(|audio| audio.is_map()),
            metadata,
            usage,
            reason: finish_reason.or(stop_reason),
        })
    }

    /// An item of the Responses API as a message of its own.
    fn item(value: View<'a>, kind: &str) -> Self {
        let role = if kind.ends_with("_output") { "tool" } else { "assistant" };
        Self {
            role: Cow::Borrowed(role),
            item: Some(value),
            content: None,
            tool_calls: None,
            invalid_calls: None,
            function_call: None,
            call_id: None,
            name: None,
            refusal: None,
            reasoning: None,
            audio: None,
            metadata: None,
            usage: None,
            reason: None,
        }
    }

    fn write_parts(&self, parts: &mut Parts<'_, '_>) {
        if let Some(item) = self.item {
            return parts.block(item);
        }
        if let Some(reasoning) = self.reasoning {
            parts.thinking(reasoning);
        }
        if &*self.role == "tool" && !self.content.is_some_and(has_own_results) {
            return parts.result(self.call_id, self.content);
        }
        parts.calls_listed = self.tool_calls.or(self.invalid_calls).is_some();
        if let Some(content) = self.content {
            parts.content(content);
        }
        if let Some(audio) = self.audio {
            parts.speech(audio);
        }
        if let Some(text) = self.refusal.and_then(View::text).filter(|text| !text.bytes.is_empty()) {
            parts.text(text);
        }
        for calls in [self.tool_calls, self.invalid_calls].into_iter().flatten() {
            calls.items().filter(|call| call.is_map()).for_each(|call| parts.call_of(call));
        }
        if let Some(call) = self.function_call.filter(|_| !parts.calls_listed) {
            parts.call_of(call);
        }
        if !parts.any()
            && let Some(text) = self.content.and_then(View::text)
        {
            parts.text(text);
        }
    }

    /// Why the model stopped, as the message itself says.
    fn reason(&self) -> Option<Cow<'a, str>> {
        self.reason.and_then(View::word).or_else(|| finish::in_metadata(self.metadata?))
    }

    /// Notes what the message says of the response that it came in.
    fn note(&self, response: &mut Response<'a>) {
        if let Some(usage) = self.usage {
            response.push_usage(usage);
        }
        if let Some(metadata) = self.metadata {
            response.note_metadata(metadata);
        }
    }
}

/// Whether content holds results of tools as blocks, so that it is not itself the result.
fn has_own_results(content: View<'_>) -> bool {
    content.first().is_some_and(is_result_block)
}

/// Whether a block of content is the result of a tool.
fn is_result_block(block: View<'_>) -> bool {
    let [kind, response, response_camel, bedrock] =
        block.pick(["type", "function_response", "functionResponse", "toolResult"]);
    response.or(response_camel).or(bedrock).is_some()
        || kind.and_then(View::str).is_some_and(|kind| matches!(&*kind, "tool_result" | "tool_call_response"))
}

/// Whether a LlamaIndex block is a call of a tool.
fn is_call_block(block: View<'_>) -> bool {
    block.get("block_type").and_then(View::str).as_deref() == Some("tool_call")
}

/// LangChain's dumps put the message's fields under `data` (`messages_to_dict`) or `kwargs` (dumpd); its kind is outside.
fn unwrapped(value: View<'_>) -> (View<'_>, Option<Cow<'_, str>>) {
    let [kind, data, kwargs, id, content, marker] = value.pick(["type", "data", "kwargs", "id", "content", "lc"]);
    if content.is_some() {
        return (value, None);
    }
    if let (Some(kind), Some(data)) = (kind.and_then(View::word), data.filter(|data| data.is_map())) {
        return (data, Some(kind));
    }
    match (marker, kwargs) {
        (Some(_), Some(kwargs)) => (kwargs, id.and_then(|path| path.items().last()).and_then(View::str)),
        _ => (value, None),
    }
}
