"""The samples that ship: small enough, whole, and with the physics that the datasets promise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data, stats
from hepml_nb.core import InputError, RunError, manifests_dir
from hepml_nb.data import samples
from hepml_nb.data.dataset import Dataset
from hepml_nb.data.manifest import parse
from hepml_nb.simulate import describe, dijets, recipe

MIB = 1_000_000
ALLOWED = {"tagging": 4, "unfolding": 8, "anomaly": 9, "calo": 8, "sbi": 3, "start": 1}


def test_samples_stay_within_their_allowance() -> None:
    for folder in (manifests_dir() / "samples").iterdir():
        size = sum(path.stat().st_size for path in folder.rglob("*"))
        assert size <= ALLOWED[folder.name] * MIB, f"{folder.name}: {size} bytes"


@pytest.mark.parametrize("name", ["top-tagging", "boosted-jets"])
def test_samples_are_whole(name: str) -> None:
    sample = data.load(name, source="sample")
    assert {path: state for path, state in data.verify(name).items() if "samples" in path and state != "ok"} == {}
    assert sample.counts() == data.manifest(name).counts("smoke")
    events = np.concatenate([ak.to_numpy(sample.split(split).event) for split in sample.splits])
    ranks = np.concatenate([ak.to_numpy(sample.split(split)["rank"]) for split in sample.splits])
    assert len(np.unique(np.stack([events, ranks]), axis=1).T) == len(sample)
    for split in sample.splits:
        jets = sample.split(split)
        assert np.bincount(ak.to_numpy(jets.label)).tolist() == list(sample.counts()[split].values())
        for column in jets.fields:
            if column != "constituents" and not column.startswith("gen_"):
                assert np.isfinite(ak.to_numpy(jets[column])).all()


@pytest.mark.parametrize("name", ["top-tagging", "boosted-jets"])
def test_samples_were_made_by_the_recipe_as_it_is(name: str) -> None:
    about = data.manifest(name)
    for stream, made in data.load(name).provenance["recipe"].items():
        now = json.loads(json.dumps(recipe(about.recipe.name).identity(about.recipe.streams[stream])))
        assert {**made, "uses": made["uses"]["detector"]} == {**now, "uses": now["uses"]["detector"]}


def test_splits_share_no_event() -> None:
    sample = data.load("top-tagging")
    events = [set(ak.to_numpy(sample.split(split).event).tolist()) for split in ("train", "val", "test")]
    assert not events[0] & events[1]
    assert not events[0] & events[2]
    assert not events[1] & events[2]


def test_columns_can_be_computed_again_from_the_constituents() -> None:
    jets = data.load("boosted-jets").split("test")[:200]
    inside = jets.constituents
    for name, values in describe(inside.pt, inside.deta, inside.dphi).items():
        assert ak.to_numpy(jets[name]) == pytest.approx(values, rel=2.0**-10, abs=1e-4), name


def leading(label: int) -> ak.Array:
    """The published selection: hardest jet of its event, all decay quarks within 0.8."""
    jets = data.load("boosted-jets").split("test")
    return jets[(jets.label == label) & jets.matched & (jets["rank"] == 0)]


def test_median_masses_are_those_of_top_and_w() -> None:
    top, w, qcd = leading(2), leading(1), leading(0)
    assert 165 < np.median(top.msoftdrop) < 180
    assert 76 < np.median(w.msoftdrop) < 86
    assert 165 < np.nanmedian(top.gen_msoftdrop) < 180
    assert 76 < np.nanmedian(w.gen_msoftdrop) < 86
    assert np.median(qcd.msoftdrop) < 50
    assert min(len(top), len(w), len(qcd)) > 150


def test_the_matched_fraction_is_recorded() -> None:
    counters = data.load("boosted-jets").provenance["counters"]
    assert 0.55 < counters["top"]["matched_fraction"] < 0.72
    assert 0.70 < counters["w"]["matched_fraction"] < 0.88
    jets = data.load("boosted-jets").split("test")
    seen = np.mean(jets.matched[jets.label == 2])
    assert seen == pytest.approx(counters["top"]["matched_fraction"], abs=0.08)


def test_tau32_separates_tops_and_tau21_ws() -> None:
    jets = data.load("top-tagging").split("test")
    tau32 = ak.to_numpy(jets.tau3 / np.maximum(jets.tau2, 1e-6))
    assert stats.auc(ak.to_numpy(jets.label), -tau32).value > 0.8
    w, qcd = leading(1), leading(0)
    tau21 = np.concatenate([ak.to_numpy(x.tau2 / np.maximum(x.tau1, 1e-6)) for x in (w, qcd)])
    assert stats.auc(np.repeat([1, 0], [len(w), len(qcd)]), -tau21).value > 0.8


def test_multiplicities_and_composition_are_sensible() -> None:
    jets = data.load("top-tagging").split("test")
    counts = ak.to_numpy(ak.num(jets.constituents))
    label = ak.to_numpy(jets.label)
    assert 40 < counts[label == 0].mean() < 60
    assert 55 < counts[label == 1].mean() < 75
    charged = ak.sum(jets.constituents.pt[np.abs(jets.constituents.pdg) == 211], axis=1)
    fraction = ak.to_numpy(charged / ak.sum(jets.constituents.pt, axis=1))
    assert 0.5 < fraction.mean() < 0.7


def test_no_edge_of_the_preselection_shows_in_the_spectrum() -> None:
    jets = data.load("top-tagging")
    pt = np.concatenate([ak.to_numpy(jets.split(split).pt[jets.split(split).label == 0]) for split in jets.splits])
    counts = np.histogram(pt, bins=[550, 570, 590, 610, 630, 650])[0]
    assert np.all(counts[:-1] > counts[1:] - 3 * np.sqrt(2 * counts[1:]))  # falling from the first bin on
    assert counts[0] / counts[2] == pytest.approx((600 / 560) ** 5.5, rel=0.15)


def test_a_large_sample_ships_in_pieces_and_comes_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = data.load("boosted-jets")
    monkeypatch.setattr(samples, "manifests_dir", lambda: tmp_path)
    monkeypatch.setattr(samples, "_LARGEST", 200_000)
    about = data.manifest("boosted-jets")
    dataset = Dataset(about.name, "tutorial", {"test": whole.parts("test")}, whole.provenance, about.classes)
    written = samples.write(about, dataset)
    files = sorted(path.name for path in tmp_path.rglob("*.parquet"))
    assert files[0] == "boosted-jets.tutorial.test.0.parquet"
    assert len(files) > 1
    assert max(path.stat().st_size for path in tmp_path.rglob("*.parquet")) < 200_000
    assert written == sum(path.stat().st_size for path in tmp_path.rglob("*.parquet"))
    assert samples.ships(about, "tutorial")
    assert not samples.ships(about)
    back = samples.sample(about, "tutorial", 0)
    assert sorted(ak.to_list(back.split("test").event)) == sorted(ak.to_list(whole.split("test").event))
    assert set(samples.verify(about).values()) == {"ok"}
    damaged = next(tmp_path.rglob("*.test.1.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert samples.verify(about)[str(damaged)] == "damaged"
    with pytest.raises(RunError, match="restore it with git"):
        samples.sample(about, "tutorial", 0).split("test")
    with pytest.raises(InputError, match="is its tutorial profile"):
        samples.sample(about, "full", 0)


def test_a_sample_ships_with_the_columns_that_its_profile_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, about = data.load("lhco"), data.manifest("lhco")
    monkeypatch.setattr(samples, "manifests_dir", lambda: tmp_path)
    made = Dataset(about.name, "tutorial", {"test": whole.parts("test")}, whole.provenance, about.classes)
    samples.write(about, made)
    back = samples.sample(about, "tutorial", 0).split("test")
    assert back.fields == about.keeps["tutorial"]
    assert sorted(ak.to_list(back.mjj)) == sorted(ak.to_list(whole.split("test").mjj))
    assert dijets.features(back).shape == (len(back), len(dijets.FEATURES))


def test_a_sample_may_keep_some_columns_of_its_constituents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, about = data.load("unseen-jets"), data.manifest("unseen-jets")
    assert set(whole.split("test").constituents.fields) == {"pt", "deta", "dphi", "pdg"}  # no impact parameters
    monkeypatch.setattr(samples, "manifests_dir", lambda: tmp_path)
    few = replace(about, keeps={"smoke": ["mass", "constituents.pt", "label", "constituents.deta"]})
    samples.write(few, Dataset(about.name, "smoke", {"test": whole.parts("test")}, whole.provenance, about.classes))
    back = samples.sample(few, "smoke", 0).split("test")
    assert set(back.fields) == {"mass", "label", "constituents"}
    assert set(back.constituents.fields) == {"pt", "deta"}
    rows = [sorted(zip(ak.to_list(jets.mass), ak.to_list(ak.sum(jets.constituents.pt, axis=1)), strict=True))
            for jets in (back, whole.split("test"))]  # fmt: skip
    assert rows[0] == rows[1]
    with pytest.raises(InputError, match=r"constituents\.d0val"):
        replace(about, keeps={"smoke": ["constituents.d0"]})


def test_a_column_that_is_not_there_cannot_be_kept() -> None:
    text = (manifests_dir() / "lhco.yaml").read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"keeps\.tutorial.*'m_jj'.*mjj"):
        parse(text.replace("tutorial: [mjj,", "tutorial: [m_jj,"))
    with pytest.raises(InputError, match=r"keeps.*'tutorials'"):
        parse(text.replace("  tutorial: [mjj,", "  tutorials: [mjj,"))
