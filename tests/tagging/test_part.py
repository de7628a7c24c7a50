"""The Particle Transformer has the published size, the pairs' physics, and its ablation none of it."""

import dataclasses
import math

import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.learn import n_parameters
from hepml_nb.tagging.part import ParT, ParTConfig, ParTNetwork, PlainTransformer, pair_features
from hepml_nb.tagging.weaver import part_state
from hepml_nb.testing.toys import toy_jets

TINY = dataclasses.replace(ParT.configs["small"], embed=(6, 8), heads=2, blocks=2, class_blocks=1, pairs=(5, 4))


def network(config=TINY, seed=0):
    torch.manual_seed(seed)
    return ParTNetwork(config).double().eval()


def momenta(n, seed=1):
    g = torch.Generator().manual_seed(seed)
    pt, eta, phi = (torch.rand(3, n, generator=g, dtype=torch.float64) + torch.tensor([[0.1], [-0.5], [-0.5]])).unbind()
    p = torch.stack([pt * eta.cosh(), pt * phi.cos(), pt * phi.sin(), pt * eta.sinh()], 1) * 50
    return p, pt * 50, eta, phi


def jets(lengths):
    p = momenta(sum(lengths))[0]
    x = torch.randn(len(p), 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return torch.cat([x, p], 1), torch.tensor(lengths)


def test_the_published_settings_have_the_published_number_of_weights():
    published = 2.14e6  # arXiv:2202.03772, table 2
    assert abs(n_parameters(ParTNetwork(ParTConfig())) / published - 1) < 0.02
    plain = n_parameters(ParTNetwork(PlainTransformer.configs["paper"]))
    assert abs(plain / 2.13e6 - 1) < 0.02  # "ParT (plain)" there


def test_pair_features_are_those_of_massless_particles():
    p, pt, eta, phi = momenta(2)
    dr, soft = math.hypot(eta[0] - eta[1], phi[0] - phi[1]), float(pt.min())
    m2 = 2 * float(pt[0] * pt[1]) * (math.cosh(eta[0] - eta[1]) - math.cos(phi[0] - phi[1]))
    want = [math.log(v) for v in (soft * dr, soft / float(pt.sum()), dr, m2)]
    torch.testing.assert_close(pair_features(p[0], p[1]), torch.tensor(want, dtype=torch.float64))
    across = pair_features(*momenta(1)[0].new_tensor([[5, -4, 3e-9, 3], [5, -4, -3e-9, 3]]))  # phi = pi and -pi
    assert float(across[2]) < math.log(1e-8) + 1e-6
    assert bool(torch.isfinite(pair_features(p[0], p[0])).all())  # a particle with itself


def test_a_jet_scores_the_same_in_any_company_and_order():
    net, (x, lengths) = network(), jets([7, 1, 30, 5])
    together = net(x, lengths)
    alone = torch.cat([net(part, n[None]) for part, n in zip(x.split(lengths.tolist()), lengths, strict=True)])
    torch.testing.assert_close(together, alone)
    order = torch.cat([torch.randperm(n) + s for n, s in ((7, 0), (1, 7), (30, 8), (5, 38))])
    torch.testing.assert_close(net(x[order], lengths), together)


def test_the_bias_is_symmetric_and_boosts_along_the_beam_do_not_change_it():
    net, (x, _) = network(), jets([6, 4])
    p, mask = x[:, 7:].unflatten(0, (2, 5)), torch.ones(2, 5, dtype=torch.bool)
    bias = net.pairs(p, mask)
    torch.testing.assert_close(bias, bias.transpose(2, 3))
    c, s = math.cosh(0.7), math.sinh(0.7)
    e, px, py, pz = p.unbind(2)
    torch.testing.assert_close(net.pairs(torch.stack([c * e + s * pz, px, py, c * pz + s * e], 2), mask), bias)


def test_padding_leaves_the_statistics_of_a_training_step_alone():
    net, (x, lengths) = network().train(), jets([3, 9])
    net(x, lengths)
    pairs = []
    for part in x[:, 7:].split([3, 9]):
        i, j = torch.tril_indices(len(part), len(part))
        pairs.append(pair_features(part[i], part[j]))
    torch.testing.assert_close(net.pairs.norm.running_mean, 0.1 * torch.cat(pairs).mean(0))
    torch.testing.assert_close(net.norm.running_mean, 0.1 * x[:, :7].mean(0))


def test_the_ablation_sees_no_momenta():
    sample = toy_jets(20, seed=4)
    assert PlainTransformer().prepare(sample).values.shape[1] == 7
    assert ParT().prepare(sample).values.shape[1] == 11
    assert ParTNetwork(PlainTransformer.configs["small"]).pairs is None


def weaver_state(net):
    """Return what weaver-core's network of these sizes calls its weights, with two outputs."""
    names = {
        "before.": "pre_attn_norm.", "after.": "post_attn_norm.", "attention.project.": "attn.in_proj.",
        "attention.out.": "attn.out_proj.", "before_wide.": "pre_fc_norm.", "after_wide.": "post_fc_norm.",
        "wide.": "fc1.", "narrow.": "fc2.", "head_scale": "c_attn", "residual_scale": "w_resid",
    }  # fmt: skip
    out = {f"embed.input_bn.{k}": v for k, v in net.norm.state_dict().items()}
    out |= {f"embed.embed.{k}": v for k, v in net.embed.state_dict().items()}
    for mine, theirs in (("blocks", "blocks"), ("class_blocks", "cls_blocks")):
        for k, v in getattr(net, mine).state_dict().items():
            number, _, rest = k.partition(".")
            old = next(name for name in names if rest.startswith(name))
            out[f"{theirs}.{number}.{names[old]}{rest[len(old) :]}"] = v
    out |= {f"pair_embed.embed.0.{k}": v for k, v in net.pairs.norm.state_dict().items()}
    for i, linear in enumerate([net.pairs.first, *net.pairs.rest.maps]):
        out[f"pair_embed.embed.{3 * i + 1}.weight"] = linear.weight[:, :, None]
        out[f"pair_embed.embed.{3 * i + 1}.bias"] = torch.full_like(linear.weight[:, 0], 0.25)
        norm = {f"pair_embed.embed.{3 * i + 2}.{k}": v for k, v in net.pairs.rest.norms[i].state_dict().items()}
        out |= {k: v + 0.25 if k.endswith("running_mean") else v for k, v in norm.items()}
    out |= {"cls_token": net.token[None, None], "norm.weight": net.head[0].weight, "norm.bias": net.head[0].bias}
    two = torch.stack([torch.zeros_like(net.head[1].weight[0]), net.head[1].weight[0]])
    return out | {"fc.0.weight": two + 1, "fc.0.bias": torch.stack([-net.head[1].bias[0], torch.zeros(())]).double()}


def test_weights_of_weaver_find_their_places():
    source, target, (x, lengths) = network(), network(seed=5), jets([9, 4])
    target.load_state_dict(part_state(weaver_state(source)))
    torch.testing.assert_close(target(x, lengths), source(x, lengths))
    with pytest.raises(InputError, match="version 1"):
        part_state({"fc.1.weight": torch.zeros(1)})


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="heads divide"):
        ParTConfig(embed=(128, 30))
    with pytest.raises(InputError, match="'log_p' is unknown"):
        ParTConfig(features=("log_p",))
