"""The public JetClass trees are read into the schema of their twin, straight from their archives; damage is named."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.data.readers import jetclass

uproot = pytest.importorskip("uproot")
N = 25
FLAGS = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")
PARTICLES = ("px", "py", "pz", "energy", "deta", "dphi", "d0val", "d0err", "dzval", "dzerr", "charge")


def branches(label: str = "Hbb") -> dict[str, Any]:
    """Return all branches of a public tree: lists part_*, numbers jet_* (float32) and label_*."""
    rng = np.random.default_rng(3)
    counts = rng.integers(2, 9, N)
    n = int(counts.sum())
    kind = rng.integers(0, 5, n)
    charge = np.where(np.isin(kind, (0, 3, 4)), rng.choice([-1, 1], n), 0)
    pt, eta, phi = rng.exponential(50, n) + 1, rng.normal(0.5, 0.1, n), rng.normal(3.1, 0.1, n)
    flat = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "energy": pt * np.cosh(eta),
            "deta": eta - 0.5, "dphi": phi - 3.1, "charge": charge}  # fmt: skip
    for name in ("d0", "dz"):
        flat[f"{name}val"] = rng.normal(0, 0.1, n) * (charge != 0)
        flat[f"{name}err"] = 0.05 * (charge != 0)
    flat |= {name: kind == i for i, name in enumerate(FLAGS)}
    made = {f"part_{name}": ak.unflatten(np.asarray(x, np.float32), counts) for name, x in flat.items()}
    for name in ("pt", "eta", "phi", "energy", "nparticles", "sdmass", "tau1", "tau2", "tau3", "tau4"):
        made[f"jet_{name}"] = np.full(N, {"pt": 700, "eta": 0.5, "phi": 3.1}.get(name, 1), np.float32)
    return made | {f"label_{name}": np.full(N, name == label, np.float32) for name in jetclass.LABELS}


def write(path: Path, tree: str = "tree", **edits: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {name: array for name, array in {**branches(), **edits}.items() if array is not None}
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: ("var * float32" if name.startswith("part_") else "float32") for name in given})
        file[tree].extend(given)
    return path


def test_reading_back_gives_the_same_particles(tmp_path: Path) -> None:
    path, given = write(tmp_path / "HToBB_000.root"), branches()
    jets = jetclass.read(path, 0, N, label=1)
    about = data.manifest("jetclass")
    assert jetclass.count(path) == N
    assert set(jets.fields) == {*about.columns, "constituents"}
    assert set(jets.constituents.fields) == set(about.collections["constituents"])
    assert ak.all(jets.label == 1)
    order = ak.argsort(np.hypot(given["part_px"], given["part_py"]), axis=1, ascending=False)
    inside = jets.constituents
    for name in ("d0val", "d0err", "dzval", "dzerr", "charge"):
        assert ak.to_numpy(ak.flatten(inside[name])) == pytest.approx(
            ak.to_numpy(ak.flatten(given[f"part_{name}"][order]))
        )
    assert ak.all(np.abs(inside.deta - given["part_deta"][order]) < 1e-5)
    assert ak.all(np.abs(inside.dphi - given["part_dphi"][order]) < 1e-5)
    codes = {"isChargedHadron": (211, 1), "isElectron": (11, -1), "isMuon": (13, -1)}
    for flag, (code, sign) in codes.items():
        mine = given[f"part_{flag}"][order] > 0
        assert ak.all(inside.pdg[mine] == code * sign * ak.values_astype(inside.charge[mine], np.int16))
    assert ak.all(inside.pdg[given["part_isPhoton"][order] > 0] == 22)
    assert ak.all(inside.pdg[given["part_isNeutralHadron"][order] > 0] == 130)
    part = jetclass.read(path, 3, 8)
    assert ak.array_equal(part.constituents, inside[3:8])
    assert ak.to_list(part.event) == [3, 4, 5, 6, 7]


def test_damage_is_named(tmp_path: Path) -> None:
    d0 = branches()["part_d0val"]
    nan = ak.unflatten(np.where(np.arange(len(ak.flatten(d0))) == 0, np.nan, ak.to_numpy(ak.flatten(d0))), ak.num(d0))
    for name, edits, message in (
        ("a", {"part_dzerr": None}, "no branch 'part_dzerr'"),
        ("b", {"part_d0val": ak.values_astype(nan, np.float32)}, "row 0 holds NaN or infinity in part_d0val"),
        ("c", {"label_Hcc": np.ones(N, np.float32)}, "row 0 has not one label but 2"),
        ("d", {"label_Hbb": np.zeros(N, np.float32), "label_QCD": np.ones(N, np.float32)}, "is QCD, the file's name"),
    ):
        with pytest.raises(InputError, match=message):
            jetclass.read(write(tmp_path / f"{name}.root", **edits), 0, N, label=1)
    with pytest.raises(InputError, match="no tree 'tree'; did you mean 'trees'"):
        jetclass.count(write(tmp_path / "e.root", tree="trees"))
    with pytest.raises(InputError, match="nothing lies between"):
        jetclass.read(write(tmp_path / "f.root"), N, N + 1)
    (tmp_path / "g.root").write_bytes(b"no ROOT file at all, but long enough to look at")
    with pytest.raises(InputError, match="no ROOT file"):
        jetclass.count(tmp_path / "g.root")


def test_classes_come_from_the_names_of_members(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path / "mine"))
    about = data.manifest("jetclass")
    monkeypatch.setattr("hepml_nb.data.public.check", lambda about: None)  # these files have other checksums
    names = {stream: pattern.strip("*").split("_*")[0] for pattern, stream in about.public.files[0].members.items()}
    for stream in about.classes:
        labels = {name: np.full(N, name == f"label_{stream}", np.float32) for name in branches() if "label_" in name}
        write(tmp_path / f"{stream}.root", **labels)
    for file in about.public.files:
        path = tmp_path / "mine" / "jetclass" / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for stream in about.classes:
                archive.add(tmp_path / f"{stream}.root", f"{file.split}_folder/{names[stream]}_000.root")
    public = data.load("jetclass", "smoke", "public")
    assert public.counts() == {"test": dict.fromkeys(about.classes, N)}
    assert len({file.md5 for file in about.public.files}) == 12
