"""The score explorer: the window holds the jets that it says, and their share of signal is that which was counted."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from hepml_nb import stats, widgets
from hepml_nb.core import InputError, NotFound


@pytest.fixture
def given(classes):
    observables, labels = classes
    return {"net": observables["score"], "cut": -observables["tau32"]}, observables, labels


@pytest.fixture
def panel(given):
    return widgets.score_explorer(*given, names=("QCD", "top"), observable="tau32")


def test_the_window_holds_the_jets_between_the_percentiles(given):
    scores, observables, labels = given
    view = widgets.compute_scores(widgets.ScoreState("net", "tau32", 30, 50), widgets.ScoreData(*given))
    inside = (scores["net"] >= np.quantile(scores["net"], 0.3)) & (scores["net"] <= np.quantile(scores["net"], 0.5))
    assert sum(view.counts) == inside.sum() == pytest.approx(400, abs=2)
    assert view.counts[1] == labels[inside].sum()
    low, high = stats.clopper_pearson(view.counts[1], inside.sum())
    assert view.share == pytest.approx((labels[inside].mean(), float(low), float(high)))
    assert view.mean == pytest.approx(scores["net"][inside].mean())
    for number in (0, 1):
        assert view.medians[number] == np.median(observables["tau32"][inside & (labels == number)])
    np.testing.assert_allclose((view.everything * np.diff(view.edges)).sum(axis=1), 1, atol=0.02)


def test_everything_is_chosen_by_the_whole_range(given):
    view = widgets.compute_scores(widgets.ScoreState("cut", "tau32"), widgets.ScoreData(*given))
    assert view.counts == (1000, 1000)
    np.testing.assert_array_equal(view.chosen, view.everything)


def test_controls_move_words_and_picture_and_never_cross(panel):
    before = panel.picture.value
    panel.high.slider.value = 90
    assert panel.state.high == 90
    assert panel.picture.value != before
    panel.low.slider.value = 95
    assert (panel.state.low, panel.state.high, panel.high.field.value) == (95, 96, 96)
    panel.high.slider.value = 20
    assert (panel.state.low, panel.state.high, panel.low.field.value) == (19, 20, 19)
    panel.tagger.value = "cut"
    assert "cut score" in panel.status.value
    assert panel.state.observable == "tau32"


def test_static_twin_and_names_for_keyboard_and_screen_reader(panel):
    alt = panel.static().alt
    assert alt.startswith("net score ")
    assert "share of top" in alt
    assert "median tau32: QCD" in alt
    handles = (panel.tagger, panel.observable, panel.low.field, panel.high.field)
    assert [handle.description for handle in handles] == ["tagger", "observable", "from %", "to %"]


def test_a_window_without_one_class_is_shown():
    labels = np.repeat([0, 1], 100)
    data = widgets.ScoreData({"s": labels + np.linspace(0, 0.5, 200)}, {"x": np.arange(200.0)}, labels)
    view = widgets.compute_scores(widgets.ScoreState("s", "x", 0, 20), data)
    assert view.counts == (40, 0)
    assert "signal 0" not in widgets.describe_scores(view).split("median")[1]
    axes = Figure().subplots(1, 2)
    widgets.draw_scores(axes[0], view)
    widgets.draw_chosen(axes[1], view)


@pytest.mark.parametrize(
    ("scores", "observables", "message"),
    [({}, {"x": [1, 2]}, "at least one tagger"), ({"s": [1, 2]}, {}, "at least one observable"),
     ({"s": [1, np.nan]}, {"x": [1, 2]}, "finite number"), ({"s": [1, 2]}, {"x": [1, 2, 3]}, "shape")],
)  # fmt: skip
def test_bad_input_is_named(scores, observables, message):
    with pytest.raises(InputError, match=message):
        widgets.score_explorer(scores, observables, [0, 1])


def test_unknown_names_and_crossed_windows_are_named(given):
    with pytest.raises(NotFound, match="did you mean 'tau32'"):
        widgets.score_explorer(*given, observable="tau23")
    with pytest.raises(InputError, match="low=60, high=40"):
        widgets.score_explorer(*given, low=60, high=40)
