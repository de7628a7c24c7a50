"""What a worker does with one chunk of events: read it through its schema, call the processor, tell what went wrong."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepml_nb.columnar.files import Reads, Seen, Source, check_schema, reason
from hepml_nb.columnar.merging import Pieces
from hepml_nb.columnar.opening import held
from hepml_nb.columnar.schemas import EVENT_IDS
from hepml_nb.core import InputError, suggest

__all__ = ["Chunk", "Work", "chunks"]

_GAVE_UP: set[str] = set()
"""Runs that this process has seen fail: it does nothing more for them."""


@dataclass(frozen=True)
class Chunk:
    """Entries `start` to `stop` of a source; `number` is the place among all chunks of the run."""

    number: int
    source: Source
    start: int
    stop: int
    uuid: str
    simulated: bool

    def metadata(self) -> dict[str, Any]:
        """Return what the processor finds in `events.metadata`."""
        given = {"dataset": self.source.dataset, "filename": self.source.path, "treename": self.source.tree,
                 "entrystart": self.start, "entrystop": self.stop, "fileuuid": self.uuid}  # fmt: skip
        return {**given, **self.source.metadata, "chunk": self.number, "simulated": self.simulated}


def chunks(seen: Mapping[Source, Seen], size: int) -> list[Chunk]:
    """Return all chunks, of about `size` events each, in the order of (dataset, file, entry)."""
    found: list[Chunk] = []
    for source, about in seen.items():
        step = -(-about.events // max(round(about.events / size), 1)) or 1
        for start in range(0, max(about.events, 1), step):
            stop = min(start + step, about.events)
            found.append(Chunk(len(found), source, start, stop, about.uuid.hex(), about.simulated))
    return found


class _Opened:
    """Says which branches to open: one that is not costs nothing, and CMS's NanoAOD has 1,600.

    Collections of Delphes are opened whole, since its schema wants their usual columns; unused ones are not read.
    """

    def __init__(self, reads: Reads, collections: bool) -> None:
        names = (*EVENT_IDS, *reads.needs, *reads.takes)
        self.names = {name.split("/")[0] for name in names} if collections else set(names)
        self.collections = collections

    def __call__(self, name: str) -> bool:
        if self.collections:
            name = name.split("/")[0].split(".")[0].removesuffix("_size")
        return name in self.names


@dataclass(frozen=True)
class Work:
    """A processor and how its chunks are read; calling it gives the output of one, or what is lost and why.

    Attributes:
        run: a name that no other run has.
        skip: whether to go on after a failure.
    """

    processor: Any
    schema: str
    reads: Reads | None
    run: str
    skip: bool
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, chunk: Chunk) -> dict[str, Any]:
        """Return {"pieces", "lost", "read"}, each of which coffea's executors can add."""
        nothing = {"pieces": Pieces(), "lost": set(), "read": {"events": 0, "bytes": 0, "columns": set()}}
        if self.run in _GAVE_UP:
            return nothing
        events: Any = None
        columns: list[Any] = []
        try:
            file = held(self.run, chunk.source.path)
            before = file.file.source.num_requested_bytes
            events = self._events(file, chunk, columns)
            output = _plain(getattr(self.processor, "process", self.processor)(events))
        except Exception as error:
            if not self.skip:
                _GAVE_UP.add(self.run)
            return {**nothing, "lost": {(chunk.source.path, chunk.start, chunk.stop, _explained(error, events))}}
        read = {"events": len(events), "bytes": file.file.source.num_requested_bytes - before,
                "columns": {one.branch for one in columns}}  # fmt: skip
        return {"pieces": Pieces.of(chunk.number, output), "lost": set(), "read": read}

    def _events(self, file: Any, chunk: Chunk, columns: list[Any]) -> Any:
        from coffea.nanoevents import NanoEventsFactory

        opened = {} if self.reads is None else {"filter_name": _Opened(self.reads, self.schema == "delphes")}
        return NanoEventsFactory.from_root(
            file, treepath=chunk.source.tree, schemaclass=check_schema(self.schema), metadata=chunk.metadata(),
            mode="virtual", entry_start=chunk.start, entry_stop=chunk.stop, access_log=columns,
            iteritems_options=opened,
        ).events()  # fmt: skip


def _plain(output: Any) -> Any:
    """Return an output without ties to the file that it came from: lazy columns are read, attributes dropped."""
    import awkward as ak

    if isinstance(output, ak.Array):
        return ak.Array(ak.to_packed(ak.materialize(output), highlevel=False))
    if isinstance(output, dict):
        return {key: _plain(value) for key, value in output.items()}
    if output is None:
        raise InputError("process() returned nothing; expected a mapping of histograms, numbers and arrays")
    return output


def _explained(error: Exception, events: Any) -> str:
    """Return what went wrong, with the nearest name for a column that is not there and the line of the processor."""
    missing = re.search(r"no field (?:named )?'([^']+)'", str(error))
    if missing and events is not None:
        names = {name for collection in events.fields for name in [collection, *events[collection].fields]}
        return f"no column {missing[1]!r}{suggest(missing[1], names, 5)}"
    frames = traceback.extract_tb(error.__traceback__)
    if events is None or _reading(error):
        return f"{reason(error)}; the file is damaged or cut off."
    mine = [frame for frame in frames if "site-packages" not in frame.filename and frame.filename != __file__]
    where = f" ({Path(mine[-1].filename).name}, line {mine[-1].lineno})" if mine else ""
    return f"{reason(error)}{where}."


def _reading(error: BaseException | None) -> bool:
    """Return whether an error comes from reading columns and not from what the processor does with them."""
    while error is not None:
        places = (Path(frame.filename).parts for frame in traceback.extract_tb(error.__traceback__))
        if any("uproot" in parts[-4:-1] for parts in places):
            return True
        error = error.__cause__ or error.__context__
    return False
