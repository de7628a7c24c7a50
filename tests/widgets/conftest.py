"""Toys for the explorers, and a guard: they leave no pyplot figure and no changed setting behind."""

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


@pytest.fixture(scope="session")
def events() -> ak.Array:
    """Three events: two bundles of particles back to back, one of them across phi = pi, and a soft haze."""
    rng = np.random.default_rng(1)
    made = []
    for _ in range(3):
        bundles = [(0.5, 3.0, 500.0, 40), (-0.7, -0.1, 480.0, 30)]
        parts = []
        for eta, phi, pt, n in bundles:
            share = rng.exponential(1, n)
            parts.append([pt * share / share.sum(), rng.normal(eta, 0.12, n), rng.normal(phi, 0.12, n)])
        parts.append([rng.exponential(0.5, 40), rng.uniform(-3, 3, 40), rng.uniform(-np.pi, np.pi, 40)])
        pt, eta, phi = np.concatenate(parts, axis=1)
        made.append({"pt": pt, "eta": eta, "phi": (phi + np.pi) % (2 * np.pi) - np.pi})
    return ak.zip({name: ak.Array([one[name] for one in made]) for name in ("pt", "eta", "phi")})


@pytest.fixture
def classes() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Observables of 1000 background and 1000 signal events: signal high in one, low in the other."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 1000)
    score = 1 / (1 + np.exp(-rng.normal(2.0 * labels - 1, 1.0)))
    return {"score": score, "tau32": rng.normal(0.7 - 0.2 * labels, 0.1)}, labels
