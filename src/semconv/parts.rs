//! The content of one message, in any provider's or framework's blocks, to the parts of the GenAI semantic conventions
//! (JSON schemas of input and output messages). A block of a type that nobody here knows stays as it is: the schema has
//! a generic part for it.

use crate::json::Writer;
use crate::semconv::media;
use crate::semconv::view::{View, is_text};
use crate::tape::{Text, Token};

/// Writes the parts of one message: what lies between the brackets.
pub(super) struct Parts<'w, 'o> {
    out: &'w mut Writer<'o>,
    written: usize,
    /// Tool calls among them.
    pub(super) calls: usize,
    /// Tool calls within the content are passed over, because the message lists them (parsed) besides.
    pub(super) calls_listed: bool,
}

impl<'w, 'o> Parts<'w, 'o> {
    /// Begins with none.
    pub(super) fn new(out: &'w mut Writer<'o>) -> Self {
        Self { out, written: 0, calls: 0, calls_listed: false }
    }

    /// Whether there is one at least.
    pub(super) fn any(&self) -> bool {
        self.written > 0
    }

    fn begin(&mut self, kind: &str) {
        if self.written > 0 {
            self.out.raw(",");
        }
        self.written += 1;
        self.out.raw("{\"type\":");
        self.out.word(kind);
    }

    fn begin_with(&mut self, kind: &str, id: Option<View<'_>>) {
        self.begin(kind);
        if let Some(id) = id {
            self.out.raw(",\"id\":");
            self.out.value(id.bytes());
        }
    }

    /// A `text` part.
    pub(super) fn text(&mut self, text: Text<'_>) {
        self.begin("text");
        self.out.raw(",\"content\":");
        self.out.text(text);
        self.out.raw("}");
    }

    fn reasoning(&mut self, content: View<'_>) {
        if content.is_empty() {
            return;
        }
        self.begin("reasoning");
        self.out.raw(",\"content\":");
        match content.text() {
            Some(text) => self.out.text(text),
            None => self.out.str(&crate::json::to_json(content.bytes())),
        }
        self.out.raw("}");
    }

    /// A `reasoning` part of text.
    pub(super) fn reasoning_text(&mut self, text: Text<'_>) {
        self.begin("reasoning");
        self.out.raw(",\"content\":");
        self.out.text(text);
        self.out.raw("}");
    }

    /// A `reasoning` part from whatever a provider calls its thinking: text, or summaries in a list or object.
    pub(super) fn thinking(&mut self, content: View<'_>) {
        match content.token() {
            Some(Token::List) => content.items().for_each(|item| self.thinking_item(item)),
            _ => self.thinking_item(content),
        }
    }

    fn thinking_item(&mut self, item: View<'_>) {
        let [text, content, thinking, nested] = item.pick(["text", "content", "thinking", "reasoningText"]);
        let inner = nested.and_then(|nested| nested.get("text"));
        self.reasoning(text.or(content).or(thinking).or(inner).unwrap_or(item));
    }

    /// A `tool_call` part.
    pub(super) fn call(&mut self, id: Option<View<'_>>, name: Option<View<'_>>, arguments: Option<View<'_>>) {
        self.calls += 1;
        self.begin_with("tool_call", id.filter(|id| !id.is_empty()));
        self.out.raw(",\"name\":");
        self.out.str(&name.and_then(View::str).unwrap_or_default());
        if let Some(arguments) = arguments {
            self.out.raw(",\"arguments\":");
            // A call without arguments streams none, where one that comes whole has an empty object.
            if arguments.is_empty() && arguments.text().is_some() {
                self.out.raw("{}");
            } else {
                write_structured(arguments, self.out);
            }
        }
        self.out.raw("}");
    }

    /// A `tool_call` part from one entry of a message's list of calls (OpenAI, LangChain, LlamaIndex, Ollama), or from a
    /// block of content that is one (Anthropic, Bedrock, LangChain, LlamaIndex).
    pub(super) fn call_of(&mut self, entry: View<'_>) {
        let [id, call_id, tool_id, long_id, bedrock_id] =
            entry.pick(["id", "call_id", "tool_id", "tool_call_id", "toolUseId"]);
        let [name, tool_name, function, custom] = entry.pick(["name", "tool_name", "function", "custom"]);
        let [args, arguments, input, kwargs] = entry.pick(["args", "arguments", "input", "tool_kwargs"]);
        // The Responses API has both: `id` names the item, `call_id` the call that the result answers.
        let id = call_id.or(long_id).or(tool_id).or(bedrock_id).or(id);
        match function.or(custom).filter(|inner| inner.is_map()) {
            Some(inner) => {
                let [name, arguments, input] = inner.pick(["name", "arguments", "input"]);
                self.call(id, name, arguments.or(input));
            }
            None => self.call(id, name.or(tool_name), arguments.or(args).or(kwargs).or(input)),
        }
    }

    /// A `tool_call_response` part.
    pub(super) fn result(&mut self, id: Option<View<'_>>, response: Option<View<'_>>) {
        self.result_named(id, None, response);
    }

    /// The same with the tool's name, which is all that links call and result where a provider has no ids (Google).
    fn result_named(&mut self, id: Option<View<'_>>, name: Option<View<'_>>, response: Option<View<'_>>) {
        self.begin_with("tool_call_response", id.filter(|id| !id.is_empty()));
        if let Some(name) = name.and_then(View::text) {
            self.out.raw(",\"name\":");
            self.out.text(name);
        }
        self.out.raw(",\"response\":");
        match response {
            Some(response) => match sole_text(response) {
                Some(text) => self.out.text(text),
                None => self.out.value(response.bytes()),
            },
            None => self.out.raw("null"),
        }
        self.out.raw("}");
    }

    /// Speech with its transcript: a `text` part and a `blob` part, or the `file` part of one that came before.
    pub(super) fn speech(&mut self, audio: View<'_>) {
        let [transcript, id, data] = audio.pick(["transcript", "id", "data"]);
        if let Some(text) = transcript.and_then(View::text).filter(|text| !text.bytes.is_empty()) {
            self.text(text);
        }
        if data.is_some_and(|data| !data.is_empty()) {
            self.media("audio", "audio", audio);
        } else if let Some(id) = id.filter(|_| transcript.is_none()) {
            self.begin("file");
            self.out.raw(",\"modality\":\"audio\",\"file_id\":");
            self.out.value(id.bytes());
            self.out.raw("}");
        }
    }

    /// The whole content of a message: text, a block, or a sequence of them.
    pub(super) fn content(&mut self, content: View<'_>) {
        match content.token() {
            None | Some(Token::Null) => {}
            Some(Token::List) => content.items().for_each(|block| self.block(block)),
            _ => self.block(content),
        }
    }

    /// One block of content.
    pub(super) fn block(&mut self, block: View<'_>) {
        match block.token() {
            None | Some(Token::Null) => {}
            Some(Token::Text(text)) => {
                if !text.bytes.is_empty() {
                    self.text(text);
                }
            }
            Some(Token::Map | Token::Object(_)) => {
                let [kind, block_kind] = block.pick(["type", "block_type"]);
                match kind.or(block_kind).and_then(View::word) {
                    Some(kind) => self.typed(&kind, block),
                    None => self.untyped(block),
                }
            }
            Some(_) => self.generic("json", block),
        }
    }

    /// A block that says what it is: OpenAI, Anthropic, LangChain, LlamaIndex and the conventions' own parts.
    fn typed(&mut self, kind: &str, block: View<'_>) {
        match kind {
            "text" | "input_text" | "output_text" | "summary_text" | "refusal" => self.text_block(kind, block),
            "text-plain" if block.get("text").is_some() => self.text_block(kind, block),
            "thinking" | "reasoning" | "reasoning_content" | "reasoning_text" => {
                let [thinking, reasoning, content, nested, summary, text] =
                    block.pick(["thinking", "reasoning", "content", "reasoning_content", "summary", "text"]);
                let found = thinking.or(reasoning).or(content).or(nested).or(text).filter(|found| !found.is_empty());
                if let Some(found) = found.or(summary) {
                    self.thinking(found);
                }
            }
            "redacted_thinking" => {
                // The provider's ciphertext is of use to the provider alone.
                self.begin("reasoning");
                self.out.raw(",\"content\":\"\",\"redacted\":true}");
            }
            "tool_use" | "tool_call" | "function_call" | "tool_call_chunk" | "invalid_tool_call"
            | "input_json_delta"
                if self.calls_listed => {}
            "tool_use" | "tool_call" | "function_call" | "custom_tool_call" | "invalid_tool_call" => {
                self.call_of(block);
            }
            "tool_result" | "tool_call_response" | "function_call_output" | "custom_tool_call_output" => {
                let [tool_use_id, call_id, id] = block.pick(["tool_use_id", "call_id", "id"]);
                let [content, output, response] = block.pick(["content", "output", "response"]);
                self.result(tool_use_id.or(call_id).or(id), response.or(output).or(content));
            }
            // A part of the conventions' own carries what identifies it and stays as it is.
            "blob" | "uri" | "server_tool_call_response" | "compaction" => self.as_is(block),
            "server_tool_call" if block.get("server_tool_call").is_some() => self.as_is(block),
            "server_tool_call" | "server_tool_use" | "mcp_tool_use" | "mcp_call" => {
                let [id, name] = block.pick(["id", "name"]);
                self.server_call(id, name.and_then(View::str).as_deref().unwrap_or(kind), block);
            }
            "executable_code" => self.server_call(block.get("id"), "code_execution", block),
            "server_tool_result" | "code_execution_result" => {
                let [id, output, result] = block.pick(["tool_call_id", "output", "code_execution_result"]);
                self.server_result(id, kind, output.or(result));
            }
            "file" if block.get("modality").is_some() => self.as_is(block),
            "image" | "image_url" | "input_image" => self.media("image", kind, block),
            "audio" | "input_audio" => self.media("audio", kind, block),
            "video" | "video_url" => self.media("video", kind, block),
            "file" | "input_file" | "document" => self.document(kind, block),
            // Google's form in LangChain: the media type alone says what it is.
            "media" => self.media("", kind, block),
            "guard_content" | "guardContent" => self.guarded(block.get("guard_content").unwrap_or(block)),
            // LangChain's wrapper for what its standard has no block for. Nobody wraps twice.
            "non_standard" => match block.get("value").filter(|inner| inner.is_map() && !is_wrapper(*inner)) {
                Some(inner) => self.block(inner),
                None => self.as_is(block),
            },
            // Where a provider may cut its cache is no content.
            "cache" | "cachePoint" | "cache_point" => {}
            _ if kind.ends_with("_tool_result") => {
                let [id, content] = block.pick(["tool_use_id", "content"]);
                self.server_result(id, kind, content);
            }
            // Hosted tools of the Responses API: web_search_call, code_interpreter_call, mcp_call and so on.
            _ if kind.ends_with("_call") => {
                self.server_call(block.get("id"), kind.trim_end_matches("_call"), block);
            }
            _ => self.as_is(block),
        }
    }

    fn text_block(&mut self, kind: &str, block: View<'_>) {
        let [text, content, refusal] = block.pick(["text", "content", "refusal"]);
        let found = if kind == "refusal" { refusal.or(text) } else { text.or(content) };
        // The Assistants API wraps the text once more.
        let found = found.map(|found| found.get("value").unwrap_or(found));
        match found.and_then(View::text) {
            Some(text) if text.bytes.is_empty() => {}
            Some(text) => self.text(text),
            None => self.as_is(block),
        }
    }

    /// A document: a file, or content that was put together for citing.
    fn document(&mut self, kind: &str, block: View<'_>) {
        let content = block.get("source").and_then(|source| source.get("content")).filter(|content| content.is_list());
        match content {
            Some(content) => content.items().for_each(|item| match sole_text_of(item) {
                Some(text) => self.text(text),
                None => self.media("image", "image", item),
            }),
            None => self.media("document", kind, block),
        }
    }

    /// Text that a guardrail is to look at (Bedrock).
    fn guarded(&mut self, content: View<'_>) {
        match content.get("text").map(|text| text.get("text").unwrap_or(text)).and_then(View::text) {
            Some(text) => self.text(text),
            None => self.generic("guard_content", content),
        }
    }

    fn media(&mut self, modality: &str, kind: &str, block: View<'_>) {
        match media::Media::read(modality, block) {
            Some(media::Media::PlainText(text)) => self.text(text),
            Some(media) => {
                self.begin(media.part());
                media.write(self.out);
                self.out.raw("}");
            }
            None => self.generic(kind, block),
        }
    }

    fn server_call(&mut self, id: Option<View<'_>>, name: &str, block: View<'_>) {
        self.begin_with("server_tool_call", id);
        self.out.raw(",\"name\":");
        self.out.str(name);
        self.out.raw(",\"server_tool_call\":");
        let [kind, index, pieces] = block.pick(["type", "index", "partial_json"]);
        if kind.is_some() && index.or(pieces).is_none() {
            self.out.value(block.bytes());
        } else {
            self.server_call_fields(kind, name, pieces, block);
        }
        self.out.raw("}");
    }

    /// A call without what a stream added to it: the block's number, and the input as the text that it came in.
    fn server_call_fields(&mut self, kind: Option<View<'_>>, name: &str, pieces: Option<View<'_>>, block: View<'_>) {
        self.out.raw("{\"type\":");
        self.out.word(kind.and_then(View::word).as_deref().unwrap_or(name));
        for (key, value) in block.pairs() {
            let key = key.to_str();
            match (&*key, pieces) {
                ("type" | "index" | "partial_json", _) => {}
                ("input", Some(pieces)) => {
                    self.out.raw(",\"input\":");
                    write_structured(pieces, self.out);
                }
                _ => {
                    self.out.raw(",");
                    self.out.key(&key);
                    self.out.value(value.bytes());
                }
            }
        }
        self.out.raw("}");
    }

    /// A call of a hosted tool that came in pieces.
    pub(super) fn streamed_server_call(&mut self, kind: &str, id: Option<View<'_>>, name: &str, input: View<'_>) {
        self.begin_with("server_tool_call", id);
        self.out.raw(",\"name\":");
        self.out.str(name);
        self.out.raw(",\"server_tool_call\":{\"type\":");
        self.out.word(kind);
        self.out.raw(",\"input\":");
        write_structured(input, self.out);
        self.out.raw("}}");
    }

    fn server_result(&mut self, id: Option<View<'_>>, kind: &str, content: Option<View<'_>>) {
        self.begin_with("server_tool_call_response", id.filter(|id| !id.is_empty()));
        self.out.raw(",\"server_tool_call_response\":{\"type\":");
        self.out.word(kind);
        self.out.raw(",\"content\":");
        match content {
            Some(content) => self.out.value(content.bytes()),
            None => self.out.raw("null"),
        }
        self.out.raw("}}");
    }

    /// A block that is told by its keys: Google's parts and those of Bedrock's Converse API.
    fn untyped(&mut self, block: View<'_>) {
        let [text, thought, call, call_camel, response, response_camel] =
            block.pick(["text", "thought", "function_call", "functionCall", "function_response", "functionResponse"]);
        let [inline, inline_camel, file, file_camel, code, code_camel, result, result_camel] = block.pick([
            "inline_data",
            "inlineData",
            "file_data",
            "fileData",
            "executable_code",
            "executableCode",
            "code_execution_result",
            "codeExecutionResult",
        ]);
        let [tool_use, tool_result, reasoning, image, document, video, cache_point] =
            block.pick(["toolUse", "toolResult", "reasoningContent", "image", "document", "video", "cachePoint"]);
        let [audio, guarded] = block.pick(["audio", "guardContent"]);
        let text = text.and_then(View::text);
        if let (Some(text), Some(true)) = (text, thought.map(View::is_true)) {
            self.reasoning_text(text);
        } else if let Some(text) = text {
            if !text.bytes.is_empty() {
                self.text(text);
            }
        } else if let Some(call) = call.or(call_camel).or(tool_use) {
            if !self.calls_listed {
                self.call_of(call);
            }
        } else if let Some(response) = response.or(response_camel) {
            let [id, name, body] = response.pick(["id", "name", "response"]);
            self.result_named(id, name, body);
        } else if let Some(result) = tool_result {
            let [id, content] = result.pick(["toolUseId", "content"]);
            self.result(id, content);
        } else if let Some(reasoning) = reasoning {
            self.thinking(reasoning);
        } else if let Some(data) = inline.or(inline_camel).or(file).or(file_camel) {
            self.media("", "file", data);
        } else if let Some(code) = code.or(code_camel) {
            self.server_call(None, "code_execution", code);
        } else if let Some(result) = result.or(result_camel) {
            self.server_result(None, "code_execution", Some(result));
        } else if let Some(image) = image {
            self.media("image", "image", image);
        } else if let Some(document) = document {
            self.document("document", document);
        } else if let Some(video) = video {
            self.media("video", "video", video);
        } else if let Some(audio) = audio {
            self.media("audio", "audio", audio);
        } else if let Some(guarded) = guarded {
            self.guarded(guarded);
        } else if cache_point.is_none() && !block.is_empty() {
            self.generic("json", block);
        }
    }

    /// A block under its own keys, its type among them.
    fn as_is(&mut self, block: View<'_>) {
        let [kind, block_kind] = block.pick(["type", "block_type"]);
        if let (None, Some(kind)) = (kind, block_kind.and_then(View::word)) {
            // LlamaIndex's name for it.
            self.begin(&kind);
            for (key, value) in block.pairs().filter(|(key, _)| !is_text(*key, "block_type")) {
                self.out.raw(",");
                self.out.key(&key.to_str());
                self.out.value(value.bytes());
            }
            return self.out.raw("}");
        }
        if self.written > 0 {
            self.out.raw(",");
        }
        self.written += 1;
        self.out.value(block.bytes());
    }

    /// A value that has no type of its own.
    fn generic(&mut self, kind: &str, value: View<'_>) {
        self.begin(kind);
        self.out.raw(",\"content\":");
        self.out.value(value.bytes());
        self.out.raw("}");
    }
}

/// Appends a value that should be structure: text that is a JSON object or array as that, anything else as it is.
pub(super) fn write_structured(value: View<'_>, out: &mut Writer<'_>) {
    let Some(text) = value.str() else { return out.value(value.bytes()) };
    if !(text.trim_start().starts_with(['{', '[']) && out.json_text(&text)) {
        out.str(&text);
    }
}

/// Whether a block holds another one.
fn is_wrapper(block: View<'_>) -> bool {
    block.get("type").and_then(View::str).as_deref() == Some("non_standard")
}

/// The text of one block of text, whatever provider's.
fn sole_text_of(block: View<'_>) -> Option<Text<'_>> {
    block.text().or_else(|| block.get("text").and_then(View::text))
}

/// The text of a value that is text, or one text block alone.
pub(super) fn sole_text(value: View<'_>) -> Option<Text<'_>> {
    if let Some(text) = value.text() {
        return Some(text);
    }
    let mut items = value.items();
    let (block, None) = (items.next()?, items.next()) else { return None };
    let [kind, text, block_kind] = block.pick(["type", "text", "block_type"]);
    let is_text = kind.or(block_kind).is_none_or(|kind| kind.str().is_some_and(|kind| kind.ends_with("text")));
    text.and_then(View::text).filter(|_| is_text)
}
