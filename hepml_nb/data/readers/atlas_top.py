"""The ATLAS top-tagging open data (arXiv:2407.20127, CERN Open Data 80030; and the older 15013): flat arrays in HDF5.

`fjet_clus_pt`, `_eta`, `_phi`, `_E` are (jets, 200 or fewer), padded with zeros; `fjet_pt`, `fjet_eta`, `fjet_phi` and
`labels` (1 for tops) are one number per jet, and so are the weights of the training files (`training_weights`, or
`weights` in the older set). Files may be compressed as a whole (.h5.gz). Energies are in MeV or GeV: no jet of the set
is below 350 GeV and none above 6.5 TeV, so a look at `fjet_pt` tells.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, atomic_write, lock, suggest
from hepml_nb.data.opening import hdf5

__all__ = ["count", "read"]

_CLUSTERS = ("fjet_clus_pt", "fjet_clus_eta", "fjet_clus_phi", "fjet_clus_E")
_JETS = ("fjet_pt", "fjet_eta", "fjet_phi", "labels")
_WEIGHTS = ("training_weights", "weights")


def count(path: Path) -> int:
    """Return the number of jets in a file; raise InputError for another layout."""
    with _opened(path) as file:
        return int(file["fjet_pt"].shape[0])


def read(path: Path, start: int, stop: int, *, label: int | None = None) -> Any:
    """Return jets [start, stop) in the jets schema with `weight`; `label` is not needed, the file has it.

    The weight is 1 in files that have none (those for tests). Raises InputError for another layout, NaN or infinity,
    labels other than 0 and 1, energies that are neither in MeV nor in GeV, or a jet without constituents.
    """
    with _opened(path) as file:
        rows = int(file["fjet_pt"].shape[0])
        stop = min(stop, rows)
        if stop <= start:
            raise InputError(f"{path} has {rows} jets; nothing lies between {start} and {stop}.")
        names = (*_CLUSTERS, *_JETS, *(name for name in _WEIGHTS if name in file))
        columns = {name: np.asarray(file[name][start:stop], dtype=np.float64) for name in names}
    for name, values in columns.items():
        if not np.isfinite(values).all():
            row = start + int(np.argwhere(~np.isfinite(values))[0, 0])
            raise InputError(f"{path}: {name} holds NaN or infinity in row {row}.")
    return _jets(columns, start, path)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with hdf5(path, _plain(Path(path))) as file:
        for name in (*_CLUSTERS, *_JETS):
            if name not in file:
                raise InputError(f"{path} has no dataset {name!r}{suggest(name, list(file))}")
        for name in (*_CLUSTERS, *_JETS, *(name for name in _WEIGHTS if name in file)):
            if not hasattr(file[name], "dtype") or file[name].dtype.kind not in "fiub":
                raise InputError(f"{path}: {name!r} holds no numbers.")
            shape, jets = file[name].shape, file["fjet_pt"].shape[:1]
            wanted = (jets, (*jets, 1)) if name not in _CLUSTERS else ((*jets, *file["fjet_clus_pt"].shape[1:2]),)
            if shape not in wanted or (name in _CLUSTERS and len(shape) != 2):
                raise InputError(f"{path}: {name!r} has shape {shape}; expected {wanted[0]}.")
        yield file


def _plain(path: Path) -> Path:
    """Return an HDF5 file that can be read here and there: a compressed one is unpacked beside itself, once."""
    if path.suffix != ".gz":
        return path
    target = path.with_name(path.name + ".unpacked.h5")
    with lock(path.with_name(path.name + ".lock"), timeout=24 * 3600):
        if not target.exists():
            try:
                with gzip.open(path, "rb") as source, atomic_write(target, "wb") as stream:
                    shutil.copyfileobj(source, stream, 1 << 24)
            except (gzip.BadGzipFile, EOFError) as error:
                raise InputError(f"{path} is no gzip file, or it is cut short: {error}") from error
    return target


def _jets(columns: dict[str, np.ndarray], start: int, path: Path) -> Any:
    from hepml_nb.simulate.jets import delta_phi, from_constituents

    jet_pt, eta, phi, label = (columns[name].reshape(len(columns["fjet_pt"]), -1)[:, 0] for name in _JETS)
    if not np.isin(label, (0, 1)).all():
        raise InputError(f"{path}: labels holds {label[~np.isin(label, (0, 1))][0]:g}; expected 1 for tops, else 0.")
    if jet_pt.min() > 100_000:
        scale = 1e-3
    elif jet_pt.min() > 100 and jet_pt.max() < 14_000:
        scale = 1.0
    else:
        span = f"{jet_pt.min():g} to {jet_pt.max():g}"
        raise InputError(f"{path}: fjet_pt goes from {span}, which is neither jets above 350 GeV in MeV nor in GeV.")
    pt = columns["fjet_clus_pt"] * scale
    mask = pt > 0
    if not mask.any(axis=1).all():
        raise InputError(f"{path}: row {start + int(np.argmin(mask.any(axis=1)))} has no constituents.")
    inside = {
        "pt": pt,
        "deta": columns["fjet_clus_eta"] - eta[:, None],
        "dphi": delta_phi(columns["fjet_clus_phi"], phi[:, None]),
        "pdg": np.zeros_like(pt),
    }
    order = np.argsort(-pt, axis=1, kind="stable")
    mask = np.take_along_axis(mask, order, axis=1)
    kinds = {name: np.int16 if name == "pdg" else np.float32 for name in inside}
    flat = {name: np.take_along_axis(values, order, axis=1)[mask].astype(kinds[name])
            for name, values in inside.items()}  # fmt: skip
    weights = next((columns[name] for name in _WEIGHTS if name in columns), np.ones(len(label)))
    return from_constituents(
        jet_pt * scale, eta, phi, ak.unflatten(ak.zip(flat), mask.sum(axis=1)), radius=1.0, label=label,
        matched=np.ones(len(label)), event=np.arange(start, start + len(label)),
        extra={"weight": weights.reshape(len(label), -1)[:, 0].astype(np.float32)},
    )  # fmt: skip
