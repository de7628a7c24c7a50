"""The public JetClass files (arXiv:2202.03772): ROOT trees of jets, their particles and their labels, one class a file.

The tree `tree` has lists part_px, part_py, part_pz, part_energy, part_d0val, part_d0err, part_dzval, part_dzerr,
part_charge and flags part_isChargedHadron ..., numbers jet_pt, jet_eta, jet_phi ..., and label_QCD ... label_Tbl.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, suggest

__all__ = ["LABELS", "count", "read"]

LABELS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
"""Classes in the order of their numbers."""

_TRACK = ("d0val", "d0err", "dzval", "dzerr")
_FLAGS = {"isChargedHadron": 211, "isNeutralHadron": 130, "isPhoton": 22, "isElectron": 11, "isMuon": 13}
_PARTICLES = tuple(f"part_{name}" for name in ("px", "py", "pz", "charge", *_TRACK, *_FLAGS))
_JETS = ("jet_pt", "jet_eta", "jet_phi", *(f"label_{name}" for name in LABELS))


def count(path: Path) -> int:
    """Return the number of jets in a file; raise InputError for another layout."""
    with _opened(path) as tree:
        return int(tree.num_entries)


def read(path: Path, start: int, stop: int, *, label: int | None = None) -> Any:
    """Return jets [start, stop) in the jets schema, with `charge` and the impact parameters (mm) of constituents.

    Raises InputError for another layout, NaN, a jet without particles, a jet of no or of several classes, and for one
    whose class is not `label`, the one that the file's name promises.
    """
    with _opened(path) as tree:
        rows = int(tree.num_entries)
        if start >= min(stop, rows):
            raise InputError(f"{path} has {rows} jets; nothing lies between {start} and {stop}.")
        table = tree.arrays([*_PARTICLES, *_JETS], entry_start=start, entry_stop=min(stop, rows), library="ak")
    counts = ak.to_numpy(ak.num(table.part_px))
    if not counts.all():
        raise InputError(f"{path}: row {start + int(np.argmin(counts))} has no particles.")
    flat = {name.removeprefix("part_"): np.asarray(ak.to_numpy(ak.flatten(table[name]))) for name in _PARTICLES}
    for name, values in flat.items():
        if not np.isfinite(values).all():
            row = int(np.repeat(np.arange(len(counts)), counts)[np.argmin(np.isfinite(values))])
            raise InputError(f"{path}: row {start + row} holds NaN or infinity in part_{name}.")
    return _jets(table, flat, counts, _labels(table, label, start, path), start)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import uproot

    try:
        file = uproot.open(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is no ROOT file, or is damaged: {str(error).strip().splitlines()[0]}") from error
    with file:
        names = [key.split(";")[0] for key in file.keys()]  # noqa: SIM118 - the file is no mapping
        if "tree" not in names:
            raise InputError(f"{path} has no tree 'tree'{suggest('tree', names)}")
        tree = file["tree"]
        lacking = [name for name in (*_PARTICLES, *_JETS) if name not in tree]
        if lacking:
            raise InputError(f"{path}: the tree has no branch {lacking[0]!r}{suggest(lacking[0], list(tree.keys()))}")
        yield tree


def _labels(table: Any, label: int | None, start: int, path: Path) -> np.ndarray:
    flags = np.stack([ak.to_numpy(table[f"label_{name}"]) for name in LABELS], axis=1) > 0.5
    if (flags.sum(axis=1) != 1).any():
        row = start + int(np.argmax(flags.sum(axis=1) != 1))
        raise InputError(f"{path}: row {row} has not one label but {int(flags[row - start].sum())}.")
    found = np.argmax(flags, axis=1)
    if label is not None and (found != label).any():
        row = int(np.argmax(found != label))
        raise InputError(f"{path}: row {start + row} is {LABELS[found[row]]}, the file's name says {LABELS[label]}.")
    return np.asarray(found)


def _jets(table: Any, flat: dict[str, np.ndarray], counts: np.ndarray, labels: np.ndarray, first: int) -> Any:
    from hepml_nb.simulate.jets import delta_phi, from_constituents

    axis = {name: np.asarray(ak.to_numpy(table[f"jet_{name}"]), dtype=np.float64) for name in ("pt", "eta", "phi")}
    px, py, pz = (flat[name].astype(np.float64) for name in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    charge = np.rint(flat["charge"]).astype(np.int8)
    pdg = np.zeros(len(pt), dtype=np.int16)
    for name, code in _FLAGS.items():
        # Leptons have the sign of their number opposite to their charge.
        sign = charge if code == 211 else -charge if code in (11, 13) else np.ones_like(charge)
        pdg = np.where(flat[name] > 0.5, code * sign.astype(np.int16), pdg)
    columns = {
        "pt": pt.astype(np.float32),
        "deta": (np.arcsinh(pz / np.maximum(pt, 1e-12)) - np.repeat(axis["eta"], counts)).astype(np.float32),
        "dphi": delta_phi(np.arctan2(py, px), np.repeat(axis["phi"], counts)).astype(np.float32),
        "pdg": pdg,
        "charge": charge,
        **{name: flat[name].astype(np.float32) for name in _TRACK},
    }
    order = np.lexsort((-pt, np.repeat(np.arange(len(counts)), counts)))
    inside = ak.unflatten(ak.zip({name: column[order] for name, column in columns.items()}), counts)
    return from_constituents(
        axis["pt"], axis["eta"], axis["phi"], inside, label=labels, matched=np.ones(len(counts)),
        event=np.arange(first, first + len(counts)),
    )  # fmt: skip
