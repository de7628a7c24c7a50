"""Images are in one frame whatever the jet's, hold its momentum, and the networks on them are built as asked."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.tagging import make
from hepml_nb.tagging.image_cnn import CNNNetwork, ImageCNNConfig
from hepml_nb.tagging.images import Pixels, aligned, images, pixelate
from hepml_nb.tagging.vit import ViTConfig, ViTNetwork
from hepml_nb.testing import toy_jets

JETS = toy_jets(80, seed=3)


def per_jet(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values, np.cumsum(lengths) - lengths)


def test_aligned_jets_are_centred_upright_and_heavier_on_the_upper_right():
    (z, x, y), lengths = aligned(JETS, np.float64).values.T, aligned(JETS).lengths
    for moment in (z * x, z * y, z * x * y):
        np.testing.assert_allclose(per_jet(moment, lengths), 0, atol=1e-6)
    assert (per_jet(z * y * y, lengths) >= per_jet(z * x * x, lengths) - 1e-12).all()
    assert (per_jet(z * np.sign(x), lengths) >= 0).all()
    assert (per_jet(z * np.sign(y), lengths) >= 0).all()


@pytest.mark.parametrize("mirror", [1, -1])
def test_moved_turned_and_mirrored_jets_have_the_same_image(mirror: int):
    parts, turn = ak.values_astype(JETS.constituents[["pt", "deta", "dphi"]], np.float64), 0.7
    x = parts.deta * np.cos(turn) - parts.dphi * np.sin(turn) + 0.2
    y = mirror * (parts.deta * np.sin(turn) + parts.dphi * np.cos(turn)) - 0.1
    moved = ak.zip({"pt": parts.pt, "deta": x, "dphi": y, "pdg": JETS.constituents.pdg})
    turned = aligned(ak.with_field(JETS, moved, "constituents"), np.float64).values
    np.testing.assert_allclose(turned, aligned(JETS, np.float64).values, atol=1e-9)


def test_pixels_are_a_histogram_weighted_with_momentum():
    values, lengths = aligned(JETS)
    found = images(JETS, 16, 0.5)
    start = 0
    for n, picture in zip(lengths[:10], found, strict=False):
        z, x, y = values[start : start + n].T
        expected, _, _ = np.histogram2d(y, x, 16, range=[[-0.5, 0.5], [-0.5, 0.5]], weights=z)
        np.testing.assert_allclose(picture, expected, atol=1e-6)
        start += n
    np.testing.assert_allclose(images(JETS, 40, 3.0).sum((1, 2)), 1, rtol=1e-5)


def test_a_particle_outside_is_lost_and_one_alone_lies_in_the_middle():
    values = torch.tensor([[0.6, 0.1, 0.1], [0.4, 0.9, 0.0], [1.0, 0.0, 0.0]])
    pictures = pixelate(values, torch.tensor([2, 1]), 4, 0.8)
    assert pictures.sum((1, 2)).tolist() == pytest.approx([0.6, 1.0])
    alone = ak.with_field(JETS[:1], JETS.constituents[:1, :1], "constituents")
    assert images(alone, 4)[0, 2, 2] == pytest.approx(1.0)


def test_pixels_are_standardised_on_the_training_jets_and_never_blow_up():
    pixels, found = Pixels(16, 0.8), aligned(JETS)
    pixels.fit(found)
    out = pixels(torch.from_numpy(found.values), torch.from_numpy(found.lengths))
    assert out.shape == (80, 1, 16, 16)
    np.testing.assert_allclose(out.mean(0).numpy(), 0, atol=1e-5)
    assert float(out.std(0, correction=0).max()) < 1


def test_the_cnn_is_the_papers_with_its_filters_and_dense_layers():
    built = CNNNetwork(ImageCNNConfig())
    shapes = [tuple(p.shape) for p in built.parameters() if p.ndim > 1]
    assert shapes[:4] == [(128, 1, 4, 4), (64, 128, 4, 4), (64, 64, 4, 4), (64, 64, 4, 4)]
    assert shapes[4:] == [(64, 64 * 10 * 10), (256, 64), (256, 256), (1, 256)]
    x = aligned(JETS[:3])
    assert built(torch.from_numpy(x.values), torch.from_numpy(x.lengths)).shape == (3,)


def test_the_vision_transformer_is_vit_b16():
    with torch.device("meta"):
        n = sum(p.numel() for p in ViTNetwork(ViTConfig()).parameters())
    # ViT-B/16 has 86 M weights (arXiv:2010.11929, table 1); one colour and one output instead of 3 and 1000
    assert n == pytest.approx(86e6, rel=0.02)


def test_attention_maps_add_up_to_one_and_follow_the_networks_own_attention():
    tagger = make("vit", depth=1).fit(JETS, JETS, untrained=True)
    maps = tagger.attention(JETS[:5])  # type: ignore[attr-defined]
    assert maps.shape == (5, 5, 5)
    np.testing.assert_allclose(maps.sum((1, 2)), 1, rtol=1e-5)
    net = tagger.model  # type: ignore[attr-defined]
    x = net._tokens(*(torch.from_numpy(a) for a in tagger.prepare(JETS[:5])))
    block = net.blocks[0]
    attention = block.attention(x)
    torch.testing.assert_close(attention.sum(-1), torch.ones(5, 26))
    expected = attention[:, 0, 1:] / attention[:, 0, 1:].sum(1, keepdim=True)
    np.testing.assert_allclose(maps.reshape(5, 25), expected.detach().numpy(), rtol=1e-4)


def test_blocks_are_those_of_pytorch():
    from hepml_nb.tagging.vit import ViTBlock

    torch.manual_seed(0)
    block, theirs = (
        ViTBlock(12, 3, 20),
        torch.nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, activation="gelu", batch_first=True, norm_first=True),
    )
    names = {
        "self_attn.in_proj_weight": block.qkv.weight, "self_attn.in_proj_bias": block.qkv.bias,
        "self_attn.out_proj.weight": block.out.weight, "self_attn.out_proj.bias": block.out.bias,
        "linear1.weight": block.mlp[0].weight, "linear1.bias": block.mlp[0].bias,
        "linear2.weight": block.mlp[2].weight, "linear2.bias": block.mlp[2].bias,
        "norm1.weight": block.norm1.weight, "norm1.bias": block.norm1.bias,
        "norm2.weight": block.norm2.weight, "norm2.bias": block.norm2.bias,
    }  # fmt: skip
    theirs.load_state_dict(names)
    x = torch.randn(2, 7, 12)
    torch.testing.assert_close(block(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="whole groups"):
        ImageCNNConfig(filters=(8, 8, 8))
    with pytest.raises(InputError, match="multiple of patch"):
        ViTConfig(size=100)
    with pytest.raises(InputError, match="at least 2 pixels"):
        images(JETS, 1)
