"""A layer of many small networks of which every row sees the few that a noisy router chooses (arXiv:1701.06538)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError

__all__ = ["Experts"]


class Experts(nn.Module):
    """Sum of `chosen` of `experts` networks width -> hidden -> width (leaky ReLU), weighted by the router's softmax.

    In training the router's logits get noise of a learnt size, so that experts near the border are tried too; else the
    choice depends on the row alone.
    """

    def __init__(self, width: int, hidden: int, experts: int, chosen: int) -> None:
        super().__init__()
        if not 1 <= chosen < experts:
            raise InputError(f"chosen={chosen!r} of experts={experts!r}; expected at least 1, and fewer than all.")
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(), nn.Linear(hidden, width)) for _ in range(experts)
        )
        self.router, self.noise = (nn.Linear(width, experts, bias=False) for _ in range(2))
        nn.init.zeros_(self.noise.weight)
        self.chosen = chosen

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map rows x (rows, width) to (rows, width) and the load of every expert, (experts,).

        The load is a number of rows: in training the expected one over the router's noise, which has a gradient;
        else a count.
        """
        first, which, load = self.route(x)
        weights = torch.softmax(first, dim=1)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows, place = (which == number).nonzero(as_tuple=True)
            out = out.index_add(0, rows, weights[rows, place, None] * expert(x[rows]))
        return out, load

    def route(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits and numbers of the chosen experts, (rows, chosen) each, and the load (experts,)."""
        clean = self.router(x)
        if not self.training:
            first, which = clean.topk(self.chosen, dim=1)
            return first, which, torch.bincount(which.flatten(), minlength=clean.shape[1]).to(x.dtype)
        size = nn.functional.softplus(self.noise(x)) + 1e-2
        noisy = clean + torch.randn_like(clean) * size
        first, which = noisy.topk(self.chosen + 1, dim=1)
        # an expert is chosen if it beats the last of the others that would be
        beaten = torch.where(noisy > first[:, -1:], first[:, -1:], first[:, -2:-1])
        load = torch.special.ndtr((clean - beaten) / size).sum(0)
        return first[:, : self.chosen], which[:, : self.chosen], load
