"""What a type checker has to refuse, each line with the code of the error. Checked, never run."""

from __future__ import annotations

import ironspan


@ironspan.tool
def search(query: str) -> list[str]:
    return [query]


@ironspan.agent("named")
def named(text: str) -> int:
    return len(text)


search(1)  # rejected: arg-type
number: int = search("a")  # rejected: assignment
named("a", "b")  # rejected: call-arg
ironspan.span()  # rejected: call-overload
ironspan.span("a", "b")  # rejected: call-overload
ironspan.span("a", kind="agnet")  # rejected: call-overload
ironspan.span("a", otel_kind="remote")  # rejected: call-overload
ironspan.generation("m", temperature=0.5)  # rejected: call-overload
ironspan.tool("t", role="r")  # rejected: call-overload
ironspan.retrieval("q", top_k="ten")  # rejected: call-overload
ironspan.agent("a", parent=7)  # rejected: call-overload
ironspan.agent("a")(7)  # rejected: type-var
ironspan.current().set("key")  # rejected: call-arg
ironspan.current().set(key="a", value=1)  # rejected: call-arg
ironspan.current().usage(prompt=1)  # rejected: call-arg
ironspan.current().usage(1, 2)  # rejected: call-arg
ironspan.current().cost(0.5)  # rejected: call-arg
ironspan.current().error(7)  # rejected: arg-type
ironspan.current().end("now")  # rejected: arg-type
ironspan.current().stream(7)  # rejected: call-overload
ironspan.current().name = "other"  # rejected: misc
ironspan.current().nothing()  # rejected: attr-defined
ironspan.Report().created = 1  # rejected: misc
ironspan.scope(metadata=[("a", 1)])  # rejected: arg-type
ironspan.attach(7)  # rejected: arg-type
ironspan.flush("soon")  # rejected: arg-type
ironspan.stats()["lost"]  # rejected: typeddict-item
ironspan.init(sample=[1])  # rejected: arg-type
ironspan.init(limits=["events"])  # rejected: arg-type
ironspan.exporters.Otlp(headers="a=b")  # rejected: arg-type
ironspan.nothing()  # rejected: attr-defined


class Derived(ironspan.Span):  # rejected: misc
    pass


def falls_through() -> int:  # rejected: return
    with ironspan.span("a"):
        search("b")
