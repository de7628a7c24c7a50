"""What the committed trainings of all anomaly methods show, on the toy and on simulated jets."""

import pytest

from hepml_nb import runtime
from hepml_nb.anomaly import methods
from hepml_nb.anomaly.compared import OPTIMUM, combine
from hepml_nb.stats import claim, paired_ratio

TOY, JETS = (runtime.rows(f"anomaly/{name}") for name in ("landscape", "landscape_lhco"))


def at(sweep, **options):
    return [r for r in sweep if {k: v for k, v in r["point"].items() if k not in ("method", "seed")} == options]


BOARD, MOVED, TWIN = combine(at(TOY)), combine(at(TOY, shift=0.1)), combine(at(JETS))


@pytest.mark.parametrize("name", methods())
def test_every_registered_method_is_compared(name: str):
    found = BOARD[name]["sic"]
    assert found.seeds >= 5 or methods()[name].cls.deterministic
    assert found.n >= 100_000


def test_nothing_beats_the_best_possible():
    for name, found in BOARD.items():
        share = paired_ratio(found["sic"], BOARD[OPTIMUM]["sic"])
        assert share.value <= 1 + 3 * share.error, name


PAIRS = [("supervised", "idealised"), ("cathode", "anode"), ("cathode", "autoencoder")]


@pytest.mark.parametrize(("better", "worse"), [*PAIRS, ("idealised", "cathode")])
def test_claims_of_the_literature_hold_on_the_toy(better: str, worse: str):
    assert claim(f"{better} beats {worse}", BOARD[better]["sic"], BOARD[worse]["sic"]).outcome == "holds"


@pytest.mark.parametrize("board", [BOARD, TWIN], ids=["toy", "jets"])
def test_cathode_keeps_most_of_the_idealised_detector(board):
    share = paired_ratio(board["cathode"]["sic"], board["idealised"]["sic"])
    assert share.value + share.error > 0.85


def test_features_that_follow_the_mass_break_cwola_and_not_lacathode():
    assert MOVED["cwola"]["max_sic"].value < 2
    assert MOVED["lacathode"]["max_sic"].value > 2
    bent = MOVED["lacathode"]["jsd"]
    assert bent.value < bent.baseline + 3 * bent.error
    assert MOVED["cwola"]["jsd"].value > bent.value + 3 * MOVED["cwola"]["jsd"].error


@pytest.mark.parametrize(("better", "worse"), PAIRS)
def test_claims_of_the_literature_are_not_reversed_on_simulated_jets(better: str, worse: str):
    assert claim(f"{better} beats {worse}", TWIN[better]["sic"], TWIN[worse]["sic"]).outcome != "reversed"
    assert TWIN[better]["sic"].n >= 99_000
