"""Rows of the comparison on Z + jet, and what they say together."""

import numpy as np
import pytest

from hepml_nb import stats
from hepml_nb.core import InputError
from hepml_nb.unfolding.compared import PRIOR, combine, landscape
from hepml_nb.unfolding.problems import OBSERVABLES, merged


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
