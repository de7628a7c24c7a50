"""Whatever happens to the cache, the result is right or there is one clear message, and nothing made is lost."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError, NotFound, RunError, atomic_write
from hepml_nb.data import disk, farm, store
from hepml_nb.data.farm import Chunk, make, read_chunk
from hepml_nb.simulate import Recipe, recipe

from .conftest import Toy

FORBIDDEN: list[str] = []
"""Folders below which nothing may be written while a test says so."""


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what a read-only disk refuses, also to root: mode bits would not stop him."""
    if not FORBIDDEN:
        return
    if event == "open":
        writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        paths = arguments[:1] if writes else ()
    else:
        paths = arguments[:2] if event in ("os.mkdir", "os.rename", "os.remove", "os.link", "os.chmod") else ()
    if any(isinstance(path, str | os.PathLike) and os.fspath(path).startswith(tuple(FORBIDDEN)) for path in paths):
        raise OSError(errno.EROFS, "Read-only file system")


sys.addaudithook(_guard)


@pytest.fixture
def read_only(cache: Path) -> Iterator[Callable[[], None]]:
    """Return a function after which the cache cannot be written."""
    yield lambda: FORBIDDEN.append(str(cache))
    FORBIDDEN.clear()


def chunks(number: int, **parameters: Any) -> list[Chunk]:
    return [Chunk("jets", {"label": 1, **parameters}, 0, "train/top", index, 10) for index in range(number)]


def made(number: int) -> list[Chunk]:
    pieces = chunks(number)
    make(pieces, workers=1)
    return pieces


def flip(path: Path) -> bytes:
    """Flip a bit in the middle of a file and return what it was."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1])
                     + content[len(content) // 2 + 1 :])  # fmt: skip
    return content


def test_a_flipped_bit_is_noticed_and_the_chunk_made_again(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    chunk = made(1)[0]
    content = flip(chunk.path)
    with pytest.raises(RunError, match=r"is damaged .*make the data again"):
        read_chunk(chunk)
    assert len(read_chunk(chunk, mend=True)) == 10
    assert chunk.path.read_bytes() == content
    assert chunk.path.with_name("00000.parquet.bad").exists()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "00000.parquet was damaged: set aside as 00000.parquet.bad and made again." in said[0]


@pytest.mark.parametrize("left", [0, 7, 1000])
def test_a_truncated_chunk_counts_as_not_made(toy: Toy, left: int) -> None:
    chunk = made(1)[0]
    content = chunk.path.read_bytes()
    chunk.path.write_bytes(content[:left])
    assert not chunk.made()
    make([chunk], workers=1)
    assert chunk.path.read_bytes() == content


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "{}", '{"n": 10}', "\x00\xff"])
def test_a_broken_record_costs_one_chunk_and_no_message(
    toy: Toy, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    chunk = made(2)[0]
    content, path = chunk.path.read_bytes(), chunk.path.with_suffix(".json")
    record = path.read_text()
    path.unlink() if text is None else path.write_text(text)
    assert not chunk.made()
    make(chunks(2), workers=1)
    assert len(toy.calls) == 3  # the other chunk stayed
    assert chunk.path.read_bytes() == content
    assert '"sha256"' in record
    assert '"sha256"' in path.read_text()
    assert capsys.readouterr().err == ""
    assert not list(chunk.path.parent.glob("*.bad"))


@pytest.fixture
def tiny(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The top-tagging manifest with a profile of 30 records in chunks of five."""
    about = data.manifest("top-tagging")
    assert about.recipe is not None
    sizes = {"tutorial": {"train": {"qcd": 10, "top": 10}, "test": {"qcd": 5, "top": 5}}}
    small = dataclasses.replace(about, profiles=sizes, recipe=dataclasses.replace(about.recipe, chunk=5), public=None)
    monkeypatch.setattr(store, "manifest", lambda name: small)
    monkeypatch.setenv("HEPML_NB_BATCH", "1")
    one = farm.make
    monkeypatch.setattr(store, "make_chunks", lambda chunks, workers=None, say=None, client=None: one(chunks, 1, say))
    return toy


def test_loading_mends_what_was_damaged(tiny: Toy, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = data.load("top-tagging", "tutorial").split("train")
    for path in cache.glob("chunks/*/00001.parquet"):
        flip(path)
    with pytest.raises(RunError, match="is damaged"):
        data.load("top-tagging", "tutorial", make=False).split("train")
    capsys.readouterr()
    assert ak.array_equal(data.load("top-tagging", "tutorial").split("train"), before, equal_nan=True)
    assert capsys.readouterr().err.count("made again") == 2


def test_an_interrupted_farm_says_how_far_it_came_and_what_it_made_can_be_loaded(tiny: Toy) -> None:
    said: list[str] = []
    with pytest.raises(NotFound, match="nothing is made of 'top-tagging' yet"):
        data.load("top-tagging", "tutorial", partial=True)
    tiny.fail_at = 4
    with pytest.raises(KeyboardInterrupt):
        data.make("top-tagging", "tutorial", say=said.append)
    assert said[-1].startswith("interrupted: 4 of 6 chunks (20 of 30 records) were made and are kept; run the same")
    with pytest.raises(NotFound, match="hepml-nb data make top-tagging --profile tutorial"):
        data.load("top-tagging", "tutorial", make=False)
    some = data.load("top-tagging", "tutorial", partial=True)
    assert some.counts() == {"train": {"qcd": 5, "top": 5}, "test": {"qcd": 5, "top": 5}}  # splits grow together
    assert len(some.split("train")) == 10
    tiny.fail_at = -1
    whole = data.load("top-tagging", "tutorial")
    assert len(tiny.calls) == 6
    assert len({some.identity, whole.identity}) == 2
    assert data.load("top-tagging", "tutorial", partial=True).identity == whole.identity
    with pytest.raises(InputError, match="partial=True is for twins"):
        data.load("top-tagging", "tutorial", "public", partial=True)


def start(code: str, tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Run a script in a process of its own, with the cache of the test."""
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


_MAKER = """
from hepml_nb.data.farm import Chunk, make
pieces = [Chunk("jets", {"process": "w", "pt": [300, 600]}, 0, "train/w", i, 5) for i in range(3)]
make(pieces, workers=1, say=lambda line: print(line, flush=True))
"""


def test_kill_9_in_the_middle_then_resume_gives_the_same(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [Chunk("jets", {"process": "w", "pt": [300, 600]}, 0, "train/w", index, 5) for index in range(3)]
    with start(_MAKER, tmp_path) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("1/3")
        time.sleep(0.1)  # somewhere in the second chunk
        run.send_signal(signal.SIGKILL)
    assert pieces[0].made()
    assert not pieces[2].made()
    first = pieces[0].path.stat().st_mtime_ns
    remains = pieces[2].path.with_name(f".{pieces[2].path.name}.dead.part")
    remains.write_bytes(b"half")  # what a writer that was killed leaves
    make(pieces, workers=1)
    assert pieces[0].path.stat().st_mtime_ns == first
    assert not remains.exists()
    resumed = pieces[1].path.read_bytes()
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "elsewhere"))
    make(pieces[1:2], workers=1)
    assert pieces[1].path.read_bytes() == resumed


_RACER = """
import sys, time
import awkward as ak, numpy as np
from pathlib import Path
import hepml_nb.simulate.recipes.jets as module
from hepml_nb.data.farm import Chunk, make_chunk
from hepml_nb.simulate import Recipe

def slow(n, seed, **parameters):
    print("made", flush=True)
    time.sleep(0.5)
    return ak.Array({"x": np.random.default_rng(seed).normal(size=n)}), {"events": n}

module.RECIPE = Recipe("jets", 1, slow, dict(module.RECIPE.defaults))
chunk = Chunk("jets", {"label": 1}, 0, "train/top", 0, 10)
here, there = Path(sys.argv[1]), Path(sys.argv[2])
here.touch()
while not there.exists():
    time.sleep(0.001)
make_chunk(chunk)
assert chunk.made()
"""


def test_two_processes_make_the_same_chunk_once(cache: Path, tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("one", "two")]
    both = [start(_RACER, tmp_path, *order) for order in (names, names[::-1])]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(said) == ["", "made\n"]


def test_a_file_that_may_not_grow_leaves_nothing_half(toy: Toy) -> None:
    """A real failure of the write, for every user: the size limit of files."""
    pieces = chunks(3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    make(pieces[:1], workers=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(RunError, match=r"no room for 00001\.parquet in .*HEPML_NB_CACHE .*is kept; run again"):
            make(pieces, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [chunk.made() for chunk in pieces] == [True, False, False]
    assert not list(pieces[0].path.parent.glob(".*part"))
    make(pieces, workers=1)
    assert len(toy.calls) == 4


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_message(toy: Toy, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(*arguments: Any) -> Any:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(disk, "atomic_write", full)
        with pytest.raises(RunError, match=r"no room for .*free some space or set HEPML_NB_CACHE") as caught:
            made(1)
    assert "\n" not in str(caught.value)
    assert made(1)[0].made()
    assert atomic_write is disk.atomic_write


def test_a_cache_below_a_file_is_one_message(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "file" / "cache"))
    assert not chunks(1)[0].made()
    with pytest.raises(RunError, match=r"cannot write to .*file/cache/chunks/.*set HEPML_NB_CACHE") as caught:
        make(chunks(1), workers=1)
    assert "\n" not in str(caught.value)
    assert len(data.load("top-tagging").split("val"))  # what ships needs no cache


def test_a_read_only_cache_serves_what_it_has(tiny: Toy, read_only: Callable[[], None], cache: Path) -> None:
    whole = data.load("top-tagging", "tutorial")
    damaged = made(1)[0]
    flip(damaged.path)
    read_only()
    again = data.load("top-tagging", "tutorial")
    assert again.identity == whole.identity
    assert ak.array_equal(again.split("train"), whole.split("train"), equal_nan=True)
    assert set(data.verify("top-tagging").values()) <= {"ok"}
    assert data.estimate("top-tagging").missing_seconds == 0
    with pytest.raises(RunError, match=r"cannot write to .*Read-only.*HEPML_NB_CACHE") as caught:
        data.make("top-tagging", "tutorial", seed=1, say=None)
    assert str(cache) in str(caught.value)
    with pytest.raises(RunError, match=r"is damaged and was not made again: cannot write to .*HEPML_NB_CACHE"):
        read_chunk(damaged, mend=True)


def test_a_new_version_of_a_recipe_leaves_the_old_chunks(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    old = made(2)
    before = [chunk.path.read_bytes() for chunk in old]
    monkeypatch.setattr("hepml_nb.simulate.recipes.jets.RECIPE", Recipe("jets", 2, toy, dict(recipe("jets").defaults)))
    new = chunks(2)
    assert new[0].identity != old[0].identity
    make(new, workers=1)
    assert len(toy.calls) == 4
    assert [chunk.path.read_bytes() for chunk in old] == before


def test_a_missing_program_is_named_and_the_rest_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(n: int, seed: int, **parameters: Any) -> Any:
        if parameters["process"] == "top":
            raise NotFound("Sherpa is not installed: conda install -c conda-forge sherpa.")
        return ak.Array({"x": np.zeros(n)}), {"events": n}

    monkeypatch.setattr(
        "hepml_nb.simulate.recipes.jets.RECIPE", Recipe("jets", 1, lacking, dict(recipe("jets").defaults))
    )
    pieces = [Chunk("jets", {"process": name}, 0, f"train/{name}", index, 5) for index in range(3)
              for name in ("top", "qcd")]  # fmt: skip
    with pytest.raises(NotFound, match=r"^train/top cannot be made here: Sherpa is not installed: .* is made and kept"):
        make(pieces, workers=1)
    assert [chunk.made() for chunk in pieces] == [False, True] * 3


def test_a_recipe_that_makes_too_few_is_not_believed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Recipe(
        "jets", 1, lambda n, seed, **_: (ak.Array({"x": np.zeros(n - 1)}), {}), dict(recipe("jets").defaults)
    )
    monkeypatch.setattr("hepml_nb.simulate.recipes.jets.RECIPE", short)
    with pytest.raises(RunError, match="made 9 records of train/top instead of 10"):
        make(chunks(1), workers=1)
    assert not chunks(1)[0].made()


def test_parquet_is_read_without_pickle(cache: Path) -> None:
    """A chunk that carries a pickled extension type is read as the numbers that it stores."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    evil = b"cposix\nsystem\n(S'touch " + str(cache).encode() + b"-pwned'\ntR."
    table = pa.table({"x": [1.0]})
    field = table.schema.field("x").with_metadata(
        {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": evil}
    )
    buffer = io.BytesIO()
    pq.write_table(table.cast(pa.schema([field])), buffer)
    assert ak.to_list(farm.from_parquet_bytes(buffer.getvalue())) == [{"x": 1.0}]
    assert not Path(f"{cache}-pwned").exists()
