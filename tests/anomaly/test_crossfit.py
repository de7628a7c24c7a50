"""Scores of different trainings on one scale: a cut keeps its share of each fold, also where many score alike."""

import numpy as np
import pytest

from hepml_nb.anomaly import Events, Window, cross_fit
from hepml_nb.anomaly.base import AnomalyMethod
from hepml_nb.simulate.resonance import ResonanceToy

WINDOW = Window(3.3, 3.7)


class _Coarse(AnomalyMethod):
    """Scores one feature in three steps: most events score as many others, as with trees."""

    name = "coarse"
    configs = {"paper": None, "small": None}  # noqa: RUF012

    def _fit(self, sideband, signal_region, pure, seed, untrained):
        self.steps = np.quantile(sideband.features[:, 0], [0.5, 0.85])

    def _score(self, events):
        return np.searchsorted(self.steps, events.features[:, 0]).astype(float)


@pytest.fixture(scope="module")
def events():
    table = ResonanceToy().background(9000, 1)
    return Events(table[:, 0], table[:, 1:])


@pytest.mark.parametrize("relative_to", ["window", "sideband"])
def test_a_cut_keeps_its_share_where_scores_are_tied(events, relative_to: str):
    """Between the steps, too: with ties in the middle of their share 0.9 would keep 15 % and 0.93 nothing."""
    scores = cross_fit(_Coarse, events, WINDOW, folds=3, seed=4, relative_to=relative_to)
    inside = WINDOW.inside(events.mjj)
    among = scores[inside if relative_to == "window" else ~inside]
    for cut in (0.3, 0.6, 0.9, 0.93, 0.99):
        error = np.sqrt(cut * (1 - cut) / len(among))
        assert np.mean(among > cut) == pytest.approx(1 - cut, abs=3 * error)
    assert 0 <= scores.min() <= scores.max() <= 1


def test_the_order_of_tied_events_is_random_and_repeats(events):
    scores = cross_fit(_Coarse, events, WINDOW, folds=3, seed=4)
    assert len(np.unique(scores)) > 0.3 * len(events)
    assert np.array_equal(scores, cross_fit(_Coarse, events, WINDOW, folds=3, seed=4))
    # what order ties have says nothing about the features: the correlation within a step is none
    top = scores > 0.9
    assert abs(np.corrcoef(scores[top], events.features[top, 1])[0, 1]) < 4 / np.sqrt(top.sum())


def test_scores_that_differ_keep_their_order(events):
    class Fine(_Coarse):
        name = "fine"

        def _score(self, events):
            return events.features[:, 0]

    scores = cross_fit(Fine, events, WINDOW, folds=2, seed=4)
    order = np.argsort(events.features[:, 0])
    inside = WINDOW.inside(events.mjj)[order]
    for half in (scores[order][inside], scores[order][~inside]):
        assert np.corrcoef(half, np.arange(len(half)))[0, 1] > 0.99  # two folds, each on its own scale
