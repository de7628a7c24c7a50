"""The reference posteriors of sbibm are read from the layout of its wheel, and those that ship are theirs."""

from __future__ import annotations

import bz2
import zipfile
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from scipy import stats

from hepml_nb import data
from hepml_nb.core import InputError, NotFound, RunError, rng
from hepml_nb.data import public
from hepml_nb.data.manifest import manifest, names
from hepml_nb.data.readers import sbibm
from hepml_nb.simulate.toys import TASKS, posterior

SAMPLES = "reference_posterior_samples.csv.bz2"


def csv(names: list[str], rows: list[list[float]]) -> str:
    return "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n"


def write(folder: Path, number: int = 3, n: int = 5, heads: tuple[str, str] = ("parameter_1", "parameter_2")) -> Path:
    """Write the files of an observation as the wheel has them, those that nobody reads too."""
    here = folder / f"num_observation_{number}"
    here.mkdir(parents=True)
    (here / "observation.csv").write_text(csv(["data_1", "data_2"], [[-0.6396706, 0.16234657]]), encoding="utf-8")
    (here / "observation_seed.csv").write_text("observation_seed,num_observation\n1000002,3\n", encoding="utf-8")
    (here / "true_parameters.csv").write_text(csv(list(heads), [[-0.8176656, -0.5756806]]), encoding="utf-8")
    rows = [[0.1 * i, -0.2 * i] for i in range(n)]
    (here / SAMPLES).write_bytes(bz2.compress(csv(list(heads), rows).encode()))
    return here / SAMPLES


def test_an_observation_is_read_truth_first(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert sbibm.count(path) == 6
    assert sbibm.count(path.with_name("observation.csv")) == 0
    read = sbibm.read(path, 0, 6)
    assert ak.to_list(read.kind) == [1, 2, 2, 2, 2, 2]
    assert ak.to_list(read.observation) == [3] * 6
    assert ak.to_numpy(read.theta)[0] == pytest.approx([-0.8176656, -0.5756806])
    assert ak.to_numpy(read.theta)[2] == pytest.approx([0.1, -0.2])
    assert ak.to_numpy(read.x) == pytest.approx(np.tile([[-0.6396706, 0.16234657]], (6, 1)))
    assert ak.to_list(sbibm.read(path, 4, 99).event) == [3_000_004, 3_000_005]
    greek = write(tmp_path / "b", heads=(r"$\beta$", r"$\gamma$"))
    assert len(sbibm.read(greek, 0, 9)) == 6


def test_damage_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    with pytest.raises(InputError, match="nothing lies between"):
        sbibm.read(path, 9, 12)
    for text, message in (
        ("", "no CSV file"),
        ("parameter_1,parameter_3\n1,2\n", "expected rows of parameter_1"),
        ("parameter_1,parameter_2\n", "0 rows"),
        ("parameter_1,parameter_2\n1,nan\n", "row 0 holds NaN"),
        ("parameter_1,parameter_2\n1,two\n", "no number"),
        ("parameter_1\n1\n", "as many true parameters"),
    ):
        path.write_bytes(bz2.compress(text.encode()))
        with pytest.raises(InputError, match=message):
            sbibm.read(path, 0, 1)
    path.write_bytes(b"not bzip2")
    with pytest.raises(InputError, match="no CSV file"):
        sbibm.count(path)
    path = write(tmp_path / "b")
    path.with_name("observation.csv").unlink()
    with pytest.raises(NotFound, match=r"no observation\.csv"):
        sbibm.read(path, 0, 1)
    with pytest.raises(InputError, match="is it the wheel"):
        sbibm.read(tmp_path / SAMPLES, 0, 1)


def test_the_wheel_is_found_and_read_through_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path / "mine"))
    for number in (1, 10, 2):
        write(tmp_path / "sbibm" / "tasks" / "two_moons" / "files", number)
        write(tmp_path / "sbibm" / "tasks" / "slcp" / "files", number)
    about = manifest("sbibm-two-moons")
    assert about.public is not None
    wheel = tmp_path / "mine" / "sbibm-two-moons" / about.public.files[0].name
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in (tmp_path / "sbibm").rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path))
    with pytest.raises(RunError, match="instead of 18,594,167"):  # ours is not the published one
        data.load("sbibm-two-moons", "full", "public")
    ours = replace(about.public.files[0], bytes=None, sha256=None)
    found = public.load(replace(about, public=replace(about.public, files=[ours])), "full", 0)
    assert found.splits == ("test",)
    assert np.bincount(ak.to_numpy(found.split("test").observation)).tolist() == [0, 6, 6, 0, 0, 0, 0, 0, 0, 0, 6]


def test_every_task_has_its_manifest_with_its_widths() -> None:
    assert {name for name in names() if name.startswith("sbibm-")} == {f"sbibm-{t.replace('_', '-')}" for t in TASKS}
    for name, about in TASKS.items():
        found = manifest(f"sbibm-{name.replace('_', '-')}")
        assert found.columns["theta"].shape == [about.parameters]
        assert found.columns["x"].shape == [about.data]
        assert found.recipe is not None
        assert found.recipe.streams["pairs"] == {"task_name": name}


@pytest.mark.parametrize("name", ["two_moons", "gaussian_mixture"])
def test_shipped_references_are_draws_from_our_exact_posterior(name: str) -> None:
    shipped = sbibm.reference(name)
    assert len(shipped) == 10 * 1001
    chances = []
    for number in range(1, 11):
        mine = shipped[shipped.observation == number]
        assert ak.to_list(mine.kind) == [1] + [2] * 1000
        exact = posterior(name, ak.to_numpy(mine.x)[0], 4000, rng(number, "exact"))
        given = ak.to_numpy(mine.theta)[1:]
        chances += [stats.ks_2samp(given[:, i], exact[:, i]).pvalue for i in (0, 1)]
    assert min(chances) > 1e-3  # twenty tests with fixed seeds
    assert stats.kstest(chances, "uniform").pvalue > 1e-3


def test_references_that_do_not_ship_are_told() -> None:
    with pytest.raises(NotFound, match="data fetch sbibm-slcp"):
        sbibm.reference("slcp")
