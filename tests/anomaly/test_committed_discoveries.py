"""What the committed searches on the toy show: the global p-value can be believed, and a signal is found."""

import numpy as np
from scipy.stats import kstest

from hepml_nb import runtime
from hepml_nb.anomaly.searches import PARTS, calibration, inclusive_z

SPEC = runtime.read_spec("anomaly/discoveries")
ROWS = runtime.rows(SPEC)
BY_SIGNAL: dict[int, list[dict]] = {}
for one in ROWS:
    BY_SIGNAL.setdefault(one["point"]["signal"], []).append(one["row"])


def test_every_point_was_run():
    assert len(ROWS) == len(SPEC.points)
    assert len(BY_SIGNAL[0]) == 200


def test_global_p_values_without_a_signal_are_uniform():
    found = calibration(BY_SIGNAL[0])
    assert found.ks > 0.01
    assert found.low <= found.below.value <= found.high


def test_counts_without_a_signal_are_as_the_fits_foretell():
    """For each cut: no bias of the prediction, and as many small local p-values as there should be."""
    names = ("observed", "expected", "p")
    observed, expected, p = (np.array([row[name] for row in BY_SIGNAL[0]], float) for name in names)
    for cut in range(observed.shape[2]):
        off = np.nanmean((observed - expected)[:, :, cut], axis=1)  # windows overlap; searches do not
        assert abs(off.mean()) < 4 * off.std(ddof=1) / np.sqrt(len(off))
        assert 0.03 < np.mean(p[:, :, cut] < 0.05) < 0.07


def test_more_signal_is_found_more_surely_and_in_its_window():
    medians = [np.median([row["global_z"] for row in BY_SIGNAL[n]]) for n in sorted(BY_SIGNAL)]
    assert medians[-1] > 5
    assert (np.diff(medians) > -0.5).all()
    loud = BY_SIGNAL[max(BY_SIGNAL)]
    assert np.mean([abs(row["best"][0] - 2) <= 1 for row in loud]) > 0.8
    assert medians[-1] > inclusive_z(30_000, max(BY_SIGNAL))


def test_ten_disjoint_sets_of_simulated_dijets_show_no_gross_failure():
    p = [one["row"]["global_p"] for one in runtime.rows("anomaly/discoveries_lhco")]
    assert len(p) == PARTS
    assert kstest(p, "uniform").pvalue > 0.01
