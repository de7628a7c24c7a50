"""One public file from the network: resumed where it broke off, and checked before it appears under its name."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hepml_nb.core import RunError, progress
from hepml_nb.data import disk
from hepml_nb.data.manifest import File

__all__ = ["download", "wrong"]

_PIECE = 1 << 14
"""Bytes written at a time: what a broken connection costs at most."""
_PAUSE = 1.0
"""Seconds before a broken connection is taken up again."""
_TIMEOUT = (20.0, 60.0)
"""Seconds for the connection, and without any byte."""


def download(url: str, file: File, path: Path, hint: str) -> None:
    """Download `file` from `url` to `path`, for a caller that holds its lock.

    What came stays as <name>.part when the connection breaks, and the next call asks for the rest (HTTP Range); a
    server that cannot do that begins anew. A file of another size or checksum than the manifest's is set aside as
    <name>.bad. Raises RunError with the address and the `hint` when the file cannot be had.
    """
    import pooch

    known = next((f"{kind}:{value}" for kind, value in (("sha256", file.sha256), ("md5", file.md5)) if value), None)
    with disk.writing(path), _quiet(pooch.get_logger()):
        path.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(url, known_hash=known, fname=path.name, path=path.parent, downloader=_Resuming(file, path, hint))


def wrong(file: File, path: Path) -> str:
    """Return what is not as published about a file ("" where all is): its size, then its checksums."""
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        return f"it has {size:,} bytes instead of {file.bytes:,}"
    for kind, value in (("sha256", file.sha256), ("md5", file.md5)):
        if value is not None and (found := disk.digest(path, kind)) != value.lower():
            return f"its {kind} is {found} instead of {value}"
    return ""


class _Resuming:
    """What pooch calls to get a file: it fills <name>.part, checks it and hands it over."""

    def __init__(self, file: File, path: Path, hint: str) -> None:
        self.file, self.path, self.hint = file, path, hint
        self.part = path.with_name(f"{path.name}.part")
        self.about = path.with_name(f"{path.name}.part.json")  # which version of the file the part belongs to

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        import requests

        while True:
            before = self._have()
            try:
                with requests.Session() as session:
                    self._receive(session, url)
                break
            except requests.RequestException as error:
                if self._have() <= before:  # nothing came this time: it is no use to go on
                    raise self._failed(url, _reason(error)) from error
                time.sleep(_PAUSE)
        if told := wrong(self.file, self.part):
            bad = self.path.with_name(f"{self.path.name}.bad")
            os.replace(self.part, bad)
            self.about.unlink(missing_ok=True)
            raise RunError(f"{url} gave a wrong file: {told}. It is set aside as {bad} and not used; fetch again, or "
                           f"look for a newer version of the manifest.")  # fmt: skip
        os.replace(self.part, output_file)
        self.about.unlink(missing_ok=True)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _failed(self, url: str, reason: str) -> RunError:
        kept = f" The {self._have() / 1e6:.1f} MB that came are kept, and the next fetch goes on." * bool(self._have())
        return RunError(f"{url} cannot be had ({reason}).{kept} {self.hint}")

    def _receive(self, session: Any, url: str) -> None:
        """Ask for what is missing and append it to the part."""
        have, headers = self._have(), {"Accept-Encoding": "identity"}
        version = disk.read_json(self.about, "url", "version")
        if have and (version or {"url": ""})["url"] != url:
            self.part.unlink()  # of an unknown version
            have = 0
        if have and version:
            headers |= {"Range": f"bytes={have}-"} | ({"If-Range": version["version"]} if version["version"] else {})
        with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if url.startswith("https:") and not answer.url.startswith("https:"):
                raise self._failed(url, f"it leads to {answer.url}, which is not https")
            if answer.status_code == 416:  # the part is as long as the file, or longer
                if answer.headers.get("Content-Range", "").rpartition("/")[2] != str(have):
                    self.part.unlink()
                    self._receive(session, url)
                return
            if answer.status_code >= 400:
                raise self._failed(url, f"{answer.status_code} {answer.reason}")
            start = have if _continues(answer, have) else 0
            self._append(answer, url, start)

    def _append(self, answer: Any, url: str, start: int) -> None:
        length = int(answer.headers.get("Content-Length") or 0)
        disk.room(self.path, length)
        tag = answer.headers.get("ETag", "")
        strong = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
        disk.put_json(self.about, {"url": url, "version": strong})
        with (
            self.part.open("ab" if start else "wb") as stream,
            progress(total=start + length if length else None, desc=self.file.name, unit="B") as bar,
        ):
            bar.unit_scale = True
            bar.update(start)
            for piece in answer.iter_content(_PIECE):
                stream.write(piece)
                bar.update(len(piece))
            stream.flush()
            os.fsync(stream.fileno())


def _continues(answer: Any, have: int) -> bool:
    return bool(answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"))


def _reason(error: Exception) -> str:
    """Return the innermost cause of a failed request, in a few words."""
    cause: Any = error
    while cause.args and isinstance(getattr(cause.args[0], "reason", cause.args[0]), Exception):
        cause = getattr(cause.args[0], "reason", cause.args[0])
    text = str(cause).rpartition(": ")[2].partition("', ")[0].strip("'\" ")
    return text or type(error).__name__


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from announcing what our bar shows."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
