"""What networks on four-momenta share: blocks of jets with reference vectors beside the particles, and dot products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hepml_nb.core import InputError
from hepml_nb.learn import pad
from hepml_nb.tagging.particles import MOMENTA, check_features

__all__ = ["METRIC", "SCALARS", "Jets", "beams", "check_momenta", "jet_block", "signed_log"]

METRIC = (1.0, -1.0, -1.0, -1.0)
SCALARS = ("charge", "charged", "photon", "neutral", "electron", "muon", "pion", "kaon", "proton")
"""Features that no rotation or boost changes."""


class Jets(NamedTuple):
    """Padded jets: momenta (jets, n, 4) in GeV as (e, px, py, pz), scalars (jets, n, features), mask (jets, n).

    The first `references` of the n are reference vectors, the same for all jets. mask: True where there is a vector;
    None where nothing is padded, which spares the networks a slower path. sizes: vectors per jet, float, (jets,).
    """

    momenta: Tensor
    scalars: Tensor
    mask: Tensor | None
    sizes: Tensor
    references: int


def check_momenta(features: Sequence[str]) -> None:
    """Raise InputError unless features are the four-momenta followed by scalars."""
    check_features(features)
    if tuple(features[:4]) != MOMENTA or set(features[4:]) - set(SCALARS):
        raise InputError(f"features={list(features)}; expected {list(MOMENTA)}, then any of the scalars {SCALARS}.")


def beams(mass: float) -> Tensor:
    """Return the two beams (sqrt(1 + mass^2), 0, 0, +-1), shape (2, 4)."""
    energy = math.sqrt(1 + mass**2)
    return torch.tensor([[energy, 0.0, 0.0, 1.0], [energy, 0.0, 0.0, -1.0]])


def jet_block(values: Tensor, lengths: Tensor, references: Tensor | None = None) -> Jets:
    """Pad values (sum of lengths, 4 + scalars) and set reference vectors (r, 4) before the particles of every jet.

    The scalars of a vector are (1, 0) for a reference and (0, 1) for a particle, then the particle's own.
    """
    particles, there = pad(values, lengths)
    n_references = 0 if references is None else len(references)
    front = (n_references, 0)
    momenta = functional.pad(particles[..., :4], (0, 0, *front))
    if references is not None:
        momenta[:, :n_references] = references
    is_particle = functional.pad(there, front)
    is_reference = torch.zeros_like(is_particle)
    is_reference[:, :n_references] = True
    own = functional.pad(particles[..., 4:], (0, 0, *front))
    scalars = torch.cat([is_reference[..., None].to(own), is_particle[..., None].to(own), own], dim=-1)
    mask = is_particle | is_reference
    sizes = (lengths + n_references).to(momenta.dtype)
    return Jets(momenta, scalars, None if bool(mask.all()) else mask, sizes, n_references)


def signed_log(x: Tensor) -> Tensor:
    """Return sign(x) log(1 + |x|), which tames invariants that span many orders of magnitude."""
    return torch.sign(x) * torch.log1p(x.abs())
