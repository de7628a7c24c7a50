"""The recipe "pfnano" adds candidates, lists and taus to the events of "nano" and changes nothing in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import NotFound
from hepml_nb.simulate import nanoaod, recipe


@pytest.fixture(scope="module")
def made() -> Any:
    """Return 50 Higgs bosons to taus."""
    return recipe("pfnano")(50, seed=2, process="htautau", mpi=False)[0]


def test_a_seed_makes_the_events_of_nano(made: Any) -> None:
    plain = recipe("nano")(50, seed=2, process="htautau", mpi=False)[0]
    for name in plain.fields:
        columns = made[name][plain[name].fields] if plain[name].fields else made[name]
        assert ak.array_equal(columns, plain[name], equal_nan=True), name


def test_lists_name_the_candidates_of_each_jet(made: Any) -> None:
    for links, jets in ((made.JetPFCands, made.Jet), (made.FatJetPFCands, made.FatJet)):
        inside = made.PFCands[links.pFCandsIdx]
        for i in range(len(made)):
            for j in range(len(jets[i])):
                mine = inside[i][links[i].jetIdx == j]
                px, py = ak.sum(mine.pt * np.cos(mine.phi)), ak.sum(mine.pt * np.sin(mine.phi))
                assert np.hypot(px, py) == pytest.approx(jets[i][j].pt, rel=3e-4)
    assert ak.all(ak.num(made.JetPFCands) == ak.sum(made.Jet.nConstituents, axis=1))


def test_candidates_and_particles_are_all_of_the_event(made: Any) -> None:
    px, py = (-ak.sum(made.PFCands.pt * f(made.PFCands.phi), axis=1) for f in (np.cos, np.sin))
    np.testing.assert_allclose(np.hypot(px, py), made.MET_pt, rtol=1e-3)
    kinds = np.unique(ak.to_numpy(ak.flatten(made.GenCands.pdgId)))
    assert {211, -211, 22, 16, -16} <= set(kinds.tolist())
    assert ak.all(abs(made.GenCands.eta) < 6)
    assert ak.all(ak.sum(abs(made.GenCands.pdgId) == 16, axis=1) >= 2)  # a neutrino of each tau
    charge = {int(pdg): int(q) for pdg, q in zip(ak.flatten(made.GenCands.pdgId), ak.flatten(made.GenCands.charge),
                                                 strict=True)}  # fmt: skip
    known = {211: 1, 321: 1, -11: 1, 13: -1, 22: 0, 130: 0, -2212: -1, 2112: 0, 16: 0}
    for pdg, q in charge.items():
        assert q == known.get(pdg, q)


def test_taus_are_jets_of_the_tau_that_decays_to_hadrons(made: Any) -> None:
    taus = made.Tau
    assert ak.sum(ak.num(taus)) > 10
    assert ak.all(taus.charge == -1)  # the recipe lets the negative tau decay to hadrons
    assert ak.all((taus.pt >= 20) & (abs(taus.eta) <= 2.5))
    assert ak.all(made.Jet[taus.jetIdx].pt == taus.pt)
    # few and narrow: one or three charged hadrons, and photons of neutral pions
    assert np.median(ak.flatten(taus.mass / taus.pt)) < 0.1
    assert ak.mean(ak.flatten(made.Jet[taus.jetIdx].nConstituents)) < 10


def test_coffea_follows_the_lists(made: Any, tmp_path: Path) -> None:
    from coffea.nanoevents import NanoEventsFactory, PFNanoAODSchema

    class Quiet(PFNanoAODSchema):  # type: ignore[misc]
        warn_missing_crossrefs = False

    path = nanoaod.write_root(tmp_path / "events.root", made)
    read = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=Quiet, mode="eager").events()
    linked = read.JetPFCands
    assert ak.all(abs(linked.jet.eta - linked.pf.eta) < 1)
    assert ak.to_list(read.Tau.charge) == ak.to_list(made.Tau.charge)


def test_nothing_for_nothing_and_no_other_process(made: Any) -> None:
    assert recipe("pfnano")(0)[0].fields == made.fields
    with pytest.raises(NotFound, match="did you mean 'zjets'"):
        recipe("pfnano")(1, process="zjet")
