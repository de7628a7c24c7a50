"""A consistency model says to which clean point all points of one path belong, and is the identity without noise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hepml_nb import calo
from hepml_nb.calo.caloclouds import CaloClouds
from hepml_nb.calo.caloclouds_cm import CaloCloudsCm, consistency_loss, consistent
from hepml_nb.calo.edm import SIGMA_MAX, SIGMA_MIN, noise_levels
from hepml_nb.learn import FitConfig
from hepml_nb.testing import toy_showers

N = 4000
CONTEXT, OWNER = torch.zeros(N, 1), torch.arange(N)


def denoiser(y: torch.Tensor, level: torch.Tensor, context: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    """Return the network with which the denoiser of standard normal data is exact."""
    return torch.zeros_like(y)


def exact(y: torch.Tensor, level: torch.Tensor, context: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    """Return the network with which f(x, s) = x sqrt((1 + s_min^2) / (1 + s^2)), where paths of such data end."""
    s = (4 * level).exp()[owner][:, None]
    skip, out = 1 / ((s - SIGMA_MIN) ** 2 + 1), (s - SIGMA_MIN) / (s**2 + 1).sqrt()
    wanted: torch.Tensor = y * ((1 + SIGMA_MIN**2) ** 0.5 - skip * (s**2 + 1).sqrt()) / out.clamp(min=1e-9)
    return wanted


def loss(net: Any, levels: int) -> float:
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(N, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    every = noise_levels(levels)[:-1]
    i = torch.randint(levels - 1, (N,), generator=generator)
    model: Any = SimpleNamespace(net=net, target=net, teacher=denoiser)
    return float(consistency_loss(model, x, noise, (every[i], every[i + 1]), CONTEXT, OWNER).mean())


def test_without_noise_nothing_is_changed() -> None:
    x = torch.randn(N, 2)
    same = consistent(lambda y, *_: torch.ones_like(y), x, torch.full((N,), SIGMA_MIN), CONTEXT, OWNER)
    torch.testing.assert_close(same, x)


def test_the_end_of_the_known_path_has_no_loss() -> None:
    assert loss(exact, 60) < 1e-3 * loss(denoiser, 60)


def test_shorter_steps_of_the_teacher_leave_less() -> None:
    assert loss(exact, 40) < loss(exact, 20) / 4


def test_one_step_of_the_known_path_draws_the_known_distribution() -> None:
    start = SIGMA_MAX * torch.randn(N, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = consistent(exact, start, torch.full((N,), SIGMA_MAX, dtype=torch.float64), CONTEXT, OWNER)
    assert float(drawn.std()) == pytest.approx(1, abs=0.03)


def test_the_teacher_is_a_generator_of_its_own() -> None:
    showers = toy_showers(200, 5)
    short = FitConfig(epochs=1, batch_size=32)
    model = calo.make("caloclouds-cm", fit=short, flow_fit=short, distil=short).fit(showers[:150], showers[150:], 0)
    assert isinstance(model, CaloCloudsCm)
    teacher = model.undistilled(showers[150:], steps=3)
    assert isinstance(teacher, CaloClouds)
    assert teacher.config.steps == 3
    one, three = (some.sample(showers.energies[:20], seed=1) for some in (model, teacher))
    assert not np.array_equal(one.deposits, three.deposits)
    moved = [a - b for a, b in zip(model.model.net.parameters(), model.teacher.parameters(), strict=True)]
    assert max(float(one.detach().abs().max()) for one in moved) > 0
