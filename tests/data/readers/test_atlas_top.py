"""The layout of the ATLAS top-tagging open data, compressed or not, in MeV or GeV, is read into the jets schema."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.data.readers import atlas_top

h5py = pytest.importorskip("h5py", reason="the public reader needs h5py (extra 'public')")


def layout(jets: ak.Array, most: int = 200, unit: float = 1000.0) -> dict[str, np.ndarray]:
    """Return jets as the arrays of the public files."""
    inside = jets.constituents
    columns = {
        "fjet_clus_pt": inside.pt * unit,
        "fjet_clus_eta": inside.deta + jets.eta,
        "fjet_clus_phi": (inside.dphi + jets.phi + np.pi) % (2 * np.pi) - np.pi,
        "fjet_clus_E": inside.pt * np.cosh(inside.deta + jets.eta) * unit,
    }
    out = {name: ak.to_numpy(ak.fill_none(ak.pad_none(x, most, clip=True), 0)) for name, x in columns.items()}
    out |= {"fjet_pt": jets.pt * unit, "fjet_eta": jets.eta, "fjet_phi": jets.phi, "fjet_m": jets.mass * unit}
    out["labels"] = ak.to_numpy(jets.label).astype(np.int32)
    out["training_weights"] = np.linspace(0.5, 2, len(jets))
    return {name: np.array(x, dtype=np.float32 if name.startswith("fjet") else None) for name, x in out.items()}


def write(path: Path, columns: dict[str, Any]) -> Path:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    with h5py.File(plain, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    return path


@pytest.fixture(scope="module")
def jets() -> ak.Array:
    return data.load("top-tagging").split("val")[:20]


@pytest.mark.parametrize(("name", "unit"), [("a.h5.gz", 1000.0), ("b.h5", 1.0)])
def test_jets_come_back(tmp_path: Path, jets: ak.Array, name: str, unit: float) -> None:
    path = write(tmp_path / name, layout(jets, unit=unit))
    assert atlas_top.count(path) == 20
    read = atlas_top.read(path, 0, 20)
    assert read.fields == [*jets.fields[:-1], "weight", "constituents"]
    assert ak.to_list(read.label) == ak.to_list(jets.label)
    assert ak.to_numpy(read.pt) == pytest.approx(ak.to_numpy(jets.pt), rel=1e-3)
    assert ak.to_numpy(read.mass) == pytest.approx(ak.to_numpy(jets.mass), rel=5e-3)
    assert ak.to_numpy(read.weight) == pytest.approx(np.linspace(0.5, 2, 20))
    assert ak.to_list(ak.num(read.constituents)) == ak.to_list(ak.num(jets.constituents))
    assert ak.all(read.constituents.pt[:, :-1] >= read.constituents.pt[:, 1:])
    assert ak.max(abs(read.constituents.dphi)) < 1.2  # also across the seam at pi
    part = atlas_top.read(path, 5, 8)
    assert ak.to_list(part.event) == [5, 6, 7]
    assert set(read.fields) == {*data.manifest("atlas-top-tagging").columns, "constituents"}


def test_weights_have_two_names_and_may_be_missing(tmp_path: Path, jets: ak.Array) -> None:
    columns = layout(jets)
    weights = columns.pop("training_weights")
    assert ak.all(atlas_top.read(write(tmp_path / "test.h5", columns), 0, 20).weight == 1)
    old = write(tmp_path / "old.h5", {**columns, "weights": weights, "labels": columns["labels"][:, None]})
    assert ak.to_numpy(atlas_top.read(old, 0, 20).weight) == pytest.approx(weights)


def test_damage_is_named(tmp_path: Path, jets: ak.Array) -> None:
    good = layout(jets)

    def refused(match: str, **edits: Any) -> None:
        path = write(tmp_path / "bad.h5", {k: v for k, v in {**good, **edits}.items() if v is not None})
        with pytest.raises(InputError, match=match):
            atlas_top.read(path, 0, 20)
        path.unlink()

    nan = good["fjet_clus_eta"].copy()
    nan[3, 0] = np.nan
    empty = good["fjet_clus_pt"].copy()
    empty[4] = 0
    refused("fjet_clus_eta holds NaN or infinity in row 3", fjet_clus_eta=nan)
    refused("row 4 has no constituents", fjet_clus_pt=empty)
    refused("no dataset 'fjet_pt'", fjet_pt=None)
    refused(r"'labels' has shape \(20, 2\)", labels=np.zeros((20, 2)))
    refused("'fjet_clus_phi' has shape", fjet_clus_phi=good["fjet_clus_phi"][:, :50])
    refused("labels holds 7", labels=np.full(20, 7))
    refused("neither jets above 350 GeV", fjet_pt=np.full(20, 20.0))
    refused("holds no numbers", training_weights=np.array([b"x"] * 20, dtype=object))
    path = write(tmp_path / "good.h5", good)
    with pytest.raises(InputError, match="nothing lies between"):
        atlas_top.read(path, 30, 40)
    for name, content in (("cut.h5.gz", gzip.compress(path.read_bytes())[:-500]), ("no.h5.gz", b"x"), ("no.h5", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="cut short"):
            atlas_top.count(tmp_path / name)
