"""LangChain and LangGraph: a callback handler that turns every run into a span.

    import ironspan
    from ironspan.langchain import CallbackHandler

    ironspan.init()
    graph.invoke(state, config={"callbacks": [CallbackHandler()]})

Needs ``langchain-core`` 0.3 or newer and nothing else of LangChain.
"""

from __future__ import annotations

try:
    import langchain_core  # noqa: F401
except ImportError as missing:
    raise ImportError(
        "ironspan.langchain needs langchain-core, which is not installed. Install it with: pip install langchain-core"
    ) from missing

from ironspan.langchain._ambient import ambient_run_parent
from ironspan.langchain._handler import CallbackHandler

__all__ = ["CallbackHandler", "ambient_run_parent"]
