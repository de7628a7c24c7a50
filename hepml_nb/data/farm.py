"""The farm: recipes run in parallel, chunk by chunk, so that made data are resumable and shared between profiles.

A chunk is fixed by recipe, parameters, seed, stream and index, never by who asked for it: the tutorial's chunks are the
first ones of the long sample, and the number of workers changes nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepml_nb.core import RunError, atomic_write, cache_dir, content_hash, derive_seed, lock, progress

__all__ = ["Chunk", "from_parquet_bytes", "make", "make_chunk", "parquet_bytes", "read_chunk"]


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

    @property
    def path(self) -> Path:
        """Return where the cache keeps this chunk."""
        return cache_dir() / "chunks" / self.identity / f"{self.index:05d}.parquet"

    def made(self) -> bool:
        """Say whether the cache holds it whole: its record is written last."""
        return self.path.exists() and self.path.with_suffix(".json").exists()

    def record(self) -> dict[str, Any]:
        """Return the record of a made chunk: number, counters, core-seconds, bytes and sha256."""
        return dict(json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8")))


def make_chunk(chunk: Chunk) -> dict[str, Any]:
    """Make one chunk unless the cache has it; return its record: number, counters, core-seconds, bytes and sha256.

    Two processes that want the same chunk make it once.
    """
    if chunk.made():
        return chunk.record()
    with lock(chunk.path.with_suffix(".lock"), timeout=3600):
        if chunk.made():
            return chunk.record()
        from hepml_nb.simulate.recipe import recipe

        start = time.process_time()
        seed = derive_seed(chunk.seed, chunk.recipe, chunk.stream, chunk.index)
        made, counters = recipe(chunk.recipe)(chunk.n, seed=seed, **chunk.parameters)
        content = parquet_bytes(made)
        info = {
            "n": len(made),
            "counters": counters,
            "core_seconds": round(time.process_time() - start, 3),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        with atomic_write(chunk.path, "wb") as stream:
            stream.write(content)
        with atomic_write(chunk.path.with_suffix(".json")) as stream:
            json.dump(info, stream)
    return info


def parquet_bytes(array: Any) -> bytes:
    """Return the Parquet file of an array, compressed well: bytes of floats grouped by significance, then zstd."""
    import awkward as ak
    import pyarrow.parquet as pq

    table = ak.to_arrow_table(array, extensionarray=False, list_to32=True)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=15, use_dictionary=False,
                   use_byte_stream_split=_float_columns(table.schema), write_statistics=False)  # fmt: skip
    return buffer.getvalue()


def _float_columns(schema: Any) -> list[str]:
    """Return the dotted Parquet paths of all float columns."""
    import pyarrow as pa

    def walk(prefix: str, kind: Any) -> list[str]:
        if pa.types.is_struct(kind):
            return [path for leaf in kind for path in walk(f"{prefix}.{leaf.name}", leaf.type)]
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return walk(f"{prefix}.list.element", kind.value_type)
        return [prefix] if pa.types.is_floating(kind) else []

    return [path for leaf in schema for path in walk(leaf.name, leaf.type)]


def read_chunk(chunk: Chunk) -> Any:
    """Return the array of a made chunk; raise RunError when its bytes are not those that were written."""
    content = chunk.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != chunk.record()["sha256"]:
        raise RunError(f"{chunk.path} is damaged (its sha256 changed); delete it and make the data again.")
    return from_parquet_bytes(content)


def from_parquet_bytes(content: bytes) -> Any:
    """Return the array of a Parquet file's bytes."""
    import awkward as ak
    import pyarrow.parquet as pq

    return ak.from_arrow(pq.read_table(io.BytesIO(content)))


def make(chunks: Sequence[Chunk], workers: int | None = None, say: Any = None) -> list[dict[str, Any]]:
    """Make the missing chunks on `workers` processes (default: one per core); return every chunk's record, in order.

    Whatever was finished stays when this is interrupted, and the next call goes on from there. `say` is called with a
    line of text (chunks, rate, time left) as chunks end. Raises RunError when a worker dies or a recipe fails.
    """
    missing = [chunk for chunk in chunks if not chunk.made()]
    workers = max(1, min(workers or os.cpu_count() or 1, len(missing) or 1))
    start = time.monotonic()
    with progress(total=sum(chunk.n for chunk in missing), desc="making", unit="jet") as bar:
        if workers == 1:
            for number, chunk in enumerate(missing, 1):
                make_chunk(chunk)
                bar.update(chunk.n)
                _tell(say, missing, number, start)
        elif missing:
            _in_parallel(missing, workers, bar, say, start)
    return [make_chunk(chunk) for chunk in chunks]


def _in_parallel(missing: Sequence[Chunk], workers: int, bar: Any, say: Any, start: float) -> None:
    context = multiprocessing.get_context("spawn")  # Pythia and threads do not survive a fork
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet_worker)
    futures: dict[Future[dict[str, Any]], Chunk] = {pool.submit(make_chunk, chunk): chunk for chunk in missing}
    try:
        for number, future in enumerate(as_completed(futures), 1):
            chunk = futures[future]
            try:
                future.result()
            except BrokenProcessPool as error:
                raise RunError(
                    f"a worker died while making {chunk.stream} (killed, or out of memory?); finished chunks are kept, "
                    f"so run again to go on, with fewer workers than {workers} if memory is short."
                ) from error
            bar.update(chunk.n)
            _tell(say, missing, number, start)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _quiet_worker() -> None:
    """End at once and without a word on Ctrl-C (chunks are whole or absent), and keep to one thread."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def _tell(say: Any, missing: Sequence[Chunk], number: int, start: float) -> None:
    if say is None:
        return
    done, total = (sum(chunk.n for chunk in part) for part in (missing[:number], missing))
    rate = done / max(time.monotonic() - start, 1e-9)
    say(f"{number}/{len(missing)} chunks, {rate:.0f} records/s, {(total - done) / rate / 60:.1f} min left")
