"""ParticleNet has the published size, sees real particles only, and draws its graphs where it should."""

import dataclasses

import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.learn import n_parameters
from hepml_nb.tagging.particlenet import ParticleNet, ParticleNetConfig, ParticleNetNetwork
from hepml_nb.tagging.weaver import particlenet_state
from hepml_nb.testing.toys import toy_jets

TINY = dataclasses.replace(ParticleNet.configs["small"], widths=((4, 5), (6,)), k=4, head=3)


def network(config=TINY, seed=0):
    torch.manual_seed(seed)
    return ParticleNetNetwork(config).double().eval()


def jets(lengths, seed=1):
    x = torch.randn(sum(lengths), 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, torch.tensor(lengths)


def test_the_published_settings_have_the_published_number_of_weights():
    published = 366_160  # arXiv:1902.08570, table 4: 366k, with two outputs
    assert abs(n_parameters(ParticleNetNetwork(ParticleNetConfig())) / published - 1) < 0.02


def test_a_jet_scores_the_same_in_any_company():
    net, (x, lengths) = network(), jets([7, 1, 30, 5])
    together = net(x, lengths)
    alone = torch.cat([net(part, n[None]) for part, n in zip(x.split(lengths.tolist()), lengths, strict=True)])
    torch.testing.assert_close(together, alone)
    order = torch.cat([torch.randperm(n) + s for n, s in ((7, 0), (1, 7), (30, 8), (5, 38))])
    torch.testing.assert_close(net(x[order], lengths), together)


def test_the_first_graph_lies_in_the_plane_and_the_second_does_not():
    net, (x, lengths) = network(), jets([20])
    states = net.states(x, lengths)
    graphs = [net.graph(x, lengths, states[: i + 1]) for i in range(2)]
    moved = x.clone()
    moved[:, 2:] += torch.randn_like(moved[:, 2:])
    again = net.states(moved, lengths)
    first, second = (net.graph(moved, lengths, again[: i + 1]) for i in range(2))
    assert torch.equal(first.sort().values, graphs[0].sort().values)
    assert not torch.equal(second.sort().values, graphs[1].sort().values)


def test_statistics_of_a_training_step_are_those_of_the_particles_alone():
    net, (x, lengths) = network().train(), jets([7, 30])
    net(x, lengths)
    torch.testing.assert_close(net.norm.running_mean, 0.1 * x.mean(0))


def weaver_state(net):
    """Return what weaver-core's network of these sizes calls its weights, with two outputs."""
    out = {f"bn_fts.{k}": v for k, v in net.norm.state_dict().items()}
    for b, block in enumerate(net.blocks):
        convs = [block.first.weight, *(linear.weight for linear in block.rest.maps)]
        out |= {f"edge_convs.{b}.convs.{i}.weight": w[:, :, None, None] for i, w in enumerate(convs)}
        for i, norm in enumerate(block.rest.norms):
            out |= {f"edge_convs.{b}.bns.{i}.{k}": v for k, v in norm.state_dict().items()}
        out[f"edge_convs.{b}.sc.weight"] = block.shortcut.weight[:, :, None]
        out |= {f"edge_convs.{b}.sc_bn.{k}": v for k, v in block.shortcut_norm.state_dict().items()}
    out |= {f"fc.0.0.{k}": v for k, v in net.head[0].state_dict().items()}
    rows = torch.randn(2, net.head[3].weight.shape[1], dtype=torch.float64)
    return out | {"fc.1.weight": rows, "fc.1.bias": torch.tensor([0.5, 2.0], dtype=torch.float64)}


def test_weights_of_weaver_find_their_places():
    source, target, (x, lengths) = network(), network(seed=5), jets([9, 4])
    state = weaver_state(source)
    target.load_state_dict(particlenet_state(state))
    hidden = source.head[:3](torch.stack([s.mean(0) for s in source.states(x, lengths)[-1].split([9, 4])]))
    two = hidden @ state["fc.1.weight"].t() + state["fc.1.bias"]
    torch.testing.assert_close(target(x, lengths), two[:, 1] - two[:, 0])
    with pytest.raises(InputError, match="use_fusion=False"):
        particlenet_state({"fusion_block.0.weight": torch.zeros(1)})


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match=r"lack \['dphi_axis'\]"):
        ParticleNetConfig(features=("deta_axis", "log_pt"))
    with pytest.raises(InputError, match="k=0"):
        ParticleNetConfig(k=0)


def test_a_float64_copy_gives_nearly_the_same_scores():
    sample = toy_jets(64, seed=4)
    tagger = ParticleNet(TINY).fit(sample, sample, untrained=True)
    assert abs(tagger.double().scores(sample) - tagger.scores(sample)).max() < 1e-4
