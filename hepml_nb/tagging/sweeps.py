"""The long sweep: quality against the number of training jets, one row per training, and what rows say together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result, atomic_dir, cache_dir, content_hash, lock, reached_code, rng, threads
from hepml_nb.tagging.base import Tagger
from hepml_nb.tagging.checks import labels_of
from hepml_nb.tagging.registry import make

__all__ = ["combine", "label", "measured", "prepared", "size_curve"]

METRICS = ("auc", "rejection.eff30", "rejection.eff50")
N_BOOT, BOOT_SEED = 100, 0  # one set of resampled test events for every row, so that rows can be compared

Prepared = dict[str, tuple[Any, npt.NDArray[np.float32]]]


def size_curve(point: Mapping[str, Any]) -> dict[str, Any]:
    """Train one tagger on a random part of the training split and return its row.

    point: "method" (a registered name), "train_jets", "seed" (draws the part and the weights); optionally "config"
    ("small"), "profile" ("long"), "dataset" ("top-tagging") and "settings" (changes to the configuration).
    The row: metrics (name -> Result as a dict), replicas (name -> 100 numbers of six digits, paired between all rows
    of the same test jets), fit and scoring seconds, processor seconds (over all threads) and jets/s (inputs ready),
    parameters, epochs, sizes.
    Raises InputError where the training split has fewer jets than asked for.
    """
    from hepml_nb import data

    method, train_jets, seed = str(point["method"]), int(point["train_jets"]), int(point["seed"])
    tagger = make(method, point.get("config", "small"), **point.get("settings", {}))
    dataset = data.load(str(point.get("dataset", "top-tagging")), profile=str(point.get("profile", "long")))
    threads()
    splits = prepared(dataset, tagger)
    x, y = _part(*splits["train"], train_jets, seed)
    start, start_cpu = time.perf_counter(), time.process_time()
    tagger.fit_inputs(x, y, *splits["val"], seed)
    fitted, fitted_cpu = time.perf_counter(), time.process_time()
    test, labels = splits["test"]
    scores = tagger.score_inputs(test)
    scored, scored_cpu = time.perf_counter(), time.process_time()
    epochs = len(tagger.history) if hasattr(tagger, "history") else getattr(tagger, "n_trees", 0)
    seen = train_jets * (epochs if hasattr(tagger, "history") else 1)
    return measured(labels, scores) | {
        "fit_seconds": round(fitted - start, 2),
        "fit_cpu_seconds": round(fitted_cpu - start_cpu, 2),
        "score_seconds": round(scored - fitted, 2),
        "score_cpu_seconds": round(scored_cpu - fitted_cpu, 2),
        "train_jets_per_second": round(seen / (fitted - start)),
        "score_jets_per_second": round(len(labels) / (scored - fitted)),
        "parameters": tagger.n_parameters,
        "epochs": epochs,
        "dataset": dataset.identity,
    }


def measured(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> dict[str, Any]:
    """Return the part of a row that scores (n,) of the test jets decide: metrics, replicas, background, signal."""
    from hepml_nb.stats import paired_summary

    results = paired_summary(labels, scores, effs=(0.3, 0.5), n_boot=N_BOOT, seed=BOOT_SEED)
    return {
        "metrics": {name: results[name].to_dict() for name in METRICS},
        "replicas": {name: _six_digits(results[name].replicas) for name in METRICS},
        "background": int((labels == 0).sum()),
        "signal": int((labels == 1).sum()),
    }


def label(point: Mapping[str, Any]) -> str:
    """Return what a point's method is called in tables: its name, with the configuration where that is not "small"."""
    method, config = str(point["method"]), str(point.get("config", "small"))
    return method if config == "small" else f"{method} ({config})"


def combine(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], dict[str, Result]]:
    """Join committed rows of equal method and training jets into one Result per metric, as stats.paired would.

    Returns {(label of the method, training jets): {metric: Result}}, for `claim` to judge; the replicas have shape
    (trainings, 100). rows: {"point": ..., "row": ...} as runtime.rows gives.
    Raises InputError where rows of one point rest on different test jets.
    """
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for entry in rows:
        key = label(entry["point"]), int(entry["point"]["train_jets"])
        groups.setdefault(key, []).append(entry["row"])
    return {key: {name: _joined(key, name, group) for name in METRICS} for key, group in sorted(groups.items())}


def prepared(dataset: Any, tagger: Tagger) -> Prepared:
    """Return {split: (inputs, labels)} as memory-mapped arrays; made once per dataset and kind of input.

    Inputs are one array (n, ...), or the tagger's `packing`: rows of members, one jet after another, and `lengths`.
    """
    maker = type(tagger)._inputs  # where methods inherit it, they share what it makes by the names of the inputs
    own = repr(tagger.config) if maker.__module__ == type(tagger).__module__ else ""
    code = reached_code([maker.__module__], ["hepml_nb.tagging"])
    key = content_hash([dataset.identity, dataset.seed, maker.__qualname__, tagger._input_names(), own, code])
    folder = cache_dir() / "tagging" / f"{tagger.inputs}-{key}"
    with lock(folder.with_suffix(".lock")):
        if not folder.exists():
            with atomic_dir(folder) as aside:
                for split in ("train", "val", "test"):
                    _store(aside, split, dataset.split(split), tagger)
    return {split: _read(folder, split, tagger.packing) for split in ("train", "val", "test")}


def _store(folder: Path, split: str, jets: Any, tagger: Tagger) -> None:
    parts = [tagger.prepare(jets[i : i + tagger.chunk]) for i in range(0, len(jets), tagger.chunk)]
    arrays = {"labels": labels_of(jets)}
    if isinstance(parts[0], tuple):
        arrays |= {name: np.concatenate([getattr(p, name) for p in parts]) for name in tagger.packing._fields}
    else:
        arrays["x"] = np.concatenate(parts)
    for name, array in arrays.items():
        np.save(folder / f"{split}.{name}.npy", array, allow_pickle=False)


def _read(folder: Path, split: str, packing: Any) -> tuple[Any, npt.NDArray[np.float32]]:
    # mode "c" (copy on write): torch wants arrays it could write to
    files = {path.name.split(".")[1]: path for path in folder.glob(f"{split}.*.npy")}
    arrays = {name: np.load(path, mmap_mode="c", allow_pickle=False) for name, path in files.items()}
    labels = np.asarray(arrays.pop("labels"))
    return (arrays["x"] if "x" in arrays else packing(**arrays)._replace(lengths=np.asarray(arrays["lengths"]))), labels


def _part(x: Any, y: npt.NDArray[Any], n: int, seed: int) -> tuple[Any, npt.NDArray[Any]]:
    """Return n random jets; all of them where n is the whole split."""
    if not 2 <= n <= len(y):
        raise InputError(f"train_jets={n} cannot be drawn from a training split of {len(y)} jets.")
    rows = np.sort(rng(seed, "training part", n).permutation(len(y))[:n])
    if not isinstance(x, tuple):
        return np.asarray(x[rows]), y[rows]
    keep = np.zeros(len(y), bool)
    keep[rows] = True
    packed: Any = x
    members = np.repeat(keep, packed.lengths)
    fields = {name: getattr(packed, name)[rows if name == "lengths" else members] for name in packed._fields}
    return type(packed)(**{name: np.asarray(column) for name, column in fields.items()}), y[rows]


def _joined(key: tuple[str, int], name: str, rows: list[Mapping[str, Any]]) -> Result:
    first = rows[0]["metrics"][name]
    if len({row["metrics"][name]["pairing"] for row in rows}) > 1:
        raise InputError(f"rows of {key} rest on different test jets; run the stale ones again.")
    values = np.array([row["metrics"][name]["value"] for row in rows])
    replicas = np.array([row["replicas"][name] for row in rows])
    variance = replicas.mean(axis=0).var(ddof=1) + (values.var(ddof=1) / len(values) if len(values) > 1 else 0.0)
    about = {k: first[k] for k in ("n", "better", "definition", "pairing")}
    return Result(float(values.mean()), float(np.sqrt(variance)), seeds=len(rows), replicas=replicas, **about)


def _six_digits(replicas: Any) -> list[float]:
    return [float(f"{value:.6g}") for value in np.ravel(replicas)]
