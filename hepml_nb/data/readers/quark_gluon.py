"""The public quark and gluon jets (arXiv:1810.05165): npz files with X, (jets, M, 4) of pt, y, phi, pdgid, and y.

Particles are padded with zeros to an M that differs from file to file, quarks have y = 1. Rows are read as they are
needed, so that a file (about half a gigabyte of numbers) never is in memory.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import awkward as ak
import numpy as np

from hepml_nb.core import InputError

__all__ = ["MASSES", "count", "read"]

MASSES = {11: 0.000511, 13: 0.105658, 22: 0.0, 130: 0.497611, 211: 0.139570, 310: 0.497611, 321: 0.493677,
          2112: 0.939565, 2212: 0.938272, 3112: 1.197449, 3122: 1.115683, 3222: 1.18937, 3312: 1.32171,
          3322: 1.31486, 3334: 1.67245}  # fmt: skip
"""Masses (GeV) of the particles that live long enough to be in a jet (PDG)."""

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def count(path: Path) -> int:
    """Return the number of jets in a file; raise InputError for another layout."""
    with _member(path, "X") as (shape, _, _):
        return int(shape[0])


def read(path: Path, start: int, stop: int, *, label: int | None = None) -> Any:
    """Return jets [start, stop) in the jets schema with `rapidity`, `full_mass` and `particles`; quarks have label 1.

    The pseudorapidity of a particle follows from its rapidity and the mass of its species. Raises InputError for
    another layout, NaN, an unknown species or a jet without particles; `label` is not needed, the file has it.
    """
    values = _rows(path, "X", start, stop)
    labels = _rows(path, "y", start, stop)
    if not len(values):
        raise InputError(f"{path} has {count(path)} jets; nothing lies between {start} and {stop}.")
    if len(labels) != len(values) or labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
        raise InputError(f"{path}: y is not one number per jet, 0 for gluons and 1 for quarks.")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: row {start + int(np.argwhere(~np.isfinite(values))[0, 0])} holds NaN or infinity.")
    mask = values[..., 0] > 0
    if not mask.any(axis=1).all():
        raise InputError(f"{path}: row {start + int(np.argmin(mask.any(axis=1)))} has no particles.")
    return _jets(values, mask, labels, start, path)


@contextmanager
def _member(path: Path, name: str) -> Iterator[tuple[tuple[int, ...], np.dtype[Any], BinaryIO]]:
    """Open one array of an npz file: its shape and type, and the stream that stands at its first number."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no npz file; it should hold the arrays X and y.")
    with zipfile.ZipFile(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            known = ", ".join(sorted(item.removesuffix(".npy") for item in archive.namelist()))
            raise InputError(f"{path} has no array {name!r}; it has {known}.")
        with archive.open(f"{name}.npy") as opened:
            stream = cast(BinaryIO, opened)
            version = np.lib.format.read_magic(stream)
            if version not in _READERS:
                raise InputError(f"{path}: array {name!r} is of npy version {version}, which is unknown.")
            shape, fortran, kind = _READERS[version](stream)
            if kind.hasobject or kind.kind not in "fiu":
                raise InputError(f"{path}: array {name!r} holds {kind}, expected numbers; objects are never unpickled.")
            if fortran or len(shape) != (3 if name == "X" else 1) or (name == "X" and shape[2] != 4):
                raise InputError(f"{path}: {name} has shape {shape}; expected X (jets, M, 4) row by row and y (jets,).")
            yield shape, kind, stream


def _rows(path: Path, name: str, start: int, stop: int) -> np.ndarray:
    with _member(path, name) as (shape, kind, stream):
        stop = max(start, min(stop, shape[0]))
        size = kind.itemsize * int(np.prod(shape[1:]))
        left = start * size
        while left:
            left -= len(stream.read(min(left, 1 << 24))) or left
        content = stream.read((stop - start) * size)
    if len(content) != (stop - start) * size:
        raise InputError(f"{path}: array {name!r} ends before its last row; download the file again.")
    return np.frombuffer(content, kind).reshape(stop - start, *shape[1:])


def _jets(values: np.ndarray, mask: np.ndarray, labels: np.ndarray, first: int, path: Path) -> Any:
    from hepml_nb.simulate.jets import delta_phi, from_constituents

    pt, y, phi, pdg = (values[..., i].astype(np.float64) for i in range(4))
    kind = np.rint(np.abs(pdg[mask])).astype(int)
    species, inverse = np.unique(kind, return_inverse=True)
    unknown = [int(one) for one in species if one not in MASSES]
    if unknown:
        raise InputError(f"{path}: particle {unknown[0]} is none that lives long enough; is pdgid column 3 of X?")
    mass = np.zeros(pt.shape)
    mass[mask] = np.array([MASSES[one] for one in species.tolist()])[inverse]
    transverse = np.hypot(pt, mass)
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), transverse * np.sinh(y), transverse * np.cosh(y)], axis=-1)
    px, py, pz, energy = np.moveaxis((momentum * mask[..., None]).sum(axis=1), -1, 0)
    jet_pt = np.hypot(px, py)
    eta, azimuth = np.arcsinh(pz / jet_pt), np.arctan2(py, px)
    columns = {
        "pt": pt,
        "deta": np.arcsinh(momentum[..., 2] / np.maximum(pt, 1e-12)) - eta[:, None],
        "dphi": delta_phi(phi, azimuth[:, None]),
        "pdg": np.rint(pdg),
    }
    order = np.argsort(-pt, axis=1, kind="stable")
    mask = np.take_along_axis(mask, order, axis=1)
    flat = {name: np.take_along_axis(column, order, axis=1)[mask] for name, column in columns.items()}
    kinds = {name: np.int16 if name == "pdg" else np.float32 for name in flat}
    counts = mask.sum(axis=1)
    inside = ak.unflatten(ak.zip({name: flat[name].astype(kinds[name]) for name in flat}), counts)
    extra = {
        "rapidity": np.arctanh(pz / energy).astype(np.float32),
        "full_mass": np.sqrt(np.maximum(energy**2 - jet_pt**2 - pz**2, 0)).astype(np.float32),
        "particles": counts.astype(np.int16),
    }
    return from_constituents(
        jet_pt, eta, azimuth, inside, radius=0.4, extra=extra, label=labels, matched=np.ones(len(labels)),
        event=np.arange(first, first + len(labels)),
    )  # fmt: skip
