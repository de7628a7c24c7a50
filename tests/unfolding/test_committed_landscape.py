"""What the committed comparisons on Z + jet show: paired, whole, and with the claims that notebook 07 makes."""

import numpy as np
import pytest

from hepml_nb import runtime, stats
from hepml_nb.unfolding.compared import PRIOR, combine
from hepml_nb.unfolding.problems import OBSERVABLES

SPECS = {name: runtime.read_spec(f"unfolding/{name}") for name in ("landscape", "landscape_long")}
ROWS = {name: runtime.rows(spec) for name, spec in SPECS.items()}
QUARTER, LONG = ROWS.values()
BOARD, FAIR = (combine(one for one in LONG if one["point"].get("detector", "own") == kind) for kind in ("own", "same"))
DRAWN = combine(QUARTER)
FOLDS = ("unifold", "multifold", "multifold-net")
DRAWING = ("cinn", "cfm", "cddpm", "conditional-didi", "conditional-sb")


def outcome(board, better: str, worse: str, name: str) -> str:
    return stats.claim(f"{better} beats {worse} on {name}", board[better][name], board[worse][name]).outcome


@pytest.mark.parametrize("name", SPECS)
def test_every_point_was_run(name):
    assert len(ROWS[name]) == len(SPECS[name].points)


@pytest.mark.parametrize(("board", "replicas"), [(BOARD, 12), (FAIR, 8), (DRAWN, 4)])
def test_all_methods_met_the_same_replicas(board, replicas):
    assert {len(found[name].replicas.ravel()) for found in board.values() for name in OBSERVABLES} == {replicas}
    assert len({found["mult"].pairing for found in board.values()}) == 1


@pytest.mark.parametrize("name", ["ln_rho", "tau21"])
def test_unfolding_all_observables_at_once_helps_where_they_know_of_each_other(name):
    assert outcome(BOARD, "multifold", "ibu", name) == "holds"


@pytest.mark.parametrize("name", [name for name in OBSERVABLES if name != "mass"])
def test_unfolding_all_observables_at_once_is_not_worse_than_one_by_one(name):
    assert outcome(BOARD, "multifold", "ibu", name) != "reversed"


def test_a_detector_that_treats_nature_otherwise_misleads_all_methods_on_the_mass():
    """The prior is nearly right there, and MultiFold, which follows the data furthest, ends furthest from it."""
    for method in BOARD:
        if method != PRIOR:
            assert outcome(BOARD, method, PRIOR, "mass") == "reversed", method
    assert outcome(BOARD, "multifold", "ibu", "mass") == "reversed"


@pytest.mark.parametrize("name", OBSERVABLES)
def test_with_the_same_detector_nothing_is_reversed(name):
    assert outcome(FAIR, "multifold", "ibu", name) != "reversed"
    assert FAIR["multifold"][name].value < FAIR["ibu"][name].value
    for method in FAIR:
        if method != PRIOR:
            assert outcome(FAIR, method, PRIOR, name) != "reversed", method


@pytest.mark.parametrize("method", [*FOLDS, "ibu", "tikhonov"])
@pytest.mark.parametrize("name", ["mult", "width", "tau21"])
def test_where_simulation_and_nature_differ_most_unfolding_beats_the_prior(method, name):
    assert outcome(BOARD, method, PRIOR, name) == "holds"


def test_the_multiplicity_stays_above_its_floor_whatever_the_method_and_the_statistics():
    """Nature's jets have more neutral hadrons, which none of the six observables knows of."""
    few = combine(one for one in QUARTER if one["point"]["method"] in BOARD)
    for method in (*FOLDS, "ibu"):
        for board in (few, BOARD):
            assert board[method]["mult"].value > board[method]["mult"].floor + 2 * board[method]["mult"].error
        fair = FAIR.get(method)
        if fair:
            assert fair["mult"].value - fair["mult"].floor < BOARD[method]["mult"].value - BOARD[method]["mult"].floor


@pytest.mark.parametrize("method", DRAWING)
def test_methods_that_draw_events_beat_the_prior_on_the_multiplicity(method):
    assert outcome(DRAWN, method, PRIOR, "mult") == "holds"


def test_replicas_that_all_methods_share_make_differences_more_precise():
    gains = []
    for name in OBSERVABLES:
        a, b = (BOARD[method][name] for method in ("multifold", "unifold"))
        gains.append(np.hypot(a.error, b.error) / (a.replicas - b.replicas).std(ddof=1))
    assert np.median(gains) > 1
