"""Features are what they say on showers that are known, and distances what closed forms give."""

from __future__ import annotations

import numpy as np
import pytest

from hepml_nb.calo import Showers, features, fpd, kpd, separation
from hepml_nb.calo.measures import frechet
from hepml_nb.core import InputError
from hepml_nb.simulate.calorimeter import geometry
from hepml_nb.testing import toy_showers

CALO = geometry("calochallenge-2")


def one_voxel(layer: int, alpha: int, r: int, energy: float) -> Showers:
    deposits = np.zeros((1, *CALO.shape), np.float32)
    deposits[0, layer, alpha, r] = energy
    return Showers(np.array([1000.0]), deposits.reshape(1, -1), CALO)


def test_one_voxel_has_its_own_centre_and_no_width() -> None:
    found = features(one_voxel(7, 3, 2, 400.0))
    x, y, _ = CALO.centres().reshape(*CALO.shape, 3)[7, 3, 2]
    assert found["response"][0] == pytest.approx(0.4)
    assert found["energy.7"][0] == pytest.approx(400)
    assert found["centre_x.7"][0] == pytest.approx(x)
    assert found["centre_y.7"][0] == pytest.approx(y)
    assert found["centre_r.7"][0] == pytest.approx(np.hypot(x, y))
    assert found["width_x.7"][0] == pytest.approx(0, abs=1e-4)
    assert found["sparsity.7"][0] == pytest.approx(1 / 144)
    assert found["energy.8"][0] == found["centre_x.8"][0] == found["width_r.8"][0] == 0


def test_two_voxels_have_a_width() -> None:
    both = one_voxel(3, 0, 4, 300.0).deposits + one_voxel(3, 8, 4, 300.0).deposits  # opposite, at one radius
    found = features(Showers(np.array([1000.0]), both, CALO))
    x, y, _ = CALO.centres().reshape(*CALO.shape, 3)[3, 0, 4]
    assert found["centre_x.3"][0] == pytest.approx(0, abs=1e-3)
    assert found["width_x.3"][0] == pytest.approx(abs(x), rel=1e-3)
    assert found["width_y.3"][0] == pytest.approx(abs(y), rel=1e-3)
    assert found["width_r.3"][0] == pytest.approx(0, abs=1e-2)


def test_layers_without_direction_have_a_radius_only() -> None:
    photons = geometry("calochallenge-1-photons")
    found = features(Showers(np.array([500.0]), np.ones((1, 368), np.float32), photons))
    assert {"centre_x.1", "centre_r.0", "width_r.12"} <= set(found.names)
    assert not {"centre_x.0", "centre_y.12"} & set(found.names)


def test_frechet_distance_of_normal_distributions_is_the_closed_form() -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(size=(200_000, 2))
    turned = generator.normal(size=(200_000, 2)) * [2.0, 0.5] + [1.0, -1.0]
    # |shift|^2 + (1 - 2)^2 + (1 - 1/2)^2
    assert frechet(a, turned) == pytest.approx(2 + 1 + 0.25, rel=0.02)


def unit(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two normal tables whose first has 1 as the greatest magnitude of each column, by one row each."""
    generator = np.random.default_rng(seed)
    truth, other = generator.normal(scale=0.1, size=(2, n, k)).clip(-0.9, 0.9)
    truth[np.arange(k), np.arange(k)] = 1.0
    return truth, other


def test_fpd_of_two_halves_is_zero_and_of_shifted_ones_the_shift() -> None:
    truth, other = unit(5000, 5, 1)
    same = fpd(truth, other)
    assert abs(same.value) < 5 * same.error + 0.03
    moved = fpd(truth, other + 0.03)
    assert moved.value == pytest.approx(1000 * 5 * 0.03**2, rel=0.15)


def test_columns_are_over_the_greatest_magnitude_of_the_truth() -> None:
    truth, other = unit(2000, 3, 1)
    scale = np.array([1.0, 30.0, 1e4])
    assert fpd(truth * scale, other * scale).value == pytest.approx(fpd(truth, other).value, rel=1e-6)


def test_fpd_takes_the_bias_of_small_samples_away() -> None:
    truth, other = unit(400, 8, 2)
    biased = 1000 * frechet(truth, other)
    assert biased > 0.3
    assert abs(fpd(truth, other).value) < biased / 2 + 0.5


def test_kpd_of_two_halves_is_zero_and_sees_a_shift() -> None:
    truth, other = unit(4000, 5, 3)
    same, moved = kpd(truth, other, size=1000), kpd(truth, other + 0.03, size=1000)
    assert abs(same.value) < 3 * same.error
    assert moved.value > 10 * abs(same.value) + 3 * moved.error
    # the kernel's slope at 0 is 4, so that a small shift of each column costs about 4 times its mean square
    assert moved.value == pytest.approx(1000 * 4 * 0.03**2, rel=0.3)


def test_separation_is_zero_to_one() -> None:
    generator = np.random.default_rng(4)
    truth, other = generator.normal(size=(2, 4000))
    bins = np.linspace(-5, 15, 41)
    assert separation(truth, other, bins).value < 0.02
    assert separation(truth, other + 10, bins).value == pytest.approx(1, abs=1e-3)


def test_showers_scaled_by_three_per_cent_are_seen() -> None:
    truth, other = toy_showers(2000, 11), toy_showers(2000, 12)
    scaled = Showers(other.energies, other.deposits * 1.03, other.geometry)
    column = ("response",)
    a, b, c = (np.column_stack([features(one)[name] for name in column]) for one in (truth, other, scaled))
    assert fpd(a, c).value > fpd(a, b).value + 5 * fpd(a, b).error


@pytest.mark.parametrize(
    ("made", "words"),
    [(np.ones((200, 3)), "shapes"), (np.ones((20, 2)), "needs 100"), (np.full((200, 2), np.nan), "nan")],
)
def test_tables_that_cannot_be_compared_are_refused(made: np.ndarray, words: str) -> None:
    truth = np.random.default_rng(5).normal(size=(200, 2))
    for measure in (fpd, kpd):
        with pytest.raises(InputError, match=words):
            measure(truth, made)
