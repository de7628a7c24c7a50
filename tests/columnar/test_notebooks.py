"""A notebook of the topic runs unchanged on files of one's own, of CMS's layout and of Delphes'; so does `apply`."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest

from hepml_nb import data, stats, tagging
from hepml_nb.columnar.adoption import adopt, apply, mapping_of
from hepml_nb.runtime.runner import run

from .layouts import delphes, pfnano


@pytest.mark.parametrize("writer", [pfnano, delphes])
def test_tagging_runs_on_a_skim_and_a_tagger_is_applied_to_files(writer, tmp_path, monkeypatch):
    sample = data.load("top-tagging").split("test")
    jets = ak.concatenate([sample[sample.label == label][:250] for label in (0, 1)])
    jets = jets[np.random.default_rng(0).permutation(len(jets))]
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    path = writer(tmp_path / "mine.root", jets)
    made = adopt([path], "jets", "mine")
    assert min(made.counts["train"].values()) > 50
    done = run("tagging/02", {"dataset": "mine", "epochs": 1, "trainings": 1}, profile="smoke", out=tmp_path / "run")
    metrics = {one["name"]: one for one in done.metrics["metrics"]}
    test = data.load("mine").split("test")
    assert {one["n"] for name, one in metrics.items() if name.endswith(".ece")} == {len(test)}
    for name in ("cut", "fisher", "trees"):  # as on jets that were never in such files; a network needs more of them
        assert metrics[f"{name}.auc"]["value"] > 0.85
    assert done.metrics["parameters"]["dataset"] == "mine"

    tagger = tagging.make("fisher").fit(data.load("mine").split("train"), data.load("mine").split("val"))
    (scores,) = apply(tagger.scores, [path], tmp_path / "scores", mapping_of("mine"))
    found = pq.read_table(scores).to_pydict()
    chosen = np.isin(found["event"], ak.to_numpy(test.event))
    value = stats.auc(np.array(found["label"])[chosen], np.array(found["score"])[chosen]).value
    assert value == pytest.approx(metrics["fisher.auc"]["value"], abs=1e-3)
