"""Skims: what a processor selects, written as one Parquet file per chunk, so that memory hangs on the chunk only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepml_nb.columnar.files import Files
from hepml_nb.columnar.runner import Executor, Output, run
from hepml_nb.columnar.schemas import SchemaName
from hepml_nb.core import InputError, NotFound, atomic_write, content_hash

__all__ = ["Skim", "pieces", "skim"]

INDEX = "_skim.json"
"""Readers of Parquet folders leave files of such names alone, so that the folder as a whole can be read."""


@dataclass(frozen=True)
class Skim:
    """A finished skim: its folder, its Parquet `pieces` in the order of (dataset, file, entry), and what else came out.

    `rows` are the records of each piece, `output` the histograms, cutflows, metrics and bad files as `run` gives them.
    """

    folder: Path
    pieces: list[Path]
    rows: list[int]
    output: Output

    def load(self) -> Any:
        """Return all records as one awkward array; they have to fit in memory."""
        return load(self.pieces)


def skim(
    files: Files,
    processor: Any,
    out: str | os.PathLike[str],
    *,
    executor: Executor = "iterative",
    client: Any = None,
    workers: int | None = None,
    chunksize: int = 100_000,
    skip_bad: bool = False,
    tree: str | None = None,
    schema: SchemaName = "nanoaod",
) -> Skim:
    """Process the files as `run` does and write the arrays that come out into the folder `out`.

    The processor gives {name: awkward array of records} beside histograms and cutflows; its one array is written, piece
    by piece and each whole or not at all, as <dataset>/<file>-<entries>.parquet, and `_skim.json` lists the pieces when
    all are there. A folder that holds a skim is replaced by the new one. With Dask, `out` is seen by all workers.
    Raises InputError for a folder of other things and for a processor without exactly one array, and as `run` does.
    """
    folder = Path(out).expanduser().absolute()
    if folder.is_dir():
        _clear(folder)
    elif folder.exists():
        raise InputError(f"{folder} is a file; a skim needs a folder of its own.")
    folder.mkdir(parents=True, exist_ok=True)
    _write_index(folder, None)
    done = run(files, _Writer(processor, folder), executor=executor, client=client, workers=workers,
               chunksize=chunksize, skip_bad=skip_bad, tree=tree, schema=schema)  # fmt: skip
    written = done.values.pop("pieces")
    rows = [entry["rows"] for entry in written.values()]
    _write_index(folder, {"processor": repr(processor), "rows": rows, "pieces": list(written), "bad": dict(done.bad)})
    return Skim(folder, [folder / name for name in written], rows, done)


def pieces(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the Parquet files of a finished skim; raise NotFound where there is none or one that was interrupted."""
    folder = Path(folder)
    index = _index(folder)
    if index is None:
        raise NotFound(f"{folder} holds no finished skim; make it with columnar.skim(files, processor, folder).")
    return [folder / name for name in index["pieces"]]


def load(paths: list[Path]) -> Any:
    """Return the records of Parquet pieces as one awkward array."""
    import awkward as ak
    import pyarrow.parquet as pq

    return ak.concatenate([ak.from_arrow(pq.read_table(path)) for path in paths])


class _Writer:
    """A processor whose array goes to disk where it is made."""

    def __init__(self, processor: Any, folder: Path) -> None:
        self.processor = processor
        self.folder = folder
        if hasattr(processor, "reads"):
            self.reads = processor.reads

    def __call__(self, events: Any) -> dict[str, Any]:
        import awkward as ak

        about = events.metadata
        output: Mapping[str, Any] = getattr(self.processor, "process", self.processor)(events)
        arrays = [name for name, value in output.items() if isinstance(value, ak.Array)]
        if len(arrays) != 1:
            raise InputError(f"the processor gives {len(arrays)} arrays; a skim is made of exactly one")
        source = f"{Path(about['filename']).stem}-{content_hash(about['filename'], 6)}"
        name = f"{about['dataset']}/{source}-{about['entrystart']:09d}-{about['entrystop']:09d}.parquet"
        _write(output[arrays[0]], self.folder / name)
        rest = {key: value for key, value in output.items() if key != arrays[0]}
        return {**rest, "pieces": {name: {"rows": len(output[arrays[0]])}}}


def _write(array: Any, path: Path) -> None:
    """Write records to one Parquet file: quick compression, for a skim is read more than it is kept."""
    import awkward as ak
    import pyarrow.parquet as pq

    table = ak.to_arrow_table(ak.to_packed(ak.materialize(array)), extensionarray=False, list_to32=True)
    with atomic_write(path, "wb") as stream:
        pq.write_table(table, stream, compression="zstd", compression_level=3)


def _index(folder: Path) -> dict[str, Any] | None:
    """Return the index of a finished skim, None for none or an unfinished one."""
    path = folder / INDEX
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def _write_index(folder: Path, content: dict[str, Any] | None) -> None:
    with atomic_write(folder / INDEX) as stream:
        json.dump(content, stream, indent=1)


def _clear(folder: Path) -> None:
    """Remove the pieces of an earlier skim; raise InputError for a folder that holds something and no skim."""
    inside = sorted(path.name for path in folder.iterdir())
    if inside and INDEX not in inside:
        raise InputError(f"{folder} holds {inside[0]} and no skim; a skim needs a folder of its own.")
    for path in folder.glob(f"*/*-{'[0-9]' * 9}-{'[0-9]' * 9}.parquet"):
        path.unlink()
