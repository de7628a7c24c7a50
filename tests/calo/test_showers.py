"""Showers keep their energies through coordinates and files, and refuse what is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepml_nb.calo import LayerCoordinates, Showers, write_showers
from hepml_nb.core import InputError
from hepml_nb.data.readers import calochallenge
from hepml_nb.simulate.calorimeter import geometry
from hepml_nb.testing import toy_showers


@pytest.fixture(scope="module")
def showers() -> Showers:
    return toy_showers(400, 2)


def test_layers_come_back_from_ratios(showers: Showers) -> None:
    coordinates = LayerCoordinates(showers.geometry).fit(showers)
    layers = coordinates.layers(coordinates.ratios(showers), showers.energies)
    # noise of up to the threshold in each of four layers, the edge of the logit and single precision
    off = np.abs(layers - showers.layers)
    assert (off < 4 * showers.geometry.threshold + 1e-4 * showers.energies[:, None]).all()


def test_voxels_come_back_from_shares(showers: Showers) -> None:
    coordinates = LayerCoordinates(showers.geometry).fit(showers)
    back = coordinates.deposits(coordinates.shares(showers), showers.layers)
    np.testing.assert_allclose(back, showers.deposits, rtol=0.02, atol=2 * showers.geometry.threshold)
    assert (back[:5] == 0).all()  # of the first five nothing is seen


def test_deposits_add_up_to_their_layers(showers: Showers) -> None:
    coordinates = LayerCoordinates(showers.geometry).fit(showers)
    shares = np.random.default_rng(0).normal(size=showers.deposits.shape)
    made = Showers(showers.energies, coordinates.deposits(shares, showers.layers), showers.geometry)
    full = showers.layers > 1
    np.testing.assert_allclose(made.layers[full], showers.layers[full], rtol=1e-4)


def test_no_noise_is_left_in_empty_voxels(showers: Showers) -> None:
    coordinates = LayerCoordinates(showers.geometry).fit(showers)
    back = coordinates.deposits(coordinates.shares(showers), showers.layers)
    assert ((back > 0) == (showers.deposits > 0)).mean() > 0.999


def test_context_is_standardised(showers: Showers) -> None:
    context = LayerCoordinates(showers.geometry).fit(showers).context(showers.energies)
    assert context.shape == (400, 1)
    assert abs(context.mean()) < 1e-5
    assert abs(context.std() - 1) < 1e-5


def test_files_of_the_challenge_are_read_as_they_were_written(showers: Showers, tmp_path) -> None:
    path = tmp_path / "made.hdf5"
    write_showers(path, showers)
    assert calochallenge.count(path, voxels=showers.geometry.voxels) == 400
    back = Showers.of(calochallenge.read(path, 0, 400, voxels=showers.geometry.voxels), showers.geometry)
    np.testing.assert_array_equal(back.deposits, showers.deposits)
    np.testing.assert_allclose(back.energies, showers.energies, rtol=1e-7)


def test_parts_are_joined_and_chosen(showers: Showers) -> None:
    both = Showers.join([showers[:100], showers[100:]])
    np.testing.assert_array_equal(both.deposits, showers.deposits)
    np.testing.assert_allclose(both[both.energies > 5e3].totals, showers.totals[showers.energies > 5e3])
    with pytest.raises(InputError, match="cannot be joined"):
        Showers.join([showers, replace_geometry(showers)])


def replace_geometry(showers: Showers) -> Showers:
    return Showers(showers.energies, showers.deposits, replace(showers.geometry, name="other"))


@pytest.mark.parametrize(
    ("energies", "deposits", "words"),
    [
        (np.ones(2), np.zeros((2, 7)), "expects"),
        (np.ones(3), np.zeros((2, 36)), "one each"),
        (np.zeros(2), np.zeros((2, 36)), "above 0"),
        (np.ones(2), -np.ones((2, 36)), "not negative"),
        (np.ones(2), np.full((2, 36), np.nan), "finite"),
    ],
)
def test_what_are_no_showers_is_refused(showers: Showers, energies, deposits, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Showers(energies, deposits, showers.geometry)


def test_names_of_geometries_are_known() -> None:
    assert geometry("calochallenge-1-photons").voxels == 368
