"""CaloFlow's teacher: an autoregressive flow of voxels that is told the energies of layers (arXiv:2106.05285)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from torch import nn

from hepml_nb.calo.flow_model import SMALL_LAYERS, FlowModelConfig, FlowShowers
from hepml_nb.calo.masked import MaskedFlow
from hepml_nb.core import InputError, suggest
from hepml_nb.learn import ConditionalFlow, FitConfig

__all__ = ["SMALL_TEACHER", "CaloFlow", "CaloFlowConfig"]

Transform = Literal["affine", "spline"]


@dataclass(frozen=True, kw_only=True)
class CaloFlowConfig(FlowModelConfig):
    """transform: "spline" as published (rational-quadratic), or "affine" behind one spline of each voxel.

    blocks, hidden: masked networks and their layers. bins: of the splines. clamp: see `MaskedBlock`.
    """

    transform: Transform = "spline"
    blocks: int = 8
    hidden: tuple[int, ...] = (378,)
    bins: int = 8
    clamp: float = 2.0

    def __post_init__(self) -> None:
        if self.transform not in get_args(Transform):
            raise InputError(f"transform={self.transform!r} is unknown{suggest(self.transform, get_args(Transform))}")


SMALL_TEACHER: dict[str, Any] = {
    "transform": "affine",
    "blocks": 4,
    "hidden": (256, 256),
    "turned": True,
    **SMALL_LAYERS,
    "fit": FitConfig(epochs=25, lr=2e-3, batch_size=256, patience=None, clip=50.0, warmup=0.2),
}


class CaloFlow(FlowShowers):
    """CaloFlow's teacher (arXiv:2106.05285): masked autoregressive flows of layers, and of voxels told the layers.

    Both are fitted by maximum likelihood. A density takes one pass, but a sample is drawn voxel by voxel. "small" is
    affine behind a spline of each voxel (`MaskedFlow`), where the paper has a spline in each block.
    """

    name = "caloflow"
    configs: ClassVar[Mapping[str, Any]] = {"paper": CaloFlowConfig(), "small": CaloFlowConfig(**SMALL_TEACHER)}

    def _network(self, group_of: np.ndarray, context: int) -> nn.Module:
        config = self.config
        sizes = {"hidden": config.hidden, "bins": config.bins}
        if config.transform == "spline":
            return ConditionalFlow(len(group_of), context, kind="autoregressive", transforms=config.blocks, **sizes)
        return MaskedFlow(group_of, context, blocks=config.blocks, clamp=config.clamp, **sizes)
