"""ROOT files that a run holds open in a process, so that their trees are read through once and not once per chunk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["held", "opened", "release"]

_MOST = 4
"""Files that a thread holds for a run; a tree of CMS with its 1600 branches takes most of a second and 20 MB."""
_HELD: dict[tuple[int, str, str], Any] = {}
"""(thread, run, path) -> file; a file of uproot is not for two threads at a time."""


@contextmanager
def opened(path: str, run: str = "") -> Iterator[Any]:
    """Yield a file; it is closed afterwards unless a run holds it."""
    if run:
        yield held(run, path)
        return
    with _open(path) as file:
        yield file


def held(run: str, path: str) -> Any:
    """Return a file that stays open until the run releases it, or until its thread has opened so many others."""
    thread = threading.get_ident()
    key = thread, run, path
    if key not in _HELD:
        mine = [one for one in _HELD if one[0] == thread]
        for oldest in mine[: max(len(mine) - _MOST + 1, 0)]:
            _HELD.pop(oldest).close()
        _HELD[key] = _open(path)
    return _HELD[key]


def release(run: str) -> None:
    """Close what this process still holds for a run."""
    for key in [one for one in _HELD if one[1] == run]:
        _HELD.pop(key).close()


def _open(path: str) -> Any:
    """Return an open file: columns are read once and need no cache; the trees live as long as the file does."""
    import uproot

    return uproot.open({path: None}, array_cache=None, object_cache={})
