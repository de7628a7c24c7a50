"""Semivisible jets: the mass of the Z', what the invisible share does to it, and how the jets differ from QCD."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError, NotFound
from hepml_nb.simulate import FIELDS, recipe
from hepml_nb.simulate.pythia import Pythia
from hepml_nb.simulate.recipes.semivisible import dark_coupling, hidden_valley, transverse_mass

MASS = 2100.0
SETTINGS: dict[str, dict[str, Any]] = {
    "r00": {"r_inv": 0.0, "mt_min": 0},
    "r03": {"r_inv": 0.3, "mt_min": 0},
    "r06": {"r_inv": 0.6, "mt_min": 0},
    "qcd": {"process": "qcd", "label": 0},
}


@pytest.fixture(scope="module")
def jets() -> dict[str, ak.Array]:
    """Jets of 100 events of signal, 40 of QCD; without multiparton interactions, which take half of the time."""
    make = recipe("semivisible")
    return {name: make(80 if name == "qcd" else 200, seed=3, mpi=False, **given)[0] for name, given in SETTINGS.items()}


def events(jets: ak.Array, column: str) -> np.ndarray:
    return ak.to_numpy(jets[column][jets["rank"] == 0]).astype(float)


def test_columns_and_selection(jets: dict[str, ak.Array]) -> None:
    for name, sample in jets.items():
        assert set(sample.fields) == {*FIELDS, "met", "met_phi", "mjj", "mt", "min_dphi", "constituents"}
        assert ak.to_list(sample["rank"]) == [0, 1] * (len(sample) // 2)
        assert ak.all(sample.event[0::2] == sample.event[1::2])
        assert ak.all((sample.pt > 199) & (abs(sample.eta) < 2.41)), name
        assert ak.all(abs(sample.eta[0::2] - sample.eta[1::2]) < 1.51)
        assert ak.all(sample.pt[0::2] >= sample.pt[1::2])
        assert ak.all(sample.mt >= sample.mjj * 0.999)
    assert ak.all(jets["qcd"].mt > 1499)
    assert ak.all(jets["qcd"].label == 0)
    assert ak.all(jets["r03"].label == 1)


def test_without_invisible_hadrons_the_dijet_mass_is_that_of_the_zprime(jets: dict[str, ak.Array]) -> None:
    mjj = events(jets["r00"], "mjj") / MASS
    # wide dark showers and neutrinos of b hadrons leave a tail to the left; the peak is 5 to 15 % below the mass
    assert np.mean((mjj > 0.75) & (mjj < 1.05)) > 0.55
    assert np.mean(mjj > 1.08) < 0.04
    density = np.histogram(mjj, bins=np.arange(0.2, 1.31, 0.1))[0]
    assert 0.8 <= np.arange(0.2, 1.2, 0.1)[np.argmax(density)] < 1.0


def test_invisible_hadrons_take_mass_and_give_missing_momentum(jets: dict[str, ak.Array]) -> None:
    names = ("r00", "r03", "r06")
    mjj = [np.median(events(jets[name], "mjj")) for name in names]
    share = [np.median(events(jets[name], "met") / events(jets[name], "mt")) for name in names]
    assert mjj[0] > 1.2 * mjj[1] > 1.2**2 * mjj[2]
    assert share[0] < 0.05 < 0.08 < share[1] < share[2]
    # the missing momentum lies along a jet: that is what makes the signature hard to tell from mismeasured jets
    assert np.median(events(jets["r03"], "min_dphi")) < 0.5


def test_the_transverse_mass_ends_at_the_zprime(jets: dict[str, ak.Array]) -> None:
    mt = events(jets["r03"], "mt") / MASS
    assert np.mean(mt > 1.05) < 0.06  # resolution and radiation only
    assert np.mean((mt > 0.8) & (mt < 1.05)) > 0.15
    assert np.percentile(mt, 90) > np.percentile(events(jets["r03"], "mjj") / MASS, 90) + 0.03


def test_jets_are_wider_and_have_more_particles_than_those_of_qcd(jets: dict[str, ak.Array]) -> None:
    dark, qcd = jets["r00"], jets["qcd"]

    def width(sample: ak.Array) -> float:
        inside = sample.constituents
        return float(np.median(ak.sum(inside.pt * np.hypot(inside.deta, inside.dphi), axis=1) / sample.pt))

    assert ak.mean(ak.num(dark.constituents)) > 1.5 * ak.mean(ak.num(qcd.constituents))
    assert width(dark) > 1.5 * width(qcd)
    assert np.median(dark.mass) > 1.3 * np.median(qcd.mass)
    assert np.median(events(qcd, "met") / events(qcd, "mt")) < 0.03


@pytest.mark.parametrize("r_inv", [0.0, 0.3, 0.8])
def test_the_share_of_stable_dark_hadrons_is_r_inv(r_inv: float) -> None:
    generator = Pythia(hidden_valley(MASS, 20.0, r_inv, 0.0), pthat=None, ecm=13000.0, seed=4)
    particles = generator.events(30).prt
    code = abs(particles.id)
    hadrons = (code == 4900111) | (code == 4900211) | (code == 4900113) | (code == 4900213)
    made, stable = ak.sum(hadrons), ak.sum((code == 51) | (code == 53)) / 2
    assert made > 200  # about ten an event
    assert stable / made == pytest.approx(r_inv, abs=max(4 * np.sqrt(r_inv * (1 - r_inv) / made), 1e-9))
    mesons = ak.sum((code == 4900113) | (code == 4900213)) / made
    assert mesons == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / made))


def test_transverse_mass_never_exceeds_the_mass() -> None:
    rng = np.random.default_rng(1)
    n, mass, mjj = 5000, 2000.0, 700.0
    p = (mass**2 - mjj**2) / (2 * mass)  # of M -> dijet system + one massless invisible particle, at rest
    cos, phi = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
    px, py = p * np.sqrt(1 - cos**2) * np.cos(phi), p * np.sqrt(1 - cos**2) * np.sin(phi)
    mt = transverse_mass(mjj, px, py, np.hypot(px, py), np.arctan2(-py, -px))
    assert mt.max() <= mass * (1 + 1e-9)
    assert mt.max() == pytest.approx(mass, rel=1e-3)  # the Jacobian edge
    assert transverse_mass(mjj, 300.0, 0.0, 0.0, 0.0) == pytest.approx(mjj)


def test_the_coupling_is_that_of_cms_and_bad_values_are_named() -> None:
    alpha = dark_coupling(20.0)  # Lambda = 3.2 * 20**0.8 = 35.1 GeV, b0 = 3
    assert 1000 * np.exp(-np.pi / (3 * alpha)) == pytest.approx(3.2 * 20**0.8)
    assert any("Lambda = 35.1" in line for line in hidden_valley(MASS, 20.0, 0.3, 0.0))
    make = recipe("semivisible")
    with pytest.raises(InputError, match="r_inv="):
        make(1, r_inv=1.5)
    with pytest.raises(InputError, match="m_dark="):
        make(1, m_dark=900)
    with pytest.raises(InputError, match="alpha_dark="):
        make(1, alpha_dark=5)
    with pytest.raises(NotFound, match="did you mean 'svj'"):
        make(1, process="sv")


def test_same_seed_same_jets_and_none_when_none_are_asked() -> None:
    one, two, other = (recipe("semivisible")(10, seed=seed, mpi=False, mt_min=0)[0] for seed in (5, 5, 6))
    assert ak.array_equal(one, two, equal_nan=True)
    assert not ak.array_equal(one.pt, other.pt)
    assert len(recipe("semivisible")(0, mpi=False, mt_min=0)[0]) == 0
