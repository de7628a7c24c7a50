"""Datasets: splits share no record, batches cost constant memory, sets are the same in bits or in distribution."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError, NotFound
from hepml_nb.data import Dataset, samples
from hepml_nb.data.comparison import hashes
from hepml_nb.data.dataset import Part
from hepml_nb.data.farm import Chunk, make
from hepml_nb.data.manifest import names
from hepml_nb.data.parquet import from_parquet_bytes, parquet_bytes
from hepml_nb.data.twins import in_turns, twin_chunks

SHIPPED = [name for name in names() if samples.ships(data.manifest(name))]


def records(n: int, seed: int, shift: float = 0.0) -> ak.Array:
    """Return records with a column of every kind: number, class, numbers of fixed length, things."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(4, n)
    things = ak.zip({"pt": rng.exponential(1, counts.sum()) + shift, "id": rng.integers(0, 3, counts.sum())})
    columns = {"x": rng.normal(size=n).astype(np.float32), "label": rng.integers(0, 2, n).astype(np.int8),
               "cells": rng.normal(size=(n, 3)), "image": rng.normal(size=(n, 30)), "event": np.arange(n)}  # fmt: skip
    return ak.zip({**{name: ak.from_numpy(x, regulararray=True) for name, x in columns.items()},
                   "things": ak.unflatten(things, counts)}, depth_limit=1)  # fmt: skip


def dataset(**splits: list[ak.Array]) -> Dataset:
    parts = {name: [Part(len(x), lambda x=x: x) for x in arrays] for name, arrays in splits.items()}  # type: ignore[misc]
    counts = {name: {"all": sum(map(len, arrays))} for name, arrays in splits.items()}
    return Dataset("toys", "smoke", parts, {"identity": "1", "source": "twin", "counts": counts, "about": ""}, {})


def test_shared_records_are_counted_whatever_their_event_number() -> None:
    train, val = records(300, 1), records(50, 2)
    val["event"] = val.event + 10**6
    copied = train[[7, 7, 100]]
    copied["event"] = [10**9, 10**9 + 1, 10**9 + 2]
    made = dataset(train=[train[:200], train[200:]], val=[val, copied])
    assert made.overlap("val", "train") == 3
    assert made.overlap("train", "val") == 2
    assert made.overlap("train", "train") == 300
    assert made.overlap("val", "train", columns=["x"]) == 3
    assert made.overlap("val", "train", columns=["label"]) == 53
    for name, value in (("x", copied.x * 1.0000002), ("things", copied.things[:, ::-1])):
        near = ak.with_field(copied, value, name)
        assert dataset(a=[near], b=[train]).overlap("a", "b") == 0, name
    with pytest.raises(NotFound, match="did you mean 'cells'"):
        made.overlap("val", "train", columns=["cell"])
    with pytest.raises(NotFound, match="did you mean 'train'"):
        made.overlap("val", "trian")


def test_hashes_tell_what_differs_and_nothing_else() -> None:
    some = records(1000, 3)
    assert len(np.unique(hashes(some))) == 1000
    assert (hashes(some) == hashes(some[some.fields[::-1]])).all()
    assert (hashes(from_parquet_bytes(parquet_bytes(some))) == hashes(some)).all()
    zeros = ak.Array({"x": [0.0, -0.0, np.nan, np.nan], "n": [1, 1, 2, 2]})
    first, second, third, fourth = hashes(zeros)
    assert first == second
    assert third == fourth != first
    pair = ak.Array({"things": ak.zip({"pt": [[1.0, 2.0], [2.0, 1.0], [1.0, 2.0, 0.0], []]})})
    assert len(np.unique(hashes(pair))) == 4


@pytest.mark.parametrize("name", SHIPPED)
def test_splits_of_every_sample_share_no_record(name: str) -> None:
    sample = data.load(name, source="sample")
    for a in sample.splits:
        assert len(np.unique(hashes(sample.split(a)))) == len(sample.split(a)), a
        for b in sample.splits:
            if a < b:
                assert sample.overlap(a, b) == 0, (a, b)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_fingerprint_of_a_sample_names_sizes_checksums_and_versions(name: str) -> None:
    told = data.load(name, source="sample").fingerprint()
    assert told["counts"] == data.manifest(name).counts("smoke")
    assert all(len(sha256) == 64 for row in told["parts"].values() for _, _, sha256 in row)
    assert all(isinstance(version, str | int) for version in told["versions"].values())


def peak(use: Callable[[], Any]) -> int:
    """Return the most memory (bytes) that Python objects and arrays took while `use` ran."""
    tracemalloc.start()
    try:
        use()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_batches_does_not_grow_with_the_number_of_chunks() -> None:
    def run(parts: int) -> None:
        row = [Part(2000, lambda i=i: records(2000, i)) for i in range(parts)]  # type: ignore[misc]
        made = Dataset("toys", "smoke", {"train": row}, {"identity": "1", "counts": {}}, {})
        seen = sum(len(batch["x"]) for batch in made.batches("train", 700))
        assert seen == 2000 * parts

    run(1)  # imports
    few, many = peak(lambda: run(2)), peak(lambda: run(6))
    assert many < 1.25 * few  # three times the records


def test_batches_hold_every_record_once_in_a_new_order_per_seed() -> None:
    made = dataset(train=[records(70, 1), records(50, 2)])
    every = sorted(ak.to_list(made.split("train").x))
    orders = []
    for seed in (1, 2, 2):
        batches = list(made.batches("train", 32, seed=seed))
        assert [len(batch["x"]) for batch in batches] == [32, 32, 32, 24]
        assert batches[0]["cells"].shape == (32, 3)
        assert batches[0]["things"].shape[2] == 2
        orders.append([x for batch in batches for x in batch["x"].tolist()])
        assert sorted(orders[-1]) == every
    assert orders[0] != orders[1] == orders[2]


def test_the_same_distribution_is_told_from_another() -> None:
    a, b = records(3000, 1), records(2000, 2)
    same = data.compare(a, b)
    assert same.same()
    assert not same.bitwise
    assert {"x", "cells[2]", "image: spread", "things: number", "things.pt: mean"} <= set(same.p)
    assert "event" not in same.p
    assert data.compare(a, a[::-1]).bitwise
    assert str(data.compare(a, a)) == "the same 3,000 records"
    moved = data.compare(a, records(2000, 2, shift=0.2))
    assert not moved.same()
    assert moved.worst == "things.pt: mean"
    assert "things.pt: mean differs most, p = " in str(moved)
    holes = ak.with_field(b, np.where(np.arange(2000) % 10 == 0, np.nan, b.x), "x")
    assert data.compare(a, holes).worst == "x is there"
    with pytest.raises(InputError, match="columns label stand on one side only"):
        data.compare(a, b[[name for name in b.fields if name != "label"]])
    with pytest.raises(InputError, match="0 and 2000 records"):
        data.compare(a[:0], b)


def test_the_familywise_error_of_the_comparison_is_what_it_says() -> None:
    """40 pairs from one distribution at level 0.2: at most the binomial's 99.9 % bound of 17 may fail."""
    wrong = sum(not data.compare(records(200, 2 * i), records(200, 2 * i + 1)).same(0.2) for i in range(40))
    assert wrong <= 17


def test_remade_jets_are_the_same_bits_and_other_seeds_the_same_physics(cache: Path) -> None:
    """The recipe of the shipped sample: the same seed and versions give the same bytes, another the same spectra."""
    about = data.manifest("boosted-jets")
    assert about.recipe is not None
    parameters = about.recipe.streams["w"]
    first, second = (Chunk("jets", parameters, seed, "test/w", 0, 120) for seed in (0, 1))
    make([first, second], workers=1)
    jets = [from_parquet_bytes(chunk.path.read_bytes()) for chunk in (first, second)]
    assert data.compare(*jets).same()
    assert not data.compare(*jets).bitwise
    sample = data.load("boosted-jets").split("test")
    assert data.compare(sample[sample.label == 1], jets[0]).same()
    assert not data.compare(sample[sample.label == 0], jets[0]).same()
    content = first.path.read_bytes()
    first.path.unlink()
    make([first], workers=1)
    assert first.path.read_bytes() == content


def test_streams_take_turns_so_that_any_beginning_is_balanced(cache: Path) -> None:
    chunks = in_turns(twin_chunks(data.manifest("top-tagging"), "full"))
    assert len({(chunk.identity, chunk.index) for chunk in chunks}) == len(chunks)
    half = chunks[: len(chunks) // 2]
    for stream in {chunk.stream for chunk in chunks}:
        every, begun = (sum(chunk.stream == stream for chunk in some) for some in (chunks, half))
        assert abs(begun - every / 2) <= 1
        assert [chunk.index for chunk in chunks if chunk.stream == stream] == list(range(every))
