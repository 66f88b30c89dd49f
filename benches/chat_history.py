"""What does it cost the caller to record a chat history as the input of a generation?

21 messages, 19 KB, the shape an agent sends with each call. The span itself is subtracted: what is left is the walk
over the messages. The rival is `json.dumps` of the same messages, which is what recording them costs where attributes
are strings. The bar is a fifth of it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable

from benches.measure import Row, caller_cpu, main, quartiles
from benches.subjects import available, sink_url
from tests.faults import receivers

__all__ = ["history", "measure"]

_SENTENCES = (
    "The quarterly report shows that revenue in the northern region grew while churn stayed flat; please compare "
    "it with the previous year and list the three customers with the largest change. "
)


def history() -> list[dict[str, object]]:
    """A system message and ten exchanges, one of them with a tool call."""
    messages: list[dict[str, object]] = [{"role": "system", "content": "You are a careful analyst. " + _SENTENCES}]
    for turn in range(10):
        messages.append({"role": "user", "content": f"Question {turn}: {_SENTENCES * 4}"})
        answer: dict[str, object] = {"role": "assistant", "content": f"Answer {turn}: {_SENTENCES * 5}"}
        if turn == 4:
            answer["tool_calls"] = [
                {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": '{"region": "north"}'}}
            ]
        messages.append(answer)
    return messages


def measure(quick: bool) -> list[Row]:
    messages = history()
    size = len(json.dumps(messages))

    def dumps(count: int) -> None:
        for _ in range(count):
            json.dumps(messages)

    variants: dict[str, Callable[[int], None]] = {"json.dumps": dumps}
    settle: dict[str, Callable[[], object]] = {"json.dumps": lambda: None}
    if available("ironspan"):
        import ironspan

        sink = receivers.start("ok", detail="count")
        ironspan.init(service="bench", exporters=[ironspan.exporters.Otlp(traces_endpoint=sink_url(sink))])
        generation = ironspan.generation

        def bare(count: int) -> None:
            for _ in range(count):
                with generation("gpt-4o"):
                    pass

        def with_messages(count: int) -> None:
            for _ in range(count):
                with generation("gpt-4o", messages=messages):
                    pass

        variants.update({"generation": bare, "generation with messages": with_messages})
        settle.update(dict.fromkeys(("generation", "generation with messages"), lambda: ironspan.flush(10.0)))
    samples = caller_cpu(variants, rounds=20 if quick else 100, spans=100, settle=lambda name: settle[name]())
    what = f"caller CPU, {len(messages)} messages, {size / 1024:.0f} KB"
    rows = []
    for subject, values in samples.items():
        low, middle, high = quartiles([value / 1e3 for value in values])
        rows.append(Row(what, subject, middle, "us", low, high))
    if "generation" in samples:
        middle_of = {name: statistics.median(values) for name, values in samples.items()}
        messages_alone = middle_of["generation with messages"] - middle_of["generation"]
        times = middle_of["json.dumps"] / max(messages_alone, 1e-9)
        rows.append(Row(what, "json.dumps / messages alone", times, "x", bar="at least 5 x", passed=times >= 5))
    return rows


if __name__ == "__main__":
    main(measure)
