//! Blocks of content in every form that providers' packages and frameworks use, one by one, and the parts they become.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::semconv::Payloads;
use crate::semconv::testing::{described, tape};

/// The parts of a message of `role` whose content is `block`.
fn parts(role: &str, block: &Value) -> Value {
    let messages = tape(&json!([{"role": role, "content": [block]}]));
    let found = described(Kind::Generation, &Payloads { messages: Some(&messages), ..Payloads::default() });
    found["gen_ai.input.messages"][0]["parts"].clone()
}

fn check(role: &str, table: &[(Value, Value)]) {
    for (block, expected) in table {
        assert_eq!(parts(role, block), json!([expected]), "{block}");
    }
}

fn blob(modality: &str, mime: &str) -> Value {
    json!({"type": "blob", "modality": modality, "mime_type": mime, "content": "iVBORw0="})
}

fn uri(modality: &str, uri: &str) -> Value {
    json!({"type": "uri", "modality": modality, "uri": uri})
}

fn file(modality: &str) -> Value {
    json!({"type": "file", "modality": modality, "file_id": "file_1"})
}

fn text(content: &str) -> Value {
    json!({"type": "text", "content": content})
}

#[test]
fn media_of_langchain_s_first_standard() {
    check(
        "user",
        &[
            (json!({"type": "image", "source_type": "url", "url": "https://x/a.png"}), uri("image", "https://x/a.png")),
            (
                json!({"type": "image", "source_type": "base64", "data": "iVBORw0=", "mime_type": "image/png"}),
                blob("image", "image/png"),
            ),
            (json!({"type": "image", "source_type": "id", "id": "file_1"}), file("image")),
            (
                json!({"type": "audio", "source_type": "base64", "data": "iVBORw0=", "mime_type": "audio/wav"}),
                blob("audio", "audio/wav"),
            ),
            (
                json!({"type": "file", "source_type": "base64", "data": "iVBORw0=", "mime_type": "application/pdf", "filename": "a"}),
                blob("document", "application/pdf"),
            ),
            (json!({"type": "file", "source_type": "id", "id": "file_1"}), file("document")),
            (json!({"type": "file", "source_type": "text", "text": "plain", "mime_type": "text/plain"}), text("plain")),
        ],
    );
}

#[test]
fn media_of_langchain_s_second_standard() {
    check(
        "user",
        &[
            (json!({"type": "image", "url": "https://x/a.png", "id": "lc_1"}), uri("image", "https://x/a.png")),
            (json!({"type": "image", "url": "data:image/png;base64,iVBORw0="}), blob("image", "image/png")),
            (json!({"type": "image", "base64": "iVBORw0=", "mime_type": "image/png"}), blob("image", "image/png")),
            (json!({"type": "image", "file_id": "file_1"}), file("image")),
            (json!({"type": "video", "url": "https://x/v.mp4"}), uri("video", "https://x/v.mp4")),
            (json!({"type": "audio", "base64": "iVBORw0=", "mime_type": "audio/wav"}), blob("audio", "audio/wav")),
            (
                json!({"type": "file", "base64": "iVBORw0=", "mime_type": "application/pdf"}),
                blob("document", "application/pdf"),
            ),
            (json!({"type": "text-plain", "text": "plain", "mime_type": "text/plain", "title": "t"}), text("plain")),
            (
                json!({"type": "text-plain", "base64": "iVBORw0=", "mime_type": "text/plain"}),
                json!({
            "type": "text-plain", "base64": "iVBORw0=", "mime_type": "text/plain"}),
            ),
        ],
    );
}

#[test]
fn media_of_openai() {
    check(
        "user",
        &[
            (json!({"type": "image_url", "image_url": "https://x/a.png"}), uri("image", "https://x/a.png")),
            (
                json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}),
                blob("image", "image/png"),
            ),
            (
                json!({"type": "input_audio", "input_audio": {"data": "iVBORw0=", "format": "mp3"}}),
                blob("audio", "audio/mp3"),
            ),
            (
                json!({"type": "file", "file": {"filename": "a", "file_data": "data:application/pdf;base64,iVBORw0="}}),
                blob("document", "application/pdf"),
            ),
            (json!({"type": "file", "file": {"file_id": "file_1"}}), file("document")),
            (
                json!({"type": "input_image", "image_url": "https://x/a.png", "detail": "auto"}),
                uri("image", "https://x/a.png"),
            ),
            (json!({"type": "input_image", "file_id": "file_1"}), file("image")),
            (json!({"type": "input_file", "file_url": "https://x/a.pdf"}), uri("document", "https://x/a.pdf")),
            (
                json!({"type": "input_file", "filename": "a", "file_data": "data:application/pdf;base64,iVBORw0="}),
                blob("document", "application/pdf"),
            ),
        ],
    );
}

#[test]
fn media_of_anthropic() {
    let source =
        |source: Value| json!({"type": "document", "source": source, "title": "t", "citations": {"enabled": true}});
    check(
        "user",
        &[
            (
                json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}}),
                blob("image", "image/png"),
            ),
            (
                json!({"type": "image", "source": {"type": "url", "url": "https://x/a.png"}}),
                uri("image", "https://x/a.png"),
            ),
            (json!({"type": "image", "source": {"type": "file", "file_id": "file_1"}}), file("image")),
            (
                source(json!({"type": "base64", "media_type": "application/pdf", "data": "iVBORw0="})),
                blob("document", "application/pdf"),
            ),
            (source(json!({"type": "text", "media_type": "text/plain", "data": "plain"})), text("plain")),
            (source(json!({"type": "content", "content": [{"type": "text", "text": "plain"}]})), text("plain")),
            (
                json!({"type": "search_result", "source": "https://x", "title": "t", "content": [{"type": "text", "text": "p"}]}),
                json!({"type": "search_result", "source": "https://x", "title": "t", "content": [{"type": "text", "text": "p"}]}),
            ),
        ],
    );
}

#[test]
fn media_of_google() {
    check(
        "user",
        &[
            (json!({"type": "media", "mime_type": "audio/mp3", "data": "iVBORw0="}), blob("audio", "audio/mp3")),
            (
                json!({"type": "media", "mime_type": "application/pdf", "data": {"$bytes": [137, 80, 78, 71, 13]}}),
                blob("document", "application/pdf"),
            ),
            (
                json!({"type": "media", "mime_type": "video/mp4", "file_uri": "gs://b/v.mp4"}),
                json!({"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "gs://b/v.mp4"}),
            ),
            (json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw0="}}), blob("image", "image/png")),
        ],
    );
}

#[test]
fn media_of_bedrock() {
    let bytes = json!({"bytes": {"$bytes": [137, 80, 78, 71, 13]}});
    check(
        "user",
        &[
            (json!({"image": {"format": "png", "source": bytes}}), blob("image", "image/png")),
            (json!({"audio": {"format": "mp3", "source": bytes}}), blob("audio", "audio/mp3")),
            (json!({"document": {"format": "pdf", "name": "a", "source": bytes}}), blob("document", "application/pdf")),
            (json!({"document": {"format": "txt", "name": "a", "source": {"text": "plain"}}}), text("plain")),
            (json!({"document": {"name": "a", "source": {"content": [{"text": "plain"}]}}}), text("plain")),
            (
                json!({"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/v.mp4", "bucketOwner": "1"}}}}),
                json!({"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "s3://b/v.mp4"}),
            ),
            (json!({"guardContent": {"text": {"text": "check", "qualifiers": ["query"]}}}), text("check")),
        ],
    );
}

#[test]
fn media_of_llamaindex() {
    check(
        "user",
        &[
            (
                json!({"$": "ImageBlock", "block_type": "image", "image": {"$bytes": b"iVBORw0="}, "path": null, "url": null, "image_mimetype": "image/png"}),
                blob("image", "image/png"),
            ),
            (
                json!({"$": "AudioBlock", "block_type": "audio", "audio": {"$bytes": b"iVBORw0="}, "url": null, "format": "wav"}),
                blob("audio", "audio/wav"),
            ),
            (
                json!({"$": "VideoBlock", "block_type": "video", "video": {"$bytes": b"iVBORw0="}, "url": null, "video_mimetype": "video/mp4"}),
                blob("video", "video/mp4"),
            ),
            (
                json!({"$": "DocumentBlock", "block_type": "document", "data": {"$bytes": b"iVBORw0="}, "document_mimetype": "application/pdf"}),
                blob("document", "application/pdf"),
            ),
            (
                json!({"$": "CitableBlock", "block_type": "citable", "title": "t", "source": "s", "content": []}),
                json!({"type": "citable", "title": "t", "source": "s", "content": []}),
            ),
        ],
    );
}

#[test]
fn marks_of_a_cache_are_no_content() {
    for block in [
        json!({"cachePoint": {"type": "default"}}),
        json!({"type": "cachePoint"}),
        json!({"$": "CachePoint", "block_type": "cache", "cache_control": {"type": "ephemeral"}}),
    ] {
        assert_eq!(parts("user", &block), json!([]), "{block}");
    }
}

#[test]
fn calls_and_results_of_hosted_tools() {
    let call = json!({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}});
    let part =
        |inner: Value| json!({"type": "server_tool_call", "id": "s1", "name": "web_search", "server_tool_call": inner});
    check(
        "assistant",
        &[
            (call.clone(), part(call)),
            // As LangChain joins the pieces of a stream.
            (
                json!({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}, "index": 1, "partial_json": "{\"query\": \"x\"}"}),
                part(json!({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}})),
            ),
            (
                json!({"type": "server_tool_call", "id": "s1", "name": "web_search", "args": {"query": "x"}}),
                part(json!({"type": "server_tool_call", "id": "s1", "name": "web_search", "args": {"query": "x"}})),
            ),
            (
                json!({"type": "server_tool_result", "tool_call_id": "s1", "status": "success", "output": [1]}),
                json!({"type": "server_tool_call_response", "id": "s1",
                "server_tool_call_response": {"type": "server_tool_result", "content": [1]}}),
            ),
            (
                json!({"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "u"}]}),
                json!({"type": "server_tool_call_response", "id": "s1",
                "server_tool_call_response": {"type": "web_search_tool_result", "content": [{"url": "u"}]}}),
            ),
            (
                json!({"type": "mcp_call", "id": "s1", "name": "roll", "server_label": "dice", "arguments": "{}"}),
                json!({"type": "server_tool_call", "id": "s1", "name": "roll",
                "server_tool_call": {"type": "mcp_call", "id": "s1", "name": "roll", "server_label": "dice", "arguments": "{}"}}),
            ),
            (
                json!({"type": "executable_code", "executable_code": "1", "language": "PYTHON", "id": "s1"}),
                json!({"type": "server_tool_call", "id": "s1", "name": "code_execution",
                "server_tool_call": {"type": "executable_code", "executable_code": "1", "language": "PYTHON", "id": "s1"}}),
            ),
            (
                json!({"type": "code_execution_result", "code_execution_result": "2", "outcome": 1, "tool_call_id": ""}),
                json!({"type": "server_tool_call_response",
                "server_tool_call_response": {"type": "code_execution_result", "content": "2"}}),
            ),
        ],
    );
}

#[test]
fn blocks_around_blocks_are_opened_once() {
    let wrapped = |value: Value| json!({"type": "non_standard", "value": value});
    check(
        "assistant",
        &[
            (wrapped(json!({"type": "text", "text": "plain"})), text("plain")),
            (wrapped(json!({"type": "mystery", "a": 1})), json!({"type": "mystery", "a": 1})),
            (wrapped(wrapped(json!({"a": 1}))), wrapped(wrapped(json!({"a": 1})))),
            (wrapped(json!(3)), wrapped(json!(3))),
        ],
    );
}

#[test]
fn broken_calls_keep_their_text() {
    check(
        "assistant",
        &[(
            json!({"type": "invalid_tool_call", "id": "c1", "name": "f", "args": "{\"city\": ", "error": "e"}),
            json!({"type": "tool_call", "id": "c1", "name": "f", "arguments": "{\"city\": "}),
        )],
    );
}
