"""LangChain and LangGraph: a callback handler that turns every run into a span.

    import ironspan
    from ironspan.langchain import CallbackHandler

    ironspan.init()
    graph.invoke(state, config={"callbacks": [CallbackHandler()]})

or, for every run of the program, ``ironspan.instrument("langchain")``.

Needs ``langchain-core`` 0.3 or newer and nothing else of LangChain; LangGraph is supported from 0.6 on. On Python 3.10
LangGraph does not tell asynchronous nodes which run they belong to: there, spans that you open inside such a node stand
beside it.
"""

from __future__ import annotations

try:
    import langchain_core  # noqa: F401
except ImportError as missing:
    raise ImportError(
        "ironspan.langchain needs langchain-core, which is not installed. Install it with: pip install langchain-core"
    ) from missing

from ironspan import _versions
from ironspan.langchain import _ambient
from ironspan.langchain._everywhere import instrument, uninstrument
from ironspan.langchain._handler import CallbackHandler

__all__ = ["CallbackHandler", "instrument", "uninstrument"]

_versions.check("langchain-core", "langgraph")
_ambient.install()
