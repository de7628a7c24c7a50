"""Public files on disk: downloaded only when asked, put there by hand, and checked before they are used."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hepml_nb.core import InputError, NotFound, RunError, cache_dir, content_hash
from hepml_nb.data import disk
from hepml_nb.data.download import download, wrong
from hepml_nb.data.manifest import File, Manifest

__all__ = ["add", "check", "fetch", "fetched", "folder", "here", "states", "verify"]


def folder(about: Manifest) -> Path:
    """Return where the public files of a dataset lie: $HEPML_NB_DATA/<name>, else the cache."""
    given = os.environ.get("HEPML_NB_DATA")
    name = (about.public.shares if about.public else "") or about.name
    return (Path(given).expanduser() if given else cache_dir() / "public") / name


def here(about: Manifest) -> list[File]:
    """Return the public files of a dataset that are here."""
    return [file for file in (about.public.files if about.public else ()) if (folder(about) / file.name).is_file()]


def fetched(about: Manifest) -> bool:
    """Say whether the public files that are here suffice: at least one for every split and stream that files have."""
    kinds = {_kind(file) for file in (about.public.files if about.public else ())}
    return bool(kinds) and kinds == {_kind(file) for file in here(about)}


def states(about: Manifest) -> list[list[Any]]:
    """Return [name, size, checksum or else time] of the public files that are here: what stands for their content."""
    found = []
    for file in here(about):
        at = (folder(about) / file.name).stat()
        found.append([file.name, at.st_size, file.sha256 or file.md5 or at.st_mtime_ns])
    return found


def fetch(about: Manifest, only: str = "*") -> list[Path]:
    """Download the public files that are not here, check every one, and return their paths.

    `only` is a pattern of names such as "*_0.npz": a part of a large set will do, as long as it has every split and
    class. A file that is here is never asked for again. A broken download goes on where it stopped. Where no checksum
    was published, the one of the first download is written beside the file and holds from then on. A file that does
    not match is set aside as <name>.bad. Raises RunError for that, and for a file that cannot be had; NotFound for one
    without an address or a pattern that no name matches.
    """
    chosen = [file for file in _files(about) if fnmatch.fnmatch(file.name, only)]
    if not chosen:
        raise NotFound(f"no public file of {about.name!r} is like {only!r}; there are "
                       f"{', '.join(file.name for file in _files(about)[:5])} and so on.")  # fmt: skip
    for file in chosen:
        path = folder(about) / file.name
        if not path.is_file():
            if not file.url:
                raise NotFound(f"{path} is not here, and has no address to fetch it from: its owner had put it here. "
                               f"Bring the file back, or add {about.name!r} again.")  # fmt: skip
            hint = f"Or download it by other means and run `hepml-nb data add {about.name} {path.name}`, which puts it "
            with disk.held(path):
                if not path.is_file():
                    download(_address(file), file, path, f"{hint}into {path.parent}.")
        _remember(path, file)
        if told := _told(path, file):
            aside = f"it is set aside as {disk.set_aside(path).name}" if disk.writable(path.parent) else "delete it"
            raise RunError(f"{path} does not match its checksum ({told}); {aside}. Fetch {about.name!r} again.")
    return [folder(about) / file.name for file in chosen]


def add(about: Manifest, paths: Sequence[Path]) -> list[Path]:
    """Put files that were downloaded by other means in place as public files of a dataset; return where they are.

    Each is told by its name, or where that was changed by its published size or checksum, and is checked before it is
    linked (or copied) into the folder. Raises InputError for a file that is not one of the dataset or does not match.
    """
    files, placed = {Path(file.name).name: file for file in _files(about)}, []
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} is not a file.")
        file = files.get(path.name) or next(
            (one for one in files.values() if _named(one) and not wrong(one, path)), None
        )
        if file is None:
            raise InputError(f"{path} is none of the files of {about.name!r}: {', '.join(files)}.")
        if told := wrong(file, path):
            raise InputError(f"{path} is not {file.name} of {about.name!r}: {told}. Nothing was changed.")
        target = folder(about) / file.name
        with disk.held(target):
            if not (target.is_file() and os.path.samefile(path, target)):
                disk.install(path, target)
                target.with_name(f"{target.name}.sha256").unlink(missing_ok=True)
            _remember(target, file)
        placed.append(target)
    return placed


def verify(about: Manifest) -> dict[str, str]:
    """Return {path: "ok" | "damaged" | "unknown"} of the public files that are here."""
    return {str(folder(about) / file.name): _state(folder(about) / file.name, file) for file in here(about)}


def check(about: Manifest) -> None:
    """Raise RunError where a public file is not as published, before it is read; each is looked at once."""
    for file in here(about):
        path = folder(about) / file.name
        state = path.stat()
        key = content_hash([str(path.resolve()), state.st_size, state.st_mtime_ns, file.bytes, file.md5, file.sha256])
        seen = cache_dir() / "public-checked" / f"{key}.json"
        if not _named(file) or seen.is_file():
            continue
        if told := wrong(file, path):
            raise RunError(f"{path} is not the public file: {told}. It is not used; put the right one there with "
                           f"`hepml-nb data add {about.name} FILE` or delete it and fetch.")  # fmt: skip
        try:
            disk.put_json(seen, {"path": str(path)})
        except RunError:
            continue  # a cache that cannot be written only means to look again next time


def _files(about: Manifest) -> list[File]:
    if about.public is None:
        raise InputError(f"dataset {about.name!r} has no public files; it is made by its recipe.")
    return about.public.files


def _kind(file: File) -> tuple[str, str]:
    return file.split, file.stream


def _address(file: File) -> str:
    return file.url


def _named(file: File) -> bool:
    """Say whether size or checksum of a file were published."""
    return any(value is not None for value in (file.bytes, file.md5, file.sha256))


def _recorded(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _remember(path: Path, file: File) -> None:
    """Write down the checksum of a file whose checksum was not published, where that is possible."""
    if file.md5 is None and file.sha256 is None and not _recorded(path).exists() and disk.writable(path.parent):
        disk.put(_recorded(path), disk.digest(path, "sha256").encode())


def _told(path: Path, file: File) -> str:
    """Return what is wrong with a file, against what was published and what was recorded ("" where nothing is)."""
    if told := wrong(file, path):
        return told
    if file.md5 is None and file.sha256 is None and _recorded(path).exists():
        known = _recorded(path).read_text(encoding="utf-8").strip()
        return "" if disk.digest(path, "sha256") == known else "it changed since it was fetched"
    return ""


def _state(path: Path, file: File) -> str:
    if _told(path, file):
        return "damaged"
    return "ok" if file.md5 or file.sha256 or _recorded(path).exists() else "unknown"
