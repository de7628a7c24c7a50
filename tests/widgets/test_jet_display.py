"""The jet display: pure computation, a picture and words that follow the controls, a static twin."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import time

import awkward as ak
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hepml_nb import simulate, widgets
from hepml_nb.core import InputError


@pytest.fixture(scope="module")
def panel(events):
    truth = ak.zip({"eta": ak.Array([[0.4, 0.6]] * 3), "phi": ak.Array([[3.0, -3.1]] * 3)})
    return widgets.jet_display(
        events, cluster=simulate.cluster, lund=simulate.lund, truth=truth, names=["first", "second", "third"]
    )


def test_compute_gives_the_jets_of_the_event_and_no_others(events):
    view = widgets.compute_jets(widgets.JetState(event=1, radius=0.6), events, simulate.cluster, simulate.lund)
    alone = simulate.cluster(events[1:2], "antikt", 0.6, 50.0)[0]
    # the ghosts that measure areas change nothing
    np.testing.assert_allclose(view.jets[:, 0], alone.pt, rtol=1e-9)
    np.testing.assert_allclose(view.jets[:, 3], alone.mass, rtol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(view.owner == 0), np.sort(ak.to_numpy(alone.index[0])))
    assert view.sizes[0] == (view.owner == 0).sum()
    assert len(view.lund)
    assert (view.lund[:, 0] < 1.2).all()


def test_compute_is_pure(events):
    state = widgets.JetState(algorithm="kt")
    before = events.tolist()
    one, two = (widgets.compute_jets(state, events, simulate.cluster, simulate.lund) for _ in range(2))
    for name in ("owner", "jets", "area", "lund"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert events.tolist() == before


def test_anti_kt_jets_are_round_and_kt_jets_are_not(events):
    cell = 2 * 3.0 * 2 * np.pi / (72 * 76)
    areas = {}
    for algorithm in ("antikt", "kt"):
        view = widgets.compute_jets(widgets.JetState(algorithm=algorithm, radius=0.8), events, simulate.cluster)
        areas[algorithm] = (view.area == 0).sum() * cell
    assert areas["antikt"] == pytest.approx(np.pi * 0.8**2, rel=0.05)
    assert abs(areas["kt"] / areas["antikt"] - 1) > 0.05


def test_drawing_needs_no_widget_and_no_pyplot(events):
    view = widgets.compute_jets(widgets.JetState(), events, simulate.cluster, simulate.lund)
    left, right = Figure().subplots(1, 2)
    widgets.draw_event(left, view)
    widgets.draw_lund(right, view)
    assert left.get_xlabel() == "pseudorapidity η"
    assert len(left.collections[0].get_offsets()) == len(view.pt)
    widgets.draw_lund(Figure().subplots(), dataclasses.replace(view, lund=np.zeros((0, 3))))


@pytest.mark.parametrize(
    ("control", "value", "told"),
    [
        ("radius", 0.4, "R = 0.40"),
        ("algorithm", "cambridge", "Cambridge/Aachen"),
        ("event", 2, "third"),
        ("min_pt", 490.0, "1 jet above 490 GeV"),
    ],
)
def test_each_control_changes_words_and_picture(panel, control, value, told):
    handle = panel.controls[control]
    field = getattr(handle, "field", handle)
    before, words, old = panel.picture.value, panel.status.value, field.value
    field.value = value
    assert getattr(panel.state, control) == value
    assert told in panel.status.value
    assert told in panel.picture.tooltip
    assert panel.status.value != words
    assert panel.picture.value != before
    field.value = old
    assert panel.picture.value == before
    assert panel.status.value == words


def test_sliders_have_named_fields_that_move_with_them(panel):
    for name in ("event", "radius", "min_pt"):
        control = getattr(panel, name)
        assert control.field.description
        control.slider.value = control.slider.min
        assert control.field.value == control.slider.min
        assert getattr(panel.state, name) == control.slider.min
    assert panel.algorithm.description == "algorithm"
    panel.event.field.value, panel.radius.field.value, panel.min_pt.field.value = 0, 0.8, 50.0


def test_status_is_a_live_region(panel):
    assert 'role="status"' in panel.status.value


def test_static_twin_shows_the_default_state_in_words_and_picture(panel):
    panel.radius.field.value = 0.5
    still = panel.static()
    assert "R = 0.80" in still.alt
    data, metadata = still._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == still.alt == data["text/plain"]
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.width >= metadata["image/png"]["width"] >= 900
    panel.radius.field.value = 0.8
    assert panel.picture.value == still.png


def test_live_view_carries_its_static_twin_in_the_same_output(panel):
    data, metadata = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert base64.b64decode(data["image/png"]) == panel.static().png
    assert metadata["image/png"]["alt"] == panel.static().alt
    json.dumps([data, metadata])


def test_moving_a_control_appends_nothing(panel):
    children, frames = list(panel.children), [len(ax.get_children()) for ax in panel._figure.axes]
    for radius in (0.5, 0.6, 0.7, 0.8):
        panel.radius.field.value = radius
    assert list(panel.children) == children
    assert [len(ax.get_children()) for ax in panel._figure.axes] == frames
    assert all(not ax.containers for ax in panel._figure.axes)


def test_response_is_quick(panel):
    spent = []
    for radius in (0.45, 0.55, 0.65, 0.75, 0.85):
        start = time.process_time()
        panel.radius.field.value = radius
        spent.append(time.process_time() - start)
    panel.radius.field.value = 0.8
    assert min(spent) < 0.4  # 0.1 s on a quiet machine; the margin is for a crowded one


def test_an_event_without_jets_or_particles_is_told(events):
    view = widgets.compute_jets(widgets.JetState(min_pt=5000.0), events, simulate.cluster, simulate.lund)
    assert "0 jets above 5000 GeV." in widgets.describe_jets(view)
    nothing = widgets.compute_jets(widgets.JetState(), events[:, :0], simulate.cluster, simulate.lund)
    widgets.draw_event(Figure().subplots(), nothing)
    assert "0 jets" in widgets.describe_jets(nothing)


@pytest.mark.parametrize("wrong", [{"algorithm": "siscone"}, {"radius": 0.0}, {"event": -1}, {"min_pt": 0.0}])
def test_states_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError):
        widgets.JetState(**wrong)


def test_bad_input_is_named(events):
    with pytest.raises(InputError, match="numbered 0 to 2"):
        widgets.compute_jets(widgets.JetState(event=7), events, simulate.cluster)
    with pytest.raises(InputError, match="3 events with 2 names"):
        widgets.jet_display(events, cluster=simulate.cluster, names=["a", "b"])
