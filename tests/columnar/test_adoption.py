"""The whole walk: a user's files, `data add`, `data.load`, scores back beside the events; nothing is half-written."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from hepml_nb import data, tagging
from hepml_nb.cli import main
from hepml_nb.cli.adopt import disabled, fitting
from hepml_nb.columnar import adoption as module
from hepml_nb.columnar.adoption import adopt, lacking_of, mapping_of, split_of
from hepml_nb.core import InputError, NotFound, cache_dir
from hepml_nb.data import fetching
from hepml_nb.data.manifest import places

from .layouts import delphes, pfnano

N = 120


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEPML_NB_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def jets():
    return data.load("top-tagging").split("test")[:N]


def flat(jets, factor=1.0):
    """Return jets and constituents as columns of a flat ntuple, energies times a factor, one weight in ten negative."""
    inside = jets.constituents
    return {
        "jet_pt": jets.pt * factor, "jet_eta": jets.eta, "jet_phi": jets.phi, "eventNumber": np.arange(len(jets)),
        "isSignal": ak.values_astype(jets.label, np.int32),
        "weight": np.where(np.arange(len(jets)) % 10, 0.5, -0.5).astype(np.float32),
        "weight_pileup_up": np.linspace(0.9, 1.1, len(jets)).astype(np.float32),
        "part_pt": inside.pt * factor, "part_eta": inside.deta + jets.eta, "part_phi": inside.dphi + jets.phi,
        "part_pdgId": inside.pdg,
    }  # fmt: skip


def write(path, columns):
    kind = path.suffix
    if kind == ".root":
        packed = {name: ak.to_packed(ak.Array(column)) for name, column in columns.items()}
        with uproot.recreate(path) as file:
            file.mktree("ntuple", {name: column.type for name, column in packed.items()}).extend(packed)
    elif kind == ".parquet":
        ak.to_parquet(ak.zip(columns, depth_limit=1), path)
    else:
        wide = {name: ak.to_numpy(ak.fill_none(ak.pad_none(column, 150), 0)) if ak.Array(column).ndim > 1
                else ak.to_numpy(column) for name, column in columns.items()}  # fmt: skip
        if kind == ".npz":
            np.savez(path, **wide)
        else:
            with h5py.File(path, "w") as file:
                for name, column in wide.items():
                    file[name] = column
    return path


def together(name):
    """Return all records of a dataset, in the order of their events, and the split of each."""
    found = data.load(name, "full")
    parts = [ak.with_field(found.split(split), split, "split") for split in found.splits]
    records = ak.concatenate(parts)
    return records[ak.argsort(records.event)]


def same_physics(found, jets, pt=1e-3):
    np.testing.assert_array_equal(ak.num(found.constituents), ak.num(jets.constituents))
    np.testing.assert_allclose(found.mass, jets.mass, rtol=2e-3)  # columns keep 11 bits: 5e-4 of a mass, and its axis
    np.testing.assert_allclose(found.pt, jets.pt, rtol=pt)
    np.testing.assert_allclose(ak.flatten(found.constituents.pt), ak.flatten(jets.constituents.pt), rtol=1e-5)


@pytest.mark.parametrize("writer", [pfnano, delphes])
def test_events_of_experiments_become_jets_with_labels_and_unchanged_physics(tmp_path, jets, writer):
    writer(tmp_path / "events.root", jets)
    made = adopt([tmp_path / "events.root"], "jets", "mine")
    assert made.lacking == ("gen_pt", "gen_mass", "gen_msoftdrop")
    found = together("mine")
    assert set(data.schema("jets").columns) <= set(found.fields)
    np.testing.assert_array_equal(found.event, np.arange(100, 100 + N))
    np.testing.assert_array_equal(found.label, jets.label)  # of the decays beside the jets
    # Delphes' particles are clustered anew: one at the very edge of a jet, rounded to a grid, may fall out of it
    same = ak.num(found.constituents) == ak.num(jets.constituents)
    assert ak.mean(same) >= (1 if writer is pfnano else 0.98)
    same_physics(found[same], jets[same], pt=2**-9)  # and their pt has eight bits
    assert data.load("mine").classes == {"qcd": 0, "top": 1}
    assert tagging.observables(found).shape == (N, len(tagging.OBSERVABLES))


@pytest.mark.parametrize("kind", ["root", "parquet", "h5", "npz"])
def test_flat_files_in_mev_in_four_formats(tmp_path, jets, kind):
    path = write(tmp_path / f"mine.{kind}", flat(jets, 1e3))
    made = adopt([path], "jets", "mine")
    assert made.negative == pytest.approx(0.1)
    found = together("mine")
    same_physics(found, jets)
    np.testing.assert_array_equal(found.label, jets.label)
    np.testing.assert_allclose(found.weight, np.where(np.arange(N) % 10, 0.5, -0.5))
    np.testing.assert_allclose(found.weight_pileup_up, np.linspace(0.9, 1.1, N), rtol=1e-6)  # a systematic variation
    assert set(data.manifest("mine").columns) >= {"weight", "weight_pileup_up"}
    again = adopt([path], "jets", "mine", replace=True, mapping=mapping_of("mine"))
    assert again.manifest == made.manifest


def test_identity_is_that_of_the_content(tmp_path, jets):
    columns = flat(jets)
    adopt([write(tmp_path / "a.parquet", columns)], "jets", "mine")
    first = data.load("mine").identity, data.identity("mine", "smoke")
    adopt([write(tmp_path / "b.npz", columns)], "jets", "mine", replace=True)
    assert (data.load("mine").identity, data.identity("mine", "smoke")) == first  # another file, the same jets
    columns["weight"] = columns["weight"] * 2
    adopt([write(tmp_path / "a.parquet", columns)], "jets", "mine", replace=True)
    assert data.load("mine").identity != first[0]
    assert data.identity("mine", "smoke") != first[1]
    left = [path for path in (cache_dir() / "public" / "mine").iterdir() if path.is_dir()]
    assert len(left) == 1  # the old skim is gone
    data.load("mine", "full")
    pieces, blocks = (sorted(path.stat().st_ino for path in place.rglob("*.parquet"))
                      for place in (left[0], cache_dir() / "public-converted" / "mine"))  # fmt: skip
    assert blocks == pieces  # stored once, and nothing of the old one is left


def test_splits_by_event_and_by_file(tmp_path, jets):
    numbers = np.arange(100_000)
    place = split_of(numbers, {"train": 0.6, "val": 0.1, "test": 0.2})
    shares = np.bincount(place) / len(numbers)
    np.testing.assert_allclose(shares, [0.6, 0.1, 0.2, 0.1], atol=0.006)  # four standard errors
    np.testing.assert_array_equal(split_of(numbers[::-1], {"train": 0.6, "val": 0.1, "test": 0.2}), place[::-1])
    columns = flat(jets)
    columns["eventNumber"] = np.arange(N) // 2  # two jets each
    adopt([write(tmp_path / "a.parquet", columns)], "jets", "pairs")
    found = together("pairs")
    by_event = {(event, split) for event, split in zip(found.event.to_list(), found.split.to_list(), strict=True)}
    assert len(by_event) == N // 2
    for name, part in (("train_a", jets[:50]), ("train_b", jets[50:90]), ("test", jets[90:])):
        write(tmp_path / f"{name}.parquet", flat(part))
    plan = yaml.safe_load(mapping_of("pairs"))
    plan["splits"] = {"train": "train_*", "test": "test*"}
    made = adopt(sorted(tmp_path.glob("t*.parquet")), "jets", "files", mapping=yaml.safe_dump(plan))
    assert {split: sum(row.values()) for split, row in made.counts.items()} == {"train": 90, "test": N - 90}
    plan["splits"] = {"train": "train_*"}
    with pytest.raises(InputError, match=r"test\.parquet: the mapping puts it in no split"):
        adopt(sorted(tmp_path.glob("t*.parquet")), "jets", "files2", mapping=yaml.safe_dump(plan))


def test_classes_by_the_names_of_files(tmp_path, jets):
    label = ak.to_numpy(jets.label)
    pfnano(tmp_path / "QCD_HT500.root", jets[label == 0], truth=False)
    pfnano(tmp_path / "ttbar_hadronic.root", jets[label == 1], truth=False)
    adopt(sorted(tmp_path.glob("*.root")), "jets", "mine")
    found = together("mine")
    assert data.load("mine").classes == {"qcd": 0, "top": 1}
    np.testing.assert_allclose(np.sort(found.mass[found.label == 1]), np.sort(jets.mass[label == 1]), rtol=2e-3)


def test_pieces_are_bounded_and_all_jets_are_in_them(tmp_path, jets, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 25)
    made = adopt([write(tmp_path / "a.parquet", flat(jets))], "jets", "mine")
    sizes = [pq.ParquetFile(fetching.folder(made.manifest) / file.name).metadata.num_rows
             for file in made.manifest.public.files]  # fmt: skip
    assert max(sizes) == 25
    assert sum(sizes) == N
    same_physics(together("mine"), jets)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_is_half_written(tmp_path, jets, monkeypatch, error):
    path = write(tmp_path / "a.parquet", flat(jets))
    adopt([path], "jets", "old")
    before = sorted(str(p) for p in cache_dir().rglob("*") if p.suffix != ".lock")
    real = module.parquet_bytes
    calls = []

    def breaks(array):
        calls.append(1)
        if len(calls) == 3:
            raise error
        return real(array)

    monkeypatch.setattr(module, "parquet_bytes", breaks)
    for name in ("new", "old"):
        calls.clear()
        with pytest.raises(BaseException, match=None if error is KeyboardInterrupt else "no room"):
            adopt([path], "jets", name, replace=True)
    assert "new" not in places()
    after = sorted(str(p) for p in cache_dir().rglob("*") if p.suffix != ".lock")
    assert [p for p in after if not p.endswith("/new")] == before
    same_physics(together("old"), jets)


def test_names_that_are_taken_are_refused(tmp_path, jets):
    path = write(tmp_path / "a.parquet", flat(jets))
    adopt([path], "jets", "mine")
    with pytest.raises(InputError, match="already; choose another name, or give --replace"):
        adopt([path], "jets", "mine")
    with pytest.raises(InputError, match="'top-tagging' is the name of a dataset that ships"):
        adopt([path], "jets", "top-tagging", replace=True)
    with pytest.raises(InputError, match="'My Jets' is no plain name"):
        adopt([path], "jets", "My Jets")
    assert adopt([path], "jets", "other", agree=lambda seen, plan, notes: False) is None
    assert "other" not in places()


def test_what_is_missing_is_named_with_what_it_disables(tmp_path, jets):
    path = write(tmp_path / "a.root", flat(jets))
    with pytest.raises(NotFound, match=r"no tree 'nutple'; did you mean 'ntuple'"):
        adopt([path], "jets", "mine", tree="nutple")
    plan, _ = module.propose(module.survey([path]), "jets")
    lost = plan.text().replace("part_phi", "part_fi")
    with pytest.raises(NotFound, match=r"a\.root has no column 'part_fi'; did you mean 'part_phi'"):
        adopt([path], "jets", "mine", mapping=lost)
    columns = {"jet_pt": jets.pt, "jet_eta": jets.eta, "mass": jets.mass, "tau1": jets.tau1, "label": jets.label}
    made = adopt([write(tmp_path / "b.parquet", columns)], "jets", "bare")
    assert {"constituents", "tau2", "msoftdrop"} <= set(made.lacking)
    assert not {"mass", "tau1", "pt", "label"} & set(made.lacking)
    off = disabled("tagging", made.lacking)
    assert "constituents" in off["tagging/02_observables_and_networks"]
    assert disabled("tagging", ["gen_pt"]) == {}
    assert disabled("start", ["constituents"]) == {"start/03_your_own_data": "constituents"}  # as it says itself
    assert disabled("start", ["gen_pt"]) == {}
    assert set(lacking_of("bare")) == set(made.lacking)
    assert lacking_of("top-tagging") == ()
    on, off = fitting(data.manifest("bare"), made.lacking)
    assert "tagging/02_observables_and_networks" in off
    assert on == [] or not set(on) & set(off)
    shown = data.manifest("collisions-nano")
    assert fitting(shown, ()) == (["start/02_columnar_analysis"], {})  # those of jets are no matter of this schema
    other = dataclasses.replace(shown, classes={"zmumu": 0, "data": 1})
    assert fitting(other, ()) == ([], {"start/02_columnar_analysis": "the class ttbar"})
    assert fitting(other, ("label", "Muon")) == ([], {"start/02_columnar_analysis": "Muon, label"})
    with pytest.raises(InputError, match=r"lack the column"):
        tagging.observables(together("bare"))


def test_good_files_are_taken_without_the_bad_ones_if_asked(tmp_path, jets, capsys):
    good = pfnano(tmp_path / "good.root", jets)
    cut, text = tmp_path / "cut.root", tmp_path / "text.root"
    cut.write_bytes(good.read_bytes()[:20_000])
    text.write_text("no events")
    asked = ["data", "add", "--as", "jets", "--name", "mine", "--yes", str(good)]
    assert main([*asked, str(text)]) == 2
    told = capsys.readouterr().err
    assert "text.root is no readable ROOT file: it begins with b'no e', not with b'root'. skip_bad=True (--skip" in told
    assert main([*asked, str(cut)]) == 3
    told = capsys.readouterr().err
    assert "cut.root: entries 0-120 are lost: OSError" in told
    assert "the file is damaged or cut off. skip_bad=True (--skip-bad)" in told
    assert "mine" not in places()
    assert main([*asked, str(cut), str(text), "--skip-bad", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made["bad"]) == {str(cut), str(text)}
    assert len(together("mine")) == N
    assert sum("cut.root" in trap for trap in data.manifest("mine").traps) == 1
    with pytest.raises(InputError, match=r"cut\.root: entries 0-120 are lost"):
        adopt([cut], "jets", "none", skip_bad=True)


def test_a_file_without_a_column_is_a_bad_one(tmp_path, jets):
    columns = flat(jets)
    files = [write(tmp_path / "a.parquet", columns)]
    files.append(write(tmp_path / "b.parquet", {name: columns[name] for name in columns if name != "part_phi"}))
    with pytest.raises(NotFound, match=r"b\.parquet has no column 'part_phi'"):
        adopt(files, "jets", "mine")
    made = adopt(files, "jets", "mine", skip_bad=True)
    assert list(made.bad) == [str(files[1])]
    assert len(together("mine")) == N


def test_layouts_and_trees_do_not_mix(tmp_path, jets):
    files = [pfnano(tmp_path / "b.root", jets[:4]), delphes(tmp_path / "a.root", jets[:4])]
    with pytest.raises(InputError, match=r"a\.root is delphes \(tree 'Delphes'\) and .*b\.root is pfnano"):
        adopt(files, "jets", "mine", skip_bad=True)


def test_a_file_of_the_owner_cannot_be_fetched(tmp_path, jets):
    made = adopt([write(tmp_path / "a.parquet", flat(jets))], "jets", "mine")
    data.fetch("mine")  # all is here: nothing to do
    assert set(data.verify("mine").values()) == {"ok"}
    (fetching.folder(made.manifest) / made.manifest.public.files[0].name).unlink()
    with pytest.raises(NotFound, match="its owner had put it here"):
        data.fetch("mine")


def test_nano_events(tmp_path, jets):
    pfnano(tmp_path / "events.root", jets, weight=np.where(np.arange(N) % 4, 1.0, -1.0))
    made = adopt([tmp_path / "events.root"], "events", "mine")
    assert made.manifest.schema == "nanoaod"
    found = together("mine")
    np.testing.assert_allclose(ak.flatten(found.FatJet.mass), jets.mass)
    assert ak.sum(found.genWeight < 0) == N // 4
    with pytest.raises(InputError, match="there are no constituents"):
        with uproot.recreate(tmp_path / "nano.root") as file:
            columns = {"run": np.ones(3, np.uint32), "luminosityBlock": np.ones(3, np.uint32), "event": np.arange(3)}
            file.mktree("Events", {name: column.dtype for name, column in columns.items()}).extend(columns)
        adopt([tmp_path / "nano.root"], "jets", "nano")


def test_the_command_line(tmp_path, jets, capsys, monkeypatch):
    path = str(pfnano(tmp_path / "events.root", jets))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["data", "add", path, "--as", "jets"]) == 2  # how shall it be called?
    assert main(["data", "add", path, "--as", "jets", "--name", "mine"]) == 2  # nobody said yes
    assert "mine" not in places()
    capsys.readouterr()
    assert main(["data", "add", path, "--as", "jets", "--propose"]) == 0
    proposed = capsys.readouterr()
    assert "FatJet_pt" in proposed.err
    Path(tmp_path / "m.yaml").write_text(proposed.out.replace("hardest: 2", "hardest: 1"), encoding="utf-8")
    assert main(["data", "add", path, "--name", "mine", "--mapping", str(tmp_path / "m.yaml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["disabled"] == {}
    assert sum(sum(row.values()) for row in told["counts"].values()) == N
    assert main(["data", "add", path, "--as", "jets", "--name", "mine", "--yes"]) == 2
    assert "--replace" in capsys.readouterr().err


def test_scores_stand_beside_the_events(tmp_path, jets, capsys):
    found = data.load("top-tagging")
    tagger = tagging.make("fisher").fit(found.split("train")[:800], found.split("val")[:200])
    tagger.save(tmp_path / "model")
    pfnano(tmp_path / "a.root", jets)
    write(tmp_path / "b.parquet", flat(jets, 1e3))
    adopt([tmp_path / "a.root"], "jets", "mine")
    scores = tagger.scores(jets)
    asked = ["apply", str(tmp_path / "model")]
    assert main([*asked, str(tmp_path / "a.root"), "--dataset", "mine", "--out", str(tmp_path / "s")]) == 0
    made = pq.read_table(tmp_path / "s" / "a.scores.parquet").to_pydict()
    assert made["row"] == list(range(N))
    assert made["event"] == list(range(100, 100 + N))
    assert set(made["luminosityBlock"]) == {7}
    # masses are rounded again, and ties of kT axes may break otherwise: nearly all scores, to a percent
    close = np.abs(np.array(made["score"]) - scores) < 0.02
    assert close.mean() > 0.95
    assert main([*asked, str(tmp_path / "b.parquet"), "--out", str(tmp_path / "t")]) == 0
    made = pq.read_table(tmp_path / "t" / "b.scores.parquet").to_pydict()
    assert (np.abs(np.array(made["score"]) - scores) < 0.02).mean() > 0.95
    capsys.readouterr()
    assert main([*asked, str(tmp_path / "b.parquet"), "--out", str(tmp_path)]) == 2
    assert "holds other things" in capsys.readouterr().err
    assert main([*asked, str(tmp_path / "b.parquet"), "--dataset", "top-tagging"]) == 2
