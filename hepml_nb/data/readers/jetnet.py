"""The public JetNet files (arXiv:2106.11535): HDF5 with features of jets and their hardest particles, one class each.

`particle_features` is (jets, 30 or 150, 4) of etarel, phirel, ptrel, mask, relative to the jet; `jet_features` is
(jets, 4) of pt, eta, mass and the number of particles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError
from hepml_nb.data.opening import hdf5

__all__ = ["count", "read"]


def count(path: Path, *, most: int = 30) -> int:
    """Return the number of jets in a file; raise InputError for another layout."""
    with _opened(path, most) as (_, jets):
        return int(jets.shape[0])


def read(path: Path, start: int, stop: int, *, label: int | None = None, most: int = 30) -> Any:
    """Return jets [start, stop) in the jets schema with `rapidity`, `full_mass` and `particles`.

    phi is 0 and pdg 0, as the files tell neither. Raises InputError for another layout or number of particles than
    `most`, for NaN, a jet without particles or when `label` is missing.
    """
    if label is None:
        raise InputError(f"{path} holds one class and does not say which; give label, as in the manifest's streams.")
    with _opened(path, most) as (particles, jets):
        rows = int(jets.shape[0])
        inside = np.asarray(particles[start : min(stop, rows)], dtype=np.float64)
        whole = np.asarray(jets[start : min(stop, rows)], dtype=np.float64)
    if not len(whole):
        raise InputError(f"{path} has {rows} jets; nothing lies between {start} and {stop}.")
    bad = ~(np.isfinite(inside).all(axis=(1, 2)) & np.isfinite(whole).all(axis=1))
    if bad.any():
        raise InputError(f"{path}: row {start + int(np.argmax(bad))} holds NaN or infinity.")
    mask = (inside[..., 3] > 0) & (inside[..., 2] > 0)
    if not mask.any(axis=1).all():
        raise InputError(f"{path}: row {start + int(np.argmin(mask.any(axis=1)))} has no particles.")
    return _jets(inside, whole, mask, label, start)


@contextmanager
def _opened(path: Path, most: int) -> Iterator[tuple[Any, Any]]:
    with hdf5(path) as file:
        found = []
        for name, shape in (("particle_features", (most, 4)), ("jet_features", (4,))):
            if name not in file:
                raise InputError(f"{path} has no dataset {name!r}; it has {', '.join(file) or 'none'}.")
            array = file[name]
            if array.dtype.kind != "f" or array.shape[1:] != shape:
                raise InputError(f"{path}: {name} is {array.dtype} {array.shape}; expected floats (jets, "
                                 f"{', '.join(map(str, shape))}).")  # fmt: skip
            found.append(array)
        if found[0].shape[0] != found[1].shape[0]:
            raise InputError(f"{path}: {found[0].shape[0]} jets have particles but {found[1].shape[0]} have features.")
        yield found[0], found[1]


def _jets(inside: np.ndarray, whole: np.ndarray, mask: np.ndarray, label: int, first: int) -> Any:
    from hepml_nb.simulate.jets import from_constituents

    pt, eta, mass, number = whole.T
    order = np.argsort(np.where(mask, -inside[..., 2], np.inf), axis=1, kind="stable")
    mask = np.take_along_axis(mask, order, axis=1)
    deta, dphi, share = (np.take_along_axis(inside[..., i], order, axis=1) for i in range(3))
    columns = {"pt": share * pt[:, None], "deta": deta, "dphi": dphi, "pdg": np.zeros_like(share)}
    kinds = {name: np.int16 if name == "pdg" else np.float32 for name in columns}
    flat = ak.zip({name: column[mask].astype(kinds[name]) for name, column in columns.items()})
    extra = {
        "rapidity": np.arcsinh(pt * np.sinh(eta) / np.hypot(pt, mass)).astype(np.float32),
        "full_mass": mass.astype(np.float32),
        "particles": np.rint(number).astype(np.int16),
    }
    jets = len(pt)
    return from_constituents(
        pt, eta, np.zeros(jets), ak.unflatten(flat, mask.sum(axis=1)), radius=0.8, extra=extra,
        label=np.full(jets, label), matched=np.ones(jets), event=np.arange(first, first + jets),
    )  # fmt: skip
