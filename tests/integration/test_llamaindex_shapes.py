"""What LlamaIndex's blocks and responses become, with the objects of the framework and its OpenAI package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import ironspan
import pytest
from ironspan.testing import FinishedSpan

from tests.support.versions import is_older

if is_older("llama-index-core", "0.12.43"):
    pytest.skip("blocks of all kinds since llama-index-core 0.12.43", allow_module_level=True)

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    DocumentBlock,
    ImageBlock,
    TextBlock,
)

from tests.support.outline import only
from tests.support.providers import files, is_streamed, replayed

Spans = Callable[[], list[FinishedSpan]]

PNG = "iVBORw0="
CASES = [
    pytest.param(name, case, id=f"{name}: {case['name']}")
    for name in ("openai_chat", "openai_responses")
    for case in files()[name]["cases"]
]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (TextBlock(text="hi"), {"type": "text", "content": "hi"}),
        (
            ImageBlock(url="https://x/a.png"),
            {"type": "uri", "modality": "image", "mime_type": "image/png", "uri": "https://x/a.png"},
        ),
        (
            ImageBlock(url=f"data:image/png;base64,{PNG}"),
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": PNG},
        ),
        (
            ImageBlock(image=PNG.encode(), image_mimetype="image/png"),
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": PNG},
        ),
        (
            AudioBlock(url="https://x/a.wav", format="wav"),
            {"type": "uri", "modality": "audio", "mime_type": "audio/wav", "uri": "https://x/a.wav"},
        ),
        (
            DocumentBlock(data=b"%PDF-1.4", document_mimetype="application/pdf"),
            {"type": "blob", "modality": "document", "mime_type": "application/pdf", "content": "JVBERi0xLjQ="},
        ),
    ],
)
def test_blocks_become_parts(spans: Spans, block: Any, expected: dict[str, Any]):
    with ironspan.generation("m", messages=[ChatMessage(role="user", blocks=[block])]):
        pass
    messages = json.loads(only(spans(), "generation").attributes["gen_ai.input.messages"])
    assert messages == [{"role": "user", "parts": [expected]}]


def test_an_empty_message_is_completed_by_the_response_behind_it(spans: Spans):
    refused = {
        "id": "chatcmpl-1",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": "No."}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4},
    }
    with ironspan.generation("m", messages="?") as span:
        span.output(ChatResponse(message=ChatMessage(role="assistant", blocks=[]), raw=refused))
    attributes = only(spans(), "generation").attributes
    assert json.loads(attributes["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "No."}]
    assert attributes["gen_ai.usage.input_tokens"] == 9
    assert attributes["gen_ai.response.id"] == "chatcmpl-1"


@pytest.fixture
def recorded_framework() -> Iterator[None]:
    ironspan.instrument("llamaindex")
    yield
    ironspan.uninstrument("llamaindex")


@pytest.mark.usefixtures("recorded_framework")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "case"), CASES)
def test_answer_through_the_openai_package(spans: Spans, name: str, case: dict[str, Any]):
    package = pytest.importorskip("llama_index.llms.openai")
    make = package.OpenAIResponses if name == "openai_responses" else package.OpenAI
    messages = [ChatMessage("Weather?")]
    with replayed(case["wire"]) as url:
        model = make(model="gpt-4o", api_key="none", api_base=f"{url}/v1", max_retries=0)
        if is_streamed(case):
            assert list(model.stream_chat(messages))
        else:
            model.chat(messages)
    attributes = only(spans(), "generation").attributes
    expected = case["expected"]
    assert attributes.get("gen_ai.usage.input_tokens") == expected["usage"].get("input")
    assert attributes.get("gen_ai.usage.output_tokens") == expected["usage"].get("output")
    assert attributes.get("gen_ai.usage.cache_read.input_tokens") == expected["usage"].get("cached")
    assert attributes.get("gen_ai.usage.reasoning.output_tokens") == expected["usage"].get("reasoning")
    assert attributes["gen_ai.response.model"] == expected["model"]
    # LlamaIndex takes one choice, and keeps the last chunk of a stream, where the reason need not be.
    if not is_streamed(case) or name == "openai_responses":
        assert attributes["gen_ai.response.finish_reasons"] == expected["reasons"][:1]
    parts = json.loads(attributes["gen_ai.output.messages"])[0]["parts"]
    assert [part["type"] for part in parts] == [part["type"] for part in expected["parts"][0]]
