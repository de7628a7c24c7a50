"""The distance of two states is the Euclidean one, and the clusters are those of k-means and k-medians."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.cluster import KMeans

from hepml_nb.anomaly.latent_clusters import (
    ClusterConfig,
    LatentClusters,
    LatentQuantumClusters,
    clustered,
    overlap_distance,
)
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, rng
from hepml_nb.learn import FitConfig


def groups(seed: int = 0, far: int = 0) -> Floats:
    """Three groups of 100 points in four dimensions, and some points far away."""
    g = rng(seed, "groups")
    places = np.array([[0.5, 0, 0, 0], [0, -0.5, 0.3, 0], [-0.4, 0.4, 0, 0.6]])
    return np.concatenate([*(g.normal(p, 0.05, (100, 4)) for p in places), np.tile([[4.0, 4.0, 4.0, 4.0]], (far, 1))])


def apart(a: Floats, b: Floats) -> Floats:
    return np.linalg.norm(a[:, None] - b, axis=2)


def test_the_overlap_of_two_states_is_their_distance():
    g = rng(1, "vectors")
    a, b = g.normal(size=(40, 5)), g.normal(size=(7, 5))
    a[0] = b[0] = 0
    a[1] = b[1]
    assert np.allclose(overlap_distance(a, b), apart(a, b), atol=1e-7)
    phi = np.concatenate([a[3] / np.linalg.norm(a[3]), b[3] / np.linalg.norm(b[3])]) / np.sqrt(2)
    psi = np.array([np.linalg.norm(a[3]), -np.linalg.norm(b[3])])
    z = psi @ psi
    share = np.square(psi / np.sqrt(z) @ phi.reshape(2, 5)).sum()
    assert overlap_distance(a, b)[3, 3] == pytest.approx(np.sqrt(2 * z * share))


def test_shots_scatter_as_counts_do():
    a, b, shots = np.tile([[0.6, 0.2]], (4000, 1)), np.array([[-0.3, 0.5]]), 400
    square = np.square(overlap_distance(a, b, shots, rng(2, "shots")))[:, 0]
    z, true = 0.4 + 0.34, 0.9
    zero = (1 + true / (2 * z)) / 2
    assert square.mean() == pytest.approx(true, abs=4 * square.std() / np.sqrt(4000))
    assert square.std() == pytest.approx(4 * z * np.sqrt(zero * (1 - zero) / shots), rel=0.05)


@pytest.mark.parametrize("quantum", [False, True])
def test_means_are_those_of_scikit_learn(quantum: bool):
    z = groups()
    centres = clustered(z, ClusterConfig(clusters=3, centre="mean", quantum=quantum))
    theirs = KMeans(3, n_init=10, random_state=0).fit(z).cluster_centers_
    assert apart(centres, theirs).min(axis=1).max() < 1e-6


def test_a_median_minimises_the_sum_of_distances_and_hardly_follows_far_points():
    z = groups(far=15)[200:]
    median, mean = (clustered(z, ClusterConfig(clusters=1, centre=c))[0] for c in ("median", "mean"))  # type: ignore[arg-type]
    best = minimize(lambda p: np.linalg.norm(z - p, axis=1).sum(), mean, method="Nelder-Mead", options={"xatol": 1e-6})
    assert np.linalg.norm(z - median, axis=1).sum() == pytest.approx(best.fun, rel=1e-4)
    true = z[:100].mean(axis=0)
    assert np.linalg.norm(median - true) < 0.1 < np.linalg.norm(mean - true)


def test_both_twins_score_alike_and_shots_blur():
    g = rng(3, "events")
    events = Events(np.full(600, 3.5), g.standard_normal((600, 5)))
    other = Events(np.full(300, 3.5), g.normal(2.5, 1.0, (300, 5)))
    plain, quantum, counted = (
        of(replace(of.configs["small"], fit=FitConfig(epochs=5, lr=5e-3, patience=None), shots=shots)).learn(
            events, seed=1
        )
        for of, shots in ((LatentClusters, None), (LatentQuantumClusters, None), (LatentQuantumClusters, 100))
    )
    assert np.isfinite(plain.score(events)).all()
    z = quantum.latent(events)
    assert np.allclose(quantum.score(events), apart(z, quantum.centres).min(axis=1), atol=1e-6)
    assert plain.score(other).mean() > plain.score(events).mean()
    assert not np.allclose(counted.score(events), apart(counted.latent(events), counted.centres).min(axis=1), atol=1e-3)
    assert np.array_equal(counted.score(events), counted.score(events))


def test_untrained_scores_say_nothing_and_too_many_latents_are_refused():
    events = Events(np.full(100, 3.5), rng(4, "events").standard_normal((100, 5)))
    assert not LatentClusters(LatentClusters.configs["small"]).learn(events, untrained=True).score(events).any()
    with pytest.raises(InputError, match="5 features"):
        LatentClusters(replace(LatentClusters.configs["small"], latent=6)).learn(events)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"centre": "medain"}, "median"), ({"clusters": 0}, "cluster"), ({"shots": 0, "quantum": True}, "shot"),
     ({"shots": 10}, "quantum=True")],
)  # fmt: skip
def test_what_cannot_be_is_refused(settings: dict[str, object], said: str):
    with pytest.raises(InputError, match=said):
        ClusterConfig(**settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="generator"):
        overlap_distance(np.ones((3, 2)), np.ones((1, 2)), shots=5)
    with pytest.raises(InputError, match=r"\(n, d\)"):
        overlap_distance(np.ones((3, 2)), np.ones((1, 3)))
