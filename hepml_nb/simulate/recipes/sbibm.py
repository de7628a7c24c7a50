"""The recipe "sbibm": parameters from the prior of a benchmark task and the data that its simulator makes of them."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import rng
from hepml_nb.simulate.recipe import Recipe
from hepml_nb.simulate.toys import task

__all__ = ["RECIPE", "pairs"]


def pairs(n: int, seed: int, *, task_name: str) -> tuple[Any, dict[str, float]]:
    """Return `n` pairs (theta, x) of a task in the schema sbibm; raise NotFound for an unknown task."""
    about = task(task_name)
    theta = about.prior(n, rng(seed, "prior")).astype(np.float32)  # what is stored is what is simulated
    x = about.simulate(theta.astype(np.float64), rng(seed, "simulator")).astype(np.float32)
    columns = {"theta": theta, "x": x, "event": np.arange(n), "observation": np.zeros(n, np.int8),
               "kind": np.zeros(n, np.int8)}  # fmt: skip
    return ak.zip({name: ak.Array(values) for name, values in columns.items()}, depth_limit=1), {"events": n}


RECIPE = Recipe("sbibm", 1, pairs, {"task_name": "two_moons"}, detected=False)
