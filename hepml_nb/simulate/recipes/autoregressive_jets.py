"""The recipe "autoregressive_jets": jets drawn from a known density, with their exact likelihood ratio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, rng
from hepml_nb.simulate import jets
from hepml_nb.simulate.recipe import Recipe

__all__ = ["RECIPE", "autoregressive_jets"]

_BATCH = 250
"""Jets drawn together; part of what a seed means, so it is fixed."""


def autoregressive_jets(n: int, seed: int, *, label: int) -> tuple[Any, dict[str, float]]:
    """Return `n` jets of a class (0 QCD, 1 top) in the jets schema with `log_ratio`, and counters.

    Particles come from the shipped density (simulate.autoregressive, after arXiv:2411.02628); `log_ratio` is its
    log p(jet | top) - log p(jet | QCD): no classifier orders these jets better. The axis points anywhere in |eta| < 2,
    alike for both classes, pt is that of the particles' sum, and particles have no species (pdg 0). Raises InputError
    for another label.
    """
    if label not in (0, 1):
        raise InputError(f"label={label!r}; the density knows 0 (QCD) and 1 (top).")
    with _one_thread():
        made = [_batch(min(_BATCH, n - i), rng(seed, "jets", i), label) for i in range(0, n, _BATCH)]
    table = ak.concatenate(made) if made else _batch(1, rng(seed), label)[:0]
    table["event"] = np.arange(n)
    return table, {"events": n}


def _batch(n: int, generator: np.random.Generator, label: int) -> Any:
    from hepml_nb.simulate.autoregressive import density

    model = density()
    tokens = model.sample(n, label, generator)
    placed = model.grid.place(tokens, generator)
    inside = ak.unflatten(ak.zip({**placed, "pdg": np.zeros(len(tokens.bins), np.int16)}), tokens.lengths)
    eta, phi = generator.uniform(-2, 2, n), generator.uniform(-np.pi, np.pi, n)
    px, py = (ak.to_numpy(ak.sum(inside.pt * turn(inside.dphi), axis=1)) for turn in (np.cos, np.sin))
    extra = {"log_ratio": model.log_ratio(tokens).astype(np.float32)}
    return jets.from_constituents(np.hypot(px, py), eta, phi, inside, extra=extra, label=np.full(n, label),
                                  matched=np.ones(n), rank=np.zeros(n), event=np.arange(n))  # fmt: skip


@contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread: processes already fill the cores, and bits do not depend on how many there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


RECIPE = Recipe("autoregressive_jets", 1, autoregressive_jets, {"label": 0}, libraries=("fastjet",), detected=False)
