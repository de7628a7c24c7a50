"""A cache of its own for every test, and a recipe that costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb.simulate import Recipe, recipe
from hepml_nb.simulate.jets import from_constituents


@pytest.fixture(autouse=True)
def batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bars: a test before in this process may have imported a notebook kernel, which asks for them."""
    monkeypatch.setenv("HEPML_NB_BATCH", "1")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEPML_NB_DATA", raising=False)
    return tmp_path / "cache"


class Toy:
    """Jets of two random constituents; `calls` counts what was made, `fail_at` breaks that call."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.fail_at = -1

    def __call__(self, n: int, seed: int, **parameters: Any) -> tuple[Any, dict[str, float]]:
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append(seed)
        rng = np.random.default_rng(seed)
        pt = np.sort(rng.uniform(250, 300, (n, 2)), axis=1)[:, ::-1]
        columns = {"pt": pt, "deta": rng.uniform(-0.3, 0.3, (n, 2)), "dphi": rng.uniform(-0.3, 0.3, (n, 2))}
        inside = ak.zip({**{name: ak.Array(x.astype(np.float32).tolist()) for name, x in columns.items()},
                         "pdg": ak.Array(np.full((n, 2), 211).tolist())})  # fmt: skip
        label = np.full(n, parameters["label"])
        jets = from_constituents(pt.sum(axis=1), np.zeros(n), np.zeros(n), inside, label=label, event=np.arange(n))
        return jets, {"events": n, "near": n, "matched": n // 2}


@pytest.fixture
def toy(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    made = Toy()
    entry = Recipe("jets", 1, made, dict(recipe("jets").defaults))
    monkeypatch.setattr("hepml_nb.simulate.recipes.jets.RECIPE", entry)
    return made
