"""ROC, rejection, AUC and accuracy: the field's definitions to rounding, errors that cover, bad input refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from hepml_nb import stats
from hepml_nb.core import HepmlError, InputError


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_roc_auc_and_rejection_equal_scikit_learn_on_200k_scores(binormal, ties, weighted):
    rng = np.random.default_rng(1)
    labels, scores = binormal(1.9).draw(rng, 100_000, 100_000)
    scores = np.round(scores, 1) if ties else scores
    weights = rng.exponential(size=len(labels)) * (rng.random(len(labels)) > 0.1) if weighted else None
    fpr, tpr, thresholds = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    curve = stats.roc(labels, scores, weights)
    np.testing.assert_allclose(curve.eff_background, fpr, rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.eff_signal, tpr, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    area = roc_auc_score(labels, scores, sample_weight=weights)
    assert stats.auc(labels, scores, weights).value == pytest.approx(area, abs=1e-12)
    assert curve.auc == pytest.approx(area, abs=1e-12)
    assert stats.paired("auc", labels, scores, weights=weights, n_boot=2).value == pytest.approx(area, abs=1e-12)
    kept_fpr, kept_tpr, _ = roc_curve(labels, scores, sample_weight=weights)  # as published scripts call it
    for eff in (0.3, 0.5, 0.77):
        published = 1 / np.interp(eff, kept_tpr, kept_fpr)
        for result in (
            stats.rejection(labels, scores, eff=eff, weights=weights),
            stats.paired("rejection", labels, scores, eff=eff, weights=weights, n_boot=2),
        ):
            assert result.value == pytest.approx(published, rel=1e-12)


def test_the_working_points_of_the_published_quark_gluon_tagger_come_out_to_all_digits():
    """LorentzNet's test log (arXiv:2201.08187) has 1/eB = 112.86681715575621 at eS = 0.3, 43.15925766076823 at 0.5.

    Those are 886 and 2317 of 100000 gluon jets. The score file itself is not shipped (no offline source of it could be
    read), so scores with exactly these counts stand in; the AUC of 0.91613 cannot be rebuilt from two points.
    """
    signal = np.linspace(1, 0, 100_000, endpoint=False)
    background = np.concatenate([np.linspace(0.99, 0.701, 886), np.linspace(0.699, 0.501, 2317 - 886)])
    background = np.concatenate([background, np.linspace(0.499, 0, 100_000 - 2317)])
    labels = np.repeat([1, 0], 100_000)
    scores = np.concatenate([signal, background])
    assert stats.rejection(labels, scores, eff=0.3).value == pytest.approx(112.86681715575621, rel=1e-12)
    assert stats.rejection(labels, scores, eff=0.5).value == pytest.approx(43.15925766076823, rel=1e-12)


def test_delong_error_equals_the_sums_over_all_pairs(binormal):
    labels, scores = binormal(1.0).draw(np.random.default_rng(2), 40, 60)
    scores = np.round(scores, 1)
    s, b = scores[labels == 1], scores[labels == 0]
    better = (s[:, None] > b) + 0.5 * (s[:, None] == b)
    variance = better.mean(axis=1).var(ddof=1) / len(s) + better.mean(axis=0).var(ddof=1) / len(b)
    result = stats.auc(labels, scores)
    assert result.value == pytest.approx(better.mean())
    assert result.error == pytest.approx(np.sqrt(variance))
    assert result.n == 40
    equal = stats.auc(labels, scores, np.full(100, 3.0))
    assert (equal.value, equal.error) == (pytest.approx(result.value), pytest.approx(result.error))


def test_delong_and_bootstrap_errors_agree(binormal):
    labels, scores = binormal(1.5).draw(np.random.default_rng(3), 1000, 2000)
    delong = stats.auc(labels, scores)
    bootstrap = stats.auc(labels, scores, method="bootstrap", n_boot=400)
    assert bootstrap.value == pytest.approx(delong.value, abs=1e-12)
    assert bootstrap.error == pytest.approx(delong.error, rel=0.15)
    assert bootstrap.low < delong.value < bootstrap.high


def test_delong_error_covers_the_true_auc_in_68_percent_of_experiments(binormal):
    toy, rng = binormal(2.0), np.random.default_rng(4)
    pulls = []
    for _ in range(600):
        result = stats.auc(*toy.draw(rng, 200, 400))
        pulls.append((result.value - toy.auc) / result.error)
    assert np.mean(np.abs(pulls) < 1) == pytest.approx(0.683, abs=0.06)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)


def test_weighted_auc_error_is_right_for_unequal_weights(binormal):
    toy, rng = binormal(1.5), np.random.default_rng(5)
    pulls = []
    for _ in range(500):
        labels, scores = toy.draw(rng, 300, 300)
        result = stats.auc(labels, scores, rng.exponential(size=600))
        pulls.append((result.value - toy.auc) / result.error)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize(("n_signal", "n_background"), [(400, 400), (300, 3000)])
def test_rejection_interval_covers_also_when_the_cut_is_tuned_on_few_signal_events(binormal, n_signal, n_background):
    toy, rng = binormal(1.5), np.random.default_rng(6)
    truth = 1 / toy.background(0.5)
    inside, binomial_only = [], []
    for _ in range(400):
        labels, scores = toy.draw(rng, n_signal, n_background)
        result = stats.rejection(labels, scores, eff=0.5)
        inside.append(result.low <= truth <= result.high)
        low, high = stats.clopper_pearson(n_background / result.value, n_background)
        binomial_only.append(low <= 1 / truth <= high)
    assert 0.64 < np.mean(inside) < 0.82
    if n_background > n_signal:  # what the usual recipe would give
        assert np.mean(binomial_only) < 0.55


def test_clopper_pearson_covers_every_true_fraction():
    n, level = 40, 0.68
    counts = np.arange(n + 1)
    low, high = stats.clopper_pearson(counts, n, level)
    assert low[0] == 0
    assert high[-1] == 1
    from scipy.stats import binom

    for truth in np.linspace(0.001, 0.999, 333):
        covered = binom.pmf(counts, n, truth)[(low <= truth) & (truth <= high)].sum()
        assert covered >= level
    known = stats.clopper_pearson(1, 10, 0.95)  # tabulated: 0.0025 to 0.4450
    assert [float(edge) for edge in known] == pytest.approx([0.0025286, 0.4450161], abs=1e-6)


@pytest.mark.parametrize("given", [(-1, 10, 0.68), (11, 10, 0.68), (0, 0, 0.68), (np.nan, 5, 0.68), (1, 5, 68)])
def test_clopper_pearson_refuses_what_is_no_fraction(given):
    with pytest.raises(InputError, match="expected"):
        stats.clopper_pearson(*given)


def test_rejection_without_any_background_is_a_lower_limit_and_finite():
    labels = np.repeat([1, 0], [200, 1000])
    scores = np.concatenate([np.linspace(1, 2, 200), np.linspace(0, 0.9, 1000)])
    result = stats.rejection(labels, scores, eff=0.3)
    assert result.value == result.low == result.error == pytest.approx(1000 / 1.148, rel=1e-3)
    assert result.high == np.inf
    assert "lower limit" in result.definition
    assert result.to_dict()["high"] is None
    bootstrap = stats.rejection(labels, scores, eff=0.3, method="bootstrap")
    assert bootstrap.value == result.value
    assert np.isfinite([bootstrap.error, bootstrap.low, bootstrap.high]).all()
    assert bootstrap.error >= bootstrap.value
    curve = stats.roc(labels, scores)
    assert curve.rejection_at(0.3) == np.inf
    low, high = curve.interval_at(np.array([0.3, 0.9]))
    assert np.isfinite(low).all()
    assert np.isinf(high).all()


def test_few_background_events_are_said_so(binormal):
    labels, scores = binormal(2.5).draw(np.random.default_rng(7), 500, 500)
    assert "background events pass" in stats.rejection(labels, scores, eff=0.5).definition
    assert "background events pass" not in stats.rejection(labels, scores, eff=0.9).definition


def test_auc_of_perfect_blind_and_inverted_scores():
    labels = np.repeat([1, 0], 50)
    perfect = stats.auc(labels, labels)
    assert perfect.value == 1
    assert perfect.error == 0.01  # one misplaced event, never 0
    blind = stats.auc(labels, np.zeros(100))
    assert blind.value == 0.5
    assert stats.auc(labels, -labels).value == 0
    assert stats.roc(labels, np.zeros(100)).background_at(0.3) == pytest.approx(0.3)


def test_results_carry_floor_and_baseline(binormal):
    labels, scores = binormal(1.0).draw(np.random.default_rng(8), 100, 100)
    for result in (
        stats.auc(labels, scores, floor=0.76, baseline=0.6),
        stats.rejection(labels, scores, floor=0.76, baseline=0.6),
        stats.paired("auc", labels, scores, floor=0.76, baseline=0.6, n_boot=5),
    ):
        assert (result.floor, result.baseline, result.better) == (0.76, 0.6, "higher")


def test_accuracy_counts_and_knows_the_constant_answer():
    labels = np.repeat([1, 0], [30, 70])
    probabilities = np.where(np.arange(100) % 10 == 0, 1 - labels, labels) * 0.8 + 0.1
    result = stats.accuracy(labels, probabilities)
    assert result.value == pytest.approx(0.9)
    assert result.error == pytest.approx(0.03)
    assert result.baseline == pytest.approx(0.7)
    assert result.low < 0.9 < result.high
    assert stats.accuracy(labels, labels).error > 0  # all right, yet not known to be so for ever
    assert stats.paired("accuracy", labels, probabilities).value == pytest.approx(0.9)
    assert stats.accuracy([1, 0], [0.5, 0.5]).value == 0.5  # exactly at the threshold: background


def test_threshold_keeps_the_signal_it_promises(binormal):
    labels, scores = binormal(1.0).draw(np.random.default_rng(9), 1000, 1000)
    curve = stats.roc(labels, scores)
    cut = curve.threshold_at(0.5)
    assert (scores[labels == 1] >= cut).mean() == pytest.approx(0.5)
    assert curve.background_at(0.5) == pytest.approx((scores[labels == 0] >= cut).mean(), abs=2e-3)
    assert "AUC" in repr(curve)


BAD = {
    "nan": ([1, 0, 1], [0.1, np.nan, 0.3], None, r"scores holds 1 nan and 0 infinite of 3 values, first at index 1"),
    "inf": ([1, 0, 1], [0.1, 0.2, np.inf], None, r"0 nan and 1 infinite .* index 2"),
    "one class": ([1, 1, 1], [0.1, 0.2, 0.3], None, r"3 signal events and no background"),
    "no signal": ([0, 0], [0.1, 0.2], None, r"2 background events and no signal"),
    "empty": ([], [], None, r"labels is empty"),
    "lengths": ([1, 0, 1], [0.1, 0.2], None, r"scores has 2 entries, but there are 3 events"),
    "three classes": ([0, 1, 2], [0.1, 0.2, 0.3], None, r"labels holds 2 beside 0 and 1 .* labels == k"),
    "two columns": ([0, 1], [[0.1, 0.9], [0.2, 0.8]], None, r"scores has shape \(2, 2\)"),
    "text": ([0, 1], ["a", "b"], None, r"scores cannot be read as an array of numbers"),
    "negative weight": ([0, 1], [0.1, 0.2], [1.0, -1.0], r"weights holds 1 negative values, first at index 1"),
    "weightless class": ([0, 1, 1], [0.1, 0.2, 0.3], [0.0, 1, 1], r"weights of all 1 background events sum to 0"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("metric", [stats.roc, stats.auc])
def test_bad_input_is_refused_with_what_is_wrong_and_where(metric, case):
    labels, scores, weights, message = BAD[case]
    with pytest.raises(InputError, match=message):
        metric(labels, scores, weights)
    if case != "two columns":  # two rows of two scores are two trainings there
        with pytest.raises(InputError, match=message):
            stats.paired("auc", labels, scores, weights=weights)


def test_wrong_options_name_the_right_ones():
    labels, scores = [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]
    with pytest.raises(InputError, match="did you mean 'bootstrap'"):
        stats.auc(labels, scores, method="boostrap")
    with pytest.raises(InputError, match="clopper-pearson"):
        stats.rejection(labels, scores, method="clopper")
    for eff in (0, 1, 50, np.nan):
        with pytest.raises(InputError, match="between 0 and 1"):
            stats.rejection(labels, scores, eff=eff)
        with pytest.raises(InputError, match="between 0 and 1"):
            stats.paired("rejection", labels, scores, eff=eff)
    with pytest.raises(InputError, match="outside \\[0, 1\\], first 4 at index 1"):
        stats.accuracy(labels, [0.1, 4.0, 0.2, 0.3])
    with pytest.raises(InputError, match="from 0 to 1"):
        stats.roc(labels, scores).background_at(1.5)
    with pytest.raises(InputError, match="above 0"):
        stats.roc(labels, scores).threshold_at(0.0)
    assert issubclass(InputError, HepmlError)
