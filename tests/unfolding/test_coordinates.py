"""Coordinates: exact inverses of counts, spikes and tails, and clear words for other shapes."""

import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.unfolding.coordinates import Coordinates


def _jets(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    zg = np.where(rng.random(n) < 0.01, 0.0, 0.1 + 0.4 * rng.random(n) ** 2)
    return np.stack([rng.normal(3, 5, n), rng.poisson(20, n), rng.lognormal(2, 0.6, n), zg], axis=1)


def test_every_kind_of_column_is_found():
    assert Coordinates().fit(_jets()).kinds == ("plain", "counts", "positive", "spiked")


def test_inverse_undoes_forward_and_gives_spikes_and_counts_to_the_bit():
    x, coordinates = _jets(), Coordinates().fit(_jets())
    back = coordinates.inverse(coordinates.forward(x, np.random.default_rng(1)))
    assert np.array_equal(back[:, 1], x[:, 1])
    assert np.array_equal(back[:, 3] == 0, x[:, 3] == 0)
    assert np.allclose(back, x, rtol=1e-12, atol=1e-12)
    middle = coordinates.forward(x)
    assert np.array_equal(middle, coordinates.forward(x))
    assert np.array_equal(coordinates.inverse(middle)[:, 1], x[:, 1])


def test_coordinates_are_smooth_and_standard():
    z = Coordinates().fit(_jets()).forward(_jets(), np.random.default_rng(1))
    assert np.abs(z.mean(0)).max() < 0.1
    assert np.abs(z.std(0) - 1).max() < 0.15
    for column in z.T:
        assert len(np.unique(column)) == len(column)


def test_a_spike_lies_apart_and_anything_near_it_becomes_the_spike():
    coordinates = Coordinates().fit(_jets())
    z = coordinates.forward(_jets(), np.random.default_rng(1))[:, 3]
    spike = _jets()[:, 3] == 0
    assert z[spike].max() < z[~spike].min() - 0.4
    rows = np.zeros((3, 4))
    rows[:, 3] = [z[spike].max() + 0.1, z[~spike].min() - 0.1, -50]
    assert coordinates.inverse(rows)[:, 3].tolist() == [0.0, _jets()[~spike, 3].min(), 0.0]


def test_a_spike_at_the_upper_end_and_columns_with_nothing_else():
    rng = np.random.default_rng(0)
    x = np.stack([np.where(rng.random(500) < 0.2, 1.0, rng.random(500)), np.full(500, 2.5)], axis=1)
    coordinates = Coordinates().fit(x)
    assert coordinates.kinds == ("spiked", "plain")
    assert np.allclose(coordinates.inverse(coordinates.forward(x, rng)), x, atol=1e-12)


def test_values_outside_of_the_range_move_to_its_end():
    coordinates = Coordinates().fit(_jets())
    odd = np.array([[0.0, 5.0, -1.0, 0.7]])
    found = coordinates.inverse(coordinates.forward(odd))
    assert found[0, 2] == pytest.approx(_jets()[:, 2].min())
    assert found[0, 3] == pytest.approx(_jets()[:, 3].max())


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((1, 2)), np.array([[1.0], [np.nan]])])
def test_events_that_cannot_be_looked_at_are_refused(bad):
    with pytest.raises(InputError, match="at least 2 events"):
        Coordinates().fit(bad)


def test_other_columns_are_refused():
    with pytest.raises(InputError, match=r"expected \(n, 4\)"):
        Coordinates().fit(_jets()).forward(np.zeros((2, 3)))
