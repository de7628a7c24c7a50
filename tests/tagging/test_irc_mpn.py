"""Messages are weighted by energy, go to neighbours only, and know nothing of soft or collinear particles."""

from __future__ import annotations

import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.tagging import make
from hepml_nb.tagging.irc_mpn import EnergyWeightedMessages, IRCMPNConfig, IRCMPNNetwork, neighbour_weights
from hepml_nb.testing import toy_jets


def network(**changes: object) -> IRCMPNNetwork:
    torch.manual_seed(1)
    built = IRCMPNNetwork(make("irc-mpn", **changes).config).double()
    torch.nn.init.normal_(built.f[-1].weight)
    return built


def jets(n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    x = make("irc-mpn", most=None).prepare(toy_jets(n, seed=2))
    return torch.from_numpy(x.values).double(), torch.from_numpy(x.lengths)


def test_weights_are_shares_of_the_neighbourhood():
    z = torch.tensor([[0.5, 0.3, 0.2, 0.9]])
    angles = torch.tensor([[[0.0, 0.0], [0.2, 0.0], [0.5, 0.0], [0.0, 0.0]]])
    mask = torch.tensor([[True, True, True, False]])
    expected = torch.tensor([[0.625, 0.375, 0, 0], [0.625, 0.375, 0, 0], [0, 0, 1, 0]])
    torch.testing.assert_close(neighbour_weights(z, angles, mask, 0.25)[0, :3], expected)


def test_messages_are_sums_over_pairs():
    torch.manual_seed(0)
    layer = EnergyWeightedMessages(2, (5, 3))
    h, weights = torch.randn(1, 4, 2), torch.rand(1, 4, 4)
    weights = weights / weights.sum(-1, keepdim=True)
    phi = [[layer.out(torch.relu(layer.here(h[0, i]) + layer.there(h[0, j]))) for j in range(4)] for i in range(4)]
    expected = torch.stack([sum(weights[0, i, j] * phi[i][j] for j in range(4)) for i in range(4)])
    torch.testing.assert_close(layer(h, weights)[0], expected)


def test_exactly_collinear_and_zero_energy_particles_change_nothing():
    net, (x, lengths) = network(), jets(1)
    halves = torch.cat([x[1:], x[:1] * torch.tensor([0.3, 1, 1]), x[:1] * torch.tensor([0.7, 1, 1])])
    nothing = torch.cat([x, torch.tensor([[0.0, 0.05, -0.03]], dtype=x.dtype)])
    for changed in (halves, nothing):
        torch.testing.assert_close(net(changed, lengths + 1), net(x, lengths), rtol=1e-12, atol=1e-12)


def test_neither_padding_nor_order_changes_a_score():
    net, (x, lengths) = network(), jets()
    alone = torch.cat([net(p, torch.tensor([len(p)])) for p in x.split(lengths.tolist())])
    turned = torch.cat([p.flip(0) for p in x.split(lengths.tolist())])
    torch.testing.assert_close(net(x, lengths), alone)
    torch.testing.assert_close(net(turned, lengths), alone)


def test_a_radius_beyond_the_jet_makes_one_neighbourhood_and_a_tiny_one_none():
    (x, lengths), wide, narrow = jets(1), network(radius=9.0), network(radius=1e-9)
    z, angles, mask = x[None, :, 0], x[None, :, 1:], torch.ones(1, len(x), dtype=torch.bool)
    torch.testing.assert_close(neighbour_weights(z, angles, mask, wide.radius)[0], z / z.sum() + 0 * z.T)
    torch.testing.assert_close(neighbour_weights(z, angles, mask, narrow.radius)[0], torch.eye(len(x), dtype=x.dtype))
    assert torch.isfinite(narrow(x, lengths)).all()


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="radius above 0"):
        IRCMPNConfig(radius=0.0)
    with pytest.raises(InputError, match="two widths"):
        IRCMPNConfig(widths=(64,))
