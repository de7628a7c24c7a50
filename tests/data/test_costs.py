"""What a manifest says that records cost holds within a factor of 1.5, on any machine.

Seconds depend on the machine, so no stream is held to its own: the CPU times of streams of several recipes are
measured in one run, the machine is the median of measured over stated, and each stream must lie within 1.5 of that.
All of them run Pythia, so that one factor stands for the machine: other work, as numpy's, slows down otherwise when
cores and caches are shared. Bytes do not depend on the machine. `benchmarks/farm.py --only costs` measures all streams.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from hepml_nb import data
from hepml_nb.data.farm import Chunk, make_chunk

STREAMS = {  # so many records that each takes a few seconds, and fills the batches of its recipe
    ("top-tagging", "qcd"): 300,
    ("boosted-jets", "w"): 300,
    ("lhco", "qq"): 400,
    ("z-pole", "reference"): 1000,
}


def measured(name: str, stream: str, n: int) -> tuple[float, float]:
    """Return measured over stated core-seconds and KiB."""
    recipe = data.manifest(name).recipe
    assert recipe is not None
    make_chunk(Chunk(recipe.name, recipe.streams[stream], 1, f"warm/{stream}", 0, 5))
    record = make_chunk(Chunk(recipe.name, recipe.streams[stream], 1, f"cost/{stream}", 0, n))
    cost = recipe.cost[stream]
    return 1000 * record["core_seconds"] / n / cost.core_seconds, 1000 * record["bytes"] / 1024 / n / cost.kib


def test_costs_are_those_of_the_manifests(cache: Path) -> None:
    found = {key: measured(*key, n) for key, n in STREAMS.items()}
    machine = statistics.median(seconds for seconds, _ in found.values())
    slow = {key: round(seconds / machine, 2) for key, (seconds, _) in found.items()}
    large = {key: round(kib, 2) for key, (_, kib) in found.items()}
    assert {key: ratio for key, ratio in slow.items() if not 1 / 1.5 < ratio < 1.5} == {}, slow
    assert {key: ratio for key, ratio in large.items() if not 1 / 1.5 < ratio < 1.5} == {}, large
