"""Energy-weighted message passing: particles talk to their neighbours, and neither soft nor collinear ones matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, Standardise, mlp, pad
from hepml_nb.tagging.particles import ParticleTagger

__all__ = ["IRCMPN", "EnergyWeightedMessages", "IRCMPNConfig", "IRCMPNNetwork", "neighbour_weights"]


@dataclass(frozen=True)
class IRCMPNConfig:
    """radius: particles closer than this in the (eta, phi) plane are neighbours (rad), each its own neighbour too.

    widths: (hidden, output) widths of the message function of every round. f: widths of the network on the jet's sum.
    most: hardest particles taken (None: all; a cut on their number is not infrared and collinear safe). fit: the
    training. The paper's abstract fixes the construction; these sizes are ours.
    """

    radius: float = 0.3
    widths: tuple[int, ...] = (64, 64)
    rounds: int = 2
    f: tuple[int, ...] = (100, 100)
    most: int | None = None
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=50, lr=1e-3, batch_size=256, patience=8))
    features: ClassVar[tuple[str, ...]] = ("z", "deta", "dphi")  # nothing else is safe

    def __post_init__(self) -> None:
        if not self.radius > 0 or self.rounds < 1 or len(self.widths) != 2:
            raise InputError(
                f"radius={self.radius}, rounds={self.rounds}, widths={self.widths}; expected a radius above 0 (rad), "
                "at least one round and two widths (hidden, output)."
            )


def neighbour_weights(z: Tensor, angles: Tensor, mask: Tensor, radius: float) -> Tensor:
    """Return w (jets, n, n): the share of particle j in the energy of i's neighbourhood, 0 for those farther off.

    z (jets, n), angles (jets, n, 2), mask (jets, n): True where there is a particle. The graph depends on angles only,
    so a soft particle changes no other's neighbours, and collinear ones have the same. Rows of padding mean nothing.
    """
    x, y = angles.unbind(-1)
    distance2 = (x[:, :, None] - x[:, None]) ** 2 + (y[:, :, None] - y[:, None]) ** 2
    energy = torch.where(distance2 < radius**2, (z * mask)[:, None], 0.0)
    return energy / energy.sum(-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)


class EnergyWeightedMessages(nn.Module):
    """h_i -> sum over neighbours j of w_ij Phi(h_i, h_j), Phi a network with one hidden layer.

    The output layer of Phi is linear and the weights of a neighbourhood add up to one, so it is applied after the sum:
    the same numbers for a fraction of the work.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        hidden, outputs = widths
        self.here = nn.Linear(inputs, hidden)
        self.there = nn.Linear(inputs, hidden, bias=False)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, h: Tensor, weights: Tensor) -> Tensor:
        """Map h (jets, n, inputs) and weights (jets, n, n) to (jets, n, outputs)."""
        pairs = torch.relu_(self.here(h)[:, :, None] + self.there(h)[:, None])
        out: Tensor = self.out((weights[:, :, None] @ pairs)[:, :, 0])
        return out


class IRCMPNNetwork(nn.Module):
    """F(sum of z_i h_i) -> logits, with h_i after some rounds of energy-weighted messages from (deta, dphi).

    The last weights start at 0, as those of the Energy Flow Network and for the same reason.
    """

    def __init__(self, config: IRCMPNConfig) -> None:
        super().__init__()
        self.radius = config.radius
        self.standardise = Standardise(len(config.features))
        inputs = [2] + [config.widths[1]] * (config.rounds - 1)
        self.rounds = nn.ModuleList(EnergyWeightedMessages(n, config.widths) for n in inputs)
        self.f = mlp([config.widths[1], *config.f, 1])
        nn.init.zeros_(cast(nn.Linear, self.f[-1]).weight)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map particles x (sum of lengths, 3) of z, deta, dphi and lengths (n,) to logits (n,)."""
        block, mask = pad(x, lengths)
        z, angles = block[..., 0], block[..., 1:]
        weights = neighbour_weights(z, angles, mask, self.radius)
        h = (angles - self.standardise.mean[1:]) / self.standardise.scale[1:]
        for messages in self.rounds:
            h = messages(h, weights)
        out: Tensor = self.f((z[:, None] @ h)[:, 0])[:, 0]
        return out


_SMALL = IRCMPNConfig(
    widths=(32, 32), most=40, f=(64, 64), fit=FitConfig(epochs=8, lr=4e-3, batch_size=128, patience=4)
)


class IRCMPN(ParticleTagger):
    """Infrared and collinear safe message passing network (arXiv:2109.14636), the Energy Flow Network on a graph.

    "small" takes the 40 hardest particles for speed, which safety forbids in principle: the checks are made with all.
    """

    name = "irc-mpn"
    configs = {"paper": IRCMPNConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed
    columns = ("constituents",)
    eval_batch = 64  # pairs of all particles of a batch are held at once

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return IRCMPNNetwork(self.config)
