"""Bootstrap and coverage: the spread is the stated error, seeds repeat, rows join."""

import numpy as np
import pytest

from hepml_nb.core import InputError, NotFound
from hepml_nb.unfolding import Measured, make
from hepml_nb.unfolding.problems import gaussian
from hepml_nb.unfolding.uncertainty import bootstrap, coverage, covered, spectra

EDGES = np.linspace(-1.6, 1.6, 5)


def test_the_bootstrap_finds_the_covariance_that_ibu_propagates():
    simulation, measured, _ = gaussian(10_000)
    stated = spectra(lambda: make("ibu"), simulation, measured, {"x0": EDGES})["x0"]
    found = bootstrap(lambda: make("ibu"), simulation, measured, {"x0": EDGES}, n=150)["x0"]
    assert np.array_equal(found.values, stated.values)
    assert np.allclose(found.errors, stated.errors, rtol=4 / np.sqrt(2 * 150))
    few = [bootstrap(lambda: make("ibu"), simulation, measured, {"x0": EDGES}, n=6)["x0"] for _ in range(2)]
    assert np.array_equal(few[0].covariance, few[1].covariance)


def test_background_is_resampled_too():
    simulation, measured, _ = gaussian(5000)
    seen = Measured(measured.sim, background=measured.sim[:300], background_weights=np.full(300, 4.0))
    stated = spectra(lambda: make("ibu"), simulation, seen, {"x0": EDGES})["x0"]
    found = bootstrap(lambda: make("ibu"), simulation, seen, {"x0": EDGES}, n=80)["x0"]
    assert np.allclose(found.errors, stated.errors, rtol=4 / np.sqrt(2 * 80))
    clean = spectra(lambda: make("ibu"), simulation, measured, {"x0": EDGES})["x0"]
    assert (stated.errors > 1.05 * clean.errors).all()


def test_several_observables_of_a_binned_method_are_fitted_one_by_one():
    simulation, measured, truth = gaussian(5000, dimensions=2)
    found = spectra(lambda: make("ibu"), simulation, measured, {"x0": EDGES, "x1": EDGES[1:]})
    assert list(found) == ["x0", "x1"]
    assert found["x1"].values.sum() == pytest.approx(
        ((truth[:, 1] > EDGES[1]) & (truth[:, 1] < EDGES[-1])).sum(), rel=0.1
    )
    prior = spectra(lambda: make("ibu"), simulation, measured, {"x0": EDGES}, untrained=True)["x0"]
    assert prior.values.tolist() == np.histogram(simulation.gen[:, 0], EDGES)[0].tolist()


def test_too_few_repetitions_are_refused():
    simulation, measured, _ = gaussian(1000)
    with pytest.raises(InputError, match="6 or more"):
        bootstrap(lambda: make("ibu"), simulation, measured, {"x0": EDGES}, n=5)


def test_the_inversion_covers_and_an_unconverged_ibu_does_not():
    settings = {"events": 5000, "experiments": 50, "bins": 4}
    rows = [coverage({"method": "inversion", "seed": seed, **settings}) for seed in (0, 1)]
    mean, per_bin, pulls, widths = covered(rows)
    assert mean.n == 100
    assert mean.value == pytest.approx(0.683, abs=0.12)
    assert widths == pytest.approx(np.ones(4), abs=0.3)
    assert np.abs(pulls).max() < 0.4
    biased, *_ = covered([coverage({"method": "ibu", "settings": {"iterations": 1}, **settings})])
    assert biased.value < 0.4
    assert (per_bin > 0.5).all()


def test_coverage_of_z_jets_with_bootstrapped_errors():
    point = {"method": "ibu", "problem": "zjets", "profile": "smoke", "events": 2000, "experiments": 5, "bins": 4,
             "bootstrap": 10, "settings": {"iterations": 8}}  # fmt: skip
    row = coverage(point)
    assert {key: row[key] for key in row if key != "seconds"} == {
        key: value for key, value in coverage(point).items() if key != "seconds"
    }
    truth, value = np.array(row["truth"]), np.array(row["value"])
    assert truth.sum() == pytest.approx(0.98 * 2000, rel=0.03)
    assert truth[-1] > 1.3 * truth[0]  # the slope
    assert np.abs(value - truth).max() < 150


def test_bad_points_and_rows_are_refused():
    with pytest.raises(NotFound, match="gaussian"):
        coverage({"method": "ibu", "problem": "gausian"})
    with pytest.raises(InputError, match="0 rows"):
        covered([])
