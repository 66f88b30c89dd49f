"""Records what the installed LangChain packages make of the answers in this folder.

Run as `python -m tests.data.providers.record`.

Writes `version` and, for each case, `result` into the files whose package is installed. What is expected of a span is
written by hand, from what the provider's answer says.
"""

from __future__ import annotations

import importlib.metadata
import json
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult

from tests.support.providers import FOLDER, dumped, files, is_installed, is_streamed, model_of, replayed


class _Result(BaseCallbackHandler):
    raise_error = True
    result: LLMResult

    def on_llm_end(self, response: LLMResult, **kwargs: object) -> None:
        self.result = response


def main() -> None:
    for name, file in files().items():
        if not is_installed(file["package"]):
            continue
        for case in file["cases"]:
            if case.get("told_by_chunks"):
                continue
            caught = _Result()
            with replayed(case["wire"]) as url:
                model = model_of(file, case, url)
                if is_streamed(case):
                    list(model.stream("Weather?", config={"callbacks": [caught]}))
                else:
                    model.invoke("Weather?", config={"callbacks": [caught]})
            case["result"] = dumped(caught.result)
        file["version"] = importlib.metadata.version(file["package"])
        ordered = {key: file[key] for key in ("package", "version", "options", "cases") if key in file}
        (FOLDER / f"{name}.json").write_text(_text(ordered))


def _text(file: dict[str, Any]) -> str:
    """A line for each fact of a case: short enough to compare, few enough to read."""
    head = "".join(f'"{key}": {json.dumps(value)},\n' for key, value in file.items() if key != "cases")
    cases = (",\n".join(f'"{key}": {json.dumps(value)}' for key, value in case.items()) for case in file["cases"])
    return "{\n" + head + '"cases": [\n{\n' + "\n},\n{\n".join(cases) + "\n}\n]\n}\n"


if __name__ == "__main__":
    main()
