"""The verbs: what each writes, under which names, and what a wrong call says."""

from __future__ import annotations

import inspect
import json
from typing import Any

import ironspan
import pytest
from ironspan.testing import FinishedSpan, MemoryExporter, tree

VERBS = ["span", "workflow", "agent", "generation", "retrieval", "embedding", "tool"]


def recorded(trace: MemoryExporter) -> FinishedSpan:
    (span,) = trace.spans
    return span


@pytest.mark.parametrize(
    ("verb", "name", "otel_kind"),
    [
        ("span", "x", 1),
        ("workflow", "invoke_workflow x", 1),
        ("agent", "invoke_agent x", 1),
        ("generation", "chat x", 3),
        ("retrieval", "retrieval", 3),
        ("embedding", "embeddings x", 3),
        ("tool", "execute_tool x", 1),
    ],
)
def test_a_verb_decides_name_and_kind(verb: str, name: str, otel_kind: int, ironspan_trace: MemoryExporter) -> None:
    with getattr(ironspan, verb)("x") as span:
        assert span.kind == verb
        assert span.name == "x"
    done = recorded(ironspan_trace)
    assert (done.name, done.kind, done.otel_kind, done.status) == (name, verb, otel_kind, "ok")
    assert done.attributes["ironspan.kind"] == verb
    assert done.attributes.get("gen_ai.operation.name") == (None if verb == "span" else name.split()[0])


@pytest.mark.parametrize("kind", ["span", "workflow", "agent", "rerank", "tool", "evaluator", "guardrail", "Guardrail"])
def test_span_takes_every_kind(kind: str, ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x", kind=kind):
        pass
    assert recorded(ironspan_trace).kind == kind.lower()


@pytest.mark.parametrize(
    ("word", "number"), [("internal", 1), ("server", 2), ("client", 3), ("producer", 4), ("CONSUMER", 5)]
)
def test_otel_kind_overrides_what_follows_from_the_kind(
    word: str, number: int, ironspan_trace: MemoryExporter
) -> None:
    with ironspan.generation("m", otel_kind=word):
        pass
    assert recorded(ironspan_trace).otel_kind == number


@pytest.mark.parametrize("options", [{"kind": "nonsense"}, {"otel_kind": 7}, {"parent": 7}, {"links": 7}])
def test_a_bad_option_marks_the_span_and_raises_nothing(
    options: dict[str, Any], ironspan_trace: MemoryExporter
) -> None:
    before = ironspan.stats()["internal_errors"]
    with ironspan.span("x", **options) as span:
        span.set("kept", 1)
    done = recorded(ironspan_trace)
    assert done.attributes["kept"] == 1
    assert "ironspan.bad_argument" in done.attributes
    assert ironspan.stats()["internal_errors"] == before + 1


def test_the_common_options_are_written_by_every_verb(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("target") as target:
        pass
    for verb in VERBS:
        ironspan_trace.clear()
        options: dict[str, Any] = {"attributes": {"a": 1, "b": [1, 2]}, "tags": ["red", "blue"], "parent": target}
        with getattr(ironspan, verb)("x", links=[target, (target.context, "because")], **options):
            pass
        done = recorded(ironspan_trace)
        assert (done.attributes["a"], done.attributes["b"]) == (1, [1, 2])
        assert done.attributes["ironspan.tags"] == ["red", "blue"]
        assert (done.trace_id, done.parent_id) == (target.trace_id, target.span_id)
        assert [link["span_id"] for link in done.links] == [target.span_id] * 2
        assert [link["attributes"] for link in done.links] == [{}, {"ironspan.link.role": "because"}]


def test_workflow_writes_its_name_and_payloads(ironspan_trace: MemoryExporter) -> None:
    with ironspan.workflow("crew", input={"topic": "rust"}) as span:
        span.output({"pages": 3})
    attributes = recorded(ironspan_trace).attributes
    assert attributes["gen_ai.workflow.name"] == "crew"
    assert json.loads(attributes["input.value"]) == {"topic": "rust"}
    assert attributes["input.mime_type"] == "application/json"
    assert json.loads(attributes["output.value"]) == {"pages": 3}


def test_agent_writes_role_description_and_messages(ironspan_trace: MemoryExporter) -> None:
    with ironspan.agent("writer", role="author", description="writes", input="go") as span:
        span.output("done")
    attributes = recorded(ironspan_trace).attributes
    assert attributes["gen_ai.agent.name"] == "writer"
    assert attributes["ironspan.agent.role"] == "author"
    assert attributes["gen_ai.agent.description"] == "writes"
    assert (attributes["input.value"], attributes["input.mime_type"]) == ("go", "text/plain")
    assert json.loads(attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "go"}]}
    ]
    (answer,) = json.loads(attributes["gen_ai.output.messages"])
    assert answer["parts"] == [{"type": "text", "content": "done"}]


def test_generation_writes_request_response_and_usage(ironspan_trace: MemoryExporter) -> None:
    with ironspan.generation(
        "gpt-4o",
        provider="openai",
        messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        params={"temperature": 0.5, "max_tokens": 20, "top_p": 0.9, "seed": 7, "stop": ["END"]},
        tools=[{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}],
        prompt={"name": "greeting", "version": "3", "variables": {"who": "you"}},
        name="greet",
    ) as span:
        span.output("hello").usage(input=10, output=5, cached=4, cache_write=2, reasoning=1)
        span.cost(total=0.25).finish("stop")
    done = recorded(ironspan_trace)
    attributes = done.attributes
    assert done.name == "greet"
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.provider.name"] == "openai"
    assert attributes["gen_ai.request.model"] == "gpt-4o"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["gen_ai.request.max_tokens"] == 20
    assert attributes["gen_ai.request.top_p"] == 0.9
    assert attributes["gen_ai.request.seed"] == 7
    assert attributes["gen_ai.request.stop_sequences"] == ["END"]
    assert [message["role"] for message in json.loads(attributes["gen_ai.input.messages"])] == ["system", "user"]
    assert json.loads(attributes["gen_ai.tool.definitions"])[0]["name"] == "search"
    assert attributes["gen_ai.prompt.name"] == "greeting"
    assert attributes["gen_ai.usage.input_tokens"] == 10
    assert attributes["gen_ai.usage.output_tokens"] == 5
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 4
    assert attributes["gen_ai.usage.cache_creation.input_tokens"] == 2
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 1
    assert attributes["gen_ai.usage.cost"] == 0.25
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]


def test_retrieval_writes_query_source_and_documents(ironspan_trace: MemoryExporter) -> None:
    with ironspan.retrieval("what is rust", source="docs", top_k=2) as span:
        span.documents([{"id": "1", "content": "a language", "score": 0.9, "metadata": {"page": 4}}, "plain text"])
    done = recorded(ironspan_trace)
    assert done.name == "retrieval docs"
    assert done.attributes["gen_ai.retrieval.query.text"] == "what is rust"
    assert done.attributes["gen_ai.data_source.id"] == "docs"
    assert done.attributes["gen_ai.retrieval.top_k"] == 2
    first, second = json.loads(done.attributes["gen_ai.retrieval.documents"])
    assert (first["id"], first["score"], first["content"], first["metadata"]) == ("1", 0.9, "a language", {"page": 4})
    assert second["content"] == "plain text"


def test_embedding_writes_model_and_length_of_its_vectors(ironspan_trace: MemoryExporter) -> None:
    with ironspan.embedding("small", provider="openai", input=["a", "b"]) as span:
        span.output([[0.5, 0.25, 0.125]] * 2).usage(input=2)
    attributes = recorded(ironspan_trace).attributes
    assert attributes["gen_ai.request.model"] == "small"
    assert attributes["gen_ai.embeddings.dimension.count"] == 3
    assert attributes["gen_ai.usage.input_tokens"] == 2
    assert json.loads(attributes["input.value"]) == ["a", "b"]
    assert "output.value" not in attributes


def test_tool_writes_call_and_result(ironspan_trace: MemoryExporter) -> None:
    with ironspan.tool("search", arguments={"q": "rust"}, call_id="call_1", description="finds pages") as span:
        span.output({"hits": 3})
    attributes = recorded(ironspan_trace).attributes
    assert attributes["gen_ai.tool.name"] == "search"
    assert attributes["gen_ai.tool.type"] == "function"
    assert attributes["gen_ai.tool.call.id"] == "call_1"
    assert attributes["gen_ai.tool.description"] == "finds pages"
    assert json.loads(attributes["gen_ai.tool.call.arguments"]) == {"q": "rust"}
    assert json.loads(attributes["gen_ai.tool.call.result"]) == {"hits": 3}


def test_none_is_a_value_for_payloads_and_nothing_for_options(ironspan_trace: MemoryExporter) -> None:
    with ironspan.tool("t", arguments=None, call_id=None, description=None, attributes=None, parent=None):
        pass
    attributes = recorded(ironspan_trace).attributes
    assert "gen_ai.tool.call.id" not in attributes
    assert "gen_ai.tool.description" not in attributes


def test_unset_is_falsy_and_writes_nothing(ironspan_trace: MemoryExporter) -> None:
    assert not ironspan.UNSET
    assert repr(ironspan.UNSET) == "UNSET"
    with ironspan.span("x", input=ironspan.UNSET):
        pass
    assert recorded(ironspan_trace).attributes == {"ironspan.kind": "span"}


def test_the_subject_may_be_given_by_name(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span(name="a"), ironspan.generation(model="b"), ironspan.retrieval(query="c"):
        pass
    assert tree(ironspan_trace.spans) == "span a\n  generation b\n    retrieval retrieval"


def test_keywords_built_at_run_time_are_known(ironspan_trace: MemoryExporter) -> None:
    options = {"".join(["at", "tributes"]): {"a": 1}}
    with ironspan.span("x", **options):
        pass
    assert recorded(ironspan_trace).attributes["a"] == 1


@pytest.mark.parametrize("verb", VERBS)
def test_a_call_that_no_python_function_would_take_is_a_type_error(verb: str) -> None:
    call = getattr(ironspan, verb)
    with pytest.raises(TypeError, match=rf"{verb}\(\) missing 1 required positional argument"):
        call()
    with pytest.raises(TypeError, match=rf"{verb}\(\) takes 1 positional argument but 2 were given"):
        call("x", "y")
    with pytest.raises(TypeError, match=rf"{verb}\(\) got an unexpected keyword argument 'inptu'"):
        call("x", inptu=1)


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_have_signatures_and_docstrings(verb: str) -> None:
    function = getattr(ironspan, verb)
    parameters = inspect.signature(function).parameters
    assert {"input", "attributes", "tags", "parent", "links", "otel_kind"} <= set(parameters)
    assert all(
        parameter.kind is parameter.KEYWORD_ONLY for parameter in list(parameters.values())[1:]
    ), "options are keyword-only"
    assert function.__doc__
    assert function.__name__ == verb


@pytest.mark.parametrize("name", ["", "ünïcødé ✓ 😀", "x" * 10_000, "a\ud800b", "line\nbreak"])
def test_any_text_is_a_name(name: str, ironspan_trace: MemoryExporter) -> None:
    with ironspan.agent(name):
        pass
    done = recorded(ironspan_trace)
    expected = name.replace("\ud800", "\ufffd")
    assert done.name == f"invoke_agent {expected}".rstrip(" ")
    assert done.attributes.get("gen_ai.agent.name", "") == expected


@pytest.mark.parametrize("name", [7, None, b"raw", ["a"], object()])
def test_a_name_that_is_no_text_is_survived(name: Any, ironspan_trace: MemoryExporter) -> None:
    with ironspan.span(name) as span:
        assert isinstance(span.name, str)
    assert recorded(ironspan_trace).status == "ok"
