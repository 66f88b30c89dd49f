"""``ironspan.view()``: the page of a store, served by this process, for a notebook or a long-running program."""

from __future__ import annotations

from os import PathLike, fspath

from ironspan._core import _Served

__all__ = ["View", "view"]


class View:
    """A page that is being served. Shows itself as a link in a notebook; ``stop()`` ends it, as does the process."""

    def __init__(self, served: _Served) -> None:
        self._served = served

    @property
    def url(self) -> str:
        """Where the page is: on this machine only."""
        return self._served.url

    def stop(self) -> None:
        """Stops serving; a second time does nothing."""
        self._served.stop()

    def __repr__(self) -> str:
        return f"<ironspan.View {self.url}>"

    def _repr_html_(self) -> str:
        # The address is ours: digits, dots and a port.
        return f'<a href="{self.url}" target="_blank" rel="noopener">{self.url}</a>'


def view(store: str | PathLike[str] | None = None, *, port: int = 0) -> View:
    """Serves the page of a store on a free port of the loopback interface, from a thread of its own.

    Args:
        store: The file, which may be made later. Default: where programs write by default, see docs/store.md.
        port: The port; 0 for any that is free.

    Raises:
        ironspan.StoreError: The store cannot be read, or the port is taken.
    """
    return View(_Served(None if store is None else fspath(store), port))
