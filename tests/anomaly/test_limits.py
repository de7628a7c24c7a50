import numpy as np
import pytest
from scipy.stats import binom, poisson

from hepml_nb.anomaly import Window
from hepml_nb.anomaly.background import fit_background
from hepml_nb.anomaly.bumps import gaussian_template
from hepml_nb.anomaly.limits import cls_counts, count_p, counting_limit, upper_limit
from hepml_nb.anomaly.spectrum import MassSpectrum
from hepml_nb.core import InputError

WINDOW = Window(3.3, 3.7)


def test_no_events_and_no_background_give_three():
    assert np.isclose(counting_limit(0, 1e-9, 0.0).observed, -np.log(0.05), rtol=1e-4)
    assert np.isclose(counting_limit(0, 4.0, 0.0).observed, -np.log(0.05), rtol=1e-4)  # CLs: b does not matter at n = 0


def test_cls_is_the_ratio_of_two_poisson_sums():
    n, s, b = 7, 5.0, 6.0
    assert np.isclose(cls_counts([n], [s], b, 0.0)[0, 0], poisson.cdf(n, s + b) / poisson.cdf(n, b))


def test_cls_with_an_error_is_what_toys_find():
    generator = np.random.default_rng(0)
    b, error, s, n = 10.0, 3.0, 6.0, 8
    means = generator.gamma((b / error) ** 2, error**2 / b, 400_000)
    toys = [(generator.poisson(means + one) <= n).mean() for one in (s, 0.0)]
    assert np.isclose(cls_counts([n], [s], b, error)[0, 0], toys[0] / toys[1], rtol=0.02)


def test_the_p_value_of_a_count_is_the_binomial_test_of_on_and_off():
    n, off, tau = 12, 20, 4.0
    b, error = (off + 1) / tau, np.sqrt(off + 1) / tau
    assert np.isclose(count_p(n, b, error), binom.sf(n - 1, n + off, 1 / (1 + tau)), rtol=1e-6)
    assert count_p(0, 3.0, 1.0) == 1
    assert np.isclose(count_p(5, 3.0, 0.0), poisson.sf(4, 3.0))


@pytest.mark.parametrize(("b", "error"), [(3.0, 0.5), (50.0, 8.0)])
def test_a_limit_covers_at_least_as_often_as_it_says(b, error):
    generator, true = np.random.default_rng(1), 1.5 * np.sqrt(b + error**2) + 3
    counts = generator.poisson(generator.gamma((b / error) ** 2, error**2 / b, 2000) + true)
    limits = {n: counting_limit(int(n), b, error).observed for n in np.unique(counts)}
    covered = np.mean([limits[n] >= true for n in counts])
    assert 0.94 < covered <= 1.0


def test_expected_limits_rise_and_hold_the_median_observed():
    found = counting_limit(21, 20.0, 2.0, share=0.5)
    assert (np.diff(found.expected) >= 0).all()
    assert found.expected[1] < found.observed < found.expected[3]
    assert np.isclose(found.observed, 2 * counting_limit(21, 20.0, 2.0).observed)


def test_pyhf_and_the_exact_sums_agree_where_counts_are_large(falling, edges):
    mu = falling(2e4)
    toy = np.random.default_rng(3).poisson(mu)
    fit = fit_background(MassSpectrum(toy, edges), 3, WINDOW)
    inside = fit.spectrum.bins_in(WINDOW)
    flat = mu * inside / mu[inside].sum()  # shaped as the background: the bins add nothing to the count
    ours = upper_limit(fit, WINDOW, flat)
    exact = counting_limit(int(toy[inside].sum()), *fit.within(WINDOW))
    assert np.isclose(ours.expected[2], exact.expected[2], rtol=0.05)
    assert np.isclose(ours.observed, exact.observed, rtol=0.08)
    assert (np.diff(ours.expected) > 0).all()


def test_a_signal_is_excluded_where_it_is_not_and_not_where_it_is(falling, edges):
    mu, shape = falling(2e4), gaussian_template(3.5, 0.1, edges)
    without = fit_background(MassSpectrum(np.round(mu), edges), 3, WINDOW)
    louder = fit_background(MassSpectrum(np.round(mu + 400 * shape), edges), 3, WINDOW)
    assert upper_limit(without, WINDOW, (3.5, 0.1)).observed < 300
    assert upper_limit(louder, WINDOW, (3.5, 0.1)).observed > 400


def test_bad_input_is_refused(falling, edges):
    spectrum = MassSpectrum(falling(1e4), edges)
    unmasked, masked = fit_background(spectrum, 3), fit_background(spectrum, 3, WINDOW)
    with pytest.raises(InputError, match=r"fit_background\(\.\.\., window=window\)"):
        upper_limit(unmasked, WINDOW, (3.5, 0.1))
    with pytest.raises(InputError, match="no signal lies between"):
        upper_limit(masked, WINDOW, np.zeros(43))
    with pytest.raises(InputError, match="level=95"):
        upper_limit(masked, WINDOW, (3.5, 0.1), level=95)
    with pytest.raises(InputError, match="observed=-1"):
        counting_limit(-1, 3.0, 1.0)
    with pytest.raises(InputError, match="background=0"):
        counting_limit(1, 0.0, 1.0)
