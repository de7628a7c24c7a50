"""Weak supervision and cross-fitting on the toy: what is compared with what, and that no event scores itself."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from hepml_nb.anomaly import SIGNAL_REGION, Events, Window, concatenate, cross_fit, make
from hepml_nb.anomaly.base import AnomalyMethod
from hepml_nb.anomaly.classifiers import RatioClassifier
from hepml_nb.anomaly.masses import interpolated
from hepml_nb.anomaly.problems import toy
from hepml_nb.core import InputError, derive_seed
from hepml_nb.simulate.resonance import REACH, ResonanceToy
from hepml_nb.stats import auc, max_sic

SIZES = {"pure_background": 3000, "pure_signal": 1500, "test_background": 6000, "test_signal": 1500}


@pytest.fixture(scope="module")
def problem():
    return toy(20_000, 400, 5, **SIZES)


def _fitted(name: str, problem, **settings):
    made = make(name, members=3, **settings)
    return made.fit(problem.sideband, problem.signal_region, background=problem.background, signal=problem.signal)


@pytest.mark.parametrize(
    ("name", "samples"),
    [("cwola", ("sideband", "signal_region")), ("idealised", ("background", "signal_region")),
     ("supervised", ("background", "signal")), ("supervised-cwola", ("signal_region", "signal"))],
)  # fmt: skip
def test_each_tells_the_samples_apart_that_it_names(problem, name: str, samples: tuple[str, str]):
    method = _fitted(name, problem)
    zero, one = (getattr(problem, sample).features for sample in samples)
    alone = RatioClassifier(method.config).fit(zero, one, derive_seed(0, name))
    assert np.array_equal(method.score(problem.test), alone.probability(problem.test.features))


def test_supervision_beats_a_template_which_beats_nothing(problem):
    area = {name: auc(problem.test.labels, _fitted(name, problem).score(problem.test)).value
            for name in ("supervised", "idealised", "cwola")}  # fmt: skip
    best = auc(problem.test.labels, ResonanceToy().optimal(problem.test.features)).value
    assert best > area["supervised"] > area["idealised"] > 0.6
    assert area["cwola"] > 0.6


def test_cwola_fails_where_features_follow_the_mass():
    """At the published S / sqrt(B) and with the published shift, though the features hold what is needed."""
    shifted = toy(25_000, 165, 5, shift=0.1, **SIZES)
    assert 1.7 < shifted.significance < 2.7
    labels = shifted.test.labels
    assert max_sic(labels, _fitted("cwola", shifted).score(shifted.test)).value < 2
    assert max_sic(labels, ResonanceToy(0.1).optimal(shifted.test.features, nodes=24)).value > 5


def test_the_network_of_the_paper_is_a_configuration(problem):
    made = _fitted("idealised", problem, kind="network", epochs=2)
    assert made.score(problem.test).std() > 0
    assert make("cwola", "paper").config.kind == "network"


class _Remembers(AnomalyMethod):
    """Scores 1 what it was fitted on, and writes down who fitted."""

    name = "remembers"
    configs = {"paper": None, "small": None}  # noqa: RUF012

    def _fit(self, sideband, signal_region, pure, seed, untrained):
        self.seen = set(concatenate([sideband, signal_region]).mjj.tolist())

    def _score(self, events):
        assert not self.seen & set(events.mjj.tolist()), "an event is scored by a method that was fitted on it"
        return events.mjj


def test_cross_fits_score_every_event_once_and_never_itself():
    table = ResonanceToy().background(6000, 1)
    events = Events(table[:, 0], table[:, 1:])
    window = Window(3.3, 3.7, reach=(3.0, 5.0))
    scores = cross_fit(_Remembers, events, window, folds=4, seed=2)
    used = (events.mjj > 3.0) & (events.mjj < 5.0)
    assert np.array_equal(np.isfinite(scores), used)
    inside = window.inside(events.mjj)
    assert np.mean(scores[inside] > 0.9) == pytest.approx(0.1, abs=0.01)  # a share of the window, in every fold
    assert (scores[events.mjj <= 3.3][used[events.mjj <= 3.3]] == 0).all()
    assert np.array_equal(scores, cross_fit(_Remembers, events, window, folds=4, seed=2), equal_nan=True)
    assert not np.array_equal(scores, cross_fit(_Remembers, events, window, folds=4, seed=3), equal_nan=True)


def test_cross_fits_refuse_what_cannot_be_searched():
    table = ResonanceToy().background(2000, 1)
    events = Events(table[:, 0], table[:, 1:])
    new = functools.partial(make, "cwola", members=1)
    with pytest.raises(InputError, match="folds"):
        cross_fit(new, events, SIGNAL_REGION, folds=1)
    with pytest.raises(InputError, match="none of the"):
        cross_fit(new, events[~SIGNAL_REGION.inside(events.mjj)], SIGNAL_REGION)
    with pytest.raises(InputError, match="3 of 2003 events stand there twice"):
        cross_fit(new, concatenate([events, events[:3]]), SIGNAL_REGION)
    with pytest.raises(InputError, match="also in"):
        cross_fit(_Remembers, events, SIGNAL_REGION, background=events[:100])


def test_masses_are_interpolated_without_the_window():
    toy_ = ResonanceToy()
    pulls = []
    for seed in range(8):
        m = toy_.background(30_000, seed)[:, 0]
        window = (m > 3.3) & (m < 3.7)
        made = interpolated(m[~window], 3.3, 3.7)
        pulls.append((made.expected - window.sum()) / np.sqrt(2 * window.sum()))
    assert np.abs(np.mean(pulls)) < 1.5
    assert np.std(pulls) < 2
    drawn = made.draw(5000, 1)
    assert 3.3 < drawn.min() < drawn.max() < 3.7
    assert drawn.mean() == pytest.approx(m[window].mean(), abs=0.01)
    with pytest.raises(InputError, match="bins"):
        interpolated([3.0, 4.0], 3.3, 3.7)
    assert REACH[0] == 2.7
