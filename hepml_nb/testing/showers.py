"""The promises of generators of showers, run on every registered one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from hepml_nb.calo import Showers, method
from hepml_nb.core import RunError, rng
from hepml_nb.learn import FitConfig
from hepml_nb.simulate import gflash
from hepml_nb.simulate.calorimeter import Geometry, Layer, geometry
from hepml_nb.testing.promises import refuses, require

__all__ = ["SHOWER_CHECKS", "check_shower_model", "toy_showers"]

_SIZE, _EPOCHS = 1500, 15


@functools.cache
def toy_geometry() -> Geometry:
    """Return four layers of silicon and tungsten, of 3 bins in alpha and 3 in radius: small enough for any method."""
    stack = geometry("calochallenge-2").stack
    edges = (0.0, 8.0, 20.0, 42.0)
    depths = (0.0, 4.0, 8.0, 13.0, 24.0)
    return Geometry("toy", stack, tuple(Layer(i, edges, 3, depths[i], depths[i + 1]) for i in range(4)), 0.015)


@functools.cache
def toy_showers(n: int, seed: int = 0) -> Showers:
    """Return `n` parametrised showers of electrons of 1 to 20 GeV in four layers; of the first five nothing is seen."""
    generator = rng(seed, "toy showers")
    energies = np.exp(generator.uniform(np.log(1e3), np.log(2e4), n))
    deposits = gflash.showers(energies, toy_geometry(), "electron", generator)
    deposits[:5] = 0
    return Showers(energies, deposits, toy_geometry())


def check_shower_model(name: str) -> None:
    """Run every check on the registered method `name`, on toy showers; raise ConformanceError where one fails."""
    for check in SHOWER_CHECKS.values():
        check(name)


def _new(name: str) -> Any:
    """Return the "small" configuration, each of its trainings a few epochs only."""
    config = method(name).small
    trainings = {field.name: getattr(config, field.name) for field in fields(config)}
    short = {
        key: replace(value, epochs=min(value.epochs, _EPOCHS))
        for key, value in trainings.items()
        if isinstance(value, FitConfig)
    }
    return method(name).cls(replace(config, **short))


@functools.cache
def _fitted(name: str, untrained: bool = False, again: int = 0) -> Any:
    """Return the method fitted to toy showers; `again` asks for a second, equal training."""
    return _new(name).fit(toy_showers(_SIZE), seed=3, untrained=untrained)


def _test() -> Showers:
    """Return showers that no method has seen, with deposits."""
    return toy_showers(1000, 1)[5:]


@functools.cache
def _drawn(name: str, seed: int = 0, untrained: bool = False, again: int = 0) -> Showers:
    drawn: Showers = _fitted(name, untrained, again).sample(_test().energies, seed)
    return drawn


def _distance(drawn: Showers) -> float:
    """Return how far the mean share of the energy in each voxel lies from the truth, and the mean total: |difference|.

    Both are relative: 0 is perfect, and about 1 what numbers without any relation to showers have.
    """
    truth = _test()
    voxels = [(one.deposits / one.energies[:, None]).mean(axis=0) for one in (truth, drawn)]
    return float(np.abs(voxels[0] - voxels[1]).sum() / voxels[0].sum())


def showers_have_the_shape_of_the_truth(name: str) -> None:
    """One shower per energy in the same geometry, finite, not negative, nothing below the readout threshold."""
    drawn = _drawn(name)
    require(drawn.geometry is toy_geometry() and len(drawn) == len(_test()), name, "draws one shower per energy")
    require(np.array_equal(drawn.energies, _test().energies), name, "keeps the energies that were asked for")
    seen = drawn.deposits[drawn.deposits > 0]
    require(bool((seen >= toy_geometry().threshold).all()), name, "nothing lies below the threshold")
    require(len(_fitted(name).sample([5000.0])) == 1, name, "draws a single shower")
    require(len(_fitted(name).sample([])) == 0, name, "draws no shower for no energy")


def trainings_and_draws_repeat_by_seed(name: str) -> None:
    """Equal seeds give equal showers bitwise; another seed gives others."""
    require(np.array_equal(_drawn(name).deposits, _drawn(name, again=1).deposits), name, "a seed repeats")
    require(not np.array_equal(_drawn(name).deposits, _drawn(name, seed=1).deposits), name, "another seed draws others")


def showers_of_one_energy_differ(name: str) -> None:
    """Showers of one energy fluctuate, in total and in shape."""
    drawn = _fitted(name).sample(np.full(200, 8000.0))
    shape = drawn.layers / np.maximum(drawn.totals, 1e-9)[:, None]
    require(bool((shape.std(axis=0) > 0.003).any()), name, "the depth of showers of one energy fluctuates")
    require(drawn.totals.std() > 0.01 * drawn.totals.mean(), name, "the energy that is seen fluctuates")
    if method(name).cls.trains:
        require(len(np.unique(drawn.totals)) > 190, name, "no shower is drawn twice")


def energy_follows_what_was_asked_for(name: str) -> None:
    """The mean energy that is seen grows in proportion, within a fifth."""
    low, high = (_fitted(name).sample(np.full(300, energy)).totals.mean() for energy in (2500.0, 10000.0))
    require(3.2 < high / low < 4.8, name, f"four times the energy is seen as four times ({high / low:.2f})")


def showers_are_learnt(name: str) -> None:
    """The mean shower comes out as it is, within 40 %; untrained it does not."""
    trained = _distance(_drawn(name))
    require(trained < 0.4, name, f"the mean shower is near the truth (off by {trained:.3f})")
    if method(name).cls.trains:
        untrained = _distance(_drawn(name, untrained=True))
        require(untrained > 1.5 * trained, name, f"training does it (off by {trained:.3f}, untrained {untrained:.3f})")


def bad_input_is_refused(name: str) -> None:
    """Few showers, wrong energies and energies beyond the training raise InputError, drawing before that RunError."""
    made = _fitted(name)
    refuses(name, "fit", lambda: _new(name).sample([5000.0]), RunError)
    refuses(name, "expected 50", lambda: _new(name).fit(toy_showers(_SIZE)[:20]))
    refuses(name, "outside the trained range", lambda: made.sample([5000.0, 90000.0]))
    refuses(name, "above 0", lambda: made.sample([-1.0]))
    refuses(name, "finite", lambda: made.sample([np.nan]))
    require(len(made.sample([30000.0], beyond=True)) == 1, name, "extrapolates where told to")


SHOWER_CHECKS: dict[str, Callable[[str], None]] = {
    check.__name__: check
    for check in (
        showers_have_the_shape_of_the_truth,
        trainings_and_draws_repeat_by_seed,
        showers_of_one_energy_differ,
        energy_follows_what_was_asked_for,
        showers_are_learnt,
        bad_input_is_refused,
    )
}
