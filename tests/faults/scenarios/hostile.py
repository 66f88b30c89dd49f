"""E, second part: answers, addresses and networks that are wrong on purpose."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

from tests.faults.app import App
from tests.faults.harness import Process, Run, scenario, us
from tests.faults.receivers import Remote
from tests.faults.scenarios import parts

__all__: list[str] = []

# Retry-After values, and whether they are a wait that has to be obeyed.
RETRY_AFTER = {
    "2": "obeyed",
    "3600": "clamped",
    "-1": "garbage",
    "1e99": "garbage",
    "Sun, 06 Nov 1994 08:49:37 GMT": "past",
    "abc": "garbage",
    "9" * 10_000: "garbage",
}
CLAMP_SECONDS = 60.0


@scenario("E05", "429 with sensible and senseless Retry-After values", lane="quiet")
def retry_after(run: Run) -> None:
    seconds = run.pick(12, 80)
    running: list[tuple[str, str, Remote, Process]] = []
    for value, meaning in RETRY_AFTER.items():
        receiver = run.receiver("429", retry_after=value)
        process = run.start(parts.steady, endpoint=receiver.endpoint, seconds=seconds, rate=5)
        running.append((value, meaning, receiver, process))
    slowest = 0.0
    for value, meaning, receiver, process in running:
        result = run.finish(process, timeout=seconds + 30)
        slowest = max(slowest, result.exit_seconds)
        ended = result.one("done")["at"]
        # Attempts made while the app runs; the one that the exit adds may come at any time.
        times = [request["at"] for request in receiver.requests() if request["at"] < ended]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        label = f"Retry-After {value[:12]}"
        shown = " ".join(f"{gap:.1f}" for gap in gaps[:6]) or "no second request"
        if meaning == "obeyed":
            run.check(label, shown, "never under 2 s", bool(gaps) and min(gaps) >= 1.99)
        elif meaning == "clamped":
            good = min(gaps) >= 10 and max(gaps) <= CLAMP_SECONDS + 2 if gaps else not run.full
            run.check(label, shown, "waits, at most 60 s", bool(times) and good)
        else:
            # Default backoff: it comes again within seconds and does not hammer.
            good = bool(gaps) and gaps[0] <= 10 and len(times) <= 12 * max(1.0, seconds / 60)
            run.check(label, shown, "default backoff", good)
    run.check("slowest exit", f"{slowest:.2f} s", "at most 5 s", slowest <= 5.0)


def with_secret(app: App, endpoint: str, spans: int) -> None:
    ironspan = app.init(endpoint, headers={"authorization": "Bearer canary", "x-api-key": "canary"})
    parts.make(ironspan, spans)
    ironspan.flush(3.0)


@scenario("E12", "a redirect to another port: credentials stay home")
def redirects(run: Run) -> None:
    for status in (301, 302, 307, 308):
        other = run.receiver("ok")
        first = run.receiver("redirect", location=other.endpoint + "/v1/traces", status=status)
        stats = run.app(with_secret, endpoint=first.endpoint, spans=10).stats
        leaked = sum("canary" in value for request in other.requests() for value in request["headers"].values())
        asked = first.report()["requests"]
        run.check(
            f"{status}: secrets at the other port", f"{leaked}, asked {asked} times", "0", leaked == 0 and asked > 0
        )
        arrived = other.report()["unique"]
        failed = stats["rejected"] + sum(stats["dropped"].values())
        run.check(f"{status}: counted as failed", f"{failed} of {10 - arrived}", "all", failed == 10 - arrived)


def tries(app: App, endpoint: str) -> None:
    ironspan = app.init(endpoint)
    for _ in range(3):
        parts.make(ironspan, 10)
        ironspan.flush(0.7)


def fuzzed(app: App, endpoint: str, rounds: int, destinations: int) -> None:
    """Each round is a new start: a fresh client meets the answer, and no backoff of the round before holds it up."""
    import ironspan

    for _ in range(rounds):
        ironspan.init(
            service="faults", exporters=[ironspan.exporters.Otlp(endpoint=endpoint) for _ in range(destinations)]
        )
        parts.make(ironspan, 2)
        ironspan.flush(0.1)
        ironspan.shutdown(0.1)


@scenario("E13", "resets, garbage, header storms, wrong lengths, fuzzed responses")
def broken_answers(run: Run) -> None:
    broken: list[tuple[str, dict[str, Any]]] = [
        ("rst", {}),
        ("garbage", {}),
        ("garbage", {"payload": "<html>this is HTTP/0.9</html>"}),
        ("1xx", {}),
        ("headers", {}),
        ("wrong-length", {"off": 100}),
        ("wrong-length", {"off": -100}),
        ("huge", {}),
    ]
    running = []
    for mode, options in broken:
        receiver = run.receiver(mode, **options)
        running.append((mode, receiver, run.start(tries, endpoint=receiver.endpoint)))
    slowest, asked = 0.0, 0
    for _mode, receiver, process in running:
        result = run.finish(process)
        slowest = max(slowest, result.exit_seconds)
        asked += receiver.report()["requests"] > 0
        stats = result.stats
        arrived = receiver.report()["unique"]
        if stats["delivered"] > arrived:
            run.check(f"{_mode}: delivered", f"{stats['delivered']}, arrived {arrived}", "not more", False)
    run.check("kinds of broken answers met", asked, f"{len(broken)}", asked == len(broken))
    run.check("slowest exit", f"{slowest:.2f} s", "at most 5 s", slowest <= 5.0)
    receiver = run.receiver("fuzz", seed=run.pick(1, 2))
    result = run.app(fuzzed, endpoint=receiver.endpoint, rounds=run.pick(25, 700), destinations=16, timeout=900)
    answers, wanted = receiver.report()["requests"], run.pick(300, 10_000)
    run.check("fuzzed answers met", answers, f"at least {wanted}, no panic", answers >= wanted and result.code == 0)


@scenario("E15", "a name server that answers after 30 s", lane="timed")
def slow_resolver(run: Run) -> None:
    mark = Path(run.folder()) / "mark"
    shim = {"LD_PRELOAD": run.shim("resolver"), "FAULTS_RESOLVER_SECONDS": "30", "FAULTS_SHIM_MARK": str(mark)}
    healthy = run.receiver("ok", detail="count").endpoint
    p99: dict[str, list[int]] = {"healthy": [], "unresolved": []}
    slowest = 0.0
    for _ in range(3):
        seconds = run.pick(2, 20)
        result = run.app(parts.paced, endpoint=healthy, seconds=seconds, rate=1000)
        p99["healthy"].append(result.one("latency")["p99"])
        away = "http://collector.invalid:4318"
        result = run.app(parts.paced, endpoint=away, seconds=seconds, rate=1000, environment=shim)
        p99["unresolved"].append(result.one("latency")["p99"])
        slowest = max(slowest, result.exit_seconds)
    before, after = statistics.median(p99["healthy"]), statistics.median(p99["unresolved"])
    run.check("the resolver was asked", mark.exists(), "yes", mark.exists())
    run.check("p99 of a span", f"{us(after)}, healthy {us(before)}", "unchanged (at most 2x)", after <= 2 * before)
    run.check("slowest exit", f"{slowest:.2f} s", "at most 5 s", slowest <= 5.0)


@scenario("E16", "proxy variables that point to a dead proxy, collector on loopback")
def dead_proxy(run: Run) -> None:
    receiver = run.receiver("ok")
    dead = run.receiver("refuse").endpoint
    names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    began = time.monotonic()
    result = run.app(parts.leave, endpoint=receiver.endpoint, spans=100, environment=dict.fromkeys(names, dead))
    arrived = receiver.report()["unique"]
    run.check("delivered", f"{arrived} in {time.monotonic() - began:.1f} s", "100", arrived == 100)
    run.check("delivered by count", result.stats["delivered"], "100", result.stats["delivered"] == 100)
