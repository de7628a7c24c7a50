"""All figures of merit: at their floors for equal showers, off them for wrong ones, and equal to closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hepml_nb import calo
from hepml_nb.calo import Showers, response
from hepml_nb.core import InputError, Result
from hepml_nb.simulate.calorimeter import geometry
from hepml_nb.testing import toy_showers

CALO = geometry("calochallenge-1-photons")
Cards = tuple[dict[str, Result], dict[str, Result]]


def smeared(n: int, scale: float, spread: float, seed: int) -> Showers:
    """Showers of 1 and 4 GeV with a normal response, all in one voxel."""
    generator, energies = np.random.default_rng(seed), np.repeat([1000.0, 4000.0], n)
    deposits = np.zeros((2 * n, CALO.voxels), np.float32)
    deposits[:, 20] = energies * generator.normal(scale, spread, 2 * n)
    return Showers(energies, deposits, CALO)


def test_equal_samples_cover_each_other_as_expected() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 2000, 3))
    found = calo.neighbours(a, b)
    for name in ("density", "coverage"):
        assert found[name].value == pytest.approx(found[name].floor, abs=4 * found[name].error)
    assert found["precision"].value == pytest.approx(found["recall"].value, abs=0.03)


def test_a_lost_mode_costs_recall_and_an_invented_one_precision() -> None:
    generator = np.random.default_rng(1)
    both = np.concatenate([generator.normal(size=(500, 2)), generator.normal(size=(500, 2)) + 100])
    one = generator.normal(size=(1000, 2))
    lost, invented = calo.neighbours(both, one), calo.neighbours(one, both)
    assert lost["recall"].value == pytest.approx(0.5, abs=0.1)
    assert lost["coverage"].value == pytest.approx(0.5, abs=0.1)
    assert lost["precision"].value > 0.9
    assert invented["precision"].value == pytest.approx(0.5, abs=0.1)
    assert invented["recall"].value > 0.9
    with pytest.raises(InputError, match="neighbours"):
        calo.neighbours(one, both, k=0)


def test_response_and_resolution_are_those_that_were_put_in() -> None:
    scan = calo.energy_scan(smeared(4000, 0.8, 0.1, 1))
    np.testing.assert_allclose(scan.energies, [1000, 4000])
    np.testing.assert_allclose(scan.response, 0.8, atol=4 * scan.response_error.max())
    np.testing.assert_allclose(scan.resolution, 0.125, atol=4 * scan.resolution_error.max())
    np.testing.assert_allclose(scan.resolution_error, 0.125 / np.sqrt(8000), rtol=0.1)


def test_distances_are_the_shifts_and_stand_at_the_floor_for_equal_showers() -> None:
    truth = smeared(4000, 0.8, 0.1, 1)
    off = response.distances(truth, smeared(4000, 0.84, 0.1, 2))
    assert off["response"].value == pytest.approx(0.05, abs=4 * off["response"].error)
    same = response.distances(truth, smeared(4000, 0.8, 0.1, 3))
    for name in ("response", "resolution"):
        floor = same[name].floor
        assert floor is not None
        assert same[name].value < 4 * floor
    with pytest.raises(InputError, match="20"):
        response.distances(truth[:4000], truth[4000:])
    with pytest.raises(InputError, match="as many"):
        calo.energy_scan(truth[:5])


def test_separation_of_a_shift_is_the_integral() -> None:
    a, b = smeared(5000, 0.8, 0.1, 1), smeared(5000, 0.9, 0.1, 2)
    found = calo.separations(a, b)["response"]
    x = np.linspace(-1, 3, 20001)
    p, q = norm.pdf(x, 0.8, 0.1), norm.pdf(x, 0.9, 0.1)
    exact = 0.5 * np.trapezoid((p - q) ** 2 / np.maximum(p + q, 1e-300), x)
    assert found.value == pytest.approx(exact, abs=4 * found.error)


@pytest.fixture(scope="module")
def cards() -> Cards:
    truth, other = toy_showers(500, seed=1), toy_showers(500, seed=2)
    wrong = Showers(other.energies, 1.3 * other.deposits, other.geometry)
    return calo.scorecard(truth, other), calo.scorecard(truth, wrong)


def test_the_card_of_equal_showers_is_at_its_floors(cards: Cards) -> None:
    same, _ = cards
    for name, found in same.items():
        if name.startswith("auc"):
            assert found.value == pytest.approx(0.5, abs=4 * found.error), name
    assert same["separation"].value == pytest.approx(same["separation"].floor, rel=0.5)
    assert same["wasserstein"].value == pytest.approx(same["wasserstein"].floor, rel=1.0)


def test_the_card_of_wrong_showers_is_worse_in_every_distance(cards: Cards) -> None:
    same, wrong = cards
    assert set(same) == set(wrong)
    for name in ("auc_high", "auc_full", "fpd", "separation", "wasserstein", "response"):
        assert wrong[name].value > same[name].value, name


def test_milliseconds_are_per_shower() -> None:
    showers = toy_showers(300, seed=1)
    model = calo.make("library").fit(showers, seed=1)
    found = calo.milliseconds(model, model.energy_range, (1, 50))
    assert found[50] < found[1]
    with pytest.raises(InputError, match="batches"):
        calo.milliseconds(model, model.energy_range, (0,))
