"""`capture` decides whether what was said is kept."""

from __future__ import annotations

import ironspan
import pytest
from ironspan.testing import MemoryExporter

SECRET = "canary-7f3a"


@pytest.mark.parametrize("level", ["off", "metadata", "redacted", "full"])
def test_content_is_kept_at_full_and_left_out_below(level: str) -> None:
    exporter = MemoryExporter()
    ironspan.init("capture", exporters=[exporter], capture=level)
    try:
        with ironspan.agent("a", input=SECRET) as agent:
            with ironspan.generation("gpt-4o", messages=[{"role": "user", "content": SECRET}]) as call:
                call.output(SECRET).usage(input=3, output=4)
            with ironspan.tool("t", arguments={"text": SECRET}) as tool:
                tool.output(SECRET)
            with ironspan.retrieval(SECRET) as search:
                search.documents([SECRET])
            agent.output(SECRET)
        spans = exporter.spans
    finally:
        ironspan.shutdown()
    seen = sum(SECRET in repr(span.attributes) for span in spans)
    assert seen == (4 if level == "full" else 0)
    usage = next(span.attributes for span in spans if span.kind == "generation")
    assert usage["gen_ai.usage.input_tokens"] == 3
