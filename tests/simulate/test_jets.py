"""Jets are found, matched and stored as the schema says."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.simulate import FIELDS, cluster, from_constituents
from hepml_nb.simulate.jets import delta_phi, empty, find, match, round_bits


def candidates() -> dict[str, np.ndarray]:
    """Two events: one with jets of 600 and 580 GeV back to back, one whose hardest jet is forward."""
    rows = [
        (0, 400.0, 0.5, 3.1, 211), (0, 200.0, 0.7, -3.1, 22), (0, 580.0, -0.4, 0.0, 130), (0, 5.0, 1.8, 1.5, 22),
        (1, 640.0, 2.4, 0.0, 211), (1, 560.0, 0.1, 3.0, -211), (1, 555.0, 0.1, 1.0, 22),
    ]  # fmt: skip
    return dict(zip(("event", "pt", "eta", "phi", "pdg"), map(np.array, zip(*rows, strict=True)), strict=True))


def test_the_two_hardest_jets_in_the_window_are_found() -> None:
    found = find(candidates(), 2, (550.0, 650.0))
    assert ak.to_list(found.row) == [0, 0, 1]
    assert ak.to_list(found["rank"]) == [0, 1, 1]  # the third jet of event 1 is in the window but not among two
    assert found.pt[0] == pytest.approx(600, rel=0.02)
    assert found.constituents.pt[0].tolist() == [400, 200]
    # positions are relative to the axis, across the edge of phi too
    assert ak.max(np.abs(found.constituents.dphi[0])) < 0.2
    assert ak.to_list(found.constituents.pdg[0]) == [211, 22]


def test_matching_needs_every_quark_inside() -> None:
    def quark(pt: float, eta: float, phi: float) -> list[float]:
        return [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)]

    inside = [quark(200, 0.1, 0.2), quark(200, -0.2, 0.1), quark(200, 0, -0.3)]
    outside = [quark(300, 0.1, 0.2), quark(300, -0.2, 0.1), quark(50, 0.0, 1.0)]
    away = [quark(300, 0.1, 3.0), quark(300, -0.2, 3.1), quark(50, 0.0, -3.0)]
    quarks = np.array([[inside, away], [outside, away], [away, away]])
    jets = ak.Array({"eta": [0.0, 0.0, 0.0], "phi": [0.0, 0.0, 0.0], "row": [0, 1, 2]})
    near, whole = match(jets, quarks)
    assert near.tolist() == [True, True, False]
    assert whole.tolist() == [True, False, False]


def test_schema_is_complete_and_typed() -> None:
    found = find(candidates(), 2, (550.0, 650.0))
    jets = from_constituents(found.pt, found.eta, found.phi, found.constituents, rank=found["rank"])
    assert set(jets.fields) == {*FIELDS, "constituents"}
    assert set(empty().fields) == set(jets.fields)
    for name, kind in FIELDS.items():
        assert ak.to_numpy(jets[name]).dtype == kind
    assert np.isnan(ak.to_numpy(jets.gen_pt)).all()
    with pytest.raises(InputError, match="colour"):
        from_constituents(found.pt, found.eta, found.phi, found.constituents, colour=found.pt)


def test_clustering_returns_jets_hardest_first_with_their_particles() -> None:
    columns = candidates()
    counts = np.bincount(columns["event"])
    events = ak.unflatten(ak.zip({name: columns[name] for name in ("pt", "eta", "phi")}), counts)
    jets = cluster(events, "antikt", 0.8, min_pt=20)
    assert ak.all(jets.pt[:, :-1] >= jets.pt[:, 1:])
    assert sorted(jets.index[0, 0].tolist()) == [0, 1]
    assert ak.num(cluster(events, "antikt", 0.1, min_pt=20)).tolist()[0] == 3  # a smaller radius splits the pair


def test_rounding_keeps_what_it_promises() -> None:
    values = np.random.default_rng(0).exponential(100, 1000)
    assert np.abs(round_bits(values, 8) / values - 1).max() <= 2.0**-8
    assert np.isnan(round_bits(np.array([np.nan]), 8))[0]
    assert delta_phi(3.1, -3.1) == pytest.approx(6.2 - 2 * np.pi)
