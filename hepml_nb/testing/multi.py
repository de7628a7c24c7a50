"""What holds for every registered tagger of many classes, one check each, as `taggers` has it for two classes."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import RunError, rng
from hepml_nb.tagging import Tagger, make
from hepml_nb.tagging.multi import MultiTagger
from hepml_nb.testing.promises import ConformanceError, refuses, require
from hepml_nb.testing.toys import toy_jets, without

__all__ = ["MULTI_CHECKS"]

_CLASSES = ("qcd", "w", "top")


@functools.cache
def _sample(split: str) -> Any:
    sizes = {"train": 1500, "val": 300, "test": 900}
    return toy_jets(sizes[split], seed=list(sizes).index(split), classes=3)


def _new(name: str, **settings: Any) -> MultiTagger:
    tagger = make(name, "small", classes=_CLASSES, **settings)
    if not isinstance(tagger, MultiTagger):
        raise ConformanceError(f"{name}: is a MultiTagger")
    return tagger


@functools.cache
def _fitted(name: str, seed: int = 0, untrained: bool = False, again: int = 0) -> MultiTagger:
    tagger = _new(name, epochs=4, batch_size=64)
    return tagger.fit(_sample("train"), _sample("val"), seed=seed, untrained=untrained)


def _accuracy(tagger: MultiTagger) -> float:
    return float((tagger.predictions(_sample("test")) == ak.to_numpy(_sample("test").label)).mean())


def scores_are_probabilities_of_every_class(name: str) -> None:
    """A float64 per jet and class, not negative, summing to 1; the classes have their names."""
    tagger, test = _fitted(name), _sample("test")
    scores = tagger.scores(test)
    require(scores.shape == (len(test), 3) and scores.dtype == np.float64, name, "one float64 per jet and class")
    require(bool((scores >= 0).all()) and np.allclose(scores.sum(1), 1), name, "probabilities that sum to 1")
    require(tagger.classes == _CLASSES and tagger.n_parameters > 0, name, "knows its classes and parameters")
    require(np.array_equal(tagger.predictions(test), scores.argmax(1)), name, "predicts the most probable class")


def training_repeats_by_seed(name: str) -> None:
    """The same seed gives the same scores bitwise, another seed others."""
    scores = [_fitted(name, seed, again=again).scores(_sample("test")) for seed, again in ((0, 0), (0, 1), (1, 0))]
    require(np.array_equal(scores[0], scores[1]), name, "the same seed gives the same scores")
    require(not np.array_equal(scores[0], scores[2]), name, "another seed gives other scores")


def saved_and_loaded_scores_are_equal(name: str) -> None:
    """A folder of JSON and safetensors brings scores, classes and configuration back."""
    tagger = _fitted(name)
    with tempfile.TemporaryDirectory() as folder:
        path = tagger.save(Path(folder) / "tagger")
        kinds = {file.suffix for file in path.iterdir()}
        loaded = Tagger.load(path)
    require(kinds == {".json", ".safetensors"}, name, f"saves JSON and safetensors only, not {sorted(kinds)}")
    require(loaded.config == tagger.config and loaded.trained, name, "a loaded tagger has the same configuration")
    same = np.array_equal(loaded.scores(_sample("test")), tagger.scores(_sample("test")))
    require(same, name, "a loaded tagger gives the same scores")


def order_does_not_matter(name: str) -> None:
    """Neither the order of the constituents nor that of the jets changes a score."""
    jets, tagger = _sample("test"), _fitted(name)
    scores = tagger.scores(jets)
    counts = ak.num(jets.constituents)
    key = ak.unflatten(rng(0, "order").random(int(ak.sum(counts))), counts)
    shuffled = ak.with_field(jets, jets.constituents[ak.argsort(key)], "constituents")
    order = rng(0, "rows").permutation(len(jets))
    for other, wanted in ((shuffled, scores), (jets[order], scores[order])):
        require(np.allclose(tagger.scores(other), wanted, rtol=1e-4, atol=1e-5), name, "order does not matter")


def one_constituent_is_enough(name: str) -> None:
    """Jets of a single constituent get finite scores."""
    jets = _sample("test")[:20]
    jets = ak.with_field(jets, jets.constituents[:, :1], "constituents")
    require(bool(np.isfinite(_fitted(name).scores(jets)).all()), name, "jets of one constituent get finite scores")


def bad_jets_are_refused(name: str) -> None:
    """Missing columns, no class for a label, a class without jets each raise InputError naming the trouble."""
    jets, tagger = _sample("test"), _fitted(name)
    column = tagger.columns[0] if tagger.columns else tagger.config.signals[0]
    refuses(name, column, lambda: tagger.scores(without(jets, column)))
    refuses(name, "there are 2 classes", lambda: make(name, classes=_CLASSES[:2]).fit(jets, jets))
    refuses(name, "no jet is of class ['top']", lambda: _new(name).fit(jets[jets.label < 2], jets))
    refuses(name, "'label'", lambda: _new(name).fit(without(jets, "label"), jets))


def an_unfitted_tagger_says_so(name: str) -> None:
    """Scores before a fit raise RunError."""
    try:
        _new(name).scores(_sample("test"))
    except RunError as error:
        require("fit" in str(error), name, "the message says what to call first")
    else:
        raise ConformanceError(f"{name}: an unfitted tagger gives no scores")


def untrained_is_worse(name: str) -> None:
    """Trained, most toy jets get their class; untrained, no more than chance allows."""
    trained, chance = _accuracy(_fitted(name)), _accuracy(_fitted(name, untrained=True))
    require(trained > 0.7, name, f"tells toy jets of three classes apart (accuracy {trained:.2f})")
    require(chance < 0.55, name, f"an untrained network does not (accuracy {chance:.2f})")


MULTI_CHECKS: dict[str, Callable[[str], None]] = {
    check.__name__: check
    for check in (
        scores_are_probabilities_of_every_class,
        training_repeats_by_seed,
        saved_and_loaded_scores_are_equal,
        order_does_not_matter,
        one_constituent_is_enough,
        bad_jets_are_refused,
        an_unfitted_tagger_says_so,
        untrained_is_worse,
    )
}
