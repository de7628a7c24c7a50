"""Loading: sample, twin and public are told apart, splits are disjoint, and what is missing says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError, NotFound, RunError
from hepml_nb.data import samples, store

from .conftest import Toy

SMALL = {"smoke": {"train": {"qcd": 7, "top": 5}, "val": {"qcd": 3, "top": 3}, "test": {"qcd": 12, "top": 4}},
         "tutorial": {"train": {"qcd": 12, "top": 5}, "test": {"qcd": 5, "top": 5}}}  # fmt: skip


@pytest.fixture
def small(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The top-tagging manifest with tiny profiles and chunks of five, made by the toy recipe."""
    about = data.manifest("top-tagging")
    recipe = store.manifest("top-tagging").recipe
    tiny = type(about)(**{**about.__dict__, "profiles": SMALL,
                          "recipe": type(recipe)(**{**recipe.__dict__, "chunk": 5})})  # fmt: skip
    monkeypatch.setattr(store, "manifest", lambda name: tiny)
    monkeypatch.setattr(store, "names", lambda: ["top-tagging"])
    monkeypatch.setattr(
        store, "make_chunks", lambda chunks, workers=None, say=None, client=None: [*map(store_make, chunks)]
    )
    return toy


def store_make(chunk: object) -> object:
    from hepml_nb.data.farm import make_chunk

    return make_chunk(chunk)  # type: ignore[arg-type]


def test_twin_has_the_asked_sizes_and_disjoint_events(small: Toy) -> None:
    twin = data.load("top-tagging", "smoke", "twin")
    assert twin.splits == ("train", "val", "test")
    assert twin.counts() == SMALL["smoke"]
    assert len(twin) == 34
    events = {split: set(ak.to_numpy(twin.split(split).event).tolist()) for split in twin.splits}
    assert sum(map(len, events.values())) == 34
    assert not events["train"] & events["test"]
    assert not events["train"] & events["val"]
    assert np.bincount(ak.to_numpy(twin.split("train").label)).tolist() == [7, 5]
    assert twin.provenance["counters"]["top"]["matched_fraction"] == pytest.approx(0.4)


def test_profiles_share_their_chunks(small: Toy) -> None:
    smoke = data.load("top-tagging", "smoke", "twin")
    before = len(small.calls)
    assert data.estimate("top-tagging", "tutorial").missing_seconds > 0
    tutorial = data.load("top-tagging", "tutorial", "twin")
    assert len(small.calls) - before == 1  # the third chunk of train/qcd is all that was missing
    assert data.estimate("top-tagging", "tutorial").missing_seconds == 0
    first = set(ak.to_numpy(smoke.split("train").event).tolist())
    assert first < set(ak.to_numpy(tutorial.split("train").event).tolist())
    assert smoke.identity != tutorial.identity


def test_seed_gives_other_jets_for_the_twin_and_another_order_else(small: Toy) -> None:
    zero, again = (data.load("top-tagging", "smoke", "twin") for _ in range(2))
    one = data.load("top-tagging", "smoke", "twin", seed=1)
    assert zero.identity == again.identity != one.identity
    assert ak.array_equal(zero.split("test"), again.split("test"), equal_nan=True)
    assert not set(ak.to_list(zero.split("test").pt)) & set(ak.to_list(one.split("test").pt))
    sample = [data.load("top-tagging", "smoke", "sample", seed=seed).split("val") for seed in (0, 1)]
    assert sorted(ak.to_list(sample[0].event)) == sorted(ak.to_list(sample[1].event))
    assert not ak.array_equal(sample[0].event, sample[1].event)


def test_make_says_the_estimate_first(small: Toy) -> None:
    said: list[str] = []
    made = data.make("top-tagging", "tutorial", say=said.append)
    assert "core-seconds to go" in said[0]
    assert "27 records" in said[0]
    assert made.provenance["source"] == "twin"


def test_missing_data_say_how_to_get_them(small: Toy) -> None:
    with pytest.raises(NotFound, match="hepml-nb data make top-tagging --profile tutorial"):
        data.load("top-tagging", "tutorial", make=False)
    with pytest.raises(NotFound, match="hepml-nb data fetch top-tagging"):
        data.load("top-tagging", "tutorial", "public")
    with pytest.raises(InputError, match="smoke profile"):
        data.load("top-tagging", "tutorial", "sample")


def test_verify_finds_a_damaged_chunk(small: Toy, cache: Path) -> None:
    data.load("top-tagging", "smoke", "twin")
    assert set(data.verify("top-tagging").values()) == {"ok"}
    chunk = next(cache.glob("chunks/*/00000.parquet"))
    content = bytearray(chunk.read_bytes())
    content[100] ^= 4
    chunk.write_bytes(content)
    assert data.verify("top-tagging")[str(chunk)] == "damaged"


def test_wrong_names_are_answered_with_the_nearest(cache: Path) -> None:
    with pytest.raises(NotFound, match="did you mean 'tutorial'"):
        data.load("top-tagging", "tutoral")
    with pytest.raises(InputError, match="did you mean 'public'"):
        data.load("top-tagging", source="publik")  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="did you mean 'train'"):
        data.load("top-tagging").split("trian")
    with pytest.raises(NotFound, match="no split 'train'"):
        data.load("boosted-jets").split("train")


def test_list_and_pictures_tell_what_there_is(cache: Path) -> None:
    table = data.list()
    assert table["top-tagging"]["sources"] == ["sample"]
    assert table["top-tagging"]["made"] == []
    json.dumps(table)
    sample = data.load("top-tagging")
    assert "smoke" in repr(sample)
    assert "<table>" in sample._repr_html_()


def test_batches_are_padded_one_by_one(cache: Path) -> None:
    sample = data.load("boosted-jets")
    seen = 0
    for batch in sample.batches("test", 300, seed=1, most=40):
        inside, mask = batch["constituents"], batch["constituents_mask"]
        assert inside.shape[:2] == mask.shape
        assert inside.shape[1] <= 40
        assert bool((inside[~mask] == 0).all())
        assert bool((inside[..., 0][mask] > 0).all())
        seen += len(mask)
    assert seen == len(sample.split("test"))
    with pytest.raises(InputError, match="size=0"):
        next(sample.batches("test", 0))


def test_a_damaged_sample_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    from hepml_nb.core import manifests_dir

    original = manifests_dir() / "samples" / "tagging"
    copy = tmp_path / "samples" / "tagging"
    copy.mkdir(parents=True)
    for name in ("boosted-jets.json", "boosted-jets.test.parquet"):
        content = bytearray((original / name).read_bytes())
        if name.endswith("parquet"):
            content[-50] ^= 1
        (copy / name).write_bytes(content)
    monkeypatch.setattr(samples, "manifests_dir", lambda: tmp_path)
    with pytest.raises(RunError, match="restore it with git"):
        data.load("boosted-jets").split("test")
