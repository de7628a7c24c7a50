"""Time flows of showers against each other: affine couplings behind splines, spline couplings, and masked blocks.

python benchmarks/shower_flows.py [--rounds 3] [--threads 1] [--batch 256]
Parametrised photon showers in the 368 voxels of dataset 1 of the CaloChallenge (cost only, no physics). Training is one
step of a batch, times the steps of an epoch of 50,000 showers; drawing is of voxels told the layers, 1 and 100 at a
time. Flows take turns, so that a busy machine slows all alike; CPU time, medians over rounds, ratios within a round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

EPOCH = 50_000
FLOWS = {
    "affine couplings": ("caloinn", "small", {}),
    "spline couplings": ("caloinn", "paper", {}),
    "masked, affine": ("caloflow", "small", {}),
    "student": ("caloflow-student", "small", {}),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 3), ("threads", 1), ("batch", 256)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    import torch

    from hepml_nb.learn import n_parameters

    torch.set_num_threads(args.threads)
    flows, showers = fitted()
    rounds = [
        {name: timed(model, showers, args.batch) for name, model in flows.items()} for _ in range(args.rounds + 1)
    ]
    print(f"batch {args.batch}, {args.threads} thread(s), median of {args.rounds} rounds, CPU time\n")
    print("| flow | parameters | epoch of 50,000 [s] | ratio | ms a shower, 1 | 100 | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    first = next(iter(flows))
    for name, model in flows.items():
        train, one, many = (statistics.median(r[name][k] for r in rounds) for k in range(3))
        slower = [statistics.median(r[name][k] / r[first][k] for r in rounds) for k in (0, 2)]
        size = n_parameters(network(model)) / 1e6
        print(f"| {name} | {size:.1f} M | {train:.0f} | {slower[0]:.1f} | {one:.1f} | {many:.2f} | {slower[1]:.1f} |")


def fitted() -> tuple[dict[str, Any], Any]:
    """Return the flows, untrained, and showers."""
    import numpy as np

    from hepml_nb.calo import Showers, make
    from hepml_nb.core import rng
    from hepml_nb.simulate import gflash
    from hepml_nb.simulate.calorimeter import geometry

    detector, generator = geometry("calochallenge-1-photons"), rng(0, "benchmark")
    energies = np.exp(generator.uniform(np.log(256), np.log(65536), 1000))
    showers = Showers(energies, gflash.showers(energies, detector, "photon", generator), detector)
    return {
        name: make(key, config, **more).fit(showers, seed=1, untrained=True)
        for name, (key, config, more) in FLOWS.items()
    }, showers


def network(model: Any) -> Any:
    """Return what is trained and drawn from."""
    return getattr(model, "student", model.voxel_flow)


def timed(model: Any, showers: Any, batch: int) -> tuple[float, float, float]:
    """Return seconds of an epoch, and milliseconds of a shower drawn alone and among a hundred."""
    import torch

    ratios = model._map.ratios(showers)
    x = model._voxels.rows(torch.from_numpy(showers.deposits[:batch]))
    context = model.context(ratios[:batch], showers.energies[:batch])
    trained = network(model).train()
    optimiser = torch.optim.Adam(trained.parameters(), lr=1e-6)

    def step() -> None:
        optimiser.zero_grad()
        lost = model.loss(trained, (x, context)) if hasattr(model, "student") else trained.loss(x, context)
        lost.backward()
        optimiser.step()

    def draw(n: int) -> Callable[[], None]:
        return lambda: model.voxels(ratios[:n], showers.energies[:n])

    seconds = seconds_of(step) * EPOCH / batch
    return seconds, 1000 * seconds_of(draw(1)), 10 * seconds_of(draw(100))


def seconds_of(work: Callable[[], None], tries: int = 2) -> float:
    """Return the CPU seconds of one call, the median of two after one that does not count."""
    found = []
    for _ in range(tries + 1):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return statistics.median(found[1:])


if __name__ == "__main__":
    main()
