import numpy as np
import pytest
from scipy.stats import kstest, norm

from hepml_nb.anomaly.background import fit_background
from hepml_nb.anomaly.bumps import expected_z, gaussian_template, local_p, scan, scan_toys, window_search
from hepml_nb.anomaly.spectrum import MassSpectrum
from hepml_nb.core import InputError

MASSES = np.linspace(3.0, 6.0, 31)


def drawn(mu, n, seed=0):
    return np.random.default_rng(seed).poisson(mu, (n, len(mu))).astype(float)


def test_without_a_signal_q0_is_half_a_chi2_and_z_is_normal(falling, edges):
    mu, shape = falling(1e5), gaussian_template(3.5, 0.12, edges)
    found = [local_p(MassSpectrum(toy, edges), shape) for toy in drawn(mu, 300)]
    z, q0 = np.array([one.z for one in found]), np.array([one.q0 for one in found])
    assert kstest(z, "norm").pvalue > 0.01
    assert kstest([one.p for one in found], "uniform").pvalue > 0.01
    assert abs((q0 == 0).mean() - 0.5) < 0.1
    assert abs(np.mean([one.signal / one.error for one in found])) < 0.2


def test_the_fit_finds_the_signal_that_is_there_and_its_power_is_the_asimov_one(falling, edges):
    mu, shape = falling(1e5), gaussian_template(3.5, 0.12, edges)
    signal = 500 * shape
    found = [local_p(MassSpectrum(toy, edges), shape) for toy in drawn(mu + signal, 200)]
    assert abs(np.mean([one.signal for one in found]) / 500 - 1) < 0.1
    z = np.array([one.z for one in found])
    expected = expected_z(mu, signal, edges)
    assert abs(np.median(z) - expected) < 0.25
    assert abs(z.std() - 1) < 0.15
    # fitting the background costs power
    inside = np.sqrt(2 * ((mu + signal) * np.log1p(signal / mu) - signal).sum())
    assert 0.6 * inside < expected < inside


def test_a_scan_peaks_at_the_mass_of_the_signal_and_is_the_local_test_there(falling, edges):
    mu = falling(1e5)
    spectrum = MassSpectrum(mu + 600 * gaussian_template(4.0, 0.12, edges), edges)
    found = scan(spectrum, MASSES)
    assert np.isclose(found.masses[found.best], 4.0, atol=0.05)
    one = local_p(spectrum, gaussian_template(4.0, 0.12, edges))
    at = int(np.argmin(np.abs(MASSES - 4.0)))
    assert np.isclose(found.z[at], one.z, atol=1e-3)
    assert np.isclose(found.p[at], one.p, rtol=1e-2)
    assert found.p.max() == 0.5


def test_toys_of_a_scan_are_scans_of_toys(falling, edges):
    fit = fit_background(MassSpectrum(falling(2e4), edges), 3)
    by_scan = scan_toys(fit, MASSES[:5], 0.03, 3, seed=4)
    by_hand = [scan(MassSpectrum(toy, edges), MASSES[:5], 0.03, 3).q0 for toy in fit.toys(3, 4)]
    assert np.allclose(by_scan, by_hand, atol=1e-3)


def test_sliding_windows_find_the_bump_and_are_uniform_without_one(falling, edges):
    mu = falling(2e4)
    with_signal = mu + 400 * gaussian_template(4.0, 0.12, edges)
    found = window_search(MassSpectrum(np.round(with_signal), edges), 3, toys=200)
    assert found.low < 4.0 < found.high
    assert found.high - found.low < 0.9
    assert found.global_p < 0.02
    assert np.isclose(found.statistic, -np.log(found.windows.p.min()))
    without = [
        window_search(MassSpectrum(toy, edges), 3, toys=80, seed=i).global_p for i, toy in enumerate(drawn(mu, 60))
    ]
    assert kstest(without, "uniform").pvalue > 0.01


def test_bad_input_is_refused(falling, edges):
    spectrum = MassSpectrum(falling(1e4), edges)
    with pytest.raises(InputError, match="a signal at 9 TeV lies outside of the spectrum"):
        scan(spectrum, [9.0])
    with pytest.raises(InputError, match="width=0"):
        gaussian_template(3.5, 0, edges)
    with pytest.raises(InputError, match="the template has shape"):
        local_p(spectrum, np.ones(3))
    with pytest.raises(InputError, match="negative or no content"):
        local_p(spectrum, np.zeros(43))
    with pytest.raises(InputError, match=r"widths=\(5, 2\)"):
        window_search(spectrum, widths=(5, 2))
    assert norm.sf(0) == 0.5
