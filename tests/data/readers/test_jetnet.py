"""The public JetNet files are read into the schema of their twin; other layouts are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.data.readers import jetnet

h5py = pytest.importorskip("h5py")
N = 40


def arrays(most: int = 30) -> dict[str, np.ndarray]:
    """Return what a public file holds: particle_features (jets, most, 4) and jet_features (jets, 4), float32."""
    rng = np.random.default_rng(2)
    number = rng.integers(3, most + 1, N)
    mask = np.arange(most) < number[:, None]
    share = np.sort(rng.dirichlet(np.full(most, 0.3), N), axis=1)[:, ::-1] * 0.95
    particles = np.stack([rng.normal(0, 0.1, (N, most)), rng.normal(0, 0.1, (N, most)), share, mask], axis=-1)
    jets = np.stack([rng.uniform(800, 1600, N), rng.normal(0, 1, N), rng.uniform(20, 200, N), number], axis=-1)
    return {"particle_features": (particles * mask[..., None]).astype(np.float32),
            "jet_features": jets.astype(np.float32)}  # fmt: skip


def write(path: Path, **edits: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in {**arrays(), **edits}.items():
            if array is not None:
                file[name] = array
    return path


def test_reading_back_gives_absolute_momenta(tmp_path: Path) -> None:
    path, given = write(tmp_path / "t.hdf5"), arrays()
    jets = jetnet.read(path, 0, N, label=2)
    assert jetnet.count(path) == N
    assert set(jets.fields) == {*data.manifest("jetnet").columns, "constituents"}
    assert ak.all(jets.label == 2)
    pt = given["jet_features"][:, 0]
    assert ak.to_numpy(jets.pt) == pytest.approx(pt, rel=2e-4)
    assert ak.to_numpy(jets.full_mass) == pytest.approx(given["jet_features"][:, 2], rel=1e-6)
    assert ak.to_list(jets.particles) == given["jet_features"][:, 3].astype(int).tolist()
    assert ak.to_list(ak.num(jets.constituents)) == given["particle_features"][..., 3].sum(axis=1).astype(int).tolist()
    total = (given["particle_features"][..., 2] * given["particle_features"][..., 3]).sum(axis=1) * pt
    assert ak.to_numpy(ak.sum(jets.constituents.pt, axis=1)) == pytest.approx(total, rel=1e-5)
    part = jetnet.read(path, 10, 13, label=2)
    assert ak.array_equal(part.constituents, jets.constituents[10:13])
    assert ak.to_list(part.event) == [10, 11, 12]


def test_damage_is_named(tmp_path: Path) -> None:
    given = arrays()
    nan, empty = given["particle_features"].copy(), given["particle_features"].copy()
    nan[5, 0, 0] = np.nan
    empty[6] = 0
    text = h5py.string_dtype()
    for name, edits, message in (
        ("a", {"jet_features": None}, "no dataset 'jet_features'; it has particle_features"),
        ("b", {"particle_features": nan}, "row 5 holds NaN"),
        ("c", {"particle_features": empty}, "row 6 has no particles"),
        ("d", {"particle_features": arrays(150)["particle_features"]}, r"expected floats \(jets, 30, 4\)"),
        ("e", {"jet_features": given["jet_features"][:-1]}, "40 jets have particles but 39"),
        ("f", {"jet_features": np.full((N, 4), "x", dtype=text)}, "jet_features is object"),
    ):
        with pytest.raises(InputError, match=message):
            jetnet.read(write(tmp_path / f"{name}.hdf5", **edits), 0, N, label=0)
    with pytest.raises(InputError, match="nothing lies between"):
        jetnet.read(write(tmp_path / "g.hdf5"), N, N + 1, label=0)
    with pytest.raises(InputError, match="give label"):
        jetnet.read(tmp_path / "g.hdf5", 0, N)
    (tmp_path / "h.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="no HDF5 file"):
        jetnet.count(tmp_path / "h.hdf5")


def test_every_class_is_split_in_order(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path / "mine"))
    monkeypatch.setattr("hepml_nb.data.public.check", lambda about: None)  # these files have other checksums
    for file in data.manifest("jetnet150").public.files:
        write(tmp_path / "mine" / "jetnet150" / file.name, **arrays(150))
    public = data.load("jetnet150", "tutorial", "public")
    classes = data.manifest("jetnet150").classes
    assert public.counts() == {
        split: dict.fromkeys(classes, n) for split, n in (("train", 28), ("val", 6), ("test", 6))
    }
    assert sorted(set(ak.to_list(public.split("val").event % 10**10))) == list(range(28, 34))  # files are told apart
