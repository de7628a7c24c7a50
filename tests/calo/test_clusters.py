"""Clusters are what touches: one spot is one, two are two, and nothing faint becomes one."""

from __future__ import annotations

import numpy as np
import pytest

from hepml_nb.calo import Showers, clusters
from hepml_nb.core import InputError
from hepml_nb.simulate.calorimeter import geometry
from hepml_nb.testing import toy_showers

CALO = geometry("calochallenge-2")


def shower(*spots: tuple[int, int, int, float]) -> Showers:
    deposits = np.zeros((1, *CALO.shape), np.float32)
    for layer, alpha, r, energy in spots:
        deposits[0, layer, alpha, r] = energy
    return Showers(np.array([1000.0]), deposits.reshape(1, -1), CALO)


@pytest.mark.parametrize(
    ("spots", "number"),
    [
        (((5, 3, 4, 100.0),), 1),
        (((5, 3, 4, 100.0), (5, 3, 5, 50.0)), 1),  # next ring
        (((5, 0, 4, 100.0), (5, 15, 4, 50.0)), 1),  # the angle is a circle
        (((5, 0, 0, 100.0), (5, 7, 0, 50.0)), 1),  # both at the axis
        (((5, 3, 4, 100.0), (6, 3, 4, 50.0)), 1),  # next layer
        (((5, 3, 4, 100.0), (8, 3, 4, 50.0)), 2),  # layers between are empty
        (((5, 3, 4, 100.0), (5, 9, 4, 50.0)), 2),
        (((5, 3, 4, 5.0),), 0),  # no seed
        (((5, 3, 4, 100.0), (8, 3, 4, 0.5)), 1),  # too faint to grow
    ],
)
def test_what_touches_is_one(spots: tuple[tuple[int, int, int, float], ...], number: int) -> None:
    found = clusters.clusters(shower(*spots))
    assert found.number[0] == number
    if number:
        assert found.leading[0] == pytest.approx(sum(e for *_, e in spots) if number == 1 and spots[-1][3] > 1 else 100)


def test_energies_add_up_and_batches_do_not_matter() -> None:
    showers = toy_showers(1100, seed=1)
    found = clusters.clusters(showers, seed=0.02, grow=0.002)
    part = clusters.clusters(showers[1000:], seed=0.02, grow=0.002)
    np.testing.assert_allclose(found.leading[1000:], part.leading)
    assert (found.leading <= found.energy + 1e-6).all()
    assert (found.energy <= showers.totals + 1e-3).all()
    assert found.size.max() <= showers.geometry.voxels


def test_layers_of_other_bins_overlap_where_they_do() -> None:
    photons = geometry("calochallenge-1-photons")
    pairs = clusters.neighbour_pairs(photons)
    assert (photons.layer_of[pairs[1]] - photons.layer_of[pairs[0]] <= 1).all()
    touched = np.unique(pairs)
    assert len(touched) == photons.voxels, "every voxel has a neighbour"


def test_thresholds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InputError, match="grow"):
        clusters.clusters(shower((5, 3, 4, 100.0)), seed=1e-3, grow=1e-2)
