"""Attention is torch's own where the two overlap, dropout keeps mean and share, experts share the rows."""

import pytest
import torch
from torch import nn

from hepml_nb.core import InputError
from hepml_nb.learn.attention import Attention, drop
from hepml_nb.learn.experts import Experts


def test_it_is_torchs_multihead_attention_with_a_bias():
    torch.manual_seed(0)
    ours, theirs = Attention(8, 2).double(), nn.MultiheadAttention(8, 2, batch_first=True).double()
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.project.weight.data, ours.project.bias.data
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, query = torch.randn(3, 5, 8, dtype=torch.float64), torch.randn(3, 1, 8, dtype=torch.float64)
    bias = torch.randn(3, 2, 5, 5, dtype=torch.float64)
    bias[:, :, :, 4] = -torch.inf
    want = theirs(x, x, x, attn_mask=bias.flatten(0, 1), need_weights=False)[0]
    torch.testing.assert_close(ours(x, x, bias), want)
    torch.testing.assert_close(ours(query, x), theirs(query, x, x, need_weights=False)[0])
    weights, _ = ours.weights(x, x, bias)
    torch.testing.assert_close(weights.sum(3), torch.ones_like(weights[..., 0]))
    assert bool((weights[..., 4] == 0).all())
    with pytest.raises(InputError, match="multiple"):
        Attention(8, 3)


def test_dropout_keeps_the_mean_and_repeats_by_seed():
    torch.manual_seed(3)
    x = torch.ones(1001, 100)
    y = drop(x, 0.1)
    assert abs((y == 0).double().mean() - 0.1) < 5 * (0.09 / x.numel()) ** 0.5
    assert abs(y.double().mean() - 1) < 5 * (0.1 / 0.9 / x.numel()) ** 0.5
    torch.manual_seed(3)
    assert torch.equal(drop(x, 0.1), y)
    assert drop(x, 0.0) is x


def test_a_row_is_the_weighted_sum_of_its_experts_and_loads_count_rows():
    torch.manual_seed(0)
    layer, x = Experts(6, 4, experts=5, chosen=2).double().eval(), torch.randn(40, 6, dtype=torch.float64)
    out, load = layer(x)
    logits, which, _ = layer.route(x)
    weights = torch.softmax(logits, 1)
    want = torch.stack([sum(weights[i, c] * layer.experts[which[i, c]](x[i]) for c in range(2)) for i in range(40)])
    torch.testing.assert_close(out, want)
    assert load.tolist() == [int((which == e).sum()) for e in range(5)]


def test_the_expected_load_is_the_mean_over_the_noise_and_has_a_gradient():
    torch.manual_seed(0)
    layer, x = Experts(6, 4, experts=5, chosen=2).double().train(), torch.randn(30, 6, dtype=torch.float64)
    expected, counted = torch.zeros(5), torch.zeros(5)
    for _ in range(400):
        _, which, load = layer.route(x)
        expected += load.detach() / 400
        counted += torch.bincount(which.flatten(), minlength=5) / 400
    torch.testing.assert_close(expected, counted, atol=0.5, rtol=0)
    layer.route(x)[2].var().backward()
    assert float(layer.router.weight.grad.abs().sum()) > 0
    with pytest.raises(InputError, match="fewer than all"):
        Experts(6, 4, experts=2, chosen=2)
