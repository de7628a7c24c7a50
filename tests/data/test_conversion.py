"""Public files are read block by block, from many files, archives and files of one class; a second load reads none."""

from __future__ import annotations

import dataclasses
import io
import sys
import tarfile
import types
import zipfile
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError, NotFound, RunError
from hepml_nb.data import archives, fetching, public
from hepml_nb.data import readers as readers_package
from hepml_nb.data.manifest import File, Manifest, Public


class ToyReader(types.ModuleType):
    """Reads text files with a number and a class per line; remembers what was read."""

    def __init__(self) -> None:
        super().__init__("toy")
        self.counted: list[str] = []
        self.asked: list[tuple[str, int, int]] = []

    def count(self, path: Path, **options: Any) -> int:
        self.counted.append(path.name)
        return len(path.read_text().splitlines())

    def read(self, path: Path, start: int, stop: int, *, label: int | None = None, **options: Any) -> ak.Array:
        self.asked.append((path.name, start, stop))
        rows = [line.split() for line in path.read_text().splitlines()[start:stop]]
        classes = [int(row[1]) if label is None else label for row in rows]
        columns = {"x": [float(row[0]) for row in rows], "label": np.array(classes, np.int8)}
        return ak.Array({**columns, "event": start + np.arange(len(rows))})


@pytest.fixture
def toy_reader(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyReader:
    made = ToyReader()
    known = readers_package.readers()
    monkeypatch.setattr(readers_package, "readers", lambda: [*known, "toy"])
    monkeypatch.setitem(sys.modules, "hepml_nb.data.readers.toy", made)
    monkeypatch.setattr(public, "_BLOCK", 4)
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path / "mine"))
    return made


def dataset(files: list[File], profiles: Any = None, **more: Any) -> Manifest:
    given = Public("toy", files, **more)
    profiles = profiles or {"tutorial": {"train": {"qcd": 6, "top": 6}, "test": {"qcd": 2, "top": 2}}}
    return dataclasses.replace(data.manifest("top-tagging"), name="toys", public=given, recipe=None, profiles=profiles)


def file(name: str, **more: Any) -> File:
    return File(name, f"https://example.org/{name}", **more)


def lines(first: int, number: int, label: int | None = None) -> str:
    return "".join(f"{first + i} {i % 2 if label is None else label}\n" for i in range(number))


def write(about: Manifest, **texts: str) -> Path:
    folder = fetching.folder(about)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def numbers(dataset: Any, split: str) -> list[float]:
    return sorted(ak.to_list(dataset.split(split).x))


def test_many_files_make_a_split_block_by_block(toy_reader: ToyReader) -> None:
    about = dataset([file("a.txt", split="train"), file("b.txt", split="train"), file("c.txt", split="test")])
    write(about, a=lines(0, 7), b=lines(100, 9), c=lines(200, 20))
    some = public.load(about, "tutorial", 0)
    assert toy_reader.asked == [("a.txt", 0, 4), ("a.txt", 4, 7), ("b.txt", 0, 4), ("b.txt", 4, 5), ("c.txt", 0, 4)]
    assert numbers(some, "train") == [*range(7), *range(100, 105)]
    assert some.counts() == {"train": {"qcd": 7, "top": 5}, "test": {"qcd": 2, "top": 2}}
    toy_reader.asked.clear()
    toy_reader.counted.clear()
    again = public.load(about, "tutorial", 0)
    assert ak.array_equal(again.split("train"), some.split("train"))
    assert (toy_reader.asked, toy_reader.counted) == ([], [])
    everything = public.load(about, "full", 0)
    assert len(everything) == 36
    assert everything.identity != some.identity
    assert len(everything.fingerprint()["parts"]["train"]) == 5
    assert all(len(sha) == 64 for _, _, sha in everything.fingerprint()["parts"]["train"])


def test_files_of_one_class_count_against_that_class(toy_reader: ToyReader) -> None:
    files = [file("q.txt", split="train", stream="qcd"), file("t.txt", split="train", stream="top"),
             file("more.txt", split="train", stream="top"), file("e.txt", split="test")]  # fmt: skip
    about = dataset(files)
    write(about, q=lines(0, 50, label=7), t=lines(100, 5, label=7), more=lines(200, 50, label=7), e=lines(300, 3))
    some = public.load(about, "tutorial", 0)
    assert some.counts()["train"] == {"qcd": 6, "top": 6}
    train = some.split("train")
    assert sorted(ak.to_list(train.x[train.label == 0])) == [*range(6)]
    assert sorted(ak.to_list(train.x[train.label == 1])) == [*range(100, 105), 200]
    assert len(some.split("test")) == 3  # as many as there are


def test_fractions_split_every_file_in_its_order(toy_reader: ToyReader) -> None:
    shares = {"train": 0.5, "val": 0.2, "test": 0.3}
    about = dataset([file("a.txt"), file("b.txt")], fractions=shares)
    write(about, a=lines(0, 10), b=lines(100, 5))
    everything = public.load(about, "full", 0)
    assert {split: len(everything.split(split)) for split in everything.splits} == {"train": 7, "val": 4, "test": 4}
    assert numbers(everything, "train") == [*range(5), 100, 101]
    every = [x for split in everything.splits for x in numbers(everything, split)]
    assert sorted(every) == [*range(10), *range(100, 105)]
    assert everything.overlap("train", "test") == everything.overlap("train", "val") == 0


def archive(path: Path, members: dict[str, str], link: str = "") -> Path:
    """Write a tar or zip of text files, with a symbolic link to /etc/passwd called `link`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as made:
            for name, text in members.items():
                made.writestr(name, text)
            if link:
                info = zipfile.ZipInfo(link)
                info.external_attr = 0o120777 << 16
                made.writestr(info, "/etc/passwd")
        return path
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(entry)
    return path


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_archives_are_unpacked_once_and_read_by_pattern(toy_reader: ToyReader, kind: str) -> None:
    patterns = {"*/q*.txt": "qcd", "*/t*.txt": "top"}
    about = dataset([file(f"all.{kind}", split="train", members=patterns)])
    path = fetching.folder(about) / f"all.{kind}"
    texts = {"./in/q1.txt": lines(0, 3), "in/q2.txt": lines(10, 9), "in/t1.txt": lines(20, 9), "in/readme": "no"}
    archive(path, texts)
    some = public.load(about, "tutorial", 0)
    assert some.counts()["train"] == {"qcd": 6, "top": 6}
    assert not list(path.parent.rglob("readme"))
    before = {file: file.stat().st_mtime_ns for file in path.parent.rglob("*.txt")}
    assert len(before) == 3
    public.load(about, "tutorial", 0)
    assert {file: file.stat().st_mtime_ns for file in path.parent.rglob("*.txt")} == before
    archive(path, {"in/q1.txt": lines(70, 9), "in/t1.txt": lines(80, 9)})  # another version of the archive
    assert numbers(public.load(about, "tutorial", 0), "train") == [*range(70, 76), *range(80, 86)]


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "in/../../evil.txt", "in\\evil.txt"])
def test_archives_that_leave_their_folder_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    path = archive(tmp_path / f"a.{kind}", {"good.txt": "1", name: "2"})
    with pytest.raises(InputError, match=r"which leaves its folder; this archive is not to be trusted"):
        archives.members(path, {"*.txt": ""})
    assert not list(tmp_path.rglob("*.txt"))


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_archives_with_links_and_broken_ones_are_refused(tmp_path: Path, kind: str) -> None:
    path = archive(tmp_path / f"a.{kind}", {"good.txt": "1"}, link="link.txt")
    with pytest.raises(InputError, match=r"link\.txt', which is a link"):
        archives.members(path, {"*.txt": ""})
    assert [name for _, name, _ in archives.members(path, {"good*": ""})] == ["good.txt"]
    with pytest.raises(RunError, match=r"has no member like \*\.root; is it the right archive"):
        archives.members(path, {"*.root": ""})
    whole = archive(tmp_path / f"b.{kind}", {f"{i}.txt": str(i) * 3000 for i in range(50)})
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises((RunError, InputError), match=r"damaged or cut short|neither a zip nor a tar"):
        archives.members(whole, {"*.txt": ""})
    assert not list(tmp_path.glob("b.*.unpacked"))


def test_archives_in_a_folder_that_cannot_be_written_unpack_into_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "shared" / "a.zip", {"x.txt": "1"})
    monkeypatch.setattr(archives.disk, "writable", lambda folder: False)
    found = [member for member, _, _ in archives.members(path, {"*.txt": ""})]
    assert found[0].is_relative_to(cache)
    assert not path.with_name("a.zip.unpacked").exists()


def test_a_damaged_block_is_converted_again(toy_reader: ToyReader, cache: Path, capsys: Any) -> None:
    about = dataset([file("a.txt", split="train")])
    folder = write(about, a=lines(0, 4))
    some = public.load(about, "full", 0)
    kept = next(cache.glob("public-converted/toys/*.parquet"))
    content = kept.read_bytes()
    kept.write_bytes(content[:50] + b"?" + content[51:])
    assert numbers(some, "train") == [0, 1, 2, 3]
    assert "converted again" in capsys.readouterr().err
    kept.write_bytes(content[:50])
    assert numbers(public.load(about, "full", 0), "train") == [0, 1, 2, 3]
    kept.with_suffix(".json").write_text("{")
    assert numbers(public.load(about, "full", 0), "train") == [0, 1, 2, 3]
    kept.write_bytes(b"")
    (folder / "a.txt").unlink()
    with pytest.raises(RunError, match="is not here to convert again"):
        some._parts["train"][0].read()
    with pytest.raises(NotFound, match="hepml-nb data fetch toys"):
        public.load(about, "full", 0)


def test_a_reader_that_gives_too_few_is_not_believed(toy_reader: ToyReader, monkeypatch: pytest.MonkeyPatch) -> None:
    about = dataset([file("a.txt", split="train")])
    write(about, a=lines(0, 4))
    monkeypatch.setattr(toy_reader, "count", lambda path, **_: 6)
    with pytest.raises(InputError, match="records between 4 and 6"):
        public.load(about, "full", 0)


def test_a_part_of_many_files_will_do_and_events_are_told_apart(toy_reader: ToyReader) -> None:
    about = dataset([file(f"{split}_{i}.txt", split=split) for split in ("train", "test") for i in range(3)])
    write(about, train_0=lines(0, 8), train_2=lines(20, 8))
    assert not fetching.fetched(about)  # no file of the test split yet
    write(about, test_1=lines(50, 4))
    assert fetching.fetched(about)
    made = public.load(about, "full", 0)
    assert numbers(made, "train") == [*range(8), *range(20, 28)]
    assert numbers(made, "test") == [*range(50, 54)]
    assert "3 of 6 files" in made.provenance["about"]
    events = np.concatenate([ak.to_numpy(made.split(split).event) for split in made.splits])
    assert len(np.unique(events)) == 20
    with pytest.raises(NotFound, match=r"no public file of 'toys' is like '\*_7.txt'"):
        fetching.fetch(about, "*_7.txt")
    assert [path.name for path in fetching.fetch(about, "test_1*")] == ["test_1.txt"]


def test_datasets_may_share_files_and_an_address(toy_reader: ToyReader) -> None:
    about = dataset([File("train_0.txt", split="train")], base="https://example.org/r/", shares="others")
    assert about.public is not None
    assert about.public.files[0].url == "https://example.org/r/train_0.txt"
    assert fetching.folder(about).name == "others"
