"""Simulated NanoAOD has the resonances where they belong, and coffea reads the ROOT files that are written of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError, NotFound
from hepml_nb.simulate import Detector, nanoaod, recipe

Z_MASS, UPSILON_MASS = 91.188, 9.4604  # PDG, GeV


@pytest.fixture(scope="module")
def zmumu() -> Any:
    """Return 150 events of Z/gamma* with two muons."""
    return recipe("nano")(150, seed=1, process="zmumu", muons=2)[0]


@pytest.fixture(scope="module")
def ttbar() -> Any:
    """Return 50 top pairs."""
    return recipe("nano")(50, seed=1, process="ttbar", label=1)[0]


def mass(events: Any, name: str = "Muon") -> np.ndarray:
    """Return the mass of the two hardest of a collection (GeV)."""
    pair = events[name][:, :2]
    eta, phi = (pair[x][:, 0] - pair[x][:, 1] for x in ("eta", "phi"))
    return ak.to_numpy(np.sqrt(2 * pair.pt[:, 0] * pair.pt[:, 1] * (np.cosh(eta) - np.cos(phi))))


def test_z_peaks_at_its_mass_within_the_resolution(zmumu: Any) -> None:
    """About two thirds of the pairs are within 86 to 96 GeV; their median is known to 0.3 GeV.

    The detector smears a muon of 45 GeV by 1.1 to 2.8 %, so the peak is at most 1.5 times 2 % wide besides the natural
    width, and photons off the muons pull it down by a few tenths of a GeV.
    """
    assert Detector().track_constant == 0.01
    m = mass(zmumu)
    core = m[np.abs(m - Z_MASS) < 5]
    assert len(core) > 0.55 * len(m)
    assert np.median(core) == pytest.approx(Z_MASS, abs=0.8)
    assert 1.0 < np.std(core) < 3.0  # a flat spectrum has 2.9, the natural width alone less than 1.9
    assert np.mean(np.abs(m - Z_MASS) < 2.5) > 1.3 * np.mean((np.abs(m - Z_MASS) > 2.5) & (np.abs(m - Z_MASS) < 5))


def test_muons_are_opposite_isolated_and_know_their_particle(zmumu: Any) -> None:
    muons = zmumu.Muon[:, :2]
    assert ak.mean(muons.charge[:, 0] * muons.charge[:, 1] == -1) > 0.97
    assert ak.mean(muons.pfRelIso04_all < 0.15) > 0.8
    assert ak.mean(muons.genPartIdx >= 0) > 0.97
    known = zmumu[ak.all(muons.genPartIdx >= 0, axis=1)]
    truth = known.GenPart[known.Muon[:, :2].genPartIdx]
    assert ak.all(truth.pdgId == -13 * known.Muon[:, :2].charge)
    assert np.std(ak.to_numpy(ak.flatten(known.Muon[:, :2].pt / truth.pt))) < 0.05
    assert ak.all((zmumu.Muon.pt > 2.99) & (np.abs(zmumu.Muon.eta) < 2.401))


def test_mothers_lead_from_muons_to_the_z(zmumu: Any) -> None:
    particles = zmumu.GenPart
    assert ak.all(particles.genPartIdxMother < ak.num(particles))
    assert ak.all(particles.genPartIdxMother < ak.local_index(particles.pt))
    hard = particles[(abs(particles.pdgId) == 13) & (particles.pt > 20)]
    for _ in range(4):
        above = particles[ak.mask(hard.genPartIdxMother, hard.genPartIdxMother >= 0)]
        hard = ak.where(abs(hard.pdgId) == 23, hard, above)
    assert ak.mean(ak.drop_none(ak.flatten(hard.pdgId)) == 23) > 0.95
    assert ak.all(ak.sum((particles.pdgId == 23) & (particles.statusFlags & 2**13 > 0), axis=1) == 1)


def test_upsilon_is_narrow_and_the_continuum_is_not() -> None:
    m = mass(recipe("nano")(25, seed=1, process="upsilon", muons=2, ecm=8000)[0])
    assert np.median(m) == pytest.approx(UPSILON_MASS, rel=0.01)
    assert np.percentile(m, 84) - np.percentile(m, 16) < 0.6
    m = mass(recipe("nano")(15, seed=1, process="continuum", muons=2, ecm=8000)[0])
    assert np.percentile(m, 84) - np.percentile(m, 16) > 2


def test_tops_give_leptons_jets_and_missing_momentum(ttbar: Any, zmumu: Any) -> None:
    particles = ttbar.GenPart
    for pdg, m, tolerance in ((6, 172.5, 2.0), (24, 80.4, 2.0)):
        last = particles[(abs(particles.pdgId) == pdg) & (particles.statusFlags & 2**13 > 0)]
        assert ak.all(ak.num(last) == 2)
        assert np.median(ak.flatten(last.mass)) == pytest.approx(m, abs=tolerance)
    assert ak.mean(ak.num(ttbar.Jet)) > ak.mean(ak.num(zmumu.Jet)) + 2
    assert ak.mean(ak.sum(ttbar.Jet.hadronFlavour == 5, axis=1)) > 1.2
    assert np.median(ttbar.MET_pt) > 1.5 * np.median(zmumu.MET_pt)
    assert ak.mean(ak.num(ttbar.Muon) + ak.num(ttbar.Electron)) > 0.5


def test_dijets_balance() -> None:
    events = recipe("nano")(40, seed=1, process="dijets")[0]
    two = events[ak.num(events.Jet) >= 2]
    assert len(two) > 30
    turn = np.abs((two.Jet.phi[:, 0] - two.Jet.phi[:, 1] + np.pi) % (2 * np.pi) - np.pi)
    assert np.median(turn) > 2.5
    assert np.median(two.Jet.pt[:, 0]) > 90
    assert ak.all(events.FatJet.pt > 169.9)
    assert ak.all((events.FatJet.tau1 >= events.FatJet.tau2) & (events.FatJet.msoftdrop <= events.FatJet.mass * 1.01))


@pytest.mark.parametrize("which", ["zmumu", "ttbar"])
def test_coffea_reads_the_file_that_is_written(tmp_path: Path, which: str, request: pytest.FixtureRequest) -> None:
    from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    events = request.getfixturevalue(which)
    path = nanoaod.write_root(tmp_path / "made" / "events.root", events)
    assert [file.name for file in path.parent.iterdir()] == ["events.root"]

    class Quiet(NanoAODSchema):  # type: ignore[misc]
        warn_missing_crossrefs = False

    read = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=Quiet, mode="eager").events()
    assert len(read) == len(events)
    for name in ("run", "event", "genWeight"):
        assert ak.to_list(read[name]) == ak.to_list(events[name])
    for name, columns in nanoaod.COLLECTIONS.items():
        for column in columns:
            assert ak.to_list(read[name][column]) == ak.to_list(events[name][column]), f"{name}_{column}"
    if which == "zmumu":
        pair = read.Muon[:, :2]
        assert ak.to_numpy((pair[:, 0] + pair[:, 1]).mass) == pytest.approx(mass(events), rel=1e-3)
        assert ak.to_list(read.Muon.matched_gen.pdgId) == ak.to_list(
            ak.mask(events.GenPart.pdgId[events.Muon.genPartIdx], events.Muon.genPartIdx >= 0)
        )
    assert ak.to_list(read.MET.pt) == ak.to_list(events.MET_pt)


def test_collisions_are_written_without_what_is_unknown(tmp_path: Path) -> None:
    import uproot

    muons = ak.unflatten(ak.zip({"pt": [30.0, 20.0, 5.0], "eta": [0.1, 0.2, 0.3], "phi": [1.0, 2.0, 3.0]}), [2, 0, 1])
    events = nanoaod.conform({"run": np.full(3, 194_000), "event": np.arange(3), "Muon": muons})
    assert np.isnan(ak.to_numpy(events.genWeight)).all()
    with uproot.open(nanoaod.write_root(tmp_path / "e.root", events)) as file:
        tree = file["Events"]
        assert tree.classname == "TTree"
        assert {"genWeight", "MET_pt", "label"}.isdisjoint(tree.keys())
        assert tree["nMuon"].array().to_list() == [2, 0, 1]
        assert tree["event"].interpretation.to_dtype == np.dtype("uint64")


def test_what_is_no_event_is_refused(tmp_path: Path, zmumu: Any) -> None:
    with pytest.raises(InputError, match="no 'event'"):
        nanoaod.write_root(tmp_path / "e.root", zmumu[["run", "luminosityBlock", "Muon"]])
    with pytest.raises(InputError, match="no event to write"):
        nanoaod.write_root(tmp_path / "e.root", zmumu[:0])
    with pytest.raises(InputError, match="list of numbers"):
        nanoaod.write_root(tmp_path / "e.root", ak.with_field(zmumu, zmumu.Muon.pt, "x"))
    with pytest.raises(NotFound, match="did you mean 'zmumu'"):
        recipe("nano")(1, process="zmumuu")
    assert not list(tmp_path.iterdir())


def test_same_seed_same_events_and_nothing_for_nothing() -> None:
    one, two = (recipe("nano")(10, seed=5)[0] for _ in range(2))
    assert ak.array_equal(one, two, equal_nan=True)
    assert recipe("nano")(0)[0].fields == one.fields
