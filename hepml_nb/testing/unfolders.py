"""What holds for every registered unfolding method, one check each; a new method is swept without writing a test."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import RunError, rng
from hepml_nb.simulate.gaussian import gaussian_problem
from hepml_nb.testing.promises import refuses, require
from hepml_nb.unfolding import Measured, Spectrum, make, method
from hepml_nb.unfolding.problems import Problem, gaussian
from hepml_nb.unfolding.sets import Sets

__all__ = ["UNFOLDER_CHECKS", "check_unfolder"]

EVENTS = 8000
EDGES = np.linspace(-1, 2.2, 6)


def check_unfolder(name: str) -> None:
    """Run every check on the registered method `name`, with Gaussian toys; raise ConformanceError where one fails."""
    for check in UNFOLDER_CHECKS.values():
        check(name)


@functools.cache
def _problem(kind: str) -> Problem:
    """Return a Gaussian problem; its events come as sets of one particle too, for methods that look at particles."""
    measured_events = 10_000 if kind == "losses" else None
    exact = replace(gaussian_problem(), smearing=0.09)  # a resolution of half a bin: an inversion has its chance
    made = gaussian(
        EVENTS, 7, problem=exact, closure=kind == "closure", losses=kind == "losses", measured_events=measured_events
    )
    simulation = made.simulation
    if kind == "weights":
        chosen = rng(7, "weights").choice([1.0, -1.0, 0.0], len(simulation), p=[0.85, 0.1, 0.05])
        simulation = replace(simulation, weights=chosen / 0.75)
    gen, sim = (np.nan_to_num(side, nan=0.0) for side in (simulation.gen, simulation.sim))
    return Problem(
        replace(simulation, gen_sets=_sets(gen), sim_sets=_sets(sim)),
        replace(made.measured, sets=_sets(made.measured.sim)),
        made.truth,
    )


def _sets(values: npt.NDArray[Any]) -> Sets:
    return Sets(values.astype(np.float32), np.ones(len(values), np.int64))


def _new(name: str) -> Any:
    """Return the "small" configuration in our bins, networks for a few epochs only."""
    config = method(name).cls.configs["small"]
    changes: dict[str, Any] = {"bins": EDGES} if hasattr(config, "bins") else {}
    if hasattr(config, "fit"):
        changes |= {"epochs": min(config.fit.epochs, 12)}
    return make(name, "small", **changes)


@functools.cache
def _spectrum(name: str, kind: str = "shifted", seed: int = 0, untrained: bool = False, again: int = 0) -> Spectrum:
    """Unfold a problem; `again` asks for a second, equal training."""
    simulation, measured, _ = _problem(kind)
    unfolded: Spectrum = _new(name).fit(simulation, measured, seed, untrained=untrained).spectrum("x0", EDGES)
    return unfolded


def _counts(values: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None) -> npt.NDArray[np.float64]:
    return np.histogram(values[:, 0], EDGES, weights=weights)[0].astype(float)


def _apart(name: str, kind: str, **settings: Any) -> float:
    """Return the summed differences from the truth, as a share of the truth."""
    truth = _counts(_problem(kind).truth)
    return float(np.abs(_spectrum(name, kind, **settings).values - truth).sum() / truth.sum())


def spectra_have_shapes_and_covariances(name: str) -> None:
    """Finite counts, and a symmetric covariance without negative variances, in the bins that were asked for."""
    made = _spectrum(name)
    b = len(EDGES) - 1
    require(made.values.shape == (b,) and made.covariance.shape == (b, b), name, "one count per bin")
    finite = bool(np.isfinite(made.values).all() and np.isfinite(made.covariance).all())
    require(finite, name, "counts and covariance are finite")
    require(np.allclose(made.covariance, made.covariance.T), name, "the covariance is symmetric")
    least = float(np.linalg.eigvalsh(made.covariance).min())
    require(least > -1e-6 * np.trace(made.covariance), name, "no negative variance")
    require(bool((made.errors > 0).all()), name, "every bin has an error")
    require(np.array_equal(made.edges, EDGES), name, "edges as asked for")


def unfolding_repeats_by_seed(name: str) -> None:
    """The same seed gives the same counts bitwise; another seed others, unless the method is deterministic."""
    same = np.array_equal(_spectrum(name).values, _spectrum(name, again=1).values)
    require(same, name, "the same seed gives the same spectrum")
    equal = np.array_equal(_spectrum(name).values, _spectrum(name, seed=1).values)
    steady = method(name).cls.deterministic
    require(equal is steady, name, f"another seed changes the spectrum: {not steady}")


def nature_like_the_simulation_closes(name: str) -> None:
    """Where nature is the simulation, the spectrum is the truth within errors.

    Errors: the method's own, three times the truth's Poisson error for what a detector costs, and 3 % for trainings.
    """
    made, truth = _spectrum(name, "closure"), _counts(_problem("closure").truth)
    errors = np.sqrt(made.errors**2 + 9 * truth + (0.03 * truth) ** 2)
    pulls = (made.values - truth) / errors
    require(float(np.abs(pulls).max()) < 3.5, name, f"closes on the simulation (pulls {np.round(pulls, 1).tolist()})")


def the_truth_is_nearer_than_the_prior(name: str) -> None:
    """Where nature is shifted, less than half of the prior's distance from the truth is left."""
    prior, left = _apart(name, "shifted", untrained=True), _apart(name, "shifted")
    require(left < prior / 2, name, f"unfolds a shift (prior {prior:.3f} from the truth, unfolded {left:.3f})")


def untrained_returns_the_prior(name: str) -> None:
    """Without a step the spectrum is the simulation's, weighted."""
    for kind in ("shifted", "weights"):
        simulation = _problem(kind).simulation
        prior = _counts(simulation.gen, simulation.weights)
        made = _spectrum(name, kind, untrained=True)
        require(np.allclose(made.values, prior, rtol=1e-5), name, "untrained returns the simulation's spectrum")


def generator_weights_may_be_negative(name: str) -> None:
    """Weights of the generator that are negative or zero leave a finite spectrum that is nearer to the truth."""
    made = _spectrum(name, "weights")
    prior, left = _apart(name, "weights", untrained=True), _apart(name, "weights")
    require(bool(np.isfinite(made.values).all()), name, "negative weights leave finite counts")
    require(left < 0.7 * prior, name, f"unfolds with negative weights (prior {prior:.3f}, unfolded {left:.3f})")


def losses_and_fakes_are_counted_or_refused(name: str) -> None:
    """Missed events are added and fakes removed, in the data's luminosity; a method that cannot says so."""
    simulation, measured, sample = _problem("losses")
    if not method(name).cls.losses:
        refuses(name, "losses", lambda: _new(name).fit(simulation, measured))
        return
    truth, made = _counts(sample), _spectrum(name, "losses")
    ratio = float(made.values.sum() / truth.sum())
    require(abs(ratio - 1) < 0.06, name, f"counts events that are lost, and no fakes (sum {ratio:.3f} of the truth)")
    left = _apart(name, "losses")
    require(left < _apart(name, "losses", untrained=True) / 2, name, f"unfolds with losses ({left:.3f} from the truth)")


def bad_input_is_refused(name: str) -> None:
    """Other columns, unknown observables and falling edges raise InputError; a spectrum before the fit RunError."""
    simulation, measured, _ = _problem("shifted")
    refuses(name, "fit", lambda: _new(name).spectrum("x0", EDGES), RunError)
    wide = Measured(np.repeat(measured.sim, 2, axis=1))
    refuses(name, "2 columns", lambda: _new(name).fit(simulation, wide))
    made = _new(name).fit(simulation, measured, untrained=True)
    refuses(name, "x0", lambda: made.spectrum("x00", EDGES))
    refuses(name, "rising", lambda: made.spectrum("x0", EDGES[::-1]))


def nothing_around_is_changed(name: str) -> None:
    """A fit leaves the events and numpy's and torch's global generators as they were."""

    def state() -> list[bytes]:
        keys = [np.random.get_state(legacy=False)["state"]["key"].tobytes()]  # noqa: NPY002 - it must not move
        return keys + ([sys.modules["torch"].get_rng_state().numpy().tobytes()] if "torch" in sys.modules else [])

    simulation, measured, _ = _problem("shifted")
    _new(name)  # imports what it needs
    tables = (simulation.gen, simulation.sim, simulation.weights, measured.sim, measured.weights)
    copies, before = [one.copy() for one in tables], state()
    _spectrum(name, again=2)
    require(before == state(), name, "global generators are left alone")
    same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(copies, tables, strict=True))
    require(same, name, "the events are not changed")


UNFOLDER_CHECKS: dict[str, Callable[[str], None]] = {
    check.__name__: check
    for check in (
        spectra_have_shapes_and_covariances,
        unfolding_repeats_by_seed,
        nature_like_the_simulation_closes,
        the_truth_is_nearer_than_the_prior,
        untrained_returns_the_prior,
        generator_weights_may_be_negative,
        losses_and_fakes_are_counted_or_refused,
        bad_input_is_refused,
        nothing_around_is_changed,
    )
}
