"""A generated reference: its bootstrap covers what its training events do not say, other seeds alone do not."""

import numpy as np
import pytest

from hepml_nb.anomaly.generated import generated, shape_modes
from hepml_nb.anomaly.nplm import NPLM
from hepml_nb.anomaly.nuisances import Nuisances
from hepml_nb.core import InputError, rng
from hepml_nb.simulate.exponential import ExponentialToy

TOY = ExponentialToy(expected=500)


class Exponential:
    """An exponential with the training events' mean: a generative model of one parameter."""

    def __init__(self, events, seed):
        self.mean = float(events.mean())

    def log_prob(self, x):
        return -x[:, 0] / self.mean - np.log(self.mean)

    def sample(self, n, seed):
        return rng(seed, "exponential").exponential(self.mean, (n, 1))


def made(train, ensemble="bootstrap", **settings):
    return generated(train, Exponential, 5000, ensemble=ensemble, **settings)


def test_one_parameter_is_one_direction_with_its_statistical_error():
    found = made(TOY.background(400, 1), members=60)
    assert len(found.shapes) == 1
    x = np.linspace(0.3, 3, 8)[:, None]
    mode = found.shapes["mode 1"].terms(x)[0]
    exact = (x[:, 0] - 1) / np.sqrt(400)  # d log p / d log mean, times the relative error of the mean
    assert np.abs(mode) == pytest.approx(np.abs(exact), abs=0.025)


def test_a_mode_keeps_the_number_of_events():
    found = made(TOY.background(400, 1))
    linear, quadratic = found.shapes["mode 1"].terms(found.events)
    for nu in (-1.0, 2.0):
        assert np.exp(nu * linear + nu**2 * quadratic).mean() == pytest.approx(1, abs=0.01)


def test_shares_fall_and_hold_what_was_asked_for():
    generator, x = rng(1, "modes"), TOY.background(2000, 4)
    scatter = np.column_stack([x[:, 0], 0.2 * np.sin(x[:, 0]), 0.01 * x[:, 0] ** 2])
    shapes, shares = shape_modes(generator.normal(size=(40, 3)) @ scatter.T, x, 0.99)
    assert list(shapes) == [f"mode {j + 1}" for j in range(len(shares))]
    assert shares.sum() >= 0.99
    assert (np.diff(shares) < 0).all()


def test_the_bootstrap_explains_what_a_wrong_mean_does_and_seeds_explain_nothing():
    t = {"ignored": [], "bootstrap": []}
    for i in range(6):
        found = made(TOY.background(150, 20 + i))
        for name, nuisances in (("ignored", None), ("bootstrap", Nuisances(found.shapes, {}))):
            test = NPLM(found.events, TOY.expected, nuisances=nuisances)
            t[name] += [test.test(TOY.data(rng(i, "data", j))).t for j in range(3)]
    assert np.mean(t["bootstrap"]) < np.mean(t["ignored"]) - 2
    same = made(TOY.background(400, 1), "seeds").shapes["mode 1"].terms(TOY.background(50, 2))[0]
    assert np.abs(same).max() < 1e-6


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"ensemble": "dropout"}, "bootstrap"), ({"members": 2}, "three"), ({"share": 0.0}, "share")],
)
def test_bad_input_is_one_clear_error(settings, message):
    with pytest.raises(InputError, match=message):
        made(TOY.background(100, 1), **settings)
