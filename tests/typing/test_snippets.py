"""The types of the installed package, as mypy in strict mode sees them."""

from __future__ import annotations

import re
from pathlib import Path

import ironspan
import pytest

api = pytest.importorskip("mypy.api", reason="mypy comes with the group `lint`")

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def the_package_of_this_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """mypy finds an installed package by itself; one that is elsewhere on the path it has to be told of."""
    folder = Path(ironspan.__file__).parents[1]
    if folder.name == "site-packages":
        monkeypatch.delenv("MYPYPATH", raising=False)
    else:
        monkeypatch.setenv("MYPYPATH", str(folder))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests here: mypy reads the frameworks once."""
    return tmp_path_factory.mktemp("mypy")


def check(snippet: str, cache: Path) -> dict[int, str]:
    """Errors of one file: line to code. Empty only when mypy itself is content."""
    # No configuration of this repository: what a user of the package gets.
    options = ["--strict", "--config-file=", "--show-error-codes", "--no-pretty", "--hide-error-context"]
    options += ["--no-color-output", f"--cache-dir={cache}"]
    out, trouble, status = api.run([*options, str(HERE / snippet)])
    assert not trouble
    errors = {}
    for line in out.splitlines():
        if found := re.fullmatch(r"(.*?):(\d+): error: .*\[([a-z-]+)\]", line):
            assert Path(found[1]).name == snippet, line
            errors[int(found[2])] = found[3]
    assert bool(errors) == bool(status), out
    return errors


def test_right_programs_are_accepted(cache: Path) -> None:
    assert check("accepted.py", cache) == {}


def test_wrong_programs_are_refused_where_they_are_wrong(cache: Path) -> None:
    lines = (HERE / "rejected.py").read_text().splitlines()
    expected = {at: line.split("# rejected: ")[1] for at, line in enumerate(lines, 1) if "# rejected: " in line}
    assert len(expected) > 30
    assert check("rejected.py", cache) == expected
