"""Loading, making, fetching and checking datasets by name."""

from __future__ import annotations

import builtins
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hepml_nb.core import InputError, NotFound, RunError, atomic_write, content_hash, manifests_dir, quiet, suggest
from hepml_nb.data import fetching
from hepml_nb.data.dataset import Dataset, Part
from hepml_nb.data.farm import Chunk, from_parquet_bytes, parquet_bytes, read_chunk
from hepml_nb.data.farm import make as make_chunks
from hepml_nb.data.manifest import SPLITS, Manifest, RecipeSpec, manifest, names

__all__ = ["Estimate", "estimate", "fetch", "list", "load", "make", "twin_chunks", "verify", "write_sample"]

Source = Literal["auto", "public", "twin", "sample"]
_Chunks = dict[str, dict[str, builtins.list[Chunk]]]
_SOURCES = ("auto", "public", "twin", "sample")


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


def load(
    name: str, profile: str = "smoke", source: Source = "auto", seed: int = 0, make: bool = True
) -> Dataset:  # fmt: skip
    """Return a dataset by name.

    `source="auto"` takes the sample that ships for the smoke profile, else the public files where they were fetched,
    else the simulated twin, which is made (minutes; the estimate is printed first) unless `make=False`. `seed` draws
    the order of the records; with `source="twin"` a seed other than 0 also makes other events. Raises NotFound for an
    unknown name, profile or data that are not there, with what to do about it.
    """
    if source not in _SOURCES:
        raise InputError(f"source={source!r} is unknown{suggest(source, _SOURCES)}")
    about = manifest(name)
    about.counts(profile)
    if source == "sample" or (source == "auto" and profile == "smoke" and _sample_record(about).exists()):
        return _sample(about, profile, seed)
    if source == "public" or about.recipe is None or (source == "auto" and fetching.fetched(about)):
        from hepml_nb.data import public

        return public.load(about, profile, seed)
    return _twin(about, profile, seed, seed if source == "twin" else 0, make)


def list() -> dict[str, dict[str, Any]]:
    """Return for every dataset its title, topic, licence, records per profile and which sources are at hand."""
    table = {}
    for name in names():
        about = manifest(name)
        sizes = {profile: _total(about.counts(profile)) for profile in about.profiles}
        here = [source for source, there in (("sample", _sample_record(about).exists()),
                                             ("public", fetching.fetched(about))) if there]  # fmt: skip
        made = [profile for profile in about.profiles if about.recipe and estimate(name, profile).missing_seconds == 0]
        table[name] = {"title": about.title, "topic": about.topic, "licence": about.licence, "records": sizes,
                       "sources": here, "made": made}  # fmt: skip
    return table


def estimate(name: str, profile: str = "tutorial", seed: int = 0) -> Estimate:
    """Return what the twin of a profile takes, from the costs in the manifest and what the cache already has."""
    about = manifest(name)
    counts, cost = about.counts(profile), _recipe(about).cost
    records = _total(counts)
    kib = sum(n * cost[stream].kib / 1000 for split in counts.values() for stream, n in split.items())
    need, missing = 0.0, 0.0
    for streams in twin_chunks(about, profile, seed).values():
        for stream, chunks in streams.items():
            for chunk in chunks:
                seconds = chunk.n * cost[stream].core_seconds / 1000
                need += seconds
                missing += 0.0 if chunk.made() else seconds
    return Estimate(name, profile, records, kib / 1024, need, missing)


def make(
    name: str,
    profile: str = "tutorial",
    *,
    seed: int = 0,
    workers: int | None = None,
    say: Callable[[str], Any] | None = print,
) -> Dataset:
    """Make the twin of a dataset, one process per core unless `workers` says otherwise, and return it.

    The estimate is said first. Interrupted work is kept and the next call goes on from there.
    """
    about = manifest(name)
    chunks = [
        chunk for streams in twin_chunks(about, profile, seed).values() for row in streams.values() for chunk in row
    ]
    if say is not None:
        say(str(estimate(name, profile, seed)))
    make_chunks(chunks, workers, say)
    return _twin(about, profile, seed, seed, make=False)


def fetch(name: str) -> builtins.list[Path]:
    """Download the public files of a dataset that are not here yet, check them, and return their paths."""
    return fetching.fetch(manifest(name))


def verify(name: str) -> dict[str, str]:
    """Check the sample, the fetched files and every made chunk of a dataset against their checksums.

    Returns {path: "ok" | "damaged" | "unknown"}; "unknown" is a public file without a published or recorded checksum.
    """
    about = manifest(name)
    found: dict[str, str] = fetching.verify(about)
    if _sample_record(about).exists():
        for split, entry in _record(about)["splits"].items():
            path = _sample_path(about, split)
            found[str(path)] = "ok" if _sha256(path) == entry["sha256"] else "damaged"
    for profile in about.profiles if about.recipe else ():
        for chunk in _flat(twin_chunks(about, profile, 0)):
            if chunk.made():
                found[str(chunk.path)] = "ok" if _sha256(chunk.path) == chunk.record()["sha256"] else "damaged"
    return found


def twin_chunks(about: Manifest, profile: str, seed: int = 0) -> _Chunks:
    """Return {split: {stream: chunks}} of a profile; smaller profiles use the first chunks of larger ones."""
    recipe, out = _recipe(about), dict[str, dict[str, builtins.list[Chunk]]]()
    for split, counts in about.counts(profile).items():
        out[split] = {
            stream: [
                Chunk(recipe.name, recipe.streams[stream], recipe.seed + seed, f"{split}/{stream}", index, recipe.chunk)
                for index in range(-(-n // recipe.chunk))
            ]
            for stream, n in counts.items()
        }
    return out


def _flat(chunks: _Chunks) -> builtins.list[Chunk]:
    return [chunk for streams in chunks.values() for row in streams.values() for chunk in row]


def write_sample(name: str) -> int:
    """Write the sample that ships for the smoke profile and return its bytes; for maintainers, after a version bump."""
    about = manifest(name)
    dataset = load(name, "smoke", "twin")
    splits: dict[str, dict[str, Any]] = {}
    for split in dataset.splits:
        content = parquet_bytes(dataset.split(split))
        with atomic_write(_sample_path(about, split), "wb") as stream:
            stream.write(content)
        splits[split] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    with atomic_write(_sample_record(about)) as stream:
        json.dump({**dataset.provenance, "source": "sample", "splits": splits}, stream, indent=1, default=str)
    return sum(entry["bytes"] for entry in splits.values())


def _twin(about: Manifest, profile: str, order: int, seed: int, make: bool) -> Dataset:
    chunks = twin_chunks(about, profile, seed)
    flat = _flat(chunks)
    if not all(chunk.made() for chunk in flat):
        told = estimate(about.name, profile, seed)
        if not make:
            raise NotFound(f"{told}; make them with `hepml-nb data make {about.name} --profile {profile}`.")
        print(f"Making {told}")
        make_chunks(flat, say=None if quiet() else print)
    counts = about.counts(profile)
    parts = {split: _parts(about, split, streams, counts[split]) for split, streams in chunks.items()}
    return Dataset(about.name, profile, parts, _provenance(about, profile, chunks, seed), about.classes, order)


def _recipe(about: Manifest) -> RecipeSpec:
    if about.recipe is None:
        raise NotFound(f"dataset {about.name!r} has no twin; `hepml-nb data fetch {about.name}` gets its public files.")
    return about.recipe


def _provenance(about: Manifest, profile: str, chunks: _Chunks, seed: int) -> dict[str, Any]:
    counts, fixed = about.counts(profile), _recipe(about)
    key = {
        split: {stream: [[chunk.identity for chunk in row], counts[split][stream]] for stream, row in streams.items()}
        for split, streams in chunks.items()
    }
    return {
        "identity": content_hash({"name": about.name, "chunks": key}),
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

    return recipe(_recipe(about).name).identity(_recipe(about).streams[stream])


def _sum(infos: builtins.list[dict[str, Any]]) -> dict[str, float]:
    """Add up the counters of chunks, with the matched fraction of the jets whose parent points into them."""
    total: dict[str, float] = {}
    for info in infos:
        for name, value in info["counters"].items():
            total[name] = total.get(name, 0) + value
    if total.get("near"):
        total["matched_fraction"] = round(total["matched"] / total["near"], 4)
    total["core_seconds"] = round(sum(info["core_seconds"] for info in infos), 1)
    return total


def _parts(
    about: Manifest, split: str, streams: Mapping[str, builtins.list[Chunk]], counts: Mapping[str, int]
) -> builtins.list[Part]:
    parts = []
    known = builtins.list(_recipe(about).streams)
    for stream, chunks in streams.items():
        left = counts[stream]
        number = SPLITS.index(split) * len(known) + known.index(stream)
        for chunk in chunks:
            n = min(left, chunk.n)
            parts.append(Part(n, partial(_read, chunk, n, number), stream))
            left -= n
    return parts


def _read(chunk: Chunk, n: int, number: int) -> Any:
    """Return the first records of a chunk, with event numbers that are unique in the dataset."""
    part = read_chunk(chunk)[:n]
    if "event" in part.fields:
        part["event"] = np.asarray(part.event) + number * 10**12 + chunk.index * 10**7
    return part


def _sample(about: Manifest, profile: str, order: int) -> Dataset:
    if profile != "smoke":
        raise InputError(f"the sample of {about.name!r} is its smoke profile; profile={profile!r} has to be made.")
    if not _sample_record(about).exists():
        raise NotFound(f"dataset {about.name!r} ships no sample; use source='twin'.")
    provenance = _record(about)
    sizes = {split: sum(counts.values()) for split, counts in provenance["counts"].items()}
    parts = {split: [Part(sizes[split], partial(_read_sample, about, split))] for split in provenance["splits"]}
    return Dataset(about.name, profile, parts, provenance, about.classes, order)


def _read_sample(about: Manifest, split: str) -> Any:
    path = _sample_path(about, split)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _record(about)["splits"][split]["sha256"]:
        raise RunError(f"{path} is damaged: its sha256 is not the recorded one; restore it with git.")
    return from_parquet_bytes(content)


def _record(about: Manifest) -> dict[str, Any]:
    return dict(json.loads(_sample_record(about).read_text(encoding="utf-8")))


def _sample_record(about: Manifest) -> Path:
    return manifests_dir() / "samples" / about.topic / f"{about.name}.json"


def _sample_path(about: Manifest, split: str) -> Path:
    return manifests_dir() / "samples" / about.topic / f"{about.name}.{split}.parquet"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _total(counts: Mapping[str, Mapping[str, int]]) -> int:
    return sum(n for split in counts.values() for n in split.values())
