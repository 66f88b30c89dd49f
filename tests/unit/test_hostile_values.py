"""Values that fight back: nothing of theirs runs that need not, each degrades itself only, and JSON stays JSON."""

from __future__ import annotations

import dataclasses
import enum
import json
import threading
from collections.abc import Iterator
from typing import Any

import ironspan
import pytest
from ironspan.testing import MemoryExporter


def kept(trace: MemoryExporter, value: Any) -> Any:
    """What arrives of ``value``, alone and among neighbours, which have to arrive as well."""
    trace.clear()
    with ironspan.span("x", input={"value": value, "neighbour": 1}) as span:
        span.set("before", 1).set("v", value).set("after", 2)
        span.update({"within": value, "beside": 3}).event("e", v=value, near=4)
        span.output([value, "neighbour"])
    (done,) = trace.spans
    attributes = done.attributes
    assert (attributes["before"], attributes["after"], attributes["beside"]) == (1, 2, 3)
    assert json.loads(attributes["input.value"])["neighbour"] == 1
    assert json.loads(attributes["output.value"])[-1] == "neighbour"
    (event,) = done.events
    assert event["attributes"]["near"] == 4
    assert "v" in event["attributes"]
    return attributes["v"]


class Touched(BaseException):
    """Raised by code of a value that nobody should run. No ``except Exception`` would hide it."""


def touched(*_: Any, **__: Any) -> Any:
    raise Touched


HOOKS = ["__repr__", "__str__", "__getattr__", "__getattribute__", "__len__", "__iter__", "__bool__", "__hash__"]
MORE = ["__eq__", "__format__", "__float__", "__int__", "__index__", "__next__", "__contains__", "__getitem__"]


@pytest.mark.parametrize("hook", HOOKS + MORE)
def test_no_hook_of_an_unknown_object_runs(hook: str, ironspan_trace: MemoryExporter) -> None:
    value = type("Hostile", (), {hook: touched})()
    assert kept(ironspan_trace, value) == "<Hostile>"


@pytest.mark.parametrize("name", ["__dict__", "__class__", "__dataclass_fields__", "_fields", "items", "keys"])
def test_no_property_of_an_unknown_object_runs(name: str, ironspan_trace: MemoryExporter) -> None:
    value = type("Hostile", (), {name: property(touched)})()
    kept(ironspan_trace, value)


def test_a_lying_class_is_not_believed(ironspan_trace: MemoryExporter) -> None:
    value = type("Liar", (), {"__class__": property(lambda self: dict)})()
    assert isinstance(value, dict)
    assert kept(ironspan_trace, value) == "<Liar>"


def test_a_metaclass_has_no_say(ironspan_trace: MemoryExporter) -> None:
    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            if name in ("__mro__", "__dict__", "__module__", "__name__", "__instancecheck__"):
                raise Touched
            return super().__getattribute__(name)

    class Hostile(metaclass=Meta):
        pass

    assert kept(ironspan_trace, Hostile()) == "<Hostile>"


CONTAINER_HOOKS = {
    name: touched
    for name in (
        *("__iter__", "__len__", "__getitem__", "__contains__", "__repr__", "__str__", "__bool__", "__eq__"),
        *("__getattribute__", "items", "keys", "values", "get", "copy"),
    )
}


@pytest.mark.parametrize(
    ("base", "argument", "expected"),
    [(dict, {"a": [1, "x"]}, {"a": [1, "x"]}), (list, [1, "x"], [1, "x"]), (tuple, [1, "x"], [1, "x"])],
    ids=["dict", "list", "tuple"],
)
def test_a_container_with_hostile_overrides_is_read_as_its_base(
    base: type, argument: Any, expected: Any, ironspan_trace: MemoryExporter
) -> None:
    value = type("Hostile", (base,), CONTAINER_HOOKS)(argument)
    assert json.loads(kept(ironspan_trace, value)) == expected


def test_a_set_with_hostile_overrides_is_read_as_its_base(ironspan_trace: MemoryExporter) -> None:
    value = type("Hostile", (set,), {**CONTAINER_HOOKS, "__hash__": None})([7])
    assert kept(ironspan_trace, value) == [7]


@pytest.mark.parametrize(("base", "argument"), [(str, "text"), (int, 7), (float, 1.5), (bytes, b"raw")])
def test_a_scalar_with_hostile_overrides_is_read_as_its_base(
    base: type, argument: Any, ironspan_trace: MemoryExporter
) -> None:
    hooks = {name: touched for name in (*HOOKS, *MORE) if name not in ("__hash__", "__eq__")}
    assert kept(ironspan_trace, type("Hostile", (base,), hooks)(argument)) == argument


def test_a_dataclass_with_hostile_hooks_is_read_by_its_fields(ironspan_trace: MemoryExporter) -> None:
    @dataclasses.dataclass
    class Hostile:
        x: int = 1
        inner: Any = None

        __repr__ = __str__ = __getattr__ = __iter__ = touched

    assert json.loads(kept(ironspan_trace, Hostile(inner=Hostile()))) == {"x": 1, "inner": {"x": 1, "inner": None}}


def test_an_enum_with_hostile_hooks_is_read_by_its_value(ironspan_trace: MemoryExporter) -> None:
    class Hostile(enum.Enum):
        A = "a"

        __repr__ = __str__ = touched

    assert kept(ironspan_trace, Hostile.A) == "a"


def test_a_generator_is_never_run(ironspan_trace: MemoryExporter) -> None:
    ran = []

    def source() -> Iterator[int]:
        ran.append(True)
        yield 1

    value = source()
    assert kept(ironspan_trace, value) == "<generator>"
    assert ran == []
    assert list(value) == [1]


def test_iterators_are_never_run(ironspan_trace: MemoryExporter) -> None:
    for value, name in (
        (iter([1]), "<list_iterator>"),
        (map(touched, [1]), "<map>"),
        (zip("a", "b", strict=True), "<zip>"),
    ):
        assert kept(ironspan_trace, value) == name


def test_a_number_too_long_to_print_says_so(ironspan_trace: MemoryExporter) -> None:
    assert kept(ironspan_trace, 10**5000) == "<int with too many digits to print>"
    assert kept(ironspan_trace, -(10**4000)) == str(-(10**4000))


def test_cycles_end(ironspan_trace: MemoryExporter) -> None:
    looped: list[Any] = [1]
    looped.append(looped)
    mapping: dict[str, Any] = {}
    mapping["self"] = mapping
    holder = type("Holder", (), {})
    data = dataclasses.make_dataclass("Data", ["self"])(None)
    data.self = data
    for value in (looped, mapping, data):
        text = kept(ironspan_trace, value)
        json.loads(text)
        assert "<cut: too deep>" in text
    assert kept(ironspan_trace, holder()) == "<Holder>"


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"k": inner}, lambda inner: (inner,)])
def test_five_thousand_levels_are_cut(make: Any, ironspan_trace: MemoryExporter) -> None:
    value: Any = "core"
    for _ in range(5_000):
        value = make(value)
    text = kept(ironspan_trace, value)
    json.loads(text)
    assert "<cut: too deep>" in text
    assert "core" not in text


def test_a_very_wide_value_is_cut_and_says_so(ironspan_trace: MemoryExporter) -> None:
    for value in (list(range(100_000)), {str(at): at for at in range(100_000)}, set(range(100_000))):
        ironspan_trace.clear()
        with ironspan.span("x") as span:
            span.set("v", value).set("after", 1)
        (done,) = ironspan_trace.spans
        found = done.attributes["v"]
        assert len(json.loads(found) if isinstance(found, str) else found) < 25_000
        assert done.attributes["ironspan.truncated"] is True
        assert done.attributes["after"] == 1


@pytest.mark.parametrize("letter", ["a", "ÿ", "漢", "😀"])
def test_a_text_of_twenty_megabytes_is_cut(letter: str, ironspan_trace: MemoryExporter) -> None:
    size = 20_000_000 // len(letter.encode())
    with ironspan.span("x") as span:
        span.set("before", 1).set("v", letter * size)
    (done,) = ironspan_trace.spans
    found = done.attributes["v"]
    assert set(found) == {letter}
    assert 3_000_000 < len(found) <= size
    assert done.attributes["before"] == 1
    assert len(found) == size or done.attributes["ironspan.truncated"] is True


def test_a_printable_that_raises_costs_itself_only(ironspan_trace: MemoryExporter) -> None:
    import datetime
    import decimal

    class Zone(datetime.tzinfo):
        def utcoffset(self, _: Any) -> Any:
            raise ValueError("no offset")

    before = ironspan.stats()["internal_errors"]
    found = kept(ironspan_trace, datetime.datetime(2020, 1, 1, tzinfo=Zone()))
    assert isinstance(found, str)
    assert ironspan.stats()["internal_errors"] > before
    assert kept(ironspan_trace, decimal.Decimal("sNaN")) == "sNaN"


def test_a_dict_that_another_thread_changes_is_survived(ironspan_trace: MemoryExporter) -> None:
    import uuid

    # Making the text of a UUID runs Python code, so that the other thread gets its turn in the middle.
    value: dict[Any, Any] = {at: uuid.uuid4() for at in range(200)}
    items: list[Any] = list(value.values())
    done = threading.Event()

    def change() -> None:
        at = 0
        while not done.is_set():
            at += 1
            value[at % 400] = uuid.uuid4()
            value.pop((at + 200) % 400, None)
            items.append(uuid.uuid4())
            del items[: len(items) // 2 if len(items) > 300 else 1]

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(50):
            with ironspan.span("x", input=value) as span:
                span.set("items", items).set("neighbour", 1)
    finally:
        done.set()
        changer.join()
    spans = ironspan_trace.spans
    assert len(spans) == 50
    for span_done in spans:
        json.loads(span_done.attributes["input.value"])
        assert span_done.attributes["neighbour"] == 1


@pytest.mark.parametrize("values", [None, 7, "text", [("a", 1)], object()])
def test_update_with_no_mapping_adds_at_most_a_mark(values: Any, ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        span.update(values).set("a", 1)
    mark = {} if values is None else {"ironspan.bad_argument": "attributes"}
    assert ironspan_trace.find("x").attributes == {"ironspan.kind": "span", "a": 1} | mark


def test_hostile_values_pass_through_every_method(ironspan_trace: MemoryExporter) -> None:
    value = type("Hostile", (), {name: touched for name in (*HOOKS, *MORE)})()
    with ironspan.generation(
        "m", provider=value, messages=value, params=value, tools=value, prompt=value, tags=value, attributes=value
    ) as span:
        span.output(value).event(value, level=value).tag(value, k=value).usage(input=value).cost(total=value)
        span.finish(value).documents(value).error(value)
    with ironspan.retrieval(value, source=value, top_k=value), ironspan.tool("t", arguments=value, call_id=value):
        pass
    assert len(ironspan_trace.spans) == 3
