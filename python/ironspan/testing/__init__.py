"""For tests of traced programs: finished spans in memory, ids that count, a clock driven by hand, trees as text.

    from ironspan.testing import MemoryExporter, tree

    exporter = MemoryExporter()
    ironspan.init(exporters=[exporter])
    run_my_agent()
    assert tree(exporter.spans) == '''...'''

With pytest there is the fixture ``ironspan_trace``, which does that set-up and undoes it.
"""

from __future__ import annotations

from ironspan.testing._clock import IncrementalIds, ManualClock
from ironspan.testing._memory import FinishedSpan, MemoryExporter
from ironspan.testing._tree import tree

__all__ = ["FinishedSpan", "IncrementalIds", "ManualClock", "MemoryExporter", "tree"]
