"""The resonance toy: its density is one, its events follow it, and its optimum is not beaten."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kstest, spearmanr, t

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.simulate.dijets import features
from hepml_nb.simulate.resonance import REACH, ResonanceToy
from hepml_nb.stats import auc, sic

WINDOW = (3.3, 3.7)


@pytest.mark.parametrize("shift", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["background", "signal"])
def test_the_density_integrates_to_one(kind: str, shift: float):
    """By importance sampling from Student's t, with wide tails, in the coordinates of the mixtures."""
    toy, generator, n = ResonanceToy(shift), np.random.default_rng(0), 100_000
    centre, width = np.array([-2.2, -1.9, 0.1, -0.4]), np.array([0.9, 1.8, 1.3, 1.4])
    m = generator.uniform(*REACH, n)
    z = generator.standard_t(4, (n, 4))
    kept = (np.abs(z) < 15).all(axis=1)  # further out the densities are nothing, and 1 - tau21 cannot be told from 1
    u, m, proposal = (centre + width * z)[kept], m[kept], (t.logpdf(z, 4) - np.log(width)).sum(axis=1)[kept]
    x = np.column_stack([np.exp(u[:, :2]) + shift * m[:, None], expit(u[:, 2:])])
    volume = u[:, :2].sum(axis=1) + (np.log(x[:, 2:]) + np.log1p(-x[:, 2:])).sum(axis=1)  # log |dx / du|
    log = getattr(toy, f"log_{kind}")(m, x) + volume - proposal + np.log(REACH[1] - REACH[0])
    weights = np.append(np.exp(log), np.zeros(n - len(m)))
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(n)


def test_events_follow_the_density():
    """The mean log density of drawn events is the entropy of the density; masses pass a KS test."""
    toy = ResonanceToy()
    for draw, log, spectrum in zip(
        (toy.background, toy.signal), (toy.log_background, toy.log_signal), toy._spectra, strict=True
    ):
        table = draw(20_000, 1)
        assert kstest(table[:, 0], spectrum.cumulative).pvalue > 1e-3
        # shifting an event's features by a little and back leaves the expectation of a score function at 0
        step = 1e-4
        for column in range(4):
            up, down = (table[:, 1:].copy() for _ in range(2))
            up[:, column] *= 1 + step
            down[:, column] *= 1 - step
            # E[d log p / d log x] = -1 for any density that vanishes at the ends
            slope = (log(table[:, 0], up) - log(table[:, 0], down)) / (2 * step)
            assert abs(slope.mean() + 1) < 5 * slope.std() / np.sqrt(len(slope))


def test_draws_repeat_and_differ_by_seed_and_kind():
    toy = ResonanceToy()
    assert np.array_equal(toy.background(50, 3), toy.background(50, 3))
    assert not np.array_equal(toy.background(50, 3), toy.background(50, 4))
    inside = toy.signal(500, 0, WINDOW)[:, 0]
    assert inside.min() > WINDOW[0]
    assert inside.max() < WINDOW[1]
    share = np.mean((toy.background(50_000)[:, 0] > 3.3) & (toy.background(50_000)[:, 0] < 3.7))
    assert share == pytest.approx(toy.share(WINDOW)[0], abs=0.006)


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_no_score_beats_the_optimum(shift: float):
    """Neither the exact ratio of another shift nor any single feature; the quadrature has converged."""
    toy = ResonanceToy(shift)
    x = np.concatenate([toy.background(4000, 1, WINDOW), toy.signal(2000, 1, WINDOW)])[:, 1:]
    labels = np.repeat([0, 1], [4000, 2000])
    best = toy.optimal(x, WINDOW)
    top = auc(labels, best)
    wrong = toy.optimal(x + np.array([0.02, 0.02, 0, 0]), WINDOW)
    for other in (wrong, best + np.random.default_rng(0).normal(size=len(x)), *x.T, *-x.T):
        assert auc(labels, other).value < top.value
        assert sic(labels, other, eff_background=0.01).value < sic(labels, best, eff_background=0.01).value + 0.2
    assert np.abs(toy.optimal(x[::20], WINDOW, nodes=300) - best[::20]).max() < 0.01
    ratio = np.exp(toy.optimal(x[:4000], WINDOW))
    assert ratio.mean() == pytest.approx(1, abs=5 * ratio.std() / np.sqrt(4000))  # E_b[p_s / p_b] = 1


def test_features_follow_the_mass_as_weakly_as_in_the_twin():
    toy = ResonanceToy()
    table = toy.background(10_000, 2)
    records = data.load("lhco", profile="smoke").split("train")
    twin = features(records[np.asarray(records.label) == 0])
    twin = twin[twin[:, 0] > REACH[0]]
    for column in range(1, 5):
        ours, theirs = (spearmanr(one[:, 0], one[:, column]).statistic for one in (table, twin))
        assert abs(ours) < 0.1
        assert abs(ours - theirs) < 0.06
        spread = np.quantile(twin[:, column], [0.16, 0.5, 0.84])
        assert np.allclose(np.quantile(table[:, column], [0.16, 0.5, 0.84]), spread, rtol=0.12)


def test_shifted_features_follow_the_mass():
    table, plain = (ResonanceToy(shift).background(5000, 2) for shift in (0.1, 0.0))
    assert np.allclose(table[:, 1:3] - plain[:, 1:3], 0.1 * plain[:, :1])
    assert spearmanr(table[:, 0], table[:, 1]).statistic > 0.4


def test_bad_input():
    with pytest.raises(InputError, match="shift=nan"):
        ResonanceToy(float("nan"))
    with pytest.raises(InputError, match="between"):
        ResonanceToy().background(5, between=(9.0, 10.0))
    with pytest.raises(InputError, match="shape"):
        ResonanceToy().log_background(np.ones(3), np.ones((3, 2)))
    assert np.isneginf(ResonanceToy().log_background([3.5], [[-0.1, 0.1, 0.5, 0.5]])).all()
