"""What holds for every registered tagger, one check each; a new method is swept without writing a test."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepml_nb.core import RunError, rng
from hepml_nb.stats import roc
from hepml_nb.tagging import Tagger, make
from hepml_nb.testing.promises import ConformanceError, refuses, require
from hepml_nb.testing.toys import toy_jets, without

__all__ = ["TAGGER_CHECKS", "check_tagger"]


def check_tagger(name: str) -> None:
    """Run every check on the registered tagger `name` with toy jets; raise ConformanceError at the first that fails."""
    for check in TAGGER_CHECKS.values():
        check(name)


@functools.cache
def _sample(split: str) -> Any:
    sizes = {"train": 2000, "val": 500, "test": 1500}
    return toy_jets(sizes[split], seed=list(sizes).index(split))


@functools.cache
def _fitted(name: str, seed: int = 0, untrained: bool = False, again: int = 0) -> Tagger:
    """Return the "small" configuration, networks for four epochs only; `again` asks for a second, equal training."""
    tagger = make(name, "small")
    if hasattr(tagger.config, "fit"):
        tagger = make(name, "small", epochs=4, batch_size=64)
    return tagger.fit(_sample("train"), _sample("val"), seed=seed, untrained=untrained)


def _close(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return bool(np.allclose(a, b, rtol=1e-4, atol=1e-5))


def _auc(scores: npt.NDArray[Any]) -> float:
    return roc(ak.to_numpy(_sample("test").label), scores).auc


def scores_have_the_right_shape_and_range(name: str) -> None:
    """One finite float64 per jet, in [0, 1] where they are probabilities."""
    tagger = _fitted(name)
    scores = tagger.scores(_sample("test"))
    require(scores.shape == (len(_sample("test")),) and scores.dtype == np.float64, name, "one float64 per jet")
    require(bool(np.isfinite(scores).all()), name, "scores are finite")
    inside = bool(((scores >= 0) & (scores <= 1)).all())
    require(inside or not tagger.probability, name, "probabilities lie in [0, 1]")
    require(tagger.trained and tagger.n_parameters > 0, name, "a fitted tagger says so and counts its parameters")


def training_repeats_by_seed(name: str) -> None:
    """The same seed gives the same scores bitwise; another seed others, unless the method is deterministic."""
    test, same = _sample("test"), _fitted(name, again=1)
    scores, other = _fitted(name).scores(test), _fitted(name, seed=1).scores(test)
    require(np.array_equal(scores, same.scores(test)), name, "the same seed gives the same scores")
    equal = np.array_equal(scores, other)
    require(equal is same.deterministic, name, f"another seed changes the scores: {not same.deterministic}")


def saved_and_loaded_scores_are_equal(name: str) -> None:
    """A folder of JSON and safetensors brings the same scores, configuration and state back."""
    tagger = _fitted(name)
    with tempfile.TemporaryDirectory() as folder:
        path = tagger.save(Path(folder) / "tagger")
        kinds = {file.suffix for file in path.iterdir()}
        loaded = Tagger.load(path)
    require(kinds == {".json", ".safetensors"}, name, f"saves JSON and safetensors only, not {sorted(kinds)}")
    same = np.array_equal(loaded.scores(_sample("test")), tagger.scores(_sample("test")))
    require(same, name, "a loaded tagger gives the same scores")
    require(loaded.config == tagger.config and loaded.trained, name, "a loaded tagger has the same configuration")


def order_does_not_matter(name: str) -> None:
    """Neither the order of the constituents nor that of the jets changes a score."""
    jets, tagger = _sample("test"), _fitted(name)
    scores = tagger.scores(jets)
    key = ak.unflatten(rng(0, "order").random(ak.sum(ak.num(jets.constituents))), ak.num(jets.constituents))
    shuffled = ak.with_field(jets, jets.constituents[ak.argsort(key)], "constituents")
    require(_close(tagger.scores(shuffled), scores), name, "the order of constituents does not matter")
    order = rng(0, "rows").permutation(len(jets))
    require(_close(tagger.scores(jets[order]), scores[order]), name, "the order of jets does not matter")


def one_constituent_is_enough(name: str) -> None:
    """Jets of a single constituent get finite scores."""
    jets = _sample("test")[:20]
    jets = ak.with_field(jets, jets.constituents[:, :1], "constituents")
    for column in ("mass", "msoftdrop", "tau1", "tau2", "tau3", "tau4", "c2", "d2", "n2", "m2"):
        jets = ak.with_field(jets, np.zeros(20, np.float32), column)
    require(bool(np.isfinite(_fitted(name).scores(jets)).all()), name, "jets of one constituent get finite scores")


def bad_jets_are_refused(name: str) -> None:
    """Missing columns, NaN, empty jets, no jets and wrong labels each raise InputError naming the trouble."""
    jets, tagger = _sample("test"), _fitted(name)
    for column in tagger.columns:
        refuses(name, column, functools.partial(tagger.scores, without(jets, column)))
        if column != "constituents":
            bad = ak.with_field(jets, np.where(np.arange(len(jets)) == 7, np.nan, ak.to_numpy(jets[column])), column)
            refuses(name, f"{column}' is nan or infinite in 1 of", functools.partial(tagger.scores, bad))
    if "constituents" in tagger.columns:
        words = "1 of 1500 jets have no constituents (first in row 3)"
        refuses(name, words, lambda: tagger.scores(_with_empty_jet(jets, 3)))
        parts = ak.with_field(jets.constituents, jets.constituents.pt * np.nan, "pt")
        refuses(name, "nan or infinite", lambda: tagger.scores(ak.with_field(jets, parts, "constituents")))
    refuses(name, "no jets", lambda: tagger.scores(jets[:0]))
    refuses(name, "expected an awkward array", lambda: tagger.scores(np.zeros((3, 2))))
    three = ak.with_field(jets, np.arange(len(jets)) % 3, "label")
    refuses(name, "jets['label'] = jets.label == 2", lambda: make(name).fit(three, jets))
    refuses(name, "needs both classes", lambda: make(name).fit(jets[jets.label == 1], jets))


def _with_empty_jet(jets: Any, row: int) -> Any:
    keep = ak.ones_like(jets.constituents.pt) * (np.arange(len(jets)) != row) > 0
    return ak.with_field(jets, jets.constituents[keep], "constituents")


def an_unfitted_tagger_says_so(name: str) -> None:
    """Scores and saving before a fit raise RunError."""
    for call in (lambda: make(name).scores(_sample("test")), lambda: make(name).save("nowhere")):
        try:
            call()
        except RunError as error:
            require("fit" in str(error), name, "the message says what to call first")
        else:
            raise ConformanceError(f"{name}: an unfitted tagger gives no scores")


def untrained_is_worse(name: str) -> None:
    """Without training the AUC is far below the trained one, which is good."""
    untrained = _fitted(name, untrained=True)
    trained_auc, auc = _auc(_fitted(name).scores(_sample("test"))), _auc(untrained.scores(_sample("test")))
    require(not untrained.trained, name, "an untrained tagger says so")
    require(trained_auc > 0.93, name, f"separates toy jets (AUC {trained_auc:.3f})")
    require(auc < trained_auc - 0.03, name, f"untrained AUC {auc:.3f} is well below the trained {trained_auc:.3f}")


def _numpy_state() -> npt.NDArray[Any]:
    return np.asarray(np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002 - the one that must not move


def global_state_is_left_alone(name: str) -> None:
    """A training leaves torch's and numpy's global generators where they were, and the jets as they were."""
    import torch

    before = torch.get_rng_state(), _numpy_state()
    jets = toy_jets(200, seed=5)
    fields, masses = jets.fields, ak.to_numpy(jets.mass).copy()
    tagger = make(name, "small", **({"epochs": 1} if hasattr(make(name).config, "fit") else {}))
    tagger.fit(jets, jets).scores(jets)
    require(torch.equal(before[0], torch.get_rng_state()), name, "torch's generator is left alone")
    require(np.array_equal(before[1], _numpy_state()), name, "numpy's generator is left alone")
    require(jets.fields == fields and np.array_equal(masses, ak.to_numpy(jets.mass)), name, "jets are not changed")


TAGGER_CHECKS: dict[str, Callable[[str], None]] = {
    check.__name__: check
    for check in (
        scores_have_the_right_shape_and_range,
        training_repeats_by_seed,
        saved_and_loaded_scores_are_equal,
        order_does_not_matter,
        one_constituent_is_enough,
        bad_jets_are_refused,
        an_unfitted_tagger_says_so,
        untrained_is_worse,
        global_state_is_left_alone,
    )
}
