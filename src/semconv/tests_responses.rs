//! What responses say besides their messages: where providers and frameworks keep usage, reasons, calls and speech, and
//! which of several places counts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::semconv::Payloads;
use crate::semconv::testing::{described, tape};

fn answered(value: &Value) -> BTreeMap<String, Value> {
    let output = tape(value);
    described(Kind::Generation, &Payloads { output: Some(&output), ..Payloads::default() })
}

/// Input, output, cached, reasoning; -1 where nothing is said.
fn tokens(found: &BTreeMap<String, Value>) -> [i64; 4] {
    ["input_tokens", "output_tokens", "cache_read.input_tokens", "reasoning.output_tokens"]
        .map(|name| found.get(&format!("gen_ai.usage.{name}")).and_then(Value::as_i64).unwrap_or(-1))
}

/// A result of LangChain's with one choice.
fn result(message: Value, llm_output: &Value) -> Value {
    let mut message = message;
    message["$"] = json!("AIMessage");
    message["type"] = json!("ai");
    json!({"$": "LLMResult", "generations": [[{"$": "ChatGeneration", "message": message, "text": ""}]], "llm_output": llm_output})
}

#[test]
fn usage_in_several_places_counts_once_and_details_are_taken_from_any() {
    let short = json!({"input_tokens": 9, "output_tokens": 4, "total_tokens": 13});
    let long = json!({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 1}});
    let other = json!({"prompt_tokens": 90, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}});
    let zeros = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    let table = [
        (
            json!({"content": "a", "usage_metadata": short, "response_metadata": {"token_usage": long}}),
            json!(null),
            [9, 4, 3, 1],
        ),
        (json!({"content": "a", "usage_metadata": short}), json!({"token_usage": long}), [9, 4, 3, 1]),
        // What counts other tokens is another report.
        (json!({"content": "a", "usage_metadata": short}), json!({"token_usage": other}), [9, 4, -1, -1]),
        (json!({"content": "a"}), json!({"token_usage": long}), [9, 4, 3, 1]),
        // Zeros stand for counts that nobody had.
        (json!({"content": "a", "usage_metadata": zeros}), json!({"token_usage": long}), [9, 4, 3, 1]),
        (json!({"content": "a", "usage_metadata": zeros}), json!(null), [-1, -1, -1, -1]),
        (
            json!({"content": "a", "usage_metadata": {"input_tokens": 0, "output_tokens": 4}}),
            json!(null),
            [-1, 4, -1, -1],
        ),
        // An answer may be empty.
        (
            json!({"content": "", "usage_metadata": {"input_tokens": 9, "output_tokens": 0}}),
            json!(null),
            [9, 0, -1, -1],
        ),
    ];
    for (message, llm_output, expected) in table {
        assert_eq!(tokens(&answered(&result(message.clone(), &llm_output))), expected, "{message} {llm_output}");
    }
}

#[test]
fn counts_that_a_caller_states_stay_zero() {
    let usage = tape(&json!({"input": 0, "output": 0}));
    let found = described(Kind::Generation, &Payloads { usage: vec![&usage], ..Payloads::default() });
    assert_eq!(tokens(&found), [0, 0, -1, -1]);
}

#[test]
fn a_responses_state_gives_way_to_what_it_leaves_open() {
    let call = json!([{"name": "f", "args": {}, "id": "c1"}]);
    let table = [
        (json!({"content": "a", "response_metadata": {"status": "completed"}}), "stop"),
        (json!({"content": "", "tool_calls": call, "response_metadata": {"status": "completed"}}), "tool_call"),
        (
            json!({"content": "a", "response_metadata": {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}}),
            "content_filter",
        ),
        (
            json!({"content": "a", "response_metadata": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}}),
            "length",
        ),
        (json!({"content": "a", "response_metadata": {"status": "incomplete"}}), "length"),
        (json!({"content": "a", "response_metadata": {"status": "failed"}}), "error"),
    ];
    for (message, expected) in table {
        let found = answered(&result(message.clone(), &json!(null)));
        assert_eq!(found["gen_ai.response.finish_reasons"], json!([expected]), "{message}");
    }
    let found =
        answered(&result(json!({"content": "a", "response_metadata": {"status": "in_progress"}}), &json!(null)));
    assert!(!found.contains_key("gen_ai.response.finish_reasons"));
}

#[test]
fn the_pieces_of_streamed_calls_outlive_what_langchain_parsed_of_them() {
    let chunk = json!({"$": "AIMessageChunk", "type": "AIMessageChunk", "content": "",
    "tool_calls": [{"name": "f", "args": {}, "id": "c1"}, {"name": "g", "args": {}, "id": "c2"}],
    "invalid_tool_calls": [{"name": "h", "args": "[", "id": "c3"}],
    "tool_call_chunks": [
        {"name": "f", "args": "{\"city\": \"Os", "id": "c1", "index": 0},
        {"name": "g", "args": "", "id": "c2", "index": 1},
        {"name": "h", "args": "[", "id": "c3", "index": 2},
    ]});
    let generation = json!({"$": "ChatGenerationChunk", "message": chunk, "text": ""});
    let found = answered(&json!({"$": "LLMResult", "generations": [[generation]], "llm_output": null}));
    let expected = json!([
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": "{\"city\": \"Os"},
        {"type": "tool_call", "id": "c2", "name": "g", "arguments": {}},
        {"type": "tool_call", "id": "c3", "name": "h", "arguments": "["},
    ]);
    assert_eq!(found["gen_ai.output.messages"][0]["parts"], expected);
}

#[test]
fn speech_is_its_transcript_and_its_sound() {
    let audio = json!({"id": "audio_1", "data": "UklGRg==", "expires_at": 1, "transcript": "Rain."});
    let expected = json!([
        {"type": "text", "content": "Rain."},
        {"type": "blob", "modality": "audio", "content": "UklGRg=="},
    ]);
    let openai = json!({"choices": [{"message": {"role": "assistant", "content": null, "audio": audio}, "finish_reason": "stop"}]});
    assert_eq!(answered(&openai)["gen_ai.output.messages"][0]["parts"], expected);
    let langchain = result(json!({"content": "", "additional_kwargs": {"audio": audio}}), &json!(null));
    assert_eq!(answered(&langchain)["gen_ai.output.messages"][0]["parts"], expected);
    // Sent back in the history it is named only.
    let history = tape(&json!([{"role": "assistant", "content": null, "audio": {"id": "audio_1"}}]));
    let found = described(Kind::Generation, &Payloads { messages: Some(&history), ..Payloads::default() });
    let expected = json!([{"type": "file", "modality": "audio", "file_id": "audio_1"}]);
    assert_eq!(found["gen_ai.input.messages"][0]["parts"], expected);
}

/// What LlamaIndex makes of a response: the message, and the response as it came.
fn llamaindex(blocks: &Value, raw: &Value, extra: &Value) -> Value {
    json!({"$": "ChatResponse", "message": {"$": "ChatMessage", "role": "assistant", "additional_kwargs": {}, "blocks": blocks},
        "raw": raw, "delta": null, "additional_kwargs": extra})
}

#[test]
fn a_llamaindex_answer_takes_reason_usage_and_names_from_the_response_that_it_keeps() {
    let blocks = json!([{"block_type": "text", "text": "ok"}]);
    let table = [
        (
            json!({"choices": [{"finish_reason": "length", "message": {"role": "assistant", "content": "ok"}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 4}, "id": "r", "model": "m"}),
            "length",
        ),
        (
            json!({"stop_reason": "max_tokens", "usage": {"input_tokens": 6, "cache_read_input_tokens": 3, "output_tokens": 4},
            "id": "r", "model": "m"}),
            "length",
        ),
        (
            json!({"candidates": [{"finishReason": "SAFETY"}], "modelVersion": "m", "responseId": "r",
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4}}),
            "content_filter",
        ),
        (
            json!({"done_reason": "stop", "model": "m", "id": "r", "usage": {"prompt_tokens": 9, "completion_tokens": 4}}),
            "stop",
        ),
        // The event that ends a stream of the Responses API.
        (
            json!({"type": "response.incomplete", "response": {"id": "r", "model": "m", "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"}, "usage": {"input_tokens": 9, "output_tokens": 4,
            "input_tokens_details": {"cached_tokens": 3}}}}),
            "length",
        ),
    ];
    for (raw, reason) in table {
        let found = answered(&llamaindex(&blocks, &raw, &json!({})));
        let expected =
            json!([{"role": "assistant", "parts": [{"type": "text", "content": "ok"}], "finish_reason": reason}]);
        assert_eq!(found["gen_ai.output.messages"], expected, "{raw}");
        assert_eq!(found["gen_ai.response.finish_reasons"], json!([reason]), "{raw}");
        assert_eq!(tokens(&found)[..2], [9, 4], "{raw}");
        assert_eq!(
            (&found["gen_ai.response.id"], &found["gen_ai.response.model"]),
            (&json!("r"), &json!("m")),
            "{raw}"
        );
    }
    let found = answered(&llamaindex(&blocks, &json!(null), &json!({"prompt_tokens": 9, "completion_tokens": 4})));
    assert_eq!(tokens(&found), [9, 4, -1, -1]);
}

#[test]
fn what_llamaindex_drops_of_a_response_comes_from_the_response() {
    let refused = json!({"choices": [{"finish_reason": "stop",
        "message": {"role": "assistant", "content": null, "refusal": "No."}}], "usage": {"prompt_tokens": 9, "completion_tokens": 4}});
    let found = answered(&llamaindex(&json!([]), &refused, &json!({})));
    let expected =
        json!([{"role": "assistant", "parts": [{"type": "text", "content": "No."}], "finish_reason": "stop"}]);
    assert_eq!(found["gen_ai.output.messages"], expected);
    assert_eq!(tokens(&found), [9, 4, -1, -1]);

    let search = json!({"type": "web_search_call", "id": "ws"});
    let items = json!({"id": "r", "status": "completed", "usage": {"input_tokens": 9, "output_tokens": 4}, "output": [
        search, {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}]});
    for raw in [items.clone(), json!({"type": "response.completed", "response": items})] {
        let found = answered(&llamaindex(&json!([{"block_type": "text", "text": "ok"}]), &raw, &json!({})));
        let expected = json!([
            {"type": "server_tool_call", "id": "ws", "name": "web_search", "server_tool_call": search},
            {"type": "text", "content": "ok"},
        ]);
        assert_eq!(found["gen_ai.output.messages"][0]["parts"], expected);
        assert_eq!(tokens(&found), [9, 4, -1, -1]);
    }
}

#[test]
fn a_message_without_content_is_one() {
    let found = answered(&llamaindex(&json!([]), &json!({"stop_reason": "refusal"}), &json!({})));
    let expected = json!([{"role": "assistant", "parts": [], "finish_reason": "content_filter"}]);
    assert_eq!(found["gen_ai.output.messages"], expected);
}

#[test]
fn cohere_bills_other_tokens_than_it_reads() {
    let found = answered(&json!({"$": "V2ChatResponse", "id": "co_1", "finish_reason": "TOOL_CALL",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "ok"}],
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        "usage": {"billed_units": {"input_tokens": 9.0, "output_tokens": 4.0}, "tokens": {"input_tokens": 70.0, "output_tokens": 6.0}}}));
    assert_eq!(tokens(&found), [9, 4, -1, -1]);
    assert_eq!(found["gen_ai.response.finish_reasons"], json!(["tool_call"]));
    assert_eq!(found["gen_ai.response.id"], json!("co_1"));
}

#[test]
fn tools_are_named_in_every_provider_s_form() {
    let table = [
        (json!([{"type": "function", "function": {"name": "f"}}]), json!([{"type": "function", "name": "f"}])),
        (json!([{"type": "function", "name": "f", "parameters": {}}]), json!([{"type": "function", "name": "f"}])),
        (json!([{"name": "f", "input_schema": {}}]), json!([{"type": "function", "name": "f"}])),
        (
            json!([{"type": "web_search_20250305", "name": "web_search"}]),
            json!([{"type": "web_search_20250305", "name": "web_search"}]),
        ),
        (
            json!([{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}, {"google_search": {}}]),
            json!([{"type": "function", "name": "f"}, {"type": "function", "name": "g"}, {"type": "google_search", "name": "google_search"}]),
        ),
        (
            json!([{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}, {"cachePoint": {"type": "default"}}]),
            json!([{"type": "function", "name": "f"}]),
        ),
        (
            json!([{"type": "file_search", "vector_store_ids": ["v"]}]),
            json!([{"type": "file_search", "name": "file_search"}]),
        ),
    ];
    for (offered, expected) in table {
        let params = tape(&json!({"tools": offered}));
        let found = described(Kind::Generation, &Payloads { params: Some(&params), ..Payloads::default() });
        assert_eq!(found["gen_ai.tool.definitions"], expected, "{offered}");
    }
    let params = tape(&json!({"toolConfig": {"tools": [{"toolSpec": {"name": "f"}}], "toolChoice": {"auto": {}}}}));
    let found = described(Kind::Generation, &Payloads { params: Some(&params), ..Payloads::default() });
    assert_eq!(found["gen_ai.tool.definitions"], json!([{"type": "function", "name": "f"}]));
}
