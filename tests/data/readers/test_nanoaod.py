"""NanoAOD and the reduced open data are read into one schema, and other ROOT files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from hepml_nb import data
from hepml_nb.core import InputError, manifests_dir
from hepml_nb.data.readers import nanoaod as reader
from hepml_nb.simulate import nanoaod, recipe

N_MUON = [2, 0, 1, 3]


@pytest.fixture(scope="module")
def events() -> Any:
    """Return twelve simulated events."""
    return recipe("nano")(12, seed=1)[0]


def muons(n: list[int] = N_MUON) -> dict[str, Any]:
    """Return the branches of the reduced open data: nothing but muons."""
    total = sum(n)
    columns = {"pt": np.linspace(30, 10, total), "eta": np.linspace(-2, 2, total), "phi": np.linspace(-3, 3, total),
               "mass": np.full(total, 0.1056584)}  # fmt: skip
    flat = {name: values.astype(np.float32) for name, values in columns.items()}
    flat["charge"] = np.where(np.arange(total) % 2, 1, -1).astype(np.int32)
    return {f"Muon_{name}": ak.unflatten(values, n) for name, values in flat.items()}


def write(path: Path, branches: dict[str, Any], tree: str = "Events") -> Path:
    """Write flat branches with nMuon beside them, as CMS does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lists = {name: values for name, values in branches.items() if values.ndim > 1}
    single = {name: np.asarray(values) for name, values in branches.items() if values.ndim == 1}
    kinds = {name: values.type.content for name, values in lists.items()}
    with uproot.recreate(path) as file:
        made = file.mktree(tree, {**kinds, **{name: values.dtype for name, values in single.items()}},
                           counter_name=lambda counted: f"n{counted.split('_')[0]}")  # fmt: skip
        made.extend({**lists, **single})
    return path


def test_open_data_of_muons_are_read(tmp_path: Path) -> None:
    branches = muons()
    path = write(tmp_path / "Run2012BC_DoubleMuParked_Muons.root", branches)
    assert reader.count(path) == 4
    read = reader.read(path, 0, 4)
    about = data.manifest("cms-dimuon")
    assert set(read.fields) == {*about.columns, *about.collections}
    assert ak.num(read.Muon).to_list() == N_MUON
    for name in ("pt", "eta", "phi", "mass", "charge"):
        assert ak.to_list(read.Muon[name]) == ak.to_list(branches[f"Muon_{name}"])
    assert np.isnan(ak.to_numpy(ak.flatten(read.Muon.pfRelIso04_all))).all()
    assert np.isnan(ak.to_numpy(read.MET_pt)).all()
    assert ak.all(ak.flatten(read.Muon.genPartIdx) == -1)
    assert ak.sum(ak.num(read.Jet)) == 0
    assert ak.to_list(read.label) == [-1] * 4
    assert ak.to_list(reader.read(path, 1, 3).event) == [1, 2]
    again = reader.read(nanoaod.write_root(tmp_path / "again.root", read), 0, 4)
    assert ak.array_equal(again, read, equal_nan=True)


def test_simulated_files_come_back_whole(tmp_path: Path, events: Any) -> None:
    read = reader.read(nanoaod.write_root(tmp_path / "e.root", events), 0, 99, label=0)
    assert ak.array_equal(read, events, equal_nan=True)


def test_real_nanoaod_is_read() -> None:
    read = reader.read(manifests_dir() / "samples" / "start" / "nano_dimuon.root", 0, 40)
    assert ak.all(read.run == 315267)
    assert np.isnan(ak.to_numpy(read.genWeight)).all()
    assert ak.all(read.Muon.pt > 0)
    assert np.isfinite(ak.to_numpy(read.MET_pt)).all()
    assert ak.sum(ak.num(read.GenPart)) == 0


def test_other_files_are_named(tmp_path: Path, events: Any) -> None:
    (tmp_path / "no.root").write_bytes(b"root, but not really")
    with pytest.raises(InputError, match="is no ROOT file, or it is damaged"):
        reader.count(tmp_path / "no.root")
    whole = nanoaod.write_root(tmp_path / "e.root", events).read_bytes()
    (tmp_path / "cut.root").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(InputError, match="damaged"):
        reader.read(tmp_path / "cut.root", 0, 3)
    with pytest.raises(InputError, match="no tree 'Events'; did you mean 'Event'"):
        reader.count(write(tmp_path / "a.root", muons(), tree="Event"))
    with pytest.raises(InputError, match="is it NanoAOD"):
        reader.count(write(tmp_path / "b.root", {"x": np.ones(3)}))
    with pytest.raises(InputError, match="4 events; nothing lies between 4 and 9"):
        reader.read(write(tmp_path / "c.root", muons()), 4, 9)
    bad = muons()
    bad["Muon_eta"] = ak.unflatten(np.array([0, 0, np.nan, 0, 0, 0], np.float32), N_MUON)
    with pytest.raises(InputError, match="Muon_eta of event 2 holds NaN"):
        reader.read(write(tmp_path / "d.root", bad), 0, 4)


def test_fetched_files_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = data.manifest("cms-dimuon")
    assert about.public is not None
    assert about.public.files[0].bytes == 2_244_449_133
    assert about.public.reader == "nanoaod"
