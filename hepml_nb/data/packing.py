"""One archive of made data for a class without a network: chunks, their records, and an index of checksums."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hepml_nb.core import InputError, NotFound, RunError, atomic_write, cache_dir, manifests_dir, progress
from hepml_nb.data import disk
from hepml_nb.data.farm import Chunk
from hepml_nb.data.manifest import manifest, places
from hepml_nb.data.twins import in_turns, spec, twin_chunks
from hepml_nb.data.user import keep_manifest

__all__ = ["Packed", "pack", "unpack"]

_INDEX, _FORMAT = "index.json", 1
_CHUNK = re.compile(r"chunks/[0-9a-f]{16}/[0-9]{5,}\.(parquet|json)")
_MANIFEST = re.compile(r"manifests/[a-z0-9][a-z0-9_-]*\.yaml")
_LARGEST_INDEX = 100_000_000


@dataclass(frozen=True)
class Packed:
    """What an archive holds: chunks of each {name: {profile, chunks, of}}, and bytes in all; `new` were not here."""

    path: Path
    datasets: dict[str, dict[str, Any]]
    chunks: int
    bytes: int
    new: int = 0

    def __str__(self) -> str:
        """Return one line."""
        names = ", ".join(f"{name} ({one['profile']}: {one['chunks']} of {one['of']} chunks)"
                          for name, one in self.datasets.items())  # fmt: skip
        return f"{self.path}: {self.bytes / 1e6:.1f} MB, {names}"


def pack(names: Sequence[str], profile: str, out: str | Path) -> Packed:
    """Write what the cache holds of the twins of `names` in a profile into one tar file, with an index of checksums.

    The same data give the same bytes. Manifests that the user added come along. Raises NotFound where nothing is made,
    RunError for a damaged chunk.
    """
    path, found, datasets = Path(out), dict[str, Path](), dict[str, dict[str, Any]]()
    for name in names:
        about = manifest(name)
        spec(about)
        every = in_turns(twin_chunks(about, profile))
        made = [chunk for chunk in every if chunk.made()]
        if not made:
            raise NotFound(f"nothing is made of {name!r} ({profile}); "
                           f"`hepml-nb data make {name} --profile {profile}` comes first.")  # fmt: skip
        datasets[name] = {"profile": profile, "chunks": len(made), "of": len(every)}
        found |= {_name(file): file for chunk in made for file in (chunk.path, chunk.path.with_suffix(".json"))}
        if places()[name].parent != manifests_dir():
            found[f"manifests/{name}.yaml"] = places()[name]
        _check(made)
    files: dict[str, Any] = {name: {"bytes": file.stat().st_size, "sha256": disk.digest(file, "sha256")}
             for name, file in sorted(found.items())}  # fmt: skip
    index = json.dumps({"format": _FORMAT, "datasets": datasets, "files": files}, indent=1).encode()
    with (
        disk.writing(path, "choose a folder for --out"),
        atomic_write(path, "wb") as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        _append(tar, _INDEX, len(index), io.BytesIO(index))
        for name in progress(files, desc="packing", unit="file"):
            with found[name].open("rb") as content:
                _append(tar, name, files[name]["bytes"], content)
    return Packed(path, datasets, sum(one["chunks"] for one in datasets.values()), path.stat().st_size)


def _check(chunks: Sequence[Chunk]) -> None:
    for chunk in chunks:
        if disk.digest(chunk.path, "sha256") != chunk.record()["sha256"]:
            raise RunError(f"{chunk.path} is damaged; `hepml-nb data verify` lists all that are, and making the data "
                           "again after deleting it mends it.")  # fmt: skip


def _name(path: Path) -> str:
    return path.relative_to(cache_dir()).as_posix()


def _append(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)  # owner, mode and time are left plain
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, content)


def unpack(path: str | Path) -> Packed:
    """Install the chunks of an archive that `pack` wrote; return what it holds.

    Everything is checked first, aside: only names of chunks and manifests are taken, each with the size and checksum of
    the index and each chunk with its record. Then each appears under its name at once; a chunk that is here and whole
    stays. Raises InputError for a file that is not such an archive, RunError for a damaged one; then nothing changed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file.")
    with _aside() as folder, _opened(path) as tar:
        index = _index(tar, path)
        disk.room(folder / _INDEX, sum(one["bytes"] for one in index["files"].values()))
        _extract(tar, path, index["files"], folder)
        chunks = _pairs(folder, path)
        new = _install(chunks, folder)
        for kept in sorted(folder.glob("manifests/*.yaml")):
            if not (manifests_dir() / kept.name).exists():
                keep_manifest(kept.read_bytes(), f"{path}: {kept.name}")
    return Packed(path, index["datasets"], len(chunks), path.stat().st_size, new)


@contextmanager
def _aside() -> Iterator[Path]:
    """Yield an empty folder on the disk of the cache, which vanishes."""
    with disk.writing(cache_dir() / "chunks"):
        cache_dir().mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=cache_dir()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{path} is no archive of `hepml-nb data pack`, or cut short ({error}).") from error


def _index(tar: tarfile.TarFile, path: Path) -> dict[str, Any]:
    first = tar.next()
    if first is None or first.name != _INDEX or not first.isfile() or first.size > _LARGEST_INDEX:
        raise InputError(f"{path} does not begin with {_INDEX}; it is no archive of `hepml-nb data pack`.")
    content = tar.extractfile(first)
    try:
        index = json.loads(content.read() if content else b"")
        whole = index["format"] == _FORMAT and all(
            isinstance(one["bytes"], int) and isinstance(one["sha256"], str) for one in index["files"].values()
        ) and isinstance(index["datasets"], dict)  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise InputError(f"{path}: its {_INDEX} is not one of format {_FORMAT}; a newer hepml-nb may have written it.")
    return dict(index)


def _extract(tar: tarfile.TarFile, path: Path, files: dict[str, Any], folder: Path) -> None:
    """Write the members aside and compare them with the index."""
    left = dict(files)
    while (entry := tar.next()) is not None:
        known = left.pop(entry.name, None)
        plain = _CHUNK.fullmatch(entry.name) or _MANIFEST.fullmatch(entry.name)
        if known is None or not plain or not entry.isfile():
            raise InputError(f"{path} holds {entry.name!r}, which is no chunk of its index; it is not to be trusted.")
        if entry.size != known["bytes"]:
            raise RunError(f"{path} is damaged: {entry.name} has {entry.size} bytes instead of {known['bytes']}.")
        target, content = folder / entry.name, tar.extractfile(entry)
        with disk.writing(cache_dir() / entry.name):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as stream:
                shutil.copyfileobj(content or io.BytesIO(), stream)
        if disk.digest(target, "sha256") != known["sha256"]:
            raise RunError(f"{path} is damaged: the sha256 of {entry.name} is not that of the index; copy it again.")
    if left:
        raise RunError(f"{path} is cut short: {len(left)} of {len(files)} files are missing.")


def _pairs(folder: Path, path: Path) -> list[Path]:
    """Return the chunks aside, each of which must have the record that belongs to it."""
    chunks = sorted(folder.glob("chunks/*/*.parquet"))
    for chunk in chunks:
        record = disk.read_json(chunk.with_suffix(".json"), "n", "counters", "core_seconds", "bytes", "sha256")
        if record is None or record["sha256"] != disk.digest(chunk, "sha256"):
            raise RunError(f"{path} is damaged: {chunk.relative_to(folder)} does not fit its record.")
    return chunks


def _install(chunks: Sequence[Path], folder: Path) -> int:
    """Move chunks that the cache does not hold whole into place, record last; return their number."""
    new = 0
    for chunk in chunks:
        target = cache_dir() / chunk.relative_to(folder)
        record = chunk.with_suffix(".json")
        with disk.held(target.with_suffix("")):
            here = disk.read_json(target.with_suffix(".json"), "sha256")
            if here and target.is_file() and disk.digest(target, "sha256") == here["sha256"]:
                continue
            disk.install(chunk, target)
            disk.install(record, target.with_suffix(".json"))
            new += 1
    return new
