"""The score explorer: pick jets by the place that a tagger gives them, and see what kind of jets they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepml_nb import stats
from hepml_nb.core import InputError, NotFound, suggest
from hepml_nb.widgets.palette import COLOURS, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hepml_nb.widgets.explorer import Panel

__all__ = ["ScoreData", "ScoreState", "ScoreView", "compute_scores", "describe_scores", "draw_chosen", "draw_scores",
           "score_explorer"]  # fmt: skip

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoreState:
    """What the controls say: whose scores, which observable, and which jets: from `low` to `high` % of all by score."""

    tagger: str
    observable: str
    low: int = 0
    high: int = 100


@dataclass(frozen=True)
class ScoreData:
    """Scores by tagger and observables by name, each (n,), labels (n,) of 0 and 1 (signal); `names` of the classes."""

    scores: Mapping[str, npt.ArrayLike]
    observables: Mapping[str, npt.ArrayLike]
    labels: npt.ArrayLike
    names: tuple[str, str] = ("background", "signal")

    def column(self, kind: str, name: str) -> Floats:
        """Return scores or an observable; raise NotFound for an unknown name, InputError for a wrong length or nan."""
        known = self.scores if kind == "scores" else self.observables
        if name not in known:
            raise NotFound(f"there are no {kind} {name!r}{suggest(name, known)}")
        values = np.asarray(known[name], dtype=np.float64)
        if values.shape != np.shape(self.labels) or not np.isfinite(values).all():
            raise InputError(f"{kind} {name!r} has shape {values.shape}; expected a finite number for every label.")
        return values


@dataclass(frozen=True)
class ScoreView:
    """The jets in the window, and the pictures of them.

    window: lowest and highest score in it. counts: of background and signal. share: (value, low, high) of signal,
    68 %. mean: mean score. score_edges, edges: (bins + 1,); score_counts: (2, bins) of all jets; everything, chosen:
    (2, bins) of the observable, of all jets and of those in the window, each of unit area (0 where there are none).
    """

    state: ScoreState
    names: tuple[str, str]
    window: tuple[float, float]
    counts: tuple[int, int]
    share: tuple[float, float, float]
    mean: float
    medians: tuple[float, float]
    score_edges: Floats
    score_counts: Floats
    edges: Floats
    everything: Floats
    chosen: Floats


def compute_scores(state: ScoreState, data: ScoreData, bins: int = 40) -> ScoreView:
    """Choose the jets whose score lies between two percentiles of all scores; those that tie with an edge are in."""
    scores, values = data.column("scores", state.tagger), data.column("observables", state.observable)
    if not 0 <= state.low < state.high <= 100:
        raise InputError(f"low={state.low}, high={state.high}; expected 0 <= low < high <= 100, in % of the jets.")
    signal = np.asarray(data.labels) == 1
    low, high = (float(edge) for edge in np.quantile(scores, [state.low / 100, state.high / 100]))
    inside = (scores >= low) & (scores <= high)
    counts = int((inside & ~signal).sum()), int((inside & signal).sum())
    bottom, top = stats.clopper_pearson(counts[1], sum(counts))
    classes = (~signal, signal)
    score_edges = np.linspace(*_range(scores), bins + 1)
    edges = np.linspace(*_range(values), bins + 1)
    medians = tuple(float(np.median(values[inside & one])) if (inside & one).any() else np.nan for one in classes)
    return ScoreView(
        state, data.names, (low, high), counts, (counts[1] / sum(counts), float(bottom), float(top)),
        float(scores[inside].mean()), (medians[0], medians[1]), score_edges,
        np.stack([np.histogram(scores[one], score_edges)[0] for one in classes]).astype(np.float64), edges,
        np.stack([_density(values[one], edges) for one in classes]),
        np.stack([_density(values[one & inside], edges) for one in classes]),
    )  # fmt: skip


def draw_scores(ax: Axes, view: ScoreView) -> None:
    """Draw the scores of both classes and shade the window."""
    for number, style in enumerate(("--", "-")):
        ax.stairs(view.score_counts[number] + 0.1, view.score_edges, color=COLOURS[number], ls=style, lw=1.6,
                  label=view.names[number])  # fmt: skip
    ax.axvspan(*view.window, color=GREY, alpha=0.25, lw=0, label="chosen")
    ax.set(xlim=(view.score_edges[0], view.score_edges[-1]), ylim=(0.5, 3 * view.score_counts.max()), yscale="log",
           xlabel=f"{view.state.tagger} score", ylabel="jets")  # fmt: skip
    ax.set_title(f"{view.state.low} to {view.state.high} % of all jets")
    ax.legend()


def draw_chosen(ax: Axes, view: ScoreView) -> None:
    """Draw the observable of the chosen jets, and thin beside it that of all jets of their class."""
    for number, style in enumerate(("--", "-")):
        ax.stairs(view.everything[number], view.edges, color=COLOURS[number], ls=style, lw=0.9, alpha=0.6,
                  label=f"all {view.names[number]}")  # fmt: skip
        ax.stairs(view.chosen[number], view.edges, color=COLOURS[number], ls=style, lw=2,
                  label=f"chosen {view.names[number]} ({view.counts[number]})")  # fmt: skip
    top = max(view.everything.max(), view.chosen.max())
    ax.set(xlim=(view.edges[0], view.edges[-1]), ylim=(0, 1.25 * top), xlabel=view.state.observable,
           ylabel="jets, unit area")  # fmt: skip
    ax.set_title(f"what the chosen jets are: {100 * view.share[0]:.0f} % {view.names[1]}")
    ax.legend()


def describe_scores(view: ScoreView) -> str:
    """Return the summary: the window, how many of each class, their share beside the mean score, and the medians."""
    share, low, high = view.share
    medians = " and ".join(f"{name} {x:.4g}" for name, x in zip(view.names, view.medians, strict=True) if x == x)
    return (
        f"{view.state.tagger} score {view.window[0]:.3g} to {view.window[1]:.3g}: {view.counts[0]} {view.names[0]} and "
        f"{view.counts[1]} {view.names[1]} jets, share of {view.names[1]} {share:.3f} (68 %: {low:.3f} to {high:.3f}), "
        f"mean score {view.mean:.3f}; median {view.state.observable}: {medians}."
    )


def score_explorer(
    scores: Mapping[str, npt.ArrayLike],
    observables: Mapping[str, npt.ArrayLike],
    labels: npt.ArrayLike,
    *,
    names: tuple[str, str] = ("background", "signal"),
    tagger: str | None = None,
    observable: str | None = None,
    low: int = 40,
    high: int = 60,
    bins: int = 40,
) -> Panel:
    """Return the panel with the controls `tagger`, `observable`, `low` and `high` (percentiles of the score).

    scores, observables: arrays (n,) by name; labels: (n,) of 0 and 1 (signal). Raises InputError for lengths that
    differ or nan, NotFound for unknown names.
    """
    from hepml_nb.widgets.controls import choice, number
    from hepml_nb.widgets.explorer import explore

    if not scores or not observables:
        raise InputError("give the scores of at least one tagger, and at least one observable.")
    arrays = [{name: np.asarray(x) for name, x in given.items()} for given in (scores, observables)]
    data = ScoreData(arrays[0], arrays[1], np.asarray(labels), names)
    state = ScoreState(tagger or next(iter(scores)), observable or next(iter(observables)), low, high)
    for kind, known in (("scores", scores), ("observables", observables)):
        for name in known:
            data.column(kind, name)
    compute_scores(state, data, bins)

    def adjust(old: ScoreState, new: ScoreState) -> tuple[ScoreState, dict[str, Any]]:
        if new.low < new.high:
            return new, {}
        moved = new.low != old.low
        return (replace(new, high=new.low + 1) if moved else replace(new, low=new.high - 1)), {}

    controls = {
        "tagger": choice("tagger", list(scores), state.tagger),
        "observable": choice("observable", list(observables), state.observable),
        "low": number("from %", state.low, 0, 99, 1),
        "high": number("to %", state.high, 1, 100, 1),
    }
    return explore(state, controls, lambda now: compute_scores(now, data, bins), (draw_scores, draw_chosen),
                   describe_scores, size=(10.4, 4.4), adjust=adjust)  # fmt: skip


def _range(values: Floats) -> tuple[float, float]:
    low, high = (float(x) for x in np.quantile(values, [0.002, 0.998]))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _density(values: Floats, edges: Floats) -> Floats:
    counts = np.histogram(values, edges)[0]
    return np.asarray(counts / (max(len(values), 1) * np.diff(edges)))
