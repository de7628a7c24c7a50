"""The public top-tagging set (arXiv:1902.09914), a pandas table in HDF5.

The table `table` has columns E_0, PX_0, PY_0, PZ_0 ... _199 (GeV, hardest first, padded with zeros), truthE ...
truthPZ, ttv and is_signal_new. It has no particle classes (`pdg` is 0), holds leading jets (`rank` 0) and only matched
tops.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError
from hepml_nb.data.frames import opened

__all__ = ["count", "read"]


def count(path: Path) -> int:
    """Return the number of jets in a file; raise InputError for another layout."""
    with opened(path, "table") as frame:
        return frame.rows


def read(path: Path, start: int, stop: int, *, label: int | None = None) -> Any:
    """Return jets [start, stop) in the jets schema; `label` is not needed, the file has it.

    Raises InputError for another layout, NaN or a jet without constituents.
    """
    with opened(path, "table") as frame:
        most = sum(name.startswith("PX_") for name in frame.names)
        needed = [f"{name}_{i}" for i in range(most) for name in ("E", "PX", "PY", "PZ")]
        lacking = [name for name in (*needed, "is_signal_new") if name not in frame.names]
        if lacking or not most:
            raise InputError(
                f"{path}: no column {(lacking or ['PX_0'])[0]!r}; expected E_0, PX_0 ... and is_signal_new."
            )
        columns = frame.take(start, stop)
    values = np.stack([columns[name] for name in needed], axis=-1).reshape(-1, most, 4)
    return _jets(values, columns["is_signal_new"], start, path)


def _jets(values: np.ndarray, label: np.ndarray, first: int, path: Path) -> Any:
    """Return the jets of momenta (jets, most, 4) of E, px, py, pz in GeV."""
    from hepml_nb.simulate.jets import delta_phi, from_constituents

    mask = values[..., 0] > 0
    if not mask.any(axis=1).all():
        raise InputError(f"{path}: row {first + int(np.argmin(mask.any(axis=1)))} has no constituents.")
    energy, px, py, pz = (values[..., i] for i in range(4))
    jet = values.sum(axis=1)
    jet_pt = np.hypot(jet[:, 1], jet[:, 2])
    eta, phi = np.arcsinh(jet[:, 3] / jet_pt), np.arctan2(jet[:, 2], jet[:, 1])
    pt = np.hypot(px, py)
    order = np.argsort(-pt, axis=1, kind="stable")
    columns = {
        "pt": pt,
        "deta": np.arcsinh(pz / np.maximum(pt, 1e-12)) - eta[:, None],
        "dphi": delta_phi(np.arctan2(py, px), phi[:, None]),
        "pdg": np.zeros_like(energy),
    }
    mask = np.take_along_axis(mask, order, axis=1)
    flat = {name: np.take_along_axis(column, order, axis=1)[mask] for name, column in columns.items()}
    kinds = {name: np.int16 if name == "pdg" else np.float32 for name in flat}
    inside = ak.unflatten(ak.zip({name: flat[name].astype(kinds[name]) for name in flat}), mask.sum(axis=1))
    return from_constituents(
        jet_pt, eta, phi, inside, label=label, matched=np.ones(len(label)),
        event=np.arange(first, first + len(label)),
    )  # fmt: skip
