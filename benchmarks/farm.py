"""Time the farm against a plain loop, two processes against one, and the costs that the manifests state.

python benchmarks/farm.py [--jets 500] [--rounds 5] [--quick] [--only loop|processes|costs]

Peers, on one core, CPU time, taking turns with other seeds in every round:
- same job: what a student would write around Pythia and FastJet. `pythia.next()`, a Python loop over the particles, our
  detector event by event, anti-kT R = 0.8 of PseudoJets, the two hardest jets in the same pt window and pTHat window,
  for tops all decay quarks within 0.8, constituents, the substructure columns of all jets in one go at the end (more
  than a loop would give: the best case for the peer), written as Parquet.
- particle level: the same without detector and substructure; ours is put together from `Pythia.events` and
  `jets.find`, with the recipe's preselection, as there is no such recipe.
- batching alone: as particle level, but in a narrow pTHat window (500 to 700 GeV, which loses jets) that a loop would
  choose to save time, and without preselection: both sides generate the same number of events per jet.
The farm's chunk is what `hepml-nb data make` makes: recipe "jets", record with checksum and all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PT, RADIUS, ETA = (550.0, 650.0), 0.8, 2.0
NARROW = (500.0, 700.0)
LABELS = {"qcd": 0, "top": 1}


def main() -> None:
    """Run the parts that were asked for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jets", type=int, default=500, help="jets per class and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="100 jets, 2 rounds, costs of two manifests")
    parser.add_argument("--only", choices=("loop", "processes", "costs"))
    parser.add_argument(
        "--job", choices=("same job", "particle level", "batching alone"), help="of the loop, only this"
    )
    args = parser.parse_args()
    if args.quick:
        args.jets, args.rounds = 100, 2
    os.environ["OMP_NUM_THREADS"] = "1"
    parts = {"loop": against_a_loop, "processes": two_against_one, "costs": costs}
    for name, part in parts.items():
        if args.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["HEPML_NB_CACHE"] = folder
                part(args)


def against_a_loop(args: argparse.Namespace) -> None:
    """Print jets per core-second of the farm and of the loops."""
    jobs: dict[tuple[str, str], tuple[Callable[..., int], Callable[..., int]]] = {}
    for process in LABELS:
        jobs[process, "same job"] = (lambda seed, n, p=process: chunk(p, seed, n),
                                     lambda seed, n, p=process: loop(p, seed, n, detect=True))  # fmt: skip
        jobs[process, "particle level"] = (lambda seed, n, p=process: particles(p, seed, n),
                                           lambda seed, n, p=process: loop(p, seed, n, detect=False))  # fmt: skip
        jobs[process, "batching alone"] = (
            lambda seed, n, p=process: particles(p, seed, n, hard=NARROW),
            lambda seed, n, p=process: loop(p, seed, n, detect=False, hard=NARROW),
        )
    jobs = {key: pair for key, pair in jobs.items() if args.job in (None, key[1])}
    rates: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in jobs}
    for seed in range(args.rounds + 1):
        for key, pair in jobs.items():
            order = pair if seed % 2 else pair[::-1]
            few = args.jets if seed else 10  # the first one warms up
            found = {job: rate(job, seed, few) for job in order}
            if seed:
                rates[key].append((found[pair[0]], found[pair[1]]))
                print(
                    f"round {seed}: {key}: {found[pair[0]]:.1f} against {found[pair[1]]:.1f}",
                    file=sys.stderr,
                    flush=True,
                )
    print(f"one core, {args.jets} jets, {args.rounds} rounds; jets per core-second, ratio: median (least to most)\n")
    print("| jets | job | plain loop | farm | ratio |\n| --- | --- | ---: | ---: | ---: |")
    for (process, job), pairs in rates.items():
        ours, theirs = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
        print(f"| {process} | {job} | {theirs:.0f} | {ours:.0f} | {spread([a / b for a, b in pairs])} |", flush=True)


def rate(job: Callable[..., int], seed: int, n: int) -> float:
    """Return jets per core-second of one job."""
    start = time.process_time()
    made = job(seed, n)
    return made / (time.process_time() - start)


def spread(ratios: list[float]) -> str:
    """Return the median of ratios with the least and the most."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def parameters(process: str) -> dict[str, Any]:
    """Return those of the top-tagging manifest."""
    return {"process": process, "label": LABELS[process], "pt": list(PT)}


def chunk(process: str, seed: int, n: int) -> int:
    """Make a chunk as the farm does."""
    from hepml_nb.data.farm import Chunk, make_chunk

    return int(make_chunk(Chunk("jets", parameters(process), seed, f"train/{process}", 0, n))["n"])


def particles(process: str, seed: int, n: int, hard: tuple[float, float] | None = None) -> int:
    """Make jets of stable particles from the parts of the recipe, without detector and substructure.

    A window of pTHat takes the place of the recipe's and of its preselection.
    """
    import awkward as ak
    import numpy as np

    from hepml_nb.data.parquet import parquet_bytes
    from hepml_nb.simulate import jets, pythia
    from hepml_nb.simulate.recipes.jets import _BATCH, _FEW, _windows

    wide, early = _windows(process, *PT, True)
    generator = pythia.Pythia(process, seed=seed, pthat=hard or wide, preselect=None if hard else early)
    kept, total = [], 0
    while total < n:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        seen = pythia.visible(records)
        pt = np.hypot(seen["px"], seen["py"])
        eta = np.arcsinh(seen["pz"] / np.maximum(pt, 1e-12))
        inside = np.abs(eta) < 3.0
        flat = {"event": seen["event"][inside], "pt": pt[inside], "eta": eta[inside],
                "phi": np.arctan2(seen["py"], seen["px"])[inside], "pdg": seen["id"][inside]}  # fmt: skip
        found = jets.find(flat, len(records), PT)
        if process == "top":
            found = found[jets.match(found, pythia.decay_quarks(records, process))[1]]
        kept.append(found)
        total += len(found)
    sample = ak.concatenate(kept)[:n]
    parquet_bytes(sample)
    return len(sample)


def loop(process: str, seed: int, n: int, *, detect: bool, hard: tuple[float, float] | None = None) -> int:
    """Make jets in a plain loop over events and particles."""
    import awkward as ak
    import fastjet
    import numpy as np
    import pythia8mc

    from hepml_nb.simulate import Detector, describe
    from hepml_nb.simulate.pythia import PROCESSES
    from hepml_nb.simulate.recipes.jets import _windows

    low, high = hard or _windows(process, *PT, True)[0]
    generator = pythia8mc.Pythia("", False)
    for line in ("Print:quiet = on", "Beams:eCM = 14000", "PartonLevel:MPI = off", f"PhaseSpace:pTHatMin = {low}",
                 f"PhaseSpace:pTHatMax = {high}", "Random:setSeed = on", f"Random:seed = {seed + 1}",
                 *PROCESSES[process]):  # fmt: skip
        generator.readString(line)
    generator.init()
    fastjet.ClusterSequenceArea.set_fastjet_banner_stream(None)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    noise, response = np.random.default_rng(seed), Detector()
    kept: list[tuple[Any, list[Any]]] = []
    while len(kept) < n:
        if not generator.next():
            continue
        event = generator.event
        seen = [(p.px(), p.py(), p.pz(), p.e(), p.id()) for p in event if p.isFinal() and p.isVisible()]
        if detect:
            columns = np.array(seen)
            flat = {"event": np.zeros(len(seen), np.int64), "id": columns[:, 4].astype(np.int64)}
            flat |= {name: columns[:, i] for i, name in enumerate(("px", "py", "pz", "e"))}
            found = response.candidates(flat, noise)
            pt, eta, phi = found["pt"], found["eta"], found["phi"]
            four = zip(pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta), found["pdg"],
                       strict=True)  # fmt: skip
            seen = [tuple(map(float, one)) for one in four]
        inputs = []
        for px, py, pz, e, pdg in seen:
            particle = fastjet.PseudoJet(px, py, pz, e)
            particle.set_user_index(int(pdg))
            if abs(particle.eta()) < 3.0:
                inputs.append(particle)
        sequence = fastjet.ClusterSequence(inputs, definition)
        for jet in fastjet.sorted_by_pt(sequence.inclusive_jets(PT[0]))[:2]:
            if not (jet.pt() < PT[1] and abs(jet.eta()) < ETA):
                continue
            if process == "top" and not holds_a_top(event, jet):
                continue
            inside = fastjet.sorted_by_pt(jet.constituents())
            row = [(p.pt(), p.eta() - jet.eta(), jet.delta_phi_to(p), p.user_index()) for p in inside]
            kept.append(((jet.pt(), jet.eta(), jet.phi_std(), jet.m()), row))
    table = ak.Array([{"pt": jet[0], "eta": jet[1], "phi": jet[2], "mass": jet[3], "constituents":
                       [dict(zip(("pt", "deta", "dphi", "pdg"), one, strict=True)) for one in row]}
                      for jet, row in kept[:n]])  # fmt: skip
    if detect:
        inside = table.constituents
        for name, values in describe(inside.pt, inside.deta, inside.dphi).items():
            table[name] = np.ascontiguousarray(values)
    with tempfile.TemporaryDirectory() as folder:
        ak.to_parquet(table, Path(folder) / "jets.parquet")
    return len(table)


def holds_a_top(event: Any, jet: Any) -> bool:
    """Say whether all decay quarks of a top lie within 0.8 of a jet."""
    import math

    for i in range(event.size()):
        if event[i].idAbs() != 6 or event[i].iBotCopy() != i:
            continue
        quarks = []
        for j in event[i].daughterList():
            if event[j].idAbs() == 24:
                quarks += [event[k] for k in event[event[j].iBotCopy()].daughterList() if event[k].idAbs() <= 5]
            else:
                quarks.append(event[j])
        if len(quarks) == 3 and all(
            math.hypot(q.eta() - jet.eta(), (q.phi() - jet.phi() + math.pi) % (2 * math.pi) - math.pi) < RADIUS
            for q in quarks
        ):
            return True
    return False


def two_against_one(args: argparse.Namespace) -> None:
    """Print how much sooner two processes end than one, start of the processes included."""
    from hepml_nb.data.farm import Chunk, make

    ratios = []
    for seed in range(1, args.rounds + 1):
        walls = []
        for workers in (1, 2) if seed % 2 else (2, 1):
            pieces = [Chunk("jets", parameters("qcd"), 100 * workers + seed, "train/qcd", i, args.jets)
                      for i in range(8)]  # fmt: skip
            start = time.perf_counter()
            make(pieces, workers=workers)
            walls.append((workers, time.perf_counter() - start))
        ratios.append(dict(walls)[1] / dict(walls)[2])
    print(f"\ntwo processes against one, 8 chunks of {args.jets} jets, wall time: {spread(ratios)} times as fast\n")


def costs(args: argparse.Namespace) -> None:
    """Print what streams cost against what their manifests say."""
    from hepml_nb import data
    from hepml_nb.data.farm import Chunk, make_chunk
    from hepml_nb.data.manifest import names

    print("| dataset | stream | core-s per 1000 | stated | ratio | KiB per 1000 | stated | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    seen = set()
    for name in ["top-tagging", "z-pole"] if args.quick else names():
        recipe = data.manifest(name).recipe
        for stream, given in recipe.streams.items() if recipe else ():
            cost = recipe.cost[stream]
            key = str((recipe.name, sorted(given.items(), key=str)))
            if key in seen:
                continue
            seen.add(key)
            n = max(20, min(recipe.chunk, int(2000 / max(cost.core_seconds, 1e-9))))  # two seconds, if stated right
            make_chunk(Chunk(recipe.name, given, 5, f"warm/{stream}", 0, min(20, n)))
            try:
                record = make_chunk(Chunk(recipe.name, given, 5, f"cost/{stream}", 0, n))
            except Exception as error:
                print(f"| {name} | {stream} | {error} |")
                continue
            seconds, kib = 1000 * record["core_seconds"] / n, 1000 * record["bytes"] / 1024 / n
            print(f"| {name} | {stream} | {seconds:.3g} | {cost.core_seconds:.3g} | {seconds / cost.core_seconds:.2f} "
                  f"| {kib:.3g} | {cost.kib:.3g} | {kib / cost.kib:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
