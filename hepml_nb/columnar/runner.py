"""One way to run a processor over files: in this process, on the cores of this machine or on a Dask cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from hepml_nb.columnar.chunks import Work, chunks
from hepml_nb.columnar.files import Files, Reads, Seen, Source, check_schema, inspect, reason, sources
from hepml_nb.columnar.merging import ordered
from hepml_nb.columnar.opening import release
from hepml_nb.columnar.schemas import SchemaName, default_tree
from hepml_nb.core import InputError, RunError, client, cores, quiet, suggest

__all__ = ["Executor", "Output", "run"]

Executor = Literal["iterative", "futures", "dask"]
_EXECUTORS = ("iterative", "futures", "dask")


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
    work = Work(processor, schema, reads, f"{time.time_ns()}", skip_bad)
    with _engine(executor, client, workers) as engine, _by_value(processor), _released(engine, work.run):
        seen, bad = _inspected(engine, found, work)
        if bad and (not skip_bad or not seen):
            raise RunError(_told(bad, skip_bad))
        _one_kind(seen)
        values, metrics, lost = _processed(engine, seen, work, chunksize)
    bad |= lost
    if lost and (not skip_bad or values is None):
        raise RunError(_told(lost, skip_bad))
    metrics |= {"files": len(found), "seconds": time.perf_counter() - began}
    if hasattr(processor, "postprocess"):
        changed = processor.postprocess(values)
        values = values if changed is None else changed
    return Output(ordered(values), metrics, bad)


def _processed(
    engine: Any, seen: dict[Source, Seen], work: Work, chunksize: int
) -> tuple[Any, dict[str, Any], dict[str, str]]:
    """Return the merged output, metrics and the files of which something was lost."""
    items = chunks(seen, chunksize)
    try:
        result, _ = engine.copy(unit="chunk", function_name=type(work.processor).__name__)(items, work, None)
    except Exception as error:  # a worker that dies again and again
        raise RunError(f"the run ended in the middle: {reason(error)}.") from error
    metrics = {**result["read"], "chunks": len(items), "columns": sorted(result["read"]["columns"])}
    return result["pieces"].total(), metrics, _lost(result["lost"])


@contextmanager
def _released(engine: Any, run: str) -> Iterator[None]:
    """Close the files that a run held open, here and in Dask's workers; others end with it."""
    try:
        yield
    finally:
        release(run)
        if connected := getattr(engine, "client", None):
            connected.run(release, run, on_error="ignore")


def _lost(lost: set[tuple[str, int, int, str]]) -> dict[str, str]:
    """Return {file: what is lost of it and why}."""
    found: dict[str, str] = {}
    for path in sorted({entry[0] for entry in lost}):
        parts = sorted(entry[1:] for entry in lost if entry[0] == path)
        spans = ", ".join(f"{start}-{stop}" for start, stop, _ in parts)
        found[path] = f"{path}: entries {spans} are lost: {parts[0][2]}"
    return found


def _inspected(engine: Any, found: list[Source], work: Work) -> tuple[dict[Source, Seen], dict[str, str]]:
    """Look at every file through the executor: what the good ones hold, and what is wrong with the others."""
    answers, _ = engine.copy(desc="Looking at files", unit="file", compression=None)(
        found, partial(_looked, schema=work.schema, reads=work.reads, run=work.run), None
    )
    seen = {source: answers[source][0] for source in found if answers[source][0] is not None}
    return seen, {source.path: answers[source][1] for source in found if answers[source][1]}


def _looked(source: Source, schema: str, reads: Reads | None, run: str) -> dict[Source, tuple[Seen | None, str]]:
    return {source: inspect(source, schema, reads, run)}


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


def _told(bad: Mapping[str, str], skip: bool) -> str:
    first = next(iter(bad.values()))
    more = f" {len(bad) - 1} more files are bad too." if len(bad) > 1 else ""
    hint = "" if skip else " skip_bad=True (--skip-bad) processes the good files and lists the others."
    return f"{first}{more}{hint}"


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
