"""Samples: profiles of a dataset that ship, in the checkout as Parquet files beside a record of their checksums."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from hepml_nb.core import InputError, NotFound, RunError, atomic_write, manifests_dir
from hepml_nb.data import disk
from hepml_nb.data.dataset import Dataset, Part
from hepml_nb.data.manifest import PROFILES, Manifest
from hepml_nb.data.parquet import from_parquet_bytes, parquet_bytes

__all__ = ["record", "sample", "ships", "verify", "write"]

_LARGEST = 1_000_000
"""Bytes of a file; a split that needs more ships in several, as checkouts dislike large ones."""


def ships(about: Manifest, profile: str = "smoke") -> bool:
    """Say whether a profile of a dataset is in the checkout."""
    return _record_path(about, profile).exists()


def record(about: Manifest, profile: str = "smoke") -> dict[str, Any]:
    """Return the record of a sample: its provenance, and for every split the bytes and sha256 of its file or `pieces`.

    Raises RunError for one that cannot be read.
    """
    path = _record_path(about, profile)
    found = disk.read_json(path, "identity", "splits", "counts")
    if found is None:
        raise RunError(f"{path} is damaged: it is not the record of a sample; restore it with git.")
    return found


def sample(about: Manifest, profile: str, order: int) -> Dataset:
    """Return a sample as a dataset; raise NotFound where none ships, InputError for a profile that does not."""
    there = [name for name in PROFILES if ships(about, name)]
    if there and profile not in there:
        known = " and ".join(there)
        raise InputError(f"the sample of {about.name!r} is its {known} profile; profile={profile!r} has to be made.")
    if not there:
        raise NotFound(f"dataset {about.name!r} ships no sample; use source='twin'.")
    provenance = record(about, profile)
    sizes = {split: sum(counts.values()) for split, counts in provenance["counts"].items()}
    parts = {
        split: [
            Part(piece.get("n", sizes[split]), partial(_read, path, piece["sha256"]), sha256=piece["sha256"])
            for path, piece in _pieces(about, profile, split, entry)
        ]
        for split, entry in provenance["splits"].items()
    }
    return Dataset(about.name, profile, parts, provenance, about.classes, order)


def verify(about: Manifest) -> dict[str, str]:
    """Return {path: "ok" | "damaged"} of the files of all samples of a dataset."""
    return {
        str(path): "ok" if path.is_file() and disk.digest(path, "sha256") == piece["sha256"] else "damaged"
        for profile in PROFILES
        if ships(about, profile)
        for split, entry in record(about, profile)["splits"].items()
        for path, piece in _pieces(about, profile, split, entry)
    }


def write(about: Manifest, dataset: Dataset) -> int:
    """Write a dataset as the sample of its profile that ships, with the columns that it `keeps`; return its bytes."""
    kept = about.keeps.get(dataset.profile)
    splits: dict[str, dict[str, Any]] = {}
    for split in dataset.splits:
        for path in _folder(about).glob(f"{_stem(about, dataset.profile)}.{split}.*parquet"):
            path.unlink()  # pieces of a larger one that was here before
        array = dataset.split(split) if kept is None else _only(dataset.split(split), kept)
        contents = [(len(array), parquet_bytes(array))]
        if len(contents[0][1]) > _LARGEST:
            number = 1 + int(1.05 * len(contents[0][1]) / _LARGEST)
            edges = [len(array) * i // number for i in range(number + 1)]
            contents = [(b - a, parquet_bytes(array[a:b])) for a, b in pairwise(edges)]
        pieces = [{"n": n, "sha256": disk.sha256(content), "bytes": len(content)} for n, content in contents]
        splits[split] = {"pieces": pieces} if len(pieces) > 1 else {x: pieces[0][x] for x in ("sha256", "bytes")}
        for (path, _), (_, content) in zip(
            _pieces(about, dataset.profile, split, splits[split]), contents, strict=True
        ):
            with atomic_write(path, "wb") as stream:
                stream.write(content)
    with atomic_write(_record_path(about, dataset.profile)) as stream:
        json.dump({**dataset.provenance, "source": "sample", "splits": splits}, stream, indent=1, default=str)
    return sum(path.stat().st_size for split, entry in splits.items()
               for path, _ in _pieces(about, dataset.profile, split, entry))  # fmt: skip


def _only(array: Any, kept: list[str]) -> Any:
    """Return records with the columns named; "constituents.pt" is one column of a collection."""
    chosen = array[[name for name in kept if "." not in name]]
    inside: dict[str, list[str]] = {}
    for collection, _, column in (name.partition(".") for name in kept if "." in name):
        inside.setdefault(collection, []).append(column)
    for collection, columns in inside.items():
        chosen[collection] = array[collection][columns]
    return chosen


def _read(path: Path, sha256: str) -> Any:
    content = path.read_bytes() if path.is_file() else b""
    if disk.sha256(content) != sha256:
        raise RunError(f"{path} is damaged: its sha256 is not the recorded one; restore it with git.")
    return from_parquet_bytes(content)


def _pieces(about: Manifest, profile: str, split: str, entry: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield (path, entry) of the files of a split."""
    pieces = entry.get("pieces")
    for number, piece in enumerate(pieces or [entry]):
        yield _folder(about) / f"{_stem(about, profile)}.{split}{f'.{number}' if pieces else ''}.parquet", piece


def _record_path(about: Manifest, profile: str) -> Path:
    return _folder(about) / f"{_stem(about, profile)}.json"


def _folder(about: Manifest) -> Path:
    return manifests_dir() / "samples" / about.topic


def _stem(about: Manifest, profile: str) -> str:
    return about.name if profile == "smoke" else f"{about.name}.{profile}"
