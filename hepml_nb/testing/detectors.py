"""What holds for every registered anomaly method, one check each; a new method is swept without writing a test."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hepml_nb.anomaly import Events, TemplateMethod, concatenate, make, method
from hepml_nb.anomaly.latent_kernel import LatentKernel
from hepml_nb.anomaly.outlier import OutlierMethod
from hepml_nb.anomaly.problems import Problem, toy
from hepml_nb.anomaly.sample import Floats
from hepml_nb.core import RunError, rng
from hepml_nb.stats import auc
from hepml_nb.testing.promises import refuses, require

__all__ = ["DETECTOR_CHECKS", "check_detector"]


def check_detector(name: str) -> None:
    """Run every check on the registered method `name`, on the resonance toy; raise ConformanceError where one fails."""
    for check in DETECTOR_CHECKS.values():
        check(name)


@functools.cache
def _problem() -> Problem:
    """Return a search with a signal that nobody can miss: one event in six of the window."""
    return toy(8000, 300, 7, pure_background=1500, pure_signal=1000, test_background=3000, test_signal=1000)


def _new(name: str) -> Any:
    """Return the "small" configuration with networks trained for a few epochs only, and few members of ensembles."""
    config = method(name).cls.configs["small"]
    changes: dict[str, Any] = {}
    if hasattr(config, "fit"):
        changes["epochs"] = min(config.fit.epochs, 10)
    for field in dataclasses.fields(config):
        if field.name == "members":
            changes["members"] = min(config.members, 3)
        if field.name == "classifier":
            changes["classifier"] = replace(config.classifier, members=min(config.classifier.members, 3))
    return make(name, "small", **changes)


def _fitted(name: str, problem: Problem, seed: int = 0, untrained: bool = False) -> Any:
    return _new(name).fit(
        problem.sideband, problem.signal_region, background=problem.background, signal=problem.signal,
        seed=seed, untrained=untrained,
    )  # fmt: skip


@functools.cache
def _scores(name: str, seed: int = 0, untrained: bool = False, again: int = 0) -> Floats:
    """Return the test events' scores; `again` asks for a second, equal training."""
    scores: Floats = _fitted(name, _problem(), seed, untrained).score(_problem().test)
    return scores


def _area(scores: Floats) -> float:
    return auc(_problem().test.labels, scores).value


def _odd_area(name: str, untrained: bool) -> float:
    """Return how well events of four features, of which two follow from the others, are told from shuffled ones."""
    u, noise = rng(7, "usual").standard_normal((2500, 2)), rng(7, "noise").standard_normal((2500, 4))
    table = np.column_stack([u, u[:, 0] + u[:, 1], u[:, 0] - u[:, 1]]) + 0.1 * noise
    if issubclass(method(name).cls, LatentKernel):
        # the encoder drops how far an event is from where the features agree; two places where they do it cannot drop
        table = np.sign(u[:, :1]) + 0.3 * noise
    odd = np.column_stack([rng(7, "odd", i).permutation(column) for i, column in enumerate(table[2000:].T)])
    made = _new(name).learn(Events(np.full(2000, 3.5), table[:2000]), seed=7, untrained=untrained)
    test = Events(np.full(1000, 3.5), np.concatenate([table[2000:], odd]))
    return auc(np.repeat([0, 1], 500), made.score(test)).value


def scores_are_one_finite_number_per_event(name: str) -> None:
    """A score (n,) for n events, also for one and for none, the same whatever other events are scored with it."""
    problem = _problem()
    made, test = _fitted(name, problem), problem.test
    scores = made.score(test)
    require(scores.shape == (len(test),) and bool(np.isfinite(scores).all()), name, "one finite score per event")
    require(made.score(test[:0]).shape == (0,), name, "no scores for no events")
    chosen = rng(7, "some").permutation(len(test))[:100]
    spread = scores.std()
    require(np.allclose(made.score(test[chosen]), scores[chosen], atol=1e-3 * spread), name, "scores event by event")
    require(np.allclose(made.score(test[[5]]), scores[[5]], atol=1e-3 * spread), name, "scores one event alone")


def trainings_repeat_by_seed(name: str) -> None:
    """The same seed gives the same scores bitwise; another seed others, unless the method is deterministic."""
    require(np.array_equal(_scores(name), _scores(name, again=1)), name, "the same seed gives the same scores")
    equal, steady = np.array_equal(_scores(name), _scores(name, seed=1)), method(name).cls.deterministic
    require(equal is steady, name, f"another seed changes the scores: {not steady}")


def labels_of_the_data_are_not_read(name: str) -> None:
    """Data whose labels are unknown give the same scores."""
    problem = _problem()
    hidden = [Events(one.mjj, one.features, one.names) for one in (problem.sideband, problem.signal_region)]
    blind = _fitted(name, problem._replace(sideband=hidden[0], signal_region=hidden[1])).score(problem.test)
    require(np.array_equal(blind, _scores(name)), name, "learns the same without labels")


def a_strong_signal_is_found(name: str) -> None:
    """Signal scores above background, and more so than before the training.

    An outlier method learns no signal: it must find events whose features, each of them usual, do not go together.
    """
    if issubclass(method(name).cls, OutlierMethod):
        trained, untrained = (_odd_area(name, how) for how in (False, True))
        require(trained > 0.75, name, f"finds events that do not belong (AUC {trained:.3f})")
        require(untrained < trained - 0.1, name, f"learns to (AUC {trained:.3f}, untrained {untrained:.3f})")
        return
    trained, untrained = _area(_scores(name)), _area(_scores(name, untrained=True))
    require(trained > 0.6, name, f"finds a signal of one event in six (AUC {trained:.3f})")
    require(untrained < trained - 0.02, name, f"learns to (AUC {trained:.3f}, untrained {untrained:.3f})")


def templates_look_like_background(name: str) -> None:
    """A template has masses in the window and the background's features, and is drawn by seed."""
    if not issubclass(method(name).cls, TemplateMethod):
        return
    problem = _problem()
    made = _fitted(name, problem)
    drawn, again, other = (made.template(1500, seed) for seed in (0, 0, 1))
    require(len(drawn) == 1500 and drawn.labels is None, name, "as many unlabelled events as asked for")
    require(drawn.names == problem.signal_region.names, name, "the columns of the data")
    require(bool(problem.window.inside(drawn.mjj).all()), name, "masses in the window")
    require(np.array_equal(drawn.features, again.features), name, "the same seed draws the same events")
    require(not np.array_equal(drawn.features, other.features), name, "another seed draws others")
    truth = problem.background.features
    apart = np.abs(np.median(drawn.features, axis=0) - np.median(truth, axis=0)) / truth.std(axis=0)
    require(float(apart.max()) < 0.3, name, f"medians of the background (apart by {np.round(apart, 2).tolist()} sigma)")


def bad_input_is_refused(name: str) -> None:
    """What cannot be learnt from raises InputError, a score before the fit RunError."""
    problem = _problem()
    sideband, window, test = problem.sideband, problem.signal_region, problem.test
    constant = window.features.copy()
    constant[:, 1] = 0.5

    def fit(**changes: Any) -> Callable[[], object]:
        return lambda: _fitted(name, problem._replace(**changes))

    refuses(name, "fit", lambda: _new(name).score(test), RunError)
    refuses(name, window.names[1], fit(signal_region=Events(window.mjj, constant, window.names, window.labels)))
    refuses(name, "10 events", fit(signal_region=window[:10]))
    refuses(name, "columns", fit(sideband=sideband.only(*sideband.names[1:])))
    refuses(name, "both sides", fit(sideband=sideband[sideband.mjj < problem.window.low]))
    refuses(name, "inside", fit(sideband=concatenate([sideband, window[:60]])))
    for pure in method(name).cls.needs:
        refuses(name, pure, lambda pure=pure: fit(**{pure: None})())  # type: ignore[misc]
        refuses(name, "also in", fit(**{pure: concatenate([getattr(problem, pure), window[:5]])}))
    made = _fitted(name, problem, untrained=True)
    refuses(name, "columns", lambda: made.score(test.only(*test.names[1:])))


def nothing_around_is_changed(name: str) -> None:
    """A fit leaves the events and numpy's and torch's global generators as they were."""

    def state() -> list[bytes]:
        keys = [np.random.get_state(legacy=False)["state"]["key"].tobytes()]  # noqa: NPY002 - it must not move
        return keys + ([sys.modules["torch"].get_rng_state().numpy().tobytes()] if "torch" in sys.modules else [])

    problem = _problem()
    _new(name)  # imports what it needs
    tables = [problem.sideband.features, problem.signal_region.features, problem.signal_region.mjj, problem.test.mjj]
    copies, before = [one.copy() for one in tables], state()
    _scores(name, again=2)
    require(before == state(), name, "global generators are left alone")
    require(all(map(np.array_equal, copies, tables)), name, "the events are not changed")


DETECTOR_CHECKS: dict[str, Callable[[str], None]] = {
    check.__name__: check
    for check in (
        scores_are_one_finite_number_per_event,
        trainings_repeat_by_seed,
        labels_of_the_data_are_not_read,
        a_strong_signal_is_found,
        templates_look_like_background,
        bad_input_is_refused,
        nothing_around_is_changed,
    )
}
