"""Samples: the smoke profile of a dataset, in the checkout as Parquet files beside a record of their checksums."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from hepml_nb.core import InputError, NotFound, RunError, atomic_write, manifests_dir
from hepml_nb.data import disk
from hepml_nb.data.dataset import Dataset, Part
from hepml_nb.data.manifest import Manifest
from hepml_nb.data.parquet import from_parquet_bytes, parquet_bytes

__all__ = ["record", "sample", "ships", "verify", "write"]


def ships(about: Manifest) -> bool:
    """Say whether a dataset has a sample."""
    return _record_path(about).exists()


def record(about: Manifest) -> dict[str, Any]:
    """Return the record of a sample: its provenance, and bytes and sha256 of every split.

    Raises RunError for one that cannot be read.
    """
    found = disk.read_json(_record_path(about), "identity", "splits", "counts")
    if found is None:
        raise RunError(f"{_record_path(about)} is damaged: it is not the record of a sample; restore it with git.")
    return found


def sample(about: Manifest, profile: str, order: int) -> Dataset:
    """Return the sample as a dataset; raise NotFound where none ships, InputError for other profiles than smoke."""
    if profile != "smoke":
        raise InputError(f"the sample of {about.name!r} is its smoke profile; profile={profile!r} has to be made.")
    if not ships(about):
        raise NotFound(f"dataset {about.name!r} ships no sample; use source='twin'.")
    provenance = record(about)
    sizes = {split: sum(counts.values()) for split, counts in provenance["counts"].items()}
    parts = {
        split: [Part(sizes[split], partial(_read, about, split), sha256=entry["sha256"])]
        for split, entry in provenance["splits"].items()
    }
    return Dataset(about.name, profile, parts, provenance, about.classes, order)


def verify(about: Manifest) -> dict[str, str]:
    """Return {path: "ok" | "damaged"} of the files of a sample."""
    if not ships(about):
        return {}
    return {
        str(path): "ok" if path.is_file() and disk.digest(path, "sha256") == entry["sha256"] else "damaged"
        for split, entry in record(about)["splits"].items()
        for path in [_path(about, split)]
    }


def write(about: Manifest, dataset: Dataset) -> int:
    """Write a dataset as the sample that ships, and return its bytes."""
    splits: dict[str, dict[str, Any]] = {}
    for split in dataset.splits:
        content = parquet_bytes(dataset.split(split))
        with atomic_write(_path(about, split), "wb") as stream:
            stream.write(content)
        splits[split] = {"sha256": disk.sha256(content), "bytes": len(content)}
    with atomic_write(_record_path(about)) as stream:
        json.dump({**dataset.provenance, "source": "sample", "splits": splits}, stream, indent=1, default=str)
    return sum(entry["bytes"] for entry in splits.values())


def _read(about: Manifest, split: str) -> Any:
    path = _path(about, split)
    content = path.read_bytes() if path.is_file() else b""
    if disk.sha256(content) != record(about)["splits"][split]["sha256"]:
        raise RunError(f"{path} is damaged: its sha256 is not the recorded one; restore it with git.")
    return from_parquet_bytes(content)


def _record_path(about: Manifest) -> Path:
    return manifests_dir() / "samples" / about.topic / f"{about.name}.json"


def _path(about: Manifest, split: str) -> Path:
    return manifests_dir() / "samples" / about.topic / f"{about.name}.{split}.parquet"
