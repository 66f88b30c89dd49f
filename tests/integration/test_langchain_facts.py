"""How providers say usage, parameters and documents, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from ironspan.langchain._describe import agent_of, outcome_of, tags_of
from ironspan.langchain._documents import document_of
from ironspan.langchain._model import model_of, params_of, provider_of, tools_of
from ironspan.langchain._usage import finish_reasons, response_facts, token_usage
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult


def chat(message: AIMessage, **info: Any) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=message, generation_info=info or None)]])


def completed(**output: Any) -> LLMResult:
    return LLMResult(generations=[[Generation(text="x")]], llm_output=output)


ANTHROPIC_RAW = {
    "input_tokens": 10,
    "output_tokens": 20,
    "cache_read_input_tokens": 80,
    "cache_creation_input_tokens": 10,
}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(
            chat(
                AIMessage(
                    "x",
                    usage_metadata={
                        "input_tokens": 100,
                        "output_tokens": 20,
                        "total_tokens": 120,
                        "input_token_details": {"cache_read": 80, "cache_creation": 10},
                        "output_token_details": {"reasoning": 15},
                    },
                )
            ),
            {"input": 100, "output": 20, "cached": 80, "cache_write": 10, "reasoning": 15},
            id="standard",
        ),
        pytest.param(
            chat(
                AIMessage(
                    "x",
                    usage_metadata={
                        "input_tokens": 100,
                        "output_tokens": 20,
                        "total_tokens": 120,
                        "input_token_details": {
                            "cache_read": 80,
                            "cache_creation": 0,
                            "ephemeral_5m_input_tokens": 4,
                            "ephemeral_1h_input_tokens": 6,
                        },  # type: ignore[typeddict-unknown-key]
                    },
                )
            ),
            {"input": 100, "output": 20, "cached": 80, "cache_write": 10},
            id="standard with lifetimes of cache entries",
        ),
        pytest.param(
            completed(
                token_usage={
                    "prompt_tokens": 100,
                    "completion_tokens": 20,
                    "prompt_tokens_details": {"cached_tokens": 80},
                    "completion_tokens_details": {"reasoning_tokens": 15},
                }
            ),
            {"input": 100, "output": 20, "cached": 80, "reasoning": 15},
            id="openai in llm_output",
        ),
        pytest.param(
            completed(usage=ANTHROPIC_RAW),
            {"input": 100, "output": 20, "cached": 80, "cache_write": 10},
            id="anthropic reports the cache beside the input",
        ),
        pytest.param(
            chat(
                AIMessage(
                    "x",
                    response_metadata={"usage": {"inputTokens": 20, "outputTokens": 20, "cacheReadInputTokens": 80}},
                )
            ),
            {"input": 100, "output": 20, "cached": 80},
            id="bedrock converse",
        ),
        pytest.param(
            chat(
                AIMessage("x"),
                usage_metadata={
                    "prompt_token_count": 100,
                    "candidates_token_count": 20,
                    "cached_content_token_count": 80,
                    "thoughts_token_count": 15,
                },
            ),
            {"input": 100, "output": 20, "cached": 80, "reasoning": 15},
            id="vertex in generation_info",
        ),
        pytest.param(
            chat(AIMessage("x", response_metadata={"prompt_eval_count": 100, "eval_count": 20})),
            {"input": 100, "output": 20},
            id="ollama in response_metadata",
        ),
        pytest.param(chat(AIMessage("x")), {}, id="not reported"),
        pytest.param(completed(token_usage={}), {}, id="reported empty"),
        pytest.param(None, {}, id="no result"),
    ],
)
def test_usage_of_every_provider_has_one_meaning(result, expected):
    assert token_usage(result) == expected


def test_usage_repeated_on_every_choice_is_counted_once():
    message = AIMessage("x", usage_metadata={"input_tokens": 7, "output_tokens": 3, "total_tokens": 10})
    result = LLMResult(generations=[[ChatGeneration(message=message), ChatGeneration(message=message)]])
    assert token_usage(result) == {"input": 7, "output": 3}


def test_each_choice_gives_its_finish_reason():
    choices = [
        ChatGeneration(message=AIMessage("x", response_metadata={"finish_reason": "stop"})),
        ChatGeneration(message=AIMessage("y", response_metadata={"stop_reason": "max_tokens"})),
        ChatGeneration(message=AIMessage("z"), generation_info={"finish_reason": "tool_calls"}),
    ]
    assert finish_reasons(LLMResult(generations=[choices])) == ["stop", "max_tokens", "tool_calls"]


def test_ids_that_langchain_made_up_are_not_response_ids():
    assert "gen_ai.response.id" not in response_facts(chat(AIMessage("x", id="lc_run--0197-0")))
    assert "gen_ai.response.id" not in response_facts(chat(AIMessage("x", id="run-0197-0")))
    assert response_facts(chat(AIMessage("x", id="msg_01")))["gen_ai.response.id"] == "msg_01"


def test_provider_is_what_langchain_declares_else_what_the_class_is():
    assert provider_of({"ls_provider": "google_vertexai"}, {"_type": "openai-chat"}) == "gcp.vertex_ai"
    assert provider_of({}, {"_type": "amazon_bedrock_converse_chat"}) == "aws.bedrock"
    assert provider_of({"ls_provider": "ollama"}, {}) == "ollama"
    assert provider_of({}, {}) is None


def test_model_is_the_declared_one_else_a_parameter_else_the_class():
    assert model_of({"ls_model_name": "a"}, {"model": "b"}, None, "C") == "a"
    assert model_of({}, {"model_name": "b"}, None, "C") == "b"
    assert model_of({}, {}, {"kwargs": {"model": "d"}}, "C") == "d"
    assert model_of({}, {}, {"id": ["x", "C"]}, "C") == "C"


def test_parameters_have_the_conventions_names_and_no_secrets():
    params = {
        "_type": "openai-chat",
        "model": "m",
        "num_predict": 9,
        "stop": ["END"],
        "seed": 1,
        "response_format": {"type": "json_object"},
        "max_tokens": None,
        "openai_api_key": "secret",
        "azure_ad_token": "secret",
        "apiKey": "secret",
        "default_headers": {"Authorization": "secret"},
        "extra_body": {"api_key": "secret"},
        "http_client": object(),
        "tools": [{"name": "t"}],
    }
    assert params_of({"ls_temperature": 0.5}, params) == {
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["END"],
        "seed": 1,
        "response_format": {"type": "json_object"},
    }
    assert params_of({}, {"_type": "x"}) is None
    assert tools_of(params) == [{"name": "t"}]


def test_documents_keep_id_score_content_and_metadata():
    assert document_of(Document(page_content="x")) == {"content": "x"}
    assert document_of((Document(id="1", page_content="x"), 0.5)) == {"content": "x", "id": "1", "score": 0.5}
    assert document_of(Document(page_content="x", metadata={"distance": 0.1})) == {
        "content": "x",
        "metadata": {"distance": 0.1},
    }
    assert document_of("no document") == "no document"


def test_step_marks_of_the_frameworks_are_no_tags():
    assert tags_of(["mine", "seq:step:2", "graph:step:1", "map:key:left", "langsmith:hidden", 7]) == ("mine", "7")
    assert tags_of("text") == ()


def test_agent_is_told_where_its_mark_first_appears():
    marked = {"lc_agent_name": "a"}
    assert agent_of("a", [], marked, {}, None) == ("a", True)
    assert agent_of("step", [], marked, marked, "a") == ("a", False)
    assert agent_of("a", ["graph:step:1"], marked, {}, None) == (None, False)
    assert agent_of("a", [], marked, marked, "a") == ("a", True)
    assert agent_of("AgentExecutor", [], {}, {}, None) == ("AgentExecutor", True)
    assert agent_of("deep", [], {"ls_agent_type": "subagent"}, {"ls_agent_type": "root"}, "top") == ("deep", True)
    assert agent_of("plain", [], {}, {}, None) == (None, False)


def test_control_flow_is_told_by_class_name():
    bubble = type("GraphBubbleUp", (Exception,), {})
    assert outcome_of(type("GraphInterrupt", (bubble,), {})()) == "interrupted"
    assert outcome_of(type("ParentCommand", (bubble,), {})()) == "ok"
    assert outcome_of(GeneratorExit()) == "cancelled"
    assert outcome_of(KeyboardInterrupt()) == "cancelled"
    assert outcome_of(ValueError()) == "error"
