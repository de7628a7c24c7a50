"""LorentzNet has the published size, computes what its formulae say pair by pair, and respects Lorentz symmetry."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import n_parameters
from hepml_nb.tagging import make
from hepml_nb.tagging.lorentz import beams, jet_block, signed_log
from hepml_nb.tagging.lorentznet import LGEB, LorentzNet, LorentzNetConfig, LorentzNetwork
from hepml_nb.tagging.particles import MOMENTA, particles
from hepml_nb.testing import beam_transforms, check_invariance, lorentz_transforms, score_change, toy_jets
from hepml_nb.testing.promises import ConformanceError

VALUES, LENGTHS = (torch.as_tensor(a) for a in particles(toy_jets(80, 5), MOMENTA, 12))
SMALL = LorentzNet.configs["small"]


def trained(**settings: object) -> nn.Module:
    config = replace(SMALL, **settings)
    tagger = make("lorentznet", config, epochs=3, batch_size=32).fit(toy_jets(600, 1), toy_jets(200, 2))
    assert isinstance(tagger, LorentzNet)
    assert tagger.model is not None
    return tagger.model


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return trained()


def test_the_paper_network_has_224_thousand_parameters():
    assert n_parameters(LorentzNetwork(LorentzNetConfig())) == pytest.approx(224_000, rel=0.02)
    config = LorentzNetConfig()
    assert (config.hidden, config.layers, config.step, config.dropout) == (72, 6, 5e-3, 0.2)


def test_scores_are_invariant_when_the_beams_are_transformed_too(network: nn.Module):
    assert check_invariance(network, VALUES, LENGTHS, lorentz_transforms(6)) < 1e-6


def test_fixed_beams_leave_rotations_about_the_beam_only(network: nn.Module):
    check_invariance(network, VALUES, LENGTHS, beam_transforms(4, rapidity=0), references=False)
    for matrices in (beam_transforms(2), lorentz_transforms(2, rapidity=0)):
        with pytest.raises(ConformanceError, match="changes a score"):
            check_invariance(network, VALUES, LENGTHS, matrices, references=False)


def test_without_beams_all_of_the_group_is_left():
    check_invariance(trained(beams=False), VALUES, LENGTHS, lorentz_transforms(4), references=False)


def test_single_precision_keeps_the_symmetry_far_less_well(network: nn.Module):
    matrix = lorentz_transforms(1)[0]
    single = float(score_change(network, VALUES, LENGTHS, matrix, dtype=torch.float32).max())
    assert 1e-6 < single < 0.5  # a number to know, not a promise: boosted energies grow, masses do not


def test_a_jet_has_one_score_in_any_company(network: nn.Module):
    network, values = copy.deepcopy(network).eval().double(), VALUES.double()
    jets = values.split(LENGTHS.tolist())
    short = torch.cat([v[:5] for v in jets])
    mixed = torch.cat([jets[0], short[5:10]])
    with torch.inference_mode():
        together = network(values, LENGTHS)
        alone = torch.cat([network(v, n[None]) for v, n in zip(jets, LENGTHS, strict=True)])
        padded = network(mixed, torch.tensor([len(jets[0]), 5]))
        expected = network(short, torch.full_like(LENGTHS, 5))
    torch.testing.assert_close(alone, together)
    torch.testing.assert_close(padded, torch.stack([together[0], expected[1]]))


def _loops(block: LGEB, h: Tensor, x: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
    """One jet, pair by pair, as the paper writes it: h (n, hidden), x (n, 4), scalars (n, s)."""
    metric = torch.diag(torch.tensor([1.0, -1.0, -1.0, -1.0], dtype=x.dtype))
    new_h, new_x = [], []
    for i in range(len(x)):
        received, shift = torch.zeros_like(h[i]), torch.zeros_like(x[i])
        for j in range(len(x)):
            if i == j:
                continue
            d = x[i] - x[j]
            pair = signed_log(torch.stack([d @ metric @ d, x[i] @ metric @ x[j]]))
            m = block.edge_norm(block.edge_in(torch.cat([h[i], h[j], pair]))[:, None])[:, 0].relu()
            m = block.edge_out(m).relu()
            m = m * torch.sigmoid(block.gate(m))
            received = received + m
            shift = shift + d * block.vector_out(block.vector_in(m).relu()) / (len(x) - 1)
        node = block.node_norm(block.node_in(torch.cat([h[i], received, scalars[i]]))[:, None])[:, 0].relu()
        new_h.append(h[i] + block.node_out(node))
        new_x.append(x[i] + block.step * shift)
    return torch.stack(new_h), torch.stack(new_x)


@pytest.mark.parametrize("padding", [0, 3])
def test_a_block_computes_what_the_paper_writes(padding: int):
    torch.manual_seed(1)
    block = LGEB(5, 2, 0.1).double().eval()
    for norm in (block.edge_norm, block.node_norm):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    h, x, s = torch.randn(4, 5).double(), 10 * torch.randn(4, 4).double(), torch.randn(4, 2).double()
    with torch.no_grad():
        expected_h, expected_x = _loops(block, h, x, s)
        mask = (torch.arange(4 + padding) < 4)[None] if padding else None
        blocks = [nn.functional.pad(t.T, (0, padding))[:, None] for t in (h, x, s)]
        found_h, found_x = block(*blocks, mask, torch.tensor([4.0]).double())
    torch.testing.assert_close(found_h[:, 0, :4].T, expected_h)
    torch.testing.assert_close(found_x[:, 0, :4].T, expected_x)


def test_references_stand_before_the_particles_and_are_marked():
    values = torch.arange(15.0).view(3, 5)
    jets = jet_block(values, torch.tensor([1, 2]), beams(1.0))
    assert jets.momenta.shape == (2, 4, 4)
    torch.testing.assert_close(jets.momenta[:, :2], beams(1.0).expand(2, 2, 4))
    assert jets.momenta[1, 2:].tolist() == values[1:, :4].tolist()
    assert jets.scalars[0].tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 4], [0, 0, 0]]
    assert jets.mask is not None
    assert jets.mask.tolist() == [[True, True, True, False], [True] * 4]
    assert jets.sizes.tolist() == [3, 4]
    assert jet_block(values[:2], torch.tensor([1, 1])).mask is None


def test_features_are_momenta_then_scalars():
    assert LorentzNetConfig(features=(*MOMENTA, "charge")).features[-1] == "charge"
    for features in (("px", "py", "pz", "e"), (*MOMENTA, "log_pt"), MOMENTA[:3]):
        with pytest.raises(InputError, match="then any of the scalars"):
            LorentzNetConfig(features=features)
    with pytest.raises(InputError, match="did you mean"):
        LorentzNetConfig(features=(*MOMENTA, "charg"))


def test_scalars_reach_the_score():
    config = LorentzNetConfig(hidden=8, layers=2, features=(*MOMENTA, "charge"))
    torch.manual_seed(0)
    network = LorentzNetwork(config).eval()
    with torch.no_grad():
        assert not network(torch.cat([VALUES, VALUES[:, :1]], dim=1), LENGTHS).any()  # it starts without an opinion
        network.decode[-1].weight.normal_()
    charged = torch.cat([VALUES, torch.ones(len(VALUES), 1)], dim=1)
    neutral = torch.cat([VALUES, torch.zeros(len(VALUES), 1)], dim=1)
    with torch.inference_mode():
        assert not torch.allclose(network(charged, LENGTHS), network(neutral, LENGTHS))
