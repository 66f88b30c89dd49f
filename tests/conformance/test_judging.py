"""The judgement itself: what it must let pass, and what it must not, in the words of several conventions."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.conformance.conventions import Seen, read
from tests.conformance.receiver import Received
from tests.conformance.runner import PROGRAMS, programs
from tests.conformance.trees import judge, parse, show

_numbers = itertools.count(1)


def span(name: str, parent: Received | None = None, *, failed: str = "", **attributes: Any) -> Received:
    """A span that has arrived; dots in the names of attributes are written as two underscores."""
    number = next(_numbers)
    return Received(
        trace_id=parent.trace_id if parent else f"{number:032x}",
        span_id=f"{number:016x}",
        parent_id=parent.span_id if parent else "",
        name=name,
        start=number,
        end=number,
        failed=bool(failed),
        message=failed,
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
    )


def problems(tree: str, *spans: Received) -> list[str]:
    return judge(parse(tree), read(spans))


def generation(parent: Received | None = None, **more: Any) -> Received:
    return span("chat m", parent, gen_ai__operation__name="chat", gen_ai__request__model="m", **more)


def test_wrappers_that_are_not_listed_may_stand_between():
    root = span("graph")
    wrapper = span("RunnableSequence", root)
    assert problems("span graph\n  generation m\n", root, wrapper, generation(wrapper)) == []


def test_span_below_the_wrong_parent_is_told_with_where_it_is():
    root = span("graph")
    node, mine = span("node", root), span("mine", root)
    tree = "span graph\n  span node\n    span mine\n"
    assert "span mine: missing below span node; one is below span graph" in problems(tree, root, node, mine)


def test_second_generation_is_a_failure_wherever_it_is():
    root = span("graph")
    first = generation(root)
    again = generation(first)
    assert len(problems("span graph\n  generation m\n", root, first, again)) == 1
    assert problems("span graph\n", root, generation(root))


def test_repeated_lines_are_matched_by_their_facts_in_any_order():
    root = span("graph")
    calls = [generation(root, gen_ai__usage__input_tokens=tokens) for tokens in (3, 1, 2)]
    tree = "span graph\n  generation m\n  generation m in=2\n  generation m in=3\n"
    assert problems(tree, root, *calls) == []
    assert problems(tree.replace("in=2", "in=4"), root, *calls)


def test_one_trace_for_each_root_and_every_parent_arrives():
    root, other = span("graph"), span("stray")
    assert problems("span graph\n", root, other) == ["2 traces instead of 1"]
    lost = span("never sent")
    assert any("never came" in problem for problem in problems("span graph\n", root, span("node", lost)))


@pytest.mark.parametrize(
    ("line", "passes"),
    [("", False), (" [error ValueError]", True), (" [error KeyError]", False), (" [cancelled]", False)],
)
def test_failure_is_one_exactly_when_the_tree_says_so(line: str, passes: bool):
    assert (problems(f"span step{line}\n", span("step", failed="ValueError: no")) == []) is passes


def test_cancelled_counts_as_met_without_words_for_it_and_not_with_others():
    assert problems("span step [cancelled]\n", span("step")) == []
    assert problems("span step [cancelled]\n", span("step", ironspan__kind="span", ironspan__status="cancelled")) == []
    assert problems("span step [cancelled]\n", span("step", ironspan__kind="span"))
    assert problems("span step\n", span("step", ironspan__kind="span", ironspan__status="cancelled"))


#: The same generation as five tracers write it.
GENERATIONS: dict[str, dict[str, Any]] = {
    "GenAI": {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "yes"}]}]),
    },
    "OpenInference": {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "llm.token_count.prompt": 12,
        "llm.token_count.prompt_details.cache_read": 4,
        "llm.finish_reason": "stop",
        "llm.output_messages.0.message.content": "yes",
    },
    "Langfuse": {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "m",
        "langfuse.observation.usage_details": json.dumps({"input": 8, "input_cache_read": 4, "output": 1}),
        "langfuse.observation.output": json.dumps({"content": "yes", "finish_reason": "stop"}),
    },
    "LangSmith": {
        "langsmith.span.kind": "llm",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 12,
        "langsmith.metadata.usage_metadata": json.dumps({"input_tokens": 12, "input_token_details": {"cache_read": 4}}),
        "gen_ai.completion": json.dumps({"generations": [[{"text": "yes", "finish_reason": "stop"}]]}),
    },
    "MLflow": {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": '"m"',
        "mlflow.chat.tokenUsage": json.dumps({"input_tokens": 12, "cache_read_input_tokens": 4}),
        "mlflow.spanOutputs": json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}),
    },
}


@pytest.mark.parametrize("convention", GENERATIONS)
def test_facts_are_found_in_every_convention(convention: str):
    def came() -> Received:
        made = span("call")
        made.attributes = GENERATIONS[convention]
        return made

    assert problems('generation m in=12 cached=4 finish=stop text="yes"\n', came()) == []
    for wrong in ("in=13", "cached=5", "finish=length", 'text="no"', 'without="yes"', "session=s"):
        assert len(problems(f"generation m {wrong}\n", came())) == 1


def test_agent_is_known_by_the_metadata_it_hands_on_and_counts_once():
    root = span("scout", openinference__span__kind="CHAIN", metadata='{"lc_agent_name": "scout"}')
    node = span("model", root, openinference__span__kind="CHAIN", metadata='{"lc_agent_name": "scout"}')
    assert problems("agent scout\n  span model\n", root, node) == []
    turn = span("invoke_agent scout", gen_ai__operation__name="invoke_agent", gen_ai__agent__name="scout")
    step = span("scout.workflow", turn, traceloop__span__kind="workflow", gen_ai__agent__name="scout")
    step.attributes["traceloop.association.properties.lc_agent_name"] = "scout"
    assert problems("agent scout\n", turn, step) == []


def test_graph_may_be_called_an_agent_but_an_agent_no_graph():
    turn = span("invoke_agent work", gen_ai__operation__name="invoke_agent", gen_ai__agent__name="work")
    inner = span("work.workflow", turn, traceloop__span__kind="workflow", traceloop__entity__name="work")
    node = span("A.task", inner, traceloop__span__kind="task", traceloop__entity__name="A")
    assert problems("span work\n  span A\n", turn, inner, node) == []
    assert problems("agent work\n", span("work"))


@pytest.mark.parametrize("text", ["robot r2\n", "span a\n   span b\n", "span a size=3\n", "span a [sad]\n"])
def test_mistake_in_a_tree_file_is_told(text: str):
    with pytest.raises(ValueError, match="line"):
        parse(text)


@pytest.mark.parametrize("program", programs())
def test_program_says_what_it_does_and_what_has_to_be_seen(program: str):
    source = (PROGRAMS / f"{program}.py").read_text(encoding="utf-8")
    assert "To be seen:" in source.split('"""')[1]
    assert parse((PROGRAMS / f"{program}.tree").read_text(encoding="utf-8"))


def test_spans_are_shown_as_a_tree():
    root = span("graph")
    seen: list[Seen] = read([root, generation(root, gen_ai__usage__input_tokens=3)])
    assert show(seen) == "span graph\n  generation m in=3\n"


def test_a_method_and_the_one_behind_it_are_one_call_of_their_class():
    root = span("RetrieverQueryEngine.query", openinference__span__kind="CHAIN")
    outer = span("Shelf.retrieve", root, openinference__span__kind="RETRIEVER")
    inner = span("Shelf._retrieve", outer, openinference__span__kind="RETRIEVER")
    asked = generation(inner)
    assert problems("span RetrieverQueryEngine\n  retrieval Shelf\n    generation m\n", root, outer, inner, asked) == []


def test_two_calls_that_both_claim_tokens_stay_two():
    def asked(method: str, parent: Received | None = None, **more: Any) -> Received:
        return span(f"OpenAI.{method}", parent, openinference__span__kind="LLM", llm__model_name="m", **more)

    first = asked("predict", llm__token_count__prompt=3)
    assert len(problems("generation m\n", first, asked("chat", first, llm__token_count__prompt=3))) == 1
    wrapper = asked("predict")
    assert problems("generation m in=3\n", wrapper, asked("chat", wrapper, llm__token_count__prompt=3)) == []
