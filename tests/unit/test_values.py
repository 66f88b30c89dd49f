"""Values as attributes: every usual type arrives as what it is, and unusual ones cost nobody else anything."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import math
import pathlib
import uuid
from typing import Any

import ironspan
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ironspan.testing import MemoryExporter


def kept(trace: MemoryExporter, **values: Any) -> dict[str, Any]:
    """What arrives of ``values``, between two neighbours that have to arrive as well."""
    trace.clear()
    with ironspan.span("x") as span:
        span.set("before", "left")
        for key, value in values.items():
            span.set(key, value)
        span.set("after", ["right"])
    (done,) = trace.spans
    assert done.status == "ok"
    assert (done.attributes["before"], done.attributes["after"]) == ("left", ["right"])
    return done.attributes


@dataclasses.dataclass
class Point:
    x: int = 1
    y: str = "s"


@dataclasses.dataclass(frozen=True)
class Frozen:
    inner: Point = dataclasses.field(default_factory=Point)
    many: tuple[int, ...] = (1, 2)


Slotted = dataclasses.make_dataclass("Slotted", [("x", int, 1), ("y", str, "s")], slots=True)
SlottedBelow = dataclasses.make_dataclass("SlottedBelow", [("x", int, 1)], bases=(type("Base", (), {}),), slots=True)
Named = collections.namedtuple("Named", "p q")


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, "two")


class Number(enum.IntEnum):
    THREE = 3


class Word(str, enum.Enum):
    HELLO = "hello"


class Bits(enum.Flag):
    ONE = 1
    TWO = 2


SCALARS: list[tuple[Any, Any]] = [
    ("text", "text"),
    ("", ""),
    ("ÿ latin-1", "ÿ latin-1"),
    ("漢字", "漢字"),
    ("😀 astral", "😀 astral"),
    ("nul\0", "nul\0"),
    ("lone \ud800 surrogate", "lone \ufffd surrogate"),
    ("wide 漢 and lone \udfff", "wide 漢 and lone \ufffd"),
    ("astral 😀 and lone \udc80", "astral 😀 and lone \ufffd"),
    (True, True),
    (False, False),
    (None, None),
    (0, 0),
    (-(2**63), -(2**63)),
    (2**63 - 1, 2**63 - 1),
    (2**63, str(2**63)),
    (2**70, str(2**70)),
    (-(2**70), str(-(2**70))),
    (0.1, 0.1),
    (-0.0, -0.0),
    (1e308, 1e308),
    (math.inf, math.inf),
    (-math.inf, -math.inf),
    (b"bytes \xff", b"bytes \xff"),
    (bytearray(b"array"), b"array"),
    (datetime.datetime(2020, 1, 2, 3, 4, 5), "2020-01-02 03:04:05"),
    (datetime.date(2020, 1, 2), "2020-01-02"),
    (datetime.time(3, 4), "03:04:00"),
    (datetime.timedelta(days=1), "1 day, 0:00:00"),
    (datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc), "2020-01-02 00:00:00+00:00"),
    (decimal.Decimal("1.10"), "1.10"),
    (fractions.Fraction(1, 2), "1/2"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (Colour.RED, "red"),
    (Number.THREE, 3),
    (Word.HELLO, "hello"),
    (Bits.TWO, 2),
]


@pytest.mark.parametrize(("value", "expected"), SCALARS, ids=lambda value: type(value).__name__)
def test_a_scalar_arrives_as_what_it_is(value: Any, expected: Any, ironspan_trace: MemoryExporter) -> None:
    found = kept(ironspan_trace, v=value)["v"]
    assert (found, type(found)) == (expected, type(expected))
    assert math.copysign(1, found) == math.copysign(1, expected) if isinstance(expected, float) else True


def test_not_a_number_arrives_as_such(ironspan_trace: MemoryExporter) -> None:
    assert math.isnan(kept(ironspan_trace, v=math.nan)["v"])


LISTS: list[tuple[Any, Any]] = [
    ([], []),
    (["a", "b"], ["a", "b"]),
    ((1, 2), [1, 2]),
    ([True, False], [True, False]),
    ([0.5, 1.5], [0.5, 1.5]),
    ({7}, [7]),
    (frozenset(["a"]), ["a"]),
    ([Number.THREE, 4], [3, 4]),
    ([Word.HELLO, "b"], ["hello", "b"]),
]


@pytest.mark.parametrize(("value", "expected"), LISTS, ids=repr)
def test_a_list_of_one_kind_arrives_as_a_list(value: Any, expected: Any, ironspan_trace: MemoryExporter) -> None:
    assert kept(ironspan_trace, v=value)["v"] == expected


STRUCTURES: list[tuple[Any, Any]] = [
    ({}, {}),
    ({"a": 1, "b": [1, "x", None]}, {"a": 1, "b": [1, "x", None]}),
    ([1, "a"], [1, "a"]),
    ([None, 1], [None, 1]),
    ([[1], [2]], [[1], [2]]),
    ([{"a": (1, {2})}], [{"a": [1, [2]]}]),
    ({"big": 2**70, "float": 1.5}, {"big": 2**70, "float": 1.5}),
    ({"nan": math.nan, "inf": [math.inf, -math.inf]}, {"nan": "NaN", "inf": ["Infinity", "-Infinity"]}),
    ({"bytes": b"\x00\xff"}, {"bytes": "AP8="}),
    ({"when": datetime.date(2020, 1, 2)}, {"when": "2020-01-02"}),
    ({"lone": "\ud800", "astral": "😀"}, {"lone": "\ufffd", "astral": "😀"}),
    (Named(1, [2]), {"p": 1, "q": [2]}),
    (Point(), {"x": 1, "y": "s"}),
    (Frozen(), {"inner": {"x": 1, "y": "s"}, "many": [1, 2]}),
    (Slotted(), {"x": 1, "y": "s"}),
    (SlottedBelow(), {"x": 1}),
    ([Slotted(), Point(5)], [{"x": 1, "y": "s"}, {"x": 5, "y": "s"}]),
    (Colour.PAIR, [1, "two"]),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.defaultdict(list, a=[1, "b"]), {"a": [1, "b"]}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
]


@pytest.mark.parametrize(("value", "expected"), STRUCTURES, ids=lambda value: type(value).__name__)
def test_a_structure_arrives_as_json(value: Any, expected: Any, ironspan_trace: MemoryExporter) -> None:
    assert json.loads(kept(ironspan_trace, v=value)["v"]) == expected


def test_keys_become_text_and_stay_apart(ironspan_trace: MemoryExporter) -> None:
    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    value = {
        1: "int",
        2.5: "float",
        None: "none",
        False: "bool",
        2**70: "big",
        (1, "a"): "tuple",
        (2, "b"): "other tuple",
        one: "uuid",
        two: "other uuid",
        datetime.date(2020, 1, 2): "date",
        Colour.RED: "enum",
        Number.THREE: "int enum",
        b"k": "bytes",
    }
    assert json.loads(kept(ironspan_trace, v=value)["v"]) == {
        "1": "int",
        "2.5": "float",
        "None": "none",
        "False": "bool",
        str(2**70): "big",
        '[1,"a"]': "tuple",
        '[2,"b"]': "other tuple",
        str(one): "uuid",
        str(two): "other uuid",
        "2020-01-02": "date",
        "red": "enum",
        "3": "int enum",
        '"aw=="': "bytes",
    }


def test_a_pydantic_model_arrives_as_json(ironspan_trace: MemoryExporter) -> None:
    pydantic = pytest.importorskip("pydantic", minversion="2")

    class Inner(pydantic.BaseModel):  # type: ignore[name-defined,misc]
        when: datetime.date = datetime.date(2020, 1, 2)

    class Outer(pydantic.BaseModel):  # type: ignore[name-defined,misc]
        model_config = pydantic.ConfigDict(extra="allow")
        x: int = 1
        inner: tuple[Inner, ...] = (Inner(),)
        point: Any = Point()

    value = Outer.model_validate({"more": "extra"})
    assert json.loads(kept(ironspan_trace, v=value)["v"]) == {
        "x": 1,
        "inner": [{"when": "2020-01-02"}],
        "point": {"x": 1, "y": "s"},
        "more": "extra",
    }


def test_a_langchain_message_arrives_as_json(ironspan_trace: MemoryExporter) -> None:
    messages = pytest.importorskip("langchain_core.messages")
    found = json.loads(kept(ironspan_trace, v=messages.AIMessage("hi"))["v"])
    assert (found["content"], found["type"]) == ("hi", "ai")


@pytest.mark.parametrize(
    "value",
    [object(), lambda: None, len, int, math, 1j, ..., NotImplemented, memoryview(b"x"), range(3), ValueError("x")],
    ids=lambda value: type(value).__name__,
)
def test_an_unknown_object_arrives_as_the_name_of_its_type(value: Any, ironspan_trace: MemoryExporter) -> None:
    found = kept(ironspan_trace, v=value, w=[value, 1])
    assert found["v"] == f"<{type(value).__module__}.{type(value).__name__}>".replace("builtins.", "")
    assert json.loads(found["w"]) == [found["v"], 1]


def test_a_shared_value_is_no_cycle(ironspan_trace: MemoryExporter) -> None:
    shared = {"k": [1, "x"]}
    assert json.loads(kept(ironspan_trace, v=[shared, shared, {"again": shared}])["v"]) == [
        shared,
        shared,
        {"again": shared},
    ]


def test_a_value_is_taken_as_it_is_at_the_call(ironspan_trace: MemoryExporter) -> None:
    messages = [{"role": "user", "content": "one"}]
    with ironspan.span("x", input=messages) as span:
        messages[0]["content"] = "changed"
        messages.append({"role": "user", "content": "two"})
        span.output(messages)
    attributes = ironspan_trace.find("x").attributes
    assert json.loads(attributes["input.value"]) == [{"role": "user", "content": "one"}]
    assert len(json.loads(attributes["output.value"])) == 2


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXT, inner, max_size=6),
    max_leaves=40,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXT.filter(bool).filter(lambda key: key != "ironspan.kind"), JSON, min_size=1, max_size=8))
def test_any_json_comes_back_equal(values: dict[str, Any]) -> None:
    memory = property_memory()
    with ironspan.span("x") as span:
        for key, value in values.items():
            span.set(key, value)
    (done,) = memory.spans
    for key, value in values.items():
        found = done.attributes[key]
        if isinstance(value, (dict, list)) and isinstance(found, str):
            found = json.loads(found)
        elif isinstance(value, int) and abs(value) >= 2**63 and isinstance(found, str):
            found = int(found)
        assert found == value
        assert type(found) is type(value)


def property_memory() -> MemoryExporter:
    """A fresh exporter for each example; a fixture would be shared by all."""
    memory = MemoryExporter()
    ironspan.init("property", exporters=[memory])
    return memory
