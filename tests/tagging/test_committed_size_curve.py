"""What the committed long sweep shows: its rows are whole, comparable, and bear out what the notebook says of them."""

import pytest

from hepml_nb import runtime, stats
from hepml_nb.tagging.sweeps import combine

SPEC = runtime.read_spec("tagging/size_curve")
ROWS = runtime.rows(SPEC)
JOINED = combine(ROWS)


def test_every_point_was_run_on_at_least_200k_background_jets():
    assert len(ROWS) == len(SPEC.points)
    assert min(row["row"]["background"] for row in ROWS) >= 200_000
    assert {result["auc"].seeds for result in JOINED.values()} == {3}


def test_all_rows_rest_on_the_same_test_jets():
    assert len({result["auc"].pairing for result in JOINED.values()}) == 1


@pytest.mark.parametrize("size", [10_000, 30_000, 100_000])
def test_every_method_that_learns_beats_the_best_single_cut(size):
    for method in ("fisher", "trees", "dnn", "pfn"):
        claim = stats.claim(f"{method} beats the cut", JOINED[method, size]["auc"], JOINED["cut", size]["auc"])
        assert claim.outcome == "holds", claim


@pytest.mark.parametrize("method", ["trees", "dnn", "pfn"])
def test_more_jets_make_a_better_tagger(method):
    few, many = JOINED[method, 10_000]["auc"], JOINED[method, 100_000]["auc"]
    assert stats.claim("100k beat 10k", many, few).outcome == "holds"


def test_the_network_on_particles_gains_most_from_more_jets():
    gain = {
        m: JOINED[m, 100_000]["auc"].value - JOINED[m, 10_000]["auc"].value
        for m in ("cut", "fisher", "trees", "dnn", "pfn")
    }
    assert max(gain, key=gain.get) == "pfn"
