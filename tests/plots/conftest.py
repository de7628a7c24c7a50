"""Toys for the pictures, and a guard: drawing leaves no pyplot figure and no changed setting behind."""

from __future__ import annotations

from collections.abc import Iterator

import awkward as ak
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    mpl.use("agg")
    before = dict(mpl.rcParams)
    yield
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


@pytest.fixture
def scores() -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """Labels of 4000 events and three trainings of two methods, one better than the other."""
    rng = np.random.default_rng(1)
    labels = np.repeat([1, 0], 2000)
    shared = rng.normal(size=4000)
    return labels, {
        name: [0.9 * shared + 0.44 * rng.normal(size=4000) + gain * labels for _ in range(3)]
        for name, gain in (("cut", 1.0), ("network", 2.0))
    }


@pytest.fixture
def jets() -> ak.Array:
    """Three jets with 5, 12 and 30 particles."""
    rng = np.random.default_rng(2)
    counts = [5, 12, 30]
    flat = {
        "pt": rng.exponential(20, sum(counts)) + 0.5,
        "deta": rng.normal(0, 0.2, sum(counts)),
        "dphi": rng.normal(0, 0.2, sum(counts)),
        "pdg": rng.choice([211, -211, 22, 130], sum(counts)),
    }
    parts = ak.zip({name: ak.unflatten(column, counts) for name, column in flat.items()})
    return ak.zip({"pt": [400.0, 500.0, 600.0], "constituents": parts}, depth_limit=1)
