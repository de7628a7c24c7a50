"""What is in a user's files: their layout, the columns with types and shapes, and the first rows to judge units by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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

    `head` holds the first 2000 rows of every column of numbers; it is empty for events. `bad` are files that were
    skipped, and why.
    """

    files: tuple[str, ...]
    layout: str
    format: str
    tree: str
    rows: Mapping[str, int]
    fields: Mapping[str, Field]
    head: Mapping[str, Any]
    bad: Mapping[str, str] = field(default_factory=dict)

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


def survey(files: Sequence[str | Path], tree: str | None = None, *, skip_bad: bool = False) -> Survey:
    """Look at files (paths or globs) of one layout; `tree` is a ROOT tree (default: `Events` or `Delphes`, else
    the largest) or an HDF5 group.

    Raises NotFound for a file or tree that is not there, InputError for formats that are not read, mixed layouts,
    damaged and empty files. With `skip_bad` files without such a tree, damaged and empty ones are left out, and
    listed in `bad`, as long as one is good.
    """
    paths = [source.path for source in sources([str(file) for file in files], tree or "")]
    kinds = {path: FORMATS.get(Path(path).suffix.lower(), "") for path in paths}
    if len(set(kinds.values())) > 1:
        one, other = paths[0], next(path for path in paths if kinds[path] != kinds[paths[0]])
        raise InputError(f"{one} and {other} are not of one format; add them as two datasets.")
    found: dict[str, Survey] = {}
    bad: dict[str, str] = {}
    for path in paths:
        try:
            found[path] = _one(path, tree, kinds[path] == "ROOT", first=not found)
        except (InputError, NotFound) as error:
            if not skip_bad:
                hint = " skip_bad=True (--skip-bad) goes on with the other files." if len(paths) > 1 else ""
                raise type(error)(f"{error}{hint}") from error
            bad[path] = str(error)
    if not found:
        raise InputError(f"none of the {len(paths)} files can be read: {next(iter(bad.values()))}")
    first = next(iter(found.values()))
    for seen in found.values():
        if (seen.layout, seen.tree) != (first.layout, first.tree):
            told = [f"{each.files[0]} is {each.layout} (tree {each.tree!r})" for each in (first, seen)]
            raise InputError(f"{told[0]} and {told[1]}; add them as two datasets, or choose one --tree (tree=).")
    rows = {path: each.rows[path] for path, each in found.items()}
    return replace(first, files=tuple(found), rows=rows, bad=bad)


def _one(path: str, tree: str | None, root: bool, first: bool) -> Survey:
    """Look at one file; columns and first rows are those of the first file alone."""
    if root:
        trees = look(path).trees if tree is None else {}  # by size alone, bookkeeping may come before a few events
        seen = look(path, tree or next((name for name in ("Events", "Delphes") if name in trees), None))
        if not seen.events:
            raise InputError(f"{path}: tree {seen.tree!r} has no events.")
        if seen.layout != "flat":
            fields = _events(path, seen.tree, seen.branches) if first else {}
            return Survey((path,), seen.layout, "ROOT", seen.tree, {path: seen.events}, fields, {})
        tree = seen.tree
    with opened(path, tree) as table:
        fields, head = (dict(table.fields), _head(table)) if first else ({}, {})
        return Survey((path,), "flat", table.format, table.tree, {path: table.rows}, fields, head)


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
