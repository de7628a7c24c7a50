"""The promises of outlier methods on jets, run on every registered one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.anomaly import jet_method, make_jet
from hepml_nb.anomaly.sample import Floats
from hepml_nb.core import RunError, rng
from hepml_nb.stats import auc
from hepml_nb.testing.promises import refuses, require
from hepml_nb.testing.toys import toy_jets, without

__all__ = ["JET_OUTLIER_CHECKS", "check_jet_outlier"]


def check_jet_outlier(name: str) -> None:
    """Run every check on the registered method `name`, on toy jets; raise ConformanceError where one fails."""
    for check in JET_OUTLIER_CHECKS.values():
        check(name)


@functools.cache
def _sample() -> tuple[Any, Any, Any]:
    """Return usual jets (QCD), known ones (W) and test jets: QCD (label 0) and tops (label 1), seen by nobody."""
    jets = toy_jets(3000, 5, classes=3)
    of = [jets[jets.label == label] for label in (0, 1, 2)]
    test = ak.concatenate([of[0][600:], of[2][:400]])
    test["label"] = np.repeat(np.array([0, 1], np.int8), [len(of[0]) - 600, 400])
    return of[0][:600], of[1][:600], test


def _new(name: str) -> Any:
    """Return the "small" configuration, trained for a few epochs only."""
    config = jet_method(name).small
    return make_jet(name, "small", **({"epochs": min(config.fit.epochs, 10)} if hasattr(config, "fit") else {}))


def _fitted(name: str, jets: Any = None, known: Any = None, seed: int = 0, untrained: bool = False) -> Any:
    usual, other, _ = _sample()
    jets, known = usual if jets is None else jets, other if known is None else known
    return _new(name).learn(jets, known=known, seed=seed, untrained=untrained)


@functools.cache
def _scores(name: str, seed: int = 0, untrained: bool = False, again: int = 0) -> Floats:
    """Return the test jets' scores; `again` asks for a second, equal training."""
    scores: Floats = _fitted(name, seed=seed, untrained=untrained).score(_sample()[2])
    return scores


def scores_are_one_finite_number_per_jet(name: str) -> None:
    """A score (n,) for n jets, the same whatever other jets are scored with it."""
    test = _sample()[2]
    made, scores = _fitted(name), _scores(name)
    require(scores.shape == (len(test),) and bool(np.isfinite(scores).all()), name, "one finite score per jet")
    chosen = rng(7, "some").permutation(len(test))[:50]
    spread = scores.std()
    require(np.allclose(made.score(test[chosen]), scores[chosen], atol=1e-3 * spread), name, "scores jet by jet")
    require(np.allclose(made.score(test[[5]]), scores[[5]], atol=1e-3 * spread), name, "scores one jet alone")


def particles_have_no_order(name: str) -> None:
    """A jet's score does not depend on the order in which its particles stand."""
    test = _sample()[2][:50]
    turned = ak.with_field(test, test.constituents[:, ::-1], "constituents")
    made, spread = _fitted(name), _scores(name).std()
    require(np.allclose(made.score(turned), made.score(test), atol=1e-3 * spread), name, "scores sets of particles")


def trainings_repeat_by_seed(name: str) -> None:
    """The same seed gives the same scores bitwise; another seed others."""
    require(np.array_equal(_scores(name), _scores(name, again=1)), name, "the same seed gives the same scores")
    require(not np.array_equal(_scores(name), _scores(name, seed=1)), name, "another seed changes the scores")


def labels_of_the_usual_jets_are_not_read(name: str) -> None:
    """Usual jets whose labels are something else give the same scores."""
    hidden = ak.with_field(_sample()[0], np.full(len(_sample()[0]), 7, np.int8), "label")
    blind = _fitted(name, jets=hidden).score(_sample()[2])
    require(np.array_equal(blind, _scores(name)), name, "learns the same without labels")


def unseen_jets_are_found(name: str) -> None:
    """Tops, which no training has seen, score above QCD, and more so than before the training."""
    labels = _sample()[2].label
    trained, untrained = (auc(labels, _scores(name, untrained=how)).value for how in (False, True))
    require(trained > 0.65, name, f"finds jets of a class it has not seen (AUC {trained:.3f})")
    require(untrained < trained - 0.02, name, f"learns to (AUC {trained:.3f}, untrained {untrained:.3f})")


def bad_input_is_refused(name: str) -> None:
    """What cannot be learnt from raises InputError, a score before that RunError."""
    usual, known, test = _sample()
    made = _fitted(name, untrained=True)
    refuses(name, "learn", lambda: _new(name).score(test), RunError)
    refuses(name, "10 jets", lambda: _fitted(name, jets=usual[:10]))
    refuses(name, "constituents", lambda: _fitted(name, jets=without(usual, "constituents")))
    refuses(name, "constituents", lambda: made.score(without(test, "constituents")))
    refuses(name, "0 rows", lambda: made.score(test[:0]))
    if jet_method(name).cls.knows:
        refuses(name, "known", lambda: _new(name).learn(usual))
        refuses(name, "label", lambda: _fitted(name, known=without(known, "label")))


JET_OUTLIER_CHECKS: dict[str, Callable[[str], None]] = {
    check.__name__: check
    for check in (
        scores_are_one_finite_number_per_jet,
        particles_have_no_order,
        trainings_repeat_by_seed,
        labels_of_the_usual_jets_are_not_read,
        unseen_jets_are_found,
        bad_input_is_refused,
    )
}
