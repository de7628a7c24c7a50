"""One flow of the sideband for all methods that begin with one: taken as it is, and refused where it does not fit."""

import numpy as np
import pytest

from hepml_nb.anomaly import ClassifierConfig, make, problems
from hepml_nb.anomaly.density import Density, DensityConfig
from hepml_nb.core import InputError, RunError
from hepml_nb.learn import FitConfig

BRIEF = FitConfig(epochs=1, batch_size=1024)
QUICK = {"epochs": 1, "best": 1}
SETTINGS = {
    "cathode": {**QUICK, "classifier": ClassifierConfig(members=1, trees=5)},
    "lacathode": {**QUICK, "classifier": ClassifierConfig(members=1, trees=5)},
    "anode": QUICK,
    "ranode": {**QUICK, "signal_best": 1, "signal_fit": BRIEF},
}
HELD = {"cathode": "density", "lacathode": "density", "anode": "outside", "ranode": "background"}


@pytest.fixture(scope="module")
def search():
    return problems.toy(4000, 100, 1, pure_background=60, pure_signal=60, test_background=100, test_signal=50)


@pytest.fixture(scope="module")
def density(search):
    config = DensityConfig(transforms=2, hidden=(16, 16), best=1, fit=BRIEF)
    return Density(config).fit(search.sideband.mjj, search.sideband.features, 3)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_given_density_is_taken_and_left_as_it_was(search, density, name):
    before = density.log_prob(search.test.mjj, search.test.features)
    method = make(name, "small", **SETTINGS[name]).using(density).fit(search.sideband, search.signal_region, seed=1)
    assert getattr(method, HELD[name]) is density
    assert np.ptp(method.score(search.test)) > 0
    assert np.array_equal(before, density.log_prob(search.test.mjj, search.test.features))


def test_it_makes_no_difference_who_learnt_it(search):
    alone, other = (make("cathode", "small", **SETTINGS["cathode"]) for _ in range(2))
    alone.fit(search.sideband, search.signal_region, seed=1)
    other.using(alone.density).fit(search.sideband, search.signal_region, seed=1)
    assert np.array_equal(alone.score(search.test), other.score(search.test))


def test_bad_input(search, density):
    with pytest.raises(RunError, match="not fitted"):
        make("anode").using(Density(DensityConfig()))
    with pytest.raises(InputError, match="flow-matching"):
        make("cathode-fm").using(density)
    fewer = [part.only(*part.names[:3]) for part in (search.sideband, search.signal_region)]
    with pytest.raises(InputError, match="4 features, the sideband 3"):
        make("anode").using(density).fit(*fewer)
