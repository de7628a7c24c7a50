"""Records of Z + jet, tau pairs and dijets: events made by hand, weights, missing branches, collisions."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from hepml_nb.columnar import DijetFeatures, JetSkim, TauPairs, ZJets, run
from hepml_nb.core import InputError, RunError, manifests_dir
from hepml_nb.data import schema
from hepml_nb.simulate.dijets import features
from hepml_nb.simulate.higgsml import UNDEFINED

from .conftest import ids, pfnano_file, some_jets, write_tree

AXES = ("pt", "eta", "phi")
ALL = ("pt", "eta", "phi", "mass", "pdgId")


def things(names, *events):
    """Return events * var * record of tuples; numbers of particles, charges and the like are integers."""
    integers = {"pdgId", "charge", "idTau", "genPartFlav"}
    counts = [len(event) for event in events]
    rows = [row for event in events for row in event]
    flat = {name: np.array([row[i] for row in rows], np.int32 if name in integers else np.float32)
            for i, name in enumerate(names)}  # fmt: skip
    return ak.unflatten(ak.zip(flat), counts)


MUONS = [(120.0, 0.3, 0.0, 0.1057, 13), (110.0, -0.2, 0.4, 0.1057, -13)]
RADIATED = [(10.0, 0.35, 0.0, 0.0, 22)]
JET = [(120.0, 0.2, 3.0, 0.0, 211), (80.0, 0.3, 3.1, 0.0, -211), (30.0, 0.1, 3.0, 0.0, 22)]
SOFT = [(40.0, -1.0, -2.0, 0.0, 211)]


def z_events(path, *, simulated=True, puppi=False, weights=(1.0, -2.0, 1.0)):
    """Write three events: one that passes on both sides, one of which a muon is missed, one without a Z."""
    seen = [MUONS + RADIATED + JET + SOFT, MUONS[:1] + JET + SOFT, JET + SOFT]
    columns = {"PFCands": things(ALL, *seen)}
    if puppi:
        pileup = [(300.0, 0.2, 2.8, 0.0, 130)]
        columns["PFCands"] = things(ALL, *(event + pileup for event in seen))
        weight = ak.where(ak.local_index(columns["PFCands"].pt) == ak.num(columns["PFCands"].pt) - 1, 0.0, 1.0)
        columns["PFCands"] = ak.with_field(columns["PFCands"], ak.values_astype(weight, np.float32), "puppiWeight")
    flat = ids(3, 7)
    if simulated:
        neutrino = [(200.0, 0.2, 2.9, 0.0, 14)]
        whole = MUONS + RADIATED + JET + SOFT
        columns["GenCands"] = things(ALL, whole + neutrino, whole, JET + SOFT)
        flat["genWeight"] = np.array(weights, np.float32)
        columns["LHEScaleWeight"] = ak.values_astype(ak.Array([[0.5, 1.0, 2.0]] * 3), np.float32)
    return write_tree(path, columns, flat)


def z_pt(*parts):
    px, py = (sum(pt * f(phi) for pt, _, phi, *_ in parts) for f in (np.cos, np.sin))
    return np.hypot(px, py)


def test_a_z_is_its_muons_and_what_they_radiate_and_the_jet_is_the_rest(folder):
    out = run(z_events(folder / "z.root"), ZJets(pt_z=100.0, particles=True), schema="pfnano")
    found = out["events"]
    assert found.event.tolist() == [7, 8]
    for side in ("gen", "sim"):
        assert found[f"{side}_z_pt"][0] == pytest.approx(z_pt(*MUONS, *RADIATED), rel=1e-3)
        assert found[f"{side}_pt"][0] == pytest.approx(z_pt(*JET), rel=2e-3)  # and no neutrino
        assert found[f"{side}_mult"].tolist() == [3, 3]
        assert ak.sort(found[f"{side}_particles"].pdg, axis=1).tolist() == [[-211, 22, 211]] * 2
    assert found.pass_gen.tolist() == [True, True]
    assert found.pass_sim.tolist() == [True, False]
    assert np.isnan(found.sim_z_pt).tolist() == [False, True]
    steps = {step: counts["events"] for step, counts in out["cutflow"]["events"].items()}
    assert steps == {"all": 3, "a hard Z": 2, "jets": 2, "passes on a side": 2}
    assert set(schema("zjets").columns) <= set(found.fields)


def test_collisions_have_the_side_of_the_detector_only(folder):
    path = z_events(folder / "data.root", simulated=False)
    found = run(path, ZJets(pt_z=100.0, particles=True), schema="pfnano")["events"]
    assert found.event.tolist() == [7]
    assert (found.pass_gen.tolist(), found.pass_sim.tolist()) == ([False], [True])
    simulated = run(z_events(folder / "mc.root"), ZJets(pt_z=100.0, particles=True), schema="pfnano")["events"]
    for name in schema("zjets").columns:
        if name.startswith("sim_"):
            assert found[name][0] == simulated[name][0], name
    assert np.isnan(found.gen_pt).tolist() == np.isnan(found.gen_z_pt).tolist() == [True]
    assert ak.num(found.gen_particles).tolist() == [0]
    assert found.fields == [name for name in simulated.fields if not name.startswith("weight_")]


def test_simulation_without_stable_particles_is_refused(folder):
    seen = things(ALL, MUONS + JET)
    path = write_tree(folder / "blind.root", {"PFCands": seen}, {**ids(1), "genWeight": np.ones(1, np.float32)})
    with pytest.raises(RunError, match="simulated events have no GenCands"):
        run(path, ZJets(), schema="pfnano")


def test_what_puppi_gives_no_weight_is_not_there(folder):
    plain, with_pileup = (
        run(z_events(folder / f"puppi{puppi}.root", puppi=puppi), ZJets(pt_z=100.0), schema="pfnano")["events"]
        for puppi in (False, True)
    )
    assert ak.array_equal(plain, with_pileup, equal_nan=True)


def test_the_threshold_of_the_z_selects(folder):
    path = z_events(folder / "hard.root")
    assert len(run(path, ZJets(pt_z=z_pt(*MUONS, *RADIATED) + 1), schema="pfnano")["events"]) == 0
    assert len(run(path, ZJets(pt_z=z_pt(*MUONS, *RADIATED) - 1), schema="pfnano")["events"]) == 2


LEPTON = ("pt", "eta", "phi", "charge", "pfRelIso03_all")


def tau_events(path, **more):
    """Write events of a muon, an electron and a tau, two jets, and a jet on top of each of the three."""
    muon, electron, tau = (40.0, 0.5, 0.0, 1, 0.05), (25.0, -0.5, 1.5, 1, 0.05), (35.0, 0.1, 2.5, -1, 6)
    one, two = (60.0, 1.0, -1.0), (80.0, -1.2, -2.2)
    forward, soft = (90.0, 3.5, -1.0), (15.0, 0.0, -1.0)
    events = [  # muons, electrons, taus, jets
        ([muon], [], [tau], [muon[:3], tau[:3], one, two, forward, soft]),
        ([], [electron], [tau], [electron[:3], tau[:3], one]),
        ([muon], [electron], [tau], [one]),  # two leptons
        ([muon, (16.0, 0.0, -2.0, 1, 0.5)], [(12.0, 0.0, -2.0, 1, 0.0)], [tau], []),  # not isolated, and too soft
        ([(18.0, 0.5, 0.0, 1, 0.05)], [], [tau], []),  # soft
        ([muon], [], [(35.0, 0.5, 0.2, -1, 6)], []),  # on the muon
        ([muon], [], [(35.0, 0.1, 2.5, 1, 6)], []),  # of the same sign
        ([muon], [], [(35.0, 0.1, 2.5, -1, 3), (25.0, 0.1, -2.5, -1, 6)], []),  # the hardest is not well identified
    ]
    muons, electrons, taus, jets = zip(*events, strict=True)
    columns = {"Muon": things(LEPTON, *muons), "Electron": things(LEPTON, *electrons),
               "Tau": things((*LEPTON[:4], "idTau"), *taus), "Jet": things(AXES, *jets)}  # fmt: skip
    n = len(events)
    flat = {"MET_pt": np.full(n, 30.0, np.float32), "MET_phi": np.full(n, 1.0, np.float32),
            "PuppiMET_pt": np.full(n, 20.0, np.float32), "PuppiMET_phi": np.full(n, -1.0, np.float32)}  # fmt: skip
    return write_tree(path, columns, {**ids(n, 1), **flat, **more})


def test_tau_pairs_are_selected_as_the_challenge_says(folder):
    path = tau_events(folder / "tau.root")
    out = run(path, TauPairs())
    found = out["events"]
    assert found.event.tolist() == [1, 2, 4, 8]
    steps = [counts["events"] for counts in out["cutflow"]["events"].values()]
    assert list(out["cutflow"]["events"]) == ["all", "one lepton", "hadronic tau", "opposite sign"]
    assert steps == [8, 6, 5, 4]
    assert found.PRI_lep_pt.tolist() == [40.0, 25.0, 40.0, 40.0]
    assert found.PRI_n_jets.tolist() == [2, 1, 0, 0]
    assert found.PRI_jet_leading_pt.tolist() == [80.0, 60.0, UNDEFINED, UNDEFINED]  # hardest first
    assert found.PRI_jet_all_pt.tolist() == [140.0, 60.0, 0.0, 0.0]
    assert found.PRI_had_pt.tolist() == [35.0] * 4
    np.testing.assert_allclose(found.PRI_met, 30.0, rtol=1e-6)
    np.testing.assert_allclose(found.PRI_met_phi, 1.0, rtol=1e-6)
    mass = np.sqrt(2 * 40 * 35 * (np.cosh(0.4) - np.cos(2.5)))
    assert found.DER_mass_vis[0] == pytest.approx(mass, rel=1e-5)
    transverse = np.sqrt(2 * 40 * 30 * (1 - np.cos(1.0)))
    assert found.DER_mass_transverse_met_lep[0] == pytest.approx(transverse, rel=1e-5)
    assert set(schema("higgsml").columns) == set(found.fields)


def test_events_of_cms_are_selected_as_a_plain_loop_does():
    path = manifests_dir() / "samples" / "start" / "nano_dimuon.root"
    found = run(path, TauPairs(lepton=(10.0, 10.0), opposite=False, met="PuppiMET"))["events"]
    kept, all_pt = [], []
    with uproot.open(path) as file:
        names = [f"{thing}_{x}" for thing in ("Muon", "Electron", "Tau", "Jet") for x in AXES]
        names += ["Muon_pfRelIso03_all", "Electron_pfRelIso03_all", "event"]
        rows = ak.to_list(file["Events"].arrays(names))
    for row in rows:
        light, taus, jets = [], [], []
        for thing, into in (("Muon", light), ("Electron", light), ("Tau", taus), ("Jet", jets)):
            isolation = row.get(f"{thing}_pfRelIso03_all", [0.0] * len(row[f"{thing}_pt"]))
            into += list(zip(*(row[f"{thing}_{x}"] for x in AXES), isolation, strict=True))
        light = [one for one in light if one[0] > 10 and abs(one[1]) < 2.5 and one[3] < 0.15]
        if len(light) == 1:
            taus = [one for one in taus if one[0] > 20 and abs(one[1]) < 2.5 and away(one, light[0]) > 0.4]
            if taus:
                jets = [one[0] for one in jets if one[0] > 20 and abs(one[1]) < 3 and away(one, light[0]) > 0.4
                        and away(one, max(taus)) > 0.4]  # fmt: skip
                kept.append(row["event"])
                all_pt.append(sum(jets))
    assert found.event.tolist() == kept
    assert len(kept) == 2
    np.testing.assert_allclose(found.PRI_jet_all_pt, all_pt, rtol=1e-6)


def away(one, other):
    return np.hypot(one[1] - other[1], (one[2] - other[2] + np.pi) % (2 * np.pi) - np.pi)


def test_options_of_tau_pairs_do_what_they_say(folder):
    path = tau_events(folder / "options.root")
    assert run(path, TauPairs(opposite=False))["events"].event.tolist() == [1, 2, 4, 7, 8]
    tight = run(path, TauPairs(identification={"Tau": ("idTau", 5)}))["events"]
    assert tight.PRI_had_pt.tolist() == [35.0, 35.0, 35.0, 25.0]
    assert 4 not in run(path, TauPairs(isolation=None))["events"].event.tolist()
    np.testing.assert_allclose(run(path, TauPairs(met="PuppiMET"))["events"].PRI_met, 20.0, rtol=1e-6)
    assert run(path, TauPairs(jet_eta=5.0))["events"].PRI_n_jets.tolist() == [3, 1, 0, 0]
    with pytest.raises(InputError, match="expected one of MET, PuppiMET"):
        TauPairs(met="PFMET")
    with pytest.raises(InputError, match="identification of 'Taus'"):
        TauPairs(identification={"Taus": ("idTau", 5)})


def dijet_events(path, weights=(1.0, -1.0)):
    """Write two events of two narrow jets of two particles each, and one that does not trigger."""
    first = [(800.0, 0.1, 0.0, 0.0, 211), (600.0, 0.3, 0.0, 0.0, 22)]
    second = [(700.0, -0.4, 3.0, 0.0, 211), (500.0, -0.4, 3.25, 0.0, 130)]
    soft = [(300.0, 0.0, 0.0, 0.0, 211)]
    columns = {"PFCands": things(ALL, first + second, second + first + soft, soft)}
    columns["LHEScaleWeight"] = ak.values_astype(ak.Array([[0.5, 1.0, 2.0]] * 3), np.float32)
    return write_tree(path, columns, {**ids(3, 5), "genWeight": np.array([*weights, 1.0], np.float32)})


def test_dijets_have_the_masses_and_taus_of_their_particles(folder):
    path = dijet_events(folder / "dijets.root")
    fileset = {"x": {"files": [path], "metadata": {"label": 1, "mx": 500.0, "my": 100.0}}}
    out = run(fileset, DijetFeatures(), schema="pfnano")
    found = out["events"]
    assert found.event.tolist() == [5, 6]
    mass = np.sqrt(2 * 800 * 600 * (np.cosh(0.2) - 1))
    assert found.j1_mass[0] == pytest.approx(mass, rel=0.01)
    assert found.j2_mass[0] == pytest.approx(np.sqrt(2 * 700 * 500 * (1 - np.cos(0.25))), rel=0.01)
    assert found.j1_tau1[0] == pytest.approx(600 * 0.2, rel=0.02)  # in GeV, from the harder particle
    assert found.j1_tau2[0] == pytest.approx(0, abs=0.1)
    assert features(found)[0, 0] == pytest.approx(found.mjj[0] / 1000)
    assert set(found.label.tolist()) == {1}
    assert (found.mx.tolist(), found.my.tolist()) == ([500.0] * 2, [100.0] * 2)
    assert [counts["events"] for counts in out["cutflow"]["x"].values()] == [3, 2, 2]
    unknown = run(path, DijetFeatures(mjj=(found.mjj[0] - 1, found.mjj[0] + 1)), schema="pfnano")
    assert unknown["events"].label.tolist()[:1] == [-1]
    assert np.isnan(ak.to_numpy(unknown["events"].mx)).all()
    assert set(schema("dijets").columns) <= set(found.fields)


def test_jets_of_the_file_stand_in_for_candidates(folder):
    names = ("pt", "eta", "phi", "mass", "tau1", "tau2", "tau3")
    jets = things(names, [(600.0, 0.1, 3.0, 60.0, 0.2, 0.1, 0.05), (1300.0, 0.0, 0.0, 90.0, 0.3, 0.15, 0.1)],
                  [(1250.0, 0.0, 0.0, 50.0, 0.1, 0.05, 0.01)])  # fmt: skip
    path = write_tree(folder / "fat.root", {"FatJet": jets}, ids(2))
    found = run(path, DijetFeatures(collection="FatJet"))["events"]
    assert found.j1_pt.tolist() == [1300.0, 1250.0]
    assert found.j1_tau1[0] == pytest.approx(0.3 * 1300 * 0.8, rel=1e-5)
    assert found.j2_pt.tolist() == [600.0, 0.0]
    np.testing.assert_allclose(features(found)[0, 3:], 0.5, rtol=1e-3)
    with pytest.raises(InputError, match="is for NanoAOD"):
        run(path, DijetFeatures(collection="FatJet"), schema="delphes")


def test_weights_keep_their_sign_and_variations_are_columns(folder):
    z = run(z_events(folder / "wz.root"), ZJets(pt_z=100.0), schema="pfnano")["events"]
    jj = run(dijet_events(folder / "wj.root"), DijetFeatures(), schema="pfnano")["events"]
    for found, nominal in ((z, [1.0, -2.0]), (jj, [1.0, -1.0])):
        assert found.weight.tolist() == nominal
        assert found.weight_scale_up.tolist() == [2 * weight for weight in nominal]
        assert found.weight_scale_down.tolist() == [weight / 2 for weight in nominal]
    path = tau_events(folder / "wt.root", genWeight=np.full(8, -0.5, np.float32))
    out = run({"t": {"files": [path], "metadata": {"weight": 10.0, "label": 1}}}, TauPairs())
    assert set(out["events"].weights.tolist()) == {-5.0}
    assert set(out["events"].label.tolist()) == {1}
    assert out["cutflow"]["t"]["all"]["sumw"] == -40.0
    assert "weights_scale_up" not in out["events"].fields
    none = run(dijet_events(folder / "wn.root"), DijetFeatures(weights={}), schema="pfnano")["events"]
    assert [name for name in none.fields if name.startswith("weight")] == ["weight"]


def test_variations_of_a_jet_are_those_of_its_event(folder):
    jets = some_jets()
    plain = pfnano_file(folder / "jets.root", jets)
    with uproot.open(plain) as file:
        tree = file["Events"].arrays()
    columns = {}
    for name in ("FatJet", "FatJetPFCands", "PFCands"):
        columns[name] = ak.zip({x.removeprefix(f"{name}_"): tree[x] for x in tree.fields if x.startswith(f"{name}_")})
    n = len(tree)
    scale = np.stack([np.full(n, 0.5), 1 + np.arange(n)], axis=1).astype(np.float32)
    columns["LHEScaleWeight"] = ak.unflatten(scale.ravel(), np.full(n, 2))
    weight = np.where(np.arange(n) % 2, -0.5, 0.5).astype(np.float32)
    path = write_tree(folder / "varied.root", columns, {**ids(n), "genWeight": weight})
    found, known = (run(p, JetSkim(), schema="pfnano")["jets"] for p in (path, plain))
    event = ak.to_numpy(found.event)
    np.testing.assert_array_equal(found.weight, weight[event])
    np.testing.assert_array_equal(found.weight_scale_up, weight[event] * (1 + event))
    np.testing.assert_array_equal(found.weight_scale_down, weight[event] / 2)
    kept = [name for name in known.fields if name != "weight"]
    assert ak.array_equal(found[kept], known[kept], equal_nan=True)
    with pytest.raises(RunError, match=r"records with 'weight_scale_down' and some without.*weights=\{\}"):
        run([path, plain], JetSkim(), schema="pfnano")
    assert len(run([path, plain], JetSkim(weights={}), schema="pfnano")["jets"]) == len(found) + len(known)


@pytest.mark.parametrize("name", ["z", "tau", "dijets"])
def test_only_needed_branches_are_read_and_missing_ones_are_told(folder, name):
    files = {"z": z_events, "tau": tau_events, "dijets": dijet_events}
    processors = {"z": ZJets(pt_z=100.0), "tau": TauPairs(), "dijets": DijetFeatures()}
    path = files[name](folder / f"needed_{name}.root")
    read = set(run(path, processors[name], schema="pfnano").metrics["columns"])
    candidates = {"nPFCands", *(f"PFCands_{x}" for x in AXES)}
    weights = {"event", "genWeight", "LHEScaleWeight"}
    wanted = {
        "z": {*candidates, "PFCands_pdgId", "nGenCands", *(f"GenCands_{x}" for x in ALL), *weights},
        "tau": {"event", "MET_pt", "MET_phi", "nJet", *(f"Jet_{x}" for x in AXES), "nTau",
                *(f"Tau_{x}" for x in LEPTON[:4]), "nMuon", "nElectron",
                *(f"{kind}_{x}" for kind in ("Muon", "Electron") for x in LEPTON)},
        "dijets": {*candidates, *weights},
    }  # fmt: skip
    assert read - {"nLHEScaleWeight"} == wanted[name]
    poor = write_tree(folder / f"poor_{name}.root", {"Jet": things(AXES, [])}, ids(1))
    missing = {"z": "nPFCands", "tau": "MET_pt", "dijets": "nPFCands"}[name]
    with pytest.raises(RunError, match=f"no branch '{missing}'"):
        run(poor, processors[name], schema="pfnano")
