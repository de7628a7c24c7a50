"""Files of the data cache: written whole, set aside when damaged, and what a disk refuses is told in one line."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hepml_nb.core import RunError, atomic_write, lock

__all__ = ["digest", "held", "install", "put", "put_json", "read_json", "room", "set_aside", "sha256", "tell",
           "writable", "writing"]  # fmt: skip

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REMEDY = "set HEPML_NB_CACHE (for public files HEPML_NB_DATA) to a folder"
_DAY = 24 * 3600.0


@contextmanager
def writing(path: Path, remedy: str = _REMEDY) -> Iterator[None]:
    """Raise RunError in one line, naming folder and `remedy`, where the disk does not take what the block writes."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _FULL:
            raise RunError(
                f"no room for {path.name} in {path.parent} ({reason}): free some space or {remedy} with more. "
                "What was finished is kept; run again to go on."
            ) from error
        raise RunError(f"cannot write to {path.parent} ({reason}): {remedy} that you can write to.") from error


@contextmanager
def held(path: Path, timeout: float = _DAY) -> Iterator[None]:
    """Hold the lock of `path` (a file beside it) while the block runs; the folder is made where it is missing."""
    with writing(path):
        holder = lock(path.with_name(f"{path.name}.lock"), timeout=timeout)
        holder.__enter__()
    try:
        yield
    finally:
        holder.__exit__(None, None, None)


def put(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; remains of a writer that was killed are removed.

    For callers that hold the lock of `path`.
    """
    with writing(path):
        for remains in path.parent.glob(f".{path.name}.*.part"):
            remains.unlink(missing_ok=True)
        with atomic_write(path, "wb") as stream:
            stream.write(content)


def put_json(path: Path, content: Any) -> None:
    """Write JSON as `put` does."""
    put(path, json.dumps(content).encode())


def read_json(path: Path, *needed: str) -> dict[str, Any] | None:
    """Return the JSON object in a file; None where it is missing, empty, garbage or lacks a `needed` key."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) and all(name in found for name in needed) else None


def install(source: Path, target: Path) -> None:
    """Put a finished file under its name at once: a hard link where the disk allows it, else a copy."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}.part")
        aside.unlink(missing_ok=True)
        try:
            try:
                os.link(source.resolve(), aside)
            except OSError:  # another disk, or one without links
                shutil.copyfile(source, aside)
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a damaged file to <name>.bad, in place of an older one, and return its new path."""
    bad = path.with_name(f"{path.name}.bad")
    with writing(path):
        os.replace(path, bad)
    return bad


def writable(folder: Path) -> bool:
    """Say whether files can be made in a folder that exists (true also for root, who ignores mode bits)."""
    probe = folder / f".{os.getpid()}.probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def room(path: Path, needed: int) -> None:
    """Raise RunError when the disk of `path` has less than `needed` bytes left."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise RunError(f"{path.name} needs {needed / 1e6:,.0f} MB and {path.parent} has {free / 1e6:,.0f} MB left; "
                       "free some space or set HEPML_NB_DATA to a folder with more.")  # fmt: skip


def digest(path: Path, kind: str) -> str:
    """Return the hexadecimal digest of a file, read piece by piece."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def sha256(content: bytes) -> str:
    """Return the hexadecimal sha256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def tell(text: str) -> None:
    """Say one line to a person, on stderr."""
    print(text, file=sys.stderr, flush=True)
