"""What the committed calibration of NPLM shows, as notebook anomaly/05 says it."""

import numpy as np
import pytest

from hepml_nb import runtime
from hepml_nb.anomaly.nplm_study import joined
from hepml_nb.anomaly.pseudo import uniform

SPEC = runtime.read_spec("anomaly/nplm")
ROWS = runtime.rows(SPEC)
SHIFTS = (-2.0, 0.0, 2.0)


def rows(treatment: str, config: str = "small", **wanted: float) -> list[dict]:
    """The rows of a treatment, either of experiments with a shift or of those with a signal."""
    points = [(one["point"], one["row"]) for one in ROWS]
    chosen = {"treatment": treatment, "config": config, **wanted}
    return [row for point, row in points if all(point.get(name) == value for name, value in chosen.items())]


def size(treatment: str, shift: float) -> float:
    """How often experiments without a signal have a p-value of 5 % or less."""
    return float(np.mean(joined(rows(treatment, shift=shift))[1] <= 0.05))


def test_every_point_was_run():
    assert len(ROWS) == len(SPEC.points)


@pytest.mark.parametrize("treatment", ["profiled", "ignored"])
def test_without_a_shift_p_values_are_uniform(treatment):
    assert uniform(joined(rows(treatment, shift=0.0))[1]) > 0.01


@pytest.mark.parametrize("shift", SHIFTS)
def test_profiled_p_values_stay_near_uniform_whatever_the_scale_is(shift):
    """Not exactly: the tail holds more events where the scale is larger, and there t is not asymptotic."""
    p = joined(rows("profiled", shift=shift))[1]
    assert abs(p.mean() - 0.5) < 0.05
    assert 0.01 < size("profiled", shift) < 0.1
    assert np.median([uniform(row["p"]) for row in rows("profiled", shift=shift)]) > 0.01


@pytest.mark.parametrize("shift", [-2.0, 2.0])
def test_ignored_a_shift_within_its_uncertainty_is_a_discovery(shift):
    assert uniform(joined(rows("ignored", shift=shift))[1]) < 1e-50
    assert size("ignored", shift) > 0.8
    assert size("ignored", shift) > 8 * size("profiled", shift)


def test_what_is_left_of_the_shift_has_the_sign_of_the_tail():
    assert size("profiled", -2.0) < size("profiled", 0.0) < size("profiled", 2.0)


@pytest.mark.parametrize("treatment", ["profiled", "ignored"])
def test_a_chi2_describes_t_of_every_reference(treatment):
    found = {row["dof"]: row["chi2_agreement"] for row in rows(treatment, shift=0.0)}
    assert len(found) == 3
    assert min(found.values()) > 0.01
    assert all(6 < dof < 12 for dof in found)


@pytest.mark.parametrize("treatment", ["profiled", "ignored"])
def test_a_bump_is_seen_and_twice_the_bump_is_seen_better(treatment):
    weak, strong = (joined(rows(treatment, signal=signal))[1] for signal in (10, 20))
    assert np.mean(weak <= 0.05) > 0.3
    assert np.mean(strong <= 0.05) > 0.9


def test_the_networks_statistic_has_about_as_many_degrees_of_freedom_as_parameters():
    (profiled,), (ignored,) = rows("profiled", "network"), rows("ignored", "network")
    for row in (profiled, ignored):
        assert row["parameters"] == 13
        assert row["dof"] == pytest.approx(13, abs=2.5)
    assert uniform(profiled["p"]) > 0.01 > uniform(ignored["p"])
