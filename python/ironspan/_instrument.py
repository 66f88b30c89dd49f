"""``instrument()`` and ``uninstrument()``: frameworks by name."""

from __future__ import annotations

from importlib import import_module

from ironspan._errors import ConfigError

__all__ = ["instrument", "uninstrument"]

#: What has to be importable for a framework to be there.
_NEEDS = {"langchain": "langchain_core", "llamaindex": "llama_index.core"}


def instrument(*names: str) -> None:
    """Records what frameworks do, without a change to the program. The second time does nothing.

    Args:
        names: ``langchain`` (LangGraph included) and ``llamaindex``. Without a name: all that are installed.

    Raises:
        ConfigError: A name is none of these.
        ImportError: A framework that is named is not installed.
    """
    for name in _chosen(names):
        import_module(f"ironspan.{name}").instrument()


def uninstrument(*names: str) -> None:
    """Undoes ``instrument()``, for the named frameworks or for all. Runs that are under way are recorded to their end.

    Args:
        names: As for ``instrument``.

    Raises:
        ConfigError: A name is not one of a framework.
    """
    for name in _chosen(names):
        import_module(f"ironspan.{name}").uninstrument()


def _chosen(names: tuple[str, ...]) -> list[str]:
    for name in names:
        if name not in _NEEDS:
            raise ConfigError(f"instrument() knows no {name!r}; write one of {', '.join(_NEEDS)}")
    return list(names) or [name for name, package in _NEEDS.items() if _is_installed(package)]


def _is_installed(package: str) -> bool:
    # Only here: importing ironspan stays cheap.
    from importlib.util import find_spec

    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        # Not even the package around it.
        return False
