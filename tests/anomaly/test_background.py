import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import kstest

from hepml_nb.anomaly import Window
from hepml_nb.anomaly.background import choose_order, design, dijet, fit_background
from hepml_nb.anomaly.gp import DijetKernel, fit_gp
from hepml_nb.anomaly.poisson import maximise
from hepml_nb.anomaly.spectrum import MassSpectrum
from hepml_nb.core import InputError

WINDOW = Window(3.3, 3.7)


def drawn(mu, n, seed=0):
    return np.random.default_rng(seed).poisson(mu, (n, len(mu))).astype(float)


def test_the_function_is_the_published_one():
    m, p = 3.5, (2.0, 11.0, 4.0, 0.2, 0.1)
    x = m / 13
    by_hand = p[0] * (1 - x) ** p[1] * x ** -(p[2] + p[3] * np.log(x) + p[4] * np.log(x) ** 2)
    assert np.isclose(dijet([m], p)[0], by_hand, rtol=1e-12)


def test_an_asimov_spectrum_gives_its_parameters_back(falling, edges):
    mu = falling(1e6, (10.0, 5.0, 0.3))
    fit = fit_background(MassSpectrum(mu, edges), 4, WINDOW)
    assert np.allclose(fit.parameters[1:], (10.0, 5.0, 0.3), rtol=2e-3)
    assert np.allclose(fit.expected, mu, rtol=1e-5)
    assert fit.deviance < 1e-6


def test_the_maximum_is_that_of_another_minimiser(falling, edges):
    spectrum = MassSpectrum(drawn(falling(2e4), 1)[0], edges)
    basis = design(spectrum, 4)
    ours = maximise(spectrum.counts[None], basis)

    def loss(theta):
        mu = basis.expected(theta[None])[0][0]
        return float((mu - spectrum.counts * np.log(mu)).sum())

    found = minimize(loss, basis.start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 8000})
    assert abs(2 * loss(ours.theta[0]) - 2 * found.fun) < 1e-4
    assert 2 * loss(ours.theta[0]) < 2 * found.fun + 1e-6


@pytest.mark.parametrize(("events", "order"), [(1e5, 4), (2000, 3), (1e6, 5)])
def test_pulls_of_the_masked_window_are_unbiased_and_one_wide(falling, edges, events, order):
    mu = falling(events)
    toys = drawn(mu, 600)
    basis = design(MassSpectrum(mu, edges), order, WINDOW)
    found = maximise(toys, basis)
    inside = (edges[:-1] > 3.29) & (edges[1:] < 3.71)
    slopes = basis.expected(found.theta)[1][:, inside].sum(axis=1)
    errors = np.sqrt(np.einsum("ti,tij,tj->t", slopes, np.linalg.inv(found.information), slopes))
    pulls = (found.expected[:, inside].sum(axis=1) - mu[inside].sum()) / errors
    assert abs(pulls.mean()) < 0.15
    assert 0.92 < pulls.std() < 1.08


def test_a_fit_ends_whatever_the_counts_are(falling, edges):
    # a handful of events leaves parameters undetermined; none of 500 such fits may stall or run away
    toys = drawn(falling(15), 500)
    found = maximise(toys, design(MassSpectrum(falling(15) + 0.1, edges), 4))
    assert np.isfinite(found.theta).all()
    assert np.isfinite(found.twice_nll).all()


def test_the_error_of_the_window_is_the_spread_of_its_prediction(falling, edges):
    mu = falling(1e5)
    stated = fit_background(MassSpectrum(mu, edges), 4, WINDOW).within(WINDOW)
    inside = MassSpectrum(mu, edges).bins_in(WINDOW)
    fitted = maximise(drawn(mu, 800), design(MassSpectrum(mu, edges), 4, WINDOW)).expected[:, inside].sum(axis=1)
    assert abs(stated[1] / fitted.std() - 1) < 0.1


def test_a_signal_in_the_masked_window_moves_nothing(falling, edges):
    spectrum = MassSpectrum(drawn(falling(1e5), 1)[0], edges)
    inside = spectrum.bins_in(WINDOW)
    louder = MassSpectrum(spectrum.counts + 1000 * inside, edges)
    assert np.isclose(*(fit_background(one, 4, WINDOW).within(WINDOW)[0] for one in (spectrum, louder)), rtol=1e-3)


@pytest.mark.parametrize("test", ["F", "likelihood"])
def test_the_test_of_the_order_finds_the_true_one(falling, edges, test):
    three, four = falling(3e5, (10.0, 5.0)), falling(3e5, (10.0, -5.0, -4.0))
    chosen = {3: [], 4: []}
    for true, mu in ((3, three), (4, four)):
        for toy in drawn(mu, 60, seed=true):
            chosen[true].append(choose_order(MassSpectrum(toy, edges), test=test).order)
    assert np.mean(np.array(chosen[3]) == 3) > 0.85  # 5 % each go on by chance
    assert np.mean(np.array(chosen[4]) >= 4) > 0.95
    assert np.mean(np.array(chosen[4]) == 4) > 0.8


def test_p_values_of_the_next_parameter_are_uniform_where_it_is_not_needed(falling, edges):
    choices = [choose_order(MassSpectrum(toy, edges), (3, 4)) for toy in drawn(falling(1e5, (10.0, 5.0)), 150)]
    assert kstest([one.tests[0].p_f for one in choices], "uniform").pvalue > 0.01
    assert kstest([one.tests[0].p_likelihood for one in choices], "uniform").pvalue > 0.01
    assert kstest([one.fits[3].goodness[2] for one in choices], "uniform").pvalue > 0.01


def test_the_gaussian_process_predicts_the_window_with_a_right_error(falling, edges):
    mu = falling(1e5, (10.0, 5.0))
    inside = (edges[:-1] > 3.29) & (edges[1:] < 3.71)
    pulls = []
    for toy in drawn(mu, 60):
        value, error = fit_gp(MassSpectrum(toy, edges), WINDOW).within(WINDOW)
        pulls.append((value - mu[inside].sum()) / error)
    assert abs(np.mean(pulls)) < 0.4
    assert 0.75 < np.std(pulls) < 1.25


def test_the_gaussian_process_bends_where_three_parameters_cannot(falling, edges):
    mu = falling(1e6, (10.0, -5.0, -4.0))
    inside = (edges[:-1] > 3.29) & (edges[1:] < 3.71)
    stiff = fit_background(MassSpectrum(mu, edges), 3, WINDOW)
    soft = fit_gp(MassSpectrum(mu, edges), WINDOW)
    off = [abs(one.within(WINDOW)[0] - mu[inside].sum()) for one in (stiff, soft)]
    assert off[1] < 0.5 * off[0]


def test_the_kernels_gradient_is_that_of_finite_differences(edges):
    kernel, x, step = DijetKernel(2e4, 0.5, 0.3, 0.4, 2.7), edges[:-1, None], 1e-6
    gradient = kernel(x, eval_gradient=True)[1]
    for i in range(4):
        move = step * np.eye(4)[i]
        ends = [kernel.clone_with_theta(kernel.theta + sign * move)(x) for sign in (1, -1)]
        assert np.allclose(gradient[..., i], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-4)
    assert np.allclose(kernel.diag(x), np.diag(kernel(x)))


def test_bad_input_is_refused(falling, edges):
    spectrum = MassSpectrum(falling(1e4), edges)
    with pytest.raises(InputError, match="order=6 is no number of parameters"):
        fit_background(spectrum, 6)
    with pytest.raises(InputError, match="0 of 43 bins hold events"):
        fit_background(MassSpectrum(np.zeros(43), edges), 3)
    with pytest.raises(InputError, match="of 39 bins outside of the window hold events"):
        fit_background(MassSpectrum(spectrum.counts * spectrum.bins_in(WINDOW), edges), 3, WINDOW)
    with pytest.raises(InputError, match="the function ends at 13 TeV"):
        fit_background(MassSpectrum(np.ones(10), np.linspace(3, 13, 11)), 3)
    with pytest.raises(InputError, match="do not rise"):
        choose_order(spectrum, (4, 3))
    with pytest.raises(InputError, match="test='chi2' is unknown"):
        choose_order(spectrum, test="chi2")
