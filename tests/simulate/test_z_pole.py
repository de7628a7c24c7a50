"""Event shapes are exact, and the collisions at the Z pole have the averages that LEP measured."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError, rng
from hepml_nb.simulate import eventshapes, recipe
from hepml_nb.simulate.pythia import Pythia
from hepml_nb.simulate.recipes.z_pole import ECM, PROCESS

MONASH = (0.1365, 0.68, 0.98)


@pytest.fixture(scope="module")
def z() -> ak.Array:
    return recipe("z_pole")(1500, seed=4)[0]


def flat(*events: list[list[float]]) -> dict[str, np.ndarray]:
    """Return massless particles given by their momenta as flat columns."""
    p = np.concatenate([np.asarray(event, dtype=float) for event in events])
    number = np.repeat(np.arange(len(events)), [len(event) for event in events])
    return {"event": number, "px": p[:, 0], "py": p[:, 1], "pz": p[:, 2], "e": np.linalg.norm(p, axis=1)}


def test_shapes_of_events_with_known_answers() -> None:
    pencil = [[0, 0, 45.0], [0, 0, -45.0]]
    angles = 2 * np.pi * np.arange(3) / 3
    mercedes = [[30 * np.cos(x), 30 * np.sin(x), 0.0] for x in angles]
    cube = [[x, y, w] for x in (-1.0, 1) for y in (-1.0, 1) for w in (-1.0, 1)]
    found = eventshapes.describe(flat(pencil, mercedes, cube), 3)
    assert found["thrust"] == pytest.approx([1, 2 / 3, 1 / np.sqrt(3)])
    assert found["major"][:2] == pytest.approx([0, 1 / np.sqrt(3)], abs=1e-12)
    assert found["minor"][:2] == pytest.approx([0, 0], abs=1e-12)
    assert found["c"] == pytest.approx([0, 3 / 4, 1], abs=1e-12)
    assert found["sphericity"] == pytest.approx([0, 3 / 4, 1], abs=1e-12)
    assert found["rho_heavy"][:2] == pytest.approx([0, 1 / 3], abs=1e-12)
    assert found["y23"][:2] == pytest.approx([0, 2 / 9 * 1.5], abs=1e-6)  # 2 E^2 (1 - cos 120) / (3 E)^2


def test_no_axis_has_more_thrust_and_ascent_from_many_starts_finds_the_same() -> None:
    generator = rng(3, "thrust")
    p = generator.standard_normal((12, 30, 3)) * generator.exponential(1, (12, 30, 1))
    p[:, 25:] = 0  # padding
    value, axis = eventshapes.thrust(p)
    scale = np.linalg.norm(p, axis=2).sum(axis=1)
    assert value == pytest.approx(np.abs(np.einsum("eni,ei->en", p, axis)).sum(axis=1) / scale)
    n = generator.standard_normal((12, 400, 3))
    n /= np.linalg.norm(n, axis=2, keepdims=True)
    assert np.all(np.abs(p @ n.transpose(0, 2, 1)).sum(axis=1).max(axis=1) / scale <= value)
    for _ in range(40):  # the usual iteration, which ends in local maxima
        n = np.sign(n @ p.transpose(0, 2, 1)) @ p
        n /= np.linalg.norm(n, axis=2, keepdims=True)
    assert np.abs(p @ n.transpose(0, 2, 1)).sum(axis=1).max(axis=1) / scale == pytest.approx(value, rel=1e-9)


def test_empty_events_are_refused() -> None:
    with pytest.raises(InputError, match="event 1 has no particles"):
        eventshapes.padded({**flat([[1, 0, 0]]), "event": np.array([0])}, 2)


def test_averages_are_those_of_lep(z: ak.Array) -> None:
    n = len(z)
    # PDG: 20.76 +- 0.16 charged particles; the tune has 20.4, within 3 % with our 1500 events' error of 0.16
    assert float(np.mean(z.n_charged)) == pytest.approx(20.76, rel=0.03)
    # LEP's 1 - T lies at 0.068; 3 % and two standard errors of ours
    error = float(np.std(z.thrust)) / np.sqrt(n)
    assert 1 - float(np.mean(z.thrust)) == pytest.approx(0.068, abs=0.03 * 0.068 + 2 * error)
    # two charged particles of one event: even number, as charge is conserved
    assert np.all(ak.to_numpy(z.n_charged) % 2 == 0)
    assert np.array_equal(ak.to_numpy(z.xi).astype(int).sum(axis=1), ak.to_numpy(z.n_charged))
    # the hump of the spectrum lies near xi = 3.7 (OPAL, hep-ex/0002012: the same shape at higher energies)
    assert 6 <= int(np.argmax(ak.to_numpy(z.xi).sum(axis=0))) <= 7


def test_shapes_are_in_their_ranges_and_order(z: ak.Array) -> None:
    for name, top in (("thrust", 1), ("c", 1), ("rho_heavy", 1), ("b_total", 0.5), ("y23", 1 / 3), ("sphericity", 1)):
        values = ak.to_numpy(z[name])
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= top * 1.0003
    assert ak.all(z.thrust > 0.5)
    assert ak.all(z.rho_light <= z.rho_heavy)
    assert ak.all(z.b_wide <= z.b_total * 1.001)
    assert ak.all(z.minor <= z.major * 1.001)
    assert np.corrcoef(1 - z.thrust, z.c)[0, 1] > 0.9


def test_more_coupling_means_less_thrust_and_more_particles() -> None:
    made = {a: recipe("z_pole")(600, seed=1, low=(a, 0.68, 0.98), high=(a, 0.68, 0.98), block=600)[0]
            for a in (0.10, 0.16)}  # fmt: skip
    weak, strong = made[0.10], made[0.16]
    assert np.mean(weak.thrust) - np.mean(strong.thrust) > 0.01  # 0.02 expected, 0.004 error
    assert np.mean(strong.n_charged) - np.mean(weak.n_charged) > 4


def test_parameters_change_with_every_block_and_stay_in_range() -> None:
    low, high = (0.10, 0.2, 0.5), (0.16, 1.2, 1.5)
    made, counters = recipe("z_pole")(25, seed=2, low=low, high=high, block=10)
    theta = np.stack([ak.to_numpy(made[name]) for name in ("alpha_s", "a_lund", "b_lund")], axis=1)
    block = ak.to_numpy(made.event) // 1000
    assert counters["points"] == 3
    assert np.bincount(block).tolist() == [10, 10, 5]
    assert len(np.unique(theta, axis=0)) == 3
    assert np.all((theta >= np.float32(low)) & (theta <= np.float32(high)))
    again, _ = recipe("z_pole")(25, seed=2, low=low, high=high, block=10)
    assert ak.array_equal(made, again)
    assert len(recipe("z_pole")(0)[0]) == 0


def test_a_generator_that_starts_again_is_a_new_one() -> None:
    again, new = ("TimeShower:alphaSvalue = 0.15",), {"ecm": ECM, "pthat": None, "tune": None}
    one = Pythia(PROCESS, seed=1, **new)
    before = one.events(5)
    one.restart(7, again)
    fresh = Pythia(PROCESS, seed=7, settings=again, **new).events(5)
    after = one.events(5)
    assert ak.array_equal(after.prt.p.e, fresh.prt.p.e)
    assert not ak.array_equal(ak.num(before.prt), ak.num(after.prt))
    with pytest.raises(InputError, match="does not know the setting"):
        one.restart(7, ["TimeShower:alphaSvalu = 0.15"])


@pytest.mark.parametrize("bad", [{"block": 0}, {"low": (0.2, 0.68, 0.98)}, {"low": (0.1,), "high": (0.1,)}])
def test_wrong_ranges_are_named(bad: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected"):
        recipe("z_pole")(1, **bad)
