"""Public files on disk: downloaded when asked, unpacked inside their folder, checked against their checksums."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from hepml_nb.core import InputError, RunError, atomic_dir, atomic_write, cache_dir, lock
from hepml_nb.data.manifest import File, Manifest

__all__ = ["fetch", "fetched", "folder", "members", "verify"]


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
                pooch.retrieve(file.url, known_hash=None, fname=path.name, path=path.parent)
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


def members(path: Path, patterns: dict[str, str]) -> list[tuple[Path, str]]:
    """Unpack an archive beside itself, once, and return (file, stream) for the members that match `patterns`.

    The first pattern that matches decides. Raises InputError for an archive with a member that would land outside, and
    RunError when nothing matches.
    """
    target = path.with_name(path.name + ".unpacked")
    with lock(path.with_name(path.name + ".lock"), timeout=24 * 3600):
        if not target.is_dir():
            with atomic_dir(target) as aside:
                _unpack(path, aside, list(patterns))
    found = []
    for file in sorted(file for file in target.rglob("*") if file.is_file()):
        name = file.relative_to(target).as_posix()
        matching = [stream for pattern, stream in patterns.items() if fnmatch.fnmatch(name, pattern)]
        found += [(file, matching[0])] if matching else []
    if not found:
        raise RunError(f"{path} has no member like {', '.join(patterns)}; is it the right archive?")
    return found


def _unpack(path: Path, target: Path, patterns: list[str]) -> None:
    def wanted(name: str) -> bool:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or "\\" in name:
            raise InputError(f"{path} holds {name!r}, which leaves its folder; this archive is not to be trusted.")
        return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in [name for name in archive.namelist() if wanted(name)]:
                archive.extract(name, target)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            chosen = [one for one in tar.getmembers() if wanted(one.name) and one.isfile()]
            tar.extractall(target, chosen, filter="data")
    else:
        raise InputError(f"{path} is neither a zip nor a tar archive.")


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
