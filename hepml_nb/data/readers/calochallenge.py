"""The public CaloChallenge sets (arXiv:2410.21611): HDF5 files of flattened showers.

`incident_energies` is (n, 1) and `showers` (n, voxels), in MeV. Voxels that are not zero become hits; their
energies stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, progress, suggest
from hepml_nb.data.opening import hdf5

__all__ = ["count", "read"]

BLOCK = 2000
"""Showers converted at a time, and held by `Dataset.batches`: those of dataset 3 have thousands of hits each."""
_BLOCK = 500
"""Showers read at a time: 160 MB in double precision with the 40500 voxels of dataset 3."""


def count(path: Path, *, voxels: int) -> int:
    """Return the number of showers in a file; raise InputError for another layout or number of voxels."""
    with _opened(path, voxels) as (energies, _):
        return int(energies.shape[0])


def read(path: Path, start: int, stop: int, *, label: int | None = None, voxels: int) -> Any:
    """Return showers [start, stop) in the showers schema; `label` is not used, as there are no classes.

    Raises InputError for another layout, NaN or infinity, or energies of incident particles that are not positive.
    """
    with _opened(path, voxels) as (energies, showers):
        rows = int(energies.shape[0])
        last = min(stop, rows)
        parts = [
            _showers(energies, showers, first, min(first + _BLOCK, last), path)
            for first in progress(range(start, last, _BLOCK), desc=Path(path).name, unit="block")
        ]
        if not parts:
            raise InputError(f"{path} has {rows} showers; nothing lies between {start} and {stop}.")
    return ak.concatenate(parts)


@contextmanager
def _opened(path: Path, voxels: int) -> Iterator[tuple[Any, Any]]:
    with hdf5(path) as file:
        for key, shape in (("incident_energies", (1,)), ("showers", (voxels,))):
            if key not in file:
                raise InputError(f"{path} has no dataset {key!r}{suggest(key, list(file))}")
            if not hasattr(file[key], "dtype") or file[key].dtype.kind != "f":
                raise InputError(f"{path}: {key!r} holds no floating-point numbers.")
            if file[key].shape[1:] != shape:
                raise InputError(f"{path}: {key!r} has shape {file[key].shape}; expected (n, {shape[0]}).")
        energies, showers = file["incident_energies"], file["showers"]
        if len(energies) != len(showers):
            raise InputError(f"{path}: {len(energies)} incident energies and {len(showers)} showers.")
        yield energies, showers


def _showers(energies: Any, showers: Any, start: int, stop: int, path: Path) -> Any:
    energy, values = np.asarray(energies[start:stop])[:, 0], np.asarray(showers[start:stop])
    good = (energy > 0) & np.isfinite(energy) & np.isfinite(values).all(axis=1)
    if not good.all():
        bad = start + int(np.argmin(good))
        raise InputError(f"{path}: row {bad} holds NaN, infinity or an incident energy that is not positive.")
    row, voxel = np.nonzero(values)
    hits = ak.zip({"voxel": voxel.astype(np.uint16), "energy": values[row, voxel].astype(np.float32)})
    hits = ak.unflatten(hits, np.bincount(row, minlength=len(values)))
    return ak.zip({"energy": energy.astype(np.float32), "hits": hits}, depth_limit=1)
