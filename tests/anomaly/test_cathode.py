"""CATHODE: its density integrates and is near the truth, its template closes, and it finds a signal."""

from dataclasses import replace

import numpy as np
import pytest

from hepml_nb import stats
from hepml_nb.anomaly import ClassifierConfig, Events, Window, make, problems
from hepml_nb.anomaly.closure import closure, sculpted
from hepml_nb.anomaly.density import Density, DensityConfig
from hepml_nb.anomaly.epochs import BestEpochs
from hepml_nb.core import InputError, RunError
from hepml_nb.learn import FitConfig
from hepml_nb.simulate.resonance import ResonanceToy

TOY = ResonanceToy()
SHORT = FitConfig(epochs=8, lr=5e-3, batch_size=512, patience=None)
SETTINGS = {"lr": 5e-3, "batch_size": 512, "epochs": 8, "classifier": ClassifierConfig(members=2)}
SMALL = DensityConfig(transforms=2, hidden=(32, 32), best=2, fit=SHORT)


def events(table):
    return Events(table[:, 0], table[:, 1:], problems.COLUMNS)


@pytest.fixture(scope="module")
def learnt():
    table = TOY.background(12_000, 1)
    return Density(SMALL).fit(table[:, 0], table[:, 1:], 0)


@pytest.fixture(scope="module")
def validation():
    """CATHODE on a window in the middle of what would be the sideband, without any signal."""
    window = Window(2.95, 3.25)
    sideband, inside = window.split(events(TOY.background(16_000, 1)))
    return make("cathode", "small", **SETTINGS).fit(sideband, inside, seed=0), window


def test_the_density_integrates_to_one():
    table = TOY.background(6000, 1)[:, [0, 1, 3]]
    fitted = Density(SMALL).fit(table[:, 0], table[:, 1:], 0)
    low, high = fitted.scaler.low, fitted.scaler.high
    n = 400  # even in the logit, where the density is smooth
    u = 1 / (1 + np.exp(-np.linspace(-14, 14, n)))
    grids = [lo + (hi - lo) * u for lo, hi in zip(low, high, strict=True)]
    x = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1)
    p = np.exp(fitted.log_prob(np.full(n * n, 3.5), x.reshape(-1, 2))).reshape(n, n)
    total = np.trapezoid(np.trapezoid(p, grids[1], axis=1), grids[0])
    assert total == pytest.approx(1, abs=0.02)


def test_the_density_is_near_the_truth(learnt):
    """Mean of log p_true / p_learnt, the Kullback-Leibler divergence: small beside that of a density without shape."""
    table = TOY.background(4000, 2, between=(3.3, 3.7))
    mjj, x = table[:, 0], table[:, 1:]
    difference = TOY.log_background(mjj, x) - _log_mass(mjj) - learnt.log_prob(mjj, x)
    assert difference.mean() == pytest.approx(0.04, abs=0.06)


def _log_mass(mjj):
    grid = np.linspace(2.7, 8, 20_001)
    height = 11.6 * np.log(1 - grid / 13) - 0.63 * np.log(grid / 13)
    norm = np.trapezoid(np.exp(height), grid)
    return np.interp(mjj, grid, height) - np.log(norm)


def test_latent_numbers_of_background_are_normal_at_every_mass(learnt):
    for low, high in ((2.8, 3.0), (3.3, 3.7), (4.2, 5.0)):
        table = TOY.background(3000, 5, between=(low, high))
        z = learnt.latent(table[:, 0], table[:, 1:])
        assert np.allclose(z.mean(axis=0), 0, atol=0.12)
        assert np.allclose(z.std(axis=0), 1, atol=0.12)


def test_draws_repeat_by_seed_and_come_from_all_kept_epochs(learnt):
    masses = np.full(1000, 3.5)
    assert len(learnt.models) == 2
    assert np.array_equal(learnt.sample(masses, 3), learnt.sample(masses, 3))
    assert not np.array_equal(learnt.sample(masses, 3), learnt.sample(masses, 4))
    assert learnt.scaler.inside(learnt.sample(masses, 3)).all()


def test_the_kept_epochs_have_the_lowest_losses():
    class Model:
        training, values = False, iter([3.0, 1.0, 2.0, 5.0])

        def loss(self):
            import torch

            return torch.tensor(next(self.values))

        def state_dict(self):
            return {}

    chosen, model = BestEpochs(2), Model()
    for _ in range(4):
        chosen(model, ())
    assert sorted(-loss for loss, _, _ in chosen._kept) == [1.0, 2.0]


def test_the_template_closes_in_a_validation_sideband(validation):
    method, window = validation
    truth = events(TOY.background(6000, 7, between=(window.low, window.high)))
    found = closure(method.template(6000, 3), truth)
    assert found.value < 0.5 + 3 * found.error + 0.015
    assert closure(events(TOY.background(6000, 8, between=(4.5, 6.0))), truth).value > 0.53  # it can tell


def test_the_masses_of_the_template_are_those_of_the_background(validation):
    method, window = validation
    truth = TOY.background(20_000, 7, between=(window.low, window.high))[:, 0]
    assert stats.jensen_shannon(method.template(20_000, 3).mjj, truth, bins=10).value < 1e-3


@pytest.mark.parametrize("name", ["cathode", "cathode-fm"])
def test_it_finds_a_signal(name):
    problem = problems.toy(20_000, 500, 1, test_background=4000, test_signal=1000)
    method = make(name, "small", **SETTINGS).fit(problem.sideband, problem.signal_region, seed=0)
    found = stats.auc(problem.test.labels, method.score(problem.test))
    assert found.value > 0.68
    blind = make(name).fit(problem.sideband, problem.signal_region, seed=0, untrained=True)
    assert np.ptp(blind.score(problem.test)) == 0


def test_sculpting_is_seen():
    table = TOY.background(20_000, 3)
    random = np.random.default_rng(0).random(20_000)
    smooth = sculpted(table[:, 0], random)
    assert smooth.value < 5 * smooth.floor
    bent = sculpted(table[:, 0], -np.abs(table[:, 0] - 3.5) + 0.1 * random)
    assert bent.value > 10 * max(bent.floor, bent.baseline)


def test_bad_input(learnt):
    with pytest.raises(InputError, match="too few"):
        Density(SMALL).fit(np.ones(2), np.array([[0.0], [1.0]]), 0)
    with pytest.raises(InputError, match="constant"):
        Density(SMALL).fit(np.ones(100), np.ones((100, 2)), 0)
    with pytest.raises(RunError, match="fit"):
        Density(SMALL).sample(np.ones(3))
    with pytest.raises(InputError, match="generator"):
        DensityConfig(generator="diffusion")
    with pytest.raises(InputError, match="best"):
        DensityConfig(best=0)
    matching = Density(replace(SMALL, generator="flow-matching")).fit(
        np.ones(100), np.random.default_rng(0).random((100, 2)), 0, untrained=True
    )
    with pytest.raises(InputError, match="no density"):
        matching.log_prob(np.ones(3), np.full((3, 2), 0.5))
    template = events(TOY.background(50, 1))
    with pytest.raises(InputError, match="too few"):
        closure(template, template)
    with pytest.raises(InputError, match="pass"):
        sculpted(np.ones(100), np.ones(100), efficiency=0.01)
    with pytest.raises(InputError, match="shape"):
        sculpted(np.ones(100), np.ones(99))
