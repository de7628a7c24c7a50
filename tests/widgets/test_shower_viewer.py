"""The shower viewer: it shows the shower that is nearest in energy, every voxel of it, and turns it without loss."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from hepml_nb import widgets
from hepml_nb.core import InputError, NotFound

LAYERS, VOXELS = 5, 8  # voxels on a ring in each layer


@pytest.fixture
def data():
    g = np.random.default_rng(0)
    angle = np.arange(VOXELS) / VOXELS * 2 * np.pi
    ring = np.stack([10 * np.cos(angle), 10 * np.sin(angle)], axis=1)
    centres = np.concatenate([np.c_[ring, np.full(VOXELS, 60.0 * layer)] for layer in range(LAYERS)])
    energies = np.array([1e3, 1.1e3, 8e3, 5e4])
    deposits = g.exponential(20, (4, LAYERS * VOXELS)) * (g.random((4, LAYERS * VOXELS)) < 0.5)
    showers = {"one": (energies, deposits), "two": (energies[:1], deposits[:1])}
    return widgets.ShowerData(showers, centres, np.repeat(np.arange(LAYERS), VOXELS))


def test_it_takes_the_nearest_shower_and_keeps_all_of_it(data):
    view = widgets.compute_shower(widgets.ShowerState("one", 10.0), data)
    energies, deposits = data.showers["one"]
    assert view.energy == 8e3
    assert np.sort(view.values) == pytest.approx(np.sort(deposits[2][deposits[2] > 0]))
    assert view.profile == pytest.approx(deposits[2].reshape(LAYERS, VOXELS).sum(axis=1))
    assert view.depth == pytest.approx(60 * np.arange(LAYERS))
    assert view.alike == 1
    assert view.mean == pytest.approx(view.profile)
    low = widgets.compute_shower(widgets.ShowerState("one", 1.0), data)
    shares = (deposits[:2] / energies[:2, None]).mean(axis=0) * 1e3  # two are alike in energy
    assert low.alike == 2
    assert low.mean == pytest.approx(shares.reshape(LAYERS, VOXELS).sum(axis=1))


def test_turning_moves_points_and_keeps_their_number_and_height(data):
    views = [widgets.compute_shower(widgets.ShowerState("one", 50.0, turn), data) for turn in (0, 90, 360)]
    assert np.ptp(views[0].across) > 100 > 40 > np.ptp(views[1].across)  # from the side, and along the particle
    assert np.sort(views[2].across) == pytest.approx(np.sort(views[0].across))
    assert len({len(view.values) for view in views}) == 1


def test_controls_move_words_and_picture(data):
    panel = widgets.shower_viewer(data.showers, data.centres, data.layer_of, energy=1.0)
    before = panel.picture.value
    panel.energy.slider.value = 50.0
    assert panel.result.energy == 5e4
    assert panel.picture.value != before
    panel.turn.field.value = 90
    panel.simulator.value = "two"
    assert "two: a particle of 1 GeV" in panel.status.value
    assert panel.energy.field.description == "energy [GeV]"  # what a screen reader says
    alt = panel.static().alt
    assert alt.startswith("one: a particle of 1 GeV")


def test_pictures_stand_alone(data):
    view = widgets.compute_shower(widgets.ShowerState("one", 1.0), data)
    for draw in (widgets.draw_shower, widgets.draw_depth):
        ax = Figure().add_subplot()
        draw(ax, view)
        assert ax.get_xlabel()


def test_what_does_not_fit_is_refused(data):
    with pytest.raises(NotFound, match="one"):
        widgets.compute_shower(widgets.ShowerState("ome"), data)
    with pytest.raises(InputError, match="at least one"):
        widgets.shower_viewer({}, data.centres, data.layer_of)
    with pytest.raises(InputError, match="voxels"):
        widgets.shower_viewer(data.showers, data.centres[:-1], data.layer_of)
