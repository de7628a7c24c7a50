"""Chunks are made once, the same whoever makes them, and survive interruption, killing and bit rot as they should."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import awkward as ak
import psutil
import pytest

from hepml_nb.core import RunError, client, cores, threads
from hepml_nb.data.farm import Chunk, make, read_chunk

from .conftest import Toy


def chunks(number: int, n: int = 10, **parameters: Any) -> list[Chunk]:
    return [Chunk("jets", {"label": 1, **parameters}, 0, "train/top", index, n) for index in range(number)]


def test_identity_follows_content_not_profile(toy: Toy) -> None:
    first, second = chunks(2)
    assert first.identity == second.identity
    assert first.path != second.path
    assert chunks(1, mpi=True)[0].identity != first.identity
    assert chunks(1, n=11)[0].identity != first.identity
    assert Chunk("jets", {"label": 1}, 1, "train/top", 0, 10).identity != first.identity
    assert Chunk("jets", {"label": 1}, 0, "test/top", 0, 10).identity != first.identity


def test_chunks_are_made_once_with_different_seeds(toy: Toy) -> None:
    said: list[str] = []
    records = make(chunks(3), workers=1, say=said.append)
    assert [record["n"] for record in records] == [10, 10, 10]
    assert len(set(toy.calls)) == 3
    assert said[-1].startswith("3/3 chunks")
    make(chunks(5), workers=1)
    assert len(toy.calls) == 5


def test_interruption_keeps_finished_chunks_and_resumes(toy: Toy) -> None:
    toy.fail_at = 2
    with pytest.raises(KeyboardInterrupt):
        make(chunks(4), workers=1)
    assert [chunk.made() for chunk in chunks(4)] == [True, True, False, False]
    assert not list(chunks(1)[0].path.parent.glob("*.part"))
    toy.fail_at = -1
    make(chunks(4), workers=1)
    assert len(toy.calls) == 4
    assert len(set(toy.calls)) == 4


def test_a_flipped_byte_is_found(toy: Toy) -> None:
    chunk = chunks(1)[0]
    make([chunk], workers=1)
    assert len(read_chunk(chunk)) == 10
    content = bytearray(chunk.path.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.path.write_bytes(content)
    with pytest.raises(RunError, match="damaged"):
        read_chunk(chunk)


_SCRIPT = """
import sys
from hepml_nb.data.farm import Chunk, make
if __name__ == "__main__":
    pieces = [Chunk("jets", {"process": "w", "pt": [300, 600]}, 0, "train/w", i, 5) for i in range(int(sys.argv[2]))]
    make(pieces, workers=int(sys.argv[1]), say=lambda line: print(line, flush=True))
"""


def farm(workers: int, number: int, cache: Path, tmp_path: Path) -> subprocess.Popen[str]:
    """Start the farm on real W jets in a process of its own."""
    script = tmp_path / "farm.py"
    script.write_text(_SCRIPT, encoding="utf-8")
    root = Path(__file__).parents[2]
    environment = {"HEPML_NB_CACHE": str(cache), "PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, str(script), str(workers), str(number)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_worker_is_reported_and_the_rest_made_by_any_number_of_workers(cache: Path, tmp_path: Path) -> None:
    pieces = [Chunk("jets", {"process": "w", "pt": [300, 600]}, 0, "train/w", index, 5) for index in range(2)]
    run = farm(2, 2, cache, tmp_path)
    parent = psutil.Process(run.pid)
    while run.poll() is None:  # kill one worker as soon as it works on a chunk
        busy = [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]
        if len(busy) == 2 and list(cache.glob("chunks/*/*.lock")):
            busy[0].kill()
            break
        time.sleep(0.05)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "a worker died" in errors
    make(pieces, workers=1)  # resume here, with one worker
    assert all(chunk.made() for chunk in pieces)
    first = [read_chunk(chunk) for chunk in pieces]

    elsewhere = farm(2, 2, tmp_path / "other", tmp_path)  # the same from scratch, with two
    output, errors = elsewhere.communicate(timeout=120)
    assert elsewhere.returncode == 0, errors
    assert "2/2 chunks" in output
    for chunk, jets in zip(pieces, first, strict=True):
        copy = tmp_path / "other" / chunk.path.relative_to(cache)
        assert copy.read_bytes() == chunk.path.read_bytes()
        assert len(jets) == 5
    assert not ak.array_equal(first[0].pt, first[1].pt)


def test_a_dask_cluster_makes_the_same_bytes(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [Chunk("sbibm", {"task_name": "two_moons"}, 0, "train/all", index, 50) for index in range(3)]
    said: list[str] = []
    with client(workers=2) as cluster:
        records = make(pieces, say=said.append, client=cluster)
        share = cluster.submit(threads).result()
    assert share == max(cores() // 2, 1)  # threads of two workers that wait for each other's cores take fourfold
    assert [record["n"] for record in records] == [50, 50, 50]
    assert said[-1].startswith("3/3 chunks")
    made = [chunk.path.read_bytes() for chunk in pieces]
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "other"))
    make(pieces, workers=1)
    assert [chunk.path.read_bytes() for chunk in pieces] == made
