"""Normalised autoencoders: chains draw from the density they should, and simple outliers are no longer overlooked."""

import numpy as np
import pytest
import torch

from hepml_nb.anomaly import Events, make
from hepml_nb.anomaly.langevin import ChainConfig, Replay, langevin
from hepml_nb.anomaly.nae import energy_difference, transport_cost
from hepml_nb.core import InputError
from hepml_nb.stats import auc


def ring(n, seed):
    """Events on a ring: its middle is empty, but a plain autoencoder reconstructs it as well as the ring."""
    g = np.random.default_rng(seed)
    angle, radius = g.uniform(0, 2 * np.pi, n), 1 + 0.08 * g.normal(size=n)
    return Events(np.full(n, 3.5), np.c_[radius * np.cos(angle), radius * np.sin(angle), 0.2 * g.normal(size=n)])


def middle(n, seed):
    return Events(np.full(n, 3.5), 0.15 * np.random.default_rng(seed).normal(size=(n, 3)))


def found(method):
    labels = np.r_[np.zeros(1000), np.ones(1000)]
    return auc(labels, np.r_[method.score(ring(1000, 1)), method.score(middle(1000, 2))]).value


@pytest.mark.parametrize("name", ["nae", "wnae"])
def test_simple_outliers_that_an_autoencoder_overlooks_are_found(name):
    events = ring(3000, 0)
    plain = make("autoencoder").learn(events)
    assert found(plain) < 0.75
    assert found(make(name).learn(events, untrained=True)) < 0.2  # nearer to the mean than any event of the ring
    method = make(name).learn(events)
    assert found(method) > 0.9
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = method.model.on_manifold(500) if name == "nae" else method.model.persistent(500)
    drawn = y * method.model.scale.scale + method.model.scale.mean
    radius = drawn[:, :2].norm(dim=1)
    assert (radius < 0.5).float().mean() < 0.2  # of points spread over the range, a fifth would be there


def test_langevin_draws_from_the_boltzmann_density():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chain = ChainConfig(steps=400, noise=0.1, temperature=0.25)
        x = langevin(torch.zeros(4000, 1), lambda x: x.square().sum(1) / 2, chain)
    assert x.var().item() == pytest.approx(0.25, rel=0.1)  # E = x^2 / 2 at T: variance T
    assert not x.requires_grad


def test_the_gradient_goes_through_the_chain():
    weight = torch.tensor(2.0, requires_grad=True)
    start, chain = torch.randn(50, 2), ChainConfig(steps=3, noise=0.1, temperature=0.1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        y = langevin(start, lambda x: weight * x.square().sum(1) / 2, chain, differentiable=True)
    (slope,) = torch.autograd.grad(y.square().mean(), weight)
    assert slope.item() < 0  # a steeper energy brings chains nearer to its minimum


def test_transport_is_the_best_matching():
    x = torch.tensor([[0.0], [1.0], [5.0]], requires_grad=True)
    y = torch.tensor([[5.5], [0.0], [1.0]])
    cost = transport_cost(x, y)
    assert cost.item() == pytest.approx(0.25 / 3)
    cost.backward()
    assert x.grad is not None
    assert x.grad[:, 0].tolist() == pytest.approx([0, 0, -1 / 3])


def test_the_energy_difference_is_the_gradient_of_the_likelihood():
    """On a grid, where the normalisation is a sum: d(-T log p) = d(mean E(data) - mean E under the model)."""
    grid, data = torch.linspace(-4, 4, 2001), torch.tensor([0.3, -1.0, 0.7])
    width = torch.tensor(0.8, requires_grad=True)
    temperature = 0.5

    def energy(x):
        return width * x.square()

    log_z = torch.logsumexp(-energy(grid) / temperature, 0)
    (exact,) = torch.autograd.grad(energy(data).mean() + temperature * log_z, width)
    probability = torch.softmax(-energy(grid) / temperature, 0).detach()
    draws = grid[torch.multinomial(probability, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))]
    (ours,) = torch.autograd.grad(energy_difference(energy(data), energy(draws)), width)
    assert ours.item() == pytest.approx(exact.item(), abs=0.01)


def test_replay_goes_on_where_chains_ended():
    replay, new = Replay(size=3, again=1.0), torch.zeros(4, 2)
    assert torch.equal(replay.start(new), new)
    replay.keep(torch.arange(10.0).reshape(5, 2))
    assert replay.points is not None
    assert replay.points[:, 0].tolist() == [4, 6, 8]  # the last three
    assert replay.start(new).min() >= 4


def test_bad_input():
    with pytest.raises(InputError, match="steps=0"):
        ChainConfig(steps=0)
    with pytest.raises(InputError, match="again=2"):
        Replay(again=2)
    with pytest.raises(InputError, match="the same"):
        transport_cost(torch.zeros(3, 2), torch.zeros(4, 2))
