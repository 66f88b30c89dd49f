"""Open runs of callback frameworks: run id -> what stands for the run. The table itself is part of the core.

A framework tells a handler "run 7 began below run 3" and later "run 7 ended"; the table is the memory between the two
calls. One table serves every handler of the process, so a run that two handlers see is one span.
"""

from __future__ import annotations

import os

from ironspan._core import RUNS, Run, RunTable

__all__ = ["NO_SPAN_ID", "RUNS", "Run", "RunTable"]

#: What ``Span.span_id`` says when there is no span.
NO_SPAN_ID = "0" * 16

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RUNS.forget)
