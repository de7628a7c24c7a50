"""Records in a schema out of a user's files, chunk by chunk: rows of tables, or jets of experiments' events."""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from hepml_nb.columnar.conversion import convert
from hepml_nb.columnar.files import Reads
from hepml_nb.columnar.inspection import Survey
from hepml_nb.columnar.jets import JetSkim
from hepml_nb.columnar.mapping import Plan
from hepml_nb.columnar.schemas import EVENT_IDS
from hepml_nb.columnar.tables import opened
from hepml_nb.core import HepmlError, InputError, cache_dir

__all__ = ["Batch", "batches", "class_of"]

_ROWS = 5000
"""Rows or events held at a time: the substructure of 12,000 jets at once took 0.9 GB of memory."""


@dataclass(frozen=True)
class Batch:
    """Records of one file, and `ids` that lead back to its rows; `dropped` counts what was left out and why."""

    path: str
    records: Any
    ids: Mapping[str, np.ndarray]
    dropped: Mapping[str, int] = field(default_factory=dict)


def batches(seen: Survey, plan: Plan, rows: int = _ROWS, bad: dict[str, str] | None = None) -> Iterator[Batch]:
    """Yield the records of all files as a mapping says, in the order of files and rows, of some `rows` at a time.

    Raises InputError and NotFound for what does not fit the mapping, RunError for a damaged file of events. Where `bad`
    is given, such files, or what is lost of them, are put there with the reason, and the others go on.
    """
    if plan.layout != seen.layout:
        raise InputError(f"the mapping is for layout {plan.layout!r} and {seen.files[0]} is {seen.layout!r}.")
    if seen.layout == "flat" and not plan.needed():
        raise InputError("the mapping names no column of the files.")
    make = _table if seen.layout == "flat" else _jets if plan.schema == "jets" else _events
    for path in seen.files:
        try:
            yield from make(path, seen, plan, rows, bad)
        except HepmlError as error:
            if bad is None:
                raise
            bad[path] = str(error)


def class_of(path: str, plan: Plan) -> str:
    """Return the class of all records of a file where the mapping tells it by file name, else "".

    Raises InputError for a file that none of the patterns fits.
    """
    if not plan.label.files:
        return ""
    name = Path(path).name
    for stream, pattern in plan.label.files.items():
        if fnmatch.fnmatch(name.lower(), pattern.lower()):
            return stream
    raise InputError(f"{path}: the mapping gives it no class; its name fits none of "
                     f"{', '.join(plan.label.files.values())}.")  # fmt: skip


def _table(path: str, seen: Survey, plan: Plan, rows: int, bad: dict[str, str] | None) -> Iterator[Batch]:
    start, stream, names = 0, class_of(path, plan), plan.needed()
    with opened(path, seen.tree or None) as table:
        for part in table.chunks(names, table.budget(names, rows)):
            piece = convert(part, plan, path, start, stream)
            ids = {"row": piece.rows + start}
            start += len(next(iter(part.values())))
            yield Batch(path, piece.records, ids, piece.dropped)


def _jets(path: str, seen: Survey, plan: Plan, rows: int, bad: dict[str, str] | None) -> Iterator[Batch]:
    """Jets through the processor, each file a dataset of its own so that pieces come back by file."""
    from hepml_nb.columnar.skims import load, skim

    window = {**plan.jets, "pt": tuple(float(edge) for edge in plan.jets.get("pt", (200.0, np.inf)))}
    processor = _Numbered(JetSkim(radius=plan.radius, classes=plan.label.truth or ("qcd", "top"), **window))
    place = cache_dir()  # not /tmp, which may be memory
    place.mkdir(parents=True, exist_ok=True)
    label = {} if plan.label.truth else {"label": plan.label.numbers().get(class_of(path, plan), -1)}
    with tempfile.TemporaryDirectory(dir=place, prefix=".jets.", suffix=".part") as folder:
        done = skim({"events": {"files": [path], "metadata": label}}, processor, folder, chunksize=rows,
                    skip_bad=bad is not None, tree=seen.tree, schema=seen.layout)  # type: ignore[arg-type]  # fmt: skip
        if bad is not None:
            bad.update(done.output.bad)
        steps = next(iter(done.output["cutflow"].values()))
        dropped = {"events without a jet in the window": steps["all"]["events"] - steps["jet in window"]["events"]}
        dropped["events without a jet of a known origin"] = (
            steps["jet in window"]["events"] - steps["known origin"]["events"]
        )
        for piece in done.pieces:
            found = load([piece])
            ids = {name: ak.to_numpy(found[name]) for name in ("row", *EVENT_IDS[:2]) if name in found.fields}
            records = found[[name for name in found.fields if name not in ids]]
            yield Batch(path, _whole(records, path), ids, {name: n for name, n in dropped.items() if n})
            dropped = {}


def _whole(records: Any, path: str) -> Any:
    weight = ak.to_numpy(records.weight)
    if not np.isfinite(weight).all():
        raise InputError(f"{path}: weight of event {int(records.event[int(np.argmin(np.isfinite(weight)))])} is NaN or "
                         "infinite; drop that event.")  # fmt: skip
    return records


@dataclass(frozen=True)
class _Numbered(ProcessorABC):  # type: ignore[misc]
    """A jet skim that also says which entry of the file a jet is from, in `row`, and its run where there are any."""

    inner: JetSkim

    def reads(self, schema: str) -> Reads:
        """Return what the skim reads."""
        return self.inner.reads(schema)

    def process(self, events: Any) -> dict[str, Any]:
        """Return what the skim does, its jets with `row`, `run` and `luminosityBlock`."""
        first = int(events.metadata["entrystart"])
        if "Event" in events.fields:
            out = self.inner.process(events)
            numbers = ak.to_numpy(ak.flatten(events.Event.Number, axis=None))
            order = np.argsort(numbers, kind="stable")
            place = np.searchsorted(numbers[order], ak.to_numpy(out["jets"].event))
            jets = ak.with_field(out["jets"], order[place] + first, "row")
            return {**out, "jets": jets}
        ids = {name: ak.to_numpy(events[name]) for name in EVENT_IDS}
        out = self.inner.process(ak.with_field(events, np.arange(len(events)), "event"))
        place = ak.to_numpy(out["jets"].event)
        jets = ak.with_field(out["jets"], place + first, "row")
        for name, values in ids.items():
            jets = ak.with_field(jets, values[place].astype(np.int64), name)
        return {**out, "jets": jets}

    def postprocess(self, accumulator: Any) -> Any:
        """Leave the output as it is."""
        return accumulator


def _events(path: str, seen: Survey, plan: Plan, rows: int, bad: dict[str, str] | None) -> Iterator[Batch]:
    from hepml_nb.data.readers import reader

    label = plan.label.numbers().get(class_of(path, plan), -1)
    for start in range(0, seen.rows[path], rows):
        found = reader("nanoaod").read(Path(path), start, start + rows, label=label, tree=seen.tree)
        ids = {"row": np.arange(start, start + len(found))}
        ids |= {name: ak.to_numpy(found[name]) for name in EVENT_IDS[:2]}
        yield Batch(path, found, ids)
