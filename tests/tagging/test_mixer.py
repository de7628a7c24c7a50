"""Subjets are FastJet's, and the mixer mixes particles, asks the subjets, and counts no padding."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.tagging import make
from hepml_nb.tagging.mixer import FEATURES, MixerBlock, MixerConfig, MixerNetwork, subjets
from hepml_nb.testing import toy_jets

JETS = toy_jets(60, seed=3)


def test_subjets_share_the_momentum_and_lie_apart():
    found = subjets(JETS, 0.2).constituents
    for shape in (np.cos, np.sin):
        inside = ak.sum(JETS.constituents.pt * shape(JETS.constituents.dphi), axis=1)
        np.testing.assert_allclose(
            ak.to_numpy(ak.sum(found.pt * shape(found.dphi), axis=1)), inside, rtol=1e-4, atol=1e-2
        )
    i, j = ak.unzip(ak.combinations(found, 2))
    assert ak.all(np.hypot(i.deta - j.deta, i.dphi - j.dphi) > 0.18)  # rapidity and pseudorapidity differ a little
    assert (
        ak.mean(ak.num(subjets(JETS, 0.4).constituents)) < ak.mean(ak.num(found)) < ak.mean(ak.num(JETS.constituents))
    )


def test_tokens_are_particles_then_subjets_hardest_first():
    x = make("mixer", most=12, prongs=3).prepare(JETS)
    assert x.shape == (60, 15, len(FEATURES))
    pt = x[..., FEATURES.index("log_pt")]
    for part in (pt[:, :12], pt[:, 12:]):
        there = np.where(part == 0, -9, part)
        assert (np.diff(there, axis=1) <= 1e-6).all()
    assert (pt[:, 12] >= pt[:, 0] - 1e-5).all()  # the hardest subjet holds at least the hardest particle


def test_padding_particles_and_subjets_are_not_counted():
    torch.manual_seed(0)
    net = MixerNetwork(make("mixer", most=6, prongs=4).config).eval()
    x = torch.from_numpy(make("mixer", most=6, prongs=4).prepare(JETS))
    x[:, 7:] = 0  # one subjet left
    alone = MixerNetwork(make("mixer", most=6, prongs=1).config).eval()
    alone.load_state_dict(net.state_dict())
    torch.testing.assert_close(alone(x[:, :7]), net(x), rtol=1e-4, atol=1e-5)


def test_a_block_mixes_particles_in_one_network_and_features_in_the_other():
    torch.manual_seed(0)
    block = MixerBlock(5, 4, 8, 8)
    x = torch.randn(2, 5, 4)
    moved = x.clone()
    moved[:, 0, 0] += 1.0
    assert ((block(moved) - block(x)).abs().amax((0, 2)) > 0).all()  # every particle hears of it
    for p in block.across[2].parameters():
        torch.nn.init.zeros_(p)
    change = (block(moved) - block(x)).abs().amax((0, 2))
    assert (change[1:] == 0).all()
    assert change[0] > 0


def test_the_subjets_matter():
    torch.manual_seed(0)
    net = MixerNetwork(make("mixer").config).eval()
    x = torch.from_numpy(make("mixer").prepare(JETS))
    other = x.clone()
    other[:, 40:] = other[torch.arange(60).roll(1), 40:]
    assert (net(other) - net(x)).abs().max() > 1e-4


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="multiple of heads"):
        MixerConfig(dim=30)
    with pytest.raises(InputError, match="at least 1"):
        MixerConfig(prongs=0)
