"""The size curve: rows can be made, kept and joined, and they support claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.stats import claim
from hepml_nb.tagging.sweeps import METRICS, combine, size_curve


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPML_NB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HEPML_NB_THREADS", "1")
        points = [
            {"method": method, "train_jets": 1000, "seed": seed, "profile": "smoke", "settings": settings}
            for method, settings in (
                ("cut", {}),
                ("fisher", {}),
                ("pfn", {"epochs": 3, "batch_size": 32, "phi": (8, 8), "f": (8,)}),
            )
            for seed in ((0, 1, 2) if method != "pfn" else (0,))
        ]
        return [{"point": point, "row": json.loads(json.dumps(size_curve(point)))} for point in points]


def test_rows_hold_metrics_costs_and_replicas(rows: list[dict[str, Any]]):
    for entry in rows:
        row = entry["row"]
        assert set(row["metrics"]) == set(row["replicas"]) == set(METRICS)
        assert 0.5 < row["metrics"]["auc"]["value"] < 1
        assert len(row["replicas"]["auc"]) == 100
        assert np.mean(row["replicas"]["auc"]) == pytest.approx(row["metrics"]["auc"]["value"], abs=0.01)
        assert row["background"] == 5000
        assert row["parameters"] > 0
    assert rows[-1]["row"]["epochs"] == 3
    assert len(json.dumps(rows[0])) < 6000  # 45 such rows are committed


def test_rows_of_three_seeds_support_claims(rows: list[dict[str, Any]]):
    results = combine(rows)
    assert set(results) == {("cut", 1000), ("fisher", 1000), ("pfn", 1000)}
    fisher, cut = results["fisher", 1000]["auc"], results["cut", 1000]["auc"]
    assert fisher.replicas is not None
    assert (fisher.seeds, fisher.replicas.shape) == (3, (3, 100))
    assert claim("Fisher beats the best single cut", fisher, cut).outcome == "holds"
    assert claim("the cut beats Fisher", cut, fisher).outcome == "reversed"


def test_another_seed_draws_other_training_jets(rows: list[dict[str, Any]]):
    values = [entry["row"]["metrics"]["auc"]["value"] for entry in rows if entry["point"]["method"] == "fisher"]
    assert len(set(values)) == 3


def test_rows_of_different_test_jets_are_not_joined(rows: list[dict[str, Any]]):
    other = json.loads(json.dumps(rows[0]))
    other["row"]["metrics"]["auc"]["pairing"] = "other"
    with pytest.raises(InputError, match="different test jets"):
        combine([rows[0], other])


def test_more_jets_than_there_are_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="train_jets=5000 cannot be drawn from a training split of 4000"):
        size_curve({"method": "cut", "train_jets": 5000, "seed": 0, "profile": "smoke"})
