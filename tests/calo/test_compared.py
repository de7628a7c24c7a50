"""A row of the comparison holds what its point asked for, and rows of one method join with honest errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hepml_nb import calo
from hepml_nb.calo import compared
from hepml_nb.core import InputError
from hepml_nb.testing import toy_showers

POINT = {"profile": "smoke", "judges": ["small"], "seed": 0}


def test_a_row_has_measures_times_and_sizes() -> None:
    row = compared.landscape(POINT | {"method": "gflash"})
    assert row["train"] == 1000
    assert row["test"] == 600
    assert row["parameters"] == 0
    assert row["metrics"]["auc_full"]["value"] > 0.9, "the parametrisation is easily told apart"
    assert set(row["ms"]) == {"1", "100", "1000"}
    assert row["simulation_ms"] > 1, "tens of thousands of particles take more than a millisecond"
    assert {"precision", "coverage", "response", "fpd"} <= set(row["metrics"])


def test_the_truth_is_judged_against_itself() -> None:
    row = compared.landscape(POINT | {"method": compared.TRUTH})
    found = row["metrics"]["auc_full"]
    assert abs(found["value"] - 0.5) < 4 * found["error"]


def test_epochs_lengthen_every_training_and_steps_are_tried() -> None:
    config = calo.make("calodream").config
    longer = compared._longer(config, 2)
    assert longer.fit.epochs == 2 * config.fit.epochs
    assert longer.layer_fit.epochs == 2 * config.layer_fit.epochs
    point = {"method": "calodream", "epochs": 0.02, "train": 200, "steps": [1, 2], "settings": {"hidden": 32}}
    row = compared.landscape(POINT | point)
    assert set(row["steps"]) == {"1", "2"}
    assert row["steps"]["1"]["ms"] < row["steps"]["2"]["ms"]
    assert row["parameters"] > 1e4


def test_trainings_join_and_twice_the_same_is_refused() -> None:
    metric = {
        "value": 0.6,
        "error": 0.01,
        "n": 100,
        "floor": 0.5,
        "baseline": None,
        "better": "lower",
        "definition": "",
    }
    rows = [
        {"point": {"method": "vae", "seed": i}, "row": {"metrics": {"auc_high": metric | {"value": value}}}}
        for i, value in enumerate((0.6, 0.64))
    ]
    found = compared.combine(rows)["vae"]["auc_high"]
    assert found.value == pytest.approx(0.62)
    assert found.error == pytest.approx(np.hypot(0.01, 0.02))
    assert found.seeds == 2
    alone = [{"point": {"method": "gflash", "seed": 0}, "row": rows[0]["row"]}]
    assert compared.combine(alone)["gflash"]["auc_high"].seeds == 0, "a formula has nothing to train"
    with pytest.raises(InputError, match="two rows"):
        compared.combine([rows[0], rows[0]])


def test_parameters_are_those_of_the_networks() -> None:
    showers = toy_showers(200, seed=1)
    assert compared.parameters(calo.make("library").fit(showers, seed=1)) == 0
    model: Any = calo.make("vae").fit(showers, seed=1, untrained=True)
    assert compared.parameters(model) == sum(p.numel() for p in model.model.parameters())
