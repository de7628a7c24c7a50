"""EagleEye: thresholds are exact, a local excess is found where it is, and its size is right within its error."""

import numpy as np
import pytest
from scipy.stats import binom

from hepml_nb.anomaly.eagleeye import EagleEyeConfig, eagle_eye, threshold
from hepml_nb.core import InputError, rng

CONFIG = EagleEyeConfig(neighbours=60, p_extreme=1e-4)
BUMP = np.array([1.5, 1.0])


def samples(seed, n=2000, planted=80):
    generator = rng(seed, "eagle")
    reference, background = generator.normal(size=(n, 2)), generator.normal(size=(n - planted, 2))
    return np.concatenate([background, generator.normal(BUMP, 0.05, (planted, 2))]), reference


@pytest.mark.parametrize("p", [0.5, 0.2])
def test_the_threshold_is_what_coins_exceed_with_the_stated_chance(p):
    config = EagleEyeConfig(neighbours=40, least=5, p_extreme=0.02)
    high, k = threshold(p, config), np.arange(5, 41)
    heads = np.cumsum(rng(0, "coins").random((20_000, 40)) < p, axis=1)[:, 4:]
    scores = -binom.logsf(heads - 1, k, p)
    assert (scores.max(axis=1) > high).mean() == pytest.approx(0.02, abs=0.004)


def test_without_a_signal_few_points_are_flagged_and_nothing_is_injected():
    eyes = [eagle_eye(*samples(seed, planted=0), CONFIG) for seed in range(4)]
    assert np.mean([(eye.over > eye.thresholds[0]).mean() for eye in eyes]) < 3e-3
    assert all(abs(eye.injected.value) < 3 * eye.injected.error + 0.005 for eye in eyes)


def test_a_local_excess_is_found_where_it_was_planted_with_its_size_and_purity():
    excess, planted = [], 80
    for seed in range(4):
        data, reference = samples(seed)
        eye = eagle_eye(data, reference, CONFIG)
        first = eye.excesses[0]
        assert np.linalg.norm(data[first.members].mean(axis=0) - BUMP) < 0.1
        true = (first.members >= len(data) - planted).mean()
        assert abs(first.purity.value - true) < 3 * first.purity.error
        assert abs(eye.injected.value - planted / len(data)) < 3 * eye.injected.error
        assert eye.injected.value == pytest.approx(sum(one.excess.value for one in eye.excesses) / len(data))
        assert data[np.argmax(eye.over)] == pytest.approx(BUMP, abs=0.4)
        excess.append(first.excess.value)
    assert np.mean(excess) == pytest.approx(planted, abs=15)


def test_a_deficit_of_data_is_an_excess_of_the_reference():
    data, reference = samples(1)
    eye, swapped = eagle_eye(reference, data, CONFIG), eagle_eye(data, reference, CONFIG)
    assert eye.deficits[0].members.tolist() == swapped.excesses[0].members.tolist()
    assert eye.deficits[0].others.tolist() == swapped.excesses[0].others.tolist()
    assert eye.under == pytest.approx(swapped.over)
    assert not eye.excesses or eye.excesses[0].excess.value < 20


def test_nobody_needs_units_and_the_answer_is_the_same_each_time():
    data, reference = samples(2)
    scaled = [one * [1000.0, 0.01] + [5.0, 3.0] for one in (data, reference)]
    assert eagle_eye(*scaled, CONFIG).over == pytest.approx(eagle_eye(data, reference, CONFIG).over)


def test_with_more_reference_than_data_the_excess_is_still_right():
    generator = rng(3, "more")
    data, _ = samples(3)
    eye = eagle_eye(data, generator.normal(size=(6000, 2)), CONFIG)
    assert abs(eye.injected.value - 0.04) < 3 * eye.injected.error


def test_after_equalising_no_neighbourhood_is_in_excess():
    data, reference = samples(0)
    eye = eagle_eye(data, reference, CONFIG)
    kept = np.setdiff1d(np.arange(len(data)), np.concatenate([one.pruned for one in eye.excesses]))
    again = eagle_eye(data[kept], reference, CONFIG)
    assert (again.over > again.thresholds[0]).sum() <= 0.2 * (eye.over > eye.thresholds[0]).sum()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: eagle_eye(np.ones((100, 2)), np.ones((100, 3)), CONFIG), "columns"),
        (lambda: eagle_eye(np.ones((100, 2)), np.ones((100, 2)), CONFIG), "constant"),
        (lambda: eagle_eye(np.ones((30, 2)), np.ones((100, 2)), CONFIG), "neighbours"),
        (lambda: eagle_eye([[np.nan, 1.0]] * 100, np.ones((100, 2)), CONFIG), "nan"),
        (lambda: EagleEyeConfig(neighbours=10), "least < neighbours"),
        (lambda: EagleEyeConfig(p_extreme=0.9), "p_extreme"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
