"""The working-point picker: the asked efficiency, the counted rejection, the mass before and after."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from hepml_nb import stats, widgets
from hepml_nb.core import InputError, NotFound


@pytest.fixture
def given(classes):
    """Scores of a tagger that is blind to the mass and of one that is not, labels and masses."""
    observables, labels = classes
    mass = np.random.default_rng(3).exponential(60, len(labels)) + 5
    return {"blind": observables["score"], "sharp": observables["score"] + mass / 100}, labels, mass


@pytest.fixture
def panel(given):
    return widgets.working_points(*given, names=("QCD", "top"), tagger="blind")


def test_the_point_keeps_the_asked_signal_and_counts_the_background(given):
    scores, labels, mass = given
    view = widgets.compute_point(widgets.PointState("blind", 0.3), widgets.PointData(*given))
    passed = scores["blind"] >= view.threshold
    assert view.efficiencies[1, 0] == pytest.approx(0.3, abs=1e-9)
    assert view.efficiencies[0, 0] == passed[labels == 0].mean()
    low, high = stats.clopper_pearson(passed[labels == 0].sum(), 1000)
    np.testing.assert_allclose(view.rejection, [1 / high, 1 / view.efficiencies[0, 0], 1 / low])
    np.testing.assert_allclose((view.densities * np.diff(view.edges)).sum(axis=1), 1)
    assert view.sculpting.value == stats.sculpting(
        labels, scores["blind"], mass, eff=0.3, bins=np.append(view.edges[:-1], mass.max() + 1)
    ).value  # fmt: skip


def test_a_tagger_that_uses_the_mass_bends_it(given):
    data = widgets.PointData(*given)
    blind, sharp = (widgets.compute_point(widgets.PointState(name, 0.5), data) for name in ("blind", "sharp"))
    assert abs(blind.sculpting.value - blind.sculpting.floor) < 4 * blind.sculpting.error
    assert sharp.sculpting.value > sharp.sculpting.floor + 4 * sharp.sculpting.error


def test_controls_move_words_and_picture(panel):
    before = panel.picture.value
    panel.eff.slider.value = 0.8
    assert panel.state == widgets.PointState("blind", 0.8)
    assert "keeps top 0.8 " in panel.status.value
    assert panel.picture.value != before
    before = panel.picture.value
    panel.tagger.value = "sharp"
    assert "sharp score ≥" in panel.status.value
    assert panel.picture.value != before


def test_static_twin_and_names_for_keyboard_and_screen_reader(panel):
    assert panel.static().alt.startswith("blind score ≥ ")
    assert "rejection" in panel.static().alt
    assert [panel.tagger.description, panel.eff.field.description] == ["tagger", "signal efficiency"]


def test_no_background_passing_gives_a_lower_limit_and_no_sculpting():
    labels = np.repeat([0, 1], 50)
    view = widgets.compute_point(
        widgets.PointState("perfect", 0.5), widgets.PointData({"perfect": labels}, labels, np.arange(100.0))
    )
    assert view.sculpting is None
    assert view.rejection[1:] == (np.inf, np.inf)
    words = widgets.describe_point(view)
    assert "rejection above" in words
    assert "bit" not in words
    axes = Figure().subplots(1, 2)
    widgets.draw_point(axes[0], view)
    widgets.draw_mass(axes[1], view)


@pytest.mark.parametrize(
    ("scores", "labels", "mass", "message"),
    [({}, [0, 1], [1, 2], "no scores"), ({"a": [0.1, np.nan]}, [0, 1], [1, 2], "nan"),
     ({"a": [0.1, 0.2]}, [0, 1], [1, np.nan], "mass"), ({"a": [0.1, 0.2]}, [0, 1], [1, 2, 3], "mass has shape"),
     ({"a": [0.1, 0.2]}, [1, 1], [1, 2], "both classes")],
)  # fmt: skip
def test_bad_input_is_named(scores, labels, mass, message):
    with pytest.raises(InputError, match=message):
        widgets.working_points(scores, labels, mass)


def test_unknown_taggers_are_named(given):
    with pytest.raises(NotFound, match="did you mean 'blind'"):
        widgets.working_points(*given, tagger="blund")
