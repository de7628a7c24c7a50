"""What the committed sweep of coverage shows: errors mean what they say; the contrasts fail for the reason given."""

import json

import numpy as np
import pytest

from hepml_nb import runtime
from hepml_nb.unfolding import judge
from hepml_nb.unfolding.uncertainty import covered

SPEC = runtime.read_spec("unfolding/coverage")
ROWS = runtime.rows(SPEC)
GROUPS: dict[str, list[dict]] = {}
for one in ROWS:
    point = {key: value for key, value in one["point"].items() if key not in ("seed", "experiments")}
    GROUPS.setdefault(json.dumps(point), []).append(one["row"])
POINTS = {text: json.loads(text) for text in GROUPS}


def contrast(point: dict) -> bool:
    """Say whether a setting is there to show how coverage fails."""
    few = point["problem"] == "gaussian" and point["method"] == "ibu" and point["settings"]["iterations"] == 1
    wide = point.get("observable") == "mass" and point.get("bins") == 6 and point["method"] == "ibu"
    poor = point["method"] == "inversion" and point["simulated"] == 10_000
    return few or wide or poor


def joined(**wanted):
    (text,) = [t for t, p in POINTS.items() if all(p.get(key) == value for key, value in wanted.items())]
    return covered(GROUPS[text])


def test_every_point_was_run_with_300_experiments_for_each_setting():
    assert len(ROWS) == len(SPEC.points)
    assert min(covered(some)[0].n for some in GROUPS.values()) >= 300


@pytest.mark.parametrize("text", [text for text, point in POINTS.items() if not contrast(point)])
def test_coverage_is_68_percent_in_the_mean_and_near_it_in_every_bin(text):
    mean, per_bin, *_ = covered(GROUPS[text])
    assert mean.value == pytest.approx(0.68, abs=0.03)
    assert per_bin.min() >= 0.59
    assert per_bin.max() <= 0.77


def test_one_iteration_is_biased_and_its_errors_are_right():
    mean, _, pulls, widths = joined(problem="gaussian", method="ibu", settings={"iterations": 1})
    assert mean.value < 0.2
    assert np.abs(pulls).max() > 4
    assert widths == pytest.approx(np.ones(8), abs=0.2)


def test_a_poorly_simulated_response_makes_the_errors_of_an_inversion_too_large():
    poor, good = (joined(method="inversion", simulated=n) for n in (10_000, 100_000))
    assert poor[0].value > 0.72
    assert np.abs(poor[2]).max() < 0.2  # no bias
    assert poor[3].mean() < 0.9 < good[3].mean()


def test_bins_in_which_the_shapes_differ_are_biased_whatever_the_iterations():
    wide, narrow = (joined(problem="zjets", observable="mass", method="ibu", bins=n) for n in (6, 12))
    assert wide[1].min() < 0.59 < narrow[1].min()
    assert np.abs(wide[2]).max() > 0.6 > np.abs(narrow[2]).max()
    assert wide[3].mean() == pytest.approx(1, abs=0.1)  # the errors themselves are right


@pytest.mark.parametrize("method", ["ibu", "likelihood"])
def test_slopes_come_back_with_fakes_losses_and_background(method):
    some = [rows for text, rows in GROUPS.items() if POINTS[text]["problem"] == "zjets-losses"
            and POINTS[text]["method"] == method]  # fmt: skip
    slopes = np.array([np.mean([row["slopes"] for row in rows], axis=0) for rows in some])
    assert np.ptp(slopes[:, 0]) > 0.3
    assert judge.linearity(*slopes.T).value == pytest.approx(1, abs=0.05)
    experiments = sum(row["experiments"] for rows in some for row in rows)
    assert sum(row["small"] for rows in some for row in rows) / experiments < 0.025  # p < 0.01
