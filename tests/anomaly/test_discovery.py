from functools import partial

import numpy as np
import pytest
from scipy.stats import kstest

from hepml_nb.anomaly import Events, Window, make
from hepml_nb.anomaly.background import dijet, fit_background
from hepml_nb.anomaly.discovery import chain, count_and_compare, search
from hepml_nb.anomaly.spectrum import fill
from hepml_nb.core import InputError

WINDOWS = [Window(low, round(low + 0.4, 1), (2.7, 7.0)) for low in (3.1, 3.3, 3.5, 3.7)]


def masses(n, seed):
    grid = np.linspace(2.7, 7.0, 4001)
    rising = np.cumsum(dijet(grid, (1.0, 10.0, 5.0)))
    generator = np.random.default_rng(seed)
    return np.interp(generator.random(generator.poisson(n)), rising / rising[-1], grid), generator


def test_global_p_values_without_signal_are_uniform_and_local_ones_are_not_too_small(edges):
    found, local, trials = [], [], []
    for seed in range(100):
        m, generator = masses(8000, seed)
        shared = generator.random(len(m))  # windows agree on half of the events
        scores = [np.where(generator.random(len(m)) < 0.5, shared, generator.random(len(m))) for _ in WINDOWS]
        one = search(m, scores, WINDOWS, edges, efficiencies=(1.0, 0.1, 0.02), toys=200, seed=seed)
        found.append(one.global_p)
        local.append(one.p)
        trials.append(one.trials)
    assert kstest(found, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(local) < 0.05) < 0.08
    assert 4 < np.mean(trials) < 12  # of twelve cells, some of them with the same events


def with_signal(seed=1, n=8000, signal=60):
    m, generator = masses(n, seed)
    score = np.r_[generator.random(len(m)), 1 - 0.02 * generator.random(signal)]
    return np.r_[m, generator.normal(3.5, 0.08, signal)], score


def test_a_signal_is_found_in_its_window_after_the_cut_and_not_before(edges):
    m, score = with_signal()
    found = search(m, [score] * 4, WINDOWS, edges, efficiencies=(1.0, 0.02), toys=300)
    assert found.best[1] == 1
    assert found.windows[found.best[0]].low in (3.1, 3.3)
    assert found.z[1, 0] < 3 < 5 < found.z[1, 1]
    assert found.p.min() < found.global_p < 100 * found.p.min()
    assert found.global_z > 4


def test_the_cut_keeps_its_share_of_the_sideband_and_the_fit_is_the_packages(edges):
    m, score = with_signal()
    found = search(m, [score] * 4, WINDOWS, edges, efficiencies=(0.1,), toys=20)
    beside = ~WINDOWS[1].inside(m)
    cut = np.quantile(score[beside], 0.9)
    passed = m[score > cut]
    fit = fit_background(fill(passed, edges), 3, WINDOWS[1])
    assert np.isclose(found.expected[1, 0], fit.within(WINDOWS[1])[0])
    assert found.observed[1, 0] == WINDOWS[1].inside(passed).sum()
    assert found.limit(1, 0).observed > found.limit(1, 0, share=1.0, level=0.9).observed


def test_scores_that_tell_nothing_apart_leave_a_random_share(edges):
    m, _ = with_signal(n=20_000, signal=0)
    found = search(m, [np.full(len(m), 0.5)] * 4, WINDOWS, edges, efficiencies=(0.1,), toys=20)
    everything = search(m, [m] * 4, WINDOWS, edges, efficiencies=(1.0,), toys=1)
    assert np.allclose(found.expected, 0.1 * everything.expected, rtol=0.15)
    assert len(set(found.observed[:, 0])) > 1  # each window its own share


def test_a_cut_that_leaves_too_little_is_left_out(edges):
    m, score = with_signal(n=2000)
    found = search(m, [score] * 4, WINDOWS, edges, efficiencies=(0.2, 0.001), toys=20)
    assert np.isnan(found.expected[:, 1]).all()
    assert (found.p[:, 1] == 1).all()
    with pytest.raises(InputError, match="window 0, cut 1 has no fit"):
        found.limit(0, 1)


def test_the_chain_finds_a_signal_with_trained_scores_and_repeats(edges):
    m, generator = masses(3000, 3)
    m = np.r_[m, generator.normal(3.5, 0.08, 150)]
    x = np.r_[generator.normal(0, 1, (len(m) - 150, 2)), generator.normal(2.5, 0.3, (150, 2))]
    method = partial(make, "cwola", members=2, trees=30)
    settings = {"efficiencies": (0.05, 0.02), "folds": 2, "toys": 100}
    found, again = (chain(Events(m, x), WINDOWS[1:2], method, edges, **settings) for _ in range(2))
    assert found.global_z > 4
    assert (found.p == again.p).all()
    assert (found.smallest == again.smallest).all()


def test_counting_against_a_reference_needs_no_spectrum():
    generator = np.random.default_rng(0)
    p = []
    for _ in range(300):
        reference, data = generator.random(4000), generator.random(generator.poisson(2000))
        p.append([one.p for one in count_and_compare(data, reference, 2000.0, 20.0, (0.1, 0.02))])
    assert kstest(np.array(p)[:, 0], "uniform").pvalue > 0.001
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.08
    louder = np.r_[data, np.full(40, 0.999)]
    assert count_and_compare(louder, reference, 2000.0, 20.0, (0.01,))[0].z > 4


def test_bad_input_is_refused(edges):
    m, score = with_signal(n=2000)
    with pytest.raises(InputError, match="1 windows and 2 arrays of scores"):
        search(m, [score] * 2, WINDOWS[:1], edges)
    with pytest.raises(InputError, match="scores have shape"):
        search(m, [score[:5]], WINDOWS[:1], edges)
    with pytest.raises(InputError, match=r"efficiencies=\(2\.0,\)"):
        search(m, [score], WINDOWS[:1], edges, efficiencies=(2,))
    with pytest.raises(InputError, match="does not begin and end at bin edges"):
        search(m, [score], [Window(3.33, 3.7)], edges)
    with pytest.raises(InputError, match="lies outside of the spectrum"):
        search(m, [score], [Window(8.0, 8.4)], edges)
    with pytest.raises(InputError, match="no window could be fitted after any cut"):
        search(m, [score], WINDOWS[:1], edges, efficiencies=(1e-3,))
    with pytest.raises(InputError, match="leaves 0; at least 1 is needed"):
        count_and_compare(score, score[:50], 100.0, efficiencies=(1e-3,))
