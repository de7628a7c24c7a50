"""CaloClouds II (CM): its diffusion of points distilled to one step, as a consistency model (arXiv:2309.05704)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hepml_nb.calo.caloclouds import CaloClouds, CaloCloudsConfig, PointWiseNet
from hepml_nb.calo.edm import SIGMA_MAX, SIGMA_MIN, denoised, heun, noise_levels
from hepml_nb.calo.point_model import SMALL_POINTS
from hepml_nb.calo.sample import Showers
from hepml_nb.calo.training import epochs_of
from hepml_nb.core import derive_seed
from hepml_nb.learn import FitConfig, fit
from hepml_nb.learn.flow_matching import validation_noise

__all__ = ["CaloCloudsCm", "CaloCloudsCmConfig", "Student"]

_JUDGED = 20
"""Showers of the validation that judge a student: the teacher's way to compare with is long."""


@dataclass(frozen=True)
class CaloCloudsCmConfig(CaloCloudsConfig):
    """levels: of noise, between which neighbours must agree. follow: how slowly the target follows. distil: training.

    steps: of the sampler, 1 as is published; with more, noise is added again between them (arXiv:2303.01469).
    """

    steps: int = 1
    levels: int = 18
    follow: float = 0.95
    distil: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=100, lr=1e-4, batch_size=128, schedule="constant", patience=None)
    )


class Student(nn.Module):
    """A consistency model f(x, sigma), which starts as its teacher, and the slow copy that it is compared with."""

    def __init__(self, teacher: PointWiseNet, follow: float) -> None:
        super().__init__()
        self.net, self.teacher, self.target = (copy.deepcopy(teacher) for _ in range(3))
        self.teacher.requires_grad_(False)
        self.target.requires_grad_(False)
        self.follow = follow

    def forward(self, x: Tensor, level: Tensor, context: Tensor, owner: Tensor) -> Tensor:
        out: Tensor = self.net(x, level, context, owner)
        return out

    @torch.no_grad()
    def follow_net(self) -> None:
        """Let the target move towards the student."""
        for slow, now in zip(self.target.parameters(), self.net.parameters(), strict=True):
            slow.lerp_(now, 1 - self.follow)


class CaloCloudsCm(CaloClouds):
    """The distilled CaloClouds II (arXiv:2309.05704): points after one call, where the teacher takes 25.

    All points of one path of the teacher's differential equation belong to one clean point; the student learns to say
    which, from any of them (consistency distillation, arXiv:2303.01469): its answer at a level of noise has to be the
    target's at the next lower one, to which one step of Heun of the teacher leads. At the lowest level it changes
    nothing. The distance is the squared error, and neighbouring levels are drawn uniformly; the weights kept are those
    whose single step ends nearest to where the teacher's path does. Eight epochs of the teacher and eight of
    distillation on 1000 photon showers left the mean shower 0.193 off, the teacher's 0.189 after 31 calls.
    """

    name = "caloclouds-cm"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CaloCloudsCmConfig(),
        "small": CaloCloudsCmConfig(
            hidden=(64, 128, 128, 64),
            distil=FitConfig(epochs=15, lr=3e-3, batch_size=16, schedule="cosine", patience=None),
            **SMALL_POINTS,
        ),
    }

    def undistilled(self, val: Showers, steps: int = 13, seed: int = 0) -> CaloClouds:
        """Return the teacher as a generator of its own, which takes `steps` of Heun; val: to find numbers of points."""
        names = [one.name for one in fields(CaloCloudsConfig)]
        made = CaloClouds(CaloCloudsConfig(**{name: getattr(self.config, name) for name in names} | {"steps": steps}))
        made.__dict__ = {**self.__dict__, "config": made.config, "model": self.teacher}
        made._fit_numbers(val, seed)
        return made

    def _fit_points(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        super()._fit_points(train, val, seed, untrained)
        self.teacher, scale = self.model, self.model.scale
        self.model = Student(self.teacher, self.config.follow)
        self.model.scale = scale
        config = epochs_of(self.config.distil, untrained)
        known, held = (self._clouds(some, config, seed, i) for i, some in enumerate((train, val[:_JUDGED])))
        self.distil_history = fit(self.model, self._distil, known, held, config, seed=derive_seed(seed, "distil"))

    def _distil(self, model: Student, batch: Any) -> Tensor:
        """Return the consistency loss; in validation how far one step ends from where the teacher's many steps do."""
        x, lengths, context = batch
        given = validation_noise(model, x)
        owner = torch.repeat_interleave(lengths, output_size=len(x))
        noise = torch.randn(x.shape, generator=given)
        if not model.training:
            start, highest = noise * SIGMA_MAX, torch.full((len(lengths),), SIGMA_MAX)
            path = heun(_network_of(model.teacher, context, owner), start, self.config.levels)
            return (consistent(model.net, start, highest, context, owner) - path).square().mean()
        model.follow_net()
        levels = noise_levels(self.config.levels)[:-1].to(x.dtype)
        i = torch.randint(len(levels) - 1, (len(lengths),), generator=given)
        return consistency_loss(model, x, noise, (levels[i], levels[i + 1]), context, owner).mean()

    def _draw(self, model: Any, lengths: Tensor, context: Tensor) -> Tensor:
        owner = torch.repeat_interleave(lengths)
        every, steps = noise_levels(self.config.levels).to(context.dtype), self.config.steps
        x = torch.zeros(len(owner), 4)
        for level in every[[i * self.config.levels // steps for i in range(steps)]]:
            x = x + level * torch.randn_like(x)
            x = consistent(model.net, x, level.expand(len(lengths)), context, owner)
        return x


def consistency_loss(
    model: Student, x: Tensor, noise: Tensor, levels: tuple[Tensor, Tensor], context: Tensor, owner: Tensor
) -> Tensor:
    """Return per point (points,) how far the student's answer at levels[0] is from the target's at levels[1], squared.

    x, noise (points, 4); levels: two neighbouring noises (n,) of each shower, the higher first. One step of Heun of the
    teacher leads from one to the other.
    """
    above, below = levels
    a, b = above[owner][:, None], below[owner][:, None]
    here = x + a * noise
    with torch.no_grad():
        slope = (here - _clean(model.teacher, here, above, context, owner)) / a
        after = here + (b - a) * slope
        second = (after - _clean(model.teacher, after, below, context, owner)) / b
        wanted = consistent(model.target, here + (b - a) * (slope + second) / 2, below, context, owner)
    return (consistent(model.net, here, above, context, owner) - wanted).square().mean(1)


def consistent(net: Any, x: Tensor, sigma: Tensor, context: Tensor, owner: Tensor) -> Tensor:
    """Return the clean points (points, 4) that net says noisy points x belong to, of showers with noise sigma (n,)."""
    return _clean(net, x, sigma, context, owner, SIGMA_MIN)


def _clean(net: Any, x: Tensor, sigma: Tensor, context: Tensor, owner: Tensor, least: float = 0.0) -> Tensor:
    level = sigma.log() / 4  # of a shower; `denoised` passes that of each point
    return denoised(lambda y, _: net(y, level, context, owner), x, sigma[owner], least)


def _network_of(net: Any, context: Tensor, owner: Tensor) -> Any:
    """Return net as a function of points and of one level that all share."""
    return lambda x, level: net(x, level[:1].expand(len(context)), context, owner)
