"""The cut explorer: efficiencies as counted, errors as in stats, a cut that stays at its working point."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from hepml_nb import stats, widgets
from hepml_nb.core import InputError, NotFound


@pytest.fixture
def panel(classes):
    return widgets.cut_explorer(*classes, names=("QCD", "top"))


def test_efficiencies_are_the_counted_fractions_with_their_intervals(classes):
    observables, labels = classes
    state = widgets.CutState("tau32", "below", 0.6)
    view = widgets.compute_cut(state, widgets.CutData(observables, labels))
    kept = observables["tau32"] <= 0.6
    for row, label in enumerate((0, 1)):
        passed, total = kept[labels == label].sum(), (labels == label).sum()
        low, high = stats.clopper_pearson(passed, total)
        np.testing.assert_allclose(view.efficiencies[row], [passed / total, low, high])
    assert view.rejection[0] < view.rejection[1] < view.rejection[2]
    assert view.rejection[1] == pytest.approx(1 / view.efficiencies[0, 0])
    np.testing.assert_allclose((view.densities * np.diff(view.edges)).sum(axis=1), 1, atol=0.01)


def test_nothing_passing_gives_a_lower_limit(classes):
    view = widgets.compute_cut(widgets.CutState("score", "above", 2.0), widgets.CutData(*classes))
    assert view.rejection[1:] == (np.inf, np.inf)
    assert "rejection above" in widgets.describe_cut(view)
    widgets.draw_cut_roc(Figure().subplots(), view)


def test_the_panel_opens_at_the_asked_efficiency_on_the_side_of_the_signal(classes):
    panel = widgets.cut_explorer(*classes, observable="tau32", eff=0.3)
    assert panel.state.keep == "below"
    assert panel.result.efficiencies[1, 0] == pytest.approx(0.3, abs=0.005)


def test_threshold_moves_words_and_picture(panel):
    before, words = panel.picture.value, panel.status.value
    panel.threshold.slider.value = 0.9
    assert panel.threshold.field.value == pytest.approx(0.9)
    assert panel.state.threshold == pytest.approx(0.9)
    assert "score ≥ 0.9 keeps top" in panel.status.value
    assert panel.picture.value != before
    assert panel.status.value != words


def test_another_observable_keeps_the_working_point_and_moves_the_bounds(panel):
    reached = panel.result.efficiencies[1, 0]
    panel.observable.value = "tau32"
    assert panel.state.keep == panel.keep.value == "below"
    assert panel.result.efficiencies[1, 0] == pytest.approx(reached, abs=0.005)
    assert panel.threshold.field.min < panel.state.threshold == panel.threshold.slider.value < panel.threshold.field.max
    panel.keep.value = "above"
    assert panel.state.keep == "above"
    assert panel.result.efficiencies[1, 0] == pytest.approx(reached, abs=0.005)


def test_threshold_and_its_bounds_lie_on_the_grid_of_the_slider(panel):
    field = panel.threshold.field
    for edge in (field.min, field.max, panel.state.threshold):
        assert edge / field.step == pytest.approx(round(edge / field.step), abs=1e-6)


def test_compute_is_pure(classes):
    data = widgets.CutData(*classes)
    one, two = (widgets.compute_cut(widgets.CutState("score", "above", 0.5), data) for _ in range(2))
    for field in dataclasses.fields(one):
        if isinstance(getattr(one, field.name), np.ndarray):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


def test_static_twin_and_names_for_keyboard_and_screen_reader(panel):
    assert "AUC" not in panel.static().alt
    assert panel.static().alt.startswith("score ≥ ")
    assert [panel.observable.description, panel.keep.description, panel.threshold.field.description] == [
        "observable",
        "keep",
        "threshold",
    ]


def test_constant_observables_and_tied_values_are_shown():
    labels = np.array([0, 0, 1, 1] * 5)
    panel = widgets.cut_explorer({"constant": np.ones(20), "two values": labels}, labels)
    panel.observable.value = "two values"
    assert panel.result.efficiencies[1, 0] == 1


@pytest.mark.parametrize(
    ("observables", "labels", "message"),
    [
        ({}, [0, 1], "no observable"),
        ({"x": [0.1, np.nan]}, [0, 1], "1 not finite"),
        ({"x": [0.1, 0.2, 0.3]}, [0, 1], "shape"),
        ({"x": [0.1, 0.2]}, [1, 1], "class"),
    ],
)
def test_bad_input_is_named(observables, labels, message):
    with pytest.raises(InputError, match=message):
        widgets.cut_explorer(observables, labels)


def test_unknown_observable_and_side_are_named(classes):
    with pytest.raises(NotFound, match="did you mean 'tau32'"):
        widgets.cut_explorer(*classes, observable="tau23")
    with pytest.raises(InputError, match="above"):
        widgets.compute_cut(widgets.CutState("score", "left", 0.5), widgets.CutData(*classes))
