"""The public CaloChallenge files are read into the schema of the twin, shower by shower, or refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.data import store
from hepml_nb.data.manifest import Manifest
from hepml_nb.data.readers import calochallenge, reader
from hepml_nb.simulate.calorimeter import dense, geometry

h5py = pytest.importorskip("h5py", reason="the public reader needs h5py (extra 'public')")
VOXELS = 6480


def public(n: int = 30, voxels: int = VOXELS, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return energies (n, 1) and showers (n, voxels) in MeV with most voxels empty, and one shower without any hit."""
    rng = np.random.default_rng(seed)
    showers = rng.exponential(5.0, (n, voxels)) * (rng.random((n, voxels)) < 0.05)
    showers[min(3, n - 1)] = 0
    return np.exp(rng.uniform(np.log(1e3), np.log(1e6), (n, 1))), showers


def write(path: Path, energies: Any, showers: Any, called: str = "showers") -> Path:
    """Write the public layout: two datasets compressed with gzip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in (("incident_energies", energies), (called, showers)):
            file.create_dataset(name, data=values, compression="gzip" if len(values) else None)
    return path


def test_showers_come_back_voxel_by_voxel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calochallenge, "_BLOCK", 7)  # several blocks, the last one short
    energies, showers = public()
    path = write(tmp_path / "dataset_2_1.hdf5", energies, showers)
    source = reader("calochallenge")
    assert source.count(path, voxels=VOXELS) == 30
    read = source.read(path, 0, 30, voxels=VOXELS)
    assert ak.to_numpy(read.energy) == pytest.approx(energies[:, 0], rel=1e-6)
    np.testing.assert_allclose(dense(read.hits, VOXELS), showers, rtol=1e-6)
    assert ak.num(read.hits)[3] == 0
    assert ak.to_list(source.read(path, 5, 9, voxels=VOXELS).energy) == ak.to_list(read.energy[5:9])


def test_layers_and_bins_lie_where_the_challenge_puts_them(tmp_path: Path) -> None:
    energies, showers = public(1)
    showers[:] = 0
    showers[0, 2 * 144 + 5 * 9 + 7] = 12.5  # third layer, sixth bin in alpha, eighth in radius
    read = calochallenge.read(write(tmp_path / "x.hdf5", energies, showers), 0, 1, voxels=VOXELS)
    calo = geometry("calochallenge-2")
    assert np.argwhere(calo.view(dense(read.hits, VOXELS)) > 0).tolist() == [[0, 2, 5, 7]]
    z, alpha, r = (column[int(read.hits.voxel[0, 0])] for column in calo.cylindrical())
    assert (z, r) == (pytest.approx(8.5), pytest.approx(7.5 * 4.65))
    assert alpha == pytest.approx(-np.pi + 5.5 * np.pi / 8)


def test_other_layouts_are_named(tmp_path: Path) -> None:
    energies, showers = public(4)
    cases = {
        "no dataset 'showers'; did you mean 'shower'": write(tmp_path / "a", energies, showers, "shower"),
        r"shape \(4, 6480\); expected \(n, 368\)": write(tmp_path / "b", energies, showers),
        r"shape \(4,\); expected \(n, 1\)": write(tmp_path / "c", energies[:, 0], showers[:, :368]),
        "3 incident energies and 4 showers": write(tmp_path / "d", energies[:3], showers[:, :368]),
        "nothing lies between 0 and 5": write(tmp_path / "e", energies[:0], showers[:0, :368]),
    }
    for message, path in cases.items():
        with pytest.raises(InputError, match=message):
            calochallenge.read(path, 0, 5, voxels=368)


@pytest.mark.parametrize(("row", "what"), [(2, np.nan), (1, np.inf)])
def test_damaged_numbers_are_found(tmp_path: Path, row: int, what: float) -> None:
    energies, showers = public(4, 368)
    showers[row, 17] = what
    with pytest.raises(InputError, match=f"row {row} holds NaN"):
        calochallenge.read(write(tmp_path / "a", energies, showers), 0, 4, voxels=368)
    energies[row] = -1.0
    with pytest.raises(InputError, match=f"row {row} holds"):
        calochallenge.read(write(tmp_path / "b", energies, public(4, 368)[1]), 0, 4, voxels=368)


def test_what_is_no_table_of_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("incident_energies", data=np.ones((3, 1)))
        file.create_dataset("showers", data=np.array([b"a", b"b", b"c"], dtype=object), dtype=h5py.string_dtype())
    with pytest.raises(InputError, match="'showers' holds no floating-point numbers"):
        calochallenge.count(path, voxels=368)
    path.write_bytes(b"no hdf5")
    with pytest.raises(InputError, match="no HDF5 file"):
        calochallenge.count(path, voxels=368)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="no HDF5 file"):
        calochallenge.count(path, voxels=368)


def unchecked(name: str) -> Manifest:
    """Return a manifest whose files may be any, since ours are not the public ones."""
    about = data.manifest(name)
    assert about.public is not None
    files = [replace(file, md5=None) for file in about.public.files]
    return replace(about, public=replace(about.public, files=files))


def test_public_files_are_split_as_the_challenge_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    for name, voxels in (("calochallenge-1-pions", 533), ("calochallenge-2", VOXELS)):
        about = unchecked(name)
        monkeypatch.setattr(store, "manifest", lambda _, about=about: about)
        for i, file in enumerate(about.public.files):
            write(tmp_path / "mine" / name / file.name, *public(40, voxels, seed=i))
        monkeypatch.setattr(calochallenge, "BLOCK", 15)
        found = data.load(name, "tutorial", "public")
        assert [part.n for part in found.parts("train")] == [15, 15, 6]  # memory is bounded by the block
        assert sum(len(batch["energy"]) for batch in found.batches("train", 8, most=voxels)) == 36
        assert {split: sum(counts.values()) for split, counts in found.counts().items()} == {
            "train": 36, "val": 4, "test": 40,
        }  # fmt: skip
        test = found.split("test")
        assert np.sort(test.energy) == pytest.approx(np.sort(public(40, voxels, seed=1)[0][:, 0]), rel=1e-6)


def test_every_file_has_a_published_checksum() -> None:
    for name in ("calochallenge-1-photons", "calochallenge-1-pions", "calochallenge-2", "calochallenge-3"):
        about = data.manifest(name)
        assert about.public is not None
        assert about.public.options["voxels"] == geometry(name).voxels
        assert all(file.md5 for file in about.public.files)
        assert {file.split for file in about.public.files} == {"all", "test"}
