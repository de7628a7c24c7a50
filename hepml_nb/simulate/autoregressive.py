"""Jets with a known probability: a recurrent network that writes a jet particle by particle, hardest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import BucketBatches, pad

__all__ = ["Grid", "JetDensity", "Tokens", "density"]

_SCALES = {"pt": 600.0, "mass": 100.0}  # GeV, that the network's inputs are measured in
_FEATURES = 13
_WEIGHTS = Path(__file__).parent / "weights" / "autoregressive_jets.safetensors"


class Tokens(NamedTuple):
    """Bins of the particles of many jets: bins (sum of lengths, 3) int64 of pt, deta, dphi; lengths (jets,) int64."""

    bins: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The bins of a particle: `pt_bins` in log pt from `pt_low` to `pt_high` (GeV), numbered from the hardest down,
    and `angle_bins` in each of deta and dphi over +-`reach` (rad). A jet has 1 to `most` particles.

    `cells` places per bin and axis are where particles are put inside it, so that float32 never changes their bin.
    """

    pt_low: float = 3.0
    pt_high: float = 768.0
    pt_bins: int = 40
    angle_bins: int = 52
    reach: float = 0.8125
    most: int = 64
    cells: int = 1024

    def __post_init__(self) -> None:
        if not 0 < self.pt_low < self.pt_high or self.reach <= 0:
            raise InputError(f"pt_low={self.pt_low}, pt_high={self.pt_high}, reach={self.reach} make no grid.")
        if min(self.pt_bins, self.angle_bins, self.most) < 1 or self.cells <= self.most:
            raise InputError(f"{self} needs at least one bin and particle, and more cells than particles.")

    def tokens(self, jets: Any) -> Tokens:
        """Return the bins of the `most` hardest particles of every jet that lie on the grid, hardest first.

        Softer and wider particles are left out; harder ones than pt_high count in the first bin. Raises InputError for
        a jet that has no particle on the grid.
        """
        parts = jets.constituents
        parts = parts[(parts.pt >= self.pt_low) & (abs(parts.deta) < self.reach) & (abs(parts.dphi) < self.reach)]
        parts = parts[ak.argsort(parts.pt, axis=1, ascending=False, stable=True)][:, : self.most]
        lengths = ak.to_numpy(ak.num(parts)).astype(np.int64)
        if (empty := int((lengths == 0).sum())) or not len(lengths):
            raise InputError(
                f"{empty} of {len(lengths)} jets have no particle above {self.pt_low} GeV within {self.reach} "
                "of their axis; the density knows jets of 1 or more."
            )
        pt, *angles = (ak.to_numpy(ak.flatten(parts[name])).astype(np.float64) for name in ("pt", "deta", "dphi"))
        columns = [
            np.floor(np.log(self.pt_high / pt) / self._pt_step),
            *((x / self.reach + 1) * self.angle_bins / 2 for x in angles),
        ]
        limits = (self.pt_bins, self.angle_bins, self.angle_bins)
        clipped = [np.clip(c.astype(np.int64), 0, limit - 1) for c, limit in zip(columns, limits, strict=True)]
        return Tokens(np.stack(clipped, axis=1), lengths)

    def place(self, tokens: Tokens, generator: np.random.Generator) -> dict[str, npt.NDArray[np.float32]]:
        """Return pt (GeV), deta and dphi (rad) of particles inside their bins, each (sum of lengths,) float32.

        Angles are uniform over the cells of a bin, pt over those in log pt; particles of one jet in one pt bin get
        different cells in falling order. What is drawn depends on the bins only, so it cancels in every ratio of
        densities, and since no two particles tie, the set of particles tells their order: a density of the sequence is
        the density of the set up to a factor that all classes share.
        """
        bins, n = tokens.bins, len(tokens.bins)
        owner = np.repeat(np.arange(len(tokens.lengths)), tokens.lengths)
        group = owner * self.pt_bins + bins[:, 0]
        first = np.flatnonzero(np.diff(group, prepend=-1))
        sizes = np.diff(first, append=n)
        rank, size = np.arange(n) - np.repeat(first, sizes), np.repeat(sizes, sizes)
        draws = generator.random((n, 3))
        draws[:, 0] = draws[np.lexsort((draws[:, 0], group)), 0]
        # sorted draws over fewer cells, then one more cell each: no two alike
        cell = np.floor(draws[:, 0] * (self.cells - size + 1)) + rank
        pt = self.pt_high * np.exp(-self._pt_step * (bins[:, 0] + (cell + 0.5) / self.cells))
        inside = (np.floor(draws[:, 1:] * self.cells) + 0.5) / self.cells
        angles = ((bins[:, 1:] + inside) * 2 / self.angle_bins - 1) * self.reach
        return {
            name: column.astype(np.float32)
            for name, column in zip(("pt", "deta", "dphi"), (pt, *angles.T), strict=True)
        }

    @property
    def _pt_step(self) -> float:
        return float(np.log(self.pt_high / self.pt_low)) / self.pt_bins

    def centres(self, bins: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return pt (GeV), deta, dphi (rad) of the middle of bins (..., 3), float64."""
        pt = self.pt_high * torch.exp(-self._pt_step * (bins[..., 0].double() + 0.5))
        deta, dphi = ((bins[..., i].double() + 0.5) * (2 * self.reach / self.angle_bins) - self.reach for i in (1, 2))
        return pt, deta, dphi


class JetDensity(nn.Module):
    """p(jet | class): per particle p(pt | before) p(deta | pt, before) p(dphi | pt, deta, before), at the end p(stop).

    Autoregressive on bins of (pt, deta, dphi) as in arXiv:2411.02628, scaled down: a GRU instead of a transformer, one
    network that is told the class, and three factors per particle instead of one over all combinations of bins.
    "Before" is what a GRU keeps of the particles so far and running sums of them (pt, centroid, mass, width tensor).
    pt never rises: bins harder than the last particle's have probability 0. A jet of `grid.most` particles is over.
    """

    def __init__(self, grid: Grid | None = None, hidden: int = 96, head: int = 48) -> None:
        super().__init__()
        self.grid = grid or Grid()
        g = self.grid
        self.gru = nn.GRU(_FEATURES, hidden, batch_first=True)
        self.pt_of, self.deta_of, self.dphi_of = (nn.Linear(hidden, head) for _ in range(3))
        self.pt_in_deta, self.pt_in_dphi = nn.Embedding(g.pt_bins, head), nn.Embedding(g.pt_bins, head)
        self.deta_in_dphi = nn.Embedding(g.angle_bins, head)
        self.to_pt = nn.Linear(head, g.pt_bins + 1)  # the last one: no further particle
        self.to_deta, self.to_dphi = nn.Linear(head, g.angle_bins), nn.Linear(head, g.angle_bins)

    def forward(self, bins: Tensor, lengths: Tensor, label: Tensor) -> Tensor:
        """Return the log probability of jets, shape (jets,), of bins (sum of lengths, 3), lengths and label (jets,)."""
        block, mask = pad(bins, lengths)
        g, steps = self.grid, min(block.shape[1] + 1, self.grid.most)
        seen = self.context(block, mask, label)[:, :steps]
        states, _ = self.gru(seen)
        asked = torch.arange(steps) <= lengths[:, None]
        state = states[asked]
        target = nn.functional.pad(block, (0, 0, 0, 1))[:, :steps]
        target[:, :, 0][torch.arange(steps) == lengths[:, None]] = g.pt_bins
        previous = nn.functional.pad(block[:, :, 0], (1, 0), value=-1)[:, :steps]
        target, previous = target[asked], previous[asked]
        logs = _picked(self._pt_logits(state, previous), target[:, 0])
        real = target[:, 0] < g.pt_bins
        state, chosen = state[real], target[real]
        angles = _picked(self._deta_logits(state, chosen), chosen[:, 1])
        angles = angles + _picked(self._dphi_logits(state, chosen), chosen[:, 2])
        out = torch.zeros(len(lengths), dtype=logs.dtype)
        rows = torch.arange(len(lengths))[:, None].expand(-1, steps)[asked]
        return out.index_add(0, rows, logs).index_add(0, rows[real], angles)

    @torch.inference_mode()
    def sample(self, n: int, label: int, generator: np.random.Generator) -> Tokens:
        """Return the bins of n jets of a class (0 or 1), drawn with one uniform number per factor and particle."""
        g = self.grid
        bins = torch.zeros(n, g.most, 3, dtype=torch.int64)
        lengths = torch.full((n,), g.most)
        alive, before = torch.arange(n), torch.full((n,), -1)
        hidden, sums = torch.zeros(1, n, self.gru.hidden_size), torch.zeros(n, 11, dtype=torch.float64)
        last = torch.zeros(n, 3, dtype=torch.float64)
        for step in range(g.most):
            draw = torch.from_numpy(generator.random((3, n)))[:, alive]
            seen = _features(last, sums, torch.full((len(alive),), float(label)), step / g.most)
            out, hidden = self.gru(seen[:, None], hidden)
            token = torch.zeros(len(alive), 3, dtype=torch.int64)
            token[:, 0] = _drawn(self._pt_logits(out[:, 0], before), draw[0])
            goes_on = token[:, 0] < g.pt_bins
            lengths[alive[~goes_on]] = step
            alive, token, state = alive[goes_on], token[goes_on], out[goes_on, 0]
            token[:, 1] = _drawn(self._deta_logits(state, token), draw[1, goes_on])
            token[:, 2] = _drawn(self._dphi_logits(state, token), draw[2, goes_on])
            bins[alive, step] = token
            last, terms = _terms(*g.centres(token))
            hidden, sums, before = hidden[:, goes_on], sums[goes_on] + terms, token[:, 0]
        return Tokens(bins[torch.arange(g.most) < lengths[:, None]].numpy(), lengths.numpy())

    @torch.inference_mode()
    def log_prob(self, tokens: Tokens, label: int, chunk: int = 1000) -> npt.NDArray[np.float64]:
        """Return log p(bins | class) of every jet, shape (jets,)."""
        batches = BucketBatches(tokens.bins, tokens.lengths, batch_size=chunk, shuffle=False)
        found = [self(bins, lengths, torch.full((len(lengths),), float(label))) for bins, lengths in batches.epoch(0)]
        out = np.empty(len(tokens.lengths))
        out[batches.order()] = torch.cat(found).double().numpy()
        return out

    def log_ratio(self, tokens: Tokens) -> npt.NDArray[np.float64]:
        """Return log p(jet | class 1) - log p(jet | class 0) of every jet, shape (jets,); places in bins cancel."""
        return self.log_prob(tokens, 1) - self.log_prob(tokens, 0)

    def context(self, block: Tensor, mask: Tensor, label: Tensor) -> Tensor:
        """Return what the GRU is told before each particle and after the last, (jets, longest + 1, features)."""
        last, terms = _terms(*self.grid.centres(block))
        sums = nn.functional.pad(torch.cumsum(terms * mask[..., None], dim=1), (0, 0, 1, 0))
        last = nn.functional.pad(last, (0, 0, 1, 0))
        step = torch.arange(sums.shape[1]).expand(sums.shape[:2]) / self.grid.most
        return _features(last, sums, label[:, None].expand(sums.shape[:2]), step)

    def _pt_logits(self, state: Tensor, previous: Tensor) -> Tensor:
        """Return logits of the pt bin or the end; -inf for bins above the previous one (-1: a jet's first particle)."""
        hidden = torch.relu(self.pt_of(state))
        logits: Tensor = self.to_pt(hidden)
        number = torch.arange(self.grid.pt_bins + 1)
        forbidden = (number < previous[:, None]) | ((previous[:, None] < 0) & (number == self.grid.pt_bins))
        return logits.masked_fill(forbidden, -torch.inf)

    def _deta_logits(self, state: Tensor, token: Tensor) -> Tensor:
        hidden = self.deta_of(state) + self.pt_in_deta(token[:, 0])
        out: Tensor = self.to_deta(torch.relu(hidden))
        return out

    def _dphi_logits(self, state: Tensor, token: Tensor) -> Tensor:
        hidden = self.dphi_of(state) + self.pt_in_dphi(token[:, 0]) + self.deta_in_dphi(token[:, 1])
        out: Tensor = self.to_dphi(torch.relu(hidden))
        return out


def _terms(pt: Tensor, deta: Tensor, dphi: Tensor) -> tuple[Tensor, Tensor]:
    """Return (log pt, deta, dphi) and what is summed: pt, four-momentum, first and second moments, count."""
    momentum = (pt * torch.cosh(deta), pt * torch.cos(dphi), pt * torch.sin(dphi), pt * torch.sinh(deta))
    moments = (pt * deta, pt * dphi, pt * deta**2, pt * deta * dphi, pt * dphi**2)
    sums = torch.stack([pt, *momentum, *moments, torch.ones_like(pt)], dim=-1)
    return torch.stack([torch.log(pt / 30), 4 * deta, 4 * dphi], dim=-1), sums


def _features(last: Tensor, sums: Tensor, label: Tensor, step: Tensor | float) -> Tensor:
    """Return the GRU's inputs (..., 13) float32: the last particle, the sums so far and the class."""
    pt, e, px, py, pz, m1, m2, m11, m12, m22, count = sums.unbind(-1)
    total = pt.clamp(min=1e-9)
    mass = torch.sqrt((e**2 - px**2 - py**2 - pz**2).clamp(min=0) + 1.0)
    x, y = m1 / total, m2 / total
    columns = [
        *last.unbind(-1), (count == 0).double(), 2 * torch.as_tensor(step).expand_as(pt), 2 * pt / _SCALES["pt"] - 1,
        mass / _SCALES["mass"], 8 * x, 8 * y,
        20 * (m11 / total - x**2), 20 * (m12 / total - x * y), 20 * (m22 / total - y**2), 2 * label - 1,
    ]  # fmt: skip
    return torch.stack([column.float() for column in columns], dim=-1)


def _picked(logits: Tensor, target: Tensor) -> Tensor:
    return torch.log_softmax(logits, -1).gather(-1, target[:, None])[:, 0]


def _drawn(logits: Tensor, uniform: Tensor) -> Tensor:
    """Return a bin per row by the inverse of the cumulative distribution; bins of probability 0 are never drawn."""
    cumulative = torch.softmax(logits.double(), -1).cumsum(-1)
    bins = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(-1)
    return bins.clamp(max=logits.shape[-1] - 1)


@cache
def density() -> JetDensity:
    """Return the shipped density, trained on QCD (0) and top (1) jets of the top-tagging twin."""
    model = JetDensity()
    model.load_state_dict(load_file(_WEIGHTS))
    return model.eval().requires_grad_(False)
