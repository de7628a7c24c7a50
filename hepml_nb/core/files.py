"""Nothing is half-written: content is made aside, flushed, then renamed into place, under a lock where shared."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from filelock import FileLock, Timeout

from hepml_nb.core.errors import NotFound, RunError

__all__ = [
    "atomic_dir",
    "atomic_write",
    "cache_dir",
    "content_hash",
    "golden_dir",
    "lock",
    "manifests_dir",
    "notebooks_dir",
    "repo_root",
]


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open a file that appears under `path` complete, or not at all when the block raises."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, mode, encoding="utf-8" if mode == "w" else None) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def atomic_dir(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Fill a folder that replaces `path` as a whole when the block ends, or vanishes when it raises."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield aside
        os.chmod(aside, 0o777 & ~_umask())
        old = aside.with_suffix(".old")
        if path.exists():
            os.replace(path, old)
        os.replace(aside, path)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


@contextmanager
def lock(path: str | os.PathLike[str], timeout: float = 600.0) -> Iterator[None]:
    """Hold the lock file `path` (made if missing); raise RunError when another process keeps it for `timeout` s."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=timeout):
            yield
    except Timeout as error:
        raise RunError(
            f"{path} is locked by another process and stayed so for {timeout:.0f} s; wait for that run, or end it."
        ) from error


def content_hash(obj: object, length: int = 16) -> str:
    """Return the sha256 of the canonical JSON of `obj` (sorted keys; paths and numpy scalars as text or numbers)."""

    def plain(value: object) -> object:
        return value.item() if hasattr(value, "item") else str(value)

    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def cache_dir() -> Path:
    """Return the folder of everything that can be made again: $HEPML_NB_CACHE, else the user's cache folder."""
    if given := os.environ.get("HEPML_NB_CACHE"):
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("hepml-nb"))


def repo_root() -> Path:
    """Return the folder of notebooks/ and data_manifests/: $HEPML_NB_HOME, else the checkout of this package."""
    given = os.environ.get("HEPML_NB_HOME")
    place = Path(given).expanduser() if given else Path(__file__).resolve().parents[2]
    if not (place / "data_manifests").is_dir():
        raise NotFound(f"no folder data_manifests/ in {place}; set HEPML_NB_HOME to a checkout of hepml-nb.")
    return place


def manifests_dir() -> Path:
    """Return data_manifests/."""
    return repo_root() / "data_manifests"


def notebooks_dir() -> Path:
    """Return notebooks/."""
    return repo_root() / "notebooks"


def golden_dir() -> Path:
    """Return tests/golden/."""
    return repo_root() / "tests" / "golden"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
