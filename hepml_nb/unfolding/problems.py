"""Unfolding problems ready to use, with simulation, nature and its truth: a Gaussian, Z + jet, and the top's mass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng, suggest
from hepml_nb.simulate.gaussian import GaussianProblem, gaussian_problem
from hepml_nb.unfolding.sample import Floats, Measured, Simulation

__all__ = ["OBSERVABLES", "TOP_WINDOW", "ZJETS_BINS", "Problem", "gaussian", "merged", "ttbar", "zjets"]

ZJETS_BINS: Mapping[str, Floats] = {
    "mass": np.linspace(0, 75, 51),  # GeV
    "mult": np.linspace(0, 80, 81),
    "width": np.linspace(0, 0.6, 51),
    "ln_rho": np.linspace(-14, -2, 51),
    "tau21": np.linspace(0, 1.2, 51),
    "zg": np.linspace(0, 0.5, 51),
}
"""The bins in which arXiv:1911.09107's public demonstration compares the six observables, before the detector."""

OBSERVABLES = tuple(ZJETS_BINS)

TOP_WINDOW = (160.0, 185.0)
"""Masses of the hadronic top (GeV) that count before the detector; far from the peak there is no top to speak of."""


class Problem(NamedTuple):
    """What a method is given, and `truth` (t, k), nature's selected events before the detector, to judge it with."""

    simulation: Simulation
    measured: Measured
    truth: Floats


def merged(edges: npt.ArrayLike, values: npt.ArrayLike, least: int = 10) -> Floats:
    """Return edges (b + 1,) whose every bin holds `least` of the values (n,) or more, thin ones joined to a neighbour.

    A response that was never filled cannot be inverted. Raises InputError where all values together are too few.
    """
    old = np.asarray(edges, float)
    counts = np.histogram(values, old)[0]
    if counts.sum() < least:
        raise InputError(f"{counts.sum()} values lie between {old[0]:g} and {old[-1]:g}; a bin needs {least}.")
    kept, inside = [old[0]], 0
    for count, edge in zip(counts, old[1:], strict=True):
        inside += count
        if inside >= least:
            kept, inside = [*kept, edge], 0
    return np.array([*kept[:-1], old[-1]])


def gaussian(
    n: int,
    seed: int = 0,
    *,
    dimensions: int = 1,
    problem: GaussianProblem | None = None,
    closure: bool = False,
    losses: bool = False,
    measured_events: int | None = None,
) -> Problem:
    """Return n simulated events and n, or `measured_events`, of nature (problem=None: `gaussian_problem(dimensions)`).

    closure: nature is the simulation, drawn anew. losses: events count before the detector if their first coordinate
    lies above -1, and are seen if the first measured one does, 9 times of 10; so some are missed, and some that are
    seen are fakes. Raises InputError for n below 1.
    """
    exact = gaussian_problem(dimensions) if problem is None else problem
    if closure:
        exact = GaussianProblem(exact.simulation, exact.simulation, exact.matrix, exact.offset, exact.smearing)
    gen, sim = exact.simulate(n, seed)
    measured, truth = exact.measure(n if measured_events is None else measured_events, seed)
    if not losses:
        return Problem(Simulation(gen, sim), Measured(measured), truth)
    found = rng(seed, "gaussian", "losses")
    pass_sim, seen = ((one[:, 0] > -1) & (found.random(len(one)) < 0.9) for one in (sim, measured))
    pass_gen, exists = gen[:, 0] > -1, truth[:, 0] > -1
    either = pass_gen | pass_sim
    simulation = Simulation(gen[either], sim[either], pass_gen=pass_gen[either], pass_sim=pass_sim[either])
    return Problem(simulation, Measured(measured[seen]), truth[exists])


def zjets(
    events: Any,
    observables: Sequence[str] = OBSERVABLES,
    *,
    background: float = 0.0,
    simulation: int = 0,
    nature: int = 1,
    seed: int = 0,
) -> Problem:
    """Return the problem of a split of `zjets` or `zjets-losses`: one label is the simulation, another one nature.

    events: records with gen_ and sim_ columns, pass_gen, pass_sim and label. The simulation is scaled to the number of
    nature's events that pass on either side. background: measured events of another process per measured event of
    nature (0.05: one in 21); they are jets like those of dijets, rich in gluons: simulated jets taken with a
    probability that rises with the square of the multiplicity. A fifth of the simulated events is kept for them; some
    are measured, and the others, at least as many, are the template that is subtracted.
    Raises InputError for an unknown observable, a label without events, or a background that a fifth cannot give.
    """
    if unknown := [name for name in observables if f"gen_{name}" not in events.fields]:
        raise InputError(f"there is no observable {unknown[0]!r}{suggest(unknown[0], OBSERVABLES)}")
    label = np.asarray(events.label)
    ours, theirs = np.flatnonzero(label == simulation), np.flatnonzero(label == nature)
    if not len(ours) or not len(theirs):
        raise InputError(f"simulation={simulation}, nature={nature}: labels there are {np.unique(label).tolist()}.")
    gen, sim = (
        np.stack([np.asarray(events[f"{side}_{name}"], float) for name in observables], axis=1)
        for side in ("gen", "sim")
    )
    pass_gen, pass_sim = np.asarray(events.pass_gen, bool), np.asarray(events.pass_sim, bool)
    seen = theirs[pass_sim[theirs]]
    extra, template, weights = sim[:0], sim[:0], np.zeros(0)
    if background:
        kept, ours = ours[: len(ours) // 5], ours[len(ours) // 5 :]
        kept = kept[pass_sim[kept]]
        extra, template = _gluonic(sim[kept], np.asarray(events.sim_mult, float)[kept], background * len(seen), seed)
        weights = np.full(len(template), len(extra) / len(template))
    names = tuple(observables)
    scale = np.full(len(ours), (pass_gen | pass_sim)[theirs].sum() / (pass_gen | pass_sim)[ours].sum())
    made = Simulation(gen[ours], sim[ours], scale, pass_gen[ours], pass_sim[ours], names)
    measured = Measured(np.concatenate([sim[seen], extra]), background=template, background_weights=weights)
    return Problem(made, measured, gen[theirs[pass_gen[theirs]]])


def _gluonic(sim: Floats, multiplicity: Floats, expected: float, seed: int) -> tuple[Floats, Floats]:
    """Return background events as measured, a Poisson number of them, and others for the template."""
    if not expected > 0:
        raise InputError(f"background gives {expected:g} events; expected a positive share.")
    generator = rng(seed, "zjets", "background")
    rising = (multiplicity / np.quantile(multiplicity, 0.95)) ** 2
    chosen = generator.permutation(sim[generator.random(len(sim)) < rising])
    n = int(generator.poisson(expected))
    if 2 * n > len(chosen):
        raise InputError(f"{n} background events are wanted, and the simulation has {len(chosen) // 2} for them.")
    return chosen[:n], chosen[n:]


def ttbar(
    events: Any, *, simulation: Sequence[int] = (2,), nature: int = 4, half: int = 0, weights: Any = None
) -> Problem:
    """Return the mass of the hadronic top as a problem, from a split of `ttbar-mass`.

    simulation: labels of the masses that the simulation mixes in equal parts; nature: that of the measured events.
    Before the detector there is `mass`, that of the top which decays to quarks, in `TOP_WINDOW`; after it are `mass`
    (m_bjj), m_jj and m_lb of events with two b tags, and the others are lost. All are in GeV. Every second event, from
    number `half` (0 or 1) on, is nature's, the others are the simulation's: no event is on both sides, even where a
    mass is. The simulation is scaled to nature's number of events. weights: (n,) of the events, say of a bootstrap.
    Raises InputError for a label without events.
    """
    label, factor = np.asarray(events.label), np.ones(len(events)) if weights is None else np.asarray(weights, float)
    measured = (np.arange(len(label)) % 2 == half) & (label == nature)
    parts = [np.flatnonzero((np.arange(len(label)) % 2 != half) & (label == one)) for one in simulation]
    if not measured.any() or not parts or not all(map(len, parts)):
        there = np.unique(label).tolist()
        raise InputError(f"simulation={simulation!r}, nature={nature!r}: labels with events are {there}.")
    gen = np.asarray(events.gen_top_had_mass, float)
    sim = np.stack([np.asarray(events[name], float) for name in ("m_bjj", "m_jj", "m_lb")], axis=1)
    pass_gen, pass_sim = (gen > TOP_WINDOW[0]) & (gen < TOP_WINDOW[1]), np.isfinite(sim).all(axis=1)
    scale = np.concatenate([np.full(len(part), measured.sum() / len(part) / len(parts)) for part in parts])
    rows, seen = np.concatenate(parts), measured & pass_sim
    made = Simulation(gen[rows], sim[rows], scale * factor[rows], pass_gen[rows], pass_sim[rows],
                      ("mass",), ("mass", "m_jj", "m_lb"))  # fmt: skip
    return Problem(made, Measured(sim[seen], factor[seen]), gen[measured & pass_gen][:, None])
