"""Made data travel as one file: what arrives is checked, installed whole or not at all, and loads as it did."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import pytest

from hepml_nb import data
from hepml_nb.cli import main
from hepml_nb.core import InputError, NotFound, RunError, manifests_dir
from hepml_nb.data import farm, packing, store
from hepml_nb.data.manifest import names

from .conftest import Toy

NAME = "top-tagging"


@pytest.fixture
def packed(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of a tiny twin; afterwards the cache is another, empty one."""
    about = data.manifest(NAME)
    assert about.recipe is not None
    sizes = {"tutorial": {"train": {"qcd": 10, "top": 10}, "test": {"qcd": 5, "top": 5}}}
    small = dataclasses.replace(about, profiles=sizes, recipe=dataclasses.replace(about.recipe, chunk=5), public=None)
    monkeypatch.setattr(store, "manifest", lambda name: small)
    monkeypatch.setattr(packing, "manifest", lambda name: small)
    one = farm.make
    monkeypatch.setattr(store, "make_chunks", lambda chunks, workers=None, say=None, client=None: one(chunks, 1))
    with pytest.raises(NotFound, match="hepml-nb data make top-tagging --profile tutorial"):
        data.pack([NAME], "tutorial", tmp_path / "class.tar")
    data.make(NAME, "tutorial", say=None)
    told = data.pack([NAME], "tutorial", tmp_path / "class.tar")
    assert told.chunks == 6
    assert "6 of 6 chunks" in str(told)
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "student"))
    return told.path


def members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as tar:
        return [(one, content.read() if (content := tar.extractfile(one)) else b"") for one in tar]


def write(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def test_unpacking_gives_the_same_dataset(packed: Path, toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        data.load(NAME, "tutorial", make=False)
    told = data.unpack(packed)
    assert (told.chunks, told.new) == (6, 6)
    there = data.load(NAME, "tutorial", make=False)
    assert len(there) == 30
    assert set(data.verify(NAME).values()) == {"ok"}
    assert not list((tmp_path / "student").glob(".unpacking*"))
    assert data.unpack(packed).new == 0
    assert data.load(NAME, "tutorial", make=False).fingerprint() == there.fingerprint()
    first = there.split("train")
    chunk = next((tmp_path / "student").glob("chunks/*/00001.parquet"))
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    assert data.unpack(packed).new == 1  # what was damaged here is mended
    assert ak.array_equal(data.load(NAME, "tutorial", make=False).split("train"), first, equal_nan=True)
    assert len(toy.calls) == 6
    again = data.pack([NAME], "tutorial", tmp_path / "again.tar")
    assert again.path.read_bytes() == packed.read_bytes()


def broken(entries: list[tuple[tarfile.TarInfo, bytes]], kind: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return the members of an archive with one thing wrong."""
    last, content = entries[-1]  # a chunk
    index = json.loads(entries[0][1])
    if kind == "flipped":
        return [*entries[:-1], (last, content[:-1] + bytes([content[-1] ^ 1]))]
    if kind == "short":
        return entries[:-1]
    if kind == "truncated":
        return [*entries[:-1], (last, content[:-1])]
    if kind == "link":
        last.type, last.linkname = tarfile.SYMTYPE, "/etc/passwd"
        return [*entries[:-1], (last, b"")]
    if kind == "no index":
        return entries[1:]
    if kind == "format":
        return [(entries[0][0], json.dumps({**index, "format": 2}).encode()), *entries[1:]]
    if kind == "garbage index":
        return [(entries[0][0], b"[]"), *entries[1:]]
    if kind == "record":  # in the index and whole, but not the record of its chunk
        name = last.name.replace("parquet", "json")
        text = b'{"n": 5, "counters": {}, "core_seconds": 1, "bytes": 3, "sha256": "0"}'
        index["files"][name] = {"bytes": len(text), "sha256": __import__("hashlib").sha256(text).hexdigest()}
        rest = [(one, text if one.name == name else old) for one, old in entries[1:]]
        return [(entries[0][0], json.dumps(index).encode()), *rest]
    target = {"outside": "../evil.parquet", "absolute": "/tmp/evil.parquet", "other": "results/evil.json"}[kind]
    index["files"][target] = index["files"].pop(last.name)
    last.name = target
    return [(entries[0][0], json.dumps(index).encode()), *entries[1:-1], (last, content)]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("flipped", "is damaged: the sha256 of chunks/"),
        ("short", "is cut short: 1 of 12 files are missing"),
        ("truncated", "is damaged: chunks/.* bytes instead of"),
        ("record", "does not fit its record"),
        ("link", "no chunk of its index; it is not to be trusted"),
        ("outside", r"'\.\./evil\.parquet', which is no chunk"),
        ("absolute", "no chunk of its index"),
        ("other", "'results/evil.json', which is no chunk"),
        ("no index", r"does not begin with index\.json"),
        ("format", "not one of format 1"),
        ("garbage index", "not one of format 1"),
    ],
)
def test_a_bad_archive_changes_nothing(packed: Path, tmp_path: Path, kind: str, words: str) -> None:
    bad = write(tmp_path / "bad.tar", broken(members(packed), kind))
    with pytest.raises((InputError, RunError), match=words) as caught:
        data.unpack(bad)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "student").rglob("*.*"))
    assert not list(tmp_path.rglob("evil*"))


def test_what_is_no_archive_is_said(packed: Path, tmp_path: Path) -> None:
    for content in (b"", b"text", packed.read_bytes()[:700]):
        (tmp_path / "x.tar").write_bytes(content)
        with pytest.raises((InputError, RunError), match=r"no archive of `hepml-nb data pack`|cut short"):
            data.unpack(tmp_path / "x.tar")
    with pytest.raises(InputError, match="is not a file"):
        data.unpack(tmp_path / "none.tar")


def test_a_damaged_chunk_is_not_packed(packed: Path, tmp_path: Path) -> None:
    data.unpack(packed)
    chunk = next((tmp_path / "student").glob("chunks/*/00000.parquet"))
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    with pytest.raises(RunError, match="is damaged"):
        data.pack([NAME], "tutorial", tmp_path / "again.tar")
    assert not (tmp_path / "again.tar").exists()


def test_the_commands_pack_and_unpack(packed: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["data", "unpack", str(packed)]) == 0
    assert "6 chunks were new here" in capsys.readouterr().out
    assert main(["data", "pack", NAME, "--out", str(tmp_path / "b.tar"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"][NAME] == {"profile": "tutorial", "chunks": 6, "of": 6}
    (tmp_path / "b.tar").write_bytes(b"?")
    assert main(["data", "unpack", str(tmp_path / "b.tar")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.fixture
def mine(cache: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of a manifest of the user, with texts replaced."""
    text = (manifests_dir() / "boosted-jets.yaml").read_text().replace("name: boosted-jets", "name: my-jets")

    def write(**changes: str) -> Path:
        changed = text
        for old, new in changes.items():
            changed = changed.replace(old.replace("__", ": "), new)
        path = tmp_path / "anything.yaml"
        path.write_text(changed)
        return path

    return write


def test_a_manifest_of_the_user_is_kept_and_known(mine: Callable[..., Path], capsys: Any) -> None:
    assert main(["data", "add", str(mine()), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "my-jets"
    assert data.manifest("my-jets").title == "Boosted QCD, W and top jets"
    assert names()[-1] == "my-jets"
    assert "my-jets" in data.list()
    assert data.estimate("my-jets", "smoke").records == 1600
    data.add(mine(title="title: Mine #"))
    assert data.manifest("my-jets").title == "Mine"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"my-jets": "top-tagging"}, "is the name of a dataset that ships"),
        ({"my-jets": "../my-jets"}, "is no plain name"),
        ({"schema__jets": "schema: jest"}, "did you mean 'jets'"),
        ({"name__jets": "name: jest"}, "there is no recipe 'jest'"),
        ({"matched_only": "matched"}, "no parameter 'matched'"),
        ({"licence__": "license: "}, "'license' is unknown; did you mean 'licence'"),
        ({"topic__tagging": "topic: [tagging"}, "is no YAML"),
    ],
)
def test_a_bad_manifest_is_not_kept(mine: Callable[..., Path], changes: dict[str, str], words: str) -> None:
    before = names()
    with pytest.raises((InputError, NotFound), match=words):
        data.add(mine(**changes))
    assert names() == before


def test_a_manifest_cannot_hide_one_that_ships(cache: Path) -> None:
    (cache / "manifests").mkdir(parents=True)
    (cache / "manifests" / "top-tagging.yaml").write_text("name: evil")
    assert data.manifest("top-tagging").title == "Top Quark Tagging Reference Dataset"
    with pytest.raises(InputError, match=r"top-tagging is no manifest"):
        data.add("top-tagging")


def test_files_are_added_by_the_command(cache: Path, tmp_path: Path, capsys: Any) -> None:
    for name in ("train", "val", "test"):
        (tmp_path / f"{name}.h5").write_bytes(name.encode())
    files = [str(tmp_path / f"{name}.h5") for name in ("train", "val", "test")]
    assert main(["data", "add", NAME, *files]) == 0
    assert "here: sample, public" in capsys.readouterr().out
    assert main(["data", "add", NAME, str(tmp_path)]) == 2
    assert "is not a file" in capsys.readouterr().err
