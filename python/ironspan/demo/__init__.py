"""``ironspan demo``: a team of agents that needs no key, no network and no other package, to have something to look at.

    ironspan demo                   one run, in about ten seconds
    ironspan demo --history 200     a day of varied traces, at once

The agents are plain functions and the models follow a script; retries, a real crash in a sandbox, threads and a second
process are what they look like in a program of yours. Nothing of this is imported by ``import ironspan``.
"""

from __future__ import annotations

from ironspan.demo._main import main

__all__ = ["main"]
