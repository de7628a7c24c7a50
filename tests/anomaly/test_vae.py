"""The variational autoencoder: its terms are what they are called, and each can be the score."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from hepml_nb.anomaly import Events, make
from hepml_nb.anomaly.vae import SPREAD
from hepml_nb.core import InputError
from hepml_nb.stats import auc


def line(n, seed, off=0.0):
    g = np.random.default_rng(seed)
    u = g.normal(size=n)
    return Events(
        np.full(n, 3.5),
        np.c_[u + 0.1 * g.normal(size=n), u + off + 0.1 * g.normal(size=n), -u + 0.1 * g.normal(size=n)],
    )


@pytest.fixture(scope="module")
def learnt():
    return {how: make("vae", latent=1, score=how).learn(line(3000, 0)) for how in ("reconstruction", "kl", "loss")}


def test_reconstruction_and_divergence_are_those_of_normal_densities(learnt):
    model, events = learnt["loss"].model, line(50, 1)
    with torch.no_grad():
        y = model.scale(torch.from_numpy(events.features).float())
        mean, log_variance = model.encoder(y).chunk(2, dim=1)
        back, spread = model.decoder(mean).chunk(2, dim=1)
        divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
        likelihood = Normal(back, (spread.clamp(*SPREAD) / 2).exp()).log_prob(y).sum(1) + 1.5 * np.log(2 * np.pi)
    assert learnt["kl"].score(events).shape == (50,)
    expected = -likelihood + model.config.beta * divergence
    assert learnt["loss"].score(events) == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-4)


def test_what_lies_off_the_line_is_found_by_reconstruction(learnt):
    usual, odd = line(1000, 1), line(1000, 2, off=0.8)
    labels = np.r_[np.zeros(1000), np.ones(1000)]
    untrained = make("vae", latent=1).learn(line(3000, 0), untrained=True)
    values = {
        name: auc(labels, np.r_[one.score(usual), one.score(odd)]).value
        for name, one in {**learnt, "untrained": untrained}.items()
    }
    assert values["reconstruction"] > 0.95
    assert values["loss"] > 0.95
    assert values["untrained"] < 0.75


def test_the_divergence_finds_what_is_far_along_the_line(learnt):
    g = np.random.default_rng(3)
    u = np.where(g.random(500) < 0.5, -1, 1) * g.uniform(3, 4, 500)
    far, usual = Events(np.full(500, 3.5), np.c_[u, u, -u]), line(500, 1)
    scores = np.r_[learnt["kl"].score(usual), learnt["kl"].score(far)]
    assert auc(np.r_[np.zeros(500), np.ones(500)], scores).value > 0.95


def test_scores_do_not_draw(learnt):
    events = line(100, 4)
    assert np.array_equal(learnt["reconstruction"].score(events), learnt["reconstruction"].score(events))


def test_bad_input():
    with pytest.raises(InputError, match="score='recontruction' is unknown; did you mean 'reconstruction'"):
        make("vae", score="recontruction")
    with pytest.raises(InputError, match="latent=0"):
        make("vae", latent=0)
