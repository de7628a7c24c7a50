"""Stacks have the properties of the PDG's tables, and voxels lie where the published binning puts them."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError, NotFound
from hepml_nb.simulate.calorimeter import GEOMETRIES, MATERIALS, Stack, dense, geometry
from hepml_nb.simulate.recipes.showers import sparse

PDG = {  # radiation length and Moliere radius in mm, PDG atomic and nuclear properties
    "W": (3.504, 9.327), "Pb": (5.612, 16.02), "Si": (93.70, 49.44), "Fe": (17.57, 17.19), "LAr": (140.0, 90.43),
}  # fmt: skip


@pytest.mark.parametrize("name", PDG)
def test_elements_have_the_values_of_the_pdg(name: str) -> None:
    stack = Stack(((name, 1.0),), ((name, 0.5),), 0.1)
    assert (stack.x0, stack.moliere) == pytest.approx(PDG[name], rel=5e-3)
    assert stack.critical == pytest.approx(MATERIALS[name].critical)
    assert (stack.z, stack.electron_to_mip) == pytest.approx((MATERIALS[name].z, 1.0))


def test_critical_energies_follow_the_pdg_fit() -> None:
    for name, material in MATERIALS.items():
        fit = (710 / (material.z + 0.92)) if name == "LAr" else 610 / (material.z + 1.24)  # MeV; argon as a gas is 710
        assert material.critical == pytest.approx(fit, rel=0.15), name


def test_sheets_mix_by_mass() -> None:
    stack = geometry("calochallenge-2").stack
    # by hand: 1.4 mm W and 0.3 mm Si are 0.4 and 0.0032 X0
    assert stack.x0 == pytest.approx(1.7 / (1.4 / 3.504 + 0.3 / 93.70), rel=1e-3)
    assert MATERIALS["W"].critical < stack.critical < 1.05 * MATERIALS["W"].critical
    assert PDG["W"][1] < stack.moliere < 1.25 * PDG["W"][1]  # the silicon dilutes the tungsten
    # sheets have no order and no size but for their mass
    same = Stack((("W", 2.8),), (("Si", 0.6),), 0.15)
    assert (same.x0, same.moliere, same.frequency) == pytest.approx((stack.x0, stack.moliere, stack.frequency / 2))


@pytest.mark.parametrize(("name", "layers", "voxels"), [
    ("calochallenge-1-photons", [8, 160, 190, 5, 5], 368),
    ("calochallenge-1-pions", [8, 100, 100, 5, 150, 160, 10], 533),
    ("calochallenge-2", [144] * 45, 6480),
    ("calochallenge-3", [900] * 45, 40500),
    ("tiny", [36] * 5, 180),
])  # fmt: skip
def test_voxels_are_as_many_as_published(name: str, layers: list[int], voxels: int) -> None:
    calo = geometry(name)
    assert calo.voxels == voxels
    assert np.diff(calo.offsets).tolist() == layers
    assert np.bincount(calo.layer_of).tolist() == layers
    z, alpha, r = calo.cylindrical()
    assert calo.centres() == pytest.approx(np.stack([r * np.cos(alpha), r * np.sin(alpha), z], axis=1))
    assert np.all(np.diff(z) >= 0)
    assert np.abs(alpha).max() < np.pi
    place, n_alpha, first, step = calo.rings
    every = [first[i] + step[i] * np.arange(n_alpha[i]) for i in range(len(place))]
    assert np.array_equal(np.sort(np.concatenate(every)), np.arange(voxels))
    for i, ring in enumerate(every):
        assert np.ptp(r[ring]) == 0
        assert np.all(calo.layer_of[ring] == place[i])


def test_published_edges() -> None:
    photons, two, three = (geometry(name) for name in ("calochallenge-1-photons", "calochallenge-2", "calochallenge-3"))
    assert photons.layers[1].r_edges[:7] == (0, 2, 4, 6, 8, 10, 12)
    assert photons.layers[4].r_edges[-1] == 2000
    assert two.layers[0].r_edges[1] == pytest.approx(4.65)
    assert three.layers[44].r_edges[-1] == pytest.approx(41.85)
    assert three.layers[0].r_edges[::2] == pytest.approx(two.layers[0].r_edges)
    assert two.layers[-1].end * two.stack.x0 == pytest.approx(153)  # mm
    assert two.threshold == pytest.approx(15.15e-3, rel=1e-3)  # MeV


def test_views_put_energy_where_it_was() -> None:
    calo = geometry("calochallenge-2")
    showers = np.random.default_rng(1).exponential(size=(3, calo.voxels)).astype(np.float32)
    view = calo.view(showers)
    assert view.shape == (3, 45, 16, 9)
    assert calo.layer_energies(showers) == pytest.approx(view.sum(axis=(2, 3)), rel=1e-5)
    with pytest.raises(InputError, match=r"expects \(n, 6480\)"):
        calo.view(showers[:, :368])
    with pytest.raises(InputError, match="layers of different bins"):
        geometry("calochallenge-1-photons").view(showers[:, :368])


def test_hits_and_flat_showers_are_the_same() -> None:
    rng = np.random.default_rng(2)
    showers = rng.exponential(size=(5, 40500)) * (rng.random((5, 40500)) < 0.01)
    showers[2] = 0
    showers[1, -1] = 7.0
    hits = sparse(showers)
    assert str(hits.voxel.type) == "5 * var * uint16"
    assert ak.num(hits)[2] == 0
    np.testing.assert_allclose(dense(hits, 40500), showers, rtol=2**-10)
    assert dense(hits[:0], 40500).shape == (0, 40500)
    with pytest.raises(InputError, match="is it this geometry"):
        dense(hits, 6480)


def test_unknown_geometries_are_refused_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean 'calochallenge-2'"):
        geometry("calochallange-2")
    assert all(geometry(name).name == name for name in GEOMETRIES)
