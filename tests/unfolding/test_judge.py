"""Judging spectra: the discriminator agrees with that of samples, chi2 is chi2-distributed, slopes come back."""

import numpy as np
import pytest

from hepml_nb import stats
from hepml_nb.core import InputError, rng
from hepml_nb.unfolding import Spectrum, histogram
from hepml_nb.unfolding.judge import bias, linearity, tilt, triangular

EDGES = np.linspace(-2, 2, 11)


def test_it_is_the_discriminator_of_samples_where_the_spectrum_is_one():
    generator = rng(0, "judge")
    a, b = generator.normal(0.3, 1, 4000), generator.normal(0, 1, 9000)
    ours, theirs = triangular(histogram(a, EDGES), b), stats.triangular(a, b, bins=EDGES)
    assert ours.value == pytest.approx(theirs.value, rel=1e-12)
    assert ours.error == pytest.approx(theirs.error, rel=0.25)
    assert ours.floor == pytest.approx(theirs.floor, rel=0.15)
    assert triangular(histogram(a, EDGES), histogram(b, EDGES)).value == ours.value


def test_spectra_of_one_truth_score_the_floor():
    generator, scores = rng(1, "judge"), []
    b = generator.normal(0, 1, 20_000)
    for _ in range(30):
        scores.append(triangular(histogram(generator.normal(0, 1, 5000), EDGES), b, toys=50))
    assert np.mean([s.value for s in scores]) == pytest.approx(np.mean([s.floor for s in scores]), rel=0.25)


def test_claims_compare_spectra_with_one_truth():
    generator = rng(3, "judge")
    truth = generator.normal(0, 1, 20_000)
    near, far = (histogram(generator.normal(shift, 1, 5000), EDGES) for shift in (0.05, 0.4))
    one, two = (triangular(s, truth, deterministic=True) for s in (near, far))
    assert stats.claim("near beats far", one, two).outcome == "holds"
    assert stats.claim("near beats itself", one, one).outcome == "consistent"
    three = triangular([near, near, far], truth)
    assert three.seeds == 3
    assert three.error > one.error
    assert three.value == pytest.approx((2 * one.value + two.value) / 3)
    with pytest.raises(InputError, match="no spectrum"):
        triangular([], truth)


def test_a_negative_bin_counts_with_its_size():
    truth = Spectrum([1, 1], [0, 1, 2], np.eye(2) * 1e-6)
    assert triangular(Spectrum([30, -10], [0, 1, 2], np.eye(2)), truth).value == pytest.approx(750)
    with pytest.raises(InputError, match="needs events"):
        triangular(Spectrum([1, -2], [0, 1, 2], np.eye(2)), truth)
    with pytest.raises(InputError, match="same bins"):
        triangular(Spectrum([1, 2], [0, 1, 3], np.eye(2)), truth)


def test_chi2_of_unbiased_spectra_is_uniform_in_p_and_a_bias_shows():
    generator, covariance = rng(2, "judge"), np.array([[4.0, -3, 0], [-3, 4, 1], [0, 1, 2]])
    truth = Spectrum([10, 20, 30], [0, 1, 2, 3], np.zeros((3, 3)))
    found = [
        bias(Spectrum(generator.multivariate_normal(truth.values, covariance), truth.edges, covariance), truth)
        for _ in range(400)
    ]
    p = np.sort([one.p_value for one in found])
    assert np.abs(p - np.linspace(0, 1, 400)).max() < 0.08  # Kolmogorov: 1.63 / 20 at 1 %
    assert np.mean([one.chi2 for one in found]) == pytest.approx(3, abs=0.5)
    shifted = bias(Spectrum(truth.values + np.array([3, 3, 0]), truth.edges, covariance), truth)
    assert shifted.p_value < 1e-3  # against the anticorrelation: far though each pull is 1.5
    assert np.allclose(shifted.pulls, [1.5, 1.5, 0])


def test_directions_without_variance_are_left_out():
    tied = np.ones((2, 2)) + 0.0
    judged = bias(Spectrum([12, 22], [0, 1, 2], tied), Spectrum([10, 20], [0, 1, 2], np.zeros((2, 2))))
    assert judged.bins == 1
    assert judged.chi2 == pytest.approx(4)
    with pytest.raises(InputError, match="no error"):
        bias(Spectrum([1, 2], [0, 1, 2], np.zeros((2, 2))), Spectrum([1, 2], [0, 1, 2], np.zeros((2, 2))))


def test_slopes_come_back():
    u = np.linspace(-1, 1, 5)
    flat = Spectrum(np.full(5, 100.0), np.arange(6.0), np.zeros((5, 5)))
    found, error = tilt(Spectrum(150 * (1 + 0.3 * u), flat.edges, np.diag(np.full(5, 100.0))), flat)
    assert found == pytest.approx(0.3)
    assert 0 < error < 0.1
    result = linearity([-0.3, 0, 0.3], [-0.28, 0.01, 0.26], [0.01, 0.01, 0.01])
    assert result.value == pytest.approx(0.9)
    assert result.error == pytest.approx(0.01 / 0.3 / np.sqrt(2))
    with pytest.raises(InputError, match="two different"):
        linearity([1, 1], [1, 2], [1, 1])
    with pytest.raises(InputError, match="empty"):
        tilt(flat, Spectrum(np.zeros(5), flat.edges, np.eye(5)))
