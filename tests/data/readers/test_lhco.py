"""The public layouts of the LHC Olympics are read into the schema of the twin, and others are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.data.readers import lhco_events, lhco_features
from hepml_nb.simulate import recipe

h5py = pytest.importorskip("h5py")
NAMES = lhco_features.COLUMNS


@pytest.fixture(scope="module")
def events() -> Any:
    """Return twelve events with their particles."""
    return recipe("dijets")(12, seed=2, process="qq", label=1, particles=True)[0]


def fixed(path: Path, blocks: list[tuple[list[Any], np.ndarray]], key: str = "df") -> Path:
    """Write a table as pandas does in its fixed format: block values by row, and the names of each block's columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        group = file.create_group(key)
        names = [name for items, _ in blocks for name in items]
        group["axis0"] = np.array(names, dtype="S" if isinstance(names[0], str) else np.int64)
        group["axis1"] = np.arange(len(blocks[0][1]))
        for i, (items, values) in enumerate(blocks):
            group[f"block{i}_items"] = np.array(items, dtype="S" if isinstance(items[0], str) else np.int64)
            group[f"block{i}_values"] = values
    return path


def jet_features(events: Any) -> np.ndarray:
    """Return the fourteen public columns of events."""
    rows = []
    for jet in ("j1", "j2"):
        pt, eta, phi = (ak.to_numpy(events[f"{jet}_{name}"]).astype(float) for name in ("pt", "eta", "phi"))
        rows += [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
        rows += [ak.to_numpy(events[f"{jet}_{name}"]).astype(float) for name in ("mass", "tau1", "tau2", "tau3")]
    return np.stack(rows, axis=1)


def rows_of(events: Any, label: bool = True) -> np.ndarray:
    """Return 2100 columns of padded pT, eta, phi and, last, the label."""
    out = np.zeros((len(events), 2100 + label))
    for i, name in enumerate(("pt", "eta", "phi")):
        padded = ak.fill_none(ak.pad_none(events.particles[name], 700, clip=True), 0)
        out[:, i:2100:3] = ak.to_numpy(padded)
    if label:
        out[:, -1] = ak.to_numpy(events.label)
    return out


def same(read: Any, events: Any, names: list[str], rel: float = 1e-5) -> None:
    for name in names:
        assert ak.to_numpy(read[name]) == pytest.approx(ak.to_numpy(events[name]), rel=rel, abs=1e-3), name


COMMON = ["mjj", *(f"{j}_{n}" for j in ("j1", "j2") for n in ("pt", "eta", "phi", "mass", "tau1", "tau2", "tau3"))]


def test_features_are_read_back(tmp_path: Path, events: Any) -> None:
    label = ak.to_numpy(events.label)[:, None].astype(float)
    path = fixed(tmp_path / "f.h5", [(list(NAMES), jet_features(events)), (["label"], label)])
    read = lhco_features.read(path, 0, 12)
    assert set(read.fields) == set(data.manifest("lhco").columns)
    same(read, events, [*COMMON, "label", "weight", "mx", "my"], rel=1e-3)
    assert lhco_features.count(path) == 12
    assert ak.to_list(lhco_features.read(path, 3, 6).event) == [3, 4, 5]


def test_features_without_names_without_label_and_of_background(tmp_path: Path, events: Any) -> None:
    path = fixed(tmp_path / "f.h5", [(list(range(14)), jet_features(events))])
    same(lhco_features.read(path, 0, 12, label=2), events, COMMON, rel=1e-3)
    assert ak.all(lhco_features.read(path, 0, 12, label=2).label == 2)
    unknown = lhco_features.read(path, 0, 12)
    assert ak.all(unknown.label == -1)
    assert np.isnan(ak.to_numpy(unknown.mx)).all()
    background = lhco_features.read(path, 0, 12, label=0)
    assert ak.all((background.mx == 0) & (background.my == 0))


def test_masses_in_the_file_come_first(tmp_path: Path, events: Any) -> None:
    extra = np.column_stack([np.full(12, 300.0), np.full(12, 200.0)])
    path = fixed(tmp_path / "f.h5", [([*NAMES, "mx", "my"], np.column_stack([jet_features(events), extra]))])
    read = lhco_features.read(path, 0, 12, label=1)
    assert ak.all((read.mx == 300) & (read.my == 200))


def test_what_pandas_writes_is_read(tmp_path: Path, events: Any) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("tables", reason="writing pandas tables needs PyTables")
    frame = pd.DataFrame(np.column_stack([jet_features(events), np.ones(12)]), columns=range(15))
    for kind in ("fixed", "table"):
        frame.to_hdf(tmp_path / f"{kind}.h5", key="df", format=kind)
        same(lhco_features.read(tmp_path / f"{kind}.h5", 0, 12), events, [*COMMON, "label"], rel=1e-3)


def test_particles_are_read_and_give_their_jets(tmp_path: Path, events: Any) -> None:
    path = fixed(tmp_path / "e.h5", [(list(range(2101)), rows_of(events))])
    read = lhco_events.read(path, 0, 12)
    about = data.manifest("lhco-events")
    assert set(read.fields) == {*about.columns, *about.collections}
    same(read, events, [*COMMON, "label", "mx"], rel=2e-3)
    assert ak.to_list(ak.num(read.particles)) == ak.to_list(ak.num(events.particles))
    assert ak.array_equal(read.particles.pt, events.particles.pt)
    assert lhco_events.count(path) == 12


def test_extra_qcd_calls_pt_eta_phi_by_other_names(tmp_path: Path, events: Any) -> None:
    names = [f"{name}{i}" for i in range(700) for name in ("px", "py", "pz")]
    values = np.column_stack([jet_features(events), rows_of(events, label=False)])
    path = fixed(tmp_path / "e.h5", [([*NAMES, *names], values)])
    read = lhco_events.read(path, 0, 12, label=0)
    same(read, events, COMMON, rel=2e-3)
    assert ak.all(read.label == 0)
    same(lhco_features.read(path, 0, 12, label=0), events, COMMON, rel=1e-3)


def test_black_boxes_take_their_labels_from_the_key(tmp_path: Path, events: Any) -> None:
    path = fixed(tmp_path / "box.h5", [(list(range(2100)), rows_of(events, label=False))])
    assert ak.all(lhco_events.read(path, 0, 12, masterkey="box.masterkey").label == -1)
    truth = [0.0, 1.0] * 6
    (tmp_path / "box.masterkey").write_text("".join(f"{value}\n" for value in truth))
    assert lhco_events.count(tmp_path / "box.masterkey") == 0
    assert ak.to_list(lhco_events.read(path, 1, 4, masterkey="box.masterkey").label) == [1, 0, 1]
    (tmp_path / "box.masterkey").write_text("0\n")
    with pytest.raises(InputError, match="ends before event 12"):
        lhco_events.read(path, 0, 12, masterkey="box.masterkey")


def test_other_layouts_are_named(tmp_path: Path, events: Any) -> None:
    good = jet_features(events)
    with pytest.raises(InputError, match="no column 'tau3j2'; did you mean"):
        lhco_features.read(fixed(tmp_path / "a.h5", [([*NAMES[:-1], "tau3"], good)]), 0, 3)
    bad = good.copy()
    bad[1, 3] = np.nan
    with pytest.raises(InputError, match="row 1 holds NaN"):
        lhco_features.read(fixed(tmp_path / "b.h5", [(list(NAMES), bad)]), 0, 3)
    bad = good.copy()
    bad[2, :2] = 0
    with pytest.raises(InputError, match="row 2: j1 has no transverse momentum"):
        lhco_features.read(fixed(tmp_path / "c.h5", [(list(NAMES), bad)]), 0, 3)
    with pytest.raises(InputError, match="nothing lies between 20 and 30"):
        lhco_features.read(fixed(tmp_path / "d.h5", [(list(NAMES), good)]), 20, 30)
    with pytest.raises(InputError, match="14 columns; expected 2100"):
        lhco_events.count(tmp_path / "d.h5")
    cartesian = rows_of(events)
    cartesian[:, 2:2100:3] *= 100  # as if pz were meant
    with pytest.raises(InputError, match="does not hold pT, eta and phi"):
        lhco_events.read(fixed(tmp_path / "e.h5", [(list(range(2101)), cartesian)]), 0, 3)


def test_damage_and_pickles_are_refused(tmp_path: Path, events: Any) -> None:
    (tmp_path / "no.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is no HDF5 file"):
        lhco_features.count(tmp_path / "no.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(InputError, match="holds 0 pandas tables"):
        lhco_features.count(tmp_path / "empty.h5")
    path = fixed(tmp_path / "pickled.h5", [(list(NAMES), jet_features(events))])
    with h5py.File(path, "a") as file:
        del file["df/block0_values"]
        kind = h5py.vlen_dtype(np.uint8)
        file["df"].create_dataset("block0_values", (1,), dtype=kind)[0] = np.frombuffer(b"cos\nsystem", np.uint8)
    with pytest.raises(InputError, match="pickled objects, which are not read"):
        lhco_features.read(path, 0, 1)


def test_fetched_files_are_split_and_counted(tmp_path: Path, events: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path / "mine"))
    folder, values = tmp_path / "mine" / "lhco-events", rows_of(events)
    values[:, -1] = [0.0, 1.0] * 6
    fixed(folder / "events_anomalydetection_v2.h5", [(list(range(2101)), values)])
    fixed(folder / "events_anomalydetection_Z_XY_qqq.h5", [(list(range(2100)), values[:10, :-1])])
    public = data.load("lhco-events", "full", "public")
    assert public.counts()["train"] == {"qcd": 3, "qq": 3, "qqq": 5}
    assert public.counts()["val"]["qqq"] == 1
    assert set(ak.to_list(public.split("test").label)) == {0, 1, 2}


def test_a_black_box_is_loaded_with_its_key(tmp_path: Path, events: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path / "mine"))
    folder = tmp_path / "mine" / "lhco-blackbox-1"
    fixed(folder / "events_LHCO2020_BlackBox1.h5", [(list(range(2100)), rows_of(events, label=False))])
    (folder / "events_LHCO2020_BlackBox1.masterkey").write_text("0\n1\n" * 6)
    box = data.load("lhco-blackbox-1", "tutorial").split("test")
    assert len(box) == 12
    assert ak.sum(box.label) == 6
    assert ak.all(box.mx[box.label == 0] == 0)
    assert np.isnan(ak.to_numpy(box.mx[box.label == 1])).all()
