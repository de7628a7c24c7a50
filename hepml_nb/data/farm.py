"""The farm: recipes run in parallel, chunk by chunk, so that made data are resumable and shared between profiles.

A chunk is fixed by recipe, parameters, seed, stream and index, never by who asked for it: the tutorial's chunks are the
first ones of the long sample, and the number of workers changes nothing.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hepml_nb.core import NotFound, RunError, cache_dir, content_hash, derive_seed, progress
from hepml_nb.data import disk
from hepml_nb.data.parquet import from_parquet_bytes, parquet_bytes

__all__ = ["Chunk", "from_parquet_bytes", "make", "make_chunk", "parquet_bytes", "read_chunk"]

_Say = Callable[[str], Any]


@dataclass(frozen=True)
class Chunk:
    """`n` records of a recipe: the `index`-th piece of the `stream` (such as "train/top") that `seed` begins."""

    recipe: str
    parameters: Mapping[str, Any]
    seed: int
    stream: str
    index: int
    n: int
    identity: str = field(init=False)

    def __post_init__(self) -> None:
        from hepml_nb.simulate.recipe import recipe

        fixed = recipe(self.recipe).identity(self.parameters)
        key = content_hash({**fixed, "seed": self.seed, "stream": self.stream, "n": self.n})
        object.__setattr__(self, "identity", key)

    def at(self, index: int) -> Chunk:
        """Return another piece of the same stream, at no cost: the identity is that of the stream."""
        other = copy.copy(self)
        object.__setattr__(other, "index", index)
        return other

    @property
    def path(self) -> Path:
        """Return where the cache keeps this chunk."""
        return cache_dir() / "chunks" / self.identity / f"{self.index:05d}.parquet"

    def made(self) -> bool:
        """Say whether the cache holds it whole: its record is written last, and tells its size."""
        return self._record() is not None

    def record(self) -> dict[str, Any]:
        """Return the record of a made chunk: number, counters, core-seconds, bytes and sha256.

        Raises RunError for a chunk that the cache does not hold whole.
        """
        found = self._record()
        if found is None:
            raise RunError(f"{self.path} is not there or not whole; make the data again.")
        return found

    def _record(self) -> dict[str, Any] | None:
        found = disk.read_json(self.path.with_suffix(".json"), "n", "counters", "core_seconds", "bytes", "sha256")
        try:
            return found if found and self.path.stat().st_size == found["bytes"] else None
        except (FileNotFoundError, NotADirectoryError):
            return None


def make_chunk(chunk: Chunk) -> dict[str, Any]:
    """Make one chunk unless the cache has it; return its record: number, counters, core-seconds, bytes and sha256.

    Two processes that want the same chunk make it once. A chunk that is not whole is set aside and made again. Raises
    RunError when the cache cannot be written.
    """
    if chunk.made():
        return chunk.record()
    with disk.held(_locked(chunk), timeout=3600):
        return chunk.record() if chunk.made() else _make(chunk)


def _core_seconds() -> float:
    """Return the CPU time of this process and of the programs that it ran and that have ended."""
    return sum(os.times()[:4])


def _make(chunk: Chunk) -> dict[str, Any]:
    """Make a chunk whose lock is held; what lies there and is not the same is set aside."""
    from hepml_nb.simulate.recipe import recipe

    entry = recipe(chunk.recipe)
    for library in entry.libraries:  # the first chunk of a process shall not be charged with its imports
        with contextlib.suppress(ImportError):
            importlib.import_module(library.replace("-", "_"))
    start = _core_seconds()
    seed = derive_seed(chunk.seed, chunk.recipe, chunk.stream, chunk.index)
    made, counters = entry(chunk.n, seed=seed, **chunk.parameters)
    if len(made) != chunk.n:
        raise RunError(f"recipe {chunk.recipe!r} made {len(made)} records of {chunk.stream} instead of {chunk.n}.")
    content = parquet_bytes(made)
    info = {
        "n": len(made),
        "counters": counters,
        "core_seconds": round(_core_seconds() - start, 3),
        "bytes": len(content),
        "sha256": disk.sha256(content),
    }
    if chunk.path.exists() and chunk.path.read_bytes() != content:
        disk.tell(f"{chunk.path} was damaged: set aside as {disk.set_aside(chunk.path).name} and made again.")
    disk.put(chunk.path, content)
    disk.put_json(chunk.path.with_suffix(".json"), info)
    return info


def read_chunk(chunk: Chunk, mend: bool = False) -> Any:
    """Return the array of a made chunk, its bytes checked against their sha256.

    A damaged chunk is set aside and made again with `mend` (which is said on stderr), else raises RunError.
    """
    content = _whole(chunk)
    if content is None and mend:
        try:
            with disk.held(_locked(chunk), timeout=3600):
                if _whole(chunk) is None:  # no other process has mended it
                    _make(chunk)
        except RunError as error:
            raise RunError(f"{chunk.path} is damaged and was not made again: {error}") from error
        content = _whole(chunk)
    if content is None:
        raise RunError(f"{chunk.path} is damaged (its content is not what was written); make the data again.")
    return from_parquet_bytes(content)


def _whole(chunk: Chunk) -> bytes | None:
    """Return the bytes of a chunk; None unless they are those that were written."""
    record = disk.read_json(chunk.path.with_suffix(".json"), "sha256")
    try:
        content = chunk.path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return content if record and disk.sha256(content) == record["sha256"] else None


def _locked(chunk: Chunk) -> Path:
    return chunk.path.with_suffix("")  # the lock is <index>.lock


def make(
    chunks: Sequence[Chunk], workers: int | None = None, say: _Say | None = None, client: Any = None
) -> list[dict[str, Any]]:
    """Make the missing chunks on `workers` processes (default: one per core); return every chunk's record, in order.

    With a Dask `client` (see `core.client`) its workers make them; they must share the cache folder with this process.
    The content is the same in all cases. Whatever was finished stays when this is interrupted, and the next call goes
    on from there. `say` is called with a line of text (chunks, rate, time left) as chunks end. A stream whose program
    is not installed raises NotFound when all others are made. Raises RunError when a worker dies or a disk is full.
    """
    missing = [chunk for chunk in chunks if not chunk.made()]
    workers = max(1, min(workers or os.cpu_count() or 1, len(missing) or 1))
    tally = _Tally(missing, say)
    try:
        with progress(total=tally.total, desc="making", unit="record") as bar:
            finished = (
                _on_dask(missing, client) if client is not None and missing
                else _here(missing) if workers == 1
                else _in_processes(missing, workers)
            )  # fmt: skip
            with finished as ends:
                for chunk, error in ends:
                    bar.update(0 if error else chunk.n)
                    tally.add(chunk, error)
    except KeyboardInterrupt:
        (say or disk.tell)(tally.interrupted())
        raise
    tally.finish()
    return [chunk.record() for chunk in chunks]


_Ends = Iterator[tuple[Chunk, NotFound | None]]


class _Tally:
    """How far the farm is: records made, their rate, the time left, streams that cannot be made here."""

    def __init__(self, missing: Sequence[Chunk], say: _Say | None) -> None:
        self.total, self.done, self.ended, self.chunks = sum(chunk.n for chunk in missing), 0, 0, len(missing)
        self.lacking: dict[str, NotFound] = {}
        self.say, self.start = say, time.monotonic()

    def add(self, chunk: Chunk, error: NotFound | None) -> None:
        """Count a chunk that ended."""
        if error is not None:
            self.lacking.setdefault(chunk.stream, error)
            self.total -= chunk.n
            return
        self.done, self.ended = self.done + chunk.n, self.ended + 1
        rate = self.done / max(time.monotonic() - self.start, 1e-9)
        if self.say is not None:
            left = (self.total - self.done) / rate / 60
            self.say(f"{self.ended}/{self.chunks} chunks, {rate:.0f} records/s, {left:.1f} min left")

    def interrupted(self) -> str:
        """Return how far an interrupted farm came."""
        return (f"interrupted: {self.ended} of {self.chunks} chunks ({self.done:,} of {self.total:,} records) were "
                "made and are kept; run the same again to go on from there.")  # fmt: skip

    def finish(self) -> None:
        """Raise NotFound where streams could not be made."""
        if self.lacking:
            names, reason = ", ".join(self.lacking), next(iter(self.lacking.values()))
            raise NotFound(f"{names} cannot be made here: {reason} All else is made and kept.") from reason


@contextmanager
def _here(missing: Sequence[Chunk]) -> Iterator[_Ends]:
    """Make chunks one after another in this process."""

    def ends() -> _Ends:
        for chunk in missing:
            yield chunk, _error(partial(make_chunk, chunk))

    yield ends()


@contextmanager
def _in_processes(missing: Sequence[Chunk], workers: int) -> Iterator[_Ends]:
    """Make chunks on a pool of processes, which are ended when the block is left early."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # Pythia and threads do not survive a fork
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet_worker)
    futures = {pool.submit(make_chunk, chunk): chunk for chunk in missing}

    def ends() -> _Ends:
        for future in as_completed(futures):
            try:
                yield futures[future], _error(future.result)
            except BrokenProcessPool as error:
                raise RunError(
                    f"a worker died while making {futures[future].stream} (killed, or out of memory?); finished chunks "
                    f"are kept, so run again to go on, with fewer workers than {workers} if memory is short."
                ) from error

    try:
        yield ends()
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()  # chunks are whole or absent
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _on_dask(missing: Sequence[Chunk], client: Any) -> Iterator[_Ends]:
    """Make chunks on the workers of a Dask cluster, which write them into the cache of this process."""
    distributed: Any = importlib.import_module("dask.distributed")
    futures = {client.submit(_remote, chunk, str(cache_dir()), pure=False): chunk for chunk in missing}

    def ends() -> _Ends:
        for future in distributed.as_completed(list(futures)):
            chunk = futures[future]
            try:
                error = _error(future.result)
            except distributed.KilledWorker as killed:
                raise RunError(f"Dask workers died while making {chunk.stream} (out of memory?); finished chunks are "
                               "kept, so run again to go on.") from killed  # fmt: skip
            if error is None and not chunk.made():
                raise RunError(f"the workers of {client!r} wrote their chunks where this process does not see them; "
                               "set HEPML_NB_CACHE to a folder that all of them share.")  # fmt: skip
            yield chunk, error

    try:
        yield ends()
    finally:
        client.cancel([future for future in futures if not future.done()])


def _remote(chunk: Chunk, cache: str) -> None:
    os.environ["HEPML_NB_CACHE"] = cache
    make_chunk(chunk)


def _error(call: Callable[[], Any]) -> NotFound | None:
    """Call, and return the error that says that a program is missing; all others go up."""
    try:
        call()
    except NotFound as error:
        return error
    return None


def _quiet_worker() -> None:
    """End at once and without a word on Ctrl-C (chunks are whole or absent), and keep to one thread."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
