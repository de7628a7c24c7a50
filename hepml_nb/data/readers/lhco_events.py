"""LHC Olympics events (arXiv:2101.08320): 700 massless particles (pT, eta, phi) each; their jets are found here.

A pandas table in HDF5 of 2100 columns without names, padded with zeros, and in the R&D file the label as one more. The
extra QCD file calls the columns px0, py0, pz0 ..., yet they hold pT, eta and phi like the others, beside jet features.
Black boxes have their labels, where these were published, in a text file, the master key.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepml_nb.core import InputError
from hepml_nb.data.frames import Frame, opened
from hepml_nb.data.readers.lhco_features import masses_of

__all__ = ["count", "read"]

_MOST = 700


def count(path: Path, **options: Any) -> int:
    """Return the number of events in a file: none in a master key. Raises InputError for another layout."""
    if Path(path).suffix == ".masterkey":
        return 0
    with opened(path) as frame:
        _names(frame)
        return frame.rows


def read(
    path: Path, start: int, stop: int, *, label: int | None = None, masses: Sequence[float] = (500.0, 100.0),
    masterkey: str = "",
) -> Any:  # fmt: skip
    """Return events [start, stop) in the dijets schema with their `particles`; jets are anti-kT, R = 1.

    The label is the last of 2101 columns, else that of the `masterkey` beside the file, else `label`, else -1.
    Raises InputError for another layout, NaN, or particles that are not pT, eta, phi.
    """
    from hepml_nb.simulate import dijets

    with opened(path) as frame:
        names = _names(frame)
        at = frame.take(start, stop)
    columns = [np.stack([at[name] for name in names[i::3]], axis=1) for i in range(3)]
    pt, eta, phi = columns
    mask = pt > 0
    bad = (np.abs(phi) > 2 * np.pi + 1e-3) | (np.abs(eta) > 20) | (pt < 0)
    if bad.any():
        raise InputError(f"{path}: row {start + int(np.argmax(bad.any(axis=1)))} does not hold pT, eta and phi.")
    n = len(pt)
    flat = {name: column[mask] for name, column in zip(("pt", "eta", "phi"), columns, strict=True)}
    particles = dijets.on_grid({**flat, "event": np.repeat(np.arange(n), mask.sum(axis=1))}, n)
    truth = _labels(Path(path), start, n, at, label, masterkey)
    mx, my = masses_of(truth, masses, {})
    found = dijets.describe(particles, dijets.leading(particles))
    return dijets.table(found, n, label=truth, mx=mx, my=my, event=np.arange(start, start + n), particles=particles)


def _names(frame: Frame) -> list[str]:
    """Return the 2100 columns of particles, in their order."""
    named = [f"{name}{i}" for i in range(_MOST) for name in ("px", "py", "pz")]
    if set(named) <= set(frame.names):
        return named
    if len(frame.names) not in (3 * _MOST, 3 * _MOST + 1):
        raise InputError(
            f"{frame.path} has {len(frame.names)} columns; expected 2100 (pT, eta, phi) and perhaps a label."
        )
    return frame.names[: 3 * _MOST]


def _labels(path: Path, start: int, n: int, at: dict[str, Any], label: int | None, masterkey: str) -> np.ndarray:
    key = path.parent / masterkey
    if len(at) == 3 * _MOST + 1:
        return np.asarray(list(at.values())[-1])
    if masterkey and key.is_file():
        truth = np.loadtxt(key, dtype=np.float64, ndmin=1, skiprows=start, max_rows=n)
        if len(truth) != n:
            raise InputError(f"{key} ends before event {start + n} of {path.name}; expected one label a line.")
        return truth
    return np.full(n, -1 if label is None else label)
