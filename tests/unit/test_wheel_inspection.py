"""scripts/inspect-wheel finds what must not be in a wheel. scripts/lint runs it on the real one."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import pathlib
import types
import zipfile
from importlib.machinery import SourceFileLoader

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "inspect-wheel"
INFO = "ironspan-1.0.dist-info"
EXTENSION = "ironspan/_core.cpython-311-x86_64-linux-gnu.so"


@pytest.fixture(scope="module")
def inspect_wheel() -> types.ModuleType:
    loader = SourceFileLoader("inspect_wheel", str(SCRIPT))
    spec = importlib.util.spec_from_loader("inspect_wheel", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def wheel_with(extra: dict[str, bytes], metadata: bytes = b"Name: ironspan\n") -> zipfile.ZipFile:
    """A wheel whose RECORD is right, so that only what a test puts in is at fault."""
    files = {
        EXTENSION: b"\x7fELF",
        f"{INFO}/METADATA": metadata,
        f"{INFO}/licenses/LICENSE": b"text",
        f"{INFO}/sboms/ironspan.cyclonedx.json": json.dumps(
            {"metadata": {"component": {"name": "ironspan", "version": "1.0"}}, "components": []}
        ).encode(),
        **extra,
    }
    lines = [f"{INFO}/RECORD,,"]
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    files.setdefault(f"{INFO}/RECORD", "\n".join(lines).encode())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return zipfile.ZipFile(buffer)


@pytest.mark.parametrize(
    ("extra", "fault"),
    [
        ({"ironspan.pth": b"import os"}, "ironspan.pth is not from this checkout"),
        ({"ironspan-1.0.data/scripts/tool": b"#!"}, "ironspan-1.0.data/scripts/tool is not from this checkout"),
        ({"other/__init__.py": b""}, "other/__init__.py is not from this checkout"),
        ({"ironspan/py.typed": b"changed"}, "ironspan/py.typed differs from python/ironspan/py.typed"),
        ({"ironspan/second.so": b""}, "one extension module ironspan/_core was expected"),
        ({f"{INFO}/RECORD": b"gone.py,,\n"}, "RECORD lists gone.py, which is not there"),
        ({f"{INFO}/RECORD": f"{EXTENSION},sha256=AAAA,4\n".encode()}, f"RECORD is wrong about {EXTENSION}"),
    ],
)
def test_what_does_not_belong_is_named(inspect_wheel: types.ModuleType, extra: dict[str, bytes], fault: str) -> None:
    with wheel_with(extra) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist()}
    found = [*inspect_wheel.foreign(files, INFO), *inspect_wheel.misrecorded(files, f"{INFO}/RECORD")]
    assert any(fault in each for each in found), found


def test_nothing_is_found_in_a_wheel_that_holds_only_the_extension(inspect_wheel: types.ModuleType) -> None:
    with wheel_with({}) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist()}
    assert [*inspect_wheel.foreign(files, INFO), *inspect_wheel.misrecorded(files, f"{INFO}/RECORD")] == []


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("ironspan-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "x86_64-unknown-linux-gnu"),
        ("ironspan-1.0-cp311-cp311-musllinux_1_2_aarch64.whl", "aarch64-unknown-linux-musl"),
        ("ironspan-1.0-cp311-cp311-macosx_11_0_arm64.whl", "aarch64-apple-darwin"),
        ("ironspan-1.0-cp311-cp311-win_amd64.whl", "x86_64-pc-windows-msvc"),
    ],
)
def test_the_platform_tag_tells_which_crates_are_linked(
    inspect_wheel: types.ModuleType, name: str, target: str
) -> None:
    assert inspect_wheel.platform_of(name) == target
