"""What every tagger promises: fit, scores, save, load, and clear words for bad input."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from hepml_nb.core import InputError, RunError, atomic_dir, suggest
from hepml_nb.tagging.checks import check_jets, labels_of
from hepml_nb.tagging.observables import OBSERVABLES, columns_of, compute

__all__ = ["Particles", "Tagger", "configure"]

Arrays = dict[str, npt.NDArray[Any]]
Scores = npt.NDArray[np.float64]

_SCHEMA = 1


class Particles(NamedTuple):
    """The particles of many jets, one after another: values (sum of lengths, features) float32, lengths (n,) int64."""

    values: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]


class Tagger(ABC):
    """A method that learns to tell signal (label 1) from background (label 0) jets.

    A subclass names itself, its configurations ("paper": the published defaults, "small": for two cores) and its
    columns, and writes `_learn`, `_start`, `_score`, `_state` and `_restore`. Its inputs are the observables (n, k)
    unless it overrides `_inputs`. Its whole memory is a dict of arrays, so saving needs no pickle.
    """

    name: ClassVar[str]
    configs: ClassVar[Mapping[str, Any]]
    columns: ClassVar[tuple[str, ...]] = columns_of()
    inputs: ClassVar[str] = "observables"
    deterministic: ClassVar[bool] = False  # the seed changes nothing
    probability: ClassVar[bool] = True  # scores estimate p(signal) at the training's class mix
    packing: ClassVar[Any] = Particles  # of inputs of unequal length: a NamedTuple, `lengths` (n,) and rows of members
    chunk: ClassVar[int] = 50_000  # jets prepared and scored at a time

    def __init__(self, config: Any = None) -> None:
        self.config = self.configs["paper"] if config is None else config
        self.trained = False
        self._ready = False

    def fit(self, train: Any, val: Any, seed: int = 0, *, untrained: bool = False) -> Self:
        """Learn from the jets `train`; `val` serves early stopping only. Return self.

        untrained=True stops before the first step (random weights, or the same score for all): what a notebook
        with `train = False` shows, and what every golden band must exclude.
        Raises InputError for missing columns, NaN, empty jets, or labels other than both of 0 and 1.
        """
        return self.fit_inputs(
            self.prepare(train), labels_of(train), self.prepare(val), labels_of(val), seed, untrained=untrained
        )

    def fit_inputs(
        self,
        x: Any,
        y: npt.NDArray[Any],
        x_val: Any,
        y_val: npt.NDArray[Any],
        seed: int = 0,
        *,
        untrained: bool = False,
    ) -> Self:
        """Learn from inputs that `prepare` made, with labels (n,) of 0 and 1; for sweeps that keep the inputs."""
        if untrained:
            self._start(x, y, seed)
        else:
            self._learn(x, y, x_val, y_val, seed)
        self.trained, self._ready = not untrained, True
        return self

    def scores(self, jets: Any) -> Scores:
        """Return one number per jet, shape (n,), higher for signal: a probability, or a cut's discriminant."""
        self._must_be_ready("scores")
        check_jets(jets, self.columns, method=self.name)
        parts = [self.score_inputs(self._inputs(jets[i : i + self.chunk])) for i in range(0, len(jets), self.chunk)]
        return np.concatenate(parts)

    def score_inputs(self, x: Any) -> Scores:
        """Return the scores of inputs that `prepare` made."""
        self._must_be_ready("score_inputs")
        return np.asarray(self._score(x), dtype=np.float64)

    def prepare(self, jets: Any) -> Any:
        """Return what the method sees of the jets; raise InputError for jets it cannot use."""
        check_jets(jets, self.columns, method=self.name)
        return self._inputs(jets)

    def save(self, path: str | Path) -> Path:
        """Write the folder `path` (JSON and safetensors; it appears complete or not at all) and return it."""
        self._must_be_ready("save")
        about = {"schema": _SCHEMA, "tagger": self.name, "trained": self.trained, "inputs": self._input_names()}
        about["config"] = dataclasses.asdict(self.config)
        with atomic_dir(path) as folder:
            save_file({k: np.ascontiguousarray(v) for k, v in self._state().items()}, folder / "state.safetensors")
            (folder / "tagger.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Tagger:
        """Read a tagger that `save` wrote; no code in the folder is run.

        Raises InputError where the folder is incomplete, of another method, or made with other observables.
        """
        from hepml_nb.tagging.registry import method

        try:
            about = json.loads((Path(path) / "tagger.json").read_text(encoding="utf-8"))
            state = load_file(Path(path) / "state.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise InputError(f"{path} holds no saved tagger ({error}).") from error
        if about.get("schema") != _SCHEMA:
            raise InputError(f"{path} has schema {about.get('schema')!r}; this version reads {_SCHEMA}.")
        kind = method(about["tagger"]).cls
        if not issubclass(kind, cls):
            raise InputError(f"{path} holds a {about['tagger']!r} tagger, not {cls.__name__}; use Tagger.load.")
        tagger = kind(configure(kind.configs["paper"], about["config"]))
        if about["inputs"] != tagger._input_names():
            raise InputError(f"{path} was trained on {about['inputs']}; this version gives {tagger._input_names()}.")
        try:
            tagger._restore(state)
        except (KeyError, RuntimeError, IndexError) as error:
            raise InputError(f"{path}/state.safetensors does not fit its configuration: {error}") from error
        tagger.trained, tagger._ready = bool(about["trained"]), True
        return tagger

    def __repr__(self) -> str:
        state = "trained" if self.trained else "untrained"
        size = f", {self.n_parameters:,} parameters" if self._ready else ""
        return f"{type(self).__name__}({state}{size})"

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """The number of fitted numbers."""

    @abstractmethod
    def _learn(self, x: Any, y: npt.NDArray[Any], x_val: Any, y_val: npt.NDArray[Any], seed: int) -> None: ...

    @abstractmethod
    def _start(self, x: Any, y: npt.NDArray[Any], seed: int) -> None: ...

    @abstractmethod
    def _score(self, x: Any) -> npt.NDArray[Any]: ...

    @abstractmethod
    def _state(self) -> Arrays: ...

    @abstractmethod
    def _restore(self, state: Arrays) -> None: ...

    def _inputs(self, jets: Any) -> Any:
        return compute(jets)

    def _input_names(self) -> list[str]:
        return list(OBSERVABLES)

    def _must_be_ready(self, verb: str) -> None:
        if not self._ready:
            raise RunError(
                f"{verb} needs a fitted {self.name} tagger; call .fit(train, val) or Tagger.load(path) first."
            )


def configure(config: Any, changes: Mapping[str, Any]) -> Any:
    """Return the frozen configuration with changes; a setting of the training (epochs, lr, ...) may be named directly.

    Raises InputError for an unknown name, with the nearest that exists.
    """
    own = {f.name for f in dataclasses.fields(config)}
    inner = {f.name for f in dataclasses.fields(config.fit)} if "fit" in own else set()
    direct: dict[str, Any] = {}
    nested: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "fit" and isinstance(value, Mapping):
            nested.update(value)
        elif name in own:
            direct[name] = tuple(value) if isinstance(value, list) else value
        elif name in inner:
            nested[name] = value
        else:
            raise InputError(f"{type(config).__name__} has no setting {name!r}{suggest(name, own | inner)}")
    if nested:
        if unknown := sorted(set(nested) - inner):
            raise InputError(f"FitConfig has no setting {unknown[0]!r}{suggest(unknown[0], inner)}")
        direct["fit"] = dataclasses.replace(direct.get("fit", config.fit), **nested)
    return dataclasses.replace(config, **direct)
