"""Bootstrap and coverage: the spread is the stated error, seeds repeat, rows join."""

import numpy as np
import pytest

from hepml_nb.core import InputError, NotFound, rng
from hepml_nb.unfolding import Measured, make
from hepml_nb.unfolding.problems import gaussian
from hepml_nb.unfolding.uncertainty import VARIED, bootstrap, coverage, covered, pseudo_nature, spectra

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


def test_shares_of_the_error_add_up():
    simulation, measured, _ = gaussian(4000)
    seen = Measured(measured.sim, background=measured.sim[:300], background_weights=np.full(300, 4.0))
    parts = {
        vary: bootstrap(lambda: make("ibu"), simulation, seen, {"x0": EDGES}, n=80, vary=vary)["x0"].errors
        for vary in (VARIED, ("data",), ("simulation",), ("training",))
    }
    assert np.allclose(parts["training",], 0, atol=1e-6)  # IBU has no randomness of its own
    added = np.hypot(parts["data",], parts["simulation",])
    assert np.allclose(added, parts[VARIED], rtol=0.35)  # same weights, but the two correlate by chance: 1 / sqrt(80)
    assert (parts["data",] > parts["simulation",] / 2).all()


def test_trees_have_a_share_of_their_own():
    simulation, measured, _ = gaussian(1500)
    fewer = {"iterations": 1, "trees": 5}
    made = [
        bootstrap(lambda: make("multifold", **fewer), simulation, measured, {"x0": EDGES}, n=6, vary=("training",))[
            "x0"
        ]
        for _ in range(2)
    ]
    assert (made[0].errors > 0).all()
    assert np.array_equal(made[0].covariance, made[1].covariance)


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
    with pytest.raises(NotFound, match="simulation"):
        bootstrap(lambda: make("ibu"), simulation, measured, {"x0": EDGES}, n=6, vary=("simulations",))
    with pytest.raises(InputError, match="nothing that fluctuates"):
        bootstrap(lambda: make("ibu"), simulation, measured, {"x0": EDGES}, n=6, vary=())


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


def test_nature_with_losses_fakes_and_background_expects_what_it_says():
    point = {"problem": "zjets-losses", "profile": "smoke", "observable": "mult", "events": 4000, "simulated": 2000,
             "background": 0.2, "tilt": -0.3, "bins": 5}  # fmt: skip
    nature = pseudo_nature(point)
    assert nature.truth[0] / nature.prior[0] > 1.1 > 0.9 > nature.truth[-1] / nature.prior[-1]
    drawn = [nature.draw(rng(0, "nature", i)) for i in range(20)]
    simulation, measured = drawn[0]
    assert len(simulation) == 2000
    assert simulation.weights.sum() == pytest.approx(4000)
    assert 0 < (~simulation.pass_sim).sum() < 2000 > (~simulation.pass_gen).sum() > 0
    other = np.mean([one.background_weights.sum() for _, one in drawn])
    seen = np.mean([len(one) for _, one in drawn])
    assert other == pytest.approx((seen - other) * 0.2, rel=0.02)
    assert len(measured.background) == pytest.approx(4 * other, rel=0.15)
    more = measured.background[:, 1].mean() - simulation.column("mult", "sim")[simulation.pass_sim].mean()
    assert more > 2  # rich in particles


def test_slopes_come_back_with_losses_fakes_and_background():
    point = {"method": "ibu", "problem": "zjets-losses", "profile": "smoke", "observable": "mult", "events": 4000,
             "background": 0.2, "bins": 5, "experiments": 20, "settings": {"iterations": 10}}  # fmt: skip
    for tilted in (-0.3, 0.3):
        row = coverage({**point, "tilt": tilted})
        true, found, error = row["slopes"]
        assert np.sign(true) == np.sign(tilted)
        assert found == pytest.approx(true, abs=4 * error)
        assert error < 0.02
        assert row["chi2"] / 20 == pytest.approx(5, abs=3)  # of 5 bins; its mean has an error of 0.7
        assert row["small"] <= 3


def test_bad_points_and_rows_are_refused():
    with pytest.raises(InputError, match="at least two"):
        coverage({"method": "ibu", "experiments": 1})
    with pytest.raises(NotFound, match="gaussian"):
        coverage({"method": "ibu", "problem": "gausian"})
    with pytest.raises(InputError, match="0 rows"):
        covered([])
