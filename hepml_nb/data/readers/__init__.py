"""Readers of public formats: one module each, which counts the records of a file and reads a range in our schema."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any, Protocol, cast

from hepml_nb.core import NotFound, suggest

__all__ = ["Reader", "reader", "readers"]


class Reader(Protocol):
    """What a module of this package offers; `options` are those of the manifest's `public.options`."""

    def count(self, path: Path, **options: Any) -> int:
        """Return the number of records in a file."""
        ...

    def read(self, path: Path, start: int, stop: int, *, label: int | None = None, **options: Any) -> Any:
        """Return records [start, stop) as an awkward array; `label` is the class of a file that holds one only."""
        ...


def readers() -> list[str]:
    """Return the names of all readers."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def reader(name: str) -> Reader:
    """Return the reader called `name`; raise NotFound with the nearest one."""
    if name not in readers():
        raise NotFound(f"there is no reader {name!r}{suggest(name, readers())}")
    return cast(Reader, importlib.import_module(f"{__name__}.{name}"))
