"""Particle classes of the jets schema, from the PDG numbers that files of experiments and simulations have."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["particle_classes"]

_NEUTRAL_HADRONS = (130, 310, 311, 2112, 3122, 3322)
_FORWARD = {1: 130, 2: 22}
"""CMS's hadronic and electromagnetic deposits in the forward calorimeter, which it numbers so."""


def particle_classes(pdg: Any) -> np.ndarray:
    """Return PDG numbers as the jets schema has them: +-211 charged hadron, 22, 130, +-11, +-13, 0 unknown."""
    pdg = np.rint(np.asarray(pdg, dtype=np.float64)).astype(np.int64)
    kind = np.abs(pdg)
    out = np.where(np.isin(kind, (11, 13)), pdg, np.sign(pdg) * 211)
    out = np.where(kind == 22, 22, np.where(np.isin(kind, _NEUTRAL_HADRONS), 130, out))
    for number, stands_for in _FORWARD.items():
        out = np.where(kind == number, stands_for, out)
    return np.asarray(out, dtype=np.int16)
