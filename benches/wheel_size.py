"""How large is the wheel with all features?

The newest release wheel is measured: the file named by IRONSPAN_WHEEL, else the newest under dist/, .cache/wheels/ or
target/wheels/ (`RELEASE=1 scripts/wheel` builds one). The bar is 6 MB, 6,000,000 bytes.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from benches.measure import ROOT, Row, main

__all__ = ["measure"]


def newest() -> Path | None:
    named = os.environ.get("IRONSPAN_WHEEL")
    if named:
        return Path(named)
    found = [path for folder in ("dist", ".cache/wheels", "target/wheels") for path in ROOT.glob(f"{folder}/**/*.whl")]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def measure(quick: bool) -> list[Row]:
    wheel = newest()
    if wheel is None:
        return [Row("wheel, all features", "ironspan", None, "MB", note="no wheel: RELEASE=1 scripts/wheel builds one")]
    with zipfile.ZipFile(wheel) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    size = wheel.stat().st_size / 1e6
    note = f"{wheel.name}, unpacked {unpacked / 1e6:.1f} MB"
    return [Row("wheel, all features", "ironspan", size, "MB", bar="at most 6 MB", passed=size <= 6, note=note)]


if __name__ == "__main__":
    main(measure)
