"""Sculpting and dependence: closed forms, floors that equal spectra meet, bins that hold what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from hepml_nb import stats
from hepml_nb.core import InputError


def test_divergence_is_that_of_scipy_and_ends_at_0_and_1():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 4000), rng.normal(0.4, 1.2, 3000)
    edges = np.linspace(-4, 4, 21)
    p, q = np.histogram(a, edges)[0], np.histogram(b, edges)[0]
    got = stats.jensen_shannon(a, b, bins=edges)
    assert got.value == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert stats.jensen_shannon(a, a, bins=edges).value == 0
    assert stats.jensen_shannon([1.0, 1.2], [8.0, 8.5], bins=[0, 2, 7, 9]).value == pytest.approx(1)
    assert (got.better, got.n) == ("lower", int(q.sum()))


def test_equal_spectra_score_the_floor_and_errors_are_the_scatter():
    results = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        results.append(stats.jensen_shannon(rng.normal(size=400), rng.normal(size=2000), bins=20, seed=seed, n_boot=60))
    values = np.array([r.value for r in results])
    assert values.mean() == pytest.approx(np.mean([r.floor for r in results]), rel=0.1)
    apart = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        apart.append(
            stats.jensen_shannon(
                rng.normal(0.8, 1, 400), rng.normal(size=2000), bins=np.linspace(-4, 4, 21), seed=seed, n_boot=60
            )
        )
    assert 0.7 < np.mean([r.error for r in apart]) / np.std([r.value for r in apart], ddof=1) < 1.4


def classified(seed: int, slope: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores, masses; the score knows the class, and of the mass as much as the slope says."""
    rng = np.random.default_rng(seed)
    labels, mass = rng.integers(0, 2, n), rng.exponential(1, n)
    return labels, rng.normal(2 * labels, 1) + slope * mass, mass


def test_a_score_that_knows_the_mass_sculpts_and_one_that_does_not_is_at_the_floor():
    edges = np.linspace(0, 6, 25)
    labels, scores, mass = classified(3, 0.0)
    blind = stats.sculpting(labels, scores, mass, eff=0.5, bins=edges)
    assert abs(blind.value - blind.floor) < 4 * blind.error
    labels, scores, mass = classified(3, 1.0)
    sharp = stats.sculpting(labels, scores, mass, eff=0.5, bins=edges)
    assert sharp.value > sharp.floor + 10 * sharp.error
    cut = np.quantile(scores[labels == 1], 0.5)
    kept = scores >= cut
    by_hand = stats.jensen_shannon(mass[kept & (labels == 0)], mass[~kept & (labels == 0)], bins=edges)
    assert sharp.value == pytest.approx(by_hand.value, rel=0.01)


def test_a_cut_that_keeps_everything_or_nothing_of_the_background_is_refused():
    labels = np.repeat([0, 1], 50)
    with pytest.raises(InputError, match="0 background events pass and 50 fail"):
        stats.sculpting(labels, labels.astype(float), np.arange(100.0))


def test_dependence_equals_the_metric_on_the_events_of_each_bin():
    labels, scores, mass = classified(4, 0.5)
    got = stats.dependence(labels, scores, mass, bins=[0.0, 1.0, 2.0])
    for i, result in enumerate(got.results):
        inside = (mass >= i) & (mass < i + 1)
        assert result is not None
        assert result.value == stats.auc(labels[inside], scores[inside]).value
        assert (got.signal[i], got.background[i]) == ((inside & (labels == 1)).sum(), (inside & (labels == 0)).sum())
    assert got.spread == pytest.approx(abs(got.results[0].value - got.results[1].value))


def test_equal_bins_hold_equally_many_of_the_rarer_class_and_the_largest_value():
    rng = np.random.default_rng(5)
    labels = np.repeat([1, 0], [1000, 5000])
    by = rng.exponential(1, 6000)
    got = stats.dependence(labels, rng.normal(size=6000), by, bins=4)
    assert got.signal.tolist() == pytest.approx([250] * 4, abs=2)
    assert int(got.signal.sum() + got.background.sum()) == 6000
    assert all(abs(r.value - 0.5) < 4 * r.error for r in got.results if r is not None)


def test_bins_with_few_events_have_no_number():
    got = stats.dependence([0, 1] * 50, np.arange(100.0), [0.5] * 98 + [1.5, 1.5], bins=[0, 1, 2])
    assert got.results[0] is not None
    assert got.results[1] is None
    assert np.isnan(got.spread)


def test_another_metric_is_taken():
    labels, scores, mass = classified(6, 0.0)
    got = stats.dependence(labels, scores, mass, bins=3, metric=lambda y, s: stats.rejection(y, s, eff=0.3))
    assert all(r is not None and r.definition.startswith("1/eB") for r in got.results)


@pytest.mark.parametrize(
    ("by", "bins", "message"),
    [([1.0] * 4, 2, "nothing depends"), ([1.0, 2, 3, np.nan], 2, "nan"), ([1.0, 2, 3, 4], 0, "at least one bin"),
     ([1.0, 2, 3, 4], [3, 1], "rising"), ([1.0, 2], 2, "4 events")],
)  # fmt: skip
def test_bad_input_is_named(by, bins, message):
    with pytest.raises(InputError, match=message):
        stats.dependence([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], by, bins=bins)
