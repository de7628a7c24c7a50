"""Mappings: which columns of a user's files become which of a schema, in what unit; a text that can be edited."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from hepml_nb.columnar.matching import ORIGINS
from hepml_nb.core import InputError, suggest
from hepml_nb.data import schema as named_schema
from hepml_nb.data.manifest import SPLITS, Schema

__all__ = ["FLAGS", "Label", "Plan", "Take", "parse"]

_UNITS = {"eV": 1e-9, "keV": 1e-6, "MeV": 1e-3, "GeV": 1.0, "TeV": 1e3, "um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0,
          "rad": 1.0, "deg": 0.017453292519943295}  # fmt: skip
_ENERGIES, _LENGTHS, _ANGLES = {"eV", "keV", "MeV", "GeV", "TeV"}, {"um", "mm", "cm", "m"}, {"rad", "deg"}
_MOMENTA = ("pt", "eta", "phi", "deta", "dphi", "px", "py", "pz", "energy", "valid", "pdg")
FLAGS = {"charged": 211, "photon": 22, "neutral": 130, "electron": 11, "muon": 13}
"""Yes-or-no columns that say what a constituent is, and the number that we give it (times its charge)."""


@dataclass(frozen=True)
class Take:
    """A column of the files, and the unit that it is in ("" for that of the schema)."""

    column: str
    unit: str = ""

    def factor(self, unit: str) -> float:
        """Return what numbers have to be multiplied with to be in `unit`; raise InputError for different kinds."""
        if not self.unit or self.unit == unit:
            return 1.0
        for kind in (_ENERGIES, _LENGTHS, _ANGLES):
            if self.unit in kind and unit in kind:
                return _UNITS[self.unit] / _UNITS[unit]
        raise InputError(f"column {self.column!r}: unit {self.unit!r} cannot become {unit or 'a number'!r}"
                         f"{suggest(self.unit, _UNITS)}")  # fmt: skip


@dataclass(frozen=True)
class Label:
    """Where classes come from, one of: values of a column, one column per class, file names, generator particles.

    `classes` is {class: value in `column`}; `columns` {class: column of 0 and 1}; `files` {class: pattern of file
    names}; `truth` the origins of jets that PFNano and Delphes events are matched to. `others` says what happens to
    records of no class: "refuse" or "drop".
    """

    column: str = ""
    classes: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    truth: tuple[str, ...] = ()
    others: str = "refuse"

    def __post_init__(self) -> None:
        if sum(map(bool, (self.column, self.columns, self.files, self.truth))) > 1:
            raise InputError("label: give one of column, columns, files and truth.")
        if bool(self.column) != bool(self.classes):
            raise InputError("label: column and classes ({class: value in it}) belong together.")
        if self.others not in ("refuse", "drop"):
            raise InputError(f"label: others={self.others!r}; expected refuse or drop.")
        for name in self.truth:
            if name not in ORIGINS:
                raise InputError(f"label: truth: {name!r} is no origin of jets{suggest(name, ORIGINS)}")
        if any(not -128 <= value < 128 for value in self.classes.values()):
            raise InputError("label: classes beyond -128 to 127; labels are stored as int8.")

    def numbers(self) -> dict[str, int]:
        """Return {class: its number in the dataset}: that of the file where a column has it."""
        names = list(self.columns or self.files or self.truth)
        return dict(self.classes) or {name: number for number, name in enumerate(names)}


@dataclass(frozen=True)
class Plan:
    """How records of a schema are made of the rows of files, or of the events of PFNano, NanoAOD and Delphes.

    `collections` may name constituents by pt, eta, phi (absolute), pt, deta, dphi (relative) or px, py, pz; `valid`
    tells padding from particles, `pdg` or yes-or-no columns (`charged`, `photon` ... with `charge`) what they are.
    `extra` columns come on top of the schema, `weight` is one of them. `radius` is R of the jets. `splits` are
    fractions, drawn by event, or patterns of file names. `jets` narrows jets of events: `pt` [low, high] (GeV), `eta`,
    `hardest`, `matched_only`.
    """

    schema: str
    layout: str = "flat"
    columns: Mapping[str, Take] = field(default_factory=dict)
    collections: Mapping[str, Mapping[str, Take]] = field(default_factory=dict)
    label: Label = field(default_factory=Label)
    weight: Take | None = None
    extra: Mapping[str, Take] = field(default_factory=dict)
    radius: float = 0.8
    jets: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, Any] = field(default_factory=lambda: {"train": 0.6, "val": 0.1, "test": 0.3})

    def __post_init__(self) -> None:
        about = self.about
        for name, take in self.columns.items():
            if name not in about.columns or name in ("label", "weight"):
                raise InputError(f"columns: {name!r} is not in the schema {self.schema!r}{suggest(name, about.columns)}"
                                 " Other columns go below `extra`.")  # fmt: skip
            take.factor(about.columns[name].unit)
        for name, things in self.collections.items():
            if name not in about.collections:
                raise InputError(f"collections: {name!r} is not in the schema {self.schema!r}"
                                 f"{suggest(name, about.collections)}")  # fmt: skip
            known = {*about.collections[name], *_MOMENTA, *FLAGS, "charge"}
            for inner in things:
                if inner not in known:
                    raise InputError(f"collections.{name}: {inner!r} is unknown{suggest(inner, known)}")
        if taken := sorted({*about.columns, *about.collections} & set(self.extra)):
            raise InputError(f"extra: {taken[0]!r} is a column of the schema; give it below `columns` or rename it.")
        if not 0 < self.radius <= 5:
            raise InputError(f"radius={self.radius}; expected the R of the jets, such as 0.8.")
        if unknown := sorted(set(self.jets) - {"pt", "eta", "hardest", "matched_only"}):
            raise InputError(f"jets: {unknown[0]!r} is unknown{suggest(unknown[0], ('pt', 'eta', 'hardest'))}")
        self._check_splits()

    def _check_splits(self) -> None:
        kinds = {isinstance(value, str) for value in self.splits.values()}
        if unknown := sorted(set(self.splits) - set(SPLITS)):
            raise InputError(f"splits: {unknown[0]!r} is unknown{suggest(unknown[0], SPLITS)}")
        if len(kinds) != 1:
            raise InputError("splits: give fractions {train: 0.6, ...} or patterns of file names, not both or neither.")
        if not kinds.pop():
            fractions = [value if isinstance(value, int | float) else -1.0 for value in self.splits.values()]
            if min(fractions) <= 0 or sum(fractions) > 1 + 1e-9:
                raise InputError(f"splits: {dict(self.splits)}; expected fractions above 0 with a sum of at most 1.")

    @cached_property
    def about(self) -> Schema:
        """Return the schema."""
        return named_schema(self.schema)

    def needed(self) -> list[str]:
        """Return the columns of the files that this mapping reads, each once."""
        takes = [*self.columns.values(), *self.extra.values(), *((self.weight,) if self.weight else ())]
        takes += [take for things in self.collections.values() for take in things.values()]
        names = [take.column for take in takes] + [self.label.column, *self.label.columns.values()]
        return list(dict.fromkeys(filter(None, names)))

    def text(self) -> str:
        """Return the mapping as YAML, which `parse` reads back."""
        label = {key: list(value) if isinstance(value, tuple) else value
                 for key, value in dataclasses.asdict(self.label).items() if value and value != "refuse"}  # fmt: skip
        given = {
            "schema": self.schema,
            "layout": self.layout,
            "columns": {name: _plain(take) for name, take in self.columns.items()},
            "collections": {name: {k: _plain(take) for k, take in things.items()}
                            for name, things in self.collections.items()},
            "label": label,
            "weight": _plain(self.weight) if self.weight else None,
            "extra": {name: _plain(take) for name, take in self.extra.items()},
            "radius": self.radius if self.schema == "jets" else None,
            "jets": dict(self.jets),
            "splits": dict(self.splits),
        }  # fmt: skip
        return yaml.safe_dump({k: v for k, v in given.items() if v not in (None, {})}, sort_keys=False, width=120)


def _plain(take: Take) -> Any:
    return {"from": take.column, "unit": take.unit} if take.unit else take.column


def parse(text: str, where: str = "mapping") -> Plan:
    """Return the mapping that `text` (YAML) describes; raise InputError for unknown keys and values of a wrong kind."""
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where} is no YAML: {error}") from error
    given = _dict(given, where)
    keys = {item.name for item in dataclasses.fields(Plan)}
    for name in given:
        if name not in keys:
            raise InputError(f"{where}: {name!r} is unknown{suggest(str(name), keys)}")
    if "schema" not in given:
        raise InputError(f"{where}: missing schema, such as jets.")
    out: dict[str, Any] = dict(given)
    for name in ("columns", "extra"):
        out[name] = dict(_takes(given.get(name) or {}, f"{where}: {name}"))
    collections = _dict(given.get("collections") or {}, f"{where}: collections")
    out["collections"] = {name: dict(_takes(things, f"{where}: {name}")) for name, things in collections.items()}
    out["weight"] = _take(given["weight"], f"{where}: weight") if given.get("weight") else None
    label = _dict(given.get("label") or {}, f"{where}: label")
    if unknown := sorted(set(label) - {item.name for item in dataclasses.fields(Label)}):
        raise InputError(f"{where}: label: {unknown[0]!r} is unknown{suggest(unknown[0], Label.__dataclass_fields__)}")
    for name in ("classes", "columns", "files"):
        label[name] = _dict(label.get(name) or {}, f"{where}: label: {name}")
    if any(not isinstance(value, int) or isinstance(value, bool) for value in label["classes"].values()):
        raise InputError(f"{where}: label: classes are whole numbers, {{class: value in the column}}.")
    out["label"] = Label(**{**label, "truth": tuple(label.get("truth") or ())})
    out["jets"] = _dict(given.get("jets") or {}, f"{where}: jets")
    if "splits" in given:
        out["splits"] = _dict(given["splits"], f"{where}: splits")
    try:
        out["radius"] = float(given.get("radius", 0.8))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: radius={given['radius']!r} is no number.") from error
    return Plan(**out)


def _takes(given: Any, where: str) -> Iterator[tuple[str, Take]]:
    for name, value in _dict(given, where).items():
        yield str(name), _take(value, f"{where}: {name}")


def _take(value: Any, where: str) -> Take:
    if isinstance(value, str):
        return Take(value)
    if isinstance(value, dict) and isinstance(value.get("from"), str) and set(value) <= {"from", "unit"}:
        return Take(value["from"], str(value.get("unit") or ""))
    raise InputError(f"{where} is {value!r}; expected the name of a column, or {{from: column, unit: MeV}}.")


def _dict(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where} is {value!r}; expected a mapping.")
    return dict(value)
