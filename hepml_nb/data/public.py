"""Public datasets: their files, read block by block into the schema of their twin and kept converted in the cache."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, atomic_write, cache_dir, content_hash, lock, progress
from hepml_nb.data.dataset import Dataset, Part
from hepml_nb.data.farm import from_parquet_bytes, parquet_bytes
from hepml_nb.data.fetching import fetched, folder, members
from hepml_nb.data.manifest import SPLITS, Manifest
from hepml_nb.data.readers import reader

__all__ = ["load"]

_BLOCK = 20_000
"""Records that are converted at a time, which bounds memory."""


@dataclass(frozen=True)
class _Block:
    """Records [start, stop) of a public file, all of one class where `stream` names it."""

    path: Path
    stream: str
    start: int
    stop: int


def load(about: Manifest, profile: str, seed: int) -> Dataset:
    """Return a profile of the public dataset: the first records of each split, all of them in the full profile."""
    if about.public is None:
        raise NotFound(f"dataset {about.name!r} has no public files; it is made by its recipe.")
    if not fetched(about):
        where = f"put them in {folder(about)} or run `hepml-nb data fetch {about.name}`"
        raise NotFound(f"the public files of {about.name!r} are not here; {where}.")
    wanted = None if profile == "full" else about.counts(profile)
    states = [[file.name, (at := (folder(about) / file.name).stat()).st_size, at.st_mtime_ns]
              for file in about.public.files]  # fmt: skip
    identity = content_hash({"name": about.name, "reader": about.public.reader, "files": states, "wanted": wanted})
    parts, counts = dict[str, list[Part]](), dict[str, dict[str, int]]()
    for split, blocks in _blocks(about, wanted).items():
        parts[split], counts[split] = [], {}
        for block in progress(blocks, desc=f"converting {split}", unit="block"):
            kept, found = _converted(about, block)
            n = sum(found.values())
            parts[split].append(Part(n, partial(_read, kept), block.stream))
            for stream, number in found.items():
                counts[split][stream] = counts[split].get(stream, 0) + number
    provenance = {"identity": identity, "source": "public", "about": ", ".join(filter(None, (about.title, about.doi))),
                  "files": states, "counts": counts, "licence": about.licence, "citation": about.citation}  # fmt: skip
    return Dataset(about.name, profile, parts, provenance, about.classes, seed)


def _blocks(about: Manifest, wanted: dict[str, dict[str, int]] | None) -> dict[str, list[_Block]]:
    """Return for each split the ranges of the files that make it, cut to the `wanted` {split: {stream: records}}.

    A file of one class counts against the number of that class, a mixed one against the sum over classes.
    """
    given = about.public
    if given is None:
        return {}
    source = reader(given.reader)
    out: dict[str, list[_Block]] = {}
    left = {split: {**counts, "": sum(counts.values())} for split, counts in (wanted or {}).items()}
    for file in given.files:
        path = folder(about) / file.name
        for member, stream in members(path, file.members) if file.members else [(path, file.stream)]:
            if wanted is not None and not any(
                left.get(split, {}).get(stream, 0) for split in (SPLITS if file.split == "all" else (file.split,))
            ):
                continue  # nothing of it is needed: do not even open it
            for split, start, stop in _ranges(about, file.split, source.count(member, **given.options)):
                if wanted is not None:
                    stop = min(stop, start + left.get(split, {}).get(stream, 0))
                    if stop > start:
                        left[split][stream] -= stop - start
                cuts = range(start, stop, _BLOCK)
                out.setdefault(split, []).extend(_Block(member, stream, i, min(i + _BLOCK, stop)) for i in cuts)
    return {split: out[split] for split in SPLITS if out.get(split)}


def _ranges(about: Manifest, split: str, rows: int) -> list[tuple[str, int, int]]:
    """Return (split, start, stop) of the splits in a file of so many rows."""
    if split != "all" or about.public is None:
        return [(split, 0, rows)]
    shares = about.public.fractions
    edges = np.rint(np.cumsum([0.0, *shares.values()]) * rows).astype(int).tolist()
    return [(name, edges[i], edges[i + 1]) for i, name in enumerate(shares)]


def _converted(about: Manifest, block: _Block) -> tuple[Path, dict[str, int]]:
    """Return where a converted block is kept, and its {stream: records}; convert it where it is not there yet."""
    public = about.public
    if public is None:
        raise NotFound(f"dataset {about.name!r} has no public files.")
    state = block.path.stat()
    fixed = [public.reader, public.options, str(block.path.relative_to(folder(about))), state.st_size,
             state.st_mtime_ns, block.stream, block.start, block.stop]  # fmt: skip
    kept = cache_dir() / "public-converted" / about.name / f"{content_hash(fixed)}.parquet"
    record = kept.with_suffix(".json")
    with lock(kept.with_suffix(".lock"), timeout=24 * 3600):
        if kept.exists() and record.exists():
            return kept, dict(json.loads(record.read_text(encoding="utf-8")))
        label = about.classes.get(block.stream) if block.stream else None
        array = reader(public.reader).read(block.path, block.start, block.stop, label=label, **public.options)
        if len(array) != block.stop - block.start:
            raise InputError(f"{block.path}: {len(array)} records between {block.start} and {block.stop}.")
        found = _counts(about, block.stream, array)
        with atomic_write(kept, "wb") as stream:
            stream.write(parquet_bytes(array))
        with atomic_write(record) as stream:
            json.dump(found, stream)
    return kept, found


def _counts(about: Manifest, stream: str, array: Any) -> dict[str, int]:
    if stream or not about.classes or "label" not in array.fields:
        return {stream or "all": len(array)}
    label = ak.to_numpy(array.label)
    return {name: int((label == number).sum()) for name, number in about.classes.items()}


def _read(path: Path) -> Any:
    return from_parquet_bytes(path.read_bytes())
