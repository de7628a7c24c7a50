"""OmniFold's loop: the closed form after every iteration, losses, fakes, background, weights of both signs."""

from dataclasses import replace

import numpy as np
import pytest

from hepml_nb.core import InputError, RunError
from hepml_nb.simulate.gaussian import Gaussian, GaussianProblem, gaussian_problem
from hepml_nb.unfolding import Measured, Simulation
from hepml_nb.unfolding.multifold import MultiFold, UniFold, UniFoldConfig
from hepml_nb.unfolding.resampling import mean_weights, measured_weights, simulated_weights
from hepml_nb.unfolding.trees import TreesConfig

QUICK = TreesConfig(iterations=3, trees=30, learning_rate=0.3, leaves=8, min_leaf=100)


def moments(events):
    keep = np.isfinite(events.gen[:, 0])
    x, w = events.gen[keep, 0], events.weights[keep]
    mean = w @ x / w.sum()
    return np.array([w.sum(), mean, np.sqrt(w @ (x - mean) ** 2 / w.sum())])


def of_samples(problem, gen, measured):
    """The problem with the moments that the samples have, so that their fluctuations cancel in a comparison."""
    a, b, s = problem.matrix[0, 0], problem.offset[0], problem.smearing[0, 0]
    nature = Gaussian((measured.mean() - b) / a, (measured.var() - s) / a**2)
    return GaussianProblem(Gaussian(gen.mean(), gen.var()), nature, a, b, s)


@pytest.fixture(scope="module")
def gaussian():
    problem = gaussian_problem()
    gen, sim = problem.simulate(20_000)
    measured, _ = problem.measure(20_000)
    return of_samples(problem, gen, measured), Simulation(gen, sim), Measured(measured)


@pytest.fixture(scope="module")
def unfolded(gaussian):
    _, simulation, measured = gaussian
    return MultiFold(QUICK).fit(simulation, measured)


@pytest.mark.parametrize("iteration", [0, 1, 2, 3])
def test_each_iteration_agrees_with_the_closed_form(gaussian, unfolded, iteration):
    exact = gaussian[0].iterated(iteration)
    n, mean, width = moments(unfolded.after(iteration))
    assert n == pytest.approx(20_000)
    assert mean == pytest.approx(exact.mean[0], abs=0.02)
    assert width == pytest.approx(np.sqrt(exact.covariance[0, 0]), abs=0.02)


def test_iterations_differ_by_more_than_the_tolerance_above(gaussian):
    means = [gaussian[0].iterated(k).mean[0] for k in range(3)]
    assert (np.diff(means) > 0.04).all()


def test_weights_of_every_iteration_are_kept(unfolded):
    assert len(unfolded.steps) == 3
    for step in unfolded.steps:
        assert np.isfinite(step.push).all()
        assert (step.push > 0).all()
        assert 0 < step.effective_size < 20_000
        assert step.largest == pytest.approx(step.push.max() / step.push.mean())
    assert np.array_equal(unfolded.events().weights, unfolded.after(3).weights)


def test_untrained_gives_the_prior(gaussian):
    _, simulation, measured = gaussian
    prior = MultiFold(QUICK).fit(simulation, measured, untrained=True)
    assert (prior.events().weights == simulation.weights).all()
    with pytest.raises(InputError, match="expected 0"):
        prior.after(1)
    with pytest.raises(RunError, match="fit"):
        MultiFold(QUICK).after(0)


def selected(x, y, generator):
    """Losses that depend on where the event is, on both sides."""
    return x < 1.5, y + 0.3 * generator.normal(size=len(y)) > -1


@pytest.fixture(scope="module")
def lossy():
    """Simulated and measured events with losses, fakes and a background, in another luminosity; the truth beside."""
    problem, generator = gaussian_problem(), np.random.default_rng(4)
    gen, sim = problem.simulate(30_000)
    seen, true = problem.measure(20_000)
    pass_gen, pass_sim = selected(gen[:, 0], sim[:, 0], generator)
    true_gen, true_sim = selected(true[:, 0], seen[:, 0], generator)
    some, more = generator.normal(1, 0.4, (3000, 1)), generator.normal(1, 0.4, (6000, 1))
    measured = Measured(np.concatenate([seen[true_sim], some]), background=more, background_weights=np.full(6000, 0.5))
    # thinner than the measured sample by a factor that the unfolding has to find
    simulation = Simulation(gen, sim, np.full(30_000, 0.5), pass_gen, pass_sim)
    return simulation, measured, true[true_gen, 0]


def test_losses_fakes_background_and_luminosity_are_corrected(lossy):
    simulation, measured, truth = lossy
    prior = MultiFold(QUICK).fit(simulation, measured, untrained=True)
    events = MultiFold(replace(QUICK, iterations=5)).fit(simulation, measured)
    n, mean, width = moments(events.events())
    assert n == pytest.approx(len(truth), rel=0.02)
    assert mean == pytest.approx(truth.mean(), abs=0.03)
    assert width == pytest.approx(truth.std(), abs=0.03)
    assert abs(moments(prior.events())[1] - truth.mean()) > 0.2
    fakes = simulation.pass_sim & ~simulation.pass_gen
    assert (events.events().weights[fakes] == 0).all()
    assert np.std(events.steps[-1].push[fakes]) > 0.05  # each the mean at its place, not one number, let alone 1


def test_a_lost_event_has_the_mean_weight_of_the_measured_ones_beside_it(lossy):
    simulation, measured, _ = lossy
    push = MultiFold(QUICK).fit(simulation, measured).steps[-1].push
    near = simulation.pass_gen & (np.abs(simulation.gen[:, 0]) < 0.05)  # narrow: the push has a slope
    lost, kept = (push[near & (simulation.pass_sim == side)].mean() for side in (False, True))
    assert lost == pytest.approx(kept, rel=0.03)
    assert abs(kept - 1) > 0.1


def test_background_left_in_would_be_noticed(lossy):
    simulation, measured, truth = lossy
    n, mean, _ = moments(MultiFold(QUICK).fit(simulation, Measured(measured.sim)).events())
    assert n > 1.08 * len(truth)
    assert mean > truth.mean() + 0.03


def test_negative_generator_weights_close(gaussian):
    exact, simulation, measured = gaussian
    generator = np.random.default_rng(9)
    positive = np.repeat([[1, 1, -1]], 20_000, 0)  # 1 = 1 + 1 - 1: a third is negative, smeared alike
    x = np.repeat(simulation.gen, 3, axis=1).ravel()
    y = 0.9 * x + 0.1 + 0.5 * generator.normal(size=len(x))
    keep = generator.random(len(x)) < np.tile([1, 0.2, 0.2], 20_000)
    weights = positive.ravel()[keep].astype(float)
    assert (weights < 0).mean() > 0.1
    signed = Simulation(x[keep], y[keep], weights)
    after = MultiFold(QUICK).fit(signed, measured)
    n, mean, width = moments(after.events())
    assert n == pytest.approx(20_000, rel=0.03)
    assert mean == pytest.approx(exact.iterated(3).mean[0], abs=0.04)
    assert width == pytest.approx(np.sqrt(exact.iterated(3).covariance[0, 0]), abs=0.04)
    assert np.array_equal(after.events().weights < 0, weights < 0)  # the generator's own signs stay


def test_mean_weights_keep_sums_and_densities():
    generator = np.random.default_rng(2)
    x = generator.uniform(0, 1, (8000, 1))
    weights = np.where(generator.random(8000) < 0.3 * x[:, 0], -1.0, 1.0)  # mean weight 1 - 0.6 x
    mean = mean_weights(x, weights)
    assert mean.min() >= 0
    assert mean.sum() == pytest.approx(weights.sum())
    expected = 1 - 0.6 * x[:, 0]
    counts, wanted = (np.histogram(x[:, 0], 5, weights=w)[0] for w in (mean, expected))
    assert counts == pytest.approx(wanted, rel=0.04)
    assert np.array_equal(mean_weights(x, np.abs(weights)), np.abs(weights))


def test_each_kind_of_event_keeps_its_sum():
    generator = np.random.default_rng(3)
    x = generator.normal(size=3000)
    weights = np.where(generator.random(3000) < 0.1, -0.5, 1.0)
    simulation = Simulation(x, x, weights, x < 0.8, x > -0.8)
    mean = simulated_weights(simulation)
    for kind in (simulation.pass_gen & simulation.pass_sim, ~simulation.pass_gen):
        assert mean[kind].sum() == pytest.approx(weights[kind].sum())
        assert mean[kind].min() >= 0


def test_few_events_share_one_mean_weight():
    assert mean_weights(np.zeros((4, 1)), [1, 1, 1, -1]).tolist() == [0.5] * 4
    fakes = Simulation(np.zeros(5), np.zeros(5), [3, 1, 1, -1, -1], [True, True, True, False, False])
    assert simulated_weights(fakes).tolist() == [3, 1, 1, 0, 0]  # fakes of fewer than no events: none


def test_weights_that_leave_nothing_are_refused():
    with pytest.raises(InputError, match="3 of 5 weights are negative"):
        mean_weights(np.zeros((5, 1)), [-1, -1, -1, 1, 1])
    with pytest.raises(InputError, match=r"background \(9 events\) is not smaller"):
        measured_weights(Measured(np.zeros(8), background=np.zeros(9)))


@pytest.mark.parametrize(
    "change", [{"iterations": -1}, {"folds": 1}, {"ensemble": 0}, {"clip": 0.5}, {"max_bins": 300}]
)
def test_bad_settings_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        replace(QUICK, **change)


def test_clip_bounds_what_one_step_may_do(gaussian):
    _, simulation, measured = gaussian
    free, bound = (
        MultiFold(replace(QUICK, iterations=1, clip=clip)).fit(simulation, measured).steps[0] for clip in (None, 1.2)
    )
    assert free.push.max() > 1.5
    assert bound.push.max() < 1.3
    assert bound.push.sum() == pytest.approx(20_000)


def test_an_ensemble_averages_and_the_seed_moves_the_folds(gaussian):
    _, simulation, measured = gaussian
    one = replace(QUICK, iterations=1, trees=10)
    first, same, other = (MultiFold(one).fit(simulation, measured, seed=s).steps[0].push for s in (0, 0, 1))
    assert np.array_equal(first, same)
    mean = MultiFold(replace(one, ensemble=3)).fit(simulation, measured).steps[0].push
    smooth = np.argsort(simulation.gen[:, 0])
    roughness = [np.abs(np.diff(np.log(push[smooth]))).mean() for push in (first, other, mean)]
    assert roughness[2] < min(roughness[:2])


def test_unifold_corrects_its_observable_only():
    problem = gaussian_problem(2)
    gen, sim = problem.simulate(5000)
    measured, true = problem.measure(5000)
    simulation = Simulation(gen, sim, names=("a", "b"))
    small = {k: getattr(QUICK, k) for k in ("iterations", "trees", "learning_rate", "leaves", "min_leaf")}
    for name, column in (("a", 0), ("b", 1), (1, 1)):
        events = UniFold(UniFoldConfig(**small, observable=name)).fit(simulation, Measured(measured)).events()
        mean = events.weights @ gen[:, column] / events.weights.sum()
        assert mean == pytest.approx(true[:, column].mean(), abs=0.08)
    with pytest.raises(InputError, match="no observable 'c'"):
        UniFold(UniFoldConfig(observable="c")).fit(simulation, Measured(measured))
