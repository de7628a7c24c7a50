"""The layout of Aspen Open Jets is read into the jets schema with tracks: PUPPI applied, centimetres turned into mm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.data.readers import aspen
from hepml_nb.simulate import recipe

h5py = pytest.importorskip("h5py", reason="the public reader needs h5py (extra 'public')")


def layout(jets: ak.Array) -> dict[str, np.ndarray]:
    """Return jets as the arrays of the public file; every constituent gets a PUPPI weight of a half."""
    inside = jets.constituents
    eta, phi = inside.deta + jets.eta, inside.dphi + jets.phi
    pt = inside.pt / 0.5
    track = inside.charge != 0
    columns = [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)]
    for name, factor in (("d0val", -0.1), ("d0err", 0.1), ("dzval", 0.1), ("dzerr", 0.1)):
        columns.append(ak.where(track, factor * inside[name], -1.0))
    columns += [inside.charge, inside.pdg, ak.full_like(pt, 0.5)]
    padded = [ak.to_numpy(ak.fill_none(ak.pad_none(x, 150, clip=True), 0)) for x in columns]
    kinematics = np.stack([ak.to_numpy(x) for x in (jets.pt * 1.03, jets.eta, jets.phi, jets.msoftdrop)], axis=-1)
    info = np.stack([np.full(len(jets), 280_000), np.arange(len(jets)), np.arange(len(jets)) + 7_000_000_000], axis=-1)
    return {"event_info": info, "jet_kinematics": kinematics.astype(np.float32),
            "PFCands": np.stack(padded, axis=-1).astype(np.float32),
            "jet_tagging": np.zeros((len(jets), 13), np.float32)}  # fmt: skip


def write(path: Path, columns: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values)
    return path


@pytest.fixture(scope="module")
def jets() -> ak.Array:
    return recipe("aspen")(20, seed=4, mpi=False)[0]


def test_jets_come_back(tmp_path: Path, jets: ak.Array) -> None:
    path = write(tmp_path / "RunG_batch0.h5", layout(jets))
    assert aspen.count(path) == 20
    read = aspen.read(path, 0, 20)
    about = data.manifest("aspen-open-jets")
    assert set(read.fields) == set(jets.fields) == {*about.columns, "constituents"}
    assert read.constituents.fields == jets.constituents.fields == list(about.collections["constituents"])
    # a jet is the sum of its weighted constituents: its pt agrees up to the masses that the clustering drops
    assert ak.to_numpy(read.pt) == pytest.approx(ak.to_numpy(jets.pt), rel=2e-3)
    assert ak.to_numpy(read.corrected_pt) == pytest.approx(1.03 * ak.to_numpy(jets.pt), rel=1e-4)
    assert ak.to_numpy(read.mass) == pytest.approx(ak.to_numpy(jets.mass), rel=5e-3)
    for name in ("d0val", "d0err", "dzval", "dzerr", "charge", "pdg"):
        one, two = (np.sort(ak.to_numpy(ak.flatten(x.constituents[name]))) for x in (read, jets))
        assert one == pytest.approx(two, rel=1e-5, abs=1e-6), name
    assert ak.all(read.constituents.d0err[read.constituents.charge == 0] == 0)  # -1 means: no track details
    assert ak.all(read.constituents.puppi == 0.5)
    assert ak.to_list(aspen.read(path, 5, 8).event) == [7_000_000_005, 7_000_000_006, 7_000_000_007]


def test_weights_of_zero_and_forward_codes(tmp_path: Path, jets: ak.Array) -> None:
    columns = layout(jets)
    columns["PFCands"][0, 0, 10] = 0.0  # the hardest one is pile-up
    columns["PFCands"][1, 1, 9] = 1.0  # a hadron in the forward calorimeter
    columns["PFCands"][1, 2, 9] = 2.0
    read = aspen.read(write(tmp_path / "a.h5", columns), 0, 2)
    assert ak.num(read.constituents)[0] == ak.num(jets.constituents)[0] - 1
    assert ak.to_list(read.constituents.pdg[1][1:3]) == [130, 22]


def test_damage_is_named(tmp_path: Path, jets: ak.Array) -> None:
    good = layout(jets)

    def refused(match: str, **edits: Any) -> None:
        path = write(tmp_path / "bad.h5", {k: v for k, v in {**good, **edits}.items() if v is not None})
        with pytest.raises(InputError, match=match):
            aspen.read(path, 0, 20)
        path.unlink()

    nan, empty = good["PFCands"].copy(), good["PFCands"].copy()
    nan[3, 0, 2] = np.nan
    empty[4] = 0
    refused("PFCands holds NaN or infinity in row 3", PFCands=nan)
    refused("row 4 has no constituents", PFCands=empty)
    refused("no dataset 'jet_tagging'", jet_tagging=None)
    refused(r"'PFCands' has shape \(20, 150, 10\)", PFCands=good["PFCands"][..., :10])
    refused("holds no numbers", event_info=np.array([[b"a", b"b", b"c"]] * 20, dtype=object))
    path = write(tmp_path / "good.h5", good)
    with pytest.raises(InputError, match="nothing lies between"):
        aspen.read(path, 30, 40)
    (tmp_path / "no.h5").write_bytes(b"")
    with pytest.raises(InputError, match="cut short"):
        aspen.count(tmp_path / "no.h5")


def test_the_twin_has_jets_of_cms() -> None:
    jets, _ = recipe("aspen")(120, seed=6, mpi=False)
    assert ak.all((jets.pt > 299.9) & (abs(jets.eta) < 2.51))
    pt = ak.to_numpy(jets.pt)
    assert np.mean(pt < 400) > 0.6  # a spectrum that falls like pt**-5 or faster
    inside = jets.constituents
    charged = ak.sum(inside.pt[inside.charge != 0], axis=1) / ak.sum(inside.pt, axis=1)
    assert np.mean(charged) == pytest.approx(0.6, abs=0.06)
    tracked = ak.flatten(inside[inside.d0err > 0])
    pull = ak.to_numpy(tracked.d0val / tracked.d0err)
    assert np.mean(abs(pull) < 1) == pytest.approx(0.64, abs=0.06)  # 0.68 of prompt tracks, and 5-10 % are not
    again, _ = recipe("aspen")(10, seed=6, mpi=False)
    other, _ = recipe("aspen")(10, seed=6, mpi=False)
    assert ak.array_equal(again, other, equal_nan=True)
