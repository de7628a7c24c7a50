"""GN2: one transformer over the particles of a jet, several tasks (arXiv:2505.19689)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, SetBatches, Standardise, mlp, pad
from hepml_nb.tagging.base import Particles
from hepml_nb.tagging.multi import MultiTagger
from hepml_nb.tagging.particles import ParticleTagger, check_features

__all__ = ["GN2", "GN2Config", "GN2Network", "pairs"]

_KINEMATIC = ("deta_axis", "dphi_axis", "log_pt", "log_pt_rel", "log_e_rel", "dr")
_NO_TRUTH = -1  # a particle without truth takes no part in the auxiliary tasks


@dataclass(frozen=True)
class GN2Config:
    """width, layers, heads, hidden: of the transformer; out: width of what the tasks see; head: their hidden widths.

    classes: names of the labels. features: names of particle features; most: hardest particles taken.
    origin: field of the constituents with the number of where they come from, below `origins`; vertex: field with the
    number of the vertex that made them; None: no such task; a number below 0: unknown. response: column of the jets
    (the true pt, GeV) whose logarithm over the measured pt is learnt; None: no regression. weights: of the losses of
    origin, vertex and response beside 1 for the classes; 0.5 and 1.5 are the paper's, the response is ours.
    Scaled down: particles of all kinds instead of tracks, features of the data sets at hand, no jet features.
    """

    classes: tuple[str, ...] = ("background", "signal")
    features: tuple[str, ...] = (*_KINEMATIC, "charge")
    most: int | None = 40
    width: int = 256
    layers: int = 4
    heads: int = 8
    hidden: int = 512
    out: int = 128
    head: tuple[int, ...] = (128, 64, 32)
    origin: str | None = None
    origins: int = 0
    vertex: str | None = None
    response: str | None = None
    weights: tuple[float, float, float] = (0.5, 1.5, 1.0)
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=40, lr=5e-4, batch_size=1000, warmup=0.01, weight_decay=1e-5)
    )

    def __post_init__(self) -> None:
        check_features(self.features)
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise InputError(f"classes={self.classes}; expected at least two, none twice.")
        if self.origin is not None and self.origins < 2:
            raise InputError(f"origin={self.origin!r} needs origins, the number of them, of at least 2.")
        if self.width % self.heads:
            raise InputError(f"width={self.width} is not a multiple of heads={self.heads}.")


class GN2Network(nn.Module):
    """An embedding per particle, self-attention, attention pooling, and a head per task."""

    def __init__(self, config: GN2Config) -> None:
        super().__init__()
        c, self.n_features = config, len(config.features)
        self.standardise = Standardise(self.n_features)
        self.embed = mlp([self.n_features, c.width, c.width])
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(c.width, c.heads, c.hidden, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(c.layers)
        )
        self.narrow = nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, c.out))
        self.ask = nn.Linear(c.out, 1)
        self.jet = mlp([c.out, *c.head, len(c.classes)])
        self.origin = mlp([2 * c.out, *c.head, c.origins]) if c.origin else None
        self.vertex = mlp([2 * c.out, *c.head, 1]) if c.vertex else None
        self.response = mlp([c.out, *c.head, 1]) if c.response else None

    def represent(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return particles (jets, longest, out), which of them exist, and jets (jets, out)."""
        block, mask = pad(self.embed(self.standardise(values[:, : self.n_features])), lengths)
        for layer in self.encoder:
            block = layer(block, src_key_padding_mask=~mask)
        block = self.narrow(block)
        weight = torch.softmax(self.ask(block)[..., 0].masked_fill(~mask, -torch.inf), dim=1)
        return block, mask, (weight[..., None] * block).sum(1)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map particles (sum of lengths, features) and lengths (n,) to the logits of the classes (n, classes)."""
        out: Tensor = self.jet(self.represent(values, lengths)[2])
        return out

    def tasks(self, values: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return {"classes": (n, classes), "origin": (sum of lengths, origins), "vertex": (pairs,), "response": (n,)}.

        Logits, but for the response; those of `pairs(lengths)` for the vertex; only tasks that the network has.
        """
        block, mask, jet = self.represent(values, lengths)
        out = {"classes": self.jet(jet)}
        if self.origin is not None:
            context = jet[:, None].expand(-1, block.shape[1], -1)
            out["origin"] = self.origin(torch.cat([block, context], dim=2)[mask])
        if self.vertex is not None:
            one, two = pairs(lengths)
            flat = block[mask]
            # symmetric in the two, as a vertex is
            out["vertex"] = self.vertex(torch.cat([flat[one] + flat[two], (flat[one] - flat[two]).abs()], dim=1))[:, 0]
        if self.response is not None:
            out["response"] = self.response(jet)[:, 0]
        return out


def pairs(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of both partners of every pair of particles of one jet, each pair once."""
    first = torch.cumsum(lengths, 0) - lengths
    own = torch.arange(int(lengths.sum()), device=lengths.device)
    after = torch.repeat_interleave(first + lengths, lengths, output_size=len(own)) - own - 1  # partners behind it
    one = torch.repeat_interleave(own, after)
    start = torch.cumsum(after, 0) - after
    return one, torch.arange(len(one), device=lengths.device) - start[one] + one + 1


class GN2(MultiTagger, ParticleTagger):
    """Flavour of a jet, origin of its particles, which of them share a vertex, and its pt, in one network."""

    name = "gn2"
    configs = {  # noqa: RUF012 - a Mapping, never changed
        "paper": GN2Config(),
        "small": GN2Config(
            width=48, layers=2, heads=4, hidden=96, out=32, head=(32,), most=30,
            fit=FitConfig(epochs=10, lr=2e-3, batch_size=64, patience=4),
        ),
    }  # fmt: skip

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return GN2Network(self.config)

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Cross entropy of the classes plus the weighted losses of the other tasks, each a mean over what has truth."""
        values, lengths, targets = batch[0], batch[1], batch[2].reshape(len(batch[1]), -1)
        c, found = self.config, model.tasks(values, lengths)  # type: ignore[operator]
        total = nn.functional.cross_entropy(found["classes"], targets[:, 0].long())
        truth = values[:, len(c.features) :].long()
        if c.origin:
            known = truth[:, 0] >= 0
            total = total + c.weights[0] * nn.functional.cross_entropy(found["origin"][known], truth[known, 0])
        if c.vertex:
            one, two = pairs(lengths)
            number = truth[:, -1]
            known = (number[one] >= 0) & (number[two] >= 0)
            same = (number[one] == number[two]).to(found["vertex"].dtype)
            total = total + c.weights[1] * nn.functional.binary_cross_entropy_with_logits(
                found["vertex"][known], same[known]
            )
        if c.response:
            total = total + c.weights[2] * nn.functional.mse_loss(found["response"], targets[:, 1])
        return total

    def pt(self, jets: Any) -> npt.NDArray[np.float64]:
        """Return the corrected pt (GeV) of the jets, shape (n,)."""
        if not self.config.response:
            raise InputError("this gn2 has not learnt the response; give response='gen_pt', say, before the fit.")
        return np.asarray(ak.to_numpy(jets.pt) * np.exp(self.tasks(jets)["response"]))

    def tasks(self, jets: Any) -> dict[str, npt.NDArray[np.float64]]:
        """Return what `GN2Network.tasks` gives, but probabilities; particles hardest first, `most` of them.

        Beside them "lengths" (n,), the particles taken of every jet.
        """
        self._must_be_ready("tasks")
        x = self.prepare(jets)
        model, parts = self._fitted(), []
        with torch.inference_mode():
            for values, lengths in SetBatches(x.values, x.lengths, batch_size=self.eval_batch, shuffle=False).epoch(0):
                parts.append(model.tasks(values, lengths))  # type: ignore[operator]
        out = {name: torch.cat([part[name] for part in parts]).double() for name in parts[0]}
        for name in {"classes", "origin"} & out.keys():
            out[name] = out[name].softmax(1)
        if "vertex" in out:
            out["vertex"] = out["vertex"].sigmoid()
        return {**{name: tensor.numpy() for name, tensor in out.items()}, "lengths": x.lengths}

    def _learning(self, jets: Any, labels: npt.NDArray[np.int64]) -> tuple[Particles, npt.NDArray[np.float32]]:
        c, x = self.config, self.prepare(jets)
        columns = [labels.astype(np.float32)]
        if c.response:
            if c.response not in jets.fields:
                raise InputError(f"jets lack the column {c.response!r} that the response is learnt from.")
            columns.append(np.log(ak.to_numpy(jets[c.response]) / ak.to_numpy(jets.pt)))
        targets = np.stack(columns, axis=1).astype(np.float32)
        if not np.isfinite(targets).all():
            raise InputError(f"column {c.response!r} is nan, infinite or not positive in some jets; drop those.")
        wanted = [name for name in (c.origin, c.vertex) if name]
        return Particles(np.concatenate([x.values, _truth(jets, wanted, c)], axis=1), x.lengths), targets

    def _standardise(self, model: Any, x: Any) -> None:
        model.standardise.fit(torch.as_tensor(x.values[:, : len(self.config.features)]))


def _truth(jets: Any, names: list[str], config: GN2Config) -> npt.NDArray[np.float32]:
    """Return the named fields of the constituents that `particles` takes, in its order: (sum of lengths, names)."""
    parts = jets.constituents
    if missing := [name for name in names if name not in parts.fields]:
        raise InputError(f"constituents lack the field(s) {missing} that the auxiliary tasks learn; set them to None.")
    parts = parts[ak.argsort(parts.pt, axis=1, ascending=False, stable=True)][:, : config.most]
    columns = [np.maximum(ak.to_numpy(ak.flatten(parts[name])).astype(np.float32), _NO_TRUTH) for name in names]
    if config.origin and columns[0].max(initial=0) >= config.origins:
        raise InputError(f"{config.origin!r} goes up to {columns[0].max():.0f}; origins={config.origins} is too few.")
    return np.stack(columns, axis=1) if columns else np.zeros((int(ak.sum(ak.num(parts))), 0), np.float32)
