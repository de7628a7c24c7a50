"""Jet pictures: every particle is there, as large as its pt, at its place."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from matplotlib.patches import Circle

from hepml_nb import plots
from hepml_nb.core import InputError


def test_constituents_are_circles_with_area_as_pt_by_kind(jets):
    ax = plots.constituents(jets[1], title="a jet")
    found = np.concatenate([c.get_offsets() for c in ax.collections])
    assert len(found) == 12
    pt = ak.to_numpy(jets[1].constituents.pt)
    areas = np.concatenate([c.get_sizes() for c in ax.collections])
    order = np.argsort(areas)
    at = [np.flatnonzero(np.isclose(jets[1].constituents.deta, x))[0] for x in found[order, 0]]
    assert (np.diff(pt[at]) >= 0).all()
    kinds = {text.get_text() for text in ax.get_legend().get_texts()}
    assert kinds <= {"charged hadrons", "photons", "neutral hadrons"}
    (circle,) = [patch for patch in ax.patches if isinstance(patch, Circle)]
    assert circle.radius == 0.8
    assert ax.get_aspect() == 1
    assert "12 particles" in plots.description(ax)
    plots.png(ax)


def test_constituents_need_no_particle_kinds(jets):
    plain = ak.Record({"constituents": jets[0].constituents[["pt", "deta", "dphi"]]})
    assert len(plots.constituents(plain).collections) == 1
    with pytest.raises(InputError, match="no constituents"):
        plots.constituents(ak.Record({"constituents": jets[0].constituents[:0]}))


def test_jet_image_is_the_mean_share_of_pt(jets):
    ax = plots.jet_image(jets, bins=20, radius=2.0)
    image = np.ma.filled(ax.collections[0].get_array(), 0.0)
    assert image.sum() == pytest.approx(1.0)  # every particle of every jet lies within
    assert ax.get_xlabel() == r"$\Delta\eta$"
    assert "Mean image of 3 jets" in plots.description(ax)
    plots.png(ax)
    with pytest.raises(InputError, match="0 jets"):
        plots.jet_image(jets[:0])


def test_lund_plane_counts_emissions_per_jet():
    planes = ak.zip({"delta": ak.Array([[0.4, 0.1], [0.2]]), "kt": ak.Array([[20.0, 1.0], [5.0]])})
    ax = plots.lund_plane(planes, bins=30)
    density = np.ma.filled(ax.collections[0].get_array(), 0.0)
    cell = (6.2 / 30) * (10.0 / 30)
    assert density.sum() * cell == pytest.approx(1.5)
    rows, columns = np.nonzero(density.reshape(30, 30))
    assert sorted(zip(columns.tolist(), rows.tolist(), strict=True)) == sorted(
        (int((-np.log(d) + 0.2) / (6.2 / 30)), int((np.log(k) + 4) / (10 / 30)))
        for d, k in ((0.4, 20), (0.1, 1), (0.2, 5))
    )
    assert "1.5 emissions per jet" in plots.description(ax)
    with pytest.raises(InputError, match="without any declustering"):
        plots.lund_plane(planes[:, :0])


def test_event_display_marks_jets_also_across_the_phi_edge():
    particles = ak.Record({"pt": [10.0, 50.0, 1.0], "eta": [0.0, 1.0, -2.0], "phi": [0.1, 3.0, -1.0]})
    jets = ak.Record({"pt": [50.0], "eta": [1.0], "phi": [3.0]})
    ax = plots.event_display(particles, owner=[-1, 0, -1], jets=jets, radius=0.4, title="event 7")
    colours = ax.collections[0].get_facecolors()
    assert (colours[0] == colours[2]).all()
    assert (colours[0] != colours[1]).any()
    circles = [patch.center for patch in ax.patches if isinstance(patch, Circle)]
    assert (1.0, pytest.approx(3.0 - 2 * np.pi)) in circles
    assert [text.get_text() for text in ax.texts] == ["50 GeV"]
    assert ax.get_title(loc="left") == "event 7"
    assert "3 particles of an event in eta and phi, 1 jets marked" in plots.description(ax)
    plots.png(ax)
    with pytest.raises(InputError, match="owner of shape"):
        plots.event_display(particles, owner=[0])
