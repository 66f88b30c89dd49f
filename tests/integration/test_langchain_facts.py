"""How providers say usage, parameters and documents through LangChain, and what the spans say of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from ironspan import Span
from ironspan._runs import RUNS
from ironspan.langchain import CallbackHandler
from ironspan.langchain._describe import outcome_of
from ironspan.langchain._model import model_of
from ironspan.testing import FinishedSpan
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from tests.support.outline import only

Spans = Callable[[], list[FinishedSpan]]

#: The names of usage in the expectations below.
COUNTS = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "cached": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
}


def call(result: Any, params: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None) -> None:
    """One model call, as LangChain reports it."""
    handler, run_id = CallbackHandler(), uuid.uuid4()
    handler.on_chat_model_start(
        {"name": "Model"}, [[]], run_id=run_id, metadata=metadata, invocation_params=params or {}
    )
    handler.on_llm_end(result, run_id=run_id)


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
            # Google counts thoughts beside the candidates.
            {"input": 100, "output": 35, "cached": 80, "reasoning": 15},
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
def test_usage_of_every_provider_has_one_meaning(spans: Spans, result, expected):
    call(result)
    attributes = only(spans(), "generation").attributes
    assert {name: attributes[key] for name, key in COUNTS.items() if key in attributes} == expected


def test_usage_repeated_on_every_choice_is_counted_once(spans: Spans):
    message = AIMessage("x", usage_metadata={"input_tokens": 7, "output_tokens": 3, "total_tokens": 10})
    call(LLMResult(generations=[[ChatGeneration(message=message), ChatGeneration(message=message)]]))
    attributes = only(spans(), "generation").attributes
    assert attributes["gen_ai.usage.input_tokens"] == 7
    assert attributes["gen_ai.usage.output_tokens"] == 3
    assert len(json.loads(attributes["gen_ai.output.messages"])) == 2


def test_each_choice_gives_its_finish_reason(spans: Spans):
    choices = [
        ChatGeneration(message=AIMessage("x", response_metadata={"finish_reason": "stop"})),
        ChatGeneration(message=AIMessage("y", response_metadata={"stop_reason": "max_tokens"})),
        ChatGeneration(message=AIMessage("z"), generation_info={"finish_reason": "content_filter"}),
    ]
    call(LLMResult(generations=[choices]))
    reasons = only(spans(), "generation").attributes["gen_ai.response.finish_reasons"]
    assert len(reasons) == 3
    assert reasons[0] == "stop"
    assert reasons[1] in ("max_tokens", "length")
    assert reasons[2] == "content_filter"


def test_ids_that_langchain_made_up_are_not_response_ids(spans: Spans):
    call(chat(AIMessage("x", id="lc_run--0197-0")))
    assert "gen_ai.response.id" not in only(spans(), "generation").attributes


def test_provider_is_what_langchain_declares_else_what_the_class_is(spans: Spans):
    for metadata, params, expected in (
        ({"ls_provider": "google_vertexai"}, {"_type": "openai-chat"}, "gcp.vertex_ai"),
        ({}, {"_type": "amazon_bedrock_converse_chat"}, "aws.bedrock"),
        ({"ls_provider": "ollama"}, {}, "ollama"),
    ):
        call(None, params, metadata)
        assert spans()[-1].attributes["gen_ai.provider.name"] == expected


def test_model_is_the_declared_one_else_a_parameter_else_the_class():
    assert model_of({"ls_model_name": "a"}, {"model": "b"}, None, "C") == "a"
    assert model_of({}, {"model_name": "b"}, None, "C") == "b"
    assert model_of({}, {}, {"kwargs": {"model": "d"}}, "C") == "d"
    assert model_of({}, {}, {"id": ["x", "C"]}, "C") == "C"


def test_parameters_have_the_conventions_names_and_no_secrets(spans: Spans):
    params = {
        "_type": "openai-chat",
        "model": "m",
        "max_output_tokens": 9,
        "stop": ["END"],
        "seed": 1,
        "max_tokens": None,
        "openai_api_key": "s3cret",
        "azure_ad_token": "s3cret",
        "apiKey": "s3cret",
        "default_headers": {"anything": "s3cret"},
        "extra_body": {"api_key": "s3cret"},
        "http_client": object(),
        "tools": [{"type": "function", "function": {"name": "look"}}],
    }
    call(None, params, {"ls_temperature": 0.5, "ls_model_name": "m"})
    span = only(spans(), "generation")
    assert span.attributes["gen_ai.request.model"] == "m"
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    assert span.attributes["gen_ai.request.max_tokens"] == 9
    assert list(span.attributes["gen_ai.request.stop_sequences"]) == ["END"]
    assert span.attributes["gen_ai.request.seed"] == 1
    assert "look" in span.attributes["gen_ai.tool.definitions"]
    assert "s3cret" not in repr(span)


def test_documents_keep_id_score_content_and_metadata(spans: Spans):
    handler, run_id = CallbackHandler(), uuid.uuid4()
    handler.on_retriever_start({"name": "Shelf"}, "?", run_id=run_id)
    found = [
        Document(page_content="plain"),
        (Document(id="1", page_content="pair"), 0.5),
        Document(page_content="ranked", metadata={"relevance_score": 0.25, "source": "a.md", "_id": "m-1"}),
        Document(page_content="far", metadata={"distance": 0.1}),
    ]
    handler.on_retriever_end(found, run_id=run_id)
    assert json.loads(only(spans(), "retrieval").attributes["gen_ai.retrieval.documents"]) == [
        {"content": "plain"},
        {"id": "1", "score": 0.5, "content": "pair"},
        {
            "id": "m-1",
            "score": 0.25,
            "content": "ranked",
            "metadata": {"relevance_score": 0.25, "source": "a.md", "_id": "m-1"},
        },
        {"content": "far", "metadata": {"distance": 0.1}},
    ]


def test_step_marks_of_the_frameworks_are_no_tags(spans: Spans) -> None:
    handler = CallbackHandler()
    marks = ["mine", "seq:step:2", "graph:step:1", "map:key:left", "langsmith:nostream", 7]
    for tags in (marks, "text"):
        run_id = uuid.uuid4()
        handler.on_chain_start({}, {}, run_id=run_id, tags=tags)  # type: ignore[arg-type]
        handler.on_chain_end({}, run_id=run_id)
    assert [span.attributes.get("ironspan.tags") for span in spans()] == [["mine", "7"], None]


def turn(name: str, tags: list[str], metadata: dict[str, Any], above: dict[str, Any], agent: str | None) -> Any:
    """The agent of a run below one of `agent` with the metadata `above`, and whether it is a turn of its own."""
    handler, outer, inner = CallbackHandler(), uuid.uuid4(), uuid.uuid4()
    handler.on_chain_start({}, {}, run_id=outer, metadata=above)
    root = RUNS.get(outer)
    assert root is not None
    root.agent = agent
    handler.on_chain_start({}, {}, run_id=inner, parent_run_id=outer, name=name, tags=tags, metadata=metadata)
    run = RUNS.get(inner)
    assert run is not None
    assert isinstance(run.span, Span)
    found = run.agent, run.span.kind == "agent"
    handler.on_chain_end({}, run_id=inner)
    handler.on_chain_end({}, run_id=outer)
    return found


def test_agent_is_told_where_its_mark_first_appears(spans: Spans) -> None:
    marked = {"lc_agent_name": "a"}
    assert turn("a", [], marked, {}, None) == ("a", True)
    assert turn("step", [], marked, marked, "a") == ("a", False)
    assert turn("a", ["graph:step:1"], marked, {}, None) == (None, False)
    assert turn("a", [], marked, marked, "a") == ("a", True)
    assert turn("AgentExecutor", [], {}, {}, None) == ("AgentExecutor", True)
    assert turn("deep", [], {"ls_agent_type": "subagent"}, {"ls_agent_type": "root"}, "top") == ("deep", True)
    assert turn("plain", [], {}, {}, None) == (None, False)


def test_control_flow_is_told_by_class_name():
    bubble = type("GraphBubbleUp", (Exception,), {})
    assert outcome_of(type("GraphInterrupt", (bubble,), {})()) == "interrupted"
    assert outcome_of(type("ParentCommand", (bubble,), {})()) == "ok"
    assert outcome_of(GeneratorExit()) == "cancelled"
    assert outcome_of(KeyboardInterrupt()) == "cancelled"
    assert outcome_of(ValueError()) == "error"
