"""What the runner costs: a skim of jets through `columnar` against a loop written by hand, with the same output.

Both read PFNano-like files, find jets and constituents by the index lists, compute substructure with the same function
and write Parquet. They take turns; times are CPU seconds of this process, since a shared machine has no other clock.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import uproot

from hepml_nb import data
from hepml_nb.columnar import Dimuon, JetSkim, Output, run, skim
from hepml_nb.simulate import from_constituents
from hepml_nb.simulate.jets import delta_phi

BASKET = {"jets": 1000, "muons": 10_000}
"""Events per basket: what CMS's files hold in one, give or take."""


def write_jets(path: Path, events: int) -> None:
    """Write events of two jets each, from the sample that ships, in the layout of PFNano."""
    sample = data.load("top-tagging").split("test")
    jets = sample[np.arange(2 * events) % len(sample)]
    jets = jets[np.lexsort((-ak.to_numpy(jets.pt), np.arange(2 * events) // 2))]  # hardest first, as in CMS's files
    sizes = ak.to_numpy(ak.num(jets.constituents))
    inside = {name: ak.to_numpy(ak.flatten(jets.constituents[name])) for name in ("pt", "deta", "dphi", "pdg")}
    eta, phi = (np.repeat(ak.to_numpy(jets[name]), sizes) for name in ("eta", "phi"))
    columns = {"pt": inside["pt"], "eta": eta + inside["deta"], "phi": delta_phi(phi + inside["dphi"], 0.0)}
    columns = {name: values.astype(np.float32) for name, values in columns.items()}
    counts = sizes.reshape(-1, 2).sum(axis=1)
    jet = np.repeat(np.tile([0, 1], events), sizes).astype(np.int32)
    place = (np.arange(len(jet)) - np.repeat(np.cumsum(counts) - counts, counts)).astype(np.int32)
    things = {
        "FatJet": ak.unflatten(ak.zip({n: jets[n] for n in ("pt", "eta", "phi", "mass")}), np.full(events, 2)),
        "FatJetPFCands": ak.unflatten(ak.zip({"jetIdx": jet, "pFCandsIdx": place}), counts),
        "PFCands": ak.unflatten(ak.zip({**columns, "pdgId": inside["pdg"].astype(np.int32)}), counts),
    }
    numbers = {"run": np.ones(events, np.uint32), "luminosityBlock": np.ones(events, np.uint32),
               "event": np.arange(events, dtype=np.uint64)}  # fmt: skip
    write(path, {**numbers, **things}, BASKET["jets"])


def write_muons(path: Path, events: int, others: int) -> None:
    """Write events of two muons each, beside so many other branches, as there are in CMS's files."""
    rng = np.random.default_rng(0)
    flat = {"pt": rng.exponential(20, 2 * events) + 5, "eta": rng.normal(0, 1.2, 2 * events),
            "phi": rng.uniform(-3, 3, 2 * events), "mass": np.full(2 * events, 0.1056584)}  # fmt: skip
    muons = ak.zip({n: v.astype(np.float32) for n, v in flat.items()} | {"charge": rng.choice([-1, 1], 2 * events)})
    numbers = {"run": np.ones(events, np.uint32), "luminosityBlock": np.ones(events, np.uint32),
               "event": np.arange(events, dtype=np.uint64)}  # fmt: skip
    flags = {f"HLT_path{i}": np.zeros(events, bool) for i in range(others)}
    muons = ak.unflatten(muons, np.full(events, 2))
    write(path, {**numbers, "Muon": muons, **flags}, BASKET["muons"] * (10 if others else 1))


def write(path: Path, columns: dict[str, ak.Array | np.ndarray], basket: int) -> None:
    """Write columns as a tree with so many events per basket."""
    kinds = {n: v.dtype if isinstance(v, np.ndarray) else v.type.content for n, v in columns.items()}
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", kinds)
        for start in range(0, len(columns["event"]), basket):
            tree.extend({name: values[start : start + basket] for name, values in columns.items()})


def jets_by_hand(path: Path, out: Path, chunk: int) -> None:
    """Skim jets with uproot and awkward alone, as a script would."""
    names = ["event", "FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJetPFCands_jetIdx", "FatJetPFCands_pFCandsIdx",
             "PFCands_pt", "PFCands_eta", "PFCands_phi", "PFCands_pdgId"]  # fmt: skip
    out.mkdir()
    for number, events in enumerate(uproot.iterate(f"{path}:Events", names, step_size=chunk)):
        index = events.FatJetPFCands_pFCandsIdx
        inside = ak.zip({"jet": events.FatJetPFCands_jetIdx} |
                        {n: events[f"PFCands_{n}"][index] for n in ("pt", "eta", "phi", "pdgId")})  # fmt: skip
        jets = ak.zip({n: events[f"FatJet_{n}"] for n in ("pt", "eta", "phi")})
        rank = ak.local_index(jets.pt)
        keep = (jets.pt > 200) & (abs(jets.eta) < 2) & (rank < 2)
        groups = ak.concatenate([inside[inside.jet == j][:, None] for j in range(2)], axis=1)
        groups, found = ak.flatten(groups[keep]), ak.flatten(jets[keep])
        groups = groups[ak.argsort(groups.pt, ascending=False)]
        parts = {"pt": groups.pt, "deta": ak.values_astype(groups.eta - found.eta, np.float32),
                 "dphi": ak.values_astype(delta_phi(groups.phi, found.phi), np.float32),
                 "pdg": ak.values_astype(groups.pdgId, np.int16)}  # fmt: skip
        event = ak.flatten(ak.broadcast_arrays(events.event, jets.pt)[0][keep])
        n = len(found)
        made = from_constituents(found.pt, found.eta, found.phi, ak.zip(parts), event=event, label=np.full(n, -1),
                                 matched=np.ones(n, bool), rank=ak.flatten(rank[keep]),
                                 extra={"weight": np.ones(n, np.float32)})  # fmt: skip
        table = ak.to_arrow_table(made, extensionarray=False, list_to32=True)
        pq.write_table(table, out / f"{number}.parquet", compression="zstd", compression_level=3)


def muons_by_hand(path: Path, chunk: int) -> np.ndarray:
    """Return counts of the dimuon spectrum with uproot and awkward alone."""
    counts, edges = np.zeros(70), np.linspace(50, 120, 71)
    names = [f"Muon_{name}" for name in ("pt", "eta", "phi", "mass", "charge")]
    for events in uproot.iterate(f"{path}:Events", names, step_size=chunk):
        muons = ak.zip({name[5:]: events[name] for name in names})
        muons = muons[(muons.pt > 10) & (abs(muons.eta) < 2.4)]
        muons = muons[ak.argsort(muons.pt, ascending=False)]
        muons = muons[ak.num(muons) >= 2]
        muons = muons[(muons.pt[:, 0] > 20) & (muons.charge[:, 0] * muons.charge[:, 1] < 0)]
        total = np.zeros((4, len(muons)))
        for place in (0, 1):
            pt, eta, phi, mass = (ak.to_numpy(muons[name][:, place]).astype(float)
                                  for name in ("pt", "eta", "phi", "mass"))  # fmt: skip
            px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
            total += np.stack([np.sqrt(px**2 + py**2 + pz**2 + mass**2), px, py, pz])
        counts += np.histogram(np.sqrt(np.maximum(total[0] ** 2 - (total[1:] ** 2).sum(0), 0)), edges)[0]
    return counts


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(name: str, ours: Callable[[int], object], hand: Callable[[int], object], rounds: int) -> None:
    """Time both in turns, with the number of the round (0 pays for imports and is left out), and print medians."""
    times = [(seconds(lambda r=r: ours(r)), seconds(lambda r=r: hand(r))) for r in range(rounds + 1)][1:]
    a, b = (statistics.median(column) for column in zip(*times, strict=True))
    low, middle, high = np.quantile([one / other for one, other in times], (0, 0.5, 1))
    print(f"{name}: by hand {b:.2f} s, through columnar {a:.2f} s, ratio {middle:.2f} ({low:.2f} to {high:.2f})")


def compare_jets(folder: Path, events: int, rounds: int) -> None:
    """Compare the skim of jets, in two chunks, with the loop."""
    jets, chunk = folder / "jets.root", max(events // 2, 1)
    write_jets(jets, events)
    compare(
        f"{events:,} events of jets",
        lambda r: skim(jets, JetSkim(), folder / f"ours{r}", schema="pfnano", chunksize=chunk),
        lambda r: jets_by_hand(jets, folder / f"hand{r}", chunk),
        rounds,
    )
    one, other = (pq.read_table(folder / name).to_pandas() for name in ("ours0", "hand0"))
    for name in ("pt", "mass", "tau2", "event", "rank"):
        np.testing.assert_allclose(one[name], other[name], rtol=2e-3, atol=2e-3, err_msg=name)


def compare_muons(folder: Path, events: int, others: int, rounds: int) -> None:
    """Compare the dimuon spectrum with the loop."""
    muons, chunk = folder / f"muons{events}_{others}.root", 100_000
    write_muons(muons, events, others)

    def ours() -> Output:
        os.utime(muons)  # what was seen of the file does not count
        return run(muons, Dimuon(weights={}), chunksize=chunk)

    np.testing.assert_array_equal(ours()["mass"]["events", "nominal", :].values(), muons_by_hand(muons, chunk))
    name = f"{events:,} events of muons" + (f" beside {others:,} branches" if others else "")
    compare(name, lambda _: ours(), lambda _: muons_by_hand(muons, chunk), rounds)


def main() -> None:
    """Time both, check that they agree, and print the ratios."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=2000, help="events of two jets")
    options.add_argument("--muons", type=int, nargs="*", default=[100_000, 1_000_000], help="events of two muons")
    options.add_argument("--branches", type=int, default=1600, help="other branches of a last file of muons")
    options.add_argument("--rounds", type=int, default=3, help="of jets; muons take three times as many")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        compare_jets(Path(place), given.events, given.rounds)
        for events in given.muons:
            compare_muons(Path(place), events, 0, 3 * given.rounds)
        compare_muons(Path(place), max(given.muons), given.branches, given.rounds)


if __name__ == "__main__":
    main()
