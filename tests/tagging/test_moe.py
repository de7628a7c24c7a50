"""The mixture-of-experts transformer routes particles, shares the work, and keeps no jet's company in mind."""

import dataclasses

import pytest
import torch
from torch import nn

from hepml_nb.core import InputError
from hepml_nb.tagging.moe import MGT, MGTConfig, MGTNetwork, loss

TINY = dataclasses.replace(MGT.configs["small"], width=8, expert_width=4, experts=4, layers=2)


def network(config=TINY, seed=0):
    torch.manual_seed(seed)
    return MGTNetwork(config).double().eval()


def jets(lengths):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(sum(lengths), 7, generator=generator, dtype=torch.float64), torch.tensor(lengths)


def test_a_jet_scores_the_same_in_any_company_and_order():
    net, (x, lengths) = network(), jets([7, 1, 30, 5])
    together = net(x, lengths)
    alone = torch.cat([net(part, n[None]) for part, n in zip(x.split(lengths.tolist()), lengths, strict=True)])
    torch.testing.assert_close(together, alone)
    order = torch.cat([torch.randperm(n) + s for n, s in ((7, 0), (1, 7), (30, 8), (5, 38))])
    torch.testing.assert_close(net(x[order], lengths), together)


def test_every_particle_goes_to_the_chosen_number_of_experts():
    net, (x, lengths) = network(), jets([12, 20])
    _, loads = net.with_loads(x, lengths)
    assert len(loads) == 2
    assert [int(load.sum()) for load in loads] == [2 * 32, 2 * 32]


def test_the_loss_adds_the_balance_in_training_only():
    net, (x, lengths) = network(), jets([12, 20])
    y = torch.tensor([0.0, 1.0], dtype=torch.float64)
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(net(x, lengths), y)
    torch.testing.assert_close(loss(net, (x, lengths, y)), cross_entropy)
    net.train()
    torch.manual_seed(1)
    logits, loads = net.with_loads(x, lengths)
    want = nn.functional.binary_cross_entropy_with_logits(logits, y)
    want = want + net.balance * sum((load.std() / load.mean()) ** 2 for load in loads) / 2
    torch.manual_seed(1)
    torch.testing.assert_close(loss(net, (x, lengths, y)), want)


def spread(balance):
    """Return the largest share of one expert after 60 steps with this weight, from a router that prefers one."""
    net, (x, lengths) = network(dataclasses.replace(TINY, balance=balance)), jets([40] * 8)
    y = (torch.arange(8) % 2).double()
    with torch.no_grad():
        for encoder in net.encoders:
            encoder.after_attention.bias += 0.5
            encoder.experts.router.weight[0] += 0.5
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    net.train()
    for _ in range(60):
        optimizer.zero_grad()
        loss(net, (x, lengths, y)).backward()
        optimizer.step()
    _, loads = net.eval().with_loads(x, lengths)
    return max(float((load / load.sum()).std()) for load in loads)


def test_balancing_spreads_the_particles_over_the_experts():
    assert spread(1.0) < 0.7 * spread(0.0)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="balance=-1"):
        MGTConfig(balance=-1)
    with pytest.raises(InputError, match="fewer than all"):
        MGTNetwork(MGTConfig(experts=2))
