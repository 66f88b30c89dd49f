//! Every shape of message that providers and frameworks hand over, and what it becomes.

use serde_json::{Value, json};

use crate::kind::{Kind, Outcome};
use crate::semconv::Payloads;
use crate::semconv::testing::{described, tape};

/// `gen_ai.input.messages` of a model call that was sent `value`.
fn sent(value: &Value) -> Value {
    let messages = tape(value);
    let found = described(Kind::Generation, &Payloads { messages: Some(&messages), ..Payloads::default() });
    found.get("gen_ai.input.messages").cloned().unwrap_or_else(|| json!({ "value": found.get("input.value") }))
}

/// `gen_ai.output.messages` of a model call that answered `value`, and its finish reasons.
fn answered(value: &Value) -> (Value, Value) {
    let output = tape(value);
    let found = described(Kind::Generation, &Payloads { output: Some(&output), ..Payloads::default() });
    let messages = found.get("gen_ai.output.messages").cloned();
    let reasons = found.get("gen_ai.response.finish_reasons").cloned().unwrap_or_default();
    (messages.unwrap_or_else(|| json!({ "value": found.get("output.value") })), reasons)
}

fn text(content: &str) -> Value {
    json!({"type": "text", "content": content})
}

fn message(role: &str, parts: &[Value]) -> Value {
    json!({"role": role, "parts": parts})
}

#[test]
fn plain_text_is_one_message_of_the_user_or_the_model() {
    assert_eq!(sent(&json!("hi")), json!([message("user", &[text("hi")])]));
    assert_eq!(sent(&json!(["a", "b"])), json!([message("user", &[text("a")]), message("user", &[text("b")])]));
    let expected = json!([{"role": "assistant", "parts": [text("yes")], "finish_reason": "stop"}]);
    assert_eq!(answered(&json!("yes")), (expected, Value::Null));
}

#[test]
fn openai_chat_messages_keep_roles_calls_results_and_media() {
    let given = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        ]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}},
            {"id": "c2", "type": "function", "function": {"name": "broken", "arguments": "{\"city\": "}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "assistant", "content": "", "refusal": "No.", "reasoning_content": "hmm"},
        {"role": "assistant", "function_call": {"name": "old", "arguments": "{}"}},
    ]);
    let expected = json!([
        message("system", &[text("Be brief.")]),
        {"role": "user", "name": "ann", "parts": [
            text("Look"),
            {"type": "uri", "modality": "image", "uri": "https://x/y.png"},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "iVBO"},
            {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "UklG"},
            {"type": "file", "modality": "document", "file_id": "file-1"},
            {"type": "blob", "modality": "document", "mime_type": "application/pdf", "content": "JVBE"},
        ]},
        message("assistant", &[
            json!({"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}),
            json!({"type": "tool_call", "id": "c2", "name": "broken", "arguments": "{\"city\": "}),
        ]),
        message("tool", &[json!({"type": "tool_call_response", "id": "c1", "response": "rain"})]),
        message("assistant", &[json!({"type": "reasoning", "content": "hmm"}), text("No.")]),
        message("assistant", &[json!({"type": "tool_call", "name": "old", "arguments": {}})]),
    ]);
    assert_eq!(sent(&given), expected);
}

#[test]
fn items_of_the_responses_api_are_messages_on_input_and_one_choice_on_output() {
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"});
    let given = json!([
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        call,
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]);
    let call_part = json!({"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}});
    let expected = json!([
        message("user", &[text("hi")]),
        message("assistant", std::slice::from_ref(&call_part)),
        message("tool", &[json!({"type": "tool_call_response", "id": "c1", "response": "42"})]),
    ]);
    assert_eq!(sent(&given), expected);

    let response = json!({"$": "openai.types.responses.Response", "id": "resp_1", "model": "gpt-5", "status": "completed",
    "output": [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "think"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
        call,
        {"type": "web_search_call", "id": "ws", "status": "completed"},
    ]});
    let expected = json!([{"role": "assistant", "finish_reason": "tool_call", "parts": [
        {"type": "reasoning", "content": "think"},
        text("ok"),
        call_part,
        {"type": "server_tool_call", "id": "ws", "name": "web_search",
         "server_tool_call": {"type": "web_search_call", "id": "ws", "status": "completed"}},
    ]}]);
    assert_eq!(answered(&response), (expected, json!(["tool_call"])));
}

#[test]
fn anthropic_blocks_become_parts_and_results_of_tools_take_the_tools_role() {
    let given = json!({"messages": [
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}},
            {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "t", "signature": "s"},
            {"type": "redacted_thinking", "data": "xxx"},
            {"type": "tool_use", "id": "tu", "name": "f", "input": {"a": 1}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "tu", "content": [{"type": "text", "text": "r"}]}]},
    ]});
    let expected = json!([
        message(
            "user",
            &[
                json!({"type": "blob", "modality": "image", "mime_type": "image/jpeg", "content": "/9j/"}),
                json!({"type": "uri", "modality": "document", "uri": "https://x/a.pdf"}),
                text("plain"),
            ]
        ),
        message(
            "assistant",
            &[
                json!({"type": "reasoning", "content": "t"}),
                json!({"type": "reasoning", "content": "", "redacted": true}),
                json!({"type": "tool_call", "id": "tu", "name": "f", "arguments": {"a": 1}}),
            ]
        ),
        message("tool", &[json!({"type": "tool_call_response", "id": "tu", "response": "r"})]),
    ]);
    assert_eq!(sent(&given), expected);

    let answer = json!({"$": "anthropic.types.Message", "id": "msg_1", "role": "assistant", "type": "message",
        "model": "claude", "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 2},
        "content": [{"$": "TextBlock", "type": "text", "text": "hi", "citations": null}]});
    let expected = json!([{"role": "assistant", "parts": [text("hi")], "finish_reason": "tool_call"}]);
    assert_eq!(answered(&answer), (expected, json!(["tool_call"])));
}

#[test]
fn google_contents_and_candidates_become_messages() {
    let given = json!({"contents": [
        {"parts": [{"text": "hi"}, {"inline_data": {"mime_type": "image/png", "data": "AAAA"}},
                   {"fileData": {"fileUri": "gs://b/v.mp4", "mimeType": "video/mp4"}}]},
        {"role": "model", "parts": [{"text": "plan", "thought": true}, {"function_call": {"name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"ok": true}}}]},
    ]});
    let expected = json!([
        message(
            "user",
            &[
                text("hi"),
                json!({"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"}),
                json!({"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "gs://b/v.mp4"}),
            ]
        ),
        message(
            "assistant",
            &[
                json!({"type": "reasoning", "content": "plan"}),
                json!({"type": "tool_call", "name": "f", "arguments": {"a": 1}}),
            ]
        ),
        message("tool", &[json!({"type": "tool_call_response", "name": "f", "response": {"ok": true}})]),
    ]);
    assert_eq!(sent(&given), expected);
    let answer = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "a", "function_call": null}]},
        "finish_reason": "FinishReason.MAX_TOKENS"}]});
    let expected = json!([{"role": "assistant", "parts": [text("a")], "finish_reason": "length"}]);
    assert_eq!(answered(&answer), (expected, json!(["length"])));
}

#[test]
fn langchain_messages_and_their_dumps_are_the_same_messages() {
    let fields = |extra: Value| {
        let mut all = json!({"additional_kwargs": {}, "response_metadata": {}, "name": null, "id": null});
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        all
    };
    let human = fields(json!({"content": "hi", "type": "human"}));
    let ai = fields(
        json!({"content": [{"type": "text", "text": "let me"}, {"type": "tool_use", "id": "c1", "name": "f", "input": {}}],
        "type": "ai", "tool_calls": [{"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}],
        "invalid_tool_calls": [{"name": "g", "args": "{", "id": "c2", "error": "e", "type": "invalid_tool_call"}],
        "additional_kwargs": {"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}}),
    );
    let tool = fields(json!({"content": "42", "type": "tool", "tool_call_id": "c1", "name": "f", "status": "success"}));
    let expected = json!([
        message("user", &[text("hi")]),
        message("assistant", &[
            text("let me"),
            json!({"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}}),
            json!({"type": "tool_call", "id": "c2", "name": "g", "arguments": "{"}),
        ]),
        {"role": "tool", "name": "f", "parts": [{"type": "tool_call_response", "id": "c1", "response": "42"}]},
    ]);
    let object = |class: &str, fields: &Value| {
        let mut all = fields.clone();
        all["$"] = json!(class);
        all
    };
    let objects = [
        object("HumanMessage", &human),
        object("langchain_core.messages.ai.AIMessage", &ai),
        object("ToolMessage", &tool),
    ];
    assert_eq!(sent(&json!(objects)), expected);
    // A batch of one, as callbacks of chat models get it.
    assert_eq!(sent(&json!([objects])), expected);
    // A prompt value.
    assert_eq!(sent(&json!({"$": "ChatPromptValue", "messages": objects})), expected);
    // messages_to_dict
    let dumped: Vec<Value> = [&human, &ai, &tool].map(|fields| json!({"type": fields["type"], "data": fields})).into();
    assert_eq!(sent(&json!(dumped)), expected);
    // dumpd
    let dumped = [("HumanMessage", &human), ("AIMessage", &ai), ("ToolMessage", &tool)].map(|(class, fields)| {
        json!({"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", class], "kwargs": fields})
    });
    assert_eq!(sent(&json!(dumped)), expected);
    // Pairs of role and content.
    let pairs = json!([["system", "be brief"], ["human", "hi"], ["ai", "ho"]]);
    let expected = json!([
        message("system", &[text("be brief")]),
        message("user", &[text("hi")]),
        message("assistant", &[text("ho")])
    ]);
    assert_eq!(sent(&pairs), expected);
}

#[test]
fn a_langchain_result_gives_one_message_per_choice_with_its_reason() {
    let alternative = |content: &str, reason: &str| {
        json!({"$": "ChatGeneration", "text": content, "generation_info": {"finish_reason": reason}, "type": "ChatGeneration",
            "message": {"$": "AIMessage", "content": content, "type": "ai", "additional_kwargs": {}, "tool_calls": [],
                "response_metadata": {"model_name": "gpt-4o-2024", "finish_reason": reason}}})
    };
    let result = json!({"$": "LLMResult", "generations": [[alternative("a", "stop"), alternative("b", "length")]],
        "llm_output": {"model_name": "gpt-4o"}, "run": null, "type": "LLMResult"});
    let expected = json!([
        {"role": "assistant", "parts": [text("a")], "finish_reason": "stop"},
        {"role": "assistant", "parts": [text("b")], "finish_reason": "length"},
    ]);
    assert_eq!(answered(&result), (expected, json!(["stop", "length"])));
    let completion = json!({"generations": [[{"text": "plain", "generation_info": null}]], "llm_output": null});
    let expected = json!([{"role": "assistant", "parts": [text("plain")], "finish_reason": "stop"}]);
    assert_eq!(answered(&json!({"$": "LLMResult", "generations": completion["generations"]})), (expected, Value::Null));
}

#[test]
fn an_answer_with_calls_but_no_reason_ended_for_them_and_a_failed_one_by_error() {
    let output = tape(
        &json!({"$": "AIMessage", "type": "ai", "content": "", "tool_calls": [{"name": "f", "args": {}, "id": "1"}]}),
    );
    let mut payloads = Payloads { output: Some(&output), ..Payloads::default() };
    let found = described(Kind::Generation, &payloads);
    assert_eq!(found["gen_ai.output.messages"][0]["finish_reason"], "tool_call");
    payloads.outcome = Outcome::Error;
    let found = described(Kind::Generation, &payloads);
    assert_eq!(found["gen_ai.output.messages"][0]["finish_reason"], "error");
    assert!(!found.contains_key("gen_ai.response.finish_reasons"));
}

#[test]
fn llamaindex_messages_give_their_blocks_and_the_calls_of_either_version() {
    let user = json!({"$": "ChatMessage", "role": {"$": "MessageRole", "_value_": "user"}, "additional_kwargs": {}, "blocks": [
        {"$": "TextBlock", "block_type": "text", "text": "look"},
        {"$": "ImageBlock", "block_type": "image", "image": "iVBO", "path": null, "url": null, "image_mimetype": "image/png"},
    ]});
    let old = json!({"$": "ChatMessage", "role": "MessageRole.ASSISTANT", "blocks": [{"block_type": "text", "text": ""}],
        "additional_kwargs": {"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}});
    let new = json!({"$": "ChatMessage", "role": "assistant", "additional_kwargs": {"tool_calls": [{"id": "c1"}]},
        "blocks": [{"block_type": "tool_call", "tool_call_id": "c1", "tool_name": "f", "tool_kwargs": {"a": 1}}]});
    let tool = json!({"$": "ChatMessage", "role": "tool", "additional_kwargs": {"tool_call_id": "c1"},
        "blocks": [{"block_type": "text", "text": "42"}]});
    let expected = json!([
        message(
            "user",
            &[text("look"), json!({"type": "blob", "modality": "image", "mime_type": "image/png", "content": "iVBO"}),]
        ),
        message("assistant", &[json!({"type": "tool_call", "id": "c1", "name": "f", "arguments": {}})]),
        message("assistant", &[json!({"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}})]),
        message("tool", &[json!({"type": "tool_call_response", "id": "c1", "response": "42"})]),
    ]);
    assert_eq!(sent(&json!([user, old, new, tool])), expected);
    let answer = json!({"$": "ChatResponse", "message": {"$": "ChatMessage", "role": "assistant", "blocks": [
        {"block_type": "text", "text": "ok"}], "additional_kwargs": {}}, "raw": {"model": "gpt-4o"}, "delta": null});
    let expected = json!([{"role": "assistant", "parts": [text("ok")], "finish_reason": "stop"}]);
    assert_eq!(answered(&answer), (expected, Value::Null));
}

#[test]
fn what_is_no_message_is_recorded_as_it_is() {
    let odd = json!([{"role": "user", "content": "hi"}, {"what": 1}]);
    assert_eq!(sent(&odd), json!({"value": odd.to_string()}));
    assert_eq!(answered(&json!({"x": [1]})), (json!({"value": "{\"x\":[1]}"}), Value::Null));
    assert_eq!(answered(&json!(7)), (json!({"value": "7"}), Value::Null));
    assert_eq!(sent(&json!([])), json!({"value": "[]"}));
    // Two conversations in one call are no single history.
    assert_eq!(sent(&json!([["a"], ["b"]])), json!({"value": "[[\"a\"],[\"b\"]]"}));
}

#[test]
fn the_conventions_own_messages_stay_as_they_are() {
    let given = json!([
        {"role": "user", "parts": [text("q"), {"type": "uri", "modality": "image", "uri": "s3://b/k.png"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": {"rain": true}}]},
        {"role": "assistant", "parts": [{"type": "mystery", "content": [1, 2]}]},
    ]);
    assert_eq!(sent(&given), given);
}
