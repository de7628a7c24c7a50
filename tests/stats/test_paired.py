"""The paired bootstrap and claims: same draws for all methods, errors that cover, honest outcomes."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hepml_nb import stats
from hepml_nb.core import InputError, Result
from hepml_nb.stats.intervals import gaussian_sigma


def scores_of(toy, seed, n=2000, trainings=3, gain=0.0, spread=0.05):
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0], n // 2)
    shared = np.random.default_rng(0).normal(size=n)
    return labels, toy.trainings(rng, labels, shared, gain, spread, trainings)


@pytest.mark.parametrize("weighted", [False, True])
def test_fast_replicas_equal_the_metric_on_the_drawn_events(binormal, weighted):
    labels, scores = scores_of(binormal(1.0), 1, n=300, trainings=2)
    scores = [np.round(s, 1) for s in scores]
    weights = np.random.default_rng(2).exponential(size=300) if weighted else None
    fast = stats.paired_summary(labels, scores, effs=(0.4,), n_boot=7, seed=5, weights=weights)
    sample = stats.resample.TestSample.read(
        labels, scores, weights=weights, events=None, n_boot=7, seed=5, deterministic=False
    )
    ((_, signal, background),) = sample.draws()
    assert (signal.sum(axis=1) == 150).all()
    assert (background.sum(axis=1) == 150).all()
    for t in range(2):
        for r in range(7):
            counts = np.concatenate([signal[r], background[r]]) * (1 if weights is None else weights)
            assert fast["auc"].replicas[t, r] == pytest.approx(stats.roc(labels, scores[t], counts).auc, abs=1e-12)
            background_eff = stats.roc(labels, scores[t], counts).background_at(0.4)
            assert 1 / fast["rejection.eff40"].replicas[t, r] == pytest.approx(background_eff, abs=1e-12)


def test_a_function_of_ones_own_gives_the_same_draws(binormal):
    labels, scores = scores_of(binormal(1.0), 3, n=200, trainings=2)
    fast = stats.paired("auc", labels, scores, n_boot=5)
    slow = stats.paired(lambda y, s: stats.roc(y, s).auc, labels, scores, n_boot=5, name="area")
    np.testing.assert_allclose(slow.replicas, fast.replicas, atol=1e-12)
    assert slow.definition == "own area; mean of 2 trainings"
    assert slow.pairing != fast.pairing
    with pytest.raises(InputError, match="sees none"):
        stats.paired(lambda y, s: 0.0, labels, scores, weights=np.ones(200))
    with pytest.raises(InputError, match="not finite on 5 of 5"):
        stats.paired(lambda y, s: np.nan if len(set(s)) < 200 else 0.5, labels, scores, n_boot=5)


def test_draws_do_not_depend_on_the_chunk(binormal, monkeypatch):
    labels, scores = scores_of(binormal(1.0), 4, n=400)
    whole = stats.paired("auc", labels, scores, n_boot=9)
    monkeypatch.setattr("hepml_nb.stats.resample._CHUNK", 1000)
    np.testing.assert_allclose(stats.paired("auc", labels, scores, n_boot=9).replicas, whole.replicas, rtol=1e-14)


def test_summary_equals_the_single_results(binormal):
    labels, scores = scores_of(binormal(1.5), 5)
    summary = stats.paired_summary(labels, scores, effs=(0.5, 0.3), n_boot=20)
    assert list(summary) == ["auc", "rejection.eff50", "rejection.eff30"]
    assert summary["auc"] == stats.paired("auc", labels, scores, n_boot=20)
    one = stats.paired("rejection", labels, np.stack(scores), eff=0.3, n_boot=20)
    assert summary["rejection.eff30"] == one
    assert summary["rejection.eff30"].pairing == one.pairing


def test_value_is_the_mean_over_trainings_and_the_error_holds_both_terms(binormal):
    labels, scores = scores_of(binormal(1.0), 6, spread=0.5)
    result = stats.paired("auc", labels, scores)
    values = np.array([stats.auc(labels, s).value for s in scores])
    assert result.value == pytest.approx(values.mean())
    assert result.seeds == 3
    assert result.replicas.shape == (3, 200)
    expected = result.replicas.mean(axis=0).var(ddof=1) + values.var(ddof=1) / 3
    assert result.error == pytest.approx(np.sqrt(expected))


@pytest.mark.parametrize("metric", ["auc", "rejection"])
def test_paired_error_covers_the_truth_over_toys(binormal, metric):
    toy, rng = binormal(1.2), np.random.default_rng(7)
    truth = toy.auc if metric == "auc" else 1 / toy.background(0.5)
    pulls = []
    for i in range(150):
        labels, scores = toy.draw(rng, 400, 400)
        result = stats.paired(metric, labels, scores, n_boot=60, seed=i)
        pulls.append((result.value - truth) / result.error)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.15)
    assert 0.55 < np.mean(np.abs(pulls) < 1) < 0.8


@pytest.mark.parametrize("metric", ["auc", "rejection"])
@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_equal_methods_are_seldom_told_apart(binormal, metric, spread):
    toy, rng, outcomes = binormal(1.5), np.random.default_rng(8), []
    labels = np.repeat([1, 0], 300)
    for i in range(100):
        shared = rng.normal(size=600)
        a, b = (
            stats.paired(metric, labels, toy.trainings(rng, labels, shared, 0.0, spread), n_boot=60, seed=i)
            for _ in range(2)
        )
        outcomes.append(stats.claim("a beats b", a, b).outcome)
    # one side of 2 sigma is 2.3 %: of 100 toys more than 7 would be a 3 sigma excess
    assert outcomes.count("holds") <= 7
    assert outcomes.count("reversed") <= 7


@pytest.mark.parametrize("metric", ["auc", "rejection"])
def test_a_better_method_is_recognised_and_the_opposite_claim_reversed(binormal, metric):
    toy = binormal(1.5)
    labels, weak = scores_of(toy, 9)
    _, strong = scores_of(toy, 10, gain=0.5)
    a, b = stats.paired(metric, labels, strong), stats.paired(metric, labels, weak)
    good, bad = stats.claim("strong beats weak", a, b), stats.claim("weak beats strong", b, a)
    assert (good.outcome, bad.outcome) == ("holds", "reversed")
    assert good.sigma == pytest.approx(-bad.sigma)
    assert good.difference == pytest.approx(a.value - b.value)
    assert bad.difference == pytest.approx(-good.difference)
    assert stats.claim("the same", a, a).outcome == "consistent"
    assert stats.claim("strong beats weak", a, b, sigma=1000).outcome == "consistent"


def test_pairing_sees_differences_that_unpaired_errors_hide(binormal):
    labels, weak = scores_of(binormal(1.5), 11, spread=0.0)
    better = [s + 0.08 * labels for s in weak]
    a, b = stats.paired("auc", labels, better), stats.paired("auc", labels, weak)
    assert a.value - b.value < 2 * np.hypot(a.error, b.error)
    # the same trainings with a little more power: the difference has nearly no test noise, and the trainings' own
    # spread is paid for in full
    assert stats.claim("better", a, b).error < 0.7 * np.hypot(a.error, b.error)


def test_lower_is_better_turns_the_claim(binormal):
    labels, weak = scores_of(binormal(1.0), 12, n=400)
    _, strong = scores_of(binormal(1.0), 13, n=400, gain=1.5)

    def loss(y, s):
        return 1 - stats.roc(y, s).auc

    a, b = (stats.paired(loss, labels, s, n_boot=30, better="lower") for s in (strong, weak))
    assert stats.claim("strong loses less", a, b).outcome == "holds"
    target = stats.paired(loss, labels, weak, n_boot=30, better="target")
    with pytest.raises(InputError, match="'higher' or 'lower'"):
        stats.claim("nearer", target, target)


def test_a_cut_against_three_trainings_needs_no_more(binormal):
    labels, scores = scores_of(binormal(1.5), 14)
    cut = stats.paired("auc", labels, scores[0] + np.random.default_rng(1).normal(size=len(labels)), deterministic=True)
    network = stats.paired("auc", labels, scores)
    assert cut.seeds == 0
    assert stats.claim("network beats cut", network, cut).outcome == "holds"
    assert stats.claim("cut is itself", cut, cut).sigma == 0
    single = stats.paired("auc", labels, scores[0])
    assert stats.claim("mean equals one", network, single).outcome == "consistent"
    with pytest.raises(InputError, match=r"three trainings \(a has 1\); train with three seeds"):
        stats.claim("too few", single, cut)
    with pytest.raises(InputError, match=r"a has 2 and b has 1"):
        stats.claim("too few", stats.paired("auc", labels, scores[:2]), single)
    with pytest.raises(InputError, match="a method without randomness has one"):
        stats.paired("auc", labels, scores, deterministic=True)


def test_rejections_without_background_make_no_certain_claim(binormal):
    labels = np.repeat([1, 0], [300, 300])
    rng = np.random.default_rng(15)
    clean = [labels + 0.1 * rng.random(600) for _ in range(3)]
    nearly = [s.copy() for s in clean]
    for s in nearly:
        s[300] = 1.2  # one background event passes every cut
    a, b = (stats.paired("rejection", labels, s, eff=0.3) for s in (clean, nearly))
    assert np.isfinite(a.replicas).all()
    assert a.error >= a.value
    assert stats.claim("none against one", a, b).outcome == "consistent"
    poor = [s + 1.05 * (1 - labels) * (rng.random(600) < 0.5) for s in clean]
    assert stats.claim("none against many", a, stats.paired("rejection", labels, poor, eff=0.3)).outcome == "holds"


def test_results_that_are_not_paired_are_refused(binormal):
    labels, scores = scores_of(binormal(1.0), 16, n=200)
    a = stats.paired("auc", labels, scores, n_boot=10)
    others = {
        "another test set": stats.paired("auc", labels[::-1], scores, n_boot=10),
        "another seed": stats.paired("auc", labels, scores, n_boot=10, seed=1),
        "another metric": stats.paired("rejection", labels, scores, n_boot=10),
        "other weights": stats.paired("auc", labels, scores, n_boot=10, weights=np.full(200, 2.0)),
        "other events": stats.paired("auc", labels, scores, n_boot=10, events=np.arange(200)),
    }
    for other in others.values():
        with pytest.raises(InputError, match="not paired"):
            stats.claim("x", a, other)
    at50, at30 = (stats.paired("rejection", labels, scores, n_boot=10, eff=e) for e in (0.5, 0.3))
    with pytest.raises(InputError, match="not paired"):
        stats.claim("x", at50, at30)
    with pytest.raises(InputError, match=r"result b .* carries no bootstrap replicas"):
        stats.claim("x", a, Result.from_dict(a.to_dict()))
    with pytest.raises(InputError, match="carries no bootstrap replicas"):
        stats.claim("x", stats.auc(labels, scores[0]), a)


def test_wrong_scores_of_one_training_are_named(binormal):
    labels, scores = scores_of(binormal(1.0), 17, n=100)
    with pytest.raises(InputError, match=r"scores\[2\] holds 1 nan"):
        stats.paired("auc", labels, [*scores[:2], np.where(np.arange(100) == 4, np.nan, scores[2])])
    with pytest.raises(InputError, match=r"scores\[1\] has 99 entries"):
        stats.paired("auc", labels, [scores[0], scores[1][:-1]])
    with pytest.raises(InputError, match="scores is empty"):
        stats.paired("auc", labels, [])
    with pytest.raises(InputError, match="n_boot=1"):
        stats.paired("auc", labels, scores, n_boot=1)
    with pytest.raises(InputError, match="did you mean 'rejection'"):
        stats.paired("rejecton", labels, scores)


def test_lists_arrays_and_single_trainings_are_the_same_to_it(binormal):
    labels, scores = scores_of(binormal(1.0), 18, n=100)
    one = stats.paired("auc", labels, scores[0], n_boot=5)
    assert stats.paired("auc", list(labels), list(scores[0]), n_boot=5) == one
    assert stats.paired("auc", labels, [scores[0]], n_boot=5) == one
    assert stats.paired("auc", labels, scores[0][None], n_boot=5) == one
    assert stats.paired("auc", labels, scores, n_boot=5) == stats.paired("auc", labels, np.array(scores), n_boot=5)


def test_three_trainings_of_60k_events_take_seconds(binormal):
    labels, scores = scores_of(binormal(2.0), 19, n=60_000)
    start = time.process_time()
    stats.paired_summary(labels, scores)
    assert time.process_time() - start < 10  # 1 s on an idle core


def test_few_trainings_cost_significance():
    assert gaussian_sigma(2.0, 1e6) == pytest.approx(2.0, abs=1e-4)
    assert gaussian_sigma(2.0, 4) == pytest.approx(1.57, abs=0.01)
    assert gaussian_sigma(-2.0, 4) == pytest.approx(-1.57, abs=0.01)
    assert gaussian_sigma(np.inf, 4) == 37
    assert gaussian_sigma(1e9, 300) == pytest.approx(37, abs=0.1)
