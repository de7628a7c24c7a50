"""The Energy Flow Network is the paper's, and an energy-weighted sum."""

from __future__ import annotations

import torch

from hepml_nb.learn import n_parameters
from hepml_nb.tagging import make
from hepml_nb.tagging.efn import EFNConfig, EFNNetwork
from hepml_nb.testing import toy_jets


def network(seed: int = 0) -> EFNNetwork:
    torch.manual_seed(seed)
    built = EFNNetwork(make("efn", "small").config).double()
    torch.nn.init.normal_(built.f[-1].weight)
    return built


def jets(n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    x = make("efn").prepare(toy_jets(n, seed=2))
    return torch.from_numpy(x.values).double(), torch.from_numpy(x.lengths)


def test_the_paper_network_is_the_paper_one():
    config = EFNConfig()
    assert (config.phi, config.f) == ((100, 100, 256), (100, 100, 100))
    # 2-100-100-256 and 256-100-100-100-1 with biases; the paper's has two outputs, 101 more
    assert n_parameters(EFNNetwork(config)) == 300 + 10_100 + 25_856 + 25_700 + 2 * 10_100 + 101
    assert (config.fit.lr, config.fit.batch_size, config.standardise, config.most) == (1e-3, 500, False, None)


def test_the_network_is_f_of_the_energy_weighted_filters():
    net, (x, lengths) = network(), jets()
    per_jet = [(p[:, :1] * net.filters(p[:, 1:])).sum(0) for p in x.split(lengths.tolist())]
    torch.testing.assert_close(net(x, lengths), net.f(torch.stack(per_jet))[:, 0])
    assert (net.filters(x[:, 1:]) >= 0).all()


def test_exactly_collinear_and_zero_energy_particles_change_nothing():
    net, (x, lengths) = network(), jets(1)
    halves = torch.cat([x[1:], x[:1] * torch.tensor([0.3, 1, 1]), x[:1] * torch.tensor([0.7, 1, 1])])
    nothing = torch.cat([x, torch.tensor([[0.0, 0.5, -0.3]], dtype=x.dtype)])
    for changed in (halves, nothing):
        torch.testing.assert_close(net(changed, lengths + 1), net(x, lengths), rtol=1e-12, atol=1e-12)


def test_an_untrained_network_says_nothing():
    sample = toy_jets(50)
    assert len(set(make("efn").fit(sample, sample, untrained=True).scores(sample).tolist())) == 1
