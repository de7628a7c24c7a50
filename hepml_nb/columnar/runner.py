"""One way to run a processor over files: in this process, on the cores of this machine or on a Dask cluster."""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from hepml_nb.columnar.files import Files, Reads, Seen, Source, check_schema, inspect, reason, sources
from hepml_nb.columnar.merging import Pieces, ordered
from hepml_nb.columnar.schemas import EVENT_IDS, SchemaName, default_tree
from hepml_nb.core import InputError, RunError, client, cores, quiet, suggest

__all__ = ["Executor", "Output", "run"]

Executor = Literal["iterative", "futures", "dask"]
_EXECUTORS = ("iterative", "futures", "dask")
_NO_CACHE = {"array_cache": None}
"""A file of uproot holds itself in a ring, so what it caches, up to 100 MB, outlives the chunk; we read each once."""
_GAVE_UP: set[str] = set()
"""Runs that this process has seen fail: it does nothing more for them."""


@dataclass(frozen=True)
class Output:
    """What a processor made of all files, merged in the order of (dataset, file, entry).

    `values` is what `process` returned, merged; `out["mass"]` is short for `out.values["mass"]`. `metrics` has `files`,
    `events`, `chunks`, `bytes` (read), `columns` (branches read) and `seconds`. `bad` says of each file that could not
    be processed, wholly or in part, why.
    """

    values: Any
    metrics: Mapping[str, Any]
    bad: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def run(
    files: Files,
    processor: Any,
    *,
    executor: Executor = "iterative",
    client: Any = None,
    workers: int | None = None,
    chunksize: int = 100_000,
    skip_bad: bool = False,
    tree: str | None = None,
    schema: SchemaName = "nanoaod",
) -> Output:
    """Process every event of the files with a coffea processor and return the merged output.

    `files` is a path, a glob, a list of them, {dataset: the same} or coffea's fileset (then with metadata per dataset,
    which the processor finds in `events.metadata`). `processor` is a coffea ProcessorABC or a function of events; where
    it has `reads(schema)`, branches are checked before and only those are opened. Content does not depend on the
    executor: "iterative" (this process), "futures" (`workers` processes, as many as cores if None) or "dask" (`client`,
    or a LocalCluster of `workers`; workers elsewhere must have the same hepml-nb installed).

    A chunk has about `chunksize` events of one file; memory hangs on that and on the output, not on the size of files.
    `tree` is "Events" ("Delphes" for that schema) if None. With `skip_bad`, files that cannot be processed are listed
    in `bad` and the others count; a file damaged in the middle counts with its good chunks, and `bad` says which are
    lost. Else raises RunError for the first bad file. Raises NotFound and InputError as `files.sources` does, and
    InputError for an unknown executor or schema and for a client without executor="dask".
    """
    if executor not in _EXECUTORS:
        raise InputError(f"executor={executor!r} is unknown{suggest(executor, _EXECUTORS)}")
    if client is not None and executor != "dask":
        raise InputError(f"client= is for executor='dask', and executor={executor!r} was asked for.")
    if chunksize < 1:
        raise InputError(f"chunksize={chunksize} events; expected at least 1.")
    check_schema(schema)
    began = time.perf_counter()
    found = sources(files, tree or default_tree(schema))
    reads: Reads | None = processor.reads(schema) if hasattr(processor, "reads") else None
    with _engine(executor, client, workers) as engine, _by_value(processor):
        seen, bad = _inspected(engine, found, schema, reads)
        if bad and (not skip_bad or not seen):
            raise RunError(_told(bad))
        _one_kind(seen)
        values, metrics, lost = _processed(engine, seen, processor, schema, chunksize, reads, skip_bad)
    bad |= lost
    if lost and (not skip_bad or values is None):
        raise RunError(_told(lost))
    metrics |= {"files": len(found), "seconds": time.perf_counter() - began}
    if hasattr(processor, "postprocess"):
        changed = processor.postprocess(values)
        values = values if changed is None else changed
    return Output(ordered(values), metrics, bad)


def _processed(
    engine: Any, seen: dict[Source, Seen], processor: Any, schema: str, chunksize: int, reads: Reads | None, skip: bool
) -> tuple[Any, dict[str, Any], dict[str, str]]:
    """Return the merged output, metrics and the files of which something was lost."""
    from coffea.processor import Runner

    runner = Runner(executor=engine, schema=check_schema(schema), savemetrics=True)
    options = {"filter_name": _Opened(reads, schema == "delphes")} if reads is not None else {}
    items = _chunks(seen, chunksize)
    wrapped = _Chunk(processor, f"{time.time_ns()}", skip)
    try:
        result, read = runner(items, wrapped, iteritems_options=options, uproot_options=_NO_CACHE)
    except Exception as error:  # a worker that dies again and again, a file that vanished: coffea names the chunk
        raise RunError(f"the run ended in the middle: {reason(error)}.") from error
    metrics = {
        "events": read["entries"],
        "chunks": len(items),
        "bytes": read["bytesread"],
        "columns": sorted({name.rsplit("-", 1)[0] for name in read["columns"]}),
    }
    return result["pieces"].total(), metrics, _lost(result["lost"])


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


def _chunks(seen: Mapping[Source, Seen], chunksize: int) -> list[Any]:
    """Return coffea's work items in the order of (dataset, file, entry), numbered in their metadata."""
    from coffea.processor.executor import FileMeta

    items: list[Any] = []
    for source, about in seen.items():
        metadata = {**source.metadata, "numentries": about.events, "uuid": about.uuid}
        for item in FileMeta(source.dataset, source.path, source.tree, metadata).chunks(chunksize, False):
            given = {**source.metadata, "chunk": len(items), "simulated": about.simulated}
            items.append(replace(item, usermeta=given))
    return items


@dataclass(frozen=True)
class _Chunk:
    """The processor of one chunk, in a shape that tells failures and keeps the order."""

    processor: Any
    run: str
    skip: bool

    def __call__(self, events: Any) -> dict[str, Any]:
        about = events.metadata
        if self.run in _GAVE_UP:
            return {"pieces": Pieces(), "lost": set()}
        try:
            output = _plain(getattr(self.processor, "process", self.processor)(events))
        except Exception as error:
            if not self.skip:
                _GAVE_UP.add(self.run)
            what = _explained(error, events)
            return {"pieces": Pieces(), "lost": {(about["filename"], about["entrystart"], about["entrystop"], what)}}
        return {"pieces": Pieces.of(about["chunk"], output), "lost": set()}


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
    if missing:
        names = {name for collection in events.fields for name in [collection, *events[collection].fields]}
        return f"no column {missing[1]!r}{suggest(missing[1], names, 5)}"
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if "site-packages" not in frame.filename and frame.filename != __file__]
    where = f" ({Path(mine[-1].filename).name}, line {mine[-1].lineno})" if mine else ""
    return f"{reason(error)}{where}."


def _lost(lost: set[tuple[str, int, int, str]]) -> dict[str, str]:
    """Return {file: what is lost of it and why}."""
    found: dict[str, str] = {}
    for path in sorted({entry[0] for entry in lost}):
        parts = sorted(entry[1:] for entry in lost if entry[0] == path)
        spans = ", ".join(f"{start}-{stop}" for start, stop, _ in parts)
        found[path] = f"{path}: entries {spans} are lost: {parts[0][2]}"
    return found


def _inspected(
    engine: Any, found: list[Source], schema: str, reads: Reads | None
) -> tuple[dict[Source, Seen], dict[str, str]]:
    """Look at every file through the executor: what the good ones hold, and what is wrong with the others."""
    answers, _ = engine.copy(desc="Looking at files", unit="file", compression=None)(
        found, partial(_looked, schema=schema, reads=reads), None
    )
    seen = {source: answers[source][0] for source in found if answers[source][0] is not None}
    return seen, {source.path: answers[source][1] for source in found if answers[source][1]}


def _looked(source: Source, schema: str, reads: Reads | None) -> dict[Source, tuple[Seen | None, str]]:
    return {source: inspect(source, schema, reads)}


def _one_kind(seen: Mapping[Source, Seen]) -> None:
    """Raise InputError for a dataset of simulation and collisions together: their weights mean different things."""
    first: dict[str, tuple[Source, bool]] = {}
    for source, about in seen.items():
        other, simulated = first.setdefault(source.dataset, (source, about.simulated))
        if simulated != about.simulated:
            made, taken = (other, source) if simulated else (source, other)
            raise InputError(
                f"dataset {source.dataset!r} mixes simulation ({made.path} has generator weights) and collisions "
                f"({taken.path} has none); give each its own dataset, {{'simulation': [...], 'data': [...]}}."
            )


def _told(bad: Mapping[str, str]) -> str:
    first = next(iter(bad.values()))
    more = f" {len(bad) - 1} more files are bad too." if len(bad) > 1 else ""
    return f"{first}{more} skip_bad=True processes the good files and lists the others."


@contextmanager
def _engine(executor: Executor, given: Any, workers: int | None) -> Iterator[Any]:
    """Yield coffea's executor; its bars are shown to a person only."""
    from coffea import processor, util

    silent, status = util.coffea_console.quiet, not quiet()
    with ExitStack() as stack:
        util.coffea_console.quiet = silent or not status  # status=False alone still prints an empty bar
        stack.callback(setattr, util.coffea_console, "quiet", silent)
        if executor == "iterative":
            yield processor.IterativeExecutor(status=status, retries=0)
        elif executor == "futures":
            import loky

            pool = stack.enter_context(loky.ProcessPoolExecutor(max_workers=workers or cores()))
            yield processor.FuturesExecutor(pool=pool, status=status, retries=0)
        else:
            connected = given if given is not None else stack.enter_context(client(workers=workers))
            if given is not None:
                _same_package(given)
            yield processor.DaskExecutor(client=connected, status=status)


def _same_package(connected: Any) -> None:
    """Raise RunError where a Dask worker has not the hepml-nb that is here: its functions are sent by name."""

    def found() -> str:  # sent by value, for it is local
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("hepml-nb")
        except PackageNotFoundError:
            return ""

    here = found()
    for worker, there in connected.run(found).items():
        if there != here:
            have = f"has hepml-nb {there}" if there else "has no hepml-nb"
            raise RunError(f"Dask worker {worker} {have}; install the one that is here: pip install hepml-nb=={here}.")


@contextmanager
def _by_value(processor: Any) -> Iterator[None]:
    """Send the module of a user's processor along, where workers could not import it."""
    import cloudpickle

    processor = getattr(processor, "processor", processor)  # what a skim wraps
    name = processor.__module__ if hasattr(processor, "__qualname__") else type(processor).__module__
    module = sys.modules.get(name)
    place = getattr(module, "__file__", None) or ""
    known = name.split(".")[0] in ("__main__", "hepml_nb") or "site-packages" in place
    if module is None or not place or known or name in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)
