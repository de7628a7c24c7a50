"""Simulated events written as PFNano and as Delphes give the arrays that the recipes compute of the same events."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from hepml_nb.columnar import DijetFeatures, Dijets, JetSkim, TauPairs, ZJets, run
from hepml_nb.data import schema
from hepml_nb.simulate import dijets, higgsml, zjets
from hepml_nb.simulate import jets as simulated
from hepml_nb.simulate.nanoaod import write_root
from hepml_nb.simulate.pythia import visible
from hepml_nb.simulate.recipes import nano, pfnano, tautau

NEUTRINOS = (12, 14, 16)


def simulate(process: str, n: int) -> tuple[Any, list[tuple[Any, dict[str, np.ndarray]]]]:
    """Return events, and what they are made of: Pythia's records and flat candidates, batch by batch."""
    kept = []

    def more(records: Any, found: Any, events: Any) -> Any:
        candidates = found["candidates"]
        flat = {name: ak.to_numpy(ak.flatten(candidates[name])) for name in ("pt", "eta", "phi", "pdg")}
        flat["event"] = np.repeat(np.arange(len(records)), ak.to_numpy(ak.num(candidates)))
        kept.append((records, flat))
        return pfnano._more(records, found, events)

    parameters = {**pfnano.RECIPE.defaults, "process": process, "mpi": False}
    events, _ = nano.sample(n, 3, **parameters, more=more)
    return events, kept


def delphes(path: Any, events: Any) -> Any:
    """Write PFNano's events as Delphes does: particle flow by kind, and jets with a tag for taus."""
    seen = events.PFCands
    kind = abs(seen.pdgId)
    flow = {"Track": (kind != 22) & (kind != 130), "Photon": kind == 22, "NeutralHadron": kind == 130}
    made = {}
    for name, mask in flow.items():
        some = seen[mask]
        pt = "PT" if name == "Track" else "ET"
        more = {"PID": some.pdgId, "Mass": some.mass} if name == "Track" else {}
        made[f"EFlow{name}"] = ak.zip({pt: some.pt, "Eta": some.eta, "Phi": some.phi, **more})
    truth = events.GenCands
    capital = {"PT": "pt", "Eta": "eta", "Phi": "phi"}
    one = ak.ones_like(truth.pdgId)
    made["Particle"] = ak.zip({**{to: truth[name] for to, name in capital.items()}, "Mass": truth.mass,
                               "PID": truth.pdgId, "Status": one, "M1": -one})  # fmt: skip
    for name in ("Muon", "Electron"):
        some = events[name]
        made[name] = ak.zip({**{to: some[own] for to, own in capital.items()}, "Charge": some.charge,
                             "IsolationVar": some.pfRelIso03_all})  # fmt: skip
    small = events.Jet
    same = ak.local_index(small.pt)[:, :, None] == events.Tau.jetIdx[:, None, :]
    charge = ak.values_astype(ak.sum(same * events.Tau.charge[:, None, :], axis=2), np.int32)
    tagged = ak.values_astype(ak.any(same, axis=2), np.uint32)
    made["Jet"] = ak.zip({**{to: small[own] for to, own in capital.items()}, "Mass": small.mass, "TauTag": tagged,
                          "Charge": charge})  # fmt: skip
    one = np.ones(len(events), np.int64)
    zero = np.zeros(len(events), np.float32)
    made["MissingET"] = ak.unflatten(ak.zip({"MET": events.MET_pt, "Eta": zero, "Phi": events.MET_phi}), one)
    made["Event"] = ak.unflatten(ak.zip({"Number": events.event, "Weight": events.genWeight}), one)
    with uproot.recreate(path) as file:
        tree = file.mktree("Delphes", {name: value.type for name, value in made.items()},
                           counter_name=lambda name: f"{name}_size",
                           field_name=lambda name, column: f"{name}/{name}.{column}")  # fmt: skip
        tree.extend({name: ak.to_packed(value) for name, value in made.items()})
    return path


class Sample:
    """Events of a process in a PFNano and in a Delphes file, beside what they are made of."""

    def __init__(self, folder: Any, process: str, n: int) -> None:
        self.events, self.batches = simulate(process, n)
        self.pfnano = write_root(folder / f"{process}.root", self.events)
        self.delphes = delphes(folder / f"{process}_delphes.root", self.events)

    def of_both(self, processor: Any) -> tuple[Any, Any]:
        """Return the output of both layouts."""
        return run(self.pfnano, processor, schema="pfnano"), run(self.delphes, processor, schema="delphes")


PROCESSORS = {"zjets": ZJets(pt_z=150.0, particles=True), "taus": TauPairs(lepton=(10.0, 5.0), opposite=False),
              "dijets": DijetFeatures(pt=100.0), "jets": JetSkim()}  # fmt: skip


class Every:
    """All processors of records over the same events."""

    def process(self, events: Any) -> Any:
        return {name: processor.process(events) for name, processor in PROCESSORS.items()}


@pytest.fixture(scope="module")
def z_sample(tmp_path_factory):
    return Sample(tmp_path_factory.mktemp("z"), "zjets", 50)


@pytest.fixture(scope="module")
def tau_sample(tmp_path_factory):
    return Sample(tmp_path_factory.mktemp("tau"), "htautau", 100)


@pytest.fixture(scope="module")
def jet_sample(tmp_path_factory):
    return Sample(tmp_path_factory.mktemp("jet"), "dijets", 50)


def numbers(batches: Any) -> list[int]:
    """Return the number of the first event of each batch."""
    return (np.cumsum([0, *(len(records) for records, _ in batches)])[:-1] + 1).tolist()


def close(found: Any, wanted: Any, bits: int, what: str) -> None:
    """Hold columns against each other: one step of their rounding at most, and mostly none.

    Branches are float32 and a column keeps some bits, so a value beside an edge may fall to either side of it.
    """
    found, wanted = (np.asarray(ak.to_numpy(values), dtype=np.float64) for values in (found, wanted))
    np.testing.assert_allclose(found, wanted, rtol=2.0**-bits, atol=2.0**-bits, err_msg=what)
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    assert same.mean() > 0.9, what


@pytest.mark.parametrize("layout", ["pfnano", "delphes"])
def test_zjets_are_those_of_the_recipe(z_sample, layout):
    found = z_sample.of_both(ZJets(pt_z=150.0, particles=True))[layout == "delphes"]
    wanted = []
    for (records, candidates), first in zip(z_sample.batches, numbers(z_sample.batches), strict=True):
        n, seen = len(records), visible(records)
        measured = zjets.massless(candidates)
        gen, sim = (zjets.Side(zjets.part(flat, mask), zjets.part(flat, ~mask))
                    for flat in (seen, measured) for mask in [zjets.of_z(flat, n)])  # fmt: skip
        wanted.append(zjets.records(gen, sim, np.arange(n) + first, low=150.0, losses=True, particles=True)[0])
    wanted, records = ak.concatenate(wanted), found["events"]
    assert len(records) > 15
    assert ak.to_list(records.event) == ak.to_list(wanted.event)
    assert found["cutflow"]["events"]["passes on a side"]["events"] == len(records)
    for name in schema("zjets").columns:
        if name in ("pass_gen", "pass_sim") or name.endswith("mult"):
            np.testing.assert_array_equal(records[name], wanted[name], err_msg=name)
        elif name != "label":
            close(records[name], wanted[name], 7 if name.endswith(("_y", "_phi")) else 6, name)
    assert ak.all(ak.num(records.gen_particles) == records.gen_mult)
    assert set(ak.to_list(records.label)) == {-1}


@pytest.mark.parametrize("layout", ["pfnano", "delphes"])
def test_tau_pairs_are_those_of_the_recipe(tau_sample, layout):
    processor = TauPairs(opposite=False, jet_eta=10.0)
    found = tau_sample.of_both(processor)[layout == "delphes"]["events"]
    parts, forward = [], []
    for (records, candidates), first in zip(tau_sample.batches, numbers(tau_sample.batches), strict=True):
        # NanoAOD has muons up to 2.4, the challenge up to 2.5
        outside = (abs(candidates["pdg"]) == 13) & (candidates["pt"] > 15) & (abs(candidates["eta"]) > 2.4)
        inside = np.bincount(candidates["event"][outside], minlength=len(records)) == 0
        parts.append(tautau._select(candidates, tautau._taus(records)[0], inside))
        forward += (np.flatnonzero(~inside) + first).tolist()
    wanted = {name: np.concatenate([part[name] for part in parts]) for name in higgsml.PRIMARY}
    found = found[~np.isin(found.event, forward)]
    assert len(found) == len(wanted["PRI_met"]) > 8
    for name, values in wanted.items():
        if name == "PRI_n_jets":
            np.testing.assert_array_equal(found[name], values)
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=5e-4, err_msg=name)
    again = higgsml.derived({name: ak.to_numpy(found[name]) for name in higgsml.PRIMARY})
    for name, values in again.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
    assert set(found.fields) == set(schema("higgsml").columns)


@pytest.mark.parametrize("layout", ["pfnano", "delphes"])
def test_dijets_are_those_of_the_recipe(jet_sample, layout):
    found = jet_sample.of_both(DijetFeatures(pt=100.0))[layout == "delphes"]
    wanted, number = [], []
    for (records, candidates), first in zip(jet_sample.batches, numbers(jet_sample.batches), strict=True):
        particles = dijets.on_grid(candidates, len(records))
        jets = dijets.leading(particles)
        chosen = ak.to_numpy(ak.any((jets[:, :1].pt > 100) & (abs(jets[:, :1].eta) < 2.5), axis=1))
        wanted.append(dijets.table(dijets.describe(particles[chosen], jets[chosen]), int(chosen.sum())))
        number += (np.flatnonzero(chosen) + first).tolist()
    wanted, records = ak.concatenate(wanted), found["events"]
    assert records.event.tolist() == number
    assert len(number) > 20
    for name in ("mjj", *(f"{jet}_{column}" for jet in ("j1", "j2") for column in dijets.JET)):
        close(records[name], wanted[name], 6, name)
    np.testing.assert_allclose(dijets.features(records), dijets.features(wanted), rtol=0.02, atol=1e-3)
    assert set(schema("dijets").columns) <= set(records.fields)


def test_the_spectrum_of_dijets_is_the_same_in_both_layouts(jet_sample):
    one, two = jet_sample.of_both(Dijets())
    assert one["cutflow"] == two["cutflow"]
    assert sorted(two["mass"].axes["variation"]) == ["jet_scale_down", "jet_scale_up", "nominal"]
    assert two["mass"].sum().value > 50
    for variation in two["mass"].axes["variation"]:
        np.testing.assert_array_equal(*(out["mass"]["events", variation, :].values() for out in (one, two)))


def test_jets_are_those_that_the_recipe_finds(jet_sample):
    found = run(jet_sample.pfnano, JetSkim(pt=(200.0, np.inf)), schema="pfnano")["jets"]
    wanted = []
    for (records, candidates), first in zip(jet_sample.batches, numbers(jet_sample.batches), strict=True):
        jets = simulated.find(candidates, len(records), (200.0, np.inf))
        wanted.append(simulated.from_constituents(
            jets.pt, jets.eta, jets.phi, jets.constituents, rank=jets["rank"], event=ak.to_numpy(jets.row) + first,
        ))  # fmt: skip
    wanted = ak.concatenate(wanted)
    assert len(wanted) > 5
    assert found.event.tolist() == wanted.event.tolist()
    assert ak.num(found.constituents).tolist() == ak.num(wanted.constituents).tolist()
    np.testing.assert_allclose(found.pt, wanted.pt, rtol=3e-4)
    # The twin keeps 8 bits of a constituent's pt and a grid of 1/512 for its place; a file keeps it as it is.
    np.testing.assert_allclose(ak.flatten(found.constituents.pt), ak.flatten(wanted.constituents.pt), rtol=2.0**-8)
    np.testing.assert_allclose(found.mass, wanted.mass, rtol=0.01, atol=0.2)
    assert np.nanmedian(found.pt / found.gen_pt) == pytest.approx(1, abs=0.03)


def test_executors_and_chunks_change_nothing(z_sample):
    here = run(z_sample.pfnano, Every(), schema="pfnano").values
    there = run(z_sample.pfnano, Every(), schema="pfnano", executor="futures", workers=2, chunksize=15)
    assert there.metrics["chunks"] == 3
    for name in PROCESSORS:
        records = "jets" if name == "jets" else "events"
        assert ak.array_equal(here[name][records], there[name][records], equal_nan=True), name
        assert len(here[name][records]) > 0 or name == "taus"
        counts = [
            [{step: one["events"] for step, one in out[name]["cutflow"]["events"].items()}] for out in (here, there)
        ]
        assert counts[0] == counts[1]
