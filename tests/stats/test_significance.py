"""Significance improvement: known values, errors that cover, pairing, and cuts that are stated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hepml_nb.core import InputError
from hepml_nb.stats import claim, max_sic, paired_ratio, paired_sic, sic, sic_curve


def _sample(n: int, seed: int, shift: float = 2.0):
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [n, n // 4])
    return labels, generator.normal(size=len(labels)) + shift * labels


def test_gaussians_have_their_known_sic_with_an_error_that_covers():
    eff = 1e-2
    true = norm.sf(norm.isf(eff) - 2) / np.sqrt(eff)
    made = [sic(*_sample(8000, seed), eff_background=eff) for seed in range(40)]
    values = np.array([one.value for one in made])
    assert values.mean() == pytest.approx(true, abs=4 * values.std() / np.sqrt(40))
    assert np.mean([one.error for one in made]) == pytest.approx(values.std(), rel=0.3)
    assert made[0].baseline == pytest.approx(0.1)
    assert made[0].n == 8000


def test_a_random_score_has_its_baseline_and_a_perfect_one_the_most():
    labels, _ = _sample(20_000, 0)
    noise = np.random.default_rng(1).normal(size=len(labels))
    random = sic(labels, noise, eff_background=0.01)
    assert abs(random.value - 0.1) < 4 * random.error
    assert sic(labels, labels, eff_background=0.01).value == pytest.approx(10)


def test_paired_agrees_with_the_single_number_and_its_error():
    labels, scores = _sample(20_000, 3)
    alone, paired = sic(labels, scores), paired_sic(labels, scores, n_boot=200)
    assert paired.value == pytest.approx(alone.value, rel=1e-9)
    assert paired.error == pytest.approx(alone.error, rel=0.35)
    assert paired.replicas.shape == (1, 200)


def test_trainings_are_summarised_and_claims_work():
    labels, scores = _sample(10_000, 4)
    generator = np.random.default_rng(0)
    good = [scores + 0.1 * generator.normal(size=len(scores)) for _ in range(5)]
    bad = [scores + 1.5 * generator.normal(size=len(scores)) for _ in range(5)]
    a, b = (paired_sic(labels, some, eff_background=0.01) for some in (good, bad))
    assert a.low < a.value < a.high
    assert "median" in a.definition
    assert a.seeds == 5
    assert claim("good beats bad", a, b).outcome == "holds"
    ratio = paired_ratio(b, a)
    assert ratio.value == pytest.approx(b.value / a.value)
    assert ratio.error < b.error / a.value + a.error * b.value / a.value**2
    assert paired_ratio(a, a).value == 1


def test_the_greatest_states_its_cut_and_keeps_its_background():
    labels, scores = _sample(20_000, 5)
    most = max_sic(labels, scores, min_background=100)
    cut = float(most.definition.split("at eB = ")[1].split(",")[0])
    assert cut * 20_000 >= 99.5
    assert sic(labels, scores, eff_background=cut).value == pytest.approx(most.value, rel=0.02)
    assert max_sic(labels, scores, min_background=1).value >= most.value
    assert max_sic(labels, np.zeros(len(labels))).value == pytest.approx(1)


def test_the_curve_is_that_of_its_points():
    labels, scores = _sample(5000, 6)
    curve = sic_curve(labels, scores, points=20)
    for eff, value in zip(curve.eff_background[5:-1], curve.sic[5:-1], strict=True):
        assert sic(labels, scores, eff_background=eff).value == pytest.approx(value)
    assert curve.sic[-1] == pytest.approx(1)
    assert curve.eff_signal[-1] == pytest.approx(1)


def test_bad_input():
    labels, scores = _sample(100, 0)
    for eff in (0, 1, -1):
        with pytest.raises(InputError, match="efficiency"):
            sic(labels, scores, eff_background=eff)
        with pytest.raises(InputError, match="efficiency"):
            paired_sic(labels, scores, eff_background=eff)
    with pytest.raises(InputError, match="min_background"):
        max_sic(labels, scores, min_background=101)
    with pytest.raises(InputError, match="nan"):
        sic(labels, np.full(len(labels), np.nan))
    with pytest.raises(InputError, match="paired"):
        paired_ratio(sic(labels, scores), sic(labels, scores))
    assert "only" in sic(labels, scores, eff_background=0.01).definition
