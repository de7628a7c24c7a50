"""Events and windows: what is selected, and one clear error for each way in which a search cannot be begun."""

from __future__ import annotations

import numpy as np
import pytest

from hepml_nb.anomaly import SIGNAL_REGION, Events, Window, concatenate, disjoint
from hepml_nb.core import InputError


def _events(mjj, labels=None) -> Events:
    mjj = np.asarray(mjj, float)
    return Events(mjj, np.stack([mjj**2, np.sin(mjj)], axis=1), ("a", "b"), labels)


def test_selection_keeps_rows_together():
    events = _events([3.0, 3.5, 4.0], [0, 1, 0])
    assert len(events) == 3
    assert events[events.mjj > 3.2].labels.tolist() == [1, 0]
    assert events[[2, 0]].mjj.tolist() == [4.0, 3.0]
    assert len(events[1]) == 1
    assert events.only("b").features.shape == (3, 1)
    both = concatenate([events, _events([5.0])])
    assert len(both) == 4
    assert both.labels is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0, 2.0], [[1.0]]), "unequal lengths"),
        (([1.0], [[1.0]], ("a", "b")), "names"),
        (([np.nan], [[1.0]]), "mjj is NaN"),
        (([1.0], [[np.inf]]), "features is NaN"),
        (([1.0], [[1.0]], (), [2]), "labels"),
        (([[1.0]], [[1.0]]), "shape"),
    ],
)
def test_bad_events_are_refused(arguments, words: str):
    with pytest.raises(InputError, match=words):
        Events(*arguments)


def test_the_window_splits_within_its_reach():
    events = _events([2.0, 3.0, 3.4, 3.6, 4.0, 6.0])
    sideband, window = Window(3.3, 3.7, reach=(2.5, 5.0)).split(events)
    assert sideband.mjj.tolist() == [3.0, 4.0]
    assert window.mjj.tolist() == [3.4, 3.6]
    assert len(SIGNAL_REGION.split(events)[0]) == 4


@pytest.mark.parametrize(
    ("mjj", "words"),
    [([3.0, 4.0], "none of the 2 events"), ([3.4, 3.5], "below"), ([3.4, 4.0], "below"), ([3.0, 3.4], "above")],
)
def test_windows_without_events_are_refused(mjj, words: str):
    with pytest.raises(InputError, match=words):
        SIGNAL_REGION.split(_events(mjj))


@pytest.mark.parametrize("edges", [(3.7, 3.3), (3.3, 3.3), (-1.0, 3.0)])
def test_impossible_windows_are_refused(edges):
    with pytest.raises(InputError, match="reach"):
        Window(*edges)


def test_events_in_two_samples_are_found():
    a, b = _events(np.linspace(1, 2, 500)), _events(np.linspace(3, 4, 500))
    disjoint(train=a, test=b)
    with pytest.raises(InputError, match=r"3 events of train .* also in test"):
        disjoint(train=a, test=concatenate([b, a[:3]]))
    rounded = np.float32(np.random.default_rng(0).random((200_000, 3))).astype(float)  # half of their bits are 0
    disjoint(a=Events(rounded[:, 0], rounded[:, 1:]), b=Events(rounded[:, 1], rounded[:, 1:]))


def test_other_columns_are_not_joined():
    with pytest.raises(InputError, match="columns"):
        concatenate([_events([1.0]), Events([1.0], [[1.0, 2.0]], ("a", "c"))])
    with pytest.raises(InputError, match="nothing"):
        concatenate([])
    with pytest.raises(InputError, match="no feature 'c'"):
        _events([1.0]).only("c")
