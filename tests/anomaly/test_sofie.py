"""Tagged against untagged: nothing is found where there is nothing, and a tagged resonance is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import kstest

from hepml_nb.anomaly.problems import toy
from hepml_nb.anomaly.sample import Bools, Floats
from hepml_nb.anomaly.sofie import TagScan, scan_tagged, tagged
from hepml_nb.core import InputError, rng

EDGES = np.linspace(2.0, 6.0, 41)


def background(seed: int, n: int = 8000, slope: float = 1.0) -> tuple[Floats, Bools]:
    """A falling spectrum whose share of tagged events, 5 % at 2 TeV, changes with the mass."""
    g = rng(seed, "background")
    mass = 2 + g.exponential(0.8, n)
    return mass, g.random(n) < 1 / (1 + np.exp(3 - slope * (mass - 2)))


def with_signal(seed: int, n: int) -> tuple[Floats, Bools]:
    mass, tags = background(seed)
    g = rng(seed, "signal")
    return np.append(mass, g.normal(3.5, 0.05, n)), np.append(tags, g.random(n) < 0.7)


def scanned(values: Floats, tags: Bools, **settings: int) -> TagScan:
    return scan_tagged(values, tags, EDGES, **{"toys": 100, "order": 1, **settings})


def test_without_signal_p_is_uniform():
    p = [scanned(*background(seed), seed=seed).global_p for seed in range(150)]
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_a_spectrum_of_any_shape_is_no_excess():
    # a bump of events that are tagged no more often than their neighbours
    g = rng(0, "bump")
    mass = np.append(background(0)[0], g.normal(3.0, 0.05, 2000))
    p = [scanned(mass, rng(i, "tags").random(len(mass)) < 0.1, seed=i).global_p for i in range(20)]
    assert min(p) > 0.005
    assert np.mean(p) == pytest.approx(0.5, abs=3 / np.sqrt(12 * 20))


def test_a_share_that_changes_needs_its_polynomial():
    values, tags = background(1, slope=2.0)
    assert scanned(values, tags, order=0).global_p < 0.02
    assert scanned(values, tags, order=1).global_p > 0.02


def test_a_tagged_resonance_is_found_where_it_is():
    found = scanned(*with_signal(2, 120), toys=500)
    assert found.global_p < 0.01
    assert found.excess.low < 3.5 < found.excess.high
    assert found.excess.observed - found.excess.expected == pytest.approx(0.7 * 120, abs=3 * np.sqrt(200))
    strengths = [scanned(*with_signal(3, n)).excess.z for n in (0, 60, 120, 240)]
    assert strengths == sorted(strengths)


def test_the_fit_is_the_likeliest():
    values, tags = background(4)
    found = scanned(values, tags, order=2)

    def likelihood(share: Floats) -> float:
        return float((found.counts * np.log(share) + (found.events - found.counts) * np.log(1 - share)).sum())

    assert (found.events * found.fraction).sum() == pytest.approx(found.counts.sum(), rel=1e-6)
    odds = found.fraction / (1 - found.fraction)
    at = np.linspace(-1, 1, len(odds))
    for bent in (at, at**2):
        for size in (-0.02, 0.02):
            other = odds * np.exp(size * bent)
            assert likelihood(other / (1 + other)) < likelihood(found.fraction)


def test_the_fit_is_found_where_hardly_any_event_is_tagged():
    # counts of simulated dijets with which whole steps of Newton's end far from the maximum
    n = [129, 386, 596, 804, 810, 779, 746, 628, 629, 483, 446, 416, 414, 319, 278, 256, 203, 172, 161, 177]
    n += [128, 110, 103, 101, 89, 64, 64, 41, 42, 48, 34, 38, 31, 32, 21, 23, 20, 14]
    k = [2, 1, 6, 15, 15, 15, 9, 16, 12, 22, 29, 23, 18, 13, 13, 15, 13, 13, 16, 6]
    k += [9, 14, 10, 8, 9, 9, 10, 9, 7, 11, 8, 10, 7, 10, 11, 7, 6, 5]
    edges = np.arange(39.0)
    mass = np.repeat(edges[:-1] + 0.5, n)
    tags = np.concatenate([np.arange(every) < some for every, some in zip(n, k, strict=True)])
    found = scan_tagged(mass, tags, edges, order=3, toys=50)
    x = np.vander(np.linspace(-1, 1, len(n)), 4)

    def minus_log(theta: Floats) -> float:
        return float((found.events * np.logaddexp(0, x @ theta) - found.counts * (x @ theta)).sum())

    best = minimize(minus_log, np.array([0.0, 0.0, 0.0, -3.0]), method="BFGS", tol=1e-9).fun
    odds = np.log(found.fraction / (1 - found.fraction))
    ours = float((found.events * np.logaddexp(0, odds) - found.counts * odds).sum())
    assert ours == pytest.approx(best, abs=0.01)


def test_prongs_lead_to_the_mass_that_nobody_told():
    problem = toy(40_000, 800, 5, pure_background=100, pure_signal=100, test_background=100, test_signal=100)
    data = np.concatenate([problem.sideband.features, problem.signal_region.features])
    mass = np.concatenate([problem.sideband.mjj, problem.signal_region.mjj])
    found = scan_tagged(mass, tagged(-data[:, 2:].sum(axis=1), 0.05), np.linspace(mass.min(), mass.max(), 41), toys=200)
    assert found.global_p < 0.05
    assert found.excess.low < 3.6
    assert found.excess.high > 3.4


def test_tagging_takes_a_share_and_refuses_what_is_none():
    scores = rng(6, "scores").random(10_000)
    tags = tagged(scores, 0.1)
    assert tags.sum() == 1000
    assert scores[tags].min() > scores[~tags].max()
    for efficiency, some in ((0.0, scores), (1.0, scores), (0.1, np.array([np.nan, 1.0]))):
        with pytest.raises(InputError, match="efficiency"):
            tagged(some, efficiency)


def test_bad_input_is_refused():
    values, tags = background(7)
    with pytest.raises(InputError, match="bool"):
        scan_tagged(values, tags[:-1], EDGES)
    with pytest.raises(InputError, match="rising"):
        scan_tagged(values, tags, EDGES[::-1])
    with pytest.raises(InputError, match="untagged"):
        scan_tagged(values, np.ones(len(values), bool), EDGES)
    with pytest.raises(InputError, match="coefficients"):
        scan_tagged(values, tags, EDGES[:4], order=4, widest=2)
