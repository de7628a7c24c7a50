"""Rows of the comparison on Z + jet, and what they say together."""

import numpy as np
import pytest

from hepml_nb import data, stats
from hepml_nb.core import InputError
from hepml_nb.unfolding.compared import PRIOR, combine, landscape, same_detector
from hepml_nb.unfolding.problems import OBSERVABLES, merged, zjets


def _point(method, replica=0, seed=0):
    return {"method": method, "replica": replica, "seed": seed, "profile": "smoke"}


def _rows(values):
    """values: {method: ([nominal], [replicas])}, the same for all observables."""

    def entry(method, replica, value, seed=0):
        row = {"triangular": dict.fromkeys(OBSERVABLES, value), "floor": dict.fromkeys(OBSERVABLES, 0.5), "events": 9}
        return {"point": _point(method, replica, seed), "row": row}

    return [
        entry(method, *one)
        for method, (nominal, replicas) in values.items()
        for one in [(0, v, s) for s, v in enumerate(nominal)] + [(i + 1, v) for i, v in enumerate(replicas)]
    ]


def test_unfolding_moves_the_multiplicity_towards_nature():
    prior, ibu = (landscape(_point(method))["triangular"] for method in (PRIOR, "ibu"))
    assert set(prior) == set(OBSERVABLES)
    assert ibu["mult"] < 0.7 * prior["mult"]


def test_a_replica_moves_everything_and_can_be_repeated():
    as_it_is, one, again, two = (landscape(_point(PRIOR, replica))["triangular"] for replica in (0, 1, 1, 2))
    assert one == again
    assert len({as_it_is["mass"], one["mass"], two["mass"]}) == 3


def test_rows_become_results_with_the_errors_of_the_bootstrap():
    draws = np.random.default_rng(0).normal(0, 1, 12)
    found = combine(_rows({PRIOR: ([9.0], 9 + draws), "ibu": ([3.0, 5.0], 4 + draws)}))
    mass = found["ibu"]["mass"]
    assert (mass.value, mass.baseline, mass.floor) == (4, 9, 0.5)
    assert mass.error == pytest.approx(draws.std(ddof=1))
    claim = stats.claim("ibu beats the prior", mass, found[PRIOR]["mass"])
    assert claim.outcome == "holds"
    assert claim.error < 1e-6  # the fluctuations are shared


def test_only_replicas_of_all_methods_count():
    found = combine(_rows({"ibu": ([1.0], [1.0, 2.0, 3.0, 99.0]), "unifold": ([1.0], [1.0, 2.0, 3.0])}))
    assert found["ibu"]["zg"].error == found["unifold"]["zg"].error


@pytest.mark.parametrize("values", [{"ibu": ([], [1.0, 2.0, 3.0])}, {"ibu": ([1.0], [1.0, 2.0])}])
def test_rows_that_give_no_error_are_refused(values):
    with pytest.raises(InputError, match=r"replica"):
        combine(_rows(values))


def test_thin_bins_are_joined_and_the_range_is_kept():
    edges = merged(np.linspace(0, 10, 11), [0.5] * 12 + [1.5] * 3 + [4.5] * 20 + [9.5])
    assert edges.tolist() == [0, 1, 10]
    with pytest.raises(InputError, match="2 values lie between"):
        merged([0, 1], [0.5, 0.6])


@pytest.fixture(scope="module")
def problem():
    return zjets(data.load("zjets", profile="tutorial").split("train"))


def _moved(gen, sim, weights, edges):
    """Mean of gen - sim in bins of gen, and its error."""
    place = np.digitize(gen, edges)
    found = []
    for k in range(1, len(edges)):
        w, x = weights[place == k], (gen - sim)[place == k]
        mean = np.average(x, weights=w)
        found.append((mean, np.sqrt((w**2 * (x - mean) ** 2).sum()) / w.sum()))
    return np.array(found).T


def test_the_same_detector_treats_both_alike_and_nature_keeps_its_spectra(problem):
    fair, weights = same_detector(problem)
    assert len(fair.simulation) + len(fair.truth) == len(problem.simulation)
    assert weights.sum() == pytest.approx(len(weights))
    mult = OBSERVABLES.index("mult")
    edges = np.array([8, 14, 20, 26, 34, 45])
    losses = [
        _moved(fair.simulation.gen[:, mult], fair.simulation.sim[:, mult], fair.simulation.weights, edges),
        _moved(fair.truth[:, mult], fair.measured.sim[:, mult], weights, edges),
    ]
    apart = (losses[1][0] - losses[0][0]) / np.hypot(losses[0][1], losses[1][1])
    assert (apart**2).sum() < 5 + 3 * np.sqrt(10)
    for i in range(len(OBSERVABLES)):
        wanted, prior = problem.truth[:, i], fair.simulation.gen[:, i]
        scale = wanted.std()
        assert abs(np.average(fair.truth[:, i], weights=weights) - wanted.mean()) < 0.03 * scale
        if OBSERVABLES[i] in ("mult", "tau21"):
            assert abs(prior.mean() - wanted.mean()) > 0.1 * scale


def test_with_the_same_detector_multifold_comes_near_the_multiplicity():
    def found(method):
        return landscape({**_point(method), "profile": "tutorial", "detector": "same"})

    prior, unfolded = found(PRIOR), found("multifold")
    gained = prior["triangular"]["mult"] - unfolded["triangular"]["mult"]
    assert gained > 0.7 * (prior["triangular"]["mult"] - prior["floor"]["mult"])


def test_an_unknown_detector_is_refused():
    with pytest.raises(InputError, match=r"detector='sam'.*same"):
        landscape({**_point(PRIOR), "detector": "sam"})
