"""scripts/counts adds up what the runners report; CI's verdict hangs on it."""

from __future__ import annotations

import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "counts"
CARGO = """
test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
"""
JUNIT = """<testsuites><testsuite><testcase/><testcase/><testcase><skipped/></testcase>
<testcase><failure/></testcase><testcase><failure/><error/></testcase></testsuite></testsuites>"""


def last_line(folder: pathlib.Path, *failed_steps: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, *failed_steps], stdout=subprocess.PIPE, text=True, check=False
    )
    return done.stdout.splitlines()[-1], done.returncode


def test_cargo_pytest_and_other_runners_are_added_up(tmp_path: pathlib.Path) -> None:
    (tmp_path / "rust.log").write_text(CARGO)
    (tmp_path / "python-3.11.xml").write_text(JUNIT)
    (tmp_path / "faults.log").write_text("PASS E01\n12 s, load 1.0, 3 not run\n7 passed, 1 failed\n")
    assert last_line(tmp_path) == ("17 passed, 5 failed", 1)


def test_all_green_ends_with_exit_code_0(tmp_path: pathlib.Path) -> None:
    (tmp_path / "rust.log").write_text("test result: ok. 5 passed; 0 failed; 0 ignored;")
    assert last_line(tmp_path) == ("5 passed, 0 failed", 0)


def test_a_step_that_failed_counts_beside_the_tests(tmp_path: pathlib.Path) -> None:
    (tmp_path / "rust.log").write_text("test result: ok. 5 passed; 0 failed; 0 ignored;")
    assert last_line(tmp_path, "lint") == ("5 passed, 1 failed", 1)


def test_a_report_without_a_test_is_a_failure(tmp_path: pathlib.Path) -> None:
    (tmp_path / "rust.log").write_text("error: could not compile `ironspan`")
    assert last_line(tmp_path) == ("0 passed, 1 failed", 1)


def test_no_report_at_all_is_not_a_success(tmp_path: pathlib.Path) -> None:
    assert last_line(tmp_path) == ("0 passed, 0 failed", 1)
