"""Events in the layout of CMS NanoAOD: its collections, as far as we keep them, and ROOT files of them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, atomic_write

__all__ = ["COLLECTIONS", "EVENT", "conform", "empty", "write_root"]

EVENT: Mapping[str, type] = {
    "run": np.uint32,
    "luminosityBlock": np.uint32,
    "event": np.int64,
    "genWeight": np.float32,
    "MET_pt": np.float32,
    "MET_phi": np.float32,
    "label": np.int8,
}
"""Columns of an event, with their types; all but `label` are branches of NanoAOD."""

_LEPTON = {"pt": np.float32, "eta": np.float32, "phi": np.float32, "mass": np.float32, "charge": np.int32,
           "genPartIdx": np.int32}  # fmt: skip

COLLECTIONS: Mapping[str, Mapping[str, type]] = {
    "Muon": {**_LEPTON, "pfRelIso04_all": np.float32},
    "Electron": {**_LEPTON, "pfRelIso03_all": np.float32},
    "Jet": {"pt": np.float32, "eta": np.float32, "phi": np.float32, "mass": np.float32, "nConstituents": np.int32,
            "hadronFlavour": np.int32},
    "FatJet": {"pt": np.float32, "eta": np.float32, "phi": np.float32, "mass": np.float32, "msoftdrop": np.float32,
               "tau1": np.float32, "tau2": np.float32, "tau3": np.float32},
    "GenPart": {"pt": np.float32, "eta": np.float32, "phi": np.float32, "mass": np.float32, "pdgId": np.int32,
                "status": np.int32, "statusFlags": np.int32, "genPartIdxMother": np.int32},
}  # fmt: skip
"""What we keep of each collection; names and meaning are those of NanoAOD."""

_UNKNOWN = {"charge": 0, "genPartIdx": -1, "genPartIdxMother": -1, "hadronFlavour": 0}


def conform(events: Any) -> Any:
    """Return events in the schema: columns in our types, what is missing filled in.

    Missing numbers are NaN, missing indices -1, missing collections empty. `events` is a mapping or an array of records
    with fields as in EVENT and COLLECTIONS; a collection with any of our columns must have `pt`.
    """
    fields = list(events) if isinstance(events, Mapping) else ak.fields(events)
    n = len(events[fields[0]]) if fields else 0
    out: dict[str, Any] = {}
    for name, kind in EVENT.items():
        missing = np.full(n, np.nan if kind is np.float32 else (-1 if name == "label" else 0))
        out[name] = np.asarray(ak.to_numpy(events[name]) if name in fields else missing).astype(kind)
    for name, columns in COLLECTIONS.items():
        given = events[name] if name in fields else ak.unflatten(ak.Array({"pt": np.zeros(0)}), np.zeros(n, np.int64))
        counts = ak.to_numpy(ak.num(given.pt))
        flat: dict[str, np.ndarray] = {}
        for column, kind in columns.items():
            blank = np.full(counts.sum(), np.nan if kind is np.float32 else _UNKNOWN.get(column, 0))
            flat[column] = np.asarray(
                ak.to_numpy(ak.flatten(given[column])) if column in ak.fields(given) else blank
            ).astype(kind)
        out[name] = ak.unflatten(ak.zip(flat), counts)
    return ak.zip(out, depth_limit=1)


def empty() -> Any:
    """Return zero events in the schema."""
    return conform({"run": np.zeros(0)})


class _Buffer(io.BytesIO):
    """Bytes that outlive the file which is written into them."""

    def close(self) -> None:
        """Stay open."""


def write_root(path: str | Path, events: Any) -> Path:
    """Write events in the schema as a NanoAOD-like ROOT file, whole or not at all, and return its path.

    It has a TTree `Events` of flat branches run, luminosityBlock, event, MET_pt, nMuon, Muon_pt ..., which coffea's
    NanoAODSchema reads. Without any finite genWeight (collisions) that branch is left out, and so is MET where unknown.
    Further collections of records are written as well. Raises InputError for events of another kind or none at all.
    """
    import uproot

    fields = ak.fields(events)
    for name in ("run", "luminosityBlock", "event"):
        if name not in fields:
            raise InputError(f"the events have no {name!r}; expected the nanoaod schema.")
    if not len(events):
        raise InputError("there is no event to write.")
    branches: dict[str, Any] = {}
    for name in fields:
        column = events[name]
        if name == "label" or (
            name in ("genWeight", "MET_pt", "MET_phi") and not np.isfinite(ak.to_numpy(column)).any()
        ):
            continue
        if column.ndim > 1 and not ak.fields(column):
            raise InputError(f"{name!r} is a list of numbers; expected single numbers and lists of records.")
        branches[name] = ak.to_packed(column) if column.ndim > 1 else ak.to_numpy(column)
    branches["event"] = branches["event"].astype(np.uint64)
    kinds = {
        name: column.dtype if isinstance(column, np.ndarray) else column.type.content
        for name, column in branches.items()
    }
    buffer = _Buffer()
    with uproot.recreate(buffer) as file:
        file.mktree("Events", kinds, title="Events").extend(branches)
    path = Path(path)
    with atomic_write(path, "wb") as stream:
        stream.write(buffer.getvalue())
    return path
