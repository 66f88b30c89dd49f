//! The chunks of a streamed answer, put together to the message that they are pieces of: OpenAI (chat, completions and
//! Responses events), Anthropic and Bedrock events, Google, Ollama, LangChain and LlamaIndex. What arrives here is a
//! sequence of whatever the provider's client yielded, possibly ended before its time.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::semconv::finish;
use crate::semconv::messages::Messages;
use crate::semconv::parts::Parts;
use crate::semconv::response::{self, Response};
use crate::semconv::usage::Counts;
use crate::semconv::view::View;
use crate::tape::{Tape, Text, Token};

/// Who yields chunks of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    OpenAi,
    OpenAiEvents,
    Anthropic,
    Bedrock,
    Google,
    Ollama,
    LangChain,
    LlamaIndex,
}

impl Source {
    fn of(chunk: View<'_>) -> Option<Self> {
        let chunk = without_metadata(chunk);
        let [choices, candidates, kind, message, done, delta, object] =
            chunk.pick(["choices", "candidates", "type", "message", "done", "delta", "object"]);
        let class = chunk.class();
        if let Some(choices) = choices.filter(|choices| choices.is_list()) {
            let piece = choices.first().map(|choice| choice.get("message").is_none());
            let named = object.and_then(View::str).is_some_and(|object| object.ends_with("chunk"));
            return piece.unwrap_or(named || class.as_deref() == Some("ChatCompletionChunk")).then_some(Self::OpenAi);
        }
        if candidates.is_some_and(View::is_list) {
            return Some(Self::Google);
        }
        if let Some(kind) = kind.and_then(View::word) {
            if kind.ends_with("MessageChunk") || matches!(&*kind, "ChatGenerationChunk" | "GenerationChunk") {
                return Some(Self::LangChain);
            }
            if matches!(&*kind, "message_start" | "message_delta" | "ping") || kind.starts_with("content_block_") {
                return Some(Self::Anthropic);
            }
        }
        // The dots are gone: `word` keeps what stands behind the last.
        if kind.and_then(View::str).is_some_and(|kind| kind.starts_with("response.")) {
            return Some(Self::OpenAiEvents);
        }
        match class.as_deref() {
            Some("ChatResponse" | "CompletionResponse") if delta.is_some() => return Some(Self::LlamaIndex),
            Some("AIMessageChunk" | "ChatGenerationChunk" | "GenerationChunk") => return Some(Self::LangChain),
            _ => {}
        }
        if message.is_some() && done.is_some_and(|done| matches!(done.token(), Some(Token::Bool(_)))) {
            return Some(Self::Ollama);
        }
        let events = chunk.pick(["messageStart", "contentBlockStart", "contentBlockDelta", "messageStop"]);
        events.into_iter().any(|event| event.is_some()).then_some(Self::Bedrock)
    }
}

/// LangGraph yields a chunk with the metadata of its node beside it.
fn without_metadata(item: View<'_>) -> View<'_> {
    let mut items = item.items();
    match (items.next(), items.next(), items.next()) {
        (Some(chunk), Some(metadata), None) if chunk.is_map() && metadata.is_map() => chunk,
        _ => item,
    }
}

/// A stretch of an answer of one sort.
enum Segment<'a> {
    Text(String),
    Reasoning(String),
    Call {
        id: Option<View<'a>>,
        name: Option<View<'a>>,
        arguments: String,
    },
    /// A call that the provider answers itself. Its kind is that of the block that began it.
    ServerCall {
        block: View<'a>,
        input: String,
    },
    /// A block that came whole.
    Block(View<'a>),
}

/// One answer in the making.
#[derive(Default)]
struct Choice<'a> {
    segments: Vec<Segment<'a>>,
    /// Where the call of that number lies among the segments.
    calls: HashMap<i64, usize>,
    reason: Option<Cow<'a, str>>,
}

impl<'a> Choice<'a> {
    fn text(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        match self.segments.last_mut() {
            Some(Segment::Text(text)) => text.push_str(piece),
            _ => self.segments.push(Segment::Text(piece.to_owned())),
        }
    }

    fn reasoning(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        match self.segments.last_mut() {
            Some(Segment::Reasoning(text)) => text.push_str(piece),
            _ => self.segments.push(Segment::Reasoning(piece.to_owned())),
        }
    }

    /// The begin of a hosted tool's call, whose pieces are those of any call.
    fn server_call(&mut self, number: Option<i64>, block: View<'a>) {
        if let Some(number) = number {
            self.calls.insert(number, self.segments.len());
        }
        self.segments.push(Segment::ServerCall { block, input: String::new() });
    }

    /// A piece of the call with that number; without a number, of the call before, unless the piece begins one.
    fn call(&mut self, number: Option<i64>, id: Option<View<'a>>, name: Option<View<'a>>, piece: Option<View<'a>>) {
        let id = id.filter(|id| !id.is_empty());
        let begins = id.is_some();
        let number = number.unwrap_or_else(|| {
            let count = i64::try_from(self.calls.len()).unwrap_or(i64::MAX);
            if begins { count } else { count.saturating_sub(1).max(0) }
        });
        let at = *self.calls.entry(number).or_insert(self.segments.len());
        if at == self.segments.len() {
            self.segments.push(Segment::Call { id: None, name: None, arguments: String::new() });
        }
        let segment = self.segments.get_mut(at);
        if let Some(Segment::ServerCall { input, .. }) = segment {
            input.push_str(&piece.and_then(View::str).unwrap_or_default());
        } else if let Some(Segment::Call { id: known_id, name: known_name, arguments }) = segment {
            *known_id = known_id.or(id);
            *known_name = known_name.or(name.filter(|name| !name.is_empty()));
            match piece.map(|piece| (piece, piece.str())) {
                Some((_, Some(text))) => arguments.push_str(&text),
                // Arguments that came whole and parsed.
                Some((piece, None)) if arguments.is_empty() && !piece.is_empty() => {
                    arguments.push_str(&crate::json::to_json(piece.bytes()));
                }
                _ => {}
            }
        }
    }

    /// A block of content, in pieces or whole.
    fn block(&mut self, block: View<'a>) {
        if let Some(text) = block.str() {
            return self.text(&text);
        }
        let [kind, text, thinking, thought, reasoning] =
            block.pick(["type", "text", "thinking", "thought", "reasoning"]);
        let text = text.and_then(View::str);
        match kind.and_then(View::word).as_deref() {
            Some("thinking" | "reasoning") => match thinking.or(reasoning).and_then(View::str).or(text) {
                Some(thought) => self.reasoning(&thought),
                None => self.segments.push(Segment::Block(block)),
            },
            // The message lists its calls besides.
            Some("tool_use" | "input_json_delta" | "tool_call_chunk" | "tool_call" | "function_call") => {}
            _ if thought.is_some_and(View::is_true) => self.reasoning(&text.unwrap_or_default()),
            Some("text") | None if text.is_some() => self.text(&text.unwrap_or_default()),
            _ => self.segments.push(Segment::Block(block)),
        }
    }

    fn content(&mut self, content: View<'a>) {
        if content.is_list() {
            content.items().for_each(|block| self.block(block));
        } else {
            self.block(content);
        }
    }

    fn write(self, messages: &mut Messages<'_, '_>, response: &mut Response<'a>) {
        messages.begin("assistant");
        let mut parts = Parts::new(messages.out);
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => parts.text(Text::utf8(text)),
                Segment::Reasoning(text) => parts.reasoning_text(Text::utf8(text)),
                Segment::Call { id, name, arguments } => {
                    let mut tape = Tape::with_capacity(arguments.len() + 6);
                    tape.str(arguments);
                    let arguments = Some(View::new(tape.as_bytes())).filter(|arguments| !arguments.is_empty());
                    parts.call(*id, *name, arguments);
                }
                Segment::ServerCall { block, input } if input.is_empty() => parts.block(*block),
                Segment::ServerCall { block, input } => {
                    let [kind, id, name] = block.pick(["type", "id", "name"]);
                    let kind = kind.and_then(View::word).unwrap_or_default();
                    let name = name.and_then(View::word);
                    let mut tape = Tape::with_capacity(input.len() + 6);
                    tape.str(input);
                    let input = View::new(tape.as_bytes());
                    parts.streamed_server_call(&kind, id, name.as_deref().unwrap_or(&kind), input);
                }
                Segment::Block(block) => parts.block(*block),
            }
        }
        let calls = parts.calls > 0;
        messages.end(None, calls, self.reason, response);
    }
}

/// What a stream has given so far.
#[derive(Default)]
struct Answer<'a> {
    /// The alternatives by their numbers.
    choices: BTreeMap<i64, Choice<'a>>,
    counts: Counts,
    /// Those of the chunk before, of a framework that says them chunk by chunk.
    counts_before: Option<Counts>,
    /// The id that LangChain gives all chunks of one answer.
    id: Option<Cow<'a, str>>,
}

/// Appends the messages whose pieces `chunks` are, and says whether it did; `None` where they are no pieces.
pub(super) fn write<'a>(
    messages: &mut Messages<'_, '_>,
    chunks: View<'a>,
    response: &mut Response<'a>,
) -> Option<bool> {
    let source = Source::of(chunks.first()?)?;
    if source == Source::LlamaIndex {
        // Each chunk holds all that came before it.
        let whole = chunks.items().filter(|chunk| chunk.is_map()).last()?;
        return Some(response::choices(messages, whole, response));
    }
    if source == Source::OpenAiEvents
        && let Some(whole) = chunks.items().filter_map(|event| event.get("response")?.get("output")).last()
        && !whole.is_empty()
    {
        let wrapper = chunks.items().filter_map(|event| event.get("response")).last()?;
        return Some(response::choices(messages, wrapper, response));
    }
    let mut answer = Answer::default();
    for chunk in chunks.items().map(without_metadata) {
        match source {
            Source::OpenAi => answer.openai(chunk, response),
            Source::OpenAiEvents => answer.openai_event(chunk),
            Source::Anthropic => answer.anthropic(chunk, response),
            Source::Bedrock => answer.bedrock(chunk),
            Source::Google => answer.google(chunk, response),
            Source::Ollama => answer.ollama(chunk, response),
            Source::LangChain => answer.langchain(chunk, response),
            Source::LlamaIndex => {}
        }
    }
    response.counted = Some(answer.counts);
    answer.choices.retain(|_, choice| !choice.segments.is_empty() || choice.reason.is_some());
    let any = !answer.choices.is_empty();
    answer.choices.into_values().for_each(|choice| choice.write(messages, response));
    Some(any)
}

impl<'a> Answer<'a> {
    fn choice(&mut self, number: Option<View<'_>>) -> &mut Choice<'a> {
        self.choices.entry(number.and_then(View::int).unwrap_or(0)).or_default()
    }

    /// Counts that a provider repeats as they grow.
    fn latest(&mut self, usage: Option<View<'_>>) {
        if let Some(counts) = usage.and_then(Counts::find) {
            self.counts.grow(counts);
        }
    }

    fn openai(&mut self, chunk: View<'a>, response: &mut Response<'a>) {
        response.note_names(chunk);
        let [choices, usage] = chunk.pick(["choices", "usage"]);
        self.latest(usage);
        for piece in choices.into_iter().flat_map(View::items) {
            let [index, delta, text, reason] = piece.pick(["index", "delta", "text", "finish_reason"]);
            let choice = self.choice(index);
            choice.reason = reason.and_then(View::word).or(choice.reason.take());
            if let Some(text) = text {
                choice.block(text);
            }
            let Some(delta) = delta else { continue };
            let [content, refusal, reasoning, reasoning_short, calls, audio] =
                delta.pick(["content", "refusal", "reasoning_content", "reasoning", "tool_calls", "audio"]);
            // The sound comes in pieces that do not join as text; its transcript does.
            let transcript = audio.and_then(|audio| audio.get("transcript"));
            if let Some(piece) = reasoning.or(reasoning_short).and_then(View::str) {
                choice.reasoning(&piece);
            }
            for piece in [content, transcript, refusal].into_iter().flatten() {
                choice.content(piece);
            }
            for call in calls.into_iter().flat_map(View::items) {
                let [index, id, function] = call.pick(["index", "id", "function"]);
                let [name, arguments] = function.map_or([None; 2], |function| function.pick(["name", "arguments"]));
                choice.call(index.and_then(View::int), id, name, arguments);
            }
        }
    }

    /// A stream of the Responses API that ended before it said what the whole is.
    fn openai_event(&mut self, event: View<'a>) {
        let [kind, delta, index, item] = event.pick(["type", "delta", "output_index", "item"]);
        let (Some(kind), choice) = (kind.and_then(View::str), self.choice(None)) else { return };
        let piece = delta.and_then(View::str).unwrap_or_default();
        match &*kind {
            "response.output_text.delta" | "response.refusal.delta" => choice.text(&piece),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => choice.reasoning(&piece),
            "response.function_call_arguments.delta" => choice.call(index.and_then(View::int), None, None, delta),
            "response.output_item.added" => {
                if let Some(item) = item {
                    let [kind, id, name] = item.pick(["type", "call_id", "name"]);
                    if kind.and_then(View::word).as_deref() == Some("function_call") {
                        choice.call(index.and_then(View::int), id, name, None);
                    }
                }
            }
            _ => {}
        }
    }

    fn anthropic(&mut self, event: View<'a>, response: &mut Response<'a>) {
        let [message, delta, block, index, usage] = event.pick(["message", "delta", "content_block", "index", "usage"]);
        if let Some(message) = message {
            response.note_names(message);
            self.latest(message.get("usage"));
        }
        self.latest(usage);
        let number = index.and_then(View::int);
        let choice = self.choice(None);
        if let Some(block) = block {
            let [kind, id, name] = block.pick(["type", "id", "name"]);
            match kind.and_then(View::word).as_deref() {
                Some("tool_use") => choice.call(number, id, name, None),
                Some("server_tool_use" | "mcp_tool_use") => choice.server_call(number, block),
                _ => choice.block(block),
            }
        }
        if let Some(delta) = delta {
            let [text, thinking, json, reason] = delta.pick(["text", "thinking", "partial_json", "stop_reason"]);
            choice.text(&text.and_then(View::str).unwrap_or_default());
            choice.reasoning(&thinking.and_then(View::str).unwrap_or_default());
            if json.is_some() {
                choice.call(number, None, None, json);
            }
            choice.reason = reason.and_then(View::word).or(choice.reason.take());
        }
    }

    fn bedrock(&mut self, event: View<'a>) {
        let [start, delta, stop, metadata] =
            event.pick(["contentBlockStart", "contentBlockDelta", "messageStop", "metadata"]);
        self.latest(metadata);
        let choice = self.choice(None);
        if let Some(start) = start {
            let [index, begun] = start.pick(["contentBlockIndex", "start"]);
            if let Some(call) = begun.and_then(|begun| begun.get("toolUse")) {
                let [id, name] = call.pick(["toolUseId", "name"]);
                choice.call(index.and_then(View::int), id, name, None);
            }
        }
        if let Some(delta) = delta {
            let [index, piece] = delta.pick(["contentBlockIndex", "delta"]);
            let [text, call, reasoning] =
                piece.map_or([None; 3], |piece| piece.pick(["text", "toolUse", "reasoningContent"]));
            choice.text(&text.and_then(View::str).unwrap_or_default());
            let thought = reasoning.and_then(|reasoning| reasoning.get("text")).and_then(View::str);
            choice.reasoning(&thought.unwrap_or_default());
            if let Some(call) = call {
                choice.call(index.and_then(View::int), None, None, call.get("input"));
            }
        }
        let reason = stop.and_then(|stop| stop.get("stopReason")).and_then(View::word);
        choice.reason = reason.or(choice.reason.take());
    }

    fn google(&mut self, chunk: View<'a>, response: &mut Response<'a>) {
        response.note_names(chunk);
        let [candidates, usage, usage_camel] = chunk.pick(["candidates", "usage_metadata", "usageMetadata"]);
        self.latest(usage.or(usage_camel));
        for candidate in candidates.into_iter().flat_map(View::items) {
            let [index, content, reason, reason_camel] =
                candidate.pick(["index", "content", "finish_reason", "finishReason"]);
            let choice = self.choice(index);
            choice.reason = reason.or(reason_camel).and_then(View::word).or(choice.reason.take());
            if let Some(parts) = content.and_then(|content| content.get("parts")) {
                choice.content(parts);
            }
        }
    }

    fn ollama(&mut self, chunk: View<'a>, response: &mut Response<'a>) {
        response.note_names(chunk);
        let [message, done, reason] = chunk.pick(["message", "done", "done_reason"]);
        if done.is_some_and(View::is_true) {
            self.latest(Some(chunk));
        }
        let choice = self.choice(None);
        choice.reason = reason.and_then(View::word).or(choice.reason.take());
        let Some(message) = message else { return };
        let [content, thinking, calls] = message.pick(["content", "thinking", "tool_calls"]);
        choice.reasoning(&thinking.and_then(View::str).unwrap_or_default());
        choice.text(&content.and_then(View::str).unwrap_or_default());
        for call in calls.into_iter().flat_map(View::items) {
            if let Some(function) = call.get("function") {
                let number = i64::try_from(choice.calls.len()).ok();
                let [name, arguments] = function.pick(["name", "arguments"]);
                choice.call(number, None, name, arguments);
            }
        }
    }

    fn langchain(&mut self, chunk: View<'a>, response: &mut Response<'a>) {
        let [message, info, text] = chunk.pick(["message", "generation_info", "text"]);
        let inner = message.filter(|message| message.is_map()).unwrap_or(chunk);
        let [content, calls, whole_calls, extra, metadata, usage, id] = inner.pick([
            "content",
            "tool_call_chunks",
            "tool_calls",
            "additional_kwargs",
            "response_metadata",
            "usage_metadata",
            "id",
        ]);
        // Chunks of one answer share an id; another id is another answer.
        let id = id.and_then(View::str);
        if id.is_some() && self.id.is_some() && id != self.id {
            let number = i64::try_from(self.choices.len()).unwrap_or(i64::MAX);
            self.choices.entry(number).or_default();
        }
        self.id = id.or(self.id.take());
        // LangChain reports what each chunk adds, but hands on what a server repeats in every chunk.
        if let Some(counts) = usage.and_then(Counts::find) {
            if self.counts_before.is_some_and(|before| counts.repeats(&before)) {
                self.counts.grow(counts);
            } else {
                self.counts.add(counts);
            }
            self.counts_before = Some(counts);
        }
        if let Some(metadata) = metadata {
            response.note_metadata(metadata);
        }
        let number = self.choices.last_key_value().map_or(0, |(number, _)| *number);
        let choice = self.choices.entry(number).or_default();
        let reason = info.and_then(finish::in_metadata).or_else(|| finish::in_metadata(metadata?));
        choice.reason = reason.or(choice.reason.take());
        let reasoning = extra.and_then(|extra| extra.get("reasoning_content")).and_then(View::str);
        choice.reasoning(&reasoning.unwrap_or_default());
        if let Some(content) = content.or(text.filter(|_| message.is_none())) {
            choice.content(content);
        }
        match calls.filter(|calls| !calls.is_empty()) {
            Some(calls) => {
                for call in calls.items() {
                    let [index, id, name, args] = call.pick(["index", "id", "name", "args"]);
                    choice.call(index.and_then(View::int), id, name, args);
                }
            }
            None => {
                for call in whole_calls.into_iter().flat_map(View::items) {
                    let [id, name, args] = call.pick(["id", "name", "args"]);
                    choice.call(i64::try_from(choice.calls.len()).ok(), id, name, args);
                }
            }
        }
    }
}
