"""What is in a user's files: their layout, the columns with types and shapes, and the first rows to judge units by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.columnar.files import look, sources
from hepml_nb.columnar.tables import FORMATS, Field, Table, opened
from hepml_nb.core import InputError, NotFound, suggest

__all__ = ["Survey", "check_columns", "survey", "values"]

_HEAD = 2000
_SHOWN = ("FatJet", "Jet", "PFCands", "FatJetPFCands", "GenPart", "GenJetAK8", "Muon", "Electron", "EFlowTrack",
          "EFlowPhoton", "EFlowNeutralHadron", "Particle", "Event", "genWeight", "LHEScaleWeight")  # fmt: skip
"""Collections of NanoAOD and Delphes that are listed by name; of the others only their number is said."""


@dataclass(frozen=True)
class Survey:
    """Files of one layout: "flat", or "nanoaod", "pfnano" and "delphes" events; their rows, and columns of the first.

    `head` holds the first 2000 rows of every column of numbers; it is empty for events.
    """

    files: tuple[str, ...]
    layout: str
    format: str
    tree: str
    rows: Mapping[str, int]
    fields: Mapping[str, Field]
    head: Mapping[str, Any]

    def sample(self, name: str) -> Any:
        """Return the first rows of a column or of a place in it (`X[2]`), arrays as lists."""
        base = name.split("[")[0]
        column = self.head[base] if base == name else self.head[base][..., int(name[len(base) + 1 : -1])]
        return ak.from_regular(column, axis=None)

    def __str__(self) -> str:
        """Return what a person reads: a line per column with type, shape and range."""
        many = f"{len(self.files)} files" if len(self.files) > 1 else self.files[0]
        tree = f", tree {self.tree!r}" if self.tree else ""
        lines = [f"{many}: {self.format}, {self.layout}{tree}, {sum(self.rows.values()):,} rows"]
        width = max((len(name) for name in self.fields), default=0)
        lines += [f"  {name:<{width}}  {field!s:<16}{_range(self.head.get(name))}".rstrip()
                  for name, field in self.fields.items()]  # fmt: skip
        return "\n".join(lines)


def survey(files: Sequence[str | Path], tree: str | None = None) -> Survey:
    """Look at files (paths or globs) of one layout; `tree` is a ROOT tree (default: `Events` or `Delphes`, else
    the largest) or an HDF5 group.

    Raises NotFound for a file or tree that is not there, InputError for formats that are not read, mixed layouts,
    damaged and empty files.
    """
    paths = [source.path for source in sources([str(file) for file in files], tree or "")]
    kinds = {path: FORMATS.get(Path(path).suffix.lower(), "") for path in paths}
    if len(set(kinds.values())) > 1:
        one, other = paths[0], next(path for path in paths if kinds[path] != kinds[paths[0]])
        raise InputError(f"{one} and {other} are not of one format; add them as two datasets.")
    if kinds[paths[0]] == "ROOT":
        trees = look(paths[0]).trees if tree is None else {}  # by size alone, bookkeeping may come before a few events
        tree = tree or next((name for name in ("Events", "Delphes") if name in trees), None)
        seen = [look(path, tree) for path in paths]
        odd = next((one for one in seen if one.layout != seen[0].layout), None)
        if odd is not None:
            raise InputError(f"{seen[0].path} is {seen[0].layout} and {odd.path} is {odd.layout}; add them as two "
                             "datasets.")  # fmt: skip
        if empty := [one.path for one in seen if not one.events]:
            raise InputError(f"{empty[0]}: tree {seen[0].tree!r} has no events.")
        if seen[0].layout != "flat":
            rows = {one.path: one.events for one in seen}
            fields = _events(seen[0].path, seen[0].tree, seen[0].branches)
            return Survey(tuple(paths), seen[0].layout, "ROOT", seen[0].tree, rows, fields, {})
    rows = {}
    for path in paths:
        with opened(path, tree) as table:
            rows[path] = table.rows
            if path == paths[0]:
                first = (table.format, table.tree, table.fields, _head(table))
    return Survey(tuple(paths), "flat", first[0], first[1], rows, first[2], first[3])


def _head(table: Table) -> dict[str, Any]:
    names = [name for name, field in table.fields.items() if field.dtype not in ("object", "string")]
    if not names:
        held = f": {', '.join(table.fields)} hold Python objects or text" if table.fields else ""
        raise InputError(f"{table.path} has no column of numbers{held}. Objects, which only unpickling could read, are "
                         "not read; write lists of numbers in Parquet or ROOT, or padded arrays.")  # fmt: skip
    rows = table.budget(names, _HEAD)
    return next(table.chunks(names, rows, rows))


def _events(path: str, tree: str, branches: Sequence[str]) -> dict[str, Field]:
    import uproot

    fields = {}
    with uproot.open({path: tree}) as source:
        for name in branches:
            if name.split("_")[0] in _SHOWN:
                fields[name] = Field(str(source[name].typename))
    others = len(branches) - len(fields)
    return {**fields, **({f"({others} more)": Field("")} if others else {})}


def values(seen: Survey, column: str, most: int = 40) -> list[float]:
    """Return the different values of a column in all files, sorted; raise InputError for more than `most` or NaN."""
    found = np.zeros(0)
    for path in seen.files:
        with opened(path, seen.tree or None) as table:
            for part in table.chunks([column], 200_000):
                found = np.union1d(found, ak.to_numpy(ak.flatten(part[column], axis=None)))
                if len(found) > most or not np.isfinite(found).all():
                    raise InputError(f"{path}: column {column!r} has more than {most} values, or NaN: it is no label.")
    return [float(value) for value in found]


def check_columns(seen: Survey, names: Sequence[str]) -> None:
    """Raise NotFound where one of the files lacks one of the columns."""
    for path in seen.files:
        with opened(path, seen.tree or None) as table:
            for name in names:
                base = name.split("[")[0]
                if name not in table.fields and base not in table.fields:
                    raise NotFound(f"{path} has no column {name!r}{suggest(name, table.fields)}")


def _range(column: Any) -> str:
    if column is None or not ak.count(column):
        return ""
    flat = ak.to_numpy(ak.flatten(column, axis=None))
    if flat.dtype == bool:
        return f"  {flat.mean():.0%} true"
    good = flat[np.isfinite(flat)]
    bad = f"{len(flat) - len(good)} NaN or inf" if len(good) < len(flat) else ""
    span = f"{good.min():.5g} to {good.max():.5g}" if len(good) else ""
    return "  " + ", ".join(filter(None, (span, bad)))
