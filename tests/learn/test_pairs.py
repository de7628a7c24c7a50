"""Blocks with channels first give what channels last would, padding and all."""

from __future__ import annotations

import torch
from torch import nn

from hepml_nb.learn import ChannelNorm, dense, others


def test_others_are_all_but_oneself():
    found = others(torch.arange(5.0))
    assert [sorted(row) for row in found.tolist()] == [[j for j in range(5) if j != i] for i in range(5)]
    assert others(torch.zeros(3, 1)).shape == (3, 1, 0)


def test_a_linear_layer_works_on_the_first_axis():
    torch.manual_seed(0)
    x = torch.randn(3, 2, 5, 5)
    for linear in (nn.Linear(3, 4), nn.Linear(3, 4, bias=False)):
        torch.testing.assert_close(dense(linear, x).permute(1, 2, 3, 0), linear(x.permute(1, 2, 3, 0)))
    assert dense(nn.Linear(3, 4), torch.zeros(3, 2, 1, 0)).shape == (4, 2, 1, 0)


def test_normalisation_leaves_padding_out_in_training_and_after():
    torch.manual_seed(0)
    norm, plain = ChannelNorm(4), nn.BatchNorm1d(4)
    x, mask = 3 + 2 * torch.randn(4, 2, 5, 5), torch.rand(2, 5, 5) < 0.7
    for _ in range(2):
        found = norm(x, mask)
        torch.testing.assert_close(found[:, mask].T, plain(x[:, mask].T))
        assert not found[:, ~mask].any()
        norm.eval(), plain.eval()
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm(x).flatten(1).T, plain(x.flatten(1).T))


def test_a_block_without_pairs_stays_empty():
    norm = ChannelNorm(4).train()
    assert norm(torch.zeros(4, 3, 1, 0)).shape == (4, 3, 1, 0)
    assert norm(torch.zeros(4, 3, 2, 2), torch.zeros(3, 2, 2, dtype=torch.bool)).shape == (4, 3, 2, 2)
