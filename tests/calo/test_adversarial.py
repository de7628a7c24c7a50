"""Adversarial trainings of showers: distances, penalties, diversity, and what each method adds to its loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hepml_nb.calo import make
from hepml_nb.calo.adversarial import Duel, alternate, critic_loss, slope_penalty
from hepml_nb.calo.bib_ae import mmd, spectrum_mmd
from hepml_nb.calo.expert_gan import diversity_loss
from hepml_nb.calo.fractions import FractionHead, Fractions
from hepml_nb.core import InputError, RunError
from hepml_nb.learn import FitConfig, RowBatches, mlp
from hepml_nb.testing import toy_showers


def test_fractions_come_back_as_deposits() -> None:
    showers = toy_showers(600, 2)[5:]
    fractions = Fractions(showers)
    rows = fractions.rows(showers)
    back = fractions.deposits(rows, showers.energies)
    seen = rows[:, -1].abs() < 4.9  # pulls are cut at 5
    np.testing.assert_allclose(back[seen], showers.deposits[seen], rtol=1e-3, atol=1e-2)
    assert 0.7 < float(rows[:, -1].std()) < 1.4
    assert abs(float(rows[:, -1].mean())) < 0.2


def test_heads_end_in_fractions_and_start_where_they_are_told() -> None:
    showers = toy_showers(600, 2)[5:]
    row = Fractions(showers).rows(showers).mean(0)
    head = FractionHead(showers.geometry)
    made = head(torch.randn(7, head.width))
    for layer in range(4):
        assert torch.allclose(made[:, : len(head.layer_of)][:, head.layer_of == layer].sum(1), torch.ones(7), atol=1e-3)
    assert torch.allclose(made[:, -5:-1].sum(1), torch.ones(7), atol=1e-5)
    assert (made[:, : len(head.layer_of)] == 0).any()  # voxels can be empty exactly
    torch.testing.assert_close(head(head.inverse(row)[None])[0], row, atol=0.02, rtol=0.05)


def test_a_plane_of_slope_one_has_no_penalty_and_the_distance_is_how_far_it_goes() -> None:
    torch.manual_seed(0)
    real, made = torch.randn(500, 3), torch.randn(500, 3) + torch.tensor([2.0, 0.0, 0.0])

    def plane(x: torch.Tensor) -> torch.Tensor:
        return -x[:, 0]

    assert float(slope_penalty(plane, real, made)) < 1e-6
    assert float(slope_penalty(lambda x: 3 * plane(x), real, made)) == pytest.approx(4.0, abs=1e-4)
    moved = float((made[:, 0] - real[:, 0]).mean())
    assert float(critic_loss(plane, real, made, 10.0)) == pytest.approx(-moved, abs=1e-4)


class Shift(nn.Module):
    """Noise plus two learnt numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.zeros(2))

    def forward(self, n: int) -> torch.Tensor:
        return torch.randn(n, 2) + self.by


def _duel(critic: nn.Module, maker: Shift) -> Duel:
    def judged(x: torch.Tensor) -> torch.Tensor:
        return critic_loss(lambda rows: critic(rows)[:, 0], x, maker(len(x)), 10.0)

    return Duel(judged, lambda x: -critic(maker(len(x))).mean(), critic, maker, critic_steps=3, average=0.9)


def test_a_shift_is_found() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(2000, 2, generator=generator) + torch.tensor([1.0, -2.0])
    torch.manual_seed(1)
    maker = Shift()
    config = FitConfig(epochs=60, lr=2e-2, batch_size=100, schedule="cosine", threads=1)
    history = alternate(_duel(mlp([2, 32, 1]), maker), RowBatches(rows, batch_size=100), config, 0)
    assert maker.by.detach().numpy() == pytest.approx([1.0, -2.0], abs=0.3)
    assert len(history.epochs) == 60


def test_divergence_says_where_and_what_to_try() -> None:
    rows = torch.randn(200, 2)
    config = FitConfig(epochs=2, lr=1e-3, batch_size=50, threads=1)
    rows[7, 0] = float("nan")
    with pytest.raises(RunError, match=r"critics is nan at step \d of 8: tensor\(s\) \[0\] of the batch"):
        alternate(_duel(mlp([2, 8, 1]), Shift()), RowBatches(rows, batch_size=50), config, 0)
    with pytest.raises(InputError, match="critic_steps=0"):
        replace(_duel(mlp([2, 8, 1]), Shift()), critic_steps=0)


def test_diversity_punishes_noise_that_changes_nothing_where_the_truth_is_diverse() -> None:
    torch.manual_seed(2)
    noises = torch.randn(4, 3), torch.randn(4, 3)
    rows = torch.randn(4, 6)
    near, far = (rows, rows + 0.01), (rows, rows + 1.0)
    wanted = torch.ones(4)
    assert float(diversity_loss(*near, noises, wanted)) > 20 * float(diversity_loss(*far, noises, wanted))
    assert float(diversity_loss(*near, noises, torch.zeros(4))) == 0.0


def test_mmd_is_small_for_equal_samples_and_spectra_do_not_see_places() -> None:
    torch.manual_seed(3)
    a, b, shifted = torch.randn(400, 2), torch.randn(400, 2), torch.randn(400, 2) + 1
    assert float(mmd(a, b)) < 0.02 < 0.2 < float(mmd(a, shifted))
    voxels = torch.rand(100, 30)
    swapped = voxels[:, torch.randperm(30)]
    assert float(spectrum_mmd(voxels, swapped, 10)) == pytest.approx(0.0, abs=1e-5)
    assert float(spectrum_mmd(voxels, voxels * 3, 10)) > 0.1


def test_all_experts_are_used_and_the_most_diverse_energy_wants_diversity_1() -> None:
    model = make("expert-gan", fit=FitConfig(epochs=8, lr=1e-3, batch_size=64)).fit(toy_showers(1000), seed=1)
    share = model.router(toy_showers(300, 1).energies)
    assert share.shape == (300, 3)
    np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-5)
    assert share.mean(axis=0).min() > 0.05
    wanted = model.wanted(torch.linspace(-2, 2, 50)[:, None])
    assert float(wanted.max()) == 1.0
    assert float(wanted.min()) > 0


def test_voxels_fluctuate_each_for_itself_with_grain_only() -> None:
    showers = toy_showers(300)
    for grain in (True, False):
        model = make("wgan-gp", grain=grain).fit(showers, seed=1, untrained=True)
        _, context = model.rows(showers[:1])
        noise = torch.randn(1, model.generator.noise).expand(200, -1).clone()
        noise[:, model.generator.deep :] = torch.randn(200, model.generator.noise - model.generator.deep)
        made = model.generator(noise, context.expand(200, -1))[:, : showers.geometry.voxels]
        assert bool(made.std(0).max() > 1e-3) == grain


def test_an_untrained_post_processing_changes_nothing() -> None:
    model = make("bib-ae").fit(toy_showers(300), seed=1, untrained=True)
    rows = torch.rand(6, model.scale.mean.shape[0])
    assert torch.equal(model.refine(rows, torch.zeros(6, 1)), rows)


def test_strengths_below_zero_are_refused() -> None:
    with pytest.raises(InputError, match="no strength"):
        make("expert-gan", diversity=-1.0)
