"""A second opinion on traceparent: a small reader written from W3C Trace Context Level 2, and headers to try it on.

It shares no code with ironspan. `read_traceparent` says what has to come out of `ironspan.extract`: trace id, parent id
and the sampled flag, or None where the header must be ignored and a new trace begun.
"""

from __future__ import annotations

import random
import string
from collections.abc import Mapping

__all__ = ["HAND_WRITTEN", "TRACESTATES", "fuzzed", "read_traceparent"]

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"
# Level 2 leaves the limit to the implementation; ironspan's documented one.
LONGEST = 512

_HEX = set("0123456789abcdef")


def read_traceparent(carrier: Mapping[str, str]) -> tuple[str, str, bool] | None:
    """Section 3.2.2, "traceparent header field values", and 3.3 for versions other than 00."""
    value = next((text for name, text in carrier.items() if name.lower() == "traceparent"), "")
    value = value.strip(" \t")
    if len(value) < 55 or len(value) > LONGEST:
        return None
    version, trace, span, flags = value[:2], value[3:35], value[36:52], value[53:55]
    if value[2] != "-" or value[35] != "-" or value[52] != "-":
        return None
    if not _HEX.issuperset(version + trace + span + flags) or version == "ff":
        return None
    if set(trace) == {"0"} or set(span) == {"0"}:
        return None
    if len(value) > 55 and (version == "00" or value[55] != "-"):
        return None
    return trace, span, bool(int(flags, 16) & 1)


HAND_WRITTEN = [
    GOOD,
    GOOD[:-2] + "00",
    GOOD[:-2] + "02",
    GOOD[:-2] + "03",
    GOOD[:-2] + "ff",
    GOOD[:-2] + "09",
    "ff" + GOOD[2:],
    "01" + GOOD[2:],
    "01" + GOOD[2:] + "-extra",
    "01" + GOOD[2:] + ".extra",
    "fe" + GOOD[2:] + "-",
    GOOD + "-extra",
    GOOD + "-",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE.upper()}-{SPAN}-01",
    "0A" + GOOD[2:],
    f"00-{TRACE[:-1]}-{SPAN}-01",
    f"00-{TRACE}0-{SPAN}-01",
    f"00-{TRACE}-{SPAN[:-1]}-01",
    f"00-{TRACE}-{SPAN}-1",
    f"00-{TRACE}-{SPAN}-0g",
    f" \t{GOOD} ",
    GOOD.replace("-", "_"),
    GOOD[1:],
    "",
    "01" + GOOD[2:-2] + "zz",
    f"00-{'g' + TRACE[1:]}-{SPAN}-01",
    f"02-{TRACE}-{SPAN}",
    "01" + GOOD[2:] + "-" + "x" * 9000,
    GOOD + "\x00",
    GOOD.replace("0af", "0ä"),
]

_MANY = ",".join(f"k{number}=v" for number in range(33))

# With a good traceparent none of these may lose it; without one they mean nothing.
TRACESTATES: dict[str, dict[str, str]] = {
    f"tracestate {number}": {"traceparent": GOOD, "tracestate": value}
    for number, value in enumerate(
        ["a=1", "b=2,a=1", "", "a=1,,b=2", "a=1,a=2", "A=1", "a=b=c", "a=", "z" * 257 + "=1", _MANY, "\x00", "=" * 9000]
    )
} | {"tracestate alone": {"tracestate": "a=1"}, "no headers": {}}

_ALPHABET = string.printable + "äß€\U0001f600\x00\x7f"


def fuzzed(source: random.Random) -> dict[str, str]:
    """A carrier with a traceparent that is often nearly right, and a tracestate that seldom is."""
    value = list(
        f"{source.choice(['00', '00', '00', '01', 'ff', 'cc'])}-{source.getrandbits(128):032x}-"
        f"{source.getrandbits(64):016x}-{source.randrange(256):02x}"
    )
    for _ in range(source.choice([0, 0, 1, 1, 2, 5])):
        at = source.randrange(len(value) + 1)
        injury = source.randrange(5)
        if injury == 0 and at < len(value):
            value[at] = source.choice(_ALPHABET)
        elif injury == 1:
            value.insert(at, source.choice(_ALPHABET))
        elif injury == 2:
            del value[at : at + source.randint(1, 4)]
        elif injury == 3:
            value[at:at] = value[at : at + source.randint(1, 60)]
        else:
            value.append(source.choice(["-", "-x", " ", "\t", "\n", "-" + "y" * 600]))
    carrier = {source.choice(["traceparent", "traceparent", "Traceparent", "TRACEPARENT"]): "".join(value)}
    if source.random() < 0.5:
        members = source.randint(0, 40)
        state = ",".join(
            "".join(
                source.choices("abc09@-_*/=, \t" + ("Äé\x00" if source.random() < 0.1 else ""), k=source.randint(0, 12))
            )
            for _ in range(members)
        )
        carrier["tracestate"] = state
    return carrier
