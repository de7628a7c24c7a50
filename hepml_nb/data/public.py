"""Public files: found where they were put or fetched, checked, and read into the schema of their twin."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import (
    InputError,
    NotFound,
    RunError,
    atomic_write,
    cache_dir,
    content_hash,
    lock,
    progress,
    suggest,
)
from hepml_nb.data.dataset import Dataset
from hepml_nb.data.farm import from_parquet_bytes, parquet_bytes
from hepml_nb.data.manifest import File, Manifest

__all__ = ["READERS", "fetch", "fetched", "folder", "load", "read_top_tagging", "verify"]

_BLOCK = 20_000


def folder(about: Manifest) -> Path:
    """Return where the public files of a dataset lie: $HEPML_NB_DATA/<name>, else the cache."""
    given = os.environ.get("HEPML_NB_DATA")
    return (Path(given).expanduser() if given else cache_dir() / "public") / about.name


def fetched(about: Manifest) -> bool:
    """Say whether all public files of a dataset are here."""
    return about.public is not None and all((folder(about) / file.name).is_file() for file in about.public.files)


def fetch(about: Manifest) -> list[Path]:
    """Download the public files that are not here, check every one, and return their paths.

    A file that is here is never asked for again. Where no checksum was published, the one of the first download is
    written beside the file and holds from then on. Raises RunError when a file does not match.
    """
    if about.public is None:
        raise InputError(f"dataset {about.name!r} has no public files; it is made by its recipe.")
    for file in about.public.files:
        path = folder(about) / file.name
        if not path.is_file():
            import pooch

            path.parent.mkdir(parents=True, exist_ok=True)
            with lock(path.with_name(path.name + ".lock"), timeout=24 * 3600):
                pooch.retrieve(file.url, known_hash=None, fname=file.name, path=path.parent)
        recorded = path.with_name(path.name + ".sha256")
        if not recorded.exists():
            with atomic_write(recorded) as stream:
                stream.write(_digest(path, "sha256"))
        if _state(path, file) == "damaged":
            raise RunError(f"{path} does not match its checksum; delete it and fetch {about.name!r} again.")
    return [folder(about) / file.name for file in about.public.files]


def verify(about: Manifest) -> dict[str, str]:
    """Return {path: "ok" | "damaged" | "unknown"} of the public files that are here."""
    files = about.public.files if about.public else []
    paths = {folder(about) / file.name: file for file in files}
    return {str(path): _state(path, file) for path, file in paths.items() if path.is_file()}


def _state(path: Path, file: File) -> str:
    recorded = path.with_name(path.name + ".sha256")
    known = {"md5": file.md5, "sha256": file.sha256}
    if file.sha256 is None and recorded.exists():
        known["sha256"] = recorded.read_text(encoding="utf-8").strip()
    if file.bytes is not None and path.stat().st_size != file.bytes:
        return "damaged"
    checks = [_digest(path, kind) == value for kind, value in known.items() if value is not None]
    return "unknown" if not checks else "ok" if all(checks) else "damaged"


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def load(about: Manifest, profile: str, seed: int) -> Dataset:
    """Return a profile of the public dataset: the first jets of each split, all of them in the full profile."""
    if not fetched(about):
        where = f"put them in {folder(about)} or run `hepml-nb data fetch {about.name}`"
        raise NotFound(f"the public files of {about.name!r} are not here; {where}.")
    if about.public is None or about.public.reader not in READERS:
        raise NotFound(f"{about.name!r} has no reader for its public files.")
    reader = READERS[about.public.reader]
    paths = {file.split: folder(about) / file.name for file in about.public.files}
    wanted = {split: None if profile == "full" else sum(counts.values())
              for split, counts in about.counts(profile).items()}  # fmt: skip
    states = {split: [path.name, path.stat().st_size, path.stat().st_mtime_ns] for split, path in paths.items()}
    identity = content_hash({"name": about.name, "reader": about.public.reader, "files": states, "wanted": wanted})
    readers = {split: partial(_cached, reader, paths[split], n, identity) for split, n in wanted.items()}
    counts = {split: _counts(readers[split](), about.classes) for split in readers}
    provenance = {"identity": identity, "source": "public", "about": f"{about.title}, {about.doi}", "files": states,
                  "counts": counts, "licence": about.licence, "citation": about.citation}  # fmt: skip
    return Dataset(about.name, profile, readers, provenance, about.classes, seed)


def _counts(array: Any, classes: Mapping[str, int]) -> dict[str, int]:
    label = ak.to_numpy(array.label)
    return {name: int((label == number).sum()) for name, number in classes.items()}


def _cached(reader: Callable[..., Any], path: Path, n: int | None, identity: str) -> Any:
    """Return the converted split, kept in the cache, since substructure takes about 3 ms a jet."""
    kept = cache_dir() / "public-converted" / identity / f"{path.stem}.parquet"
    with lock(kept.with_suffix(".lock"), timeout=24 * 3600):
        if kept.exists():
            return from_parquet_bytes(kept.read_bytes())
        array = reader(path, 0, n)
        with atomic_write(kept, "wb") as stream:
            stream.write(parquet_bytes(array))
    return array


def read_top_tagging(path: str | os.PathLike[str], start: int = 0, stop: int | None = None) -> Any:
    """Read jets [start, stop) of the public top-tagging set (arXiv:1902.09914) into the jets schema.

    The file is a pandas table `table` with columns E_0, PX_0, PY_0, PZ_0 ... _199 (GeV, hardest first, padded with
    zeros), truthE ... truthPZ, ttv and is_signal_new. It has no particle classes (`pdg` is 0), holds leading jets
    (`rank` 0) and only matched tops. Raises InputError for another layout, NaN or a jet without constituents.
    """
    try:
        import tables  # noqa: F401 - what pandas reads HDF5 tables with
    except ImportError as error:
        raise NotFound("reading the public files needs PyTables: pip install 'hepml-nb[public]'.") from error
    import pandas as pd

    with pd.HDFStore(os.fspath(path), mode="r") as store:
        if "/table" not in store.keys():  # noqa: SIM118 - the store is no mapping
            raise InputError(f"{path} has no pandas table 'table'{suggest('table', store.keys())}")
        rows = store.get_storer("table").nrows
        stop = rows if stop is None else min(stop, rows)
        blocks = range(start, stop, _BLOCK)
        parts = [
            _jets(store.select("table", start=first, stop=min(first + _BLOCK, stop)), first, path)
            for first in progress(blocks, desc=Path(path).name, unit="block")
        ]
    if not parts:
        raise InputError(f"{path} has {rows} jets; nothing lies between {start} and {stop}.")
    return ak.concatenate(parts)


def _jets(table: Any, first: int, path: Any) -> Any:
    from hepml_nb.simulate.jets import delta_phi, from_constituents

    most = sum(name.startswith("PX_") for name in table.columns)
    needed = [f"{name}_{i}" for i in range(most) for name in ("E", "PX", "PY", "PZ")]
    lacking = [name for name in (*needed, "is_signal_new") if name not in table.columns]
    if lacking or not most:
        raise InputError(f"{path}: no column {(lacking or ['PX_0'])[0]!r}; expected E_0, PX_0 ... and is_signal_new.")
    values = table[needed].to_numpy(np.float64).reshape(len(table), most, 4)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: row {first + int(np.argwhere(~np.isfinite(values))[0, 0])} holds NaN or infinity.")
    mask = values[..., 0] > 0
    if not mask.any(axis=1).all():
        raise InputError(f"{path}: row {first + int(np.argmin(mask.any(axis=1)))} has no constituents.")
    energy, px, py, pz = (values[..., i] for i in range(4))
    jet = values.sum(axis=1)
    jet_pt = np.hypot(jet[:, 1], jet[:, 2])
    eta, phi = np.arcsinh(jet[:, 3] / jet_pt), np.arctan2(jet[:, 2], jet[:, 1])
    pt = np.hypot(px, py)
    order = np.argsort(-pt, axis=1, kind="stable")
    columns = {
        "pt": pt,
        "deta": np.arcsinh(pz / np.maximum(pt, 1e-12)) - eta[:, None],
        "dphi": delta_phi(np.arctan2(py, px), phi[:, None]),
        "pdg": np.zeros_like(energy),
    }
    mask = np.take_along_axis(mask, order, axis=1)
    flat = {name: np.take_along_axis(column, order, axis=1)[mask] for name, column in columns.items()}
    kinds = {name: np.int16 if name == "pdg" else np.float32 for name in flat}
    inside = ak.unflatten(ak.zip({name: flat[name].astype(kinds[name]) for name in flat}), mask.sum(axis=1))
    return from_constituents(
        jet_pt, eta, phi, inside, label=table["is_signal_new"].to_numpy(), matched=np.ones(len(table)),
        event=np.arange(first, first + len(table)),
    )  # fmt: skip


READERS: Mapping[str, Callable[..., Any]] = {"top-tagging-hdf5": read_top_tagging}
"""Readers of public formats: (path, start, stop) -> records in the schema."""
