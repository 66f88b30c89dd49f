//! Streams of every provider, chunk by chunk, and the one message that each becomes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kind::{Kind, Outcome};
use crate::semconv::Payloads;
use crate::semconv::testing::{described, tape};

fn streamed(chunks: &Value) -> BTreeMap<String, Value> {
    let output = tape(chunks);
    described(Kind::Generation, &Payloads { output: Some(&output), ..Payloads::default() })
}

/// The parts that every stream below amounts to: "Hello", and a call of `f` with `{"a":1}`.
fn parts(id: Option<&str>) -> Value {
    let mut call = json!({"type": "tool_call", "name": "f", "arguments": {"a": 1}});
    if let Some(id) = id {
        call["id"] = json!(id);
    }
    json!([{"type": "text", "content": "Hello"}, call])
}

/// Checks parts, reason, and input, output and cached tokens.
fn check(chunks: &Value, id: Option<&str>, reason: &str, tokens: [i64; 3]) {
    let found = streamed(chunks);
    let expected = json!([{"role": "assistant", "parts": parts(id), "finish_reason": reason}]);
    assert_eq!(found["gen_ai.output.messages"], expected);
    assert_eq!(found["gen_ai.response.finish_reasons"], json!([reason]));
    let names = ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens"];
    for (name, count) in names.into_iter().zip(tokens) {
        assert_eq!(found.get(name), (count >= 0).then(|| json!(count)).as_ref(), "{name}");
    }
}

#[test]
fn openai_chunks_join_by_choice_and_by_call() {
    let piece = |delta: Value| {
        json!({"$": "ChatCompletionChunk", "id": "c", "model": "m-1", "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}], "usage": null})
    };
    let chunks = json!([
        piece(json!({"role": "assistant", "content": ""})),
        piece(json!({"content": "Hel"})),
        piece(json!({"content": "lo"})),
        piece(json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]})),
        piece(json!({"tool_calls": [{"index": 0, "id": null, "function": {"name": null, "arguments": "{\"a\""}}]})),
        piece(json!({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]})),
        {"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}},
    ]);
    check(&chunks, Some("c1"), "tool_call", [9, 4, 3]);
    let found = streamed(&chunks);
    assert_eq!((&found["gen_ai.response.model"], &found["gen_ai.response.id"]), (&json!("m-1"), &json!("c")));
    let two = json!([
        {"object": "chat.completion.chunk", "choices": [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]},
    ]);
    let messages = &streamed(&two)["gen_ai.output.messages"];
    assert_eq!(messages[0]["parts"][0]["content"], "a");
    assert_eq!(messages[1]["parts"][0]["content"], "b");
}

#[test]
fn events_of_the_responses_api_give_the_whole_or_what_came_of_it() {
    let mut events = vec![
        json!({"type": "response.created", "response": {"id": "r", "output": []}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "lo"}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "call_id": "c1", "name": "f"}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"a\":1}"}),
    ];
    let dropped = streamed(&json!(events));
    assert_eq!(
        dropped["gen_ai.output.messages"],
        json!([{"role": "assistant", "parts": parts(Some("c1")), "finish_reason": "tool_call"}])
    );
    events.push(json!({"type": "response.completed", "response": {"id": "r", "model": "m", "status": "completed",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"}],
        "usage": {"input_tokens": 9, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 3}}}}));
    check(&json!(events), Some("c1"), "tool_call", [9, 4, 3]);
}

#[test]
fn anthropic_events_join_by_block() {
    let chunks = json!([
        {"type": "message_start", "message": {"id": "m", "model": "claude", "usage": {"input_tokens": 6, "cache_read_input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c1", "name": "f", "input": {}}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"a\":"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]);
    check(&chunks, Some("c1"), "tool_call", [9, 4, 3]);
}

#[test]
fn anthropic_s_own_tools_are_no_calls_of_ours_and_later_counts_may_leave_the_cache_out() {
    let found = streamed(&json!([
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 6, "cache_read_input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"query\":"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "\"x\"}"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 6, "output_tokens": 4}},
    ]));
    let expected = json!([
        {"type": "server_tool_call", "id": "s1", "name": "web_search",
            "server_tool_call": {"type": "server_tool_use", "input": {"query": "x"}}},
        {"type": "server_tool_call_response", "id": "s1",
            "server_tool_call_response": {"type": "web_search_tool_result", "content": []}},
    ]);
    assert_eq!(found["gen_ai.output.messages"][0]["parts"], expected);
    assert_eq!(found["gen_ai.response.finish_reasons"], json!(["stop"]));
    assert_eq!(found["gen_ai.usage.input_tokens"], json!(9));
    assert_eq!(found["gen_ai.usage.output_tokens"], json!(4));
}

#[test]
fn a_spoken_stream_keeps_its_transcript() {
    let piece =
        |audio: Value| json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"audio": audio}}]});
    let found = streamed(&json!([
        piece(json!({"id": "audio_1", "transcript": "Ra"})),
        piece(json!({"transcript": "in."})),
        piece(json!({"data": "UklGRg=="})),
    ]));
    assert_eq!(found["gen_ai.output.messages"][0]["parts"], json!([{"type": "text", "content": "Rain."}]));
}

#[test]
fn bedrock_google_and_ollama_chunks_join() {
    let bedrock = json!([
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hello"}}},
        {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "c1", "name": "f"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{\"a\":1}"}}}},
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": {"inputTokens": 6, "outputTokens": 4, "cacheReadInputTokens": 3, "totalTokens": 13}}},
    ]);
    check(&bedrock, Some("c1"), "tool_call", [9, 4, 3]);
    let google = json!([
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}]}}], "usage_metadata": {"prompt_token_count": 9}},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "lo"}, {"function_call": {"name": "f", "args": {"a": 1}}}]},
            "finish_reason": "STOP"}], "usage_metadata": {"prompt_token_count": 9, "candidates_token_count": 4}},
    ]);
    check(&google, None, "stop", [9, 4, -1]);
    let ollama = json!([
        {"model": "llama", "message": {"role": "assistant", "content": "Hel"}, "done": false},
        {"model": "llama", "message": {"role": "assistant", "content": "lo", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}, "done": false},
        {"model": "llama", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 4},
    ]);
    check(&ollama, None, "stop", [9, 4, -1]);
}

#[test]
fn langchain_chunks_join_and_their_counts_add_up() {
    let chunk = |id: &str, extra: Value| {
        let mut all = json!({"$": "AIMessageChunk", "type": "AIMessageChunk", "content": "", "id": id, "tool_calls": [],
            "tool_call_chunks": [], "response_metadata": {}, "additional_kwargs": {}, "usage_metadata": null});
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        all
    };
    let chunks = json!([
        chunk("1", json!({"content": "Hel", "usage_metadata": {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10, "input_token_details": {"cache_read": 3}}})),
        [chunk("1", json!({"content": [{"type": "text", "text": "lo", "index": 0}]})), {"langgraph_node": "n"}],
        chunk("1", json!({"tool_call_chunks": [{"index": 0, "id": "c1", "name": "f", "args": "{\"a\""}]})),
        chunk("1", json!({"tool_call_chunks": [{"index": 0, "id": null, "name": null, "args": ":1}"}],
            "response_metadata": {"finish_reason": "tool_calls"}, "usage_metadata": {"input_tokens": 0, "output_tokens": 3, "total_tokens": 3}})),
    ]);
    check(&chunks, Some("c1"), "tool_call", [9, 4, 3]);
    // Counts that the server repeats in every chunk do not add up.
    let count = |input: i64, output: i64| json!({"content": "a", "usage_metadata": {"input_tokens": input, "output_tokens": output}});
    let found = streamed(&json!([chunk("1", count(9, 1)), chunk("1", count(9, 2)), chunk("1", count(9, 4))]));
    assert_eq!((&found["gen_ai.usage.input_tokens"], &found["gen_ai.usage.output_tokens"]), (&json!(9), &json!(4)));
    // Another id is another answer.
    let messages = &streamed(&json!([chunk("1", json!({"content": "a"})), chunk("2", json!({"content": "b"}))]))["gen_ai.output.messages"];
    assert_eq!(messages[0]["parts"][0]["content"], "a");
    assert_eq!(messages[1]["parts"][0]["content"], "b");
}

#[test]
fn the_last_llamaindex_chunk_holds_the_whole() {
    let chunk = |text: &str, delta: &str| {
        json!({"$": "ChatResponse", "delta": delta, "raw": {"model": "m"},
        "message": {"$": "ChatMessage", "role": "assistant", "blocks": [{"block_type": "text", "text": text}], "additional_kwargs": {}}})
    };
    let found = streamed(&json!([chunk("Hel", "Hel"), chunk("Hello", "lo")]));
    let expected =
        json!([{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "stop"}]);
    assert_eq!(found["gen_ai.output.messages"], expected);
    assert_eq!(found["gen_ai.response.model"], "m");
}

#[test]
fn a_stream_that_was_dropped_keeps_what_came() {
    let output =
        tape(&json!([{"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}]));
    let payloads = Payloads { output: Some(&output), outcome: Outcome::Cancelled, ..Payloads::default() };
    let found = described(Kind::Generation, &payloads);
    let expected =
        json!([{"role": "assistant", "parts": [{"type": "text", "content": "Hel"}], "finish_reason": "error"}]);
    assert_eq!(found["gen_ai.output.messages"], expected);
    assert!(!found.contains_key("gen_ai.response.finish_reasons"));
}
