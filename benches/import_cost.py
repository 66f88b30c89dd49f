"""What does `import ironspan` cost, and does it start or open anything?

CPU time of the import in a fresh interpreter, with the bytecode cache warm. The bar: 20 ms, no thread, no socket, no
file.
"""

from __future__ import annotations

from benches.measure import Row, main, quartiles
from benches.programs import run
from benches.subjects import available

__all__ = ["measure"]


def measure(quick: bool) -> list[Row]:
    packages = [("ironspan", "ironspan"), ("opentelemetry-python", "opentelemetry"), ("ddtrace", "ddtrace")]
    subjects = [subject for subject, package in packages if available(package)]
    results: dict[str, list[dict[str, object]]] = {subject: [] for subject in subjects}
    for number in range(-1, 5 if quick else 15):
        for subject in subjects:
            result = run("load", subject)
            if number >= 0:
                results[subject].append(result)
    rows = []
    for subject, found in results.items():
        ours = subject == "ironspan"
        low, middle, high = quartiles([float(str(result["cpu_ms"])) for result in found])
        rows.append(
            Row(
                "import, CPU",
                subject,
                middle,
                "ms",
                low,
                high,
                bar="at most 20 ms" if ours else None,
                passed=middle <= 20 if ours else None,
            )
        )
        threads, files = found[0]["threads"], found[0]["files"]
        left = len(files) + int(str(threads)) if isinstance(files, list) else 0
        rows.append(
            Row(
                "import, threads and descriptors left",
                subject,
                left,
                "",
                bar="0" if ours else None,
                passed=left == 0 if ours else None,
                note=f"threads {threads}, descriptors {files}",
            )
        )
    return rows


if __name__ == "__main__":
    main(measure)
