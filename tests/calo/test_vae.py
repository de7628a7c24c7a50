"""What is special about the variational autoencoder of showers: its bound, its latent space, its means."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hepml_nb.calo import make
from hepml_nb.calo.vae import ShowerVae, VaeConfig, elbo_terms
from hepml_nb.core import InputError
from hepml_nb.testing import toy_showers


def test_one_voxel_has_the_likelihood_of_a_hit_and_a_normal_share() -> None:
    torch.manual_seed(0)
    model = ShowerVae(1, 1, VaeConfig(latent=2, hidden=(8,))).double()
    context, noise = torch.zeros(2, 1).double(), torch.zeros(2, 2).double()
    ratios, shares = torch.tensor([[0.3], [0.3]]).double(), torch.tensor([[-0.7], [0.0]]).double()
    hits = torch.tensor([[1.0], [0.0]]).double()
    energies, voxels, divergence = elbo_terms(model, ratios, shares, hits, context, noise)
    mean, log_var = model.encode(ratios, shares, hits, context)
    (centre, width), hit, (share, spread) = model.decode(mean, context)
    expected = -torch.distributions.Normal(centre, width).log_prob(ratios)[:, 0]
    torch.testing.assert_close(energies, expected)
    p = hit[:, 0].sigmoid()
    log_share = torch.distributions.Normal(share, spread).log_prob(shares)[:, 0]
    torch.testing.assert_close(voxels[0], -p[0].log() - log_share[0])
    torch.testing.assert_close(voxels[1], -(1 - p[1]).log())
    posterior = torch.distributions.Normal(mean, (log_var / 2).exp())
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence, kl)


def test_the_bound_lies_below_the_likelihood() -> None:
    """With one latent number the likelihood is an integral that can be done: minus the bound must not lie below it."""
    torch.manual_seed(1)
    model = ShowerVae(2, 3, VaeConfig(latent=1, hidden=(8,))).double()
    ratios, hits = torch.randn(5, 2).double(), (torch.rand(5, 3) < 0.5).double()
    shares, context = torch.randn(5, 3).double() * hits, torch.zeros(5, 1).double()
    grid = torch.linspace(-8, 8, 4001).double()
    total = []
    for i in range(5):
        rows = [value[i : i + 1].expand(len(grid), -1) for value in (ratios, shares, hits, context)]
        mean, log_var = model.encode(*rows)
        noise = (grid[:, None] - mean) / (log_var / 2).exp()  # puts z at the grid
        energies, voxels, _ = elbo_terms(model, *rows, noise)
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid)
        total.append(torch.logsumexp(prior - energies - voxels, 0) + (grid[1] - grid[0]).log())
    draws = [sum(elbo_terms(model, ratios, shares, hits, context, torch.randn(5, 1).double())) for _ in range(4000)]
    bound = -torch.stack(draws).mean(0)
    assert (bound < torch.stack(total) + 0.02).all()


@pytest.fixture(scope="module")
def fitted():
    return make("vae", epochs=12).fit(toy_showers(1200), seed=1)


def test_showers_of_one_point_of_the_latent_space_average_to_its_mean(fitted) -> None:
    energies, z = np.full(2000, 8000.0), np.zeros((2000, 10))
    mean = fitted.decode(z[:1], energies[:1], spread=False)[0]
    drawn = fitted.decode(z, energies, seed=2).mean(axis=0)
    busy = mean > 20  # MeV; normalising a layer after the draw shifts small voxels
    np.testing.assert_allclose(drawn[busy], mean[busy], rtol=0.25)
    assert np.abs(drawn - mean).sum() < 0.15 * mean.sum()


def test_encoded_showers_fill_the_prior(fitted) -> None:
    z = fitted.encode(toy_showers(600, 4))
    assert z.shape == (600, 10)
    assert np.abs(z.mean(axis=0)).max() < 0.5
    assert (z.std(axis=0) < 1.4).all()
    assert z.std(axis=0).max() > 0.5  # at least one number of the latent space is used


def test_layers_are_drawn_as_the_decoder_has_them(fitted) -> None:
    drawn = fitted.sample(np.full(500, 8000.0), seed=3)
    truth = toy_showers(1200)
    near = np.abs(truth.energies - 8000) < 800
    fractions = [(s.layers / np.maximum(s.totals, 1e-9)[:, None]).mean(axis=0) for s in (drawn, truth[near])]
    np.testing.assert_allclose(fractions[0], fractions[1], atol=0.05)


def test_a_latent_space_without_numbers_is_refused() -> None:
    with pytest.raises(InputError, match="positive"):
        VaeConfig(latent=0)
