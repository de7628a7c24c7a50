"""Rows of the long comparison: what one says, how several are joined, and that only paired ones are."""

from copy import deepcopy

import numpy as np
import pytest

from hepml_nb.anomaly.compared import EFFICIENCY, OPTIMUM, combine, landscape
from hepml_nb.core import InputError
from hepml_nb.stats import claim

SMALL = {"seed": 0, "events": 6000, "signal": 100}


@pytest.fixture(scope="module")
def rows():
    return [
        {"point": {**SMALL, "method": name}, "row": landscape({**SMALL, "method": name})} for name in (OPTIMUM, "pca")
    ]


def five(row, method="cwola"):
    """Return five made-up trainings around one row."""
    made = []
    for seed, factor in enumerate((0.8, 0.9, 1.0, 1.1, 1.4)):
        again = deepcopy(row)
        again["metrics"]["sic"]["value"] *= factor
        again["replicas"]["sic"] = [factor * x for x in again["replicas"]["sic"]]
        made.append({"point": {**SMALL, "method": method, "seed": seed}, "row": again})
    return made


def test_a_row_holds_what_the_search_was_and_what_the_method_made_of_it(rows):
    optimum, pca = (entry["row"] for entry in rows)
    assert [optimum[name] for name in ("background", "signal")] == [pca[name] for name in ("background", "signal")]
    assert optimum["metrics"]["sic"]["n"] == 100_000
    assert optimum["metrics"]["sic"]["value"] > 10 * pca["metrics"]["sic"]["value"]
    assert optimum["greatest"]["value"] >= optimum["metrics"]["sic"]["value"] - optimum["metrics"]["sic"]["error"]
    assert 0 <= pca["sculpting"]["value"] <= 1


def test_another_experiment_has_other_data_and_the_same_test(rows):
    other = landscape({**SMALL, "method": OPTIMUM, "experiment": 1})
    same = rows[0]["row"]
    assert other["metrics"]["sic"] == same["metrics"]["sic"]
    assert other["background"] != same["background"]


def test_joined_trainings_have_their_median_and_the_spread_between_them(rows):
    many = five(rows[0]["row"])
    found = combine(rows + many)
    one, values = found["cwola"]["sic"], np.array([r["row"]["metrics"]["sic"]["value"] for r in many])
    assert one.value == pytest.approx(values.mean())
    assert one.error > values.std(ddof=1) / np.sqrt(5)
    assert one.floor == found[OPTIMUM]["sic"].value
    assert one.baseline == pytest.approx(np.sqrt(EFFICIENCY))
    assert f"median of 5 trainings {np.median(values):.3g}" in one.definition
    assert (found[OPTIMUM]["sic"].seeds, found["pca"]["sic"].seeds, one.seeds) == (0, 0, 5)


def test_joined_rows_can_be_judged(rows):
    found = combine(rows + five(rows[0]["row"]))
    assert claim("cwola beats pca", found["cwola"]["sic"], found["pca"]["sic"]).outcome == "holds"
    assert claim("pca beats cwola", found["pca"]["sic"], found["cwola"]["sic"]).outcome == "reversed"


def test_rows_of_two_problems_are_refused(rows):
    with pytest.raises(InputError, match="two rows of pca, seed 0"):
        combine([*rows, rows[1]])
    many = five(rows[0]["row"])
    many[0]["row"]["metrics"]["sic"]["pairing"] = "another test"
    with pytest.raises(InputError, match="different test events"):
        combine(many)
