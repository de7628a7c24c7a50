"""LHC Olympics files of jet features (arXiv:2101.08320): pandas tables in HDF5.

The columns are pxj1, pyj1, pzj1, mj1, tau1j1, tau2j1, tau3j1 (GeV), the same of j2 and, in most files, label. Some
versions of pandas number the columns instead of naming them; then the published order is taken. The parametric files
add the masses of X and Y.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepml_nb.core import InputError, suggest
from hepml_nb.data.frames import opened

__all__ = ["COLUMNS", "count", "masses_of", "read"]

COLUMNS = tuple(f"{name}j{jet}" for jet in (1, 2) for name in ("px", "py", "pz", "m", "tau1", "tau2", "tau3"))


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
