"""EagleEye: are a point's neighbours data as often as coins would fall? Local excesses, deficits and their purity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.stats import binom

from hepml_nb.core import InputError, Result
from hepml_nb.stats.checks import table

__all__ = ["Anomaly", "EagleEye", "EagleEyeConfig", "eagle_eye", "threshold"]

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class EagleEyeConfig:
    """neighbours: how far a neighbourhood may grow; least: neighbours of the smallest one; p_extreme: the chance that a
    neighbourhood without an anomaly is flagged; recall: the share of pruned points that the second look gives up.

    The defaults are those of arXiv:2503.23927 and its code.
    """

    neighbours: int = 500
    least: int = 20
    p_extreme: float = 1e-5
    recall: float = 0.01

    def __post_init__(self) -> None:
        if not 1 <= self.least < self.neighbours or not 0 < self.p_extreme < 0.5 or not 0 <= self.recall < 1:
            raise InputError(
                f"{self}; expected 1 <= least < neighbours, p_extreme between 0 and 0.5, recall from 0 to below 1."
            )


@dataclass(frozen=True, eq=False)
class Anomaly:
    """A region with too many (or, of the reference, too few) data events.

    members: (k,) rows of the sample in excess; others: (j,) rows of the other sample that lie in the same region;
    pruned: rows that had to be taken away until no neighbourhood was in excess. excess: members less what the
    others make expect; purity: its share of the members, each with the Poisson error of both counts.
    """

    members: Places
    others: Places
    pruned: Places
    excess: Result
    purity: Result


@dataclass(frozen=True, eq=False)
class EagleEye:
    """A map of how the data differ from the reference.

    over: (m,) the score of each data event's neighbourhood, high for an excess of data; under: (n,) of each reference
    event's, high for a deficit. thresholds: of both. excesses, deficits: the regions, the largest first. injected: the
    share of the data that is in excess, of all regions together.
    """

    over: Floats
    under: Floats
    thresholds: tuple[float, float]
    excesses: tuple[Anomaly, ...]
    deficits: tuple[Anomaly, ...]
    injected: Result


def eagle_eye(data: npt.ArrayLike, reference: npt.ArrayLike, config: EagleEyeConfig | None = None) -> EagleEye:
    """Return where data (m, d) are denser or thinner than the reference (n, d), point by point.

    The labels of a point's nearest neighbours among both samples are coins with probability p = m / (m + n), if both
    follow the same density. The score is the largest -log P(at least as many of K neighbours are data) over K from
    `least` to `neighbours`. Flagged are scores above the threshold that coins exceed with `p_extreme`. Excesses are
    equalised: the data around the highest score are taken away, up to the first reference event, until no score is
    above the threshold (the pruned events); then all flagged events of a region whose score reaches the `recall`
    quantile of its pruned ones are called in again, and reference events that score as high in the place of data are
    the background of the region. Deficits are the same with the samples exchanged.
    Features are divided by their standard deviation in both samples together. Other than in the paper's code a point
    is no neighbour of itself, the threshold is computed exactly instead of by a million sequences of coins, and regions
    are the connected components of flagged events that are among each other's nearest ones, instead of density peaks.
    What a region holds in excess is a lower bound of a thinly spread signal.
    Source: arXiv:2503.23927. Raises InputError for other columns, a constant column, fewer events than neighbours.
    """
    config = config or EagleEyeConfig()
    ours, theirs = table(data, "data"), table(reference, "reference")
    if ours.shape[1] != theirs.shape[1]:
        raise InputError(f"data have {ours.shape[1]} columns and the reference {theirs.shape[1]}; both need the same.")
    if min(len(ours), len(theirs)) <= config.neighbours:
        raise InputError(
            f"{len(ours)} data and {len(theirs)} reference events for {config.neighbours} neighbours; expected more "
            "events of each, or EagleEyeConfig(neighbours=...) below both."
        )
    points = np.concatenate([ours, theirs])
    spread = points.std(axis=0)
    if not spread.all():
        raise InputError(f"column {int(np.argmin(spread))} is constant; leave it out.")
    points = points / spread
    is_data = np.arange(len(points)) < len(ours)
    depth = min(3 * config.neighbours, len(points) - 1)
    near = cKDTree(points).query(points, depth + 1)[1]
    near = _without_itself(near)
    over, high_over, excesses = _one_side(near, is_data, points, config)
    under, high_under, deficits = _one_side(near, ~is_data, points, config)
    excess = sum(one.excess.value for one in excesses)
    error = float(np.sqrt(sum(one.excess.error**2 for one in excesses)))
    definition = "share of the data in excess"
    injected = Result(excess / len(ours), max(error, 1.0) / len(ours), len(ours), 0.0, definition=definition, seeds=0)
    return EagleEye(
        over[is_data],
        under[~is_data],
        (high_over, high_under),
        tuple(replace(one, others=one.others - len(ours)) for one in excesses),
        tuple(replace(one, members=one.members - len(ours), pruned=one.pruned - len(ours)) for one in deficits),
        injected,
    )


@lru_cache(maxsize=32)
def threshold(p: float, config: EagleEyeConfig) -> float:
    """Return the score that a sequence of coins with probability p exceeds with the chance `p_extreme`, exactly.

    The number of heads is a random walk; the chance that it never reaches the boundary of a score is summed step
    by step, and the score is found by bisection.
    """
    surprise, low, high = _surprises(p, config), 0.0, 60.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance(surprise, middle, p, config) > config.p_extreme else (low, middle)
    return high


def _chance(surprise: Floats, score: float, p: float, config: EagleEyeConfig) -> float:
    """Return the probability that coins exceed `score` at any of the allowed numbers of neighbours."""
    alive, crossed = np.zeros(config.neighbours + 1), 0.0
    alive[0] = 1.0
    for k in range(1, config.neighbours + 1):
        alive[1:] = alive[1:] * (1 - p) + alive[:-1] * p
        alive[0] *= 1 - p
        if k >= config.least:
            beyond = surprise[k] > score
            crossed += float(alive[beyond].sum())
            alive[beyond] = 0.0
    return crossed


@lru_cache(maxsize=32)
def _surprises(p: float, config: EagleEyeConfig) -> Floats:
    """Return -log P(at least b of k coins) for all k (rows) and b; 0 below the least number of neighbours."""
    k, b = np.arange(config.neighbours + 1)[:, None], np.arange(config.neighbours + 1)[None]
    values = np.where(k >= config.least, -binom.logsf(b - 1, k, p), 0.0)
    return np.where(b <= k, values, 0.0)


def _scores(alive_near: npt.NDArray[np.bool_], is_ours: npt.NDArray[np.bool_], surprise: Floats) -> Floats:
    """Return the scores (r,) of neighbour lists (r, depth): which are there, and which are of the sample in excess."""
    top = len(surprise) - 1
    count = np.cumsum(alive_near, axis=1, dtype=np.int32)
    heads = np.cumsum(alive_near & is_ours, axis=1, dtype=np.int32)
    usable = count <= top
    return np.asarray(np.where(usable, surprise[np.minimum(count, top), np.minimum(heads, top)], 0.0).max(axis=1))


def _one_side(
    near: Places, is_ours: npt.NDArray[np.bool_], points: Floats, config: EagleEyeConfig
) -> tuple[Floats, float, list[Anomaly]]:
    """Return scores of all points, the threshold, and the regions where `is_ours` is in excess."""
    p = float(is_ours.mean())
    surprise, high = _surprises(p, config), threshold(p, config)
    ours, first = is_ours[near], slice(config.neighbours)
    scores = np.concatenate([
        _scores(np.ones_like(ours[i : i + 2000, first]), ours[i : i + 2000, first], surprise)
        for i in range(0, len(near), 2000)
    ])  # fmt: skip
    flagged = np.flatnonzero(scores > high)
    pruned = _equalise(near, is_ours, scores, high, surprise)
    regions = [_region(rows, is_ours, scores, pruned, p, config) for rows in _regions(near, flagged, config)]
    found = [one for one in regions if one is not None]
    return scores, high, sorted(found, key=lambda one: -one.excess.value)


def _equalise(near: Places, is_ours: npt.NDArray[np.bool_], scores: Floats, high: float, surprise: Floats) -> Places:
    """Return the rows that are taken away, around the highest score first, until no score is above the threshold."""
    alive = np.ones(len(near), bool)
    left = np.flatnonzero(is_ours & (scores > high))
    while len(left):
        parts = np.array_split(left, len(left) // 500 + 1)
        now = np.concatenate([_scores(alive[near[some]], is_ours[near[some]], surprise) for some in parts])
        if now.max() <= high:
            break
        top = left[np.argmax(now)]
        around = near[top][alive[near[top]]]
        strangers = np.flatnonzero(~is_ours[around])
        taken = around[: strangers[0]] if len(strangers) else around
        alive[taken[scores[taken] > high]] = False
        alive[top] = False
        left = left[(now > high) & alive[left]]
    return np.flatnonzero(~alive)


def _regions(near: Places, flagged: Places, config: EagleEyeConfig) -> list[Places]:
    """Return the connected components of the flagged rows, linked where one is among the other's `least` nearest."""
    place = np.full(len(near), -1)
    place[flagged] = np.arange(len(flagged))
    links = place[near[flagged][:, : config.least]]
    start, stop = np.repeat(np.arange(len(flagged)), links.shape[1]), links.ravel()
    kept = stop >= 0
    graph = coo_matrix((np.ones(int(kept.sum())), (start[kept], stop[kept])), shape=(len(flagged),) * 2)
    number, label = connected_components(graph, directed=False)
    return [flagged[label == i] for i in range(number)]


def _region(
    rows: Places, is_ours: npt.NDArray[np.bool_], scores: Floats, pruned: Places, p: float, config: EagleEyeConfig
) -> Anomaly | None:
    taken = np.intersect1d(rows, pruned)
    if not len(taken):
        return None
    inside = rows[scores[rows] >= np.quantile(scores[taken], config.recall)]
    members, others = inside[is_ours[inside]], inside[~is_ours[inside]]
    k, expected = len(members), len(others) * p / (1 - p)
    error = float(np.sqrt(k + max(len(others), 1) * (p / (1 - p)) ** 2))
    relative = float(np.sqrt(max(expected, p / (1 - p)) ** 2 * (1 / k + 1 / max(len(others), 1)))) / k
    excess = Result(k - expected, error, k, 0.0, definition="events in excess", seeds=0)
    purity = Result(1 - expected / k, relative, k, 1.0, definition="share of a region's events in excess", seeds=0)
    return Anomaly(members, others, taken, excess, purity) if k > expected else None


def _without_itself(near: Places) -> Places:
    """Return neighbour lists (n, k) without the point itself, which is not always first where points coincide."""
    itself = near == np.arange(len(near))[:, None]
    itself[~itself.any(axis=1), -1] = True
    return np.asarray(near[~itself].reshape(len(near), -1))
