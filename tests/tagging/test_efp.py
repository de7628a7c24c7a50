"""Energy flow polynomials against the sums that define them, and against masses and correlations."""

from __future__ import annotations

import itertools

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.stats import roc
from hepml_nb.tagging import labels_of, make
from hepml_nb.tagging.efp import composites, efps, prime_graphs
from hepml_nb.tagging.graph_sums import GraphSums
from hepml_nb.testing import toy_jets

K4 = tuple(itertools.combinations(range(4), 2))
GRAPHS = [graph for d in range(1, 5) for graph in prime_graphs(d)] + [K4, (*K4, (0, 1)), (*K4, (2, 4))]


def brute_force(z, theta, graph):
    """The definition: every way to put particles on the vertices."""
    total = np.zeros(len(z))
    for place in itertools.product(range(z.shape[1]), repeat=1 + max(map(max, graph))):
        term = z[:, list(place)].prod(axis=1)
        for u, v in graph:
            term = term * theta[:, place[u], place[v]]
        total += term
    return total


def test_there_are_as_many_multigraphs_as_are_known():
    # connected multigraphs without loops by number of edges (OEIS A076864), and all products of up to seven edges
    assert [len(prime_graphs(d)) for d in range(1, 8)] == [1, 2, 5, 12, 33, 103, 333]
    assert len(composites(5)) == 101
    assert len(composites(7)) + 1 == 1000  # arXiv:1712.07124
    assert len(set(composites(5))) == 101


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_sums_are_those_of_the_definition(graph):
    generator = np.random.default_rng(3)
    z, theta = generator.random((2, 4)), generator.random((2, 4, 4))
    theta = theta + theta.transpose(0, 2, 1)
    found = GraphSums(torch.from_numpy(z), torch.from_numpy(theta))(graph).numpy()
    np.testing.assert_allclose(found, brute_force(z, theta, graph), rtol=1e-12)


def test_the_line_with_beta_two_is_the_mass():
    jets = toy_jets(40, seed=1)
    narrow = ak.values_astype(jets.constituents[["pt", "deta", "dphi"]], np.float64)
    narrow["deta"], narrow["dphi"] = narrow.deta * 0.01, narrow.dphi * 0.01
    narrow["pdg"] = jets.constituents.pdg
    shapes = np.cosh(narrow.deta), np.cos(narrow.dphi), np.sin(narrow.dphi), np.sinh(narrow.deta)
    e, px, py, pz = (ak.to_numpy(ak.sum(narrow.pt * shape, axis=1)) for shape in shapes)
    share = (e**2 - px**2 - py**2 - pz**2) / ak.to_numpy(ak.sum(narrow.pt, axis=1)) ** 2
    found = efps(ak.with_field(jets, narrow, "constituents"), 1, beta=2.0)[:, 0]
    np.testing.assert_allclose(found / 2, share, rtol=1e-3)  # z^2 dR^2 is the mass up to dR^4


def test_products_are_products_and_scaling_angles_scales_by_the_number_of_edges():
    jets = toy_jets(30, seed=2)
    parts = jets.constituents
    doubled = ak.with_field(ak.with_field(parts, parts.deta * 2, "deta"), parts.dphi * 2, "dphi")
    one, two = efps(jets, 3, 1.0), efps(ak.with_field(jets, doubled, "constituents"), 3, 1.0)
    sizes = [d for d in (1, 2, 3) for _ in prime_graphs(d)]
    edges = np.array([sum(sizes[i] for i in product) for product in composites(3)])
    np.testing.assert_allclose(two, one * 2.0**edges, rtol=1e-5)
    for k, product in enumerate(composites(3)):
        np.testing.assert_allclose(one[:, k], one[:, list(product)].prod(axis=1), rtol=1e-12)


def test_a_jet_alone_and_among_longer_ones_has_the_same_polynomials():
    jets = toy_jets(50, seed=4)
    together = efps(jets, 4)
    np.testing.assert_allclose(efps(jets[17:18], 4)[0], together[17], rtol=1e-10)
    assert (together > 0).all()


def test_a_line_of_a_few_polynomials_separates_what_multiplicity_does_not():
    train, test = toy_jets(1000, seed=5), toy_jets(800, seed=6)
    tagger = make("efp", degree=3).fit(train, train)
    assert tagger.n_parameters == len(composites(3)) + 1
    assert roc(labels_of(test), tagger.scores(test)).auc > 0.93


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="1 to 7"):
        prime_graphs(8)
    with pytest.raises(InputError, match="positive exponent"):
        efps(toy_jets(2), 2, beta=0.0)
