"""PELICAN has the published sizes, all linear maps that permutations leave alone, and Lorentz symmetry."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import n_parameters
from hepml_nb.tagging import make
from hepml_nb.tagging.particles import MOMENTA, particles
from hepml_nb.tagging.pelican import Eq2to2, Pelican, PelicanConfig, PelicanNetwork, Scalars1to2
from hepml_nb.testing import beam_transforms, check_invariance, lorentz_transforms, score_change, toy_jets
from hepml_nb.testing.promises import ConformanceError

VALUES, LENGTHS = (torch.as_tensor(a) for a in particles(toy_jets(80, 5), MOMENTA, 12))


@pytest.fixture(scope="module", params=[True, False], ids=["symmetric", "all maps"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    config = replace(Pelican.configs["small"], symmetric=request.param)
    tagger = make("pelican", config, epochs=3, batch_size=32).fit(toy_jets(600, 1), toy_jets(200, 2))
    assert isinstance(tagger, Pelican)
    assert tagger.model is not None
    return tagger.model


@pytest.mark.parametrize(("wide", "narrow", "published"), [(132, 78, 208_000), (60, 35, 48_000)])
def test_the_networks_of_the_paper_have_their_sizes(wide: int, narrow: int, published: int):
    network = PelicanNetwork(PelicanConfig(wide=wide, narrow=narrow))
    assert n_parameters(network) == pytest.approx(published, rel=0.02)


def test_smaller_ones_round_to_what_is_published():
    assert round(n_parameters(PelicanNetwork(PelicanConfig(wide=25, narrow=15))), -3) == 11_000
    tiny = Pelican.configs["tiny"]
    assert round(n_parameters(PelicanNetwork(tiny)), -3) == 1_000
    assert (tiny.blocks, PelicanConfig().blocks) == (5, 5)
    assert (PelicanConfig().wide, PelicanConfig().narrow) == (60, 35)


def test_scores_are_invariant_when_the_beams_are_transformed_too(network: nn.Module):
    assert check_invariance(network, VALUES, LENGTHS, lorentz_transforms(6)) < 1e-6


def test_fixed_beams_leave_rotations_about_the_beam_only(network: nn.Module):
    check_invariance(network, VALUES, LENGTHS, beam_transforms(4, rapidity=0), references=False)
    for matrices in (beam_transforms(2), lorentz_transforms(2, rapidity=0)):
        with pytest.raises(ConformanceError, match="changes a score"):
            check_invariance(network, VALUES, LENGTHS, matrices, references=False)


def test_single_precision_keeps_the_symmetry_far_less_well(network: nn.Module):
    single = float(score_change(network, VALUES, LENGTHS, lorentz_transforms(1)[0], dtype=torch.float32).max())
    assert 1e-7 < single < 0.5


def test_a_jet_has_one_score_in_any_company(network: nn.Module):
    network, values = copy.deepcopy(network).eval().double(), VALUES.double()
    short = torch.cat([v[:5] for v in values.split(LENGTHS.tolist())])
    mixed = torch.cat([values[: LENGTHS[0]], short[5:10]])
    with torch.inference_mode():
        padded = network(mixed, torch.tensor([int(LENGTHS[0]), 5]))
        torch.testing.assert_close(padded[0], network(values, LENGTHS)[0])
        torch.testing.assert_close(padded[1], network(short, torch.full_like(LENGTHS, 5))[1])


def _maps(x: Tensor) -> list[Tensor]:
    """The 15 maps of a matrix (n, n), as the paper lists them, with means."""
    n = len(x)
    one, eye = torch.ones(n, n).to(x), torch.eye(n).to(x)
    diagonal, columns, rows = x.diagonal(), x.mean(0), x.mean(1)
    trace, total = diagonal.mean(), x.mean()
    return [
        x, x.T, diagonal.diag(), one * diagonal, one * diagonal[:, None],
        columns.diag(), one * columns, one * columns[:, None], rows.diag(), one * rows, one * rows[:, None],
        one * trace, eye * trace, one * total, eye * total,
    ]  # fmt: skip


def _layer(symmetric: bool, inputs: int = 2, outputs: int = 3) -> Eq2to2:
    torch.manual_seed(4)
    layer = Eq2to2(inputs, outputs, 6.0, symmetric=symmetric).double()
    nn.init.normal_(layer.bias)
    nn.init.normal_(layer.diagonal_bias)
    return layer


def _by_hand(layer: Eq2to2, x: Tensor) -> Tensor:
    """What the layer should give for one jet x (inputs, n, n), before the activation."""
    n = x.shape[-1]
    scale = torch.cat([torch.ones(5, len(x)).double(), (n / layer.average) ** layer.alpha])
    w = layer.coefficients()
    maps = torch.stack([torch.stack(_maps(channel)) for channel in x], dim=1) * scale[..., None, None]
    out = torch.einsum("bod,bdij->oij", w, maps) + layer.bias[..., None]
    return out + layer.diagonal_bias[..., None] * torch.eye(n).double()


@pytest.mark.parametrize("padding", [0, 2])
def test_a_layer_is_the_sum_of_fifteen_maps(padding: int):
    layer = _layer(symmetric=False)
    x = torch.randn(2, 5, 5).double()
    mask = torch.arange(5 + padding) < 5
    pairs = (mask[:, None] & mask)[None] if padding else None
    block = nn.functional.pad(x, (0, padding, 0, padding))[:, None]
    found = layer(block, torch.tensor([5.0]).double(), pairs)[:, 0]
    torch.testing.assert_close(found[:, :5, :5], nn.functional.leaky_relu(_by_hand(layer, x)))
    assert not found[:, 5:].any()
    assert not found[:, :, 5:].any()


def test_the_symmetric_layer_is_the_average_of_a_layer_and_its_mirror_image():
    layer = _layer(symmetric=True)
    x = torch.randn(2, 5, 5).double()
    x = x + x.transpose(1, 2)
    found = layer(x[:, None], torch.tensor([5.0]).double())[:, 0]
    out = _by_hand(layer, x)
    torch.testing.assert_close(found, nn.functional.leaky_relu((out + out.transpose(1, 2)) / 2))
    torch.testing.assert_close(found, found.transpose(1, 2))


def test_the_maps_are_independent_and_complete():
    """15 is the number of partitions of four indices, and the rank of what the layer's coefficients reach."""
    rows = []
    basis = torch.eye(16).double().view(16, 1, 4, 4)  # jets of four particles, one for every entry of the matrix
    for b in range(15):
        layer = Eq2to2(1, 1, 4.0).double()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.zero_()
            layer.coefficients.map_in[b] = 1
            layer.coefficients.mix_in.fill_(1)
            rows.append(layer(basis.transpose(0, 1), torch.full((16,), 4.0).double()).flatten())
    assert np.linalg.matrix_rank(torch.stack(rows).numpy()) == 15


@pytest.mark.parametrize("symmetric", [True, False])
def test_layers_commute_with_permutations(symmetric: bool):
    layer, order = _layer(symmetric), torch.randperm(6, generator=torch.Generator().manual_seed(0))
    x, sizes = torch.randn(2, 3, 6, 6).double(), torch.full((3,), 6.0).double()
    x = x + x.transpose(2, 3)
    moved = layer(x[:, :, order][..., order], sizes)
    torch.testing.assert_close(moved, layer(x, sizes)[:, :, order][..., order])
    scalars = Scalars1to2(2, 3, 6.0, symmetric=symmetric).double()
    s = torch.randn(2, 3, 6).double()
    torch.testing.assert_close(scalars(s[..., order], sizes), scalars(s, sizes)[:, :, order][..., order])


def test_labels_need_room_beside_the_dot_products():
    with pytest.raises(InputError, match="labels=10; expected at least 1 and fewer than wide=8"):
        PelicanConfig(wide=8)
