"""Aspen Open Jets (arXiv:2412.10504): jets of CMS 2016 open data in HDF5, without labels.

`event_info` is (n, 3): run, luminosity block, event. `jet_kinematics` is (n, 4): pt (with energy corrections), eta,
phi, soft-drop mass. `PFCands` is (n, 150, 11), padded with zeros: px, py, pz, E (GeV, without the PUPPI weight), d0,
d0Err, dz, dzErr (cm; all four -1 without track details), charge, PDG code, PUPPI weight. `jet_tagging` is (n, 13).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, suggest
from hepml_nb.data.opening import hdf5

__all__ = ["count", "read"]

_SHAPES: dict[str, tuple[int, ...]] = {"event_info": (3,), "jet_kinematics": (4,), "PFCands": (150, 11),
                                       "jet_tagging": (13,)}  # fmt: skip
_BLOCK = 5_000
_FORWARD = {1: 130, 2: 22}
"""What the forward calorimeter calls hadrons and electromagnetic showers; here neutral hadrons and photons."""


def count(path: Path) -> int:
    """Return the number of jets in a file; raise InputError for another layout."""
    with _opened(path) as file:
        return int(file["PFCands"].shape[0])


def read(path: Path, start: int, stop: int, *, label: int | None = None) -> Any:
    """Return jets [start, stop) in the jets schema with tracks; `label` is that of all of them, 0 where none is given.

    Constituents are weighted by PUPPI and those of weight 0 left out. `pt`, `eta` and `phi` of a jet are those of their
    sum, `corrected_pt` and `reported_msoftdrop` those of CMS. Impact parameters are turned from cm into mm and from the
    sign of CMS into that of (x py - y px); they are 0 without track details. Raises InputError for another layout, NaN
    or infinity, or a jet without constituents.
    """
    with _opened(path) as file:
        rows = int(file["PFCands"].shape[0])
        stop = min(stop, rows)
        parts = [_jets(file, first, min(first + _BLOCK, stop), path, label or 0)
                 for first in range(start, stop, _BLOCK)]  # fmt: skip
    if not parts:
        raise InputError(f"{path} has {rows} jets; nothing lies between {start} and {stop}.")
    return ak.concatenate(parts)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with hdf5(path) as file:
        for name, shape in _SHAPES.items():
            if name not in file:
                raise InputError(f"{path} has no dataset {name!r}{suggest(name, list(file))}")
            if not hasattr(file[name], "dtype") or file[name].dtype.kind not in "fiu":
                raise InputError(f"{path}: {name!r} holds no numbers.")
            wanted = (*file["event_info"].shape[:1], *shape)
            if file[name].shape != wanted:
                raise InputError(f"{path}: {name!r} has shape {file[name].shape}; expected {wanted}.")
        yield file


def _jets(file: Any, start: int, stop: int, path: Path, label: int) -> Any:
    from hepml_nb.simulate.jets import delta_phi, from_constituents

    cands, kinematics = (np.asarray(file[name][start:stop], np.float64) for name in ("PFCands", "jet_kinematics"))
    for name, values in (("PFCands", cands), ("jet_kinematics", kinematics)):
        if not np.isfinite(values).all():
            row = start + int(np.argwhere(~np.isfinite(values))[0, 0])
            raise InputError(f"{path}: {name} holds NaN or infinity in row {row}.")
    px, py, pz = (cands[..., i] * cands[..., 10] for i in range(3))
    mask = (cands[..., 3] > 0) & (cands[..., 10] > 0) & (np.hypot(px, py) > 0)
    if not mask.any(axis=1).all():
        raise InputError(f"{path}: row {start + int(np.argmin(mask.any(axis=1)))} has no constituents.")
    total = [np.where(mask, column, 0.0).sum(axis=1) for column in (px, py, pz)]
    jet_pt = np.hypot(total[0], total[1])
    eta, phi = np.arcsinh(total[2] / jet_pt), np.arctan2(total[1], total[0])
    pt = np.hypot(px, py)
    code = cands[..., 9].astype(np.int64)
    pdg = np.select([np.abs(code) == old for old in _FORWARD], list(_FORWARD.values()), code)
    tracked = (cands[..., 8] != 0) & (cands[..., 5] > 0) & (cands[..., 7] > 0)
    order = np.argsort(np.where(mask, -pt, 1.0), axis=1, kind="stable")
    columns = {
        "pt": (pt, np.float32), "deta": (np.arcsinh(pz / np.maximum(pt, 1e-12)) - eta[:, None], np.float32),
        "dphi": (delta_phi(np.arctan2(py, px), phi[:, None]), np.float32), "pdg": (pdg, np.int16),
        "charge": (cands[..., 8], np.int8),
        # CMS signs dxy as y px - x py (over pt).
        **{name: (np.where(tracked, factor * cands[..., i], 0.0), np.float32)
           for name, i, factor in (("d0val", 4, -10.0), ("d0err", 5, 10.0), ("dzval", 6, 10.0), ("dzerr", 7, 10.0))},
        "puppi": (cands[..., 10], np.float32),
    }  # fmt: skip
    flat = {name: np.take_along_axis(values, order, axis=1)[np.take_along_axis(mask, order, axis=1)].astype(kind)
            for name, (values, kind) in columns.items()}  # fmt: skip
    info = np.asarray(file["event_info"][start:stop])
    extra = {"corrected_pt": kinematics[:, 0].astype(np.float32),
             "reported_msoftdrop": kinematics[:, 3].astype(np.float32), "run": info[:, 0].astype(np.int64)}  # fmt: skip
    return from_constituents(
        jet_pt, eta, phi, ak.unflatten(ak.zip(flat), mask.sum(axis=1)), label=np.full(len(info), label),
        matched=np.ones(len(info)), event=info[:, 2], extra=extra,
    )  # fmt: skip
