"""CaloINN: a coupling flow of voxels that is told the energies of layers (arXiv:2312.09290)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from torch import nn

from hepml_nb.calo.couplings import CouplingFlow
from hepml_nb.calo.flow_model import SMALL_LAYERS, FlowModelConfig, FlowShowers
from hepml_nb.core import InputError, suggest
from hepml_nb.learn import ConditionalFlow, FitConfig

__all__ = ["CaloInn", "CaloInnConfig"]

Coupling = Literal["affine", "spline"]


@dataclass(frozen=True, kw_only=True)
class CaloInnConfig(FlowModelConfig):
    """coupling: "spline" as published (rational-quadratic), or "affine" behind one spline of each voxel.

    blocks, hidden: couplings and the layers of their networks. bins: of the splines. clamp: see `AffineCoupling`.
    """

    coupling: Coupling = "spline"
    blocks: int = 12
    hidden: tuple[int, ...] = (256, 256, 256)
    bins: int = 10
    clamp: float = 2.0

    def __post_init__(self) -> None:
        if self.coupling not in get_args(Coupling):
            raise InputError(f"coupling={self.coupling!r} is unknown{suggest(self.coupling, get_args(Coupling))}")


class CaloInn(FlowShowers):
    """An invertible network of showers by couplings, after CaloINN (arXiv:2312.09290): as fast as it is exact.

    It learns p(voxels | layers, energy) by maximum likelihood, with layers as their ratios. The paper lets one network
    learn ratios and voxels together, where here the five ratios have a small flow of their own, so that they cost
    nothing and come out right. "small" has affine couplings behind a spline of each voxel (`CouplingFlow`): a spline in
    each coupling, as published, takes 15 times as long on a CPU.
    """

    name = "caloinn"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CaloInnConfig(),
        "small": CaloInnConfig(
            coupling="affine",
            hidden=(256, 256),
            turned=True,
            **SMALL_LAYERS,
            fit=FitConfig(epochs=20, lr=2e-3, batch_size=256, patience=None, clip=50.0, warmup=0.2),
        ),
    }

    def _network(self, group_of: np.ndarray, context: int) -> nn.Module:
        config = self.config
        if config.coupling == "spline":
            return ConditionalFlow(
                len(group_of), context, transforms=config.blocks, hidden=config.hidden, bins=config.bins
            )
        return CouplingFlow(
            group_of, context, blocks=config.blocks, hidden=config.hidden, clamp=config.clamp, bins=config.bins
        )
