"""What a fresh installation has to do, with `python -W error`: import in silence, record a span, deliver it."""

import importlib.metadata
import json
import pathlib
import tempfile
import threading

import ironspan


def main() -> None:
    assert threading.active_count() == 1, "importing ironspan started a thread"
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "trace.otlp.jsonl"
        ironspan.init("smoke", store=None, exporters=[ironspan.exporters.File(output)])
        with ironspan.span("installed", attributes={"answer": 42}):
            pass
        report = ironspan.shutdown()
        assert report, f"something was lost: {ironspan.stats()}"
        (line,) = output.read_text(encoding="utf-8").splitlines()
        (span,) = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        assert span["name"] == "installed", span
    print(f"ironspan {importlib.metadata.version('ironspan')}: imported, recorded, delivered")


if __name__ == "__main__":
    main()
