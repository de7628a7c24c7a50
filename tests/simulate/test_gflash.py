"""Parametrised showers have the depth, width, energy and resolution that the papers and the PDG give."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError, NotFound
from hepml_nb.simulate import gflash, recipe
from hepml_nb.simulate.calorimeter import dense, geometry

ENERGIES = (3e3, 3e4, 3e5)
N = 800


@pytest.fixture(scope="module")
def made() -> dict[tuple[str, float], np.ndarray]:
    """Return `N` showers of each particle and energy in dataset 2's voxels."""
    calo, rng = geometry("calochallenge-2"), np.random.default_rng(5)
    kinds = [(particle, energy) for particle in gflash.PARTICLES for energy in ENERGIES]
    return {kind: gflash.showers(np.full(N, kind[1]), calo, kind[0], rng) for kind in kinds}


def maximum(showers: np.ndarray) -> float:
    """Return the depth (X0) of the maximum of the gamma distribution that the mean profile's moments give."""
    calo = geometry("calochallenge-2")
    profile = calo.layer_energies(showers).mean(axis=0)
    t = np.array([(layer.begin + layer.end) / 2 for layer in calo.layers])
    mean = np.average(t, weights=profile)
    variance = np.average((t - mean) ** 2, weights=profile) - (t[1] - t[0]) ** 2 / 12
    return float(mean - variance / mean)  # (alpha - 1) / beta with mean alpha / beta, variance alpha / beta^2


def test_the_maximum_lies_where_it_should(made: dict[Any, np.ndarray]) -> None:
    stack = geometry("calochallenge-2").stack
    y = np.log(np.array(ENERGIES) / stack.critical)
    electron = np.array([maximum(made["electron", energy]) for energy in ENERGIES])
    photon = np.array([maximum(made["photon", energy]) for energy in ENERGIES])
    # PDG: t_max = ln y - 0.5 for electrons and + 0.5 for photons: one X0 per e-fold, photons one X0 later
    assert np.polyfit(y, electron, 1)[0] == pytest.approx(1, abs=0.06)
    assert (photon - electron).mean() == pytest.approx(1, abs=0.2)
    # the mean profile of hep-ex/0001020, which is fitted apart from the fluctuated one that we draw from
    average = y - 0.858 - 0.59 / stack.frequency - 0.53 * (1 - stack.electron_to_mip)
    assert electron == pytest.approx(average, abs=0.25)
    # which puts it three quarters of an X0 before the PDG's in a sampling calorimeter
    assert electron == pytest.approx(y - 0.5, abs=1)


def test_ln_t_and_ln_alpha_fluctuate_together() -> None:
    stack = geometry("calochallenge-2").stack
    drawn = gflash.longitudinal(np.full(20_000, 1e5), stack, "electron", np.random.default_rng(1))
    y = np.log(1e5 / stack.critical)
    t, alpha = np.log((drawn.alpha - 1) / drawn.beta), np.log(drawn.alpha)
    assert t.std() == pytest.approx(1 / (-2.5 + 1.25 * y), rel=0.03)
    assert alpha.std() == pytest.approx(1 / (-0.82 + 0.79 * y), rel=0.03)
    assert np.corrcoef(t, alpha)[0, 1] == pytest.approx(0.784 - 0.023 * y, abs=0.02)
    assert np.all(drawn.start == 0)
    photon = gflash.longitudinal(np.full(20_000, 1e5), stack, "photon", np.random.default_rng(1))
    assert photon.start.mean() == pytest.approx(9 / 7, rel=0.03)


def test_nine_tenths_lie_within_the_moliere_radius(made: dict[Any, np.ndarray]) -> None:
    calo = geometry("calochallenge-3")  # fine bins in radius: the Moliere radius of 10.9 mm lies between two edges
    showers = gflash.showers(np.full(60, 1e5), calo, "electron", np.random.default_rng(2))
    radius = calo.cylindrical()[2]
    edges = np.array(calo.layers[0].r_edges)
    inside = np.array([showers[:, radius < edge].sum() for edge in edges[1:]]) / (60 * 1e5)
    assert np.interp(calo.stack.moliere, edges[1:], inside) == pytest.approx(0.9, abs=0.03)
    assert np.interp(3.5 * calo.stack.moliere, edges[1:], inside) > 0.97  # PDG: 99 % within 3.5
    # a shower widens with depth: half of the energy of the first layers lies within the first ring of 4.65 mm
    view = geometry("calochallenge-2").view(made["electron", 3e5]).sum(axis=(0, 2))
    first = view[:, 0] / view.sum(axis=1)
    assert first[2] > 2 * first[25]


def test_showers_are_round_and_the_axis_is_their_centre(made: dict[Any, np.ndarray]) -> None:
    calo = geometry("calochallenge-2")
    showers = made["electron", 3e4]
    x, y, _ = calo.centres().T
    for coordinate in (x, y):
        centre = showers @ coordinate / showers.sum(axis=1)
        assert abs(centre.mean()) < 4 * centre.std() / np.sqrt(N)
    sectors = calo.view(showers).sum(axis=(1, 3))
    share = sectors.mean(axis=0) / sectors.mean()
    assert np.abs(share - 1).max() < 4 * (sectors.std(axis=0) / sectors.mean()).max() / np.sqrt(N)


def test_the_response_is_linear_and_the_resolution_falls_as_stated(made: dict[Any, np.ndarray]) -> None:
    calo = geometry("calochallenge-2")
    ratio = {energy: made["electron", energy].sum(axis=1) / energy for energy in ENERGIES}
    means = np.array([ratio[energy].mean() for energy in ENERGIES])
    assert np.ptp(means) < 0.02
    assert means == pytest.approx(0.99, abs=0.02)  # what leaves the 3.8 Moliere radii of the voxels
    for energy in ENERGIES:
        # statistical error of a width from N showers is 1 / sqrt(2 N) = 2.5 %; leakage adds little
        stated = calo.stack.resolution / np.sqrt(energy / 1000)
        assert ratio[energy].std() == pytest.approx(stated, rel=0.1)


def test_spots_one_by_one_or_voxel_by_voxel_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    calo = geometry("calochallenge-1-photons")
    rng, n = np.random.default_rng(4), 3000
    number = np.tile([3.0, 400.0, 900.0, 20.0, 5.0], (n, 1))
    width = np.broadcast_to([0.2, 0.3, 0.4, 0.5, 0.6], (n, 5))
    inside = gflash._inside(calo, width, 4 * width, np.full((n, 5), 0.7))
    expected = (number[:, calo.rings[0]] * inside)[0] / calo.rings[1]
    for many in (0, 10, 10**9):
        monkeypatch.setattr(gflash, "_MANY", many)
        counts, outside = gflash._place(calo, number, inside, rng)
        mean = np.zeros(calo.voxels)
        for ring, (_, n_alpha, first, step) in enumerate(zip(*calo.rings, strict=True)):
            mean[first + step * np.arange(n_alpha)] = expected[ring]
        pull = (counts.mean(axis=0) - mean) / np.sqrt(mean / n + 1e-9)
        assert np.abs(pull).max() < 5  # of 368 voxels, with Poisson tails
        assert (pull**2).mean() == pytest.approx(1, abs=0.3)
        assert counts.var(axis=0).sum() == pytest.approx(mean.sum(), rel=0.03)
        total = np.add.reduceat(counts, calo.offsets[:-1], axis=1) + outside
        assert total.mean(axis=0) == pytest.approx(number[0], rel=0.03)


def test_photons_in_the_barrel_leave_their_energy_where_atlas_has_it() -> None:
    calo, rng = geometry("calochallenge-1-photons"), np.random.default_rng(6)
    shares = {}
    for energy in (1e3, 65536.0, 1e6):
        layers = calo.layer_energies(gflash.showers(np.full(300, energy), calo, "photon", rng)).mean(axis=0) / energy
        shares[energy] = layers
        assert layers[1] + layers[2] > 0.9  # strips and middle
        assert layers[0] < 0.02  # 0.08 X0 of argon
    assert shares[1e3][1] > shares[65536.0][1] > shares[1e6][1]  # higher energies reach deeper
    assert shares[1e3][3] < shares[65536.0][3] < shares[1e6][3]


def test_the_recipe_draws_the_published_energies() -> None:
    make = recipe("showers")
    one, counters = make(400, seed=3)
    assert counters["energy_seen"] == pytest.approx(counters["energy_in"], rel=0.03)
    log = np.log10(ak.to_numpy(one.energy))
    assert log.min() >= 3
    assert log.max() <= 6
    assert log.mean() == pytest.approx(4.5, abs=4 * 3 / np.sqrt(12 * 400))  # uniform between 3 and 6
    assert np.quantile(log, [0.25, 0.75]) == pytest.approx([3.75, 5.25], abs=0.25)
    photons, _ = make(3000, seed=3, calorimeter="calochallenge-1-photons", particle="photon",
                      spectrum="calochallenge-1", energy=(256, 2**22))  # fmt: skip
    points, numbers = np.unique(ak.to_numpy(photons.energy), return_counts=True)
    assert points.tolist() == [2.0**k for k in range(8, 23)]
    weights = np.array([10] * 11 + [5, 3, 2, 1]) / 121
    assert np.abs((numbers - 3000 * weights) / np.sqrt(3000 * weights)).max() < 4
    assert np.all(np.diff(ak.to_numpy(ak.flatten(photons.hits.voxel[:1])).astype(int)) > 0)


def test_same_seed_same_showers_and_more_go_on_from_there() -> None:
    make = recipe("showers")
    one, two, other = (make(20, seed=seed, calorimeter="calochallenge-3")[0] for seed in (5, 5, 6))
    assert ak.array_equal(one, two)
    assert not ak.array_equal(one.energy, other.energy)
    none, _ = make(0)
    assert len(none) == 0
    assert none.fields == ["energy", "hits"]
    assert dense(none.hits, 6480).shape == (0, 6480)


def test_batches_hold_every_hit_when_told_how_many() -> None:
    sample = data.load("calochallenge-2", source="sample")
    seen = 0.0
    for batch in sample.batches("val", 16, most=6480):
        assert batch["hits"].shape[:2] == batch["hits_mask"].shape
        seen += float(batch["hits"][..., 1].double().sum())
    assert seen == pytest.approx(float(ak.sum(ak.values_astype(sample.split("val").hits.energy, np.float64))), rel=1e-6)


def test_what_the_parametrisation_cannot_do_is_refused() -> None:
    make = recipe("showers")
    with pytest.raises(NotFound, match="no parametrisation of 'pion'"):
        make(3, particle="pion")
    with pytest.raises(NotFound, match="no simulator 'geant5'"):
        make(3, simulator="geant5")
    with pytest.raises(NotFound, match="did you mean 'log-uniform'"):
        make(3, spectrum="loguniform")
    with pytest.raises(InputError, match="needs at least 200 MeV"):
        make(3, energy=(10, 20))
    with pytest.raises(InputError, match="holds no power of two"):
        make(3, spectrum="calochallenge-1", energy=(300, 500))
    with pytest.raises(InputError, match="expected 0 < low < high"):
        make(3, energy=(1e6, 1e3))
