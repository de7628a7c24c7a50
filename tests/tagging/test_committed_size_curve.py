"""What the committed long sweep shows: its rows are whole, comparable, and bear out what the notebooks say of them."""

import pytest

from hepml_nb import runtime, stats, tagging
from hepml_nb.tagging.sweeps import combine

SPEC = runtime.read_spec("tagging/size_curve")
ROWS = runtime.rows(SPEC)
JOINED = combine(ROWS)
SMALLEST, LARGEST = 10_000, 40_000


def holds(better: str, worse: str, size: int, metric: str = "auc") -> None:
    claim = stats.claim(f"{better} beats {worse}", JOINED[better, size][metric], JOINED[worse, size][metric])
    assert claim.outcome == "holds", claim


def test_every_point_was_run_on_at_least_200k_background_jets():
    assert len(ROWS) == len(SPEC.points)
    assert min(row["row"]["background"] for row in ROWS) >= 200_000


def test_most_taggers_were_trained_at_the_larger_size():
    assert len({name for name, _ in JOINED} & set(tagging.methods())) >= 18
    assert {size for _, size in JOINED} == {SMALLEST, LARGEST, 100_000}


def test_all_rows_rest_on_the_same_test_jets():
    assert len({result["auc"].pairing for result in JOINED.values()}) == 1


@pytest.mark.parametrize("size", [SMALLEST, LARGEST])
@pytest.mark.parametrize("method", ["fisher", "trees", "dnn", "pfn"])
def test_what_learns_from_substructure_beats_the_best_single_cut(method, size):
    holds(method, "cut", size)


def test_more_jets_make_better_networks():
    for name in ("dnn", "pfn"):
        few, many = JOINED[name, SMALLEST]["auc"], JOINED[name, LARGEST]["auc"]
        assert stats.claim(f"{name}: 40k beat 10k", many, few).outcome == "holds"


def test_the_sum_over_particles_gains_most_of_all_from_more_jets():
    gain = {m: JOINED[m, 100_000]["auc"].value - JOINED[m, SMALLEST]["auc"].value for m in ("trees", "dnn", "pfn")}
    assert max(gain, key=gain.get) == "pfn"
