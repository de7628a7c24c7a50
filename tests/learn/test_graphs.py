"""Neighbours agree with all distances computed one by one, EdgeConv with the sum over its edges."""

import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.learn.graphs import EdgeConv, nearest

LENGTHS = torch.tensor([9, 1, 5, 3])


def points(features=2):
    return torch.randn(int(LENGTHS.sum()), features, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_the_nearest_of_the_same_set_are_found():
    x, start = points(), 0
    table = nearest(x, LENGTHS, 4)
    for n in LENGTHS.tolist():
        distance = torch.cdist(x[start : start + n], x[start : start + n]).fill_diagonal_(torch.inf)
        for row in range(n):
            want = set((distance[row].argsort()[: min(4, n - 1)] + start).tolist())
            got = table[start + row].tolist()
            assert {j for j in got if j < len(x)} == want
            assert got.count(len(x)) == 4 - len(want)  # nobody
        start += n


def test_ties_fall_alike_whatever_else_is_in_the_batch():
    cross = torch.tensor([[0.0, 0.0], [1, 0], [-1, 0], [0, 1], [0, -1], [0, 0]])
    alone = nearest(cross, torch.tensor([6]), 3)
    assert alone[0].sort().values.tolist() == [1, 2, 5]  # the coincident one, then the first in their order
    among = nearest(torch.cat([cross, torch.randn(40, 2)]), torch.tensor([6, 40]), 3)
    torch.testing.assert_close(among[:6].sort().values, alone.sort().values)


def by_hand(layer, x, table):
    padded = torch.cat([x, torch.zeros_like(x[:1])])
    pairs = torch.cat([x[:, None].expand(-1, table.shape[1], -1), padded[table] - x[:, None]], dim=2)
    y = pairs.flatten(0, 1) @ layer.first.weight.t()
    for i, norm in enumerate(layer.rest.norms):
        y = torch.relu(norm(layer.rest.maps[i - 1](y) if i else y))
    y = y.view(len(x), table.shape[1], -1).mean(1)
    return torch.relu(y + (layer.shortcut_norm(layer.shortcut(x)) if layer.shortcut is not None else x))


@pytest.mark.parametrize("features", [3, 8])
def test_edge_convolution_is_the_mean_over_edges(features):
    torch.manual_seed(0)
    layer, x = EdgeConv(features, (6, 8), 4).double().eval(), points(features)
    table = nearest(x, LENGTHS, 4)
    torch.testing.assert_close(layer(x, table), by_hand(layer, x, table))


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="at least 1"):
        nearest(points(), LENGTHS, 0)
    with pytest.raises(InputError, match="add up"):
        nearest(points(), LENGTHS + 1, 2)
    with pytest.raises(InputError, match="4096"):
        nearest(torch.zeros(4096, 1), torch.tensor([4096]), 2)
