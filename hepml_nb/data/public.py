"""Public datasets: their files, read block by block into the schema of their twin and kept converted in the cache."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, RunError, cache_dir, content_hash, progress
from hepml_nb.data import disk
from hepml_nb.data.archives import members
from hepml_nb.data.dataset import Dataset, Part
from hepml_nb.data.fetching import check, fetched, folder, here, states
from hepml_nb.data.manifest import SPLITS, Manifest, Public
from hepml_nb.data.parquet import from_parquet_bytes, parquet_bytes
from hepml_nb.data.readers import reader

__all__ = ["forget", "load"]

_BLOCK = 20_000
"""Records that are converted at a time, which bounds memory; a reader of large ones asks for fewer by its `BLOCK`."""


@dataclass(frozen=True)
class _Block:
    """Records [start, stop) of a public file, all of one class where `stream` names it.

    `name` is that of the file in the dataset, for an archive with the member's, `number` counts these files, and
    `state` is size and time of the file.
    """

    path: Path
    name: str
    state: tuple[int, int]
    stream: str
    start: int
    stop: int
    number: int


def load(about: Manifest, profile: str, seed: int) -> Dataset:
    """Return a profile of the public dataset: the first records of each split, all of them in the full profile.

    The files are checked against the manifest, then read block by block into the cache; a second call reads only what
    is there. Raises NotFound where files are missing and RunError where one is damaged.
    """
    if about.public is None:
        raise NotFound(f"dataset {about.name!r} has no public files; it is made by its recipe.")
    if not fetched(about):
        where = f"put them in {folder(about)} or run `hepml-nb data fetch {about.name}`"
        raise NotFound(f"the public files of {about.name!r} are not here; {where}.")
    check(about)
    wanted = None if profile == "full" else about.counts(profile)
    found = states(about)
    identity = content_hash({"name": about.name, "reader": about.public.reader, "files": found, "wanted": wanted})
    parts, counts = dict[str, list[Part]](), dict[str, dict[str, int]]()
    for split, blocks in _blocks(about, wanted).items():
        parts[split], counts[split] = [], {}
        for block in progress(blocks, desc=f"converting {split}", unit="block"):
            record = _converted(about, block)
            parts[split].append(Part(record["n"], partial(_read, about, block), block.stream, record["sha256"]))
            for stream, number in record["counts"].items():
                counts[split][stream] = counts[split].get(stream, 0) + number
    told = [about.title, about.doi]
    if len(found) < (most := len(about.public.files)):
        told.append(f"{len(found)} of {most} files")
    provenance = {"identity": identity, "source": "public", "about": ", ".join(filter(None, told)),
                  "files": found, "counts": counts, "licence": about.licence, "citation": about.citation}  # fmt: skip
    return Dataset(about.name, profile, parts, provenance, about.classes, seed)


def _blocks(about: Manifest, wanted: dict[str, dict[str, int]] | None) -> dict[str, list[_Block]]:
    """Return for each split the ranges of the files that make it, cut to the `wanted` {split: {stream: records}}.

    A file of one class counts against the number of that class, a mixed one against the sum over classes.
    """
    given = about.public
    if given is None:
        return {}
    out: dict[str, list[_Block]] = {}
    most = min(_BLOCK, getattr(reader(given.reader), "BLOCK", _BLOCK))
    left = {split: {**counts, "": sum(counts.values())} for split, counts in (wanted or {}).items()}
    number = 0
    for file in here(about):
        path = folder(about) / file.name
        state = (path.stat().st_size, path.stat().st_mtime_ns)
        inside = members(path, file.members) if file.members else [(path, "", file.stream)]
        for member, name, stream in inside:
            number += 1
            if wanted is not None and not any(
                left.get(split, {}).get(stream, 0) for split in (SPLITS if file.split == "all" else (file.split,))
            ):
                continue  # nothing of it is needed: do not even open it
            label = f"{file.name}/{name}".rstrip("/")
            rows = _rows(about, member, label, state)
            for split, start, stop in _ranges(about, file.split, rows):
                if wanted is not None:
                    stop = min(stop, start + left.get(split, {}).get(stream, 0))
                    if stop > start:
                        left[split][stream] -= stop - start
                cuts = range(start, stop, most)
                blocks = [_Block(member, label, state, stream, i, min(i + most, stop), number) for i in cuts]
                out.setdefault(split, []).extend(blocks)
    return {split: out[split] for split in SPLITS if out.get(split)}


def _ranges(about: Manifest, split: str, rows: int) -> list[tuple[str, int, int]]:
    """Return (split, start, stop) of the splits in a file of so many rows."""
    if split != "all" or about.public is None:
        return [(split, 0, rows)]
    shares = about.public.fractions
    edges = np.rint(np.cumsum([0.0, *shares.values()]) * rows).astype(int).tolist()
    return [(name, edges[i], edges[i + 1]) for i, name in enumerate(shares)]


def _rows(about: Manifest, path: Path, name: str, state: tuple[int, int]) -> int:
    """Return the number of records in a file, which is counted once."""
    given = _public(about)
    kept = _place(about, content_hash(["rows", *_reading(given), name, state])).with_suffix(".rows.json")
    record = disk.read_json(kept, "rows")
    if record is None:
        record = {"rows": reader(given.reader).count(path, **given.options)}
        disk.put_json(kept, record)
    return int(record["rows"])


def _converted(about: Manifest, block: _Block) -> dict[str, Any]:
    """Return the record of a converted block: n, {stream: records} and sha256; convert it where it is not there."""
    kept = _kept(about, block)
    if (record := _record(kept)) is not None:
        return record
    with disk.held(kept):
        return _record(kept) or _convert(about, block, kept)


def _convert(about: Manifest, block: _Block, kept: Path) -> dict[str, Any]:
    given = _public(about)
    label = about.classes.get(block.stream) if block.stream else None
    array = reader(given.reader).read(block.path, block.start, block.stop, label=label, **given.options)
    if len(array) != block.stop - block.start:
        raise InputError(f"{block.path}: {len(array)} records between {block.start} and {block.stop}.")
    content = parquet_bytes(array)
    record = {"n": len(array), "counts": _counts(about, block.stream, array), "bytes": len(content),
              "sha256": disk.sha256(content)}  # fmt: skip
    if kept.exists() and kept.read_bytes() != content:
        disk.tell(f"{kept} was damaged: set aside as {disk.set_aside(kept).name} and converted again.")
    if not _linked(block.path, kept, content):
        disk.put(kept, content)
    disk.put_json(kept.with_suffix(".json"), record)
    return record


def _linked(path: Path, kept: Path, content: bytes) -> bool:
    """Give a file that is a converted block already, as the pieces of a skim are, a second name: it is stored once."""
    if path.stat().st_size != len(content) or path.read_bytes() != content:
        return False
    try:
        kept.unlink(missing_ok=True)
        os.link(path, kept)
    except OSError:  # not on this disk
        return False
    return True


def forget(name: str) -> None:
    """Remove all converted blocks of a dataset; `load` converts anew what it needs."""
    shutil.rmtree(_blocks_of(name), ignore_errors=True)


def _kept(about: Manifest, block: _Block) -> Path:
    fixed = [*_reading(_public(about)), block.name, block.state, block.stream, block.start, block.stop]
    return _place(about, content_hash(fixed)).with_suffix(".parquet")


def _reading(given: Public) -> list[Any]:
    """Return what fixes how files are read: the reader, its VERSION where it has one, its options."""
    return [given.reader, getattr(reader(given.reader), "VERSION", 1), given.options]


def _place(about: Manifest, key: str) -> Path:
    return _blocks_of(about.name) / key


def _blocks_of(name: str) -> Path:
    return cache_dir() / "public-converted" / name


def _public(about: Manifest) -> Public:
    if about.public is None:
        raise NotFound(f"dataset {about.name!r} has no public files.")
    return about.public


def _record(kept: Path) -> dict[str, Any] | None:
    """Return the record of a converted block that is there whole, else None."""
    record = disk.read_json(kept.with_suffix(".json"), "n", "counts", "bytes", "sha256")
    return record if record and kept.is_file() and kept.stat().st_size == record["bytes"] else None


def _counts(about: Manifest, stream: str, array: Any) -> dict[str, int]:
    if stream or not about.classes or "label" not in array.fields:
        return {stream or "all": len(array)}
    label = ak.to_numpy(array.label)
    return {name: int((label == number).sum()) for name, number in about.classes.items()}


def _read(about: Manifest, block: _Block) -> Any:
    """Return the records of a converted block, with event numbers that are unique in the dataset.

    A block that proves damaged is converted again.
    """
    kept = _kept(about, block)
    content = _whole(kept)
    if content is None and block.path.is_file():
        with disk.held(kept):
            if _whole(kept) is None:
                _convert(about, block, kept)
        content = _whole(kept)
    if content is None:
        raise RunError(f"{kept} is damaged and {block.path} is not here to convert again.")
    records = from_parquet_bytes(content)
    numbered = getattr(reader(_public(about).reader), "NUMBERED", False)
    if "event" in records.fields and "run" not in records.fields and not numbered:  # readers count in each file
        records["event"] = np.asarray(records.event) + block.number * 10**10
    return records


def _whole(kept: Path) -> bytes | None:
    record = _record(kept)
    content = kept.read_bytes() if record else b""
    return content if record and disk.sha256(content) == record["sha256"] else None
