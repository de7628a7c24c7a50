"""The ratio by trees: one row with two weights is worth two rows, and the known ratio of two Gaussians is found."""

import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.unfolding.trees import TreeRatio, TreesConfig


@pytest.fixture
def rows():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3000, 2))
    return x, generator.random(3000), generator.random(3000) * np.exp(x[:, 0])


def test_a_row_with_two_weights_is_worth_two_rows(rows):
    x, w0, w1 = rows
    config = TreesConfig(trees=10, leaves=8, min_leaf=1)
    half = np.arange(3000) % 2
    train, val = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    once = TreeRatio(x, config).learn(train, val, w0, w1, seed=0)
    zero = np.zeros(3000)
    doubled = TreeRatio(np.concatenate([x, x]), config)
    both = np.concatenate([train, train + 3000])
    twice = doubled.learn(both, val, np.concatenate([w0, zero]), np.concatenate([zero, w1]), seed=0)
    assert once == pytest.approx(twice, rel=1e-3)


def test_rows_without_a_weight_are_not_looked_at(rows):
    x, w0, w1 = rows
    w0[:500] = w1[:500] = 0
    config, val = TreesConfig(trees=5), np.arange(2500, 3000)
    with_them, without = (TreeRatio(x, config).learn(np.arange(start, 2500), val, w0, w1, seed=0) for start in (0, 500))
    assert np.array_equal(with_them, without)


def test_the_ratio_of_two_gaussians_is_found_with_its_normalisation():
    generator = np.random.default_rng(1)
    x = np.concatenate([generator.normal(0, 1, 10_000), generator.normal(0.5, 1, 20_000)])[:, None]
    w0, w1 = (np.repeat(pair, (10_000, 20_000)).astype(float) for pair in ((3, 0), (0, 3)))
    order = generator.permutation(30_000)
    train, val = order[:20_000], order[20_000:]
    ratio = TreeRatio(x, TreesConfig(trees=40, leaves=8, min_leaf=200)).learn(train, val, w0, w1, seed=0)
    middle = np.abs(x[val, 0]) < 1.5
    exact = 2 * np.exp(0.5 * x[val, 0] - 0.125)
    assert np.log(ratio / exact)[middle].mean() == pytest.approx(0, abs=0.03)
    assert np.log(ratio / exact)[middle].std() < 0.1


def test_a_fold_without_one_class_is_refused(rows):
    x, w0, _ = rows
    with pytest.raises(InputError, match="no weight in one class"):
        TreeRatio(x, TreesConfig()).learn(np.arange(100), np.arange(100, 200), w0, 0 * w0, seed=0)
