"""Compare ParticleNet and ParT with weaver-core's: the same logits from the same weights, then jets per core-second.

python benchmarks/weaver.py [--network particlenet] [--batch 64] [--threads 1] [--rounds 3] [--bf16] [--only check]
Needs weaver-core beside hepml_nb (pip install weaver-core, in an environment of its own). Both sides get the same jets
(the shipped top tagging test jets, at most `--most` particles), batch, precision, threads and allocator, at published
sizes, and take turns round by round; time is CPU time, so that a busy machine slows nobody. Each is fed in two ways:
random batches, which weaver trims to about their longest as it always does, and jets of like length, as our training
loop batches them. HEPML_NB_ALLOCATOR=system leaves the allocator of both alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hepml_nb import data
from hepml_nb.core import rng, tune_allocator
from hepml_nb.learn import pad
from hepml_nb.tagging.part import ParT, ParTNetwork
from hepml_nb.tagging.particlenet import ParticleNet, ParticleNetNetwork
from hepml_nb.tagging.weaver import part_state, particlenet_state

Batch = tuple[Tensor, Tensor, Tensor]
FEATURES = 7


def main() -> None:
    """Check that the logits agree, then print the table."""
    args = arguments()
    torch.set_num_threads(args.threads)
    tuned = tune_allocator()
    jets = data.load("top-tagging", profile="smoke").split("test")
    for name in args.network if args.only != "speed" else ():
        check(name, jets, args.most)
    for name in args.network if args.only != "check" else ():
        precision = "bfloat16 autocast" if args.bf16 else "float32"
        print(
            f"\n{name}: batch {args.batch}, {args.threads} thread(s), {precision}, allocator "
            f"{'tuned' if tuned else 'of the system'}, at most {args.most} particles, median of {args.rounds} rounds\n"
        )
        table(name, speeds(name, jets, args))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", choices=["particlenet", "part"], default=["particlenet", "part"])
    for name, default in (("batch", 64), ("batches", 2), ("most", 128), ("threads", 1), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast on both sides")
    parser.add_argument("--only", choices=["check", "speed"], help="do only one of the two parts")
    return parser.parse_args()


def pair(name: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return weaver's network with random weights and statistics, and ours with the same, at published sizes."""
    here = Path(__file__).resolve().parent  # where this file would be taken for the package it is named after
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]
    try:
        from weaver.nn.model.ParticleNet import ParticleNet as WeaverParticleNet
        from weaver.nn.model.ParticleTransformer import ParticleTransformer
    except ImportError:
        sys.exit("weaver-core is not installed: pip install weaver-core (in an environment of its own).")
    torch.manual_seed(0)
    if name == "particlenet":
        blocks = [(16, (width,) * 3) for width in (64, 128, 256)]
        theirs = WeaverParticleNet(FEATURES, 2, conv_params=blocks, fc_params=[(256, 0.1)], use_fusion=False)
        ours, state = ParticleNetNetwork(ParticleNet.configs["paper"]), particlenet_state
    else:
        theirs, ours, state = ParticleTransformer(FEATURES, 2), ParTNetwork(ParT.configs["paper"]), part_state
    with torch.no_grad():
        for key, value in theirs.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif key.endswith(("running_mean", "bias")):
                value.normal_(0, 0.2)
            elif key == "fc.1.weight":  # ParticleNet's last: logits that differ from jet to jet
                value *= 5
    theirs, ours = theirs.to(dtype), ours.to(dtype)
    ours.load_state_dict(state(theirs.state_dict()))
    return theirs, ours


def weaver_forward(name: str, network: Any, block: Tensor, mask: Tensor) -> Tensor:
    """Return weaver's logits (jets, 2) of a block (jets, columns, particles)."""
    x, mask = block[:, :FEATURES], mask[:, None]
    out: Tensor = network(x[:, :2], x, mask) if name == "particlenet" else network(x, block[:, [8, 9, 10, 7]], mask)
    return out


def inputs(name: str, jets: Any, most: int) -> tuple[Tensor, Tensor]:
    """Return values and lengths; for ParT with four-momenta (e, px, py, pz) after the features."""
    kind = ParticleNet if name == "particlenet" else ParT
    x = kind(replace(kind.configs["paper"], most=most)).prepare(jets)
    return torch.from_numpy(x.values), torch.from_numpy(x.lengths)


def check(name: str, jets: Any, most: int) -> None:
    """Print the largest difference of the logits in both precisions; exit where it exceeds 1e-5.

    Particles of one calorimeter cell lie at the same place, and which of equally far ones is a neighbour is anyone's
    choice: positions are moved by 1e-3 at random, so that there is one right answer.
    """
    values, lengths = inputs(name, jets[:100], most)
    values[:, :2] += 1e-3 * torch.from_numpy(rng(0, "move").normal(size=(len(values), 2))).float()
    for dtype in (torch.float64, torch.float32):
        theirs, ours = (network.eval() for network in pair(name, dtype))
        block, mask = pad(values.to(dtype), lengths)
        with torch.no_grad():
            two = weaver_forward(name, theirs, block.transpose(1, 2).contiguous(), mask)
            one = ours(values.to(dtype), lengths)
        far = float((two[:, 1] - two[:, 0] - one).abs().max())
        print(f"{name}, {dtype}: {len(one)} logits of spread {float(one.std()):.1g} differ by at most {far:.1e}")
        if far > 1e-5:
            sys.exit(f"{name}: the logits differ.")


def speeds(name: str, jets: Any, args: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Return training and scoring jets/core-s of every round for every network and way of feeding it."""
    values, lengths = inputs(name, jets, args.most)
    labels = torch.from_numpy(rng(0, "labels").integers(0, 2, len(lengths))).float()
    theirs, ours = pair(name, torch.float32)
    order = torch.from_numpy(rng(0, "pool").permutation(len(lengths))[: 32 * args.batch])
    alike = order[lengths[order].argsort()].split(args.batch)
    step = 32 // args.batches
    ways = {
        "random batches": list(order.split(args.batch))[: args.batches],
        "jets of like length": [alike[i] for i in range(step // 2, 32, step)],
    }
    starts = torch.cumsum(lengths, 0) - lengths

    def flat(index: Tensor) -> Batch:
        rows = torch.cat([torch.arange(int(starts[i]), int(starts[i] + lengths[i])) for i in index])
        return values[rows], lengths[index], labels[index]

    def block(index: Tensor) -> Batch:
        x, n, y = flat(index)
        full = x.new_zeros(len(n), x.shape[1], args.most)
        padded, mask = pad(x, n)
        full[:, :, : mask.shape[1]] = padded.transpose(1, 2)
        return full, torch.arange(args.most) < n[:, None], y

    def their_loss(batch: Batch) -> Tensor:
        return torch.nn.functional.cross_entropy(weaver_forward(name, theirs, *batch[:2]).float(), batch[2].long())

    def our_loss(batch: Batch) -> Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(ours(*batch[:2]).float(), batch[2])

    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(6):  # weaver trims from the sixth call on
        their_loss(block(order[:2]))
    for number in range(args.rounds + 1):
        for way, batches in ways.items():
            for who, network, loss, make in (("weaver", theirs, their_loss, block), ("ours", ours, our_loss, flat)):
                one = one_round(network, loss, [make(index) for index in batches[: None if number else 1]], args.bf16)
                if number:  # the first round warms up
                    found.setdefault(f"{who}, {way}", []).append(one)
    return found


def one_round(network: Any, loss: Callable[[Batch], Tensor], batches: list[Batch], bf16: bool) -> tuple[float, float]:
    """Return training and scoring jets/core-s of one pass over the batches."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
    jets = sum(len(batch[2]) for batch in batches)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        network.train()
        start = time.process_time()
        for batch in batches:
            value = loss(batch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        middle = time.process_time()
        network.eval()
        with torch.inference_mode():
            for batch in batches:
                loss(batch)
        return jets / (middle - start), jets / (time.process_time() - middle)


def table(name: str, found: dict[str, list[tuple[float, float]]]) -> None:
    """Print medians and their ratios to weaver with random batches, taken round by round."""
    print(
        "| network | training jets/core-s | ratio | scoring jets/core-s | ratio |\n| --- | ---: | ---: | ---: | ---: |"
    )
    first = np.array(found["weaver, random batches"])
    for who, rounds in found.items():
        speed, ratio = np.array(rounds), np.array(rounds) / first
        cells = [
            f"{statistics.median(speed[:, k]):.1f} | {statistics.median(ratio[:, k]):.2f} "
            f"({ratio[:, k].min():.2f} to {ratio[:, k].max():.2f})"
            for k in (0, 1)
        ]
        print(f"| {who} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
