"""Distances of two samples: published definitions, floors that two samples of one truth meet, C2ST as sbibm has it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from hepml_nb import stats
from hepml_nb.core import InputError

EDGES = np.linspace(-3, 3, 31)


def test_triangular_equals_the_published_formula():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=5000), rng.normal(0.1, 1, size=8000)
    w = rng.exponential(size=5000)
    # as in the unfolding papers: densities of the histograms times the bin width, times 1000
    p = np.histogram(a, EDGES, weights=w, density=True)[0]
    q = np.histogram(b, EDGES, density=True)[0]
    published = 1e3 * 0.5 * np.sum((p - q) ** 2 / (p + q) * np.diff(EDGES))
    result = stats.triangular(a, b, bins=EDGES, weights_a=w)
    assert result.value == pytest.approx(published, rel=1e-12)
    assert result.better == "lower"
    assert result.n == int(stats.effective_size(w[(a >= -3) & (a <= 3)]))


def test_triangular_runs_from_zero_to_its_scale():
    a = np.linspace(0, 1, 100)
    assert stats.triangular(a, a, bins=10).value == 0
    assert stats.triangular(a, a + 5, bins=np.linspace(0, 6, 7)).value == pytest.approx(1000)
    assert stats.triangular(a, a + 5, bins=12, scale=1).value == pytest.approx(1)


@pytest.mark.parametrize("weighted", [False, True])
def test_triangular_floor_is_what_two_samples_of_one_truth_show(weighted):
    rng = np.random.default_rng(2)
    results = []
    for seed in range(100):
        a, b, w = rng.normal(size=1500), rng.normal(size=4000), None
        if weighted:  # the weights carry a from a wider density to that of b
            a = 1.3 * a
            w = rng.exponential(size=1500) * np.exp(-0.5 * a**2 * (1 - 1 / 1.3**2))
        results.append(stats.triangular(a, b, bins=EDGES, weights_a=w, n_boot=60, seed=seed))
    values = np.array([r.value for r in results])
    assert values.mean() == pytest.approx(np.mean([r.floor for r in results]), rel=0.1)
    assert 0.7 < np.mean([r.error for r in results]) / values.std() < 1.4


def test_triangular_error_is_the_scatter_of_repeated_experiments():
    rng = np.random.default_rng(3)
    results = [
        stats.triangular(rng.normal(size=3000), rng.normal(0.3, 1, size=3000), bins=EDGES, n_boot=60, seed=i)
        for i in range(100)
    ]
    values = np.array([r.value for r in results])
    assert np.mean([r.error for r in results]) == pytest.approx(values.std(ddof=1), rel=0.25)
    assert (values > np.mean([r.floor for r in results])).all()


def test_triangular_takes_negative_weights_until_a_bin_turns_negative():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=4000), rng.normal(size=4000)
    w = np.where(rng.random(4000) < 0.2, -1.0, 1.0)
    signed = stats.triangular(a, b, bins=np.linspace(-2, 2, 9), weights_a=w)
    assert signed.n < 2000
    assert signed.value < 3 * signed.floor
    with pytest.raises(InputError, match=r"weights of a sum to -.* use wider bins"):
        stats.triangular([0.1, 0.9], [0.1, 0.9], bins=[0, 0.5, 1], weights_a=[-1.0, 3.0])


def test_triangular_refuses_bad_bins():
    for bins, message in (
        ([1, 0], "no edges"),
        ([1.0], "no edges"),
        (0, "at least one bin"),
        ([5, 6], r"no event of a \(from 0 to 1\) lies in the bins from 5 to 6"),
    ):
        with pytest.raises(InputError, match=message):
            stats.triangular([0.0, 1.0], [0.0, 5.5], bins=bins)
    with pytest.raises(InputError, match="b holds 1 nan"):
        stats.triangular([0.0, 1.0], [0.0, np.nan], bins=2)
    with pytest.raises(InputError, match="weights_b has 1 entries"):
        stats.triangular([0.0, 1.0], [0.0, 1.0], bins=2, weights_b=[1.0])


def test_wasserstein_equals_scipy_with_ties_and_weights():
    rng = np.random.default_rng(5)
    a, b = np.round(rng.normal(size=700), 1), np.round(rng.normal(0.5, 1, size=900), 1)
    wa, wb = rng.exponential(size=700), rng.exponential(size=900)
    assert stats.wasserstein(a, b, n_boot=2).value == pytest.approx(wasserstein_distance(a, b), abs=1e-12)
    weighted = stats.wasserstein(a, b, weights_a=wa, weights_b=wb, n_boot=2)
    assert weighted.value == pytest.approx(wasserstein_distance(a, b, wa, wb), abs=1e-12)
    assert weighted.n == int(min(stats.effective_size(wa), stats.effective_size(wb)))
    assert stats.wasserstein(a, a + 3, n_boot=2).value == pytest.approx(3)


def test_wasserstein_floor_and_error_hold_over_toys():
    rng = np.random.default_rng(6)
    same = [stats.wasserstein(rng.normal(size=400), rng.normal(size=800), n_boot=40, seed=i) for i in range(100)]
    assert np.mean([r.value for r in same]) == pytest.approx(np.mean([r.floor for r in same]), rel=0.1)
    assert 0.8 < np.mean([r.error for r in same]) / np.std([r.value for r in same]) < 1.8
    apart = [stats.wasserstein(rng.normal(size=400), rng.normal(1, 1, 800), n_boot=40, seed=i) for i in range(100)]
    scatter = np.std([r.value for r in apart])
    assert np.mean([r.error for r in apart]) == pytest.approx(scatter, rel=0.25)
    weights = rng.exponential(size=400)
    assert stats.wasserstein(rng.normal(size=400), rng.normal(size=800), weights_a=weights).floor > same[0].floor
    with pytest.raises(InputError, match="weights_a holds 1 negative"):
        stats.wasserstein([1.0, 2.0], [1.0], weights_a=[-1.0, 2.0])


def test_c2st_is_the_benchmark_s_definition():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(150, 2)), rng.normal(0.5, 2.0, size=(150, 2))
    mean, spread = x.mean(axis=0), x.std(axis=0, ddof=1)
    data = np.concatenate([(x - mean) / spread, (y - mean) / spread])
    network = MLPClassifier((20, 20), activation="relu", max_iter=10000, solver="adam", random_state=3)
    folds = KFold(n_splits=5, shuffle=True, random_state=3)
    expected = cross_val_score(network, data, np.repeat([0.0, 1.0], 150), cv=folds, scoring="accuracy").mean()
    result = stats.c2st(x, y, seed=3)
    assert result.value == pytest.approx(expected, abs=1e-12)
    assert result.floor == 0.5
    assert result.value > 0.5 + 3 * result.error


def test_c2st_cannot_tell_equal_samples_apart():
    rng = np.random.default_rng(8)
    result = stats.c2st(rng.normal(size=200), rng.normal(size=200))
    assert abs(result.value - 0.5) < 3 * result.error


def test_c2st_refuses_what_it_cannot_score():
    x = np.random.default_rng(9).normal(size=(20, 2))
    for given, message in (
        ((x, x[:, :1]), "x has 2 columns and y has 1"),
        ((x[:3], x), "folds=5 for 3 and 20 rows"),
        ((x * [1, 0], x), "column 1 of x is constant"),
        ((np.where(x > 1.5, np.nan, x), x), "x holds"),
        ((x[:1], x), r"x has shape \(1, 2\)"),
    ):
        with pytest.raises(InputError, match=message):
            stats.c2st(*given)


def test_effective_size():
    assert stats.effective_size(np.full(50, 0.3)) == pytest.approx(50)
    assert stats.effective_size([1, 1, 1, -1]) == pytest.approx(1)
    with pytest.raises(InputError, match="all 3 weights are 0"):
        stats.effective_size([0.0, 0, 0])


def test_floor_draws_a_perfect_method():
    def perfect(rng):
        return rng.normal(size=500), rng.normal(size=500)

    got = stats.floor(lambda a, b: stats.wasserstein(a, b, n_boot=2), perfect, n=30)
    own = stats.wasserstein(*perfect(np.random.default_rng(10)))
    assert got.value == pytest.approx(own.floor, rel=0.3)
    assert got.value == stats.floor(lambda a, b: stats.wasserstein(a, b, n_boot=2), perfect, n=30).value
    assert stats.floor(lambda a, b: 1.0, perfect).error == 0
    with pytest.raises(InputError, match="at least 2"):
        stats.floor(lambda a, b: 1.0, perfect, n=1)
