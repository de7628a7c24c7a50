"""Tests of token models: probabilities that add up, no look ahead, a source of known entropy, and bins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from hepml_nb import anomaly
from hepml_nb.anomaly.next_token import STOP, MaskedTokenNetwork, NextTokenNetwork, TokenConfig, Tokens
from hepml_nb.core import InputError, rng
from hepml_nb.learn import FitConfig, SetBatches, fit
from hepml_nb.testing import toy_jets

_TINY = TokenConfig(bins=2, width=16, heads=2, blocks=2, passes=3, most=12)
_ALL = list(itertools.product(range(STOP), range(2), range(2), range(2)))  # every token but the stop


def _network(cls: type[NextTokenNetwork] = NextTokenNetwork, config: TokenConfig = _TINY) -> NextTokenNetwork:
    torch.manual_seed(3)
    network = cls(config).eval().requires_grad_(requires_grad=False)
    for head in network.heads:
        torch.nn.init.normal_(head.weight)
    return network


def _random(jets: int, n: int, seed: int = 0) -> torch.Tensor:
    generator = rng(seed, "tokens")
    return torch.from_numpy(np.stack([generator.integers(m, size=(jets, n)) for m in (STOP, 2, 2, 2)], -1))


def test_probabilities_of_the_next_token_add_up_to_one():
    network, before = _network(), _random(1, 2)
    tokens = torch.cat([before.expand(len(_ALL), 2, 4), torch.tensor(_ALL)[:, None]], 1)
    surprises, _ = network.surprises(tokens, torch.ones(len(_ALL), 3, dtype=torch.bool))
    stops, asked = network.surprises(before, torch.ones(1, 2, dtype=torch.bool))
    assert asked.tolist() == [[True, True, True]]
    total = torch.exp(-surprises[:, 2]).sum() + torch.exp(-stops[0, 2])
    assert total.item() == pytest.approx(1, abs=1e-5)
    assert torch.exp(-surprises[:, 2]).std() > 1e-4


@pytest.mark.parametrize("place", [0, 4, 7])
def test_probabilities_of_a_hidden_token_add_up_to_one(place: int):
    network = _network(MaskedTokenNetwork)
    network.heads[0].bias[STOP] = -30  # no token that is there is a stop
    tokens = _random(1, 8).repeat(len(_ALL), 1, 1)
    tokens[:, place] = torch.tensor(_ALL)  # were the network to see what it guesses, they would not add up
    surprises, asked = network.surprises(tokens, torch.ones(len(_ALL), 8, dtype=torch.bool))
    assert bool(asked.all())
    assert torch.exp(-surprises[:, place]).sum().item() == pytest.approx(1, abs=1e-5)


def test_a_later_particle_does_not_change_what_was_said_before():
    network, tokens = _network(), _random(20, 8)
    there = torch.ones(20, 8, dtype=torch.bool)
    changed = tokens.clone()
    changed[:, 5, 1] = 1 - changed[:, 5, 1]
    before, after = (network.surprises(t, there)[0] for t in (tokens, changed))
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 6:] - after[:, 6:]).abs().max(1).values.min() > 1e-4


def test_surprise_is_the_chain_of_softmaxes():
    network, tokens = _network(), _random(1, 4)
    x = torch.cat([network.unknown[None], network.embedded(tokens)[0]])[None]
    total = 0.0
    for place in range(4):
        later = torch.full((place + 1, place + 1), -torch.inf).triu(1)
        state = network.states(x[:, : place + 1], later)[0, -1]
        for i in range(4):
            p = torch.softmax(network.heads[i](torch.nn.functional.gelu(state)), 0)
            total -= torch.log(p[tokens[0, place, i]]).item()
            state = state + network.embed[i].weight[tokens[0, place, i]]
    surprises, _ = network.surprises(tokens, torch.ones(1, 4, dtype=torch.bool))
    assert surprises[0, :4].sum().item() == pytest.approx(total, rel=1e-5)


def test_jets_that_were_cut_have_no_stop():
    network, tokens = _network(), _random(2, 12)
    there = torch.arange(12) < torch.tensor([[12], [7]])
    surprises, asked = network.surprises(tokens, there)
    assert asked.sum(1).tolist() == [12, 8]
    assert bool((surprises[~asked] == 0).all())
    assert bool((surprises[asked] > 0).all())


def test_score_is_mean_or_sum_of_the_surprises_and_loss_their_mean():
    jets = toy_jets(100, 2)
    method = anomaly.make_jet("next-token").learn(jets, untrained=True)
    for head in method.model.heads:
        torch.nn.init.normal_(head.weight)
    values, lengths, classes = method._rows(jets, np.zeros(100, np.int64))
    surprises, asked = method.model.surprises(*method.model.block(values, lengths))
    mean = (surprises.sum(1) / asked.sum(1)).detach().numpy()
    assert method.score(jets) == pytest.approx(mean, rel=1e-4)
    assert method.model.loss(values, lengths, classes).item() == pytest.approx(
        (surprises.sum() / asked.sum()).item(), rel=1e-5
    )
    method.model.config = TokenConfig(score="sum", most=30)
    assert method.score(jets) == pytest.approx(surprises.sum(1).detach().numpy(), rel=1e-4)


def _chain(n: int, length: int, stay: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences of charged particles and photons that follow a Markov chain, as values, and their true -log2 p."""
    generator = rng(seed, "chain")
    moves = generator.random((n, length)) > stay
    moves[:, 0] = generator.random(n) > 0.5
    photon = np.cumsum(moves, 1) % 2
    bits = np.where(moves, -np.log2(1 - stay), -np.log2(stay))
    bits[:, 0] = 1.0
    values = np.zeros((n, length, 8), np.float32)
    values[..., 3], values[..., 4] = 1 - photon, photon
    return torch.from_numpy(values.reshape(-1, 8)), torch.from_numpy(bits)


def test_a_markov_chain_is_learnt_down_to_its_entropy():
    n, length, stay = 2000, 12, 0.9
    torch.manual_seed(0)
    network = NextTokenNetwork(_TINY)
    lengths, classes = torch.full((n,), length), torch.zeros(n, dtype=torch.int64)
    train, val = (SetBatches(_chain(n, length, stay, s)[0], lengths, classes, batch_size=64) for s in (0, 1))
    config = FitConfig(epochs=5, lr=1e-2, patience=None, threads=1)
    fit(network, lambda net, batch: net.loss(*batch), train, val, config)
    values, bits = _chain(n, length, stay, 2)
    with torch.no_grad():
        got = network.unusual(values, lengths).double() / np.log(2)
    entropy = -(stay * np.log2(stay) + (1 - stay) * np.log2(1 - stay))
    expected = (1 + (length - 1) * entropy) / length
    error = float(got.std()) / np.sqrt(n)
    assert float(got.mean()) == pytest.approx(expected, abs=3 * error + 0.01)
    assert -0.002 < float((got - bits.mean(1)).mean()) < 0.01  # nobody beats the truth on the same jets by much
    assert np.corrcoef(got, bits.mean(1))[0, 1] > 0.99


@pytest.mark.parametrize("spacing", ["even", "quantiles"])
def test_tokens_decode_to_within_half_a_bin(spacing: str):
    generator = rng(0, "values")
    values = torch.from_numpy(generator.normal(size=(5000, 8)).astype(np.float32))
    values[:, 3:] = torch.nn.functional.one_hot(torch.from_numpy(generator.integers(5, size=5000)), 5)
    tokens = Tokens(20, spacing)
    tokens.fit(values)
    found = tokens.encode(values)
    assert torch.equal(found[:, 0], 1 + values[:, 3:].argmax(1))
    widths = tokens.edges.diff(dim=1)
    inside = (values[:, :3] > tokens.edges[:, 0]) & (values[:, :3] < tokens.edges[:, -1])
    half = torch.stack([widths[i][found[:, 1 + i]] for i in range(3)], 1) / 2
    assert inside.float().mean() > 0.99
    assert bool(((tokens.decode(found) - values[:, :3]).abs() <= half * 1.001)[inside].all())
    counts = torch.bincount(found[:, 1], minlength=20)
    assert (counts.max() < 1.05 * counts.min()) == (spacing == "quantiles")
    far = torch.full((1, 8), 1e3)
    assert tokens.encode(far)[0, 1:].tolist() == [19, 19, 19]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"bins": 1}, "bins=1"),
        ({"most": None}, "most=None"),
        ({"score": "max"}, "score='max'"),
        ({"spacing": "quantile"}, "quantiles"),
        ({"passes": 1}, "passes=1"),
    ],
)
def test_bad_configurations(wrong: dict[str, object], says: str):
    with pytest.raises(InputError, match=says):
        TokenConfig(**wrong)
