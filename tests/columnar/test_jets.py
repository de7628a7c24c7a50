"""Jets from PFNano-like and Delphes-like files: what went in comes out, labels mean what they mean in the twins."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from hepml_nb.columnar import JetSkim, run
from hepml_nb.columnar.matching import ORIGINS, match_origin
from hepml_nb.core import InputError, RunError
from hepml_nb.data import schema
from hepml_nb.simulate.jets import delta_phi, match

from .conftest import delphes_file, ids, pfnano_file, some_jets, write_tree, z_events, z_file

OBSERVABLES = ("mass", "tau1", "tau2", "tau3", "c2", "d2")


def back_to_back(jets):
    """Return the jets with every second one opposite to the one before, so that a pair does not overlap."""
    phi = ak.to_numpy(jets.phi).copy()
    phi[1::2] = delta_phi(phi[0::2] + np.pi, 0.0)
    eta = ak.to_numpy(jets.eta).copy()
    jets["phi"], jets["eta"] = phi, eta
    return jets


def decays(*chains):
    """Return generator particles of one event per chain of (pdg, mother, pt, eta, phi)."""
    names = ("pdgId", "genPartIdxMother", "pt", "eta", "phi")
    kinds = {"pdgId": np.int32, "genPartIdxMother": np.int32}
    events = [[dict(zip(names, particle, strict=True)) for particle in chain] for chain in chains]
    found = ak.Array(events)
    return ak.zip({name: ak.values_astype(found[name], kinds.get(name, np.float32)) for name in names}
                  | {"mass": ak.zeros_like(found.pt, dtype=np.float32)})  # fmt: skip


def test_pfnano_jets_are_the_jets_that_were_written(folder):
    jets = back_to_back(some_jets())
    out = run(pfnano_file(folder / "pfnano.root", jets), JetSkim(), schema="pfnano")
    found = out["jets"]
    order = np.lexsort((-ak.to_numpy(jets.pt), np.arange(len(jets)) // 2))
    jets = jets[order]
    assert len(found) == len(jets)
    np.testing.assert_allclose(found.pt, jets.pt, rtol=2e-4)
    assert ak.all(ak.num(found.constituents) == ak.num(jets.constituents))
    np.testing.assert_allclose(ak.flatten(found.constituents.pt), ak.flatten(jets.constituents.pt), rtol=1e-5)
    np.testing.assert_allclose(ak.sum(found.constituents.pt, axis=1), ak.sum(jets.constituents.pt, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(
        np.sort(ak.to_numpy(ak.flatten(found.constituents.pdg))),
        np.sort(ak.to_numpy(ak.flatten(jets.constituents.pdg))),
    )
    for name in OBSERVABLES:
        np.testing.assert_allclose(found[name], jets[name], rtol=5e-3, atol=2e-3, err_msg=name)
    np.testing.assert_array_equal(found.event, np.repeat(np.arange(40), 2))
    np.testing.assert_array_equal(found["rank"], np.tile([0, 1], 40))
    np.testing.assert_array_equal(found.weight, np.full(80, np.float32(0.5)))
    assert set(ak.to_list(found.label)) == {-1}  # no generator particles, no label given
    assert out["cutflow"]["events"]["jet in window"] == {"events": 40, "sumw": 20.0, "sumw2": 10.0}
    wanted = schema("jets")
    assert [*wanted.columns, "weight", *wanted.collections] == found.fields


def test_delphes_particle_flow_clusters_to_the_same_jets(folder):
    jets = back_to_back(some_jets())
    path = delphes_file(folder / "delphes.root", jets)
    fileset = {"tops": {"files": [path], "metadata": {"label": 1}}}
    found = run(fileset, JetSkim(pt=(400.0, 800.0)), schema="delphes")["jets"]
    assert len(found) >= 78  # a jet wider than R = 0.8 about its axis may split
    pairs = np.sort(ak.to_numpy(jets.pt).reshape(-1, 2), axis=1)[:, ::-1]
    ratio = ak.to_numpy(found.pt) / pairs[ak.to_numpy(found.event), ak.to_numpy(found["rank"])]
    assert np.median(ratio) == pytest.approx(1, abs=1e-3)
    assert np.mean(np.abs(ratio - 1) < 0.02) > 0.9
    assert set(np.unique(ak.to_numpy(ak.flatten(found.constituents.pdg)))) <= {-211, 211, 22, 130, 11, -11, 13, -13}
    assert set(ak.to_list(found.label)) == {1}
    assert set(ak.to_list(found.weight)) == {2.0}


def test_a_window_and_the_number_of_jets_select(folder):
    path = pfnano_file(folder / "select.root", back_to_back(some_jets()))
    narrow = run(path, JetSkim(pt=(575.0, 600.0), hardest=1), schema="pfnano")["jets"]
    assert ak.all((narrow.pt > 575) & (narrow.pt < 600))
    assert set(ak.to_list(narrow["rank"])) == {0}
    none = run(path, JetSkim(pt=(5000.0, 6000.0)), schema="pfnano")["jets"]
    assert len(none) == 0
    assert "constituents" in none.fields


def test_labels_of_a_file_come_from_its_generator_particles(folder):
    jets = back_to_back(some_jets())[:8]
    eta, phi = ak.to_numpy(jets.eta), ak.to_numpy(jets.phi)

    def top(i, spread, leptons=False):
        """A top with copies of itself and its W, at jet i."""
        quarks = (-11, 12) if leptons else (1, -2)
        return [(6, -1, 600, eta[i], phi[i]), (6, 0, 600, eta[i], phi[i]), (24, 1, 400, eta[i] + 0.1, phi[i]),
                (5, 1, 200, eta[i] - 0.2, phi[i]), (24, 2, 400, eta[i] + 0.1, phi[i]),
                (quarks[0], 4, 250, eta[i] + 0.1, phi[i] + spread),
                (quarks[1], 4, 150, eta[i] + 0.1, phi[i] - 0.2)]  # fmt: skip

    chains = (top(0, 0.2), top(2, 1.0), top(4, 0.2, leptons=True), [(21, -1, 600, eta[6], phi[6])])
    path = pfnano_file(folder / "labels.root", jets, decays(*chains))
    every = run(path, JetSkim(classes=ORIGINS), schema="pfnano")["jets"]
    order = np.lexsort((-ak.to_numpy(jets.pt), np.arange(8) // 2))  # hardest first in each event
    told = dict(zip(order.tolist(), zip(every.label.tolist(), every.matched.tolist(), strict=True), strict=True))
    assert [ORIGINS[told[i][0]] for i in range(8)] == ["top", "qcd", "top", "qcd", "other", "qcd", "qcd", "qcd"]
    assert [told[i][1] for i in (0, 2, 6)] == [True, False, True]
    chosen = run(path, JetSkim(), schema="pfnano")["jets"]
    assert sorted(chosen.label.tolist()) == [0] * 5 + [1] * 2
    only = run(path, JetSkim(matched_only=True), schema="pfnano")["jets"]
    assert sorted(only.label.tolist()) == [0] * 5 + [1]


def test_matching_agrees_with_that_of_the_twins():
    """Random tops: the list of generator particles and the quarks' momenta say the same of the same jets."""
    rng = np.random.default_rng(8)
    n = 300
    axis = {"eta": rng.normal(0, 0.5, n), "phi": rng.uniform(-3, 3, n)}
    pt = rng.uniform(50, 300, (n, 3))
    eta, phi = (axis[name][:, None] + rng.normal(0, 0.45, (n, 3)) for name in ("eta", "phi"))
    jets = ak.zip({"eta": axis["eta"], "phi": axis["phi"]})
    vectors = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=-1)
    near, inside = match(ak.with_field(jets, np.arange(n), "row"), vectors[:, None])
    family = ((-4, 1), (3, 1), (5, 0))  # quarks of the W, then of the top
    chains = [
        [(6, -1, 1, 0, 0), (24, 0, 1, 0, 0), *((*family[k], pt[i, k], eta[i, k], phi[i, k]) for k in range(3))]
        for i in range(n)
    ]
    found = decays(*chains)
    particles = ak.zip({"pt": found.pt, "eta": found.eta, "phi": found.phi, "pdg": found.pdgId,
                        "mother": found.genPartIdxMother})  # fmt: skip
    kind, whole = match_origin(ak.unflatten(jets, np.ones(n, np.int64)), particles, 0.8)
    kind, whole = (ak.to_numpy(ak.flatten(x)) for x in (kind, whole))
    assert 50 < near.sum() < n
    np.testing.assert_array_equal(kind == ORIGINS.index("top"), near)
    np.testing.assert_array_equal(whole & near, inside)


def test_bosons_are_told_apart_and_an_event_without_particles_is_qcd():
    chains = ([(25, -1, 500, 0, 0), (24, 0, 300, 0.1, 0), (-24, 0, 200, -0.1, 0), (1, 1, 150, 0.2, 0.1),
               (-2, 1, 150, 0, 0.1), (3, 2, 100, -0.2, 0), (-4, 2, 100, 0, -0.1)],
              [(23, -1, 500, 0, 0), (5, 0, 300, 0.1, 0), (-5, 0, 200, -0.1, 0)],
              [(24, -1, 500, 0, 0), (1, 0, 300, 0.1, 0), (-2, 0, 200, 0.9, 0)],
              [(21, -1, 500, 0, 0), (1, 0, 300, 0.1, 0)])  # fmt: skip
    found = decays(*chains)
    particles = ak.zip({"pt": found.pt, "eta": found.eta, "phi": found.phi, "pdg": found.pdgId,
                        "mother": found.genPartIdxMother})  # fmt: skip
    jets = ak.zip({"eta": [[0.0], [0.0], [0.0], [0.0, 2.0]], "phi": [[0.0], [0.0], [0.0], [0.0, 2.0]]})
    kind, inside = match_origin(jets, particles, 0.8)
    assert [[ORIGINS[k] for k in event] for event in kind.tolist()] == [["h"], ["z"], ["w"], ["qcd", "qcd"]]
    assert inside.tolist() == [[True], [True], [False], [True, True]]
    nothing, fine = match_origin(jets, particles[:, :0], 0.8)
    assert set(ak.flatten(nothing).tolist()) == {0}
    assert ak.all(fine)


def test_a_boson_to_leptons_is_no_qcd_jet():
    chains = ([(23, -1, 500, 0, 0), (13, 0, 300, 0.1, 0), (-13, 0, 200, -0.1, 0)],
              [(24, -1, 500, 0, 0), (-11, 0, 300, 0.1, 0), (12, 0, 200, -0.1, 1.5)],
              [(23, -1, 500, 0, 0), (12, 0, 300, 0.1, 0), (-12, 0, 200, -0.1, 0)],
              [(13, -1, 300, 0, 0)])  # fmt: skip
    found = decays(*chains)
    particles = ak.zip({"pt": found.pt, "eta": found.eta, "phi": found.phi, "pdg": found.pdgId,
                        "mother": found.genPartIdxMother})  # fmt: skip
    jets = ak.zip({"eta": [[0.0, 2.0], [0.0], [0.0], [0.0]], "phi": [[0.0, 2.0], [0.0], [0.0], [0.0]]})
    kind, inside = match_origin(jets, particles, 0.8)
    assert [[ORIGINS[k] for k in event] for event in kind.tolist()] == [["other", "qcd"], ["other"], ["qcd"], ["qcd"]]
    assert ak.all(inside)


def test_files_without_candidates_and_damaged_lists_are_told(folder):
    with pytest.raises(RunError, match="no branch 'nFatJet'"):
        run(z_file(folder / "plain.root", 10, 1), JetSkim(), schema="pfnano")
    with pytest.raises(RunError, match=r"is not of Delphes|has no tree 'Delphes'"):
        run(z_file(folder / "plain2.root", 10, 1), JetSkim(), schema="delphes")
    with pytest.raises(InputError, match="'tops' is no origin; did you mean 'top'"):
        JetSkim(classes=("qcd", "tops"))
    path = pfnano_file(folder / "cut.root", back_to_back(some_jets())[:4])
    with uproot.open(path) as file:
        old = file["Events"].arrays()
    columns = {"pt": old.PFCands_pt, "eta": old.PFCands_eta, "phi": old.PFCands_phi, "pdgId": old.PFCands_pdgId}
    cut = {"FatJet": ak.zip({name: old[f"FatJet_{name}"] for name in ("pt", "eta", "phi")}),
           "FatJetPFCands": ak.zip({name: old[f"FatJetPFCands_{name}"] for name in ("jetIdx", "pFCandsIdx")}),
           "PFCands": ak.zip(columns)[:, :5], "Muon": z_events(2, 1)}  # fmt: skip
    with pytest.raises(RunError, match="names jets or candidates that are not there"):
        run(write_tree(folder / "short.root", cut, ids(2)), JetSkim(), schema="pfnano")
