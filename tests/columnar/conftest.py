"""Small event files in the layouts that we read, written with uproot as trees (its default is an RNTuple)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

Z_MASS, Z_WIDTH, MUON = 91.1880, 2.4955, 0.1056584
_BASKET = 500


def write_tree(path: Path, collections: dict[str, Any], flat: dict[str, Any], tree: str = "Events") -> Path:
    """Write jagged `collections` {name: events * var * record} (with `nName`) and `flat` columns as one tree."""
    branches = {f"n{name}" for name in collections}
    with uproot.recreate(path) as file:
        columns = {name: value.dtype for name, value in flat.items()}
        types = {**columns, **{name: value.type for name, value in collections.items()}}
        counter = {f"n{name}": None for name in collections}
        assert branches == set(counter)
        made = file.mktree(tree, types, counter_name=lambda name: f"n{name}", field_name=lambda a, b: f"{a}_{b}")
        n = len(next(iter(flat.values())))
        for start in range(0, n, _BASKET):  # what is read at once, as a basket is unpacked whole
            part = slice(start, start + _BASKET)
            made.extend({name: value[part] for name, value in {**flat, **collections}.items()})
    return path


def ids(n: int, first: int = 0) -> dict[str, np.ndarray]:
    return {
        "run": np.full(n, 1, np.uint32),
        "luminosityBlock": np.full(n, 1, np.uint32),
        "event": np.arange(first, first + n, dtype=np.uint64),
    }


def z_events(n: int, seed: int) -> Any:
    """Return the muons of `n` Z bosons without transverse momentum: events * 2 * {pt, eta, phi, mass, charge}."""
    rng = np.random.default_rng(seed)
    mass = Z_MASS + Z_WIDTH / 2 * np.tan(np.pi * (rng.random(n) - 0.5) * 0.9)
    cos, phi, boost = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n), rng.normal(0, 0.7, n)
    p = np.sqrt(mass**2 / 4 - MUON**2)
    pt, eta = p * np.sqrt(1 - cos**2), np.arctanh(cos)
    columns = {
        "pt": np.stack([pt, pt], axis=1),
        "eta": np.stack([eta, -eta], axis=1) + boost[:, None],
        "phi": np.stack([phi, phi + np.pi], axis=1) - np.where(phi[:, None] > 0, np.pi, 0),
        "mass": np.full((n, 2), MUON),
        "charge": np.where(rng.random((n, 1)) < 0.5, [[1, -1]], [[-1, 1]]),
    }
    kinds = {"charge": np.int32}
    flat = {name: values.reshape(-1).astype(kinds.get(name, np.float32)) for name, values in columns.items()}
    return ak.unflatten(ak.zip(flat), np.full(n, 2))


def z_file(path: Path, n: int, seed: int, simulated: bool = True, **extra: np.ndarray) -> Path:
    """Write `n` Z decays; simulation has weights, one in ten of them negative, and nine scale weights."""
    rng = np.random.default_rng(seed + 1000)
    flat = {**ids(n, seed * 10_000), **extra}
    collections = {"Muon": z_events(n, seed)}
    if simulated:
        flat["genWeight"] = np.where(rng.random(n) < 0.1, -0.7, 0.7).astype(np.float32)
        scale = np.tile(np.linspace(0.9, 1.1, 9, dtype=np.float32), (n, 1))
        collections["LHEScaleWeight"] = ak.unflatten(scale.reshape(-1), np.full(n, 9))
    return write_tree(path, collections, flat)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="session")
def files(folder):
    """Two datasets of three files in all, of unequal size."""
    return {
        "b_data": [str(z_file(folder / "data.root", 400, 3, simulated=False))],
        "a_zmumu": [str(z_file(folder / f"z{i}.root", 300 + 50 * i, i)) for i in (1, 2)],
    }


@pytest.fixture(scope="session")
def dask_client():
    """One LocalCluster of two workers for all tests of the session."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
