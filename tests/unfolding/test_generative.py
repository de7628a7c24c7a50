"""Generative unfolding against the Gaussian's closed form: posteriors, their calibration, and the prior's removal."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from hepml_nb.core import InputError, RunError
from hepml_nb.simulate.gaussian import gaussian_problem
from hepml_nb.unfolding import Measured, Simulation, problems
from hepml_nb.unfolding.bridge import ConditionalDiDi, DiDi
from hepml_nb.unfolding.cfm import CFM
from hepml_nb.unfolding.cinn import CINN
from hepml_nb.unfolding.ddpm import CDDPM
from hepml_nb.unfolding.gan import CGAN
from hepml_nb.unfolding.posteriors import coverage, ranks
from hepml_nb.unfolding.schroedinger import ConditionalSchroedinger, Schroedinger, SchroedingerNetwork
from hepml_nb.unfolding.turbo_sim import TurboSim

N, EVENTS, DRAWS = 4000, 800, 60
EXACT = gaussian_problem(1)
FIT = {"batch_size": 128, "patience": None}
SETTINGS = {
    CINN: {"hidden": (48,), "transforms": 2, "fit": {"epochs": 25, **FIT}},
    CFM: {"hidden": (48, 48), "fit": {"epochs": 60, "lr": 2e-3, **FIT}},
    CDDPM: {"draws": 2},
    ConditionalDiDi: {"hidden": (48, 48), "fit": {"epochs": 40, "lr": 2e-3, **FIT}},
    ConditionalSchroedinger: {"draws": 2, "hidden": (48, 48), "fit": {"epochs": 40, **FIT}},
    DiDi: {"hidden": (32, 32), "fit": {"epochs": 15}},
    Schroedinger: {"hidden": (32, 32), "fit": {"epochs": 15}},
    CGAN: {"fit": {"epochs": 8}},
    TurboSim: {"hidden": (32,), "fit": {"epochs": 8}},
}
POSTERIORS = [CINN, CFM, CDDPM, ConditionalDiDi, ConditionalSchroedinger]
QUICK = {"hidden": (8,), "draws": 2}


def _made(kind, **changes):
    settings = {**SETTINGS[kind], **changes}
    small = kind.configs["small"]
    return kind(replace(small, **{**settings, "fit": replace(small.fit, **settings.get("fit", {}))}))


@pytest.fixture(scope="module")
def problem():
    return problems.gaussian(N, seed=0)


@pytest.fixture(scope="module")
def fitted(problem):
    kept = {}

    def get(kind):
        if kind not in kept:
            kept[kind] = _made(kind).fit(problem.simulation, problem.measured, seed=1)
        return kept[kind]

    return get


@pytest.fixture(scope="module")
def drawn(fitted):
    kept = {}

    def get(kind):
        if kind not in kept:
            gen, sim = _events(_prior(kind))
            kept[kind] = gen[:, 0], sim, fitted(kind).posterior(sim, DRAWS)[..., 0]
        return kept[kind]

    return get


def _events(prior, n=EVENTS, seed=9):
    rng = np.random.default_rng(seed)
    gen = prior.draw(n, rng)
    return gen, gen @ EXACT.matrix.T + EXACT.offset + 0.5 * rng.standard_normal((n, 1))


def _prior(kind):
    return EXACT.nature if kind is CDDPM else EXACT.simulation  # the moments tell the DDPM nature's spectrum


@pytest.mark.parametrize("kind", POSTERIORS)
def test_posterior_means_and_widths_are_the_exact_ones(kind, drawn):
    _, sim, draws = drawn(kind)
    mean, covariance = EXACT.posterior(_prior(kind), sim)
    width = np.sqrt(covariance[0, 0])
    shift, ratio = (draws.mean(1) - mean[:, 0]) / width, draws.std(1) / width
    assert abs(shift.mean()) < 0.1
    assert shift.std() < 0.2  # of which 0.13 come from the finite number of draws
    assert ratio.mean() == pytest.approx(1, abs=0.1)
    assert ratio.std() < 0.15  # 0.09 from the draws


@pytest.mark.parametrize("kind", POSTERIORS)
def test_posteriors_are_calibrated(kind, drawn):
    gen, _, draws = drawn(kind)
    covered = coverage(draws, gen)
    assert covered.value == pytest.approx(covered.floor, abs=3 * covered.error + 0.02)  # 0.02: the network
    noise = 1.63 / np.sqrt(EVENTS)  # 1 % of the Kolmogorov distances
    assert kstest(ranks(draws, gen), "uniform").statistic < noise + 0.03


@pytest.mark.parametrize("kind", [DiDi, Schroedinger, TurboSim])
def test_maps_of_distributions_unfold_the_spectrum_but_are_no_posterior(kind, fitted):
    _, sim = _events(EXACT.simulation)
    draws = fitted(kind).posterior(sim, 30)[..., 0]
    assert draws.mean() == pytest.approx(0, abs=0.12)
    assert draws.std() == pytest.approx(1, abs=0.15)
    width = np.sqrt(EXACT.posterior(EXACT.simulation, sim)[1][0, 0])
    assert draws.std(1).mean() < 0.75 * width
    assert not kind.posterior_draws
    if kind is DiDi:  # one path per event
        assert np.ptp(draws, axis=1).max() < 1e-5


@pytest.mark.parametrize("kind", [DiDi, ConditionalDiDi, Schroedinger, ConditionalSchroedinger])
def test_paths_lead_from_the_measured_event_to_a_draw(kind, fitted):
    bridge, sim = fitted(kind), np.linspace(-1, 1, 5)
    paths = bridge.paths(sim, seed=3)
    assert paths.shape == (5, bridge.config.steps + 1, 1)
    if kind is not ConditionalDiDi:  # which adds noise to its start
        assert np.corrcoef(paths[:, 0, 0], sim)[0, 1] == pytest.approx(1)
    draws = bridge.posterior(sim, 200)[..., 0]
    assert (np.abs(paths[:, -1, 0] - draws.mean(1)) < 4 * draws.std(1) + 1e-4).all()
    with pytest.raises(InputError, match="no paths"):
        _made(kind).fit(*problems.gaussian(50)[:2], untrained=True).paths(sim)


class _ExactDirection(torch.nn.Module):
    """What a perfect network tells where x_0 ~ N(0, width^2), whatever the start."""

    def __init__(self, beta, width):
        super().__init__()
        self.beta, self.width = beta, width

    def forward(self, place, t, told):
        t = t[:, None]
        end = self.width**2 / ((1 - t) * self.width**2 + self.beta * t) * (place - t * told)
        return (place - end) / (self.beta * t).sqrt()


@pytest.mark.parametrize(
    ("steps", "heun", "narrow"), [(100, False, 0.02), (1000, False, 0.002), (50, True, 0.004), (200, True, 0.0)]
)
def test_a_second_look_in_every_step_makes_draws_as_wide_as_the_posterior(steps, heun, narrow):
    """A step towards the mean of the end forgets how far the end spreads: first order in 1 / steps without heun."""
    n, width = 50_000, 0.5
    network = SchroedingerNetwork(ConditionalSchroedinger.configs["small"], 1, 1)
    network.network = _ExactDirection(network.beta, width)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        start = torch.full((n, 1), 1.5)
        draws = network.paths(start, start, steps, heun)[-1]
    assert float(draws.std()) / width == pytest.approx(1 - narrow, abs=3 / np.sqrt(2 * n))
    assert float(draws.mean()) == pytest.approx(0, abs=4 * width / np.sqrt(n))


def test_the_gan_draws_events_near_the_measured_ones(fitted):
    _, sim = _events(EXACT.simulation)
    draws = fitted(CGAN).posterior(sim, 30)[..., 0]
    assert np.corrcoef(draws.mean(1), sim[:, 0])[0, 1] > 0.8  # how far off it is, the notebook shows


@pytest.fixture(scope="module")
def iterated(problem):
    changes = {"iterations": 3, "fit": {**SETTINGS[CINN]["fit"], "epochs": 10}}
    return _made(CINN, **changes).fit(problem.simulation, problem.measured, seed=2)


def test_iterations_move_the_spectrum_as_the_closed_form_says(iterated):
    error = 1 / np.sqrt(N)  # of a mean; data and simulation fluctuate, and the network's error adds up
    for i in range(4):
        events, exact = iterated.after(i), EXACT.iterated(i)
        mean = np.average(events.gen[:, 0], weights=events.weights)
        spread = np.sqrt(np.average((events.gen[:, 0] - mean) ** 2, weights=events.weights))
        assert mean == pytest.approx(exact.mean[0], abs=3 * error + 0.03 * i)
        assert spread == pytest.approx(np.sqrt(exact.covariance[0, 0]), abs=2 * error + 0.03 * i)
    means = [np.average(iterated.after(i).gen[:, 0], weights=iterated.after(i).weights) for i in range(4)]
    assert means == sorted(means)
    assert len(iterated.histories) == 3


def test_moments_remove_the_prior_without_iterations(fitted):
    once, true = EXACT.iterated(1).mean[0], EXACT.nature.mean[0]
    events = fitted(CDDPM).events()
    assert abs(np.average(events.gen[:, 0], weights=events.weights) - true) < abs(once - true) / 2


def test_losses_fakes_and_background_end_in_the_right_number_of_events():
    given = problems.gaussian(3000, seed=3, losses=True)
    rng = np.random.default_rng(0)
    extra, template = rng.normal(2, 0.5, (200, 1)), rng.normal(2, 0.5, (400, 1))
    measured = Measured(np.concatenate([given.measured.sim, extra]), None, template, np.full(400, 0.5))
    unfolder = _made(CINN, fit={**SETTINGS[CINN]["fit"], "epochs": 12}).fit(given.simulation, measured, seed=0)
    edges = np.linspace(-1, 3, 9)
    found = unfolder.spectrum(0, edges)
    truth = np.histogram(given.truth[:, 0], edges)[0]
    assert found.values.sum() == pytest.approx(truth.sum(), rel=0.06)  # 2000 of 3000 events are seen: 2 % statistics
    prior = np.histogram(given.simulation.gen[given.simulation.pass_gen, 0], edges)[0]
    assert np.abs(found.values - truth).sum() < np.abs(prior - truth).sum()


def test_draws_of_one_event_count_as_one_in_the_errors(problem):
    errors = []
    for draws in (1, 20):
        unfolder = _made(CINN, draws=draws, fit={"epochs": 1}).fit(problem.simulation, problem.measured)
        spectrum = unfolder.spectrum("x0", [-20, 20])
        assert spectrum.values[0] == pytest.approx(N)
        errors.append(spectrum.errors[0])
    assert errors[0] == pytest.approx(np.sqrt(N))
    assert errors[1] == pytest.approx(np.sqrt(N))


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_seeds_repeat_shapes_hold_and_untrained_returns_the_prior(kind):
    few = problems.gaussian(300, seed=1, dimensions=2)
    runs = [
        _made(kind, **QUICK, fit={"epochs": 1}).fit(few.simulation, few.measured, seed=s).events() for s in (0, 0, 1)
    ]
    assert runs[0].gen.shape == (600, 2)
    assert np.array_equal(runs[0].gen, runs[1].gen)
    assert not np.array_equal(runs[0].gen, runs[2].gen)
    assert np.isfinite(runs[0].gen).all()
    untrained = _made(kind).fit(few.simulation, few.measured, untrained=True)
    assert np.array_equal(untrained.events().gen, few.simulation.gen)
    with pytest.raises(InputError, match="knows no posterior"):
        untrained.posterior(few.measured.sim)


def test_negative_and_zero_generator_weights_are_used(problem):
    n = 2000
    weights = np.random.default_rng(0).choice([1.0, -1.0, 0.0], n, p=[0.8, 0.1, 0.1])
    simulation = Simulation(problem.simulation.gen[:n], problem.simulation.sim[:n], weights)
    unfolder = _made(CINN, fit={"epochs": 2}).fit(simulation, problem.measured)
    assert np.isfinite(unfolder.events().gen).all()
    assert unfolder.spectrum(0, [-20, 20]).values[0] == pytest.approx(N)


def test_bad_input_is_refused(problem):
    with pytest.raises(RunError, match="fit"):
        CINN().posterior([0.0])
    with pytest.raises(InputError, match="iterations=0"):
        _made(CINN, iterations=0)
    with pytest.raises(InputError, match="noise"):
        _made(ConditionalDiDi, noise=0.0)
    with pytest.raises(InputError, match="beta"):
        _made(Schroedinger, beta=0.0)
    with pytest.raises(InputError, match="moments"):
        _made(CDDPM, moments=-1)
    wide = Simulation(np.random.default_rng(0).normal(size=(50, 2)), problem.simulation.sim[:50])
    with pytest.raises(InputError, match="as many observables"):
        _made(DiDi).fit(wide, problem.measured)
    with pytest.raises(InputError, match="too few"):
        _made(CINN).fit(Simulation([0.0, 1.0], [0.0, 1.5]), problem.measured)
