"""What model providers answer, through their LangChain packages, and what the span says of it.

The recorded answers are in `tests/data/providers`. Each is tested twice: replayed over loopback to the provider's
package where that is installed, and as the result that the package makes of it, which langchain-core can rebuild.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from ironspan.langchain import CallbackHandler
from ironspan.testing import FinishedSpan
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, LLMResult

from tests.support.outline import only
from tests.support.providers import dumped, files, is_installed, is_streamed, model_of, rebuilt, replayed

Spans = Callable[[], list[FinishedSpan]]

FILES = files()
CASES = [
    pytest.param(FILES[name], case, id=f"{name}: {case['name']}") for name in FILES for case in FILES[name]["cases"]
]

COUNTS = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "cached": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "audio_in": "gen_ai.usage.audio.input_tokens",
    "audio_out": "gen_ai.usage.audio.output_tokens",
}


def described(span: FinishedSpan) -> dict[str, Any]:
    """What a span says of the answer, in the words of the recorded files."""
    attributes = span.attributes
    found: dict[str, Any] = {
        "usage": {name: attributes[key] for name, key in COUNTS.items() if key in attributes},
        "reasons": list(attributes.get("gen_ai.response.finish_reasons", ())),
        "parts": [message["parts"] for message in json.loads(attributes["gen_ai.output.messages"])],
    }
    for name in ("id", "model"):
        if f"gen_ai.response.{name}" in attributes:
            found[name] = attributes[f"gen_ai.response.{name}"]
    return found


def agrees(found: Any, expected: Any) -> bool:
    """Whether all that is expected is there; a part may hold more, such as the block that it was made of."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            key in found and agrees(found[key], value) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(agrees, found, expected))
    return bool(found == expected)


def check(span: FinishedSpan, expected: dict[str, Any]) -> None:
    found = described(span)
    assert found["usage"] == expected["usage"]
    assert found["reasons"] == expected["reasons"]
    assert agrees(found["parts"], expected["parts"]), found["parts"]
    assert {name: found.get(name) for name in ("id", "model")} == {name: expected.get(name) for name in ("id", "model")}


class Result(BaseCallbackHandler):
    """Keeps what the package made of the answer."""

    result: LLMResult | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.result = response


def ask(file: dict[str, Any], case: dict[str, Any], *callbacks: BaseCallbackHandler) -> None:
    """One call of the package's model, answered by the recorded answer."""
    with replayed(case["wire"]) as url:
        model, config = model_of(file, case, url), {"callbacks": list(callbacks)}
        if is_streamed(case):
            assert list(model.stream("Weather?", config=config))
        else:
            model.invoke("Weather?", config=config)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("file", "case"), CASES)
def test_answer_through_the_providers_package(spans: Spans, file: dict[str, Any], case: dict[str, Any]):
    if not is_installed(file["package"]):
        pytest.skip(f"{file['package']} is not installed")
    ask(file, case, CallbackHandler())
    check(only(spans(), "generation"), case["expected"])


@pytest.mark.parametrize(("file", "case"), [param for param in CASES if "result" in param.values[1]])
def test_answer_as_the_package_left_it(spans: Spans, file: dict[str, Any], case: dict[str, Any]):
    handler, run_id = CallbackHandler(), uuid.uuid4()
    handler.on_chat_model_start({"name": "Model"}, [[]], run_id=run_id, invocation_params={})
    handler.on_llm_end(rebuilt(case["result"]), run_id=run_id)
    check(only(spans(), "generation"), case["expected"])


def test_every_recorded_answer_has_a_result_but_those_told_by_their_chunks():
    without = [case["name"] for file in FILES.values() for case in file["cases"] if "result" not in case]
    assert without == ["streamed with usage repeated and growing in every chunk"]
    assert all(file["package"] and file["version"] for file in FILES.values())


def test_a_rebuilt_result_is_the_one_that_was_dumped():
    for file in FILES.values():
        for case in file["cases"]:
            if "result" in case:
                assert dumped(rebuilt(case["result"])) == case["result"], case["name"]


class CountingModel(BaseChatModel):
    """Streams a word for each of `counts`, which the chunk brings as its usage."""

    counts: list[tuple[int, int] | None]

    @property
    def _llm_type(self) -> str:
        return "counting"

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        for number, count in enumerate(self.counts):
            usage = None
            if count is not None:
                usage = {"input_tokens": count[0], "output_tokens": count[1], "total_tokens": sum(count)}
            yield ChatGenerationChunk(message=AIMessageChunk(f"word{number} " if number else "", usage_metadata=usage))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param([None, (9, 1), (9, 2), (9, 3)], {"input": 9, "output": 3}, id="everything in every chunk"),
        pytest.param([(9, 0), (9, 1), (9, 2), (9, 2)], {"input": 9, "output": 2}, id="from the first one on"),
        pytest.param([(9, 0), (9, 1), None, (9, 4)], {"input": 9, "output": 4}, id="with a gap"),
        pytest.param([None, (9, 1), (0, 1), (0, 2)], {"input": 9, "output": 4}, id="what each chunk adds"),
        pytest.param([(9, 1), None, None, (0, 3)], {"input": 9, "output": 4}, id="prompt first, answer last"),
        pytest.param([None, None, None, (9, 4)], {"input": 9, "output": 4}, id="in the last chunk"),
        pytest.param([None, None], {}, id="nowhere"),
    ],
)
def test_usage_of_a_stream_is_counted_once(spans: Spans, counts: Any, expected: dict[str, int]):
    model = CountingModel(counts=counts)
    assert list(model.stream("?", config={"callbacks": [CallbackHandler()]}))
    span = only(spans(), "generation")
    assert described(span)["usage"] == expected
    assert span.attributes["ironspan.stream.chunks"] >= len(counts)
    assert span.attributes["gen_ai.response.time_to_first_chunk"] >= 0
