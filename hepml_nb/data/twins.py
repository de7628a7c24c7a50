"""Simulated twins: which chunks make a profile, what they take, and the dataset that they are."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hepml_nb.core import NotFound, content_hash
from hepml_nb.data.dataset import Dataset, Part
from hepml_nb.data.farm import Chunk, read_chunk
from hepml_nb.data.manifest import SPLITS, Manifest, RecipeSpec

__all__ = ["Estimate", "estimate", "in_turns", "twin", "twin_chunks"]

Chunks = dict[str, dict[str, builtins.list[Chunk]]]


@dataclass(frozen=True)
class Estimate:
    """What a twin takes: records, MiB and core-seconds in all, and the core-seconds that the cache does not have."""

    name: str
    profile: str
    records: int
    mib: float
    core_seconds: float
    missing_seconds: float

    def __str__(self) -> str:
        """Return one line for a person who decides whether to start."""
        left = f"{self.missing_seconds:.0f} of {self.core_seconds:.0f} core-seconds to go"
        return f"{self.name} ({self.profile}): {self.records:,} records, {self.mib:.0f} MiB, {left}"


def estimate(about: Manifest, profile: str, seed: int = 0) -> Estimate:
    """Return what the twin of a profile takes, from the costs in the manifest and what the cache already has."""
    counts, cost = about.counts(profile), spec(about).cost
    kib = sum(n * cost[stream].kib / 1000 for split in counts.values() for stream, n in split.items())
    need, missing = 0.0, 0.0
    for streams in twin_chunks(about, profile, seed).values():
        for stream, chunks in streams.items():
            begun = bool(chunks) and chunks[0].path.parent.is_dir()
            for chunk in chunks:
                seconds = chunk.n * cost[stream].core_seconds / 1000
                need += seconds
                missing += 0.0 if begun and chunk.made() else seconds
    return Estimate(about.name, profile, total(counts), kib / 1024, need, missing)


def twin_chunks(about: Manifest, profile: str, seed: int = 0) -> Chunks:
    """Return {split: {stream: chunks}} of a profile; smaller profiles use the first chunks of larger ones."""
    recipe, out = spec(about), Chunks()
    for split, counts in about.counts(profile).items():
        out[split] = {
            stream: [first.at(index) for index in range(-(-n // recipe.chunk))]
            for stream, n in counts.items()
            for first in [
                Chunk(recipe.name, recipe.streams[stream], recipe.seed + seed, f"{split}/{stream}", 0, recipe.chunk)
            ]
        }
    return out


def in_turns(chunks: Chunks) -> builtins.list[Chunk]:
    """Return all chunks, splits and streams in turns, so that any beginning of the list holds each by its share."""
    rows = [row for streams in chunks.values() for row in streams.values()]
    places = [((i + 0.5) / len(row), number, i) for number, row in enumerate(rows) for i in range(len(row))]
    return [rows[number][i] for _, number, i in sorted(places)]


def spec(about: Manifest) -> RecipeSpec:
    """Return the recipe of a dataset; raise NotFound where it has none."""
    if about.recipe is None:
        raise NotFound(f"dataset {about.name!r} has no twin; `hepml-nb data fetch {about.name}` gets its public files.")
    return about.recipe


def total(counts: Mapping[str, Mapping[str, int]]) -> int:
    """Return the number of records in {split: {stream: records}}."""
    return sum(n for split in counts.values() for n in split.values())


def twin(about: Manifest, profile: str, order: int, seed: int, *, mend: bool, partial: bool = False) -> Dataset:
    """Return the dataset of the chunks that `seed` begins, its records in the `order` of another seed.

    All chunks have to be made; with `partial` those that are there are taken, and NotFound raised where there are none.
    With `mend` a chunk that proves damaged when it is read is made again.
    """
    chunks, counts = twin_chunks(about, profile, seed), about.counts(profile)
    if partial:
        chunks, counts = _at_hand(about, chunks, counts)
    parts = {split: _parts(about, split, streams, counts[split], mend) for split, streams in chunks.items()}
    return Dataset(about.name, profile, parts, _provenance(about, chunks, counts, seed), about.classes, order)


def _at_hand(about: Manifest, chunks: Chunks, counts: dict[str, dict[str, int]]) -> tuple[Chunks, Any]:
    """Return the chunks that are made, and {split: {stream: records}} of them; splits without any are left out."""
    found, size = Chunks(), spec(about).chunk
    sizes: dict[str, dict[str, int]] = {}
    for split, streams in chunks.items():
        made = {stream: [chunk for chunk in row if chunk.made()] for stream, row in streams.items()}
        if any(made.values()):
            found[split] = made
            sizes[split] = {
                stream: sum(min(size, counts[split][stream] - chunk.index * size) for chunk in row)
                for stream, row in made.items()
            }
    if not found:
        raise NotFound(f"nothing is made of {about.name!r} yet; `hepml-nb data make {about.name}` begins.")
    return found, sizes


def _provenance(about: Manifest, chunks: Chunks, counts: dict[str, dict[str, int]], seed: int) -> dict[str, Any]:
    fixed = spec(about)
    key: dict[str, Any] = {
        split: {stream: [[chunk.identity for chunk in row], counts[split][stream]] for stream, row in streams.items()}
        for split, streams in chunks.items()
    }
    flat = [chunk.index for streams in chunks.values() for row in streams.values() for chunk in row]
    whole = [i for streams in chunks.values() for row in streams.values() for i in range(len(row))]
    gaps = {"indices": flat} if flat != whole else {}
    return {
        "identity": content_hash({"name": about.name, "chunks": key, **gaps}),
        "source": "twin",
        "about": f"simulated twin of {about.title}" if about.public else about.title,
        "seed": fixed.seed + seed,
        "recipe": {stream: _fixed(about, stream) for stream in fixed.streams},
        "counts": counts,
        "counters": {
            stream: _sum([chunk.record() for streams in chunks.values() for chunk in streams.get(stream, [])])
            for stream in fixed.streams
        },
        "licence": about.licence,
        "citation": about.citation,
    }


def _fixed(about: Manifest, stream: str) -> dict[str, Any]:
    from hepml_nb.simulate.recipe import recipe

    return recipe(spec(about).name).identity(spec(about).streams[stream])


def _sum(infos: builtins.list[dict[str, Any]]) -> dict[str, float]:
    """Add up the counters of chunks, with the matched fraction of the jets whose parent points into them."""
    summed: dict[str, float] = {}
    for info in infos:
        for name, value in info["counters"].items():
            summed[name] = summed.get(name, 0) + value
    if summed.get("near"):
        summed["matched_fraction"] = round(summed["matched"] / summed["near"], 4)
    summed["core_seconds"] = round(sum(info["core_seconds"] for info in infos), 1)
    return summed


def _parts(
    about: Manifest, split: str, streams: Mapping[str, builtins.list[Chunk]], counts: Mapping[str, int], mend: bool
) -> builtins.list[Part]:
    parts = []
    known = builtins.list(spec(about).streams)
    for stream, chunks in streams.items():
        left = counts[stream]
        number = SPLITS.index(split) * len(known) + known.index(stream)
        for chunk in chunks:
            n = min(left, chunk.n)
            read = partial(_read, chunk, n, number, mend)
            parts.append(Part(n, read, stream, chunk.record()["sha256"]))
            left -= n
    return parts


def _read(chunk: Chunk, n: int, number: int, mend: bool) -> Any:
    """Return the first records of a chunk, with event numbers that are unique in the dataset."""
    part = read_chunk(chunk, mend)[:n]
    if "event" in part.fields:
        part["event"] = np.asarray(part.event) + number * 10**12 + chunk.index * 10**7
    return part
