"""Each page on a real server and a store of recorded traces.

That nothing is asked of other machines, that the policy is kept and that no console has an error is checked at the end
of every test by the fixture that makes the pages.
"""

# The page's own signs are compared with.
# ruff: noqa: RUF001

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import clean_environment
from tests.viewer.serving import Served, viewing
from tests.viewer.traces import HOSTILE

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

NODES = 2_000
WIDTHS = [(1440, 820), (1280, 800), (375, 740)]
PAGES = ["traces", "sessions", "sessions/sess-demo", "agents", "dashboard", "errors", "scores"]


def expect(locator: Any) -> Any:
    return sync_api.expect(locator)


def row_of(page: Any, name: str) -> Any:
    return page.locator(".tl-row", has=page.get_by_text(name, exact=True))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("size", WIDTHS, ids=lambda size: str(size[0]))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_page_fits_its_screen(
    new_page: Callable[..., Any], served: Served, name: str, size: tuple[int, int], scheme: str
) -> None:
    page = new_page(*size, scheme)
    page.goto(f"{served.url}/#/{name}")
    expect(page.locator("main > *").first).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)
    assert page.get_by_role("alert").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.locator("*").count() < NODES


def test_the_list_says_what_one_looks_for_first(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/traces?since=all")
    row = page.locator(f'[data-trace="{served.ids["demo"]["trace"]}"]')
    for text in ("OK", "support_workflow", "manager", "researcher", "9.42 s", "3 recovered", "15", "sess-demo"):
        expect(row).to_contain_text(text)
    bad = page.locator(f'[data-trace="{served.ids["failed"]["trace"]}"]')
    expect(bad).to_contain_text("FAILED")
    expect(bad).to_contain_text("rate limited (429)")


def test_the_list_is_filtered_and_the_address_keeps_the_filter(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/traces?since=all")
    page.get_by_role("button", name="Failed").click()
    expect(page.locator(".trace-line .c-name", has_text="support_workflow")).to_have_count(0)
    expect(page.locator(".trace-line").first).to_contain_text("FAILED")
    assert "status" in page.url
    page.reload()
    expect(page.get_by_role("button", name="Failed")).to_have_attribute("aria-pressed", "true")


def test_a_filter_that_cannot_be_read_is_marked(new_page: Callable[..., Any], served: Served) -> None:
    page = new_page(expect_errors=True)  # the browser notes every answer of 400
    page.goto(f"{served.url}/#/traces")
    expect(page.locator(".trace-line").first).to_be_visible()
    page.keyboard.press("f")
    page.keyboard.type("dur:>soon")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()


def test_the_filter_completes_fields_and_values(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/traces?since=all")
    box = page.get_by_role("combobox", name="Filter")
    box.click()
    box.type("ag")
    page.get_by_role("option").first.click()
    box.type("rese")
    page.get_by_role("option", name="researcher").click()
    expect(page.locator(".trace-line")).to_have_count(1)


def test_older_traces_come_when_one_scrolls(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/traces?since=all")
    expect(page.locator(".trace-line").first).to_be_visible()
    page.locator(".trace-list").evaluate("(list) => { list.scrollTop = list.scrollHeight; }")
    expect(page.locator(f'[data-trace="{served.ids["history"]["trace"]}"]')).to_be_visible()


def test_a_trace_shows_its_tree_story_and_figures(page: Any, served: Served) -> None:
    page.goto(served.trace("demo"))
    expect(page.locator("h1")).to_have_text("support_workflow")
    expect(page.locator(".trace-header")).to_contain_text("3 errors recovered")
    expect(page.locator(".trace-header")).to_contain_text("9.42 s")
    story = page.locator(".story")
    expect(story).to_contain_text("Critical path: write_code 2.45 s · synthesise 1.54 s")
    expect(story).to_contain_text(
        "web_search (researcher): web_search timed out after 800 ms ×2 → OK on try 3 — 1.60 s lost"
    )
    expect(story).to_contain_text("fix_code → OK")
    expect(page.locator(".tl-fold")).to_contain_text("×3")
    page.locator(".tl-fold").click()
    expect(page.locator(".tl-row", has_text="try 2")).to_have_count(2)


def test_a_failed_span_shows_error_stack_and_attempts_first(page: Any, served: Served) -> None:
    page.goto(served.trace("demo", "web_search"))
    failure = page.locator(".detail .failure")
    expect(failure).to_contain_text("web_search timed out after 800 ms")
    expect(failure).to_contain_text("Traceback")
    expect(failure.locator(".attempts button")).to_have_count(3)
    first = page.locator(".detail-body > *").first
    expect(first).to_contain_text("timed out")
    failure.locator(".attempts button").nth(2).click()
    expect(page.locator(".detail .failure")).to_have_count(0)


def test_messages_are_a_conversation_and_calls_lead_to_their_spans(page: Any, served: Served) -> None:
    page.goto(served.trace("demo", "plan"))
    expect(page.locator(".bubble.role-system")).to_contain_text("Route.")
    expect(page.locator(".bubble.role-user")).to_contain_text("Compare Postgres")
    call = page.locator(".tool-call")
    expect(call).to_contain_text("delegate")
    call.get_by_role("button", name="go to span").click()
    expect(page.locator(".detail h2")).to_have_text("researcher")


def test_markdown_of_an_answer_can_be_read_raw(page: Any, served: Served) -> None:
    page.goto(served.trace("demo", "summarise"))
    answer = page.locator(".bubble.role-assistant")
    expect(answer.locator("strong")).to_have_text("SQLite")
    page.get_by_role("button", name="Raw").first.click()
    expect(answer).to_contain_text("**SQLite**")
    page.reload()  # the choice is remembered
    expect(answer).to_contain_text("**SQLite**")


def test_documents_are_cards_with_their_scores(page: Any, served: Served) -> None:
    page.goto(served.trace("demo", "vector_search"))
    expect(page.locator(".document")).to_contain_text("note-17")
    expect(page.locator(".document")).to_contain_text("0.91")


def test_what_the_model_saw_before_is_folded(page: Any, served: Served) -> None:
    page.goto(served.trace("demo", "fix_code"))
    expect(page.locator(".folded")).to_contain_text("as in the call before")
    expect(page.locator(".bubble.role-user")).to_have_count(1)
    page.get_by_label("only new").uncheck()
    expect(page.locator(".bubble.role-user")).to_have_count(2)


def test_the_keyboard_is_enough(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/traces?since=all")
    expect(page.locator(".trace-line").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("support_workflow")
    page.keyboard.press("e")
    expect(page.locator(".detail .failure")).to_be_visible()
    page.keyboard.press("c")
    expect(page.locator(".bar-path")).to_have_count(0)
    page.keyboard.press("]")
    expect(page.locator("h1")).to_have_text("coder_request")
    page.keyboard.press("/")
    page.keyboard.type("coder")
    expect(page.locator(".tl-row.hit")).to_have_count(2)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next error")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.locator("h1")).to_have_text("Dashboard")


@pytest.mark.parametrize("tab", ["agents", "lanes", "conversation"])
def test_the_other_views_of_a_trace(page: Any, served: Served, tab: str) -> None:
    page.goto(served.trace("demo", tab=tab))
    view = page.locator(".trace-main")
    for agent in ("manager", "researcher", "coder"):
        expect(view).to_contain_text(agent)
    if tab == "agents":
        expect(page.locator(".node-tool", has_text="web_search")).to_contain_text("2 ✗")
        expect(page.locator(".node-agent", has_text="manager")).to_contain_text("gpt-4o ×2")
    elif tab == "lanes":
        expect(page.locator(".handoffs button")).to_have_count(2)
    else:
        expect(view).to_contain_text("Findings")


def test_a_trace_opens_by_the_beginning_of_its_id(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/t/{served.ids['demo']['trace'][:8]}")
    expect(page.locator("h1")).to_have_text("support_workflow")


def test_an_unknown_trace_is_told(new_page: Callable[..., Any], served: Served) -> None:
    page = new_page(expect_errors=True)
    page.goto(f"{served.url}/#/t/ffffffffffff")
    expect(page.get_by_role("alert")).to_be_visible()


def test_content_is_only_ever_text(page: Any, served: Served) -> None:
    found = served.ids["hostile"]
    places = ["#/traces?since=all", "#/errors", "#/sessions", "#/agents", f"#/t/{found['trace']}"]
    places += [f"#/t/{found['trace']}?tab={tab}" for tab in ("agents", "lanes", "conversation")]
    places += [f"#/t/{found['trace']}?span={span}" for span in found["spans"].values()]
    for place in places:
        page.goto(f"{served.url}/{place}")
        page.reload()
        expect(page.locator("main > *").first).to_be_visible()
        expect(page.locator(".loading")).to_have_count(0)
        assert page.evaluate("window.pwned") is None, place
        assert page.locator("main script, main img, main iframe, main b b").count() == 0, place
        assert page.locator('a[href^="javascript:"], a[href^="data:"]').count() == 0, place
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280, place
    page.goto(served.trace("hostile"))
    expect(page.locator("h1")).to_contain_text(HOSTILE[:100])  # a name of this length is cut before it is stored


def test_large_texts_are_cut_and_data_is_named(page: Any, served: Served) -> None:
    page.goto(served.trace("hostile", "answer"))
    expect(page.locator(".bubble .more").first).to_contain_text("Show all")
    page.goto(served.trace("hostile", "image"))
    expect(page.locator(".data-chip").first).to_contain_text("image/png")


def test_a_large_trace_is_light(page: Any, served_big: Served) -> None:
    page.goto(served_big.trace("big"))
    expect(page.locator(".tl-row").first).to_contain_text("deep_research_loop")
    assert page.locator("*").count() < NODES
    page.locator(".tl").evaluate("(list) => { list.scrollTop = list.scrollHeight; }")
    expect(page.get_by_text("last_step", exact=True)).to_be_visible()
    page.get_by_text("last_step", exact=True).click()
    expect(page.locator(".detail h2")).to_have_text("last_step")
    page.keyboard.press("e")
    expect(page.locator(".detail .failure")).to_contain_text("HTTP 503")
    assert page.locator("*").count() < NODES


def test_an_empty_store_says_how_to_begin(served_empty: Served, page: Any) -> None:
    page.goto(served_empty.url)
    first = page.locator(".first-use")
    for text in ("import ironspan", "ironspan demo", served_empty.store.name):
        expect(first).to_contain_text(text)


def test_a_store_that_is_not_there_yet_is_waited_for_and_one_that_is_replaced_is_left(
    tmp_path: Path, new_page: Callable[..., Any]
) -> None:
    store = tmp_path / "later" / "traces.db"
    store.parent.mkdir()
    with viewing(store) as url:
        # The stream is broken off when the server ends, which the browser tells its console.
        page = new_page(expect_errors=True)
        page.goto(url)
        expect(page.locator(".first-use")).to_contain_text(str(store))
        assert not store.exists()
        record_one(store, "appeared")
        expect(page.locator(".trace-line")).to_contain_text("appeared")
        for end in ("-wal", "-shm", ""):
            store.with_name(store.name + end).unlink(missing_ok=True)
        expect(page.locator(".first-use")).to_be_visible()
        record_one(store, "another")
        expect(page.locator(".trace-line")).to_have_count(1)
        expect(page.locator(".trace-line")).to_contain_text("another")


def test_a_new_trace_appears_while_one_looks(served_empty: Served, page: Any) -> None:
    page.goto(served_empty.url)
    expect(page.locator(".first-use")).to_be_visible()
    record_one(served_empty.store, "appeared")
    expect(page.locator(".trace-line")).to_contain_text("appeared")


def test_what_comes_while_paused_waits(served_empty: Served, page: Any) -> None:
    record_one(served_empty.store, "first")
    page.goto(served_empty.url)
    expect(page.locator(".trace-line")).to_have_count(1)
    page.keyboard.press(".")
    record_one(served_empty.store, "second")
    expect(page.locator(".fresh")).to_contain_text("1 new trace")
    expect(page.locator(".trace-line")).to_have_count(1)
    page.locator(".fresh").click()
    expect(page.locator(".trace-line").first).to_contain_text("second")


def test_a_running_trace_grows(served_empty: Served, page: Any) -> None:
    code = """
import sys, ironspan
ironspan.init(store=sys.argv[1])
with ironspan.agent("long") as span:
    print(span.trace_id, flush=True)
    for name in sys.stdin:
        with ironspan.tool(name.strip()):
            pass
ironspan.shutdown(timeout=30)
"""
    command = [sys.executable, "-c", code, str(served_empty.store)]
    with subprocess.Popen(
        command, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        trace = program.stdout.readline().strip()
        program.stdin.write("first_step\n")
        program.stdin.flush()
        page.goto(f"{served_empty.url}/#/traces")
        expect(page.locator(".trace-line")).to_contain_text("running")
        page.goto(f"{served_empty.url}/#/t/{trace}")
        expect(page.locator(".trace-title")).to_contain_text("running")
        program.stdin.write("second_step\n")
        program.stdin.flush()
        expect(row_of(page, "second_step")).to_be_visible()
        program.stdin.close()
        expect(page.locator(".trace-title")).to_contain_text("OK")


def record_one(store: Path, name: str) -> None:
    code = """
import sys, ironspan
ironspan.init(store=sys.argv[1])
with ironspan.workflow(sys.argv[2]):
    pass
ironspan.shutdown(timeout=30)
"""
    subprocess.run([sys.executable, "-c", code, str(store), name], env=clean_environment(), check=True, timeout=60)


def test_a_judgement_is_stored_shown_and_taken_back(page: Any, served: Served) -> None:
    page.goto(served.trace("failed"))
    bad = page.get_by_role("button", name="Bad", exact=True)
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "true")
    page.goto(served.trace("failed", "coder"))
    form = page.locator(".detail .score-form")
    form.get_by_label("Number or word").fill("0.25")
    form.get_by_label("Comment").fill("<b>too slow</b>")
    form.get_by_role("button", name="Add score").click()
    expect(page.locator(".detail .scores")).to_contain_text("<b>too slow</b>")
    page.goto(f"{served.url}/#/scores")
    expect(page.locator("table")).to_contain_text("0.25")
    page.goto(served.trace("failed"))
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "false")


def test_errors_are_grouped_and_lead_to_an_example(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/errors")
    group = page.locator("tr", has_text="web_search")
    expect(group).to_contain_text("researcher")
    expect(group).to_contain_text("TimeoutError")
    group.get_by_role("link").first.click()
    expect(page.locator(".detail .failure")).to_contain_text("timed out")


def test_recovered_is_a_share_of_the_traces(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/errors")
    expect(page.locator("tr", has_text="web_search")).to_be_visible()
    groups = page.evaluate("fetch('/api/v1/errors?since=7d').then((a) => a.json()).then((a) => a.groups)")
    assert any(group["count"] != group["traces"] for group in groups)
    for group, cell in zip(groups, page.locator("tbody tr td:nth-child(4)").all_inner_texts(), strict=True):
        share = 100 * group["recovered"] / group["traces"]
        assert cell == (f"{share:.1f} %" if 0 < share < 9.95 else f"{round(share)} %")


def test_a_session_is_read_turn_by_turn(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/sessions/sess-1")
    expect(page.locator(".talk-turn")).to_have_count(5)
    expect(page.locator(".talk-turn").first).to_contain_text("Question 9")  # oldest first
    expect(page.locator(".talk-turn").first).to_contain_text("Answer 9")


def test_two_traces_are_compared_from_the_list(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/traces?since=all")
    for name in ("demo", "failed"):
        page.locator(f'[data-trace="{served.ids[name]["trace"]}"]').get_by_role("checkbox").check()
    page.get_by_role("button", name="Compare 2 of 2").click()
    expect(page.locator(".compare-head")).to_contain_text("coder_request")
    expect(page.locator(".cmp-row.removed").first).to_contain_text("only in A")


def test_the_dashboard_draws_and_a_point_leads_to_its_traces(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/dashboard")
    expect(page.locator(".chart canvas").first).to_be_visible()
    chart = page.locator(".chart .u-over").first
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 40)
    page.mouse.down()
    page.mouse.up()
    expect(page.locator(".toolbar")).to_be_visible()
    assert "since=" in page.url


def test_colours_can_be_chosen_and_are_remembered(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/#/traces")
    page.get_by_role("button", name="Colours").click()  # auto to light
    page.get_by_role("button", name="Colours").click()  # light to dark
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != "rgb(255, 255, 255)"
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
