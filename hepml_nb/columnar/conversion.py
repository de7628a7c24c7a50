"""Rows of a user's files to records in a schema, as a mapping says: units, padding, substructure, labels, weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.columnar.classes import particle_classes
from hepml_nb.columnar.mapping import FLAGS, Plan
from hepml_nb.core import InputError
from hepml_nb.simulate.jets import delta_phi, from_constituents

__all__ = ["Piece", "convert"]


@dataclass(frozen=True)
class Piece:
    """Records that came from some rows: `rows` says of each from which, `dropped` counts what was left out and why."""

    records: Any
    rows: np.ndarray
    dropped: Mapping[str, int]


def convert(part: Mapping[str, Any], plan: Plan, where: str, start: int, stream: str = "") -> Piece:
    """Return records of the rows `part` {column: array}, of which the first is row `start` of the file `where`.

    Columns of jets may also be lists, one row being an event with any number of jets. `stream` is the class of a file
    that is all of one. Raises InputError for columns that do not fit together, and for NaN or infinity.
    """
    n = len(next(iter(part.values())))
    table = _Rows(part, plan, where, start, n)
    if plan.schema == "jets":
        return _jets(table, stream)
    if plan.schema == "showers" and set(plan.collections.get("hits", {})) == {"energy"}:
        return _showers(table)
    about = plan.about
    out: dict[str, Any] = {}
    for name, column in about.columns.items():
        if name in plan.columns:
            values = table.flat(part[plan.columns[name].column], name) * plan.columns[name].factor(column.unit)
            out[name] = values.astype(column.dtype)
    for name, things in plan.collections.items():
        inside, counts = {}, None
        for key, take in things.items():
            found = about.collections[name][key]
            values, counts = table.lists(part[take.column], take.column, counts)
            inside[key] = (values * take.factor(found.unit)).astype(found.dtype)
        out[name] = ak.unflatten(ak.zip(inside), counts)
    if "event" in about.columns:
        out.setdefault("event", np.arange(start, start + n))
    return _finished(table, out, np.arange(n), stream)


class _Rows:
    """Some rows of a file; rows may be jets (`counts` is None), or events with `counts` jets each."""

    def __init__(self, part: Mapping[str, Any], plan: Plan, where: str, start: int, n: int) -> None:
        self.part, self.plan, self.where, self.start, self.n = part, plan, where, start, n
        self.counts: np.ndarray | None = None
        self.row = np.arange(n)

    def flat(self, column: Any, name: str) -> np.ndarray:
        """Return one number per record of a column; numbers of an event are those of all its jets."""
        if column.ndim == 2 and not self._jagged(column) and ak.num(column, axis=1)[0] == 1:
            column = column[:, 0]  # HDF5 files often write columns as (n, 1)
        if column.ndim == 1:
            return np.asarray(ak.to_numpy(column))[self.row]
        if self.counts is not None and column.ndim == 2:
            if not np.array_equal(ak.to_numpy(ak.num(column)), self.counts):
                raise InputError(f"{self.where}: column for {name!r} has another number of jets per event than pt.")
            return np.asarray(ak.to_numpy(ak.flatten(column)))
        raise InputError(f"{self.where}: the column for {name!r} holds lists; expected one number per record.")

    def lists(self, column: Any, name: str, counts: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of a list per record one after another, and the lengths, which must be `counts`."""
        if self.counts is not None and column.ndim == 3:
            column = ak.flatten(ak.from_regular(column, axis=None))
        if column.ndim != 2 or len(column) != len(self.row):
            raise InputError(f"{self.where}: column {name!r} holds no list of numbers per record.")
        column = ak.from_regular(column, axis=1)
        found = ak.to_numpy(ak.num(column))
        if counts is not None and not np.array_equal(found, counts):
            row = int(self.row[np.argmax(found != counts)])
            raise InputError(f"{self.where}: column {name!r} has another length than its neighbours in row "
                             f"{self.start + row}.")  # fmt: skip
        return np.asarray(ak.to_numpy(ak.flatten(column))), found

    def take(self, name: str) -> np.ndarray | None:
        """Return a column of the schema in its unit, None where the mapping does not give it."""
        take = self.plan.columns.get(name)
        if take is None:
            return None
        values = self.flat(self.part[take.column], name).astype(np.float64)
        return values * take.factor(self.plan.about.columns[name].unit)

    def finite(self, values: np.ndarray, name: str, owner: np.ndarray | None = None) -> np.ndarray:
        """Return values that are finite; raise InputError naming the first row where they are not."""
        bad = ~np.isfinite(values)
        if bad.any():
            first = int(np.argmax(bad))
            row = self.start + int(self.row[first if owner is None else owner[first]])
            raise InputError(f"{self.where}: {name} is NaN or infinite in row {row}, and {int(bad.sum()) - 1} more "
                             "times in these rows; drop those rows or choose another column.")  # fmt: skip
        return values

    @staticmethod
    def _jagged(column: Any) -> bool:
        return not isinstance(column.type.content, ak.types.RegularType)


def _jets(table: _Rows, stream: str) -> Piece:
    plan, part = table.plan, table.part
    given = {name: part[take.column] for name, take in plan.columns.items() if name in ("pt", "eta", "phi", "mass")}
    things = plan.collections.get("constituents", {})
    deepest = max((part[take.column].ndim for take in things.values()), default=0)
    ours = next((column for column in given.values() if column.ndim == 2 and table._jagged(column)), None)
    if ours is not None or deepest == 3:
        model = ours if ours is not None else ak.num(part[next(iter(things.values())).column], axis=2)
        table.counts = np.asarray(ak.to_numpy(ak.num(model)))
        table.row = np.repeat(np.arange(table.n), table.counts)
    columns = {name: table.take(name) for name in plan.columns}
    pt, eta, phi = (columns.pop(name, None) for name in ("pt", "eta", "phi"))
    fixed = {name: values for name, values in columns.items() if values is not None}
    if not things:
        return _bare(table, {"pt": pt, "eta": eta, "phi": phi, **fixed}, stream)
    inside, counts = _constituents(table, eta, phi)
    keep = counts > 0
    axis = {name: value for name, value in (("pt", pt), ("eta", eta), ("phi", phi)) if value is not None}
    for name, values in axis.items():
        table.finite(values, f"{name} of jets")
    made = _with_axis(inside, counts, axis)
    rank = fixed.pop("rank", _ranks(table, made["pt"]))
    event = fixed.pop("event", table.row + table.start)
    described = {name: fixed.pop(name) for name in list(fixed) if not name.startswith(("gen_", "matched"))}
    others: dict[str, Any] = {"matched": np.ones(keep.sum(), bool)}
    others |= {name: values[keep] for name, values in fixed.items()}
    jets = from_constituents(
        made["pt"][keep], made["eta"][keep], made["phi"][keep], made["constituents"][keep], radius=plan.radius,
        rank=rank[keep], event=event[keep].astype(np.int64), label=np.zeros(keep.sum()), **others,
    )  # fmt: skip
    out = {name: jets[name] for name in jets.fields}
    out |= {name: values[keep].astype(np.float32) for name, values in described.items()}
    empty = {"jets without constituents": int((~keep).sum())}
    return _finished(table, out, np.flatnonzero(keep), stream, {name: n for name, n in empty.items() if n})


def _bare(table: _Rows, columns: Mapping[str, np.ndarray | None], stream: str) -> Piece:
    """Return jets without constituents: the columns that are there, no more."""
    about = table.plan.about.columns
    out: dict[str, Any] = {name: table.finite(values, name).astype(about[name].dtype)
                           for name, values in columns.items() if values is not None}  # fmt: skip
    if not out:
        raise InputError(f"{table.where}: the mapping gives jets neither columns nor constituents.")
    n = len(next(iter(out.values())))
    out.setdefault("matched", np.ones(n, bool))
    out.setdefault("event", (table.row + table.start).astype(np.int64))
    out.setdefault("rank", _ranks(table, np.asarray(out.get("pt", np.zeros(n)))).astype(np.int8))
    return _finished(table, out, np.arange(n), stream)


def _ranks(table: _Rows, pt: np.ndarray) -> np.ndarray:
    """Return the place of each jet in its event by pt, 0 for the hardest (and for lone jets)."""
    if table.counts is None:
        return np.zeros(len(pt), np.int8)
    order = np.lexsort((-pt, table.row))
    first = np.cumsum(table.counts) - table.counts
    rank = np.empty(len(pt), np.int64)
    rank[order] = np.arange(len(pt)) - first[table.row[order]]
    return np.minimum(rank, 127).astype(np.int8)


def _constituents(table: _Rows, eta: Any, phi: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return flat columns pt, eta, phi (absolute), or deta, dphi, with pdg and `jet`, and numbers per jet.

    What is padding goes: where `valid` says so, or where there is no momentum.
    """
    things, part = table.plan.collections["constituents"], table.part
    raw: dict[str, np.ndarray] = {}
    counts: np.ndarray | None = None
    for name, take in things.items():
        values, counts = table.lists(part[take.column], take.column, counts)
        raw[name] = values * take.factor("GeV") if name in ("pt", "px", "py", "pz", "energy") else values
    if counts is None:
        raise InputError(f"{table.where}: the mapping names no column of constituents.")
    jet = np.repeat(np.arange(len(counts)), counts)
    if "valid" in raw:
        keep = raw["valid"].astype(bool)
        raw, jet = {name: values[keep] for name, values in raw.items()}, jet[keep]
    for name in ("pt", "px", "py", "pz", "eta", "phi", "deta", "dphi"):
        if name in raw:
            raw[name] = table.finite(raw[name].astype(np.float64), f"{name} of constituents", jet)
    if {"px", "py", "pz"} <= set(raw):
        pt = np.hypot(raw["px"], raw["py"])
        eta_of = np.arcsinh(raw["pz"] / np.maximum(pt, 1e-12))
        raw |= {"pt": pt, "eta": eta_of, "phi": np.arctan2(raw["py"], raw["px"])}
    if "pt" not in raw or not ({"eta", "phi"} <= set(raw) or {"deta", "dphi"} <= set(raw)):
        raise InputError(f"{table.where}: constituents need px, py, pz, or pt with eta, phi or deta, dphi; the mapping "
                         f"gives {', '.join(things)}.")  # fmt: skip
    raw["pdg"] = _kinds(raw)
    keep = raw["pt"] > 0
    jet = jet[keep]
    flat: dict[str, np.ndarray] = {"jet": jet}
    flat |= {name: raw[name][keep] for name in ("pt", "eta", "phi", "deta", "dphi", "pdg") if name in raw}
    return flat, np.bincount(jet, minlength=len(counts))


def _with_axis(flat: Mapping[str, np.ndarray], counts: np.ndarray, axis: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return pt, eta, phi of jets, given or summed up, and constituents relative to that axis, hardest first."""
    jet, pt = flat["jet"], flat["pt"]
    absolute = "eta" in flat
    eta, phi = (flat["eta"], flat["phi"]) if absolute else (flat["deta"], flat["dphi"])
    px, py, pz = (np.bincount(jet, weights=p, minlength=len(counts))
                  for p in (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)))  # fmt: skip
    total = np.maximum(np.hypot(px, py), 1e-12)
    summed = {"pt": total, "eta": np.arcsinh(pz / total), "phi": np.arctan2(py, px)}
    if not absolute:  # relative positions tell nothing of where the axis is
        summed |= {"eta": np.full(len(counts), np.nan), "phi": np.full(len(counts), np.nan)}
    made: dict[str, Any] = {**summed, **axis}
    if absolute:
        eta, phi = eta - made["eta"][jet], delta_phi(phi, made["phi"][jet])
    order = np.lexsort((-pt, jet))
    columns = {"pt": pt, "deta": eta, "dphi": phi}
    inside = {name: values[order].astype(np.float32) for name, values in columns.items()}
    inside["pdg"] = flat["pdg"][order].astype(np.int16)
    made["constituents"] = ak.unflatten(ak.zip(inside), counts)
    return made


def _kinds(raw: Mapping[str, np.ndarray]) -> np.ndarray:
    if "pdg" in raw:
        return particle_classes(raw["pdg"])
    out = np.zeros(len(raw["pt"]), np.int16)
    charge = np.sign(raw.get("charge", np.ones(len(out)))).astype(np.int16)
    if "charge" in raw and not set(FLAGS) & set(raw):
        return np.asarray(211 * charge, dtype=np.int16)
    for name, number in FLAGS.items():
        if name in raw:
            sign = charge if name == "charged" else -charge if name in ("electron", "muon") else 1
            out = np.where(raw[name].astype(bool), number * sign, out).astype(np.int16)
    return out


def _showers(table: _Rows) -> Piece:
    plan, part = table.plan, table.part
    take = plan.collections["hits"]["energy"]
    shower = part[take.column]
    if shower.ndim != 2:
        raise InputError(f"{table.where}: {take.column!r} holds no row of voxels per shower.")
    cells = np.asarray(ak.to_numpy(shower), dtype=np.float64) * take.factor("MeV")
    table.finite(cells.sum(axis=1), "the energy of voxels")
    energy = table.take("energy")
    if energy is None or (table.finite(energy, "the incident energy") <= 0).any():
        raise InputError(f"{table.where}: showers need the energy of the incident particle, above 0.")
    if cells.shape[1] > np.iinfo(np.uint16).max:
        raise InputError(f"{table.where}: showers of {cells.shape[1]} voxels; at most 65535 can be numbered.")
    row, voxel = np.nonzero(cells)
    hits = ak.zip({"voxel": voxel.astype(np.uint16), "energy": cells[row, voxel].astype(np.float32)})
    out = {"energy": energy.astype(np.float32), "hits": ak.unflatten(hits, np.bincount(row, minlength=table.n))}
    return _finished(table, out, np.arange(table.n), "")


def _finished(
    table: _Rows, out: dict[str, Any], chosen: np.ndarray, stream: str, dropped: Mapping[str, int] | None = None
) -> Piece:
    """Add label, weight and extra columns to records, which are the `chosen` ones; leave out those of no class."""
    plan, part = table.plan, table.part
    label = plan.label
    known = label.numbers()
    number = np.full(len(table.row), known.get(stream, -1))
    if label.column:
        number = _whole(table, table.flat(part[label.column], "label"))
    elif label.columns:
        hot = np.stack([table.flat(part[column], name) for name, column in label.columns.items()], axis=1)
        if (hot.astype(bool).sum(axis=1) > 1).any():
            raise InputError(f"{table.where}: some records have more than one class; expected 0 and 1, once 1.")
        number = np.where(hot.any(axis=1), hot.argmax(axis=1), -1)
    number = number[chosen]
    here = np.isin(number, list(known.values())) if known else np.ones(len(number), bool)
    if not here.all() and label.others == "refuse":
        row = table.start + int(table.row[chosen[np.argmin(here)]])
        raise InputError(f"{table.where}: row {row} is of no class (label {int(number[np.argmin(here)])}); name its "
                         "class in the mapping, or write `others: drop` below `label`.")  # fmt: skip
    extra = {"weight": plan.weight} if plan.weight else {}
    for name, take in {**extra, **plan.extra}.items():
        values = table.flat(part[take.column], name)[chosen]
        if name == "weight":
            values = table.finite(values.astype(np.float32), f"weight ({take.column})", chosen)
        out[name] = values
    if "label" in plan.about.columns:
        out["label"] = number.astype(np.int8)
    left = {**(dropped or {}), **({"records of no class": int((~here).sum())} if not here.all() else {})}
    records = ak.zip({name: values[here] for name, values in out.items()}, depth_limit=1)
    return Piece(records, table.row[chosen[here]], left)


def _whole(table: _Rows, values: np.ndarray) -> np.ndarray:
    values = table.finite(values.astype(np.float64), "label")
    if (values % 1 != 0).any():
        raise InputError(f"{table.where}: label is {values[np.argmax(values % 1 != 0)]}; expected whole numbers.")
    return values.astype(np.int64)
