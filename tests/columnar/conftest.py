"""Small event files in the layouts that we read, written with uproot as trees (its default is an RNTuple)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from hepml_nb import data
from hepml_nb.simulate.jets import delta_phi

Z_MASS, Z_WIDTH, MUON = 91.1880, 2.4955, 0.1056584
_BASKET = 500


def write_tree(path: Path, collections: dict[str, Any], flat: dict[str, Any], tree: str = "Events") -> Path:
    """Write jagged `collections` {name: events * var * record} (with `nName`) and `flat` columns as one tree."""
    branches = {f"n{name}" for name in collections}
    with uproot.recreate(path) as file:
        columns = {name: value.dtype for name, value in flat.items()}
        types = {**columns, **{name: value.type for name, value in collections.items()}}
        counter = {f"n{name}": None for name in collections}
        assert branches == set(counter)
        made = file.mktree(tree, types, counter_name=lambda name: f"n{name}", field_name=lambda a, b: f"{a}_{b}")
        n = len(next(iter(flat.values())))
        for start in range(0, n, _BASKET):  # what is read at once, as a basket is unpacked whole
            part = slice(start, start + _BASKET)
            made.extend({name: value[part] for name, value in {**flat, **collections}.items()})
    return path


def ids(n: int, first: int = 0) -> dict[str, np.ndarray]:
    return {
        "run": np.full(n, 1, np.uint32),
        "luminosityBlock": np.full(n, 1, np.uint32),
        "event": np.arange(first, first + n, dtype=np.uint64),
    }


def z_events(n: int, seed: int) -> Any:
    """Return the muons of `n` Z bosons without transverse momentum: events * 2 * {pt, eta, phi, mass, charge}."""
    rng = np.random.default_rng(seed)
    mass = Z_MASS + Z_WIDTH / 2 * np.tan(np.pi * (rng.random(n) - 0.5) * 0.9)
    cos, phi, boost = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n), rng.normal(0, 0.7, n)
    p = np.sqrt(mass**2 / 4 - MUON**2)
    pt, eta = p * np.sqrt(1 - cos**2), np.arctanh(cos)
    columns = {
        "pt": np.stack([pt, pt], axis=1),
        "eta": np.stack([eta, -eta], axis=1) + boost[:, None],
        "phi": np.stack([phi, phi + np.pi], axis=1) - np.where(phi[:, None] > 0, np.pi, 0),
        "mass": np.full((n, 2), MUON),
        "charge": np.where(rng.random((n, 1)) < 0.5, [[1, -1]], [[-1, 1]]),
    }
    kinds = {"charge": np.int32}
    flat = {name: values.reshape(-1).astype(kinds.get(name, np.float32)) for name, values in columns.items()}
    return ak.unflatten(ak.zip(flat), np.full(n, 2))


def z_file(path: Path, n: int, seed: int, simulated: bool = True, **extra: np.ndarray) -> Path:
    """Write `n` Z decays; simulation has weights, one in ten of them negative, and nine scale weights."""
    rng = np.random.default_rng(seed + 1000)
    flat = {**ids(n, seed * 10_000), **extra}
    collections = {"Muon": z_events(n, seed)}
    if simulated:
        flat["genWeight"] = np.where(rng.random(n) < 0.1, -0.7, 0.7).astype(np.float32)
        scale = np.tile(np.linspace(0.9, 1.1, 9, dtype=np.float32), (n, 1))
        collections["LHEScaleWeight"] = ak.unflatten(scale.reshape(-1), np.full(n, 9))
    return write_tree(path, collections, flat)


def some_jets() -> Any:
    """Return QCD and top jets of the sample that ships, two to an event by order."""
    jets = data.load("top-tagging").split("val")
    return ak.concatenate([jets[jets.label == label][:40] for label in (0, 1)])


def _shuffled(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random order that keeps entries in their event."""
    event = np.repeat(np.arange(len(counts)), counts)
    return np.lexsort((rng.random(len(event)), event))


def _pairs(jets: Any) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return constituents per jet, per event, and their flat columns with positions in the detector."""
    sizes = ak.to_numpy(ak.num(jets.constituents))
    inside = {name: ak.to_numpy(ak.flatten(jets.constituents[name])) for name in jets.constituents.fields}
    axis = {name: np.repeat(ak.to_numpy(jets[name]), sizes) for name in ("eta", "phi")}
    phi = delta_phi(axis["phi"] + inside["dphi"], 0.0)
    flat = {"pt": inside["pt"], "eta": axis["eta"] + inside["deta"], "phi": phi, "pdg": inside["pdg"]}
    return sizes, sizes.reshape(-1, 2).sum(axis=1), flat


def pfnano_file(path: Path, jets: Any, particles: Any = None) -> Path:
    """Write jets, two per event, as PFNano does: candidates of the event, and lists that say in which jet they are.

    Candidates and lists are in no order; PUPPI weights and a calibration of 5 % have to be taken into account, and one
    list entry per event points nowhere.
    """
    rng = np.random.default_rng(5)
    sizes, counts, flat = _pairs(jets)
    n, puppi, raw = len(counts), rng.uniform(0.3, 1, len(flat["pt"])), 1 / 1.05
    order = _shuffled(counts, rng)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    columns = {"pt": flat["pt"] * raw / puppi, "eta": flat["eta"], "phi": flat["phi"], "puppiWeight": puppi}
    columns = {name: values[order].astype(np.float32) for name, values in columns.items()}
    columns["pdgId"] = flat["pdg"][order].astype(np.int32)
    jet = np.repeat(np.tile([0, 1], n), sizes)
    listed = _shuffled(counts, rng)
    links = ak.unflatten(ak.zip({"jetIdx": jet[listed].astype(np.int32),
                                 "pFCandsIdx": (place - first)[listed].astype(np.int32)}), counts)  # fmt: skip
    nowhere = ak.values_astype(ak.zip({"jetIdx": [[-1]] * n, "pFCandsIdx": [[0]] * n}), np.int32)
    fat = {name: ak.to_numpy(jets[name]) for name in ("pt", "eta", "phi", "mass")}
    fat["rawFactor"] = np.full(len(jets), 1 - raw, np.float32)
    collections = {
        "FatJet": ak.unflatten(ak.zip(fat), np.full(n, 2)),
        "FatJetPFCands": ak.concatenate([nowhere, links], axis=1),
        "PFCands": ak.unflatten(ak.zip(columns), counts),
    }
    if particles is not None:
        collections["GenPart"] = particles
    return write_tree(path, collections, {**ids(n), "genWeight": np.full(n, 0.5, np.float32)})


def delphes_file(path: Path, jets: Any) -> Path:
    """Write the candidates of jets, two per event and apart, as Delphes does: tracks, photons, neutral hadrons."""
    _, counts, flat = _pairs(jets)
    event = np.repeat(np.arange(len(counts)), counts)
    n = len(counts)
    collections = {}
    for name, kinds, pt in (("Track", (211, 11, 13), "PT"), ("Photon", (22,), "ET"), ("NeutralHadron", (130,), "ET")):
        here = np.isin(np.abs(flat["pdg"]), kinds)
        columns = {pt: flat["pt"][here], "Eta": flat["eta"][here], "Phi": flat["phi"][here]}
        if name == "Track":
            columns |= {"PID": np.where(flat["pdg"] == 211, 321, flat["pdg"])[here].astype(np.int32)}
            columns |= {"Mass": np.zeros(here.sum(), np.float32)}
        columns = {k: v if v.dtype == np.int32 else v.astype(np.float32) for k, v in columns.items()}
        collections[f"EFlow{name}"] = ak.unflatten(ak.zip(columns), np.bincount(event[here], minlength=n))
    columns = {"Number": np.arange(n, dtype=np.int64), "Weight": np.full(n, 2.0, np.float32)}
    collections["Event"] = ak.unflatten(ak.zip(columns), np.ones(n, np.int64))
    types = {name: value.type for name, value in collections.items()}
    with uproot.recreate(path) as file:
        tree = file.mktree("Delphes", types, counter_name=lambda name: f"{name}_size",
                           field_name=lambda name, column: f"{name}/{name}.{column}")  # fmt: skip
        tree.extend(collections)
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="session")
def files(folder):
    """Two datasets of three files in all, of unequal size."""
    return {
        "b_data": [str(z_file(folder / "data.root", 400, 3, simulated=False))],
        "a_zmumu": [str(z_file(folder / f"z{i}.root", 300 + 50 * i, i)) for i in (1, 2)],
    }


@pytest.fixture(scope="session")
def dask_client():
    """One LocalCluster of two workers for all tests of the session."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
