"""The public quark and gluon jets are read row by row into the schema of their twin; other layouts are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.data.readers import quark_gluon

N, M = 30, 12
SPECIES = np.array([211, -211, 22, 130, 321, -321, 2212, -2212, 2112, 11, -13, 0])


def arrays() -> dict[str, np.ndarray]:
    """Return what a public file holds: float64 X (jets, M, 4) of pt, y, phi, pdgid, padded, and y."""
    rng = np.random.default_rng(1)
    x = np.zeros((N, M, 4))
    counts = rng.integers(2, M, N)
    mask = np.arange(M) < counts[:, None]
    x[..., 0] = np.sort(rng.exponential(40, (N, M)), axis=1)[:, ::-1]
    x[..., 1] = rng.normal(0.7, 0.1, (N, M))
    x[..., 2] = rng.normal(6.2, 0.1, (N, M))  # beyond pi: the files keep particles beside their jet
    x[..., 3] = SPECIES[:M]
    return {"X": x * mask[..., None], "y": rng.integers(0, 2, N).astype(float)}


def write(path: Path, **edits: Any) -> Path:
    np.savez_compressed(path, **{name: x for name, x in {**arrays(), **edits}.items() if x is not None})
    return path


def test_reading_back_gives_the_same_particles(tmp_path: Path) -> None:
    path, given = write(tmp_path / "QG_jets.npz"), arrays()
    jets = quark_gluon.read(path, 0, N)
    assert quark_gluon.count(path) == N
    about = data.manifest("quark-gluon")
    assert set(jets.fields) == {*about.columns, "constituents"}
    assert ak.to_list(jets.label) == given["y"].astype(int).tolist()
    assert ak.to_list(jets.particles) == (given["X"][..., 0] > 0).sum(axis=1).tolist()
    assert ak.all(jets.constituents.pt[:, :-1] >= jets.constituents.pt[:, 1:])
    assert ak.to_list(jets.constituents.pdg[0]) == SPECIES[: len(jets.constituents.pdg[0])].tolist()
    assert ak.all(np.abs(jets.constituents.dphi) < 1)
    middle = quark_gluon.read(path, 7, 12)
    assert ak.array_equal(middle.constituents, jets.constituents[7:12])
    assert ak.to_list(middle.event) == list(range(7, 12))


def test_four_momenta_have_the_masses_of_the_species(tmp_path: Path) -> None:
    x = np.zeros((1, 2, 4))
    x[0] = [[1.0, 1.5, 0.3, 2212], [0.5, -0.4, 0.1, 22]]
    jet = quark_gluon.read(write(tmp_path / "one.npz", X=x, y=np.array([1.0])), 0, 1)
    proton = np.array([np.cos(0.3), np.sin(0.3), np.sqrt(1 + 0.938272**2) * np.sinh(1.5)])
    photon = 0.5 * np.array([np.cos(0.1), np.sin(0.1), np.sinh(-0.4)])
    energy = np.sqrt((proton**2).sum() + 0.938272**2) + np.sqrt((photon**2).sum())
    total = proton + photon
    assert jet.full_mass[0] == pytest.approx(np.sqrt(energy**2 - (total**2).sum()), rel=1e-5)
    assert jet.rapidity[0] == pytest.approx(np.arctanh(total[2] / energy), rel=1e-5)
    assert jet.pt[0] == pytest.approx(np.hypot(*total[:2]), rel=2e-4)
    # a proton this soft is seen at a larger pseudorapidity than its rapidity, a photon is not
    eta = ak.to_numpy(jet.constituents.deta[0]) + jet.eta[0]
    assert eta[0] == pytest.approx(np.arcsinh(proton[2]), abs=2e-3)
    assert eta[1] == pytest.approx(-0.4, abs=2e-3)


def test_damage_is_named(tmp_path: Path) -> None:
    x, y = arrays()["X"], arrays()["y"]
    nan = x.copy()
    nan[4, 0, 1] = np.nan
    empty = x.copy()
    empty[2] = 0
    strange = x.copy()
    strange[3, 0, 3] = 23
    for name, edits, message in (
        ("a", {"y": None}, "no array 'y'; it has X"),
        ("b", {"X": nan}, "row 4 holds NaN"),
        ("c", {"X": empty}, "row 2 has no particles"),
        ("d", {"X": strange}, "particle 23"),
        ("e", {"X": x[..., :3]}, r"shape \(30, 12, 3\)"),
        ("f", {"y": y[:-1]}, "not one number per jet"),
        ("g", {"y": y + 1}, "0 for gluons and 1 for quarks"),
        ("h", {"y": np.array(["q"] * N, dtype=object)}, "never unpickled"),
        ("i", {"X": np.asfortranarray(x)}, "row by row"),
    ):
        with pytest.raises(InputError, match=message):
            quark_gluon.read(write(tmp_path / f"{name}.npz", **edits), 0, N)
    with pytest.raises(InputError, match="nothing lies between"):
        quark_gluon.read(write(tmp_path / "j.npz"), N, N + 5)
    (tmp_path / "k.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="no npz file"):
        quark_gluon.count(tmp_path / "k.npz")


@pytest.mark.parametrize("name", ["quark-gluon", "quark-gluon-bc", "quark-gluon-herwig", "quark-gluon-herwig-bc"])
def test_the_manifests_list_twenty_different_files(name: str) -> None:
    files = data.manifest(name).public.files
    assert len({file.url for file in files}) == len({file.md5 for file in files}) == len(files) == 20
    assert [file.split for file in files] == ["train"] * 16 + ["val"] * 2 + ["test"] * 2
    numbers = [int(file.name.removesuffix(".npz").rsplit("_", 1)[1]) for file in files if file.name != "QG_jets.npz"]
    assert numbers == list(range(20 - len(numbers), 20))


def test_fetched_files_make_the_dataset(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path / "mine"))
    monkeypatch.setattr("hepml_nb.data.public.check", lambda about: None)  # these files have other checksums
    for file in data.manifest("quark-gluon").public.files:
        path = tmp_path / "mine" / "quark-gluon" / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    public = data.load("quark-gluon", "smoke", "public")
    assert public.provenance["source"] == "public"
    wanted = {split: sum(counts.values()) for split, counts in data.manifest("quark-gluon").counts("smoke").items()}
    found = {split: sum(counts.values()) for split, counts in public.counts().items()}
    assert found == {"train": min(wanted["train"], 16 * N), "test": min(wanted["test"], 2 * N)}
