"""The battery: each statistic against another way to compute it, uniform p-values, and power at a planted signal."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import ks_2samp, wasserstein_distance

from hepml_nb.anomaly import twosample
from hepml_nb.anomaly.pseudo import uniform
from hepml_nb.anomaly.twosample import TESTS, battery, statistic
from hepml_nb.core import InputError, NotFound, rng

CHEAP = ("sliced-wasserstein", "mean-ks", "sliced-ks", "frechet", "mmd")


def pair(seed, n=150, d=3, planted=0, m=None):
    generator = rng(seed, "pair")
    x = np.concatenate([generator.normal(size=(n - planted, d)), generator.normal(1.5, 0.3, (planted, d))])
    return x, generator.normal(size=(m or n, d))


def pooled(x, y):
    both = np.concatenate([x, y])
    both = both / both.std(axis=0)
    return both[: len(x)], both[len(x) :]


def test_one_dimensional_statistics_are_scipys():
    x, y = pair(0, 120, 1, m=170)
    a, b = (one[:, 0] for one in pooled(x, y))
    assert statistic("sliced-wasserstein", x, y) == pytest.approx(wasserstein_distance(a, b))
    scale = np.sqrt(120 * 170 / 290)
    assert statistic("mean-ks", x, y) == pytest.approx(ks_2samp(a, b).statistic * scale)
    assert statistic("sliced-ks", x, y) == pytest.approx(ks_2samp(a, b).statistic * scale)


def test_mean_ks_is_the_mean_of_the_columns():
    x, y = pair(1)
    by_column = [ks_2samp(x[:, j], y[:, j]).statistic for j in range(3)]
    assert statistic("mean-ks", x, y) == pytest.approx(np.mean(by_column) * np.sqrt(75))


def test_frechet_and_mmd_are_those_of_their_definitions():
    x, y = pair(2, 60, m=80)
    a, b = pooled(x, y)
    labels = (np.arange(140) < 60)[None]
    both = np.concatenate([a, b])
    ca, cb = np.cov(a.T), np.cov(b.T)
    exact = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert twosample._gaussian_distance(both, labels, ~labels)[0] == pytest.approx(exact)
    a, b = a - both.mean(axis=0), b - both.mean(axis=0)
    aa, bb, ab = (((u @ v.T / 3) + 1) ** 4 for u, v in ((a, a), (b, b), (a, b)))
    inside = (aa.sum() - np.trace(aa)) / (60 * 59) + (bb.sum() - np.trace(bb)) / (80 * 79)
    assert statistic("mmd", x, y) == pytest.approx(inside - 2 * ab.mean())


def test_unbiased_distances_scatter_around_zero_without_a_difference():
    for name in ("frechet", "mmd"):
        values = [statistic(name, *pair(seed, 400)) for seed in range(40)]
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(40)


@pytest.mark.parametrize("name", CHEAP)
def test_p_values_are_uniform_without_a_difference(name):
    p = [battery(*pair(seed), [name], permutations=60, seed=seed)[name].p.value for seed in range(60)]
    assert uniform(p) > 0.005


@pytest.mark.parametrize("name", [*CHEAP, "nplm"])
def test_a_planted_cluster_is_seen(name):
    x, y = pair(3, 400, planted=60)
    one = battery(x, y, [name], permutations=39)[name]
    assert one.p.value == pytest.approx(1 / 40)
    assert one.statistic.value > one.statistic.floor + 2 * one.statistic.error
    assert one.seconds > 0


def test_nplms_p_values_are_uniform_without_a_difference():
    p = [battery(*pair(seed, 60), ["nplm"], permutations=19, seed=seed)["nplm"].p.value for seed in range(16)]
    assert uniform(p) > 0.005


def test_the_classifier_tells_far_samples_apart_and_no_others():
    x, y = pair(4, 30, 1)
    assert statistic("c2st", x, y) < 0.7
    far = battery(x, y[:25] + 6.0, ["c2st"])["c2st"]
    assert far.p.value < 1e-6
    assert far.statistic.value > 0.9
    assert far.p.n == 50


def test_the_battery_is_the_same_for_the_same_seed_and_in_other_units():
    x, y = pair(5)
    once = battery(x, y, CHEAP, permutations=20, seed=3)
    again = battery(x * [10, 1, 0.1], y * [10, 1, 0.1], CHEAP, permutations=20, seed=3)
    for name in CHEAP:
        assert again[name].statistic.value == pytest.approx(once[name].statistic.value, rel=1e-6, abs=1e-9)
        assert again[name].p.value == once[name].p.value


def test_bad_input_is_one_clear_error():
    x, y = pair(6)
    with pytest.raises(InputError, match="columns"):
        battery(x, y[:, :2])
    with pytest.raises(InputError, match="the same for all"):
        battery(np.ones((5, 1)), np.ones((5, 1)))
    with pytest.raises(InputError, match="nan"):
        battery(np.full((5, 3), np.nan), y)
    with pytest.raises(InputError, match="permutations"):
        battery(x, y, permutations=5)
    with pytest.raises(NotFound, match="mmd"):
        battery(x, y, ["mdm"])
    with pytest.raises(NotFound, match="mmd"):
        statistic("mmmd", x, y)
    assert list(TESTS)[-1] == "c2st"
