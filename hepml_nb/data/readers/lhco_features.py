"""LHC Olympics files of jet features (arXiv:2101.08320): pandas tables in HDF5, read without unpickling anything.

The columns are pxj1, pyj1, pzj1, mj1, tau1j1, tau2j1, tau3j1 (GeV), the same of j2 and, in most files, label. Some
versions of pandas number the columns instead of naming them; then the published order is taken. The parametric files
add the masses of X and Y.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hepml_nb.core import InputError, NotFound, suggest

__all__ = ["COLUMNS", "Frame", "count", "masses_of", "opened", "read"]

COLUMNS = tuple(f"{name}j{jet}" for jet in (1, 2) for name in ("px", "py", "pz", "m", "tau1", "tau2", "tau3"))


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
            raise InputError(f"{self.path} has {self.rows} events; nothing lies between {start} and {stop}.")
        values = np.concatenate([block[start:stop].astype(np.float64) for block in self.blocks], axis=1)
        if not np.isfinite(values).all():
            row = start + int(np.argwhere(~np.isfinite(values))[0, 0])
            raise InputError(f"{self.path}: row {row} holds NaN or infinity.")
        return dict(zip(self.names, values.T, strict=True))


def count(path: Path, **options: Any) -> int:
    """Return the number of events in a file; raise InputError for another layout."""
    with opened(path) as frame:
        return frame.rows


def read(
    path: Path, start: int, stop: int, *, label: int | None = None, masses: Sequence[float] = (500.0, 100.0)
) -> Any:  # fmt: skip
    """Return events [start, stop) in the dijets schema; `masses` (GeV) are those of X and Y in signal events.

    `label` is used where the file has no column of that name, -1 (unknown) where neither is given. Masses in the file
    come before those given. Raises InputError for another layout, NaN, or a jet without transverse momentum.
    """
    from hepml_nb.simulate import dijets

    with opened(path) as frame:
        names = frame.names
        if not set(COLUMNS) <= set(names) and len(names) in (14, 15) and all(name.isdigit() for name in names):
            names[:] = [*COLUMNS, "label"][: len(names)]
        for name in COLUMNS:
            if name not in names:
                raise InputError(f"{path}: no column {name!r}{suggest(name, names)}")
        at = frame.take(start, stop)
    columns: dict[str, np.ndarray] = {}
    for jet in ("j1", "j2"):
        px, py, pz = (at[f"{name}{jet}"] for name in ("px", "py", "pz"))
        pt = np.hypot(px, py)
        if not (pt > 0).all():
            raise InputError(f"{path}: row {start + int(np.argmin(pt > 0))}: {jet} has no transverse momentum.")
        values = (pt, np.arcsinh(pz / pt), np.arctan2(py, px), *(at[f"{name}{jet}"] for name in
                                                                ("m", "tau1", "tau2", "tau3")))  # fmt: skip
        columns |= {f"{jet}_{name}": value for name, value in zip(dijets.JET, values, strict=True)}
    n = len(columns["j1_pt"])
    truth = at["label"] if "label" in at else np.full(n, -1 if label is None else label)
    mx, my = masses_of(truth, masses, at)
    return dijets.table(
        {"mjj": dijets.dijet_mass(columns), **columns}, n, label=truth, mx=mx, my=my, event=np.arange(start, start + n)
    )


def masses_of(truth: Any, masses: Sequence[float], at: dict[str, Any]) -> list[np.ndarray]:
    """Return mx and my (GeV) of each event: from the file, else as given; 0 for background, NaN where unknown."""
    there = {name.lower(): values for name, values in at.items()}
    kinds = [truth == 0, truth < 0]
    return [
        np.select(kinds, [0.0, np.nan], there.get(name, mass)) for name, mass in zip(("mx", "my"), masses, strict=True)
    ]


@contextmanager
def opened(path: Path) -> Iterator[Frame]:
    """Open the only pandas table of an HDF5 file, in its fixed or its table format."""
    try:
        import h5py
    except ImportError as error:
        raise NotFound("reading the public files needs h5py: pip install 'hepml-nb[public]'.") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} is no HDF5 file, or it is damaged: {error}") from error
    with file:
        groups = [key for key in file if isinstance(file[key], h5py.Group)]
        tables = [file[key] for key in groups if "block0_values" in file[key] or "table" in file[key]]
        if len(tables) != 1:
            raise InputError(
                f"{path} holds {len(tables)} pandas tables ({', '.join(file) or 'nothing'}); expected one."
            )
        yield _columnar(path, tables[0]) if "table" in tables[0] else _fixed(path, tables[0])


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
    """Return the table; the names of columns in shared blocks are pickled there, so these are numbered."""
    table = group["table"]
    fields = [name for name in table.dtype.names if name != "index"]
    names: list[str] = []
    for name in fields:
        kind = table.dtype[name]
        if kind.base.kind not in "fiu":
            raise InputError(f"{path}: column {name!r} holds no numbers.")
        width = int(np.prod(kind.shape, dtype=int))
        names += [str(len(names) + i) for i in range(width)] if name.startswith("values_block") else [name]
    return Frame(Path(path), names, len(table), [_Fields(table, fields)])
