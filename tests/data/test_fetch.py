"""Public files are fetched only when asked, go on where they broke off, and never appear unless they are right."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hepml_nb import data
from hepml_nb.core import InputError, RunError
from hepml_nb.data import disk, download, fetching
from hepml_nb.data.manifest import File, Manifest, Public

CONTENT = bytes(range(256)) * 4000  # 1 MB
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Server:
    """Serves one file on 127.0.0.1; `cut` ends the answers after so many bytes each, `ranges=False` ignores Range."""

    def __init__(self) -> None:
        self.content, self.etag, self.cut, self.ranges, self.status = CONTENT, '"one"', 0, True, 200
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range", "")
                server.asked.append(asked)
                if server.status != 200:
                    self.send_error(server.status)
                    return
                start = int(found[1]) if (found := re.match(r"bytes=(\d+)-", asked)) and server.ranges else 0
                start = start if self.headers.get("If-Range", server.etag) == server.etag else 0
                if start >= len(server.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(server.content)}")
                    self.end_headers()
                    return
                self.send_response(206 if start else 200)
                self.send_header("ETag", server.etag)
                self.send_header("Content-Length", str(len(server.content) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
                self.end_headers()
                self.wfile.write(server.content[start:][: server.cut or None])

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setattr(fetching, "_address", lambda file: f"{made.address}/{file.name}")
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    yield made
    made.close()


def dataset(**published: Any) -> Manifest:
    """The top-tagging manifest with one public file."""
    file = File("jets.h5", "https://example.org/jets.h5", split="train", **published)
    return dataclasses.replace(data.manifest("top-tagging"), public=Public("top_tagging", [file]))


def kept(about: Manifest) -> dict[str, bytes]:
    """Return what lies in the folder of the public files, but for locks."""
    return {path.name: path.read_bytes() for path in fetching.folder(about).glob("*") if path.suffix != ".lock"}


def test_a_file_comes_whole_and_is_not_asked_for_twice(server: Server) -> None:
    about = dataset(md5=MD5, bytes=len(CONTENT))
    assert [path.name for path in fetching.fetch(about)] == ["jets.h5"]
    assert kept(about) == {"jets.h5": CONTENT}
    fetching.fetch(about)
    assert server.asked == [""]
    assert set(fetching.verify(about).values()) == {"ok"}


def test_what_was_not_published_is_remembered_from_the_first_time(server: Server) -> None:
    about = dataset()
    path = fetching.fetch(about)[0]
    assert kept(about)["jets.h5.sha256"].decode() == hashlib.sha256(CONTENT).hexdigest()
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(RunError, match=r"does not match its checksum \(it changed.*set aside as jets.h5.bad"):
        fetching.fetch(about)
    assert "jets.h5" not in kept(about)


def test_a_broken_download_goes_on_where_it_stopped(server: Server) -> None:
    server.cut = 300_000
    about = dataset(md5=MD5)
    fetching.fetch(about)
    step = 300_000 // download._PIECE * download._PIECE
    assert server.asked == ["", *(f"bytes={i * step}-" for i in (1, 2, 3))]
    assert kept(about) == {"jets.h5": CONTENT}


def test_a_dead_connection_leaves_a_part_for_the_next_call(server: Server) -> None:
    server.cut = 400_000
    about = dataset(md5=MD5)
    real = download._Resuming._receive

    def dies(self: Any, session: Any, url: str) -> None:
        server.status = 503 if server.asked else 200
        real(self, session, url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download._Resuming, "_receive", dies)
        with pytest.raises(RunError, match=r"503.*0\.4 MB that came are kept"):
            fetching.fetch(about)
    came = len(kept(about)["jets.h5.part"])
    assert came > 380_000
    assert kept(about)["jets.h5.part"] == CONTENT[:came]
    assert not fetching.fetched(about)
    server.cut, server.status = 0, 200
    fetching.fetch(about)
    assert server.asked[-1] == f"bytes={came}-"
    assert kept(about) == {"jets.h5": CONTENT}


@pytest.mark.parametrize("change", ["no ranges", "another version"])
def test_what_cannot_be_continued_begins_anew(server: Server, change: str) -> None:
    about = dataset()
    folder = fetching.folder(about)
    folder.mkdir(parents=True)
    (folder / "jets.h5.part").write_bytes(CONTENT[:1000] if change == "no ranges" else b"old" * 500)
    disk.put_json(folder / "jets.h5.part.json", {"url": f"{server.address}/jets.h5", "version": '"zero"'})
    server.ranges = change != "no ranges"
    fetching.fetch(about)
    assert server.asked[0].startswith("bytes=")
    assert kept(about)["jets.h5"] == CONTENT


def test_a_part_that_is_whole_or_too_long_is_understood(server: Server) -> None:
    about = dataset(md5=MD5)
    folder = fetching.folder(about)
    folder.mkdir(parents=True)
    for extra in (b"", b"more"):
        (folder / "jets.h5.part").write_bytes(CONTENT + extra)
        disk.put_json(folder / "jets.h5.part.json", {"url": f"{server.address}/jets.h5", "version": ""})
        fetching.fetch(about)
        assert kept(about) == {"jets.h5": CONTENT}
        (folder / "jets.h5").unlink()


@pytest.mark.parametrize("published", [{"md5": "0" * 32}, {"sha256": "0" * 64}, {"bytes": 7}])
def test_a_wrong_file_is_set_aside_and_never_used(server: Server, published: dict[str, Any]) -> None:
    about = dataset(**published)
    with pytest.raises(RunError, match=r"gave a wrong file: .* instead of .*jets\.h5\.bad and not used"):
        fetching.fetch(about)
    assert kept(about) == {"jets.h5.bad": CONTENT}
    assert not fetching.fetched(about)


def test_a_missing_file_and_a_dead_host_are_one_clear_message(server: Server) -> None:
    about = dataset()
    server.status = 404
    with pytest.raises(RunError) as caught:
        fetching.fetch(about)
    text = str(caught.value)
    assert f"{server.address}/jets.h5 cannot be had (404 Not Found)" in text
    assert "hepml-nb data add top-tagging jets.h5" in text
    assert str(fetching.folder(about)) in text
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server.address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(RunError, match=r"cannot be had .*refused") as caught:
            fetching.fetch(about)
    assert "\n" not in str(caught.value)
    assert kept(about) == {}


def test_a_full_disk_is_said_before_and_during_the_download(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    about = dataset(md5=MD5)
    with monkeypatch.context() as patch:
        patch.setattr(disk.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
        with pytest.raises(RunError, match=r"jets\.h5 needs 1 MB and .* has 0 MB left"):
            fetching.fetch(about)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download.os, "fsync", full)
        with pytest.raises(RunError, match=r"no room for jets\.h5.*HEPML_NB_DATA"):
            fetching.fetch(about)
    fetching.fetch(about)
    assert kept(about) == {"jets.h5": CONTENT}


def test_loading_never_touches_the_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(data.load("top-tagging").split("val"))
    assert data.list()
    assert data.identity("top-tagging", "tutorial")


def test_files_are_added_by_hand_after_a_check(cache: Path, tmp_path: Path) -> None:
    about = dataset(md5=MD5, bytes=len(CONTENT))
    (tmp_path / "downloads").mkdir()
    mine = tmp_path / "downloads" / "jets.h5"
    mine.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=r"is not jets\.h5 of 'top-tagging': it has 1,023,999 bytes instead"):
        fetching.add(about, [mine])
    assert kept(about) == {}
    renamed = mine.with_name("jets (1).h5")
    renamed.write_bytes(CONTENT)
    for path in (renamed, fetching.folder(about) / "jets.h5"):  # told by its checksum; again, from its own place
        assert fetching.add(about, [path]) == [fetching.folder(about) / "jets.h5"]
    assert kept(about) == {"jets.h5": CONTENT}
    assert renamed.read_bytes() == CONTENT
    mine.with_name("other.h5").write_bytes(b"1")
    with pytest.raises(InputError, match=r"none of the files of 'top-tagging': jets\.h5"):
        fetching.add(about, [mine.with_name("other.h5")])
    with pytest.raises(InputError, match="is not a file"):
        fetching.add(about, [mine.with_name("none.h5")])


def test_a_wrong_file_put_there_by_hand_is_not_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hepml_nb.data import public

    about = dataset(md5=MD5, bytes=len(CONTENT))
    path = fetching.folder(about) / "jets.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(RunError, match="is not the public file: its md5 is"):
        public.load(about, "tutorial", 0)
    path.write_bytes(CONTENT)
    fetching.check(about)
    monkeypatch.setattr(fetching, "wrong", lambda *_: "read again")
    fetching.check(about)  # looked at once
