"""Message passing that respects boosts along the beam and rotations about it, and no more (after arXiv:2410.18553)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hepml_nb.learn import ChannelNorm, FitConfig
from hepml_nb.tagging.lorentz import METRIC, check_momenta, jet_block, signed_log
from hepml_nb.tagging.lorentznet import BlockNetwork
from hepml_nb.tagging.particles import MOMENTA, ParticleTagger

__all__ = ["FORMS", "BoostNet", "BoostNetConfig", "BoostNetwork"]

FORMS = (METRIC, (0.0, 1.0, 1.0, 0.0))  # the whole product, and its part across the beam


@dataclass(frozen=True)
class BoostNetConfig:
    """hidden: width. layers: blocks. step: the factor of the update of the momenta. dropout: in the decoder.

    The sizes are LorentzNet's, so that the two differ in their symmetry only. features: the four-momenta, then scalars.
    most: hardest particles taken (None: all). fit: the training.
    """

    hidden: int = 72
    layers: int = 6
    step: float = 5e-3
    dropout: float = 0.2
    features: tuple[str, ...] = MOMENTA
    most: int | None = None
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=35, lr=1e-3, batch_size=128, warmup=5 / 35, weight_decay=1e-2)
    )

    def __post_init__(self) -> None:
        check_momenta(self.features)


class BoostNetwork(BlockNetwork):
    """A longitudinal vector (e, pz) and a transverse one (px, py) per particle, each updated by messages of its own.

    The matrix element of a hard process at a hadron collider is known up to the momentum fractions of the partons, so
    its symmetry is that of boosts along the beam, rotations about it and the reflections. Of every pair it leaves two
    products alone, e e' - pz pz' and px px' + py py', and of every particle its transverse momentum. The network sees
    the second and the difference of the two: the mass of a narrow pair is small beside both, and would drown in their
    logarithms. The paper's nodes are the reconstructed objects of an event, alike only where the process has them
    alike; here they are the constituents of one jet, which are all alike.
    """

    def __init__(self, config: BoostNetConfig) -> None:
        scalars = len(FORMS) + len(config.features) - 4
        super().__init__(config, scalars, FORMS)
        self.norm = ChannelNorm(scalars)  # logarithms of squared transverse momenta lie far from zero

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map particles (sum of lengths, 4 + scalars) and lengths (jets,) to logits (jets,)."""
        jets = jet_block(values, lengths)
        x = jets.momenta.permute(2, 0, 1).contiguous()
        squares = (x.new_tensor(FORMS) @ (x * x).flatten(1)).view(len(FORMS), *x.shape[1:])
        scalars = torch.cat([signed_log(squares), jets.scalars.permute(2, 0, 1)[2:]])
        return self.logits(jets, x, self.norm(scalars, jets.mask))


_SMALL = BoostNetConfig(
    hidden=16, layers=2, dropout=0.0, most=24, fit=FitConfig(epochs=8, lr=5e-3, batch_size=64, patience=None)
)


class BoostNet(ParticleTagger):
    """Longitudinal-boost-equivariant message passing on four-momenta."""

    name = "boostnet"
    eval_batch = 64  # blocks of pairs grow with the square of the length
    configs = {"paper": BoostNetConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return BoostNetwork(self.config)
