"""Time a padded and masked Particle Flow Network against ours without padding, with and without allocator tuning.

python benchmarks/pfn_batching.py [--jets 4096] [--batch 128] [--threads 2] [--rounds 5] [--pools]
Random particles (cost only, no physics), multiplicity 48 +- 17 as in detector-level jets. Two processes, one per
allocator setting, take turns round by round, so that a busy machine slows all alike; ratios are taken within a
round, and medians over the rounds are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FEATURES, PHI, F = 9, (100, 100, 256), (100, 100, 100)
MODES = ("system", "tuned")


def main() -> None:
    """Let the two workers take turns and print the table."""
    args = arguments()
    if args.worker:
        work(args)
        return
    settings = [f"--{name}={getattr(args, name)}" for name in ("jets", "batch", "threads")]
    command = [sys.executable, __file__, "--worker", *settings, *(["--pools"] if args.pools else [])]
    paths = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    workers = {
        mode: subprocess.Popen(
            command, env=os.environ | paths | {"HEPML_NB_ALLOCATOR": mode},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )
        for mode in MODES
    }  # fmt: skip
    rounds = []
    for number in range(args.rounds + 1):
        one = {(name, mode): speeds for mode in MODES for name, speeds in ask(workers[mode]).items()}
        rounds += [one] if number else []  # the first one warms up
    for process in workers.values():
        process.communicate()
    print(f"batch {args.batch}, {args.threads} thread(s), {args.jets} jets, median of {args.rounds} rounds\n")
    print("| network | allocator | train jets/s | ratio | score jets/s | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, mode in rounds[0]:
        cells = []
        for k in (0, 1):
            speed = statistics.median(r[name, mode][k] for r in rounds)
            ratio = statistics.median(r[name, mode][k] / r["padded", "system"][k] for r in rounds)
            cells += [f"{speed:,.0f}", f"{ratio:.2f}"]
        print(f"| {name} | {mode} | {' | '.join(cells)} |")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("jets", 4096), ("batch", 128), ("threads", 2), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--pools", action="store_true", help="time other ways to sum over sets too")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def ask(worker: subprocess.Popen[str]) -> dict[str, tuple[float, float]]:
    """Let a worker run one round and return what it measured."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    return {name: (speeds[0], speeds[1]) for name, speeds in json.loads(worker.stdout.readline()).items()}


def work(args: argparse.Namespace) -> None:
    """Time every network once for each line read, and answer with a line of JSON."""
    import numpy as np
    import torch

    from hepml_nb.core import tune_allocator
    from hepml_nb.learn import DeepSet, SetBatches

    tune_allocator()
    torch.set_num_threads(args.threads)
    generator = np.random.default_rng(0)
    lengths = generator.gamma(8, 6, args.jets).astype(int).clip(1, 128)
    values = generator.normal(size=(lengths.sum(), FEATURES)).astype("f4")
    labels = generator.integers(0, 2, args.jets).astype("f4")
    batches = list(SetBatches(values, lengths, labels, batch_size=args.batch).epoch(0))
    torch.manual_seed(0)
    model = DeepSet(FEATURES, PHI, F)

    def padded(x: Any, n: Any) -> Any:
        mask = torch.arange(int(n.max())) < n[:, None]
        full = x.new_zeros(*mask.shape, FEATURES)
        full[mask] = x
        return model.f((model.phi(full) * mask[..., None]).sum(1))

    networks: dict[str, Callable[[Any, Any], Any]] = {"padded": padded, "concatenated": model}
    if args.pools:
        networks |= {f"concatenated, {name}": pooled(model, pool) for name, pool in pools().items()}
    for _ in sys.stdin:
        print(json.dumps({name: one_round(model, network, batches) for name, network in networks.items()}), flush=True)


def one_round(model: Any, network: Callable[[Any, Any], Any], batches: list[Any]) -> tuple[float, float]:
    """Return training and scoring jets/s of one pass."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    jets = sum(len(batch[1]) for batch in batches)
    start = time.perf_counter()
    for x, n, y in batches:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(x, n)[:, 0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    middle = time.perf_counter()
    with torch.inference_mode():
        for x, n, _ in batches:
            network(x, n)
    return jets / (middle - start), jets / (time.perf_counter() - middle)


def pooled(model: Any, pool: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return the same network with another sum over sets."""
    return lambda x, n: model.f(pool(model.phi(x), n))


def pools() -> dict[str, Callable[[Any, Any], Any]]:
    """Return other ways to sum rows of consecutive sets."""
    import torch

    def cumsum(x: Any, n: Any) -> Any:
        ends = torch.cumsum(x, 0)[torch.cumsum(n, 0) - 1]
        return torch.diff(ends, dim=0, prepend=ends.new_zeros(1, x.shape[1]))

    def bag(x: Any, n: Any) -> Any:
        return torch.nn.functional.embedding_bag(torch.arange(len(x)), x, torch.cumsum(n, 0) - n, mode="sum")

    def scatter(x: Any, n: Any) -> Any:
        owner = torch.repeat_interleave(n, output_size=len(x))[:, None].expand_as(x)
        return x.new_zeros(len(n), x.shape[1]).scatter_add(0, owner, x)

    return {
        "segment_reduce": lambda x, n: torch.segment_reduce(x, "sum", lengths=n, unsafe=True),
        "cumsum": cumsum,
        "embedding_bag": bag,
        "scatter_add": scatter,
        "split and sum": lambda x, n: torch.stack([part.sum(0) for part in x.split(n.tolist())]),
    }


if __name__ == "__main__":
    main()
