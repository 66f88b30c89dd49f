//! What each kind of step carries on the wire.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::resolve::attributes::AttributeSet;
use crate::semconv::Payloads;
use crate::semconv::testing::{described, described_under, tape};

/// Payloads by name, as tapes that outlive the description.
fn describe(kind: Kind, name: &str, given: &[(&str, Value)]) -> BTreeMap<String, Value> {
    let tapes: Vec<(&str, Vec<u8>)> = given.iter().map(|(key, value)| (*key, tape(value))).collect();
    let mut payloads = Payloads { name: name.to_owned(), ..Payloads::default() };
    for (key, value) in &tapes {
        let slot = match *key {
            "input" => &mut payloads.input,
            "output" => &mut payloads.output,
            "messages" => &mut payloads.messages,
            "params" => &mut payloads.params,
            "tools" => &mut payloads.tools,
            "prompt" => &mut payloads.prompt,
            "model" => &mut payloads.model,
            "provider" => &mut payloads.provider,
            "query" => &mut payloads.query,
            "source" => &mut payloads.source,
            "top_k" => &mut payloads.top_k,
            "documents" => &mut payloads.documents,
            "arguments" => &mut payloads.arguments,
            "call_id" => &mut payloads.call_id,
            "description" => &mut payloads.description,
            "role" => &mut payloads.role,
            "cost" => &mut payloads.cost,
            "usage" => {
                payloads.usage.push(value);
                continue;
            }
            "finish" => {
                payloads.finish_reasons.push(value);
                continue;
            }
            _ => panic!("no payload {key}"),
        };
        *slot = Some(value);
    }
    described(kind, &payloads)
}

fn attributes(expected: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(expected).unwrap()
}

#[test]
fn a_plain_step_carries_its_input_and_output_with_their_media_types() {
    let found = describe(Kind::Span, "step", &[("input", json!("text")), ("output", json!({"a": [1]}))]);
    let expected = json!({"name": "step", "input.value": "text", "input.mime_type": "text/plain",
        "output.value": "{\"a\":[1]}", "output.mime_type": "application/json"});
    assert_eq!(found, attributes(expected));
    assert_eq!(describe(Kind::Guardrail, "", &[]), attributes(json!({"name": "guardrail"})));
}

#[test]
fn an_agent_is_named_and_its_text_is_message_and_value() {
    let found = describe(
        Kind::Agent,
        "planner",
        &[("role", json!("lead")), ("description", json!("plans")), ("input", json!("go")), ("output", json!("done"))],
    );
    let expected = json!({"name": "invoke_agent planner", "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "planner", "gen_ai.agent.description": "plans", "ironspan.agent.role": "lead",
        "input.value": "go", "input.mime_type": "text/plain", "output.value": "done", "output.mime_type": "text/plain",
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "go"}]}],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "done"}], "finish_reason": "stop"}]});
    assert_eq!(found, attributes(expected));
}

#[test]
fn the_state_of_a_graph_gives_its_messages_and_keeps_the_rest_beside_them() {
    let found = describe(
        Kind::Workflow,
        "graph",
        &[
            ("input", json!({"messages": [["user", "hi"]], "next": "a", "seen": []})),
            ("output", json!({"answer": "yes", "chat_history": ["x"]})),
        ],
    );
    let expected = json!({"name": "invoke_workflow graph", "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "graph",
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        "input.value": "{\"next\":\"a\"}", "input.mime_type": "application/json",
        "output.value": "{\"answer\":\"yes\",\"chat_history\":[\"x\"]}", "output.mime_type": "application/json"});
    assert_eq!(found, attributes(expected));
    // A list of texts, or a mapping with a role, is no conversation unless somebody says so.
    let found =
        describe(Kind::Agent, "", &[("input", json!(["a", "b"])), ("output", json!({"role": "admin", "name": "x"}))]);
    assert_eq!(found["input.value"], "[\"a\",\"b\"]");
    assert!(!found.contains_key("gen_ai.output.messages"));
    assert_eq!(found["name"], "invoke_agent");
}

#[test]
fn a_tool_s_arguments_and_result_are_json_where_they_can_be() {
    let found = describe(
        Kind::Tool,
        "weather",
        &[
            ("arguments", json!("{\"city\": \"Oslo\"}")),
            ("output", json!("It rains.")),
            ("call_id", json!("c1")),
            ("description", json!("Says it.")),
        ],
    );
    let expected = json!({"name": "execute_tool weather", "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "weather", "gen_ai.tool.type": "function", "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.description": "Says it.", "gen_ai.tool.call.arguments": "{\"city\":\"Oslo\"}",
        "gen_ai.tool.call.result": "It rains."});
    assert_eq!(found, attributes(expected));

    let results = [
        (
            json!({"$": "ToolMessage", "type": "tool", "content": "{\"a\":1}", "tool_call_id": "c9"}),
            "{\"a\":1}",
            json!("c9"),
        ),
        (
            json!({"$": "Command", "update": {"messages": [{"$": "ToolMessage", "content": "ok", "tool_call_id": "c8"}]}}),
            "ok",
            json!("c8"),
        ),
        (json!({"$": "ToolOutput", "blocks": [], "tool_name": "f", "raw_output": {"n": 5}}), "{\"n\":5}", Value::Null),
        (json!({"content": [{"type": "text", "text": "hi"}], "isError": false}), "hi", Value::Null),
        (json!({"content": [{"type": "text", "text": "hi"}], "structuredContent": {"x": 1}}), "{\"x\":1}", Value::Null),
        (json!({"content": "mine", "other": 1}), "{\"content\":\"mine\",\"other\":1}", Value::Null),
        (json!(5), "5", Value::Null),
    ];
    for (output, result, id) in results {
        let found = describe(Kind::Tool, "f", &[("output", output)]);
        assert_eq!(found["gen_ai.tool.call.result"], result);
        assert_eq!(found.get("gen_ai.tool.call.id").cloned().unwrap_or_default(), id);
    }
}

#[test]
fn a_retrieval_carries_query_source_and_documents_of_any_framework() {
    let documents = json!([
        [{"$": "Document", "page_content": "a", "metadata": {"p": 1}, "id": "1", "type": "Document"}, 0.5],
        {"$": "NodeWithScore", "score": 0.25, "node": {"$": "TextNode", "id_": "2", "text": "b", "metadata": {}, "embedding": null}},
        {"$": "Document", "id_": "3", "text_resource": {"$": "MediaResource", "text": "c"}, "metadata": {"p": 2}},
        {"id": 4, "content": "d", "score": 1, "source": "x"},
        "e",
    ]);
    let written = json!([
        {"id": "1", "score": 0.5, "content": "a", "metadata": {"p": 1}},
        {"id": "2", "score": 0.25, "content": "b"},
        {"id": "3", "content": "c", "metadata": {"p": 2}},
        {"id": "4", "score": 1, "content": "d"},
        {"content": "e"},
    ]);
    let found = describe(
        Kind::Retrieval,
        "",
        &[
            ("query", json!({"$": "QueryBundle", "query_str": "q"})),
            ("source", json!("faq")),
            ("top_k", json!(3)),
            ("documents", documents.clone()),
        ],
    );
    let expected = json!({"name": "retrieval faq", "gen_ai.operation.name": "retrieval", "gen_ai.retrieval.query.text": "q",
        "gen_ai.data_source.id": "faq", "gen_ai.retrieval.top_k": 3, "gen_ai.retrieval.documents": written});
    assert_eq!(found, attributes(expected));
    // An output is documents only when all of it looks like that.
    let alone = describe(
        Kind::Rerank,
        "rank",
        &[("output", json!([documents[0], documents[1]])), ("input", json!({"query": "q"}))],
    );
    assert_eq!(alone["gen_ai.retrieval.documents"], json!([written[0], written[1]]));
    assert_eq!(alone["gen_ai.retrieval.query.text"], "q");
    let odd = describe(Kind::Retrieval, "", &[("output", json!(["just", "texts"]))]);
    assert_eq!(odd["output.value"], "[\"just\",\"texts\"]");
    assert_eq!(odd["name"], "retrieval");
}

#[test]
fn an_embedding_records_the_length_of_its_vectors_and_not_the_vectors() {
    for output in [
        json!([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]]),
        json!([0.1, 0.2, 0.3]),
        json!({"data": [{"embedding": [0.1, 0.2, 0.3]}], "usage": {"prompt_tokens": 7, "total_tokens": 7}}),
    ] {
        let found = describe(
            Kind::Embedding,
            "",
            &[
                ("model", json!("te-3")),
                ("provider", json!("OpenAI")),
                ("input", json!("text")),
                ("output", output.clone()),
            ],
        );
        assert_eq!(found["gen_ai.embeddings.dimension.count"], 3, "{output}");
        assert_eq!(found["name"], "embeddings te-3");
        assert_eq!(found["gen_ai.provider.name"], "openai");
        assert_eq!(found["input.value"], "text");
        assert!(!found.contains_key("output.value"));
    }
}

#[test]
fn a_model_call_carries_its_request_and_hides_secrets_at_any_depth() {
    let found = describe(
        Kind::Generation,
        "",
        &[
            ("model", json!("gpt-4o")),
            ("provider", json!("azure")),
            ("messages", json!("hi")),
            (
                "params",
                json!({
                    "temperature": 1, "top_p": 0.5, "top_k": 40.0, "max_completion_tokens": 9, "stop": "END", "seed": 7, "n": 2,
                    "frequency_penalty": 0.1, "presence_penalty": 0.2, "stream": true, "reasoning_effort": "low",
                    "response_format": {"type": "json_object"}, "api_key": "sk-1", "auth_token": "t", "max_retries": 2,
                    "base_url": "https://user:pw@host.example:8443/v1", "logprobs": null,
                    "extra_headers": {"Authorization": "Bearer x", "X-Trace": "1", "deep": [{"client_secret": "s", "ok": true}]},
                    "openai_api_key": {"$": "SecretStr", "_secret_value": "sk-2"}, "custom": {"$": "SecretStr", "_secret_value": "sk-3"},
                    "_type": "openai-chat", "system": "Be brief.", "tools": [{"type": "function", "function": {"name": "f"}}],
                }),
            ),
        ],
    );
    let expected = json!({"name": "chat gpt-4o", "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
        "gen_ai.provider.name": "azure.ai.openai", "gen_ai.request.temperature": 1.0, "gen_ai.request.top_p": 0.5,
        "gen_ai.request.top_k": 40, "gen_ai.request.max_tokens": 9, "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.request.seed": 7, "gen_ai.request.choice.count": 2, "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": 0.2, "gen_ai.request.stream": true, "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json", "server.address": "host.example", "server.port": 8443,
        "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
        "gen_ai.tool.definitions": [{"type": "function", "name": "f"}],
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        "ironspan.request.params": {"max_retries": 2, "extra_headers": {"X-Trace": "1", "deep": [{"ok": true}]}, "custom": {}}});
    assert_eq!(found, attributes(expected));
}

#[test]
fn defaults_that_were_not_asked_for_are_not_recorded() {
    let found =
        describe(Kind::Generation, "", &[("params", json!({"n": 1, "stream": false, "stop": null, "model": "m"}))]);
    let expected = json!({"name": "chat m", "gen_ai.operation.name": "chat", "gen_ai.request.model": "m"});
    assert_eq!(found, attributes(expected));
    let completion = describe(Kind::Generation, "", &[("params", json!({"prompt": "Once", "model": "davinci"}))]);
    assert_eq!(completion["gen_ai.operation.name"], "text_completion");
    assert_eq!(completion["gen_ai.input.messages"][0]["parts"][0]["content"], "Once");
}

#[test]
fn tools_of_every_framework_give_type_and_name_only() {
    let found = describe(
        Kind::Generation,
        "",
        &[(
            "tools",
            json!([
                {"type": "function", "function": {"name": "a", "description": "d", "parameters": {}}},
                {"name": "b", "description": "d", "input_schema": {}},
                {"$": "StructuredTool", "name": "c", "description": "d", "args_schema": {"$opaque": "ModelMetaclass"}},
                {"function_declarations": [{"name": "d"}]},
                {"toolSpec": {"name": "e"}},
                {"type": "web_search_20250305", "name": "web_search"},
                {"type": "code_interpreter"},
                {"$opaque": "function"},
            ]),
        )],
    );
    let expected = json!([
        {"type": "function", "name": "a"}, {"type": "function", "name": "b"}, {"type": "function", "name": "c"},
        {"type": "function", "name": "d"}, {"type": "function", "name": "e"},
        {"type": "web_search_20250305", "name": "web_search"}, {"type": "code_interpreter", "name": "code_interpreter"},
        {"type": "function", "name": "function"},
    ]);
    assert_eq!(found["gen_ai.tool.definitions"], expected);
}

#[test]
fn a_prompt_is_named_and_its_variables_are_texts() {
    let found = describe(
        Kind::Generation,
        "",
        &[("prompt", json!({"name": "greet", "version": 3, "variables": {"who": "Ann", "n": 2}}))],
    );
    assert_eq!(found["gen_ai.prompt.name"], "greet");
    assert_eq!(found["gen_ai.prompt.version"], "3");
    assert_eq!(found["gen_ai.prompt.variable.who"], "Ann");
    assert_eq!(found["gen_ai.prompt.variable.n"], "2");
    assert_eq!(describe(Kind::Generation, "", &[("prompt", json!("greet"))])["gen_ai.prompt.name"], "greet");
    let template = describe(Kind::Generation, "", &[("prompt", json!("Hello {who}"))]);
    assert_eq!(template["ironspan.prompt.template"], "Hello {who}");
}

#[test]
fn usage_and_model_come_from_the_answer_once_and_what_the_caller_says_is_better() {
    let usage = json!({"input_tokens": 9, "output_tokens": 4, "total_tokens": 13, "input_token_details": {"cache_creation": 2}});
    let output = json!({"$": "LLMResult", "llm_output": {"token_usage": {"prompt_tokens": 9, "completion_tokens": 4}},
        "generations": [[{"$": "ChatGeneration", "text": "a", "generation_info": null, "message": {"$": "AIMessage", "type": "ai",
            "content": "a", "usage_metadata": usage, "response_metadata": {"id": "r1", "model_name": "m-1", "finish_reason": "end_turn",
                "token_usage": {"prompt_tokens": 9, "completion_tokens": 4}}}}]]});
    let found = describe(Kind::Generation, "ask", &[("output", output.clone())]);
    let expected = json!({"name": "ask", "gen_ai.operation.name": "chat", "gen_ai.response.id": "r1", "gen_ai.response.model": "m-1",
        "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_write.input_tokens": 2, "gen_ai.usage.cache_creation.input_tokens": 2,
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "a"}], "finish_reason": "stop"}]});
    assert_eq!(found, attributes(expected));

    let found = describe(
        Kind::Generation,
        "",
        &[
            ("output", output),
            ("usage", json!({"input": 1, "output": 2})),
            ("usage", json!({"output": 3})),
            ("finish", json!("max_tokens")),
            ("cost", json!({"total": 0.25})),
        ],
    );
    assert_eq!(found["gen_ai.usage.input_tokens"], 1);
    assert_eq!(found["gen_ai.usage.output_tokens"], 3);
    assert_eq!(found["gen_ai.usage.cost"], 0.25);
    assert_eq!(found["gen_ai.response.finish_reasons"], json!(["length"]));
    assert_eq!(found["gen_ai.output.messages"][0]["finish_reason"], "length");
    for cost in [json!({"total": -1.0}), json!({"total": true}), json!("much")] {
        assert!(!describe(Kind::Generation, "", &[("cost", cost)]).contains_key("gen_ai.usage.cost"));
    }
}

#[test]
fn a_stream_records_when_its_first_chunk_came_and_how_many_there_were() {
    let payloads = Payloads { first_chunk_seconds: Some(0.25), chunks: Some(4), ..Payloads::default() };
    let found = described(Kind::Generation, &payloads);
    assert_eq!(found["gen_ai.response.time_to_first_chunk"], 0.25);
    assert_eq!(found["gen_ai.request.stream"], true);
    assert_eq!(found["ironspan.stream.chunks"], 4);
}

#[test]
fn names_from_tutorials_stay_and_gain_the_current_ones() {
    let mut set = AttributeSet::default();
    for (key, value) in [
        ("agent.role", json!("critic")),
        ("agent.input.query", json!("why?")),
        ("llm.prompt_tokens", json!(5)),
        ("llm.completion_tokens", json!(6)),
        ("gen_ai.usage.output_tokens", json!(7)),
    ] {
        set.user(key, &tape(&value));
    }
    let found = described_under(Kind::Agent, &Payloads::default(), set);
    let expected = json!({"name": "invoke_agent", "gen_ai.operation.name": "invoke_agent", "agent.role": "critic",
        "gen_ai.agent.name": "critic", "ironspan.agent.role": "critic", "agent.input.query": "why?", "input.value": "why?",
        "input.mime_type": "text/plain", "llm.prompt_tokens": 5, "gen_ai.usage.input_tokens": 5, "llm.completion_tokens": 6,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "why?"}]}]});
    assert_eq!(found, attributes(expected));
}

#[test]
fn an_attribute_that_the_user_set_by_its_name_stays() {
    let mut set = AttributeSet::default();
    set.user("gen_ai.request.model", &tape(&json!("mine")));
    let model = tape(&json!("theirs"));
    let found = described_under(Kind::Generation, &Payloads { model: Some(&model), ..Payloads::default() }, set);
    assert_eq!(found["gen_ai.request.model"], "mine");
}
