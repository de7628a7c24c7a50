"""Unfold the same Z + jet arrays with our MultiFold, a plain histogram-tree OmniFold and the PyPI omnifold, in one run.

python benchmarks/unfolding_peers.py [--profile tutorial] [--events 100000] [--iterations 3] [--threads 2] [--rounds 1]
    [--methods plain multifold multifold-net omnifold] [--python .venv-omnifold/bin/python] [--epochs 50]
Six observables, no losses. Each method runs alone in a process of its own, started anew, on the arrays of one file;
its time is that of the unfolding, imports left out. `omnifold` (tensorflow, 2 GB) wants an environment of its own, the
python of which --python names: `python -m venv .venv-omnifold && .venv-omnifold/bin/pip install omnifold`.
Quality: triangular discriminator x 1e3 to the truth behind the measured events, with the floor that statistics leave.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

METHODS = ("plain", "multifold", "multifold-net", "omnifold")


def main() -> None:
    """Make the arrays, let every method unfold them in turn, and print times and discriminators."""
    args = arguments()
    if args.worker:
        work(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        truth, bins = write_arrays(args, Path(folder) / "arrays.npz")
        runs: dict[str, list[dict[str, float]]] = {method: [] for method in args.methods}
        for _ in range(args.rounds):
            for method in args.methods:
                runs[method].append(ask(args, method, Path(folder)))
        gen = np.load(Path(folder) / "arrays.npz")["gen"]
        weights = {method: np.load(Path(folder) / f"{method}.npy") for method in args.methods}
    report(runs, {"prior": np.ones(len(gen)), **weights}, gen, truth, bins, args)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="tutorial", help="of the dataset zjets")
    parser.add_argument("--events", type=int, default=100_000, help="of either side, at most")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=50, help="of each training of the PyPI omnifold, at most")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=("plain", "multifold"))
    parser.add_argument("--python", default=sys.executable, help="python that has the PyPI omnifold")
    parser.add_argument("--worker", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_arrays(args: argparse.Namespace, path: Path) -> tuple[Any, dict[str, Any]]:
    """Write gen, sim and measured events; return the truth behind the measured ones and the bins."""
    from hepml_nb import data
    from hepml_nb.unfolding.problems import ZJETS_BINS, zjets

    simulation, measured, truth = zjets(data.load("zjets", profile=args.profile).split("train"))
    n = args.events
    np.savez(path, gen=simulation.gen[:n], sim=simulation.sim[:n], measured=measured.sim[:n])
    return truth[:n], dict(ZJETS_BINS)


def ask(args: argparse.Namespace, method: str, folder: Path) -> dict[str, float]:
    """Run a method in a process of its own; return its seconds, and print them."""
    python = args.python if method == "omnifold" else sys.executable
    settings = [f"--{name}={getattr(args, name)}" for name in ("iterations", "threads", "epochs")]
    n = str(args.threads)
    limits = {"OMP_NUM_THREADS": n, "HEPML_NB_THREADS": n, "TF_NUM_INTRAOP_THREADS": n, "TF_NUM_INTEROP_THREADS": "1"}
    paths = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])} if method != "omnifold" else {}
    done = subprocess.run(
        [python, __file__, "--worker", method, f"--folder={folder}", *settings],
        env=os.environ | limits | paths, stdout=subprocess.PIPE, text=True, check=True, cwd=folder,
    )  # fmt: skip
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{method}: {seconds['wall']:.1f} s, {seconds['cpu']:.1f} s of CPU", flush=True)
    return seconds


def work(args: argparse.Namespace) -> None:
    """Unfold, save the weights and print the seconds."""
    arrays = dict(np.load(args.folder / "arrays.npz"))
    unfold = {"plain": plain, "omnifold": pypi}.get(args.worker, ours)
    unfold({name: x[:400] for name, x in arrays.items()}, args, True)  # imports, first calls
    start, cpu = time.perf_counter(), time.process_time()
    weights = unfold(arrays, args, False)
    seconds = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    np.save(args.folder / f"{args.worker}.npy", weights)
    print(json.dumps(seconds))


def ours(arrays: dict[str, Any], args: argparse.Namespace, first: bool) -> Any:
    """Unfold with a method of the package, in its small configuration."""
    from hepml_nb.unfolding import Measured, Simulation, make

    changes = {"trees": 2} if first and args.worker == "multifold" else {}
    method = make(args.worker, "small", iterations=1 if first else args.iterations, **changes)
    return method.fit(Simulation(arrays["gen"], arrays["sim"]), Measured(arrays["measured"])).events().weights


def plain(arrays: dict[str, Any], args: argparse.Namespace, first: bool) -> Any:
    """OmniFold with scikit-learn's classifier as anyone would write it: 100 trees of 31 leaves, two-fold."""
    gen, sim, measured = arrays["gen"], arrays["sim"], arrays["measured"]
    generator = np.random.default_rng(0)
    of_sim, of_data = generator.integers(0, 2, len(gen)), generator.integers(0, 2, len(measured))
    push, ones = np.ones(len(gen)), np.ones(len(measured))
    for _ in range(1 if first else args.iterations):
        pull = push * ratio(sim, push, of_sim, measured, ones, of_data)
        push = ratio(gen, np.ones(len(gen)), of_sim, gen, pull, of_sim)
    return push


def ratio(x0: Any, w0: Any, fold0: Any, x1: Any, w1: Any, fold1: Any) -> Any:
    """Return the ratio of the densities of sample 1 to sample 0 at the events of sample 0."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    found = np.empty(len(x0))
    for fold in (0, 1):
        a, b = fold0 != fold, fold1 != fold
        x, y = np.concatenate([x0[a], x1[b]]), np.repeat([0, 1], [a.sum(), b.sum()])
        trees = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=31, early_stopping=False)
        p = trees.fit(x, y, sample_weight=np.concatenate([w0[a], w1[b]])).predict_proba(x0[~a])[:, 1]
        found[~a] = p / (1 - p)
    return found


def pypi(arrays: dict[str, Any], args: argparse.Namespace, first: bool) -> Any:
    """Unfold with the PyPI omnifold, its own network and defaults."""
    import keras
    from omnifold import MLP, DataLoader, MultiFold, net  # type: ignore[import-not-found]

    # keras 3.15 cannot find the loss when omnifold clones its networks
    keras.saving.get_custom_objects()["weighted_binary_crossentropy"] = net.weighted_binary_crossentropy
    shift, scale = arrays["sim"].mean(axis=0), arrays["sim"].std(axis=0)
    gen, sim, measured = ((arrays[name] - shift) / scale for name in ("gen", "sim", "measured"))
    data, simulated = DataLoader(reco=measured, normalize=True), DataLoader(reco=sim, gen=gen, normalize=True)
    k = gen.shape[1]
    loop = MultiFold(
        "peer", MLP(k), MLP(k), data, simulated, niter=1 if first else args.iterations,
        epochs=1 if first else args.epochs, batch_size=128, verbose=False, weights_folder=str(args.folder / "networks"),
        log_folder=str(args.folder),
    )  # fmt: skip
    loop.Unfold()
    return loop.reweight(gen, loop.model2)


def report(runs: Any, weights: Any, gen: Any, truth: Any, bins: Any, args: argparse.Namespace) -> None:
    """Print the tables: seconds and ratios, discriminators and floor."""
    from hepml_nb.stats import triangular

    base = statistics.median(run["wall"] for run in runs[args.methods[0]])
    print(f"\n{len(gen)} and {len(truth)} events, {args.iterations} iterations, {args.threads} thread(s)\n")
    print(f"| method | wall s | CPU s | {args.methods[0]} / it |\n| --- | ---: | ---: | ---: |")
    for method, done in runs.items():
        wall, cpu = (statistics.median(run[kind] for run in done) for kind in ("wall", "cpu"))
        print(f"| {method} | {wall:.1f} | {cpu:.1f} | {base / wall:.2f} |")
    print(f"\n| triangular x 1e3 | {' | '.join(bins)} | mean |\n| --- |{' ---: |' * (len(bins) + 1)}")
    floors = []
    for method, w in weights.items():
        found = [triangular(gen[:, i], truth[:, i], bins=edges, weights_a=w) for i, edges in enumerate(bins.values())]
        cells = [f"{one.value:.2f} ± {one.error:.2f}" for one in found]
        print(f"| {method} | {' | '.join(cells)} | {statistics.mean(one.value for one in found):.2f} |")
        floors = [one.floor or 0.0 for one in found]
    print(f"| floor | {' | '.join(f'{one:.2f}' for one in floors)} | {statistics.mean(floors):.2f} |")


if __name__ == "__main__":
    main()
