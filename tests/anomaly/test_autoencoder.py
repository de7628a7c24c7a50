"""Principal components and autoencoders: what they lose is found, and what is as simple as the events is not."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from hepml_nb.anomaly import Events, make
from hepml_nb.anomaly.autoencoder import Autoencoder, Pca
from hepml_nb.core import InputError, RunError
from hepml_nb.stats import auc


def sheet(n, seed, off=0.0):
    """Events near a curved surface in three dimensions; off moves them away from it."""
    g = np.random.default_rng(seed)
    u, v = g.normal(size=(2, n))
    return Events(np.full(n, 3.5), np.c_[u, v, u * v + off + 0.05 * g.normal(size=n)], ("u", "v", "w"))


def found(method, usual, odd):
    labels = np.r_[np.zeros(len(usual)), np.ones(len(odd))]
    return auc(labels, np.r_[method.score(usual), method.score(odd)]).value


def test_pca_is_that_of_scikit_learn():
    events, others = sheet(500, 0), sheet(100, 1, off=1.0)
    mean, scale = events.features.mean(axis=0), events.features.std(axis=0)
    theirs = PCA(2).fit((events.features - mean) / scale)
    x = (others.features - mean) / scale
    lost = np.square(x - theirs.inverse_transform(theirs.transform(x))).mean(axis=1)
    assert Pca().learn(events).score(others) == pytest.approx(lost, rel=1e-6)


def test_what_lies_off_the_surface_is_found_by_the_autoencoder_alone():
    events, usual, odd = sheet(4000, 0), sheet(1000, 1), sheet(1000, 2, off=1.0)
    learnt, untrained = (make("autoencoder").learn(events, untrained=how) for how in (False, True))
    assert found(learnt, usual, odd) > 0.9
    assert found(untrained, usual, odd) < 0.7
    assert found(make("pca").learn(events), usual, odd) < 0.75  # the surface is curved


def test_the_error_is_the_mean_square_of_what_is_lost():
    events = sheet(200, 0)
    method = Autoencoder(Autoencoder.configs["small"]).learn(events, untrained=True)
    with torch.no_grad():
        y = method.model.scale(torch.from_numpy(events.features).float())
        back = method.model.decoder(method.model.encoder(y))
    assert method.score(events) == pytest.approx(((y - back) ** 2).mean(1).numpy(), rel=1e-5)


def test_a_search_learns_from_the_sideband_only():
    events = sheet(900, 0)
    mjj = np.random.default_rng(0).uniform(3, 4, 900)
    inside = (mjj > 3.3) & (mjj < 3.7)
    side = Events(mjj[~inside], events.features[~inside])
    region = Events(mjj[inside], events.features[inside])
    moved = Events(region.mjj, region.features + 5.0)
    scores = [make("pca").fit(side, other).score(region) for other in (region, moved)]
    assert np.array_equal(*scores)
    assert np.array_equal(scores[0], make("pca").learn(side).score(region))


@pytest.mark.parametrize("name", ["pca", "autoencoder"])
def test_bad_input(name):
    events = sheet(200, 0)
    with pytest.raises(InputError, match="expected 1 to 2: a bottleneck"):
        make(name, latent=3).learn(events)
    with pytest.raises(InputError, match="40 events"):
        make(name).learn(events[:40])
    with pytest.raises(InputError, match="'w' is the same"):
        make(name).learn(Events(events.mjj, events.features * [1, 1, 0], events.names))
    with pytest.raises(RunError, match="fitted"):
        make(name).score(events)
    with pytest.raises(InputError, match="columns u, v; expected"):
        make(name).learn(events, untrained=True).score(events.only("u", "v"))
