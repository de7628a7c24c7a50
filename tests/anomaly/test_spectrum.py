import numpy as np
import pytest

from hepml_nb.anomaly import Window
from hepml_nb.anomaly.spectrum import MassSpectrum, fill, with_counts
from hepml_nb.core import InputError

EDGES = np.linspace(2.0, 4.0, 11)


def test_filling_counts_each_event_in_its_bin_and_leaves_out_what_lies_beyond():
    spectrum = fill([2.1, 2.1, 3.99, 1.0, 9.0], EDGES)
    assert spectrum.counts.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert spectrum.total == 3
    assert np.allclose(spectrum.centres, EDGES[:-1] + 0.1)
    assert np.allclose(spectrum.widths, 0.2)


def test_a_window_is_its_bins():
    spectrum = MassSpectrum(np.ones(10), EDGES)
    assert spectrum.bins_in(Window(2.4, 3.0)).tolist() == [False] * 2 + [True] * 3 + [False] * 5
    assert with_counts(spectrum, np.arange(10)).counts[3] == 3


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (Window(5.0, 6.0), "lies outside of the spectrum, 2 to 4 TeV"),
        (Window(2.45, 3.0), "does not begin and end at bin edges; the nearest are 2.4 and 3 TeV"),
        (Window(2.0, 4.0), "no sideband is left"),
        (Window(1.0, 3.0), "does not begin and end at bin edges"),
    ],
)
def test_a_window_that_cannot_be_is_refused(window, message):
    with pytest.raises(InputError, match=message):
        MassSpectrum(np.ones(10), EDGES).bins_in(window)


@pytest.mark.parametrize(
    ("counts", "edges", "message"),
    [
        (np.ones(3), [1.0, 3.0, 2.0, 4.0], "no bin edges"),
        (np.ones(3), [1.0, 2.0, 3.0], "counts have shape"),
        ([1, -2, 3], [1.0, 2.0, 3.0, 4.0], "bin 1 counts -2 events"),
        ([1, np.nan, 3], [1.0, 2.0, 3.0, 4.0], "bin 1 counts nan"),
        (np.ones(3), [0.0, 1.0, 2.0, 3.0], "a mass is positive"),
    ],
)
def test_a_spectrum_that_cannot_be_is_refused(counts, edges, message):
    with pytest.raises(InputError, match=message):
        MassSpectrum(counts, edges)


def test_nothing_to_fill_is_said():
    with pytest.raises(InputError, match="none of 2 events has a mass between 2 and 4 TeV"):
        fill([1.0, 7.0], EDGES)
    with pytest.raises(InputError, match="1 not finite"):
        fill([2.1, np.nan], EDGES)
