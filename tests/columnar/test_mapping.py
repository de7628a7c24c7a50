"""What is proposed for the usual names of the field, and what a mapping makes of rows: units, padding, classes."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.columnar.classes import particle_classes
from hepml_nb.columnar.conversion import convert
from hepml_nb.columnar.inspection import survey
from hepml_nb.columnar.mapping import Label, Plan, Take, parse
from hepml_nb.columnar.proposing import propose
from hepml_nb.columnar.sourcing import batches
from hepml_nb.core import InputError

N = 60


@pytest.fixture(scope="module")
def jets():
    return data.load("top-tagging").split("test")[:N]


def padded(jets, *names):
    """Return constituents of jets in arrays (n, 120), zero where there is none, by our names."""
    inside = jets.constituents
    columns = {"pt": inside.pt, "eta": inside.deta + jets.eta, "phi": inside.dphi + jets.phi, "pdg": inside.pdg,
               "deta": inside.deta, "dphi": inside.dphi}  # fmt: skip
    columns |= {"px": inside.pt * np.cos(columns["phi"]), "py": inside.pt * np.sin(columns["phi"]),
                "pz": inside.pt * np.sinh(columns["eta"])}  # fmt: skip
    width = int(ak.max(ak.num(inside)))
    return [ak.to_numpy(ak.fill_none(ak.pad_none(columns[name], width), 0)).astype(np.float64) for name in names]


def layouts(jets):
    """Return files in the layouts of public sets: {name: (columns, names of the constituents' columns)}."""
    px, py, pz, pt, eta, phi, deta, dphi, pdg = padded(
        jets, "px", "py", "pz", "pt", "eta", "phi", "deta", "dphi", "pdg"
    )
    axis = {"jet_pt": ak.to_numpy(jets.pt), "jet_eta": ak.to_numpy(jets.eta), "jet_phi": ak.to_numpy(jets.phi)}
    label = ak.to_numpy(jets.label)
    kinds = {"ChargedHadron": 211, "NeutralHadron": 130, "Photon": 22, "Electron": 11, "Muon": 13}
    flags = {f"part_is{kind}": np.abs(pdg) == number for kind, number in kinds.items()}
    charge = np.where(np.isin(np.abs(pdg), (11, 13)), -np.sign(pdg), np.where(np.abs(pdg) == 211, np.sign(pdg), 0))
    return {
        "jetclass": {**axis, "part_px": px, "part_py": py, "part_pz": pz, "part_deta": deta, "part_dphi": dphi, **flags,
                     "part_charge": charge, "label_QCD": 1 - label, "label_Tbqq": label},
        "atlas": {"fjet_pt": axis["jet_pt"] * 1e3, "fjet_eta": axis["jet_eta"], "fjet_phi": axis["jet_phi"],
                  "fjet_clus_pt": pt * 1e3, "fjet_clus_eta": eta, "fjet_clus_phi": phi, "labels": label,
                  "weights": np.where(np.arange(N) % 10, 1.5, -0.5)},
        "tables": {**{f"{name}_{i}": column[:, i] for name, column in (("PX", px), ("PY", py), ("PZ", pz))
                      for i in range(px.shape[1])}, "is_signal_new": label},
        "energyflow": {"X": np.stack([pt, eta, phi, pdg], axis=2), "y": label},
        "relative": {"pt": axis["jet_pt"], "constit_pt": pt, "constit_etarel": deta, "constit_phirel": dphi,
                     "label": label, "mass": np.ones(N)},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["jetclass", "atlas", "tables", "energyflow", "relative"])
def test_usual_layouts_are_recognised_and_give_the_same_jets(tmp_path, jets, name):
    np.savez(tmp_path / f"{name}.npz", **layouts(jets)[name])
    seen = survey([tmp_path / f"{name}.npz"])
    plan, notes = propose(seen, "jets")
    assert parse(plan.text()) == plan
    assert plan.radius == 0.8
    assert any("MeV" in note for note in notes) == (name == "atlas")
    found = next(batches(seen, plan)).records
    np.testing.assert_array_equal(found.label, jets.label)
    np.testing.assert_array_equal(ak.num(found.constituents), ak.num(jets.constituents))
    np.testing.assert_allclose(ak.flatten(found.constituents.pt), ak.flatten(jets.constituents.pt), rtol=1e-5)
    # where the file gives no axis it is the sum of the constituents, which ours, being clustered, are to rounding
    np.testing.assert_allclose(found.mass, jets.mass, rtol=2e-3)
    np.testing.assert_allclose(found.pt, jets.pt, rtol=2e-3)
    # positions lie on a grid, and the kT axes of a jet hang on how rounding breaks a tie: most jets, not all
    assert np.mean(np.abs(found.tau2 / jets.tau2 - 1) < 5e-3) > 0.9
    if name in ("jetclass", "energyflow"):
        kinds = [ak.sort(one.constituents.pdg) for one in (found, jets)]  # those of equal pt have no order
        np.testing.assert_array_equal(*(ak.flatten(kind) for kind in kinds))
    if name == "atlas":
        np.testing.assert_allclose(found.weight, np.where(np.arange(N) % 10, 1.5, -0.5))
    if name == "relative":
        assert ak.all(np.isnan(found.eta))  # nothing in the file tells it


def test_wrong_units_are_said_aloud(tmp_path, jets):
    columns = layouts(jets)["atlas"]
    np.savez(tmp_path / "mixed.npz", **{**columns, "fjet_clus_pt": columns["fjet_clus_pt"] / 1e3})
    plan, notes = propose(survey([tmp_path / "mixed.npz"]), "jets")
    assert plan.columns["pt"].unit == "MeV"
    assert plan.collections["constituents"]["pt"].unit == "GeV"
    assert not any("BEWARE" in note for note in notes)  # each in its own unit they agree
    np.savez(tmp_path / "wrong.npz", **{**columns, "fjet_clus_pt": columns["fjet_clus_pt"] / 10})
    assert any(
        "BEWARE: constituents add up to 0.1" in note for note in propose(survey([tmp_path / "wrong.npz"]), "jets")[1]
    )


@pytest.mark.parametrize("radius", [0.4, 0.6, 1.0])
def test_the_radius_is_guessed_from_the_jets(tmp_path, jets, radius):
    pt, deta, dphi = padded(jets, "pt", "deta", "dphi")
    scale = radius / 0.8
    np.savez(tmp_path / "a.npz", pt=ak.to_numpy(jets.pt), part_pt=pt, part_deta=deta * scale, part_dphi=dphi * scale)
    assert propose(survey([tmp_path / "a.npz"]), "jets")[0].radius == radius


def test_rows_may_be_events_of_many_jets(jets):
    counts = np.array([0, 2, 1, 3, 0, 4])
    few = jets[: counts.sum()]
    inside = few.constituents
    columns = {"pt": few.pt, "eta": few.eta, "phi": few.phi}
    columns |= {"c_pt": inside.pt, "c_eta": inside.deta + few.eta, "c_phi": inside.dphi + few.phi}
    part = {name: ak.unflatten(column, counts) for name, column in columns.items()}
    part |= {"w": np.arange(6.0), "n": np.arange(6) + 70}
    takes = {name: Take(f"c_{name}") for name in ("pt", "eta", "phi")}
    axis = {"pt": Take("pt"), "eta": Take("eta"), "phi": Take("phi"), "event": Take("n")}
    plan = Plan("jets", columns=axis, collections={"constituents": takes}, weight=Take("w"))
    piece = convert({name: ak.Array(column) for name, column in part.items()}, plan, "here", 1000)
    np.testing.assert_array_equal(piece.rows, np.repeat(np.arange(6), counts))
    np.testing.assert_array_equal(piece.records.event, np.repeat(np.arange(6), counts) + 70)
    np.testing.assert_array_equal(piece.records.weight, np.repeat(np.arange(6), counts))
    np.testing.assert_allclose(piece.records.mass, few.mass, rtol=2e-3)
    ranks = ak.unflatten(ak.to_numpy(piece.records["rank"]), counts)
    hardest = ak.argsort(ak.argsort(part["pt"], ascending=False), ascending=True)
    assert ak.to_list(ranks) == ak.to_list(hardest)


def simple(jets, **changes):
    """Return rows and a mapping of jets with weights and labels, some numbers changed."""
    pt, deta, dphi = padded(jets, "pt", "deta", "dphi")
    part = {"pt": pt, "deta": deta, "dphi": dphi, "w": np.ones(N), "y": ak.to_numpy(jets.label)}
    for name, (place, value) in changes.items():
        part[name][place] = value
    plan = Plan("jets", collections={"constituents": {k: Take(k) for k in ("pt", "deta", "dphi")}}, weight=Take("w"),
                label=Label("y", {"qcd": 0, "top": 1}))  # fmt: skip
    return {name: ak.Array(column) for name, column in part.items()}, plan


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"w": (7, np.nan)}, r"weight \(w\) is NaN or infinite in row 107"),
        ({"w": (7, np.inf)}, r"weight \(w\) is NaN or infinite in row 107"),
        ({"pt": ((4, 0), np.nan)}, "pt of constituents is NaN or infinite in row 104"),
        ({"y": (9, 5)}, "row 109 is of no class .label 5."),
    ],
)
def test_what_is_no_number_or_of_no_class_is_refused(jets, changes, told):
    part, plan = simple(jets, **changes)
    with pytest.raises(InputError, match=told):
        convert(part, plan, "here", 100)


def test_empty_jets_and_other_classes_are_left_out_and_counted(jets):
    part, plan = simple(jets, pt=(3, 0.0), w=(5, -2.0))
    label = Label("y", {"top": 1}, others="drop")
    piece = convert(part, Plan("jets", collections=plan.collections, weight=plan.weight, label=label), "here", 0)
    tops = (ak.to_numpy(jets.label) == 1) & (np.arange(N) != 3)
    np.testing.assert_array_equal(piece.rows, np.flatnonzero(tops))
    assert piece.dropped == {"jets without constituents": 1, "records of no class": N - 1 - tops.sum()}
    whole = convert(part, plan, "here", 0)
    assert ak.min(whole.records.weight) == -2  # negative weights are legal


def test_particle_numbers_become_classes():
    given = [211, -321, 2212, -2212, 22, 130, 2112, -2112, 310, 11, -11, 13, 0]
    assert particle_classes(given).tolist() == [211, -211, 211, -211, 22, 130, 130, 130, 130, 11, -11, 13, 0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("columns: {}", "missing schema"),
        ("schema: jetz", "did you mean 'jets'"),
        ("schema: jets\ncolumn: {}", "did you mean 'columns'"),
        ("schema: jets\ncolumns: {ptt: a}", r"'ptt' is not in the schema 'jets'; did you mean 'pt'"),
        ("schema: jets\ncolumns: {pt: {from: a, unit: Mev}}", "did you mean 'MeV'"),
        ("schema: jets\ncolumns: {pt: {from: a, unit: mm}}", "unit 'mm' cannot become 'GeV'"),
        ("schema: jets\ncolumns: {pt: 3}", "expected the name of a column"),
        ("schema: jets\ncollections: {constituents: {pp: a}}", "'pp' is unknown"),
        ("schema: jets\nlabel: {column: y}", "belong together"),
        ("schema: jets\nlabel: {column: y, classes: {a: 0}, truth: [qcd]}", "give one of"),
        ("schema: jets\nlabel: {truth: [qdc]}", "did you mean 'qcd'"),
        ("schema: jets\nlabel: {column: y, classes: {a: 1000}}", "int8"),
        ("schema: jets\nsplits: {train: 0.9, test: 0.2}", "sum of at most 1"),
        ("schema: jets\nsplits: {train: 0.9, test: x}", "not both"),
        ("schema: jets\nradius: -1", "expected the R"),
        ("schema: jets\nextra: {mass: a}", "is a column of the schema"),
        ("[1, 2", "no YAML"),
        ("3", "expected a mapping"),
    ],
)
def test_a_mapping_that_is_wrong_says_where(text, told):
    with pytest.raises((InputError, LookupError), match=told):
        parse(text)


def test_showers_and_events_of_flat_files(tmp_path):
    rng = np.random.default_rng(1)
    cells = np.where(rng.random((20, 30)) < 0.3, rng.exponential(100, (20, 30)), 0.0)
    np.savez(tmp_path / "s.npz", incident_energies=np.full((20, 1), 65536.0), showers=cells)
    seen = survey([tmp_path / "s.npz"])
    plan, _ = propose(seen, "showers")
    found = convert(seen.head, plan, "here", 0).records
    np.testing.assert_allclose(ak.sum(found.hits.energy, axis=1), cells.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(ak.num(found.hits), (cells > 0).sum(axis=1))
    assert ak.all(found.energy == 65536)
    np.savez(tmp_path / "d.npz", mjj=np.linspace(2000, 4000, 20), j1_pt=np.full(20, 1000.0), label=np.arange(20) % 2)
    seen = survey([tmp_path / "d.npz"])
    plan, _ = propose(seen, "events")
    assert plan.schema == "dijets"
    found = convert(seen.head, plan, "here", 0).records
    np.testing.assert_allclose(found.mjj, np.linspace(2000, 4000, 20))
    with pytest.raises(InputError, match="expected columns incident_energies and showers"):
        propose(seen, "showers")
