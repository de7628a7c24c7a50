"""Geant4 gives showers of the right energy and depth, the same for the same seed, and its stand-in tables are right."""

from __future__ import annotations

import builtins
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.calo import Showers
from hepml_nb.core import InputError, NotFound
from hepml_nb.simulate import geant4, geant4_tables, recipe
from hepml_nb.simulate.calorimeter import MATERIALS, geometry

needs_calzone = pytest.mark.skipif(not geant4.available(), reason="Geant4 needs calzone (extra 'geant4')")
CALO = geometry("calochallenge-2")
RNG = np.random.default_rng


@pytest.fixture(scope="module")
def electrons() -> np.ndarray:
    """Return 60 showers of electrons of 2 GeV."""
    return geant4.showers(np.full(60, 2000.0), CALO, "electron", RNG(1))


@pytest.mark.parametrize(("z", "energy", "barn"), [(82, 0.1, 1798), (82, 0.5, 28.4), (82, 1.0, 6.16), (74, 0.1, 1267)])
def test_photo_electric_cross_sections_are_those_of_the_tables(z: int, energy: float, barn: float) -> None:
    assert geant4_tables.photo_electric(z, np.array([energy]))[0] == pytest.approx(barn, rel=3e-3)


def test_the_photo_electric_effect_jumps_at_the_edge_and_falls_steeply() -> None:
    below, above = geant4_tables.photo_electric(74, np.array([0.0695, 0.06953]))  # K edge of tungsten, 69.525 keV
    assert above / below == pytest.approx(4.7, abs=0.5)
    low, high = geant4_tables.photo_electric(14, np.array([0.03, 0.06]))
    assert np.log(low / high) / np.log(2) == pytest.approx(3.1, abs=0.2)  # about E^-3 far from edges
    with pytest.raises(NotFound, match="Z = 26"):
        geant4_tables.photo_electric(26, np.array([0.1]))


@pytest.mark.parametrize(("name", "z", "a"), [("W", 74, 183.84), ("Si", 14, 28.086), ("Pb", 82, 207.2)])
def test_what_electrons_radiate_is_the_radiation_length(name: str, z: int, a: float) -> None:
    share = np.linspace(0, 1, 2001)
    scaled = geant4_tables.bremsstrahlung(z, np.array([[1e4]]), share)[0]  # mb; the loss per g / cm^2 is T / X0
    lost = 6.02214e23 / a * z**2 * np.trapezoid(scaled, share) * 1e-27
    assert 1 / lost == pytest.approx(MATERIALS[name].x0, rel=0.02)


def test_bremsstrahlung_is_positive_and_softens_with_falling_energy() -> None:
    share, kinetic = np.linspace(0, 1, 101), np.logspace(-3, 4, 50)
    scaled = geant4_tables.bremsstrahlung(74, kinetic[:, None], share)
    assert scaled.min() > 0
    assert np.isfinite(scaled).all()
    hard = scaled[:, 80] / scaled[:, 10]
    assert hard[kinetic > 1e3].min() > 1.5 * hard[(kinetic > 0.5) & (kinetic < 2)].max()
    # Seltzer and Berger, tungsten, 1 MeV: 9.85 mb at a share of 0.1, 5.09 at one half
    one = geant4_tables.bremsstrahlung(74, np.array([1.0, 1.0]), np.array([0.1, 0.5]))
    assert one == pytest.approx([9.85, 5.09], rel=0.05)


def test_official_tables_are_used_where_all_are_there(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEANT4_DATA_DIR", str(tmp_path / "geant4"))
    (tmp_path / "geant4" / "G4EMLOW8.8").mkdir(parents=True)  # the other sets are missing
    place, kind = geant4_tables.folder()
    assert kind == geant4.tables() == "closed-form"
    assert place.is_relative_to(tmp_path / "cache")
    head = (place / "G4EMLOW8.8" / "brem_SB" / "br74").read_text().splitlines()
    assert head[0].split() == ["4", str(len(head[1].split())), str(len(head[2].split()))]
    assert len(head) == 3 + len(head[2].split())
    monkeypatch.setenv("GEANT4_DATA_DIR", str(place))
    assert geant4_tables.folder() == (place, "closed-form")
    whole = tmp_path / "whole"
    for name in (folder.name for folder in place.iterdir() if folder.is_dir()):
        (whole / name).mkdir(parents=True)
    monkeypatch.setenv("GEANT4_DATA_DIR", str(whole))
    assert geant4_tables.folder() == (whole, "official")


def test_without_calzone_the_error_says_how_to_get_it(monkeypatch: Any) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "calzone":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NotFound, match=r"pip install 'hepml-nb\[geant4\]'"):
        geant4.showers(np.array([1000.0]), CALO, "electron", RNG(0))


@pytest.mark.parametrize(
    ("energy", "calo", "particle", "match"),
    [
        ([1000.0], "calochallenge-2", "electrons", "did you mean 'electron'"),
        ([0.0], "calochallenge-2", "electron", "positive"),
        ([np.nan], "calochallenge-2", "electron", "positive"),
        ([1000.0], "calochallenge-1-photons", "photon", "not of tungsten and silicon"),
    ],
)
def test_what_it_cannot_do_is_said(energy: list[float], calo: str, particle: str, match: str) -> None:
    with pytest.raises((InputError, NotFound), match=match):
        geant4.showers(np.array(energy), geometry(calo), particle, RNG(0))


def test_deposits_go_into_the_voxel_where_they_are_and_none_is_lost_inside() -> None:
    line = np.zeros(3, [("event", "u8"), ("value", "f8"), ("start", "f8", 3), ("end", "f8", 3)])
    line["event"], line["value"] = [0, 1, 1], [1.0, 2.0, 4.0]
    line["start"], line["end"] = (
        [[0.1, 0, 0], [-1, 0.01, 0], [0, 5, 0]],
        [[0.3, 0, 0], [-1.2, 0.01, 0], [0, 6, 0]],
    )  # cm
    point = np.zeros(1, [("event", "u8"), ("value", "f8"), ("position", "f8", 3)])
    point["value"], point["position"] = 8.0, [[0, -4.0, 0]]
    made = geant4._voxels({"World.Active5": SimpleNamespace(line=line, point=point)}, 2, CALO, 2)
    view = CALO.view(made)
    assert made.sum() == 1 + 2 + 8  # what lies 55 mm away is outside
    assert view[0, 2, 8, 0] == 1  # sheets 4 and 5 are layer 2; alpha = 0 begins the ninth bin
    assert view[1, 2, 15, 2] == 2  # 11 mm, and alpha just below pi
    assert view[0, 2, 4, 8] == 8  # 40 mm, and alpha = -pi / 2


@needs_calzone
def test_showers_have_the_energy_of_the_particle_where_it_belongs(electrons: np.ndarray) -> None:
    seen = electrons.sum(axis=1) / 2000
    assert electrons.shape == (60, CALO.voxels)
    assert electrons.dtype == np.float32
    assert seen.mean() == pytest.approx(0.97, abs=0.04)  # the sampling fraction is that of the challenge, 0.033
    assert 0.06 < seen.std() < 0.15  # 0.14 / sqrt(E / GeV)
    assert electrons[electrons > 0].min() >= CALO.threshold
    np.testing.assert_allclose(CALO.layer_energies(electrons).sum(axis=1), electrons.sum(axis=1), rtol=1e-5)
    share = CALO.view(electrons).sum(axis=(0, 1, 2)) / electrons.sum()
    assert share[0] > 0.5  # the axis lies in the innermost ring
    angle = CALO.view(electrons).sum(axis=(0, 1, 3)) / electrons.sum()
    assert angle == pytest.approx(1 / 16, abs=0.02)  # and no direction is preferred


@needs_calzone
def test_energies_keep_their_order_and_a_seed_its_showers() -> None:
    energy = np.array([200.0, 4000.0, 200.0])
    one = geant4.showers(energy, CALO, "photon", RNG(7))
    assert one[1].sum() > 4 * max(one[0].sum(), one[2].sum())
    np.testing.assert_array_equal(geant4.showers(energy, CALO, "photon", RNG(7)), one)
    assert not np.array_equal(geant4.showers(energy, CALO, "photon", RNG(8)), one)
    assert geant4.showers(np.zeros(0), CALO, "photon", RNG(7)).shape == (0, CALO.voxels)


@needs_calzone
def test_many_small_runs_give_what_one_gives(monkeypatch: Any) -> None:
    monkeypatch.setattr(geant4, "_AT_ONCE", 1000.0)
    energy = np.array([300.0, 900.0, 500.0, 2500.0])
    parts = geant4.showers(energy, CALO, "electron", RNG(3))
    assert parts.sum(axis=1) / energy == pytest.approx(1, abs=0.5)


@needs_calzone
def test_finer_voxels_of_the_same_showers_hold_the_same_energy() -> None:
    fine = geometry("calochallenge-3")
    energy = np.full(5, 2000.0)
    coarse = geant4.showers(energy, CALO, "electron", RNG(4))
    finer = geant4.showers(energy, fine, "electron", RNG(4))
    assert finer.sum() == pytest.approx(coarse.sum(), rel=0.02)  # the threshold cuts more of smaller voxels
    assert finer.sum() < coarse.sum()
    rings = fine.view(finer).sum(axis=(0, 1, 2)).reshape(9, 2).sum(axis=1)
    assert rings == pytest.approx(CALO.view(coarse).sum(axis=(0, 1, 2)), rel=0.1, abs=100)


@needs_calzone
def test_the_recipe_says_which_tables_were_used() -> None:
    settings = {"simulator": "geant4", "calorimeter": "calochallenge-2", "energy": (500, 1000)}
    _, counters = recipe("showers")(3, seed=1, **settings)
    assert counters["with_official_tables"] == 3 * (geant4.tables() == "official")


@pytest.mark.parametrize("profile", ["smoke", "tutorial"])
def test_the_electrons_that_ship_have_the_right_scale_and_range(profile: str) -> None:
    sample = data.load("geant4-electrons", profile=profile)
    assert sample.provenance["counters"]["electron"]["with_official_tables"] == 0
    showers = Showers.of(sample.split("test"), "calochallenge-2")
    assert 1000 <= showers.energies.min() < 2000 < 50_000 < showers.energies.max() <= 100_000
    assert (showers.totals / showers.energies).mean() == pytest.approx(0.97, abs=0.03)
