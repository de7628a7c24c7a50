"""Pandas tables in HDF5 files, read without pandas and without unpickling anything."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hepml_nb.core import InputError, suggest
from hepml_nb.data.opening import hdf5

__all__ = ["Frame", "opened"]


@dataclass(frozen=True)
class Frame:
    """A pandas table in an open HDF5 file: its column names, number of rows and the blocks that hold the values."""

    path: Path
    names: list[str]
    rows: int
    blocks: list[Any]

    def take(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Return rows [start, stop) as {name: (rows,)}; raise InputError where nothing lies there, or for NaN."""
        if not start < min(stop, self.rows):
            raise InputError(f"{self.path} has {self.rows} rows; nothing lies between {start} and {stop}.")
        values = np.concatenate([block[start:stop].astype(np.float64) for block in self.blocks], axis=1)
        if not np.isfinite(values).all():
            row = start + int(np.argwhere(~np.isfinite(values))[0, 0])
            raise InputError(f"{self.path}: row {row} holds NaN or infinity.")
        return dict(zip(self.names, values.T, strict=True))


@contextmanager
def opened(path: Path, key: str | None = None) -> Iterator[Frame]:
    """Open the pandas table `key` of an HDF5 file, or its only one, in the fixed or the table format.

    Raises InputError for a file that is no HDF5, has no such table, or holds objects in the place of numbers.
    """
    with hdf5(path) as file:
        groups = [name for name in file if hasattr(file[name], "keys")]
        tables = [name for name in groups if "block0_values" in file[name] or "table" in file[name]]
        if key is not None and key not in tables:
            raise InputError(f"{path} has no pandas table {key!r}{suggest(key, tables)}")
        if key is None and len(tables) != 1:
            raise InputError(
                f"{path} holds {len(tables)} pandas tables ({', '.join(file) or 'nothing'}); expected one."
            )
        group = file[key or tables[0]]
        yield _columnar(path, group) if "table" in group else _fixed(path, group)


def _fixed(path: Path, group: Any) -> Frame:
    blocks, names = [], []
    for i in range(sum(key.endswith("_values") for key in group)):
        values, items = group[f"block{i}_values"], group[f"block{i}_items"]
        if values.dtype.kind not in "fiu" or items.dtype.kind not in "Siu":
            raise InputError(f"{path}: block {i} holds pickled objects, which are not read; expected numbers.")
        blocks.append(values)
        names += [item.decode() if isinstance(item, bytes) else str(item) for item in items[:].tolist()]
    return Frame(Path(path), names, len(blocks[0]), blocks)


class _Fields:
    """The values of a pandas table of the table format: fields of a compound dataset, side by side."""

    def __init__(self, table: Any, fields: list[str]) -> None:
        self.table, self.fields = table, fields

    def __getitem__(self, rows: slice) -> np.ndarray:
        part = self.table[rows]
        return np.concatenate([part[name].reshape(len(part), -1) for name in self.fields], axis=1)


def _columnar(path: Path, group: Any) -> Frame:
    """Return the table; columns in shared blocks are named by the block's attribute, or numbered where it is lost."""
    table = group["table"]
    fields = [name for name in table.dtype.names if name != "index"]
    names: list[str] = []
    for name in fields:
        kind = table.dtype[name]
        if kind.base.kind not in "fiu":
            raise InputError(f"{path}: column {name!r} holds no numbers.")
        width = int(np.prod(kind.shape, dtype=int))
        told = _words(table.attrs.get(f"{name}_kind"))
        if name.startswith("values_block"):
            names += told if len(told) == width else [str(len(names) + i) for i in range(width)]
        else:
            names.append(name)
    return Frame(Path(path), names, len(table), [_Fields(table, fields)])


def _words(attribute: Any) -> list[str]:
    """Return the words in the list of column names that pandas serialised, by reading its opcodes, never running them.

    A name repeated by reference would be lost; the caller compares numbers.
    """
    if attribute is None:
        return []
    raw = attribute.tobytes() if isinstance(attribute, np.ndarray | np.void) else attribute
    if not isinstance(raw, bytes):
        return []
    try:
        return [word for _, word, _ in pickletools.genops(raw) if isinstance(word, str)]
    except ValueError:  # not what pandas writes
        return []
