"""The public Z + jet set: what is written in its layout is read into the zjets schema; damage has one clear message."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.data.readers import omnifold

N, MOST = 30, 12


def layout(seed: int = 0) -> dict[str, np.ndarray]:
    """Return arrays in exactly the public layout, their jets made of the particles."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {"gen_Zs": np.stack([rng.uniform(200, 400, N), rng.normal(0, 1, N),
                                                         rng.uniform(0, 6.28, N)], axis=1)}  # fmt: skip
    for side, most in (("gen", MOST), ("sim", MOST - 2)):
        mults = rng.integers(1, most + 1, N)
        mask = np.arange(most) < mults[:, None]
        pt = -np.sort(-rng.exponential(20, (N, most)) * mask, axis=1)
        particles = np.stack([pt / 100, rng.normal(0, 0.1, (N, most)) * mask, rng.normal(0, 0.1, (N, most)) * mask,
                              rng.integers(0, 14, (N, most)) / 10 * mask], axis=2)  # fmt: skip
        arrays[f"{side}_particles"] = particles
        arrays[f"{side}_mults"] = mults.astype(float)
        arrays[f"{side}_jets"] = np.stack([pt.sum(axis=1), rng.normal(0, 1, N), rng.uniform(0, 6.28, N),
                                           rng.uniform(0, 30, N)], axis=1)  # fmt: skip
        for key in ("lhas", "widths", "ang2s", "tau2s", "zgs"):
            arrays[f"{side}_{key}"] = rng.uniform(0.01, 0.5, N)
        arrays[f"{side}_sdms"] = np.where(np.arange(N) % 5, rng.uniform(1, 20, N), 0.0)
    return arrays


def write(path: Path, **changes: Any) -> Path:
    arrays = {**layout(), **changes}
    np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_events_come_out_as_they_went_in(tmp_path: Path) -> None:
    arrays, path = layout(), write(tmp_path / "Herwig_Zjet_pTZ-200GeV_0.npz")
    assert omnifold.count(path) == omnifold.count(path, particles=True) == N
    events = omnifold.read(path, 0, N, label=1, particles=True)
    schema = data.manifest("zjets-particles")
    assert set(events.fields) == {*schema.columns, *schema.collections}
    assert ak.to_numpy(events.gen_z_pt) == pytest.approx(arrays["gen_Zs"][:, 0], rel=1e-6)
    assert ak.to_numpy(events.sim_y) == pytest.approx(arrays["sim_jets"][:, 1], rel=1e-6)
    assert ak.to_numpy(events.sim_mult).tolist() == arrays["sim_mults"].tolist()
    assert ak.to_list(ak.num(events.gen_particles)) == arrays["gen_mults"].tolist()
    # pt is divided by 100 in the files: the jets' pt is that of their particles only if that is undone
    assert ak.to_numpy(ak.sum(events.gen_particles.pt, axis=1)) == pytest.approx(ak.to_numpy(events.gen_pt), rel=1e-5)
    assert np.abs(events.gen_phi).to_numpy().max() <= np.pi + 1e-6
    assert np.isnan(ak.to_numpy(events.sim_z_pt)).all()
    assert ak.all(events.pass_gen & events.pass_sim & (events.label == 1))


def test_classes_of_particles_are_those_of_the_published_table(tmp_path: Path) -> None:
    particles = np.zeros((N, 14, 4))
    particles[..., 0] = np.linspace(0.5, 0.1, 14)
    particles[..., 3] = np.arange(14) / 10
    events = omnifold.read(write(tmp_path / "a.npz", gen_particles=particles), 0, 1, particles=True)
    assert ak.to_list(events.gen_particles.pdg[0]) == [22, 211, -211, 130, 11, -11, 13, -13, 321, -321, 2212, -2212,
                                                       2112, -2112]  # fmt: skip
    particles[3, 2, 3] = 0.25
    with pytest.raises(InputError, match=r"gen_particles has the class 0\.25"):
        omnifold.read(write(tmp_path / "b.npz", gen_particles=particles), 0, N, particles=True)


def test_derived_observables_are_those_of_the_paper(tmp_path: Path) -> None:
    arrays, path = layout(), write(tmp_path / "a.npz")
    events = omnifold.read(path, 0, N)
    assert ak.to_numpy(events.gen_tau21) == pytest.approx(arrays["gen_tau2s"] / arrays["gen_widths"], rel=1e-5)
    groomed = arrays["gen_sdms"] > 0
    rho = (arrays["gen_sdms"] / arrays["gen_jets"][:, 0])[groomed] ** 2
    assert ak.to_numpy(events.gen_ln_rho)[groomed] == pytest.approx(np.log(rho), rel=1e-5)
    assert (ak.to_numpy(events.gen_ln_rho)[~groomed] == -14).all()


def test_ranges_join_to_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz")
    whole = omnifold.read(path, 0, N, particles=True)
    parts = [omnifold.read(path, a, b, particles=True) for a, b in ((0, 7), (7, 29), (29, 99))]
    assert ak.array_equal(ak.concatenate(parts), whole, equal_nan=True)


def test_damage_is_named(tmp_path: Path) -> None:
    nan = layout()["sim_widths"].copy()
    nan[17] = np.nan
    cases: dict[str, dict[str, Any]] = {
        "row 17 of sim_widths holds NaN": {"sim_widths": nan},
        "no array 'gen_zgs'": {"gen_zgs": None},
        r"sim_jets has shape \(30, 3\); expected \(30, 4\)": {"sim_jets": np.zeros((N, 3))},
        r"gen_mults has shape \(29,\); expected \(30,\)": {"gen_mults": np.ones(N - 1)},
        "Python objects": {"gen_lhas": np.array([{}] * N)},
        "no events": {name: array[:0] for name, array in layout().items()},
    }
    for number, (message, change) in enumerate(cases.items()):
        with pytest.raises(InputError, match=message):
            omnifold.read(write(tmp_path / f"{number}.npz", **change), 0, N)
    with pytest.raises(InputError, match="nothing lies between 50"):
        omnifold.read(write(tmp_path / "e.npz"), 50, 60)
    with pytest.raises(InputError, match=r"gen_particles has shape \(30, 12, 3\)"):
        omnifold.count(write(tmp_path / "p.npz", gen_particles=np.zeros((N, 12, 3))), particles=True)


def test_what_is_no_whole_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.npz").write_bytes(b"")
    path = write(tmp_path / "a.npz")
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-500])
    for name in ("empty.npz", "cut.npz"):
        with pytest.raises(InputError, match="no npz file, or it is cut short"):
            omnifold.count(tmp_path / name)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "short.npz", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[: -40 if name == "sim_zgs.npy" else None])
    with pytest.raises(InputError, match="sim_zgs ends too early"):
        omnifold.read(tmp_path / "short.npz", 0, N)


def test_all_files_have_their_published_checksums() -> None:
    public = data.manifest("zjets").public
    assert public is not None
    assert len({file.md5 for file in public.files}) == len({file.url for file in public.files}) == 68
    assert public.files == data.manifest("zjets-particles").public.files  # type: ignore[union-attr]
    assert {file.stream for file in public.files if file.name.startswith("Herwig")} == {"nature"}
