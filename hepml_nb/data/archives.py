"""Archives of public files, unpacked inside their own folder: what would land elsewhere is refused."""

from __future__ import annotations

import fnmatch
import json
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from hepml_nb.core import InputError, RunError, atomic_dir, cache_dir, content_hash
from hepml_nb.data import disk

__all__ = ["members", "outside"]

_STATE = ".archive.json"


def members(path: Path, patterns: dict[str, str]) -> list[tuple[Path, str, str]]:
    """Unpack an archive, once, and return (file, its name in the archive, stream) for what matches `patterns`.

    The first pattern that matches decides. It goes to <name>.unpacked beside it, or into the cache where that folder
    cannot be written. Raises InputError for an archive with a member that would land outside or is a link, and RunError
    for a broken one or when nothing matches.
    """
    beside = path.with_name(f"{path.name}.unpacked")
    state = [path.stat().st_size, path.stat().st_mtime_ns, sorted(patterns)]
    elsewhere = cache_dir() / "public-unpacked" / f"{content_hash(str(path.resolve()))}.unpacked"
    target = next((place for place in (beside, elsewhere) if _is(place, state)), None)
    if target is None:
        target = beside if disk.writable(path.parent) else elsewhere
        with disk.held(target):
            if not _is(target, state):
                with disk.writing(target), atomic_dir(target) as aside:
                    _unpack(path, aside, list(patterns))
                    (aside / _STATE).write_text(json.dumps(state), encoding="utf-8")
    found = []
    for file in sorted(file for file in target.rglob("*") if file.is_file()):
        name = file.relative_to(target).as_posix()
        matching = [stream for pattern, stream in patterns.items() if fnmatch.fnmatch(name, pattern)]
        found += [(file, name, matching[0])] if matching and name != _STATE else []
    if not found:
        raise RunError(f"{path} has no member like {', '.join(patterns)}; is it the right archive?")
    return found


def outside(name: str) -> bool:
    """Say whether a member of this name would leave the folder that it is unpacked into."""
    parts = PurePosixPath(name)
    return parts.is_absolute() or ".." in parts.parts or "\\" in name


def _is(target: Path, state: list[object]) -> bool:
    try:
        return bool(json.loads((target / _STATE).read_bytes()) == state)
    except (OSError, ValueError):
        return False


def _unpack(path: Path, target: Path, patterns: list[str]) -> None:
    def wanted(name: str, link: bool) -> bool:
        if outside(name):
            raise InputError(f"{path} holds {name!r}, which leaves its folder; this archive is not to be trusted.")
        plain = PurePosixPath(name).as_posix()  # without a leading ./
        chosen = any(fnmatch.fnmatch(plain, pattern) for pattern in patterns)
        if chosen and link:
            raise InputError(f"{path} holds {name!r}, which is a link; this archive is not to be trusted.")
        return chosen

    try:
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as tar:
                every = [one for one in tar if wanted(one.name, one.issym() or one.islnk())]
                chosen = [one for one in every if one.isfile()]
                disk.room(target, sum(one.size for one in chosen))
                tar.extractall(target, chosen, filter="data")
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                kept = [
                    one for one in archive.infolist() if wanted(one.filename, stat.S_ISLNK(one.external_attr >> 16))
                ]
                disk.room(target, sum(one.file_size for one in kept))
                for one in kept:
                    archive.extract(one, target)
        else:
            raise InputError(f"{path} is neither a zip nor a tar archive.")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise RunError(f"{path} is damaged or cut short ({error}); get it again.") from error
