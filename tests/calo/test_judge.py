"""A classifier finds what is known to differ, finds nothing in nothing, and says what it was trained on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hepml_nb.calo import Showers, judge
from hepml_nb.core import InputError
from hepml_nb.simulate.calorimeter import geometry
from hepml_nb.testing import toy_showers

CALO = geometry("calochallenge-1-photons")


def gaussian(n: int, shift: float, seed: int) -> Showers:
    """Showers of 10 GeV whose one layer has a normal logarithm of energy: the best AUC is known."""
    generator = np.random.default_rng(seed)
    deposits = np.ones((n, CALO.voxels), np.float32)
    deposits[:, CALO.offsets[4] :] = np.exp(generator.normal(shift, 1.0, n))[:, None]
    return Showers(np.full(n, 1e4), deposits, CALO)


@pytest.mark.parametrize("name", ["small", "trees"])
def test_shifted_gaussian_has_the_auc_of_the_closed_form(name: str) -> None:
    found = judge.auc(gaussian(4000, 0.0, 1), gaussian(4000, 1.0, 2), "high", name)
    assert found.value == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=3 * found.error)
    assert "2400/800/800" in found.definition


@pytest.mark.parametrize("level", ["high", "low", "full"])
def test_equal_showers_cannot_be_told_apart(level: judge.Level) -> None:
    found = judge.auc(gaussian(2000, 0.0, 1), gaussian(2000, 0.0, 2), level)
    assert found.value == pytest.approx(0.5, abs=3.5 * found.error)
    assert found.floor == 0.5


def test_the_challenge_s_network_finds_a_gross_error_and_a_seed_repeats_it() -> None:
    truth = toy_showers(600, seed=1)
    other = toy_showers(600, seed=2)
    wrong = Showers(other.energies, 2 * other.deposits, other.geometry)
    found = judge.auc(truth, wrong, "high", "paper", seed=3)
    assert found.value > 0.7
    assert found.value == judge.auc(truth, wrong, "high", "paper", seed=3).value


def test_columns_are_the_challenge_s() -> None:
    showers = gaussian(3, 0.0, 1)
    high, low = judge.columns(showers, "high"), judge.columns(showers, "low")
    assert high.shape == (3, 1 + 5 + 2 * 4)  # two layers of photons have bins in alpha
    assert low.shape == (3, 1 + 368)
    np.testing.assert_allclose(high[:, 0], 4)
    np.testing.assert_allclose(high[:, 1:6], np.log10(showers.layers), rtol=1e-6)
    np.testing.assert_allclose(low[:, 1:], showers.deposits / 1e4)


def test_controls_are_wrong_in_the_ways_they_say() -> None:
    truth = gaussian(5, 0.0, 1)
    made = judge.controls(truth)
    np.testing.assert_allclose(made["scaled"].totals, 1.03 * truth.totals, rtol=1e-6)
    np.testing.assert_allclose(made["swapped"].totals, truth.totals, rtol=1e-6)
    np.testing.assert_array_equal(made["swapped"].layers[:, 3], truth.layers[:, 4])
    with pytest.raises(InputError, match="equal bins"):
        judge.controls(truth, swap=(1, 2))


def test_bad_input_is_named() -> None:
    truth = gaussian(200, 0.0, 1)
    with pytest.raises(InputError, match="small"):
        judge.auc(truth, truth, "high", "smal")
    with pytest.raises(InputError, match="high"):
        judge.auc(truth, truth, "hihg")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 100"):
        judge.auc(truth[:50], truth)
    with pytest.raises(InputError, match="cannot be compared"):
        judge.auc(truth, Showers(np.ones(1), np.zeros((1, 6480)), geometry("calochallenge-2")))
