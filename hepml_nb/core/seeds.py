"""One seed makes a run repeat; labelled seeds derived from it make its parts independent."""

from __future__ import annotations

import hashlib
import random
import sys

import numpy as np

from hepml_nb.core.errors import InputError

__all__ = ["derive_seed", "rng", "seed_everything"]


def derive_seed(seed: int, *labels: object) -> int:
    """Return a seed in [1, 2^31 - 2] that depends on `seed` and every label, the same on every machine."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise InputError(f"seed={seed!r} is a {type(seed).__name__}; expected an integer.")
    text = "\x1f".join(str(part) for part in (int(seed), *labels))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % (2**31 - 2) + 1


def rng(seed: int, *labels: object) -> np.random.Generator:
    """Return a numpy generator for the part of the work that the labels name."""
    return np.random.default_rng(derive_seed(seed, *labels))


def seed_everything(seed: int) -> None:
    """Seed Python, numpy's legacy generator (libraries still use it) and torch, if torch is loaded."""
    value = derive_seed(seed, "global")
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002 - for the libraries that draw from it
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(value)
