"""Each recipe makes jets in the schema and in its window, the same for the same seed."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError, NotFound, imported_modules
from hepml_nb.simulate import FIELDS, Recipe, recipe

SETTINGS: dict[str, dict[str, Any]] = {
    "qcd": {"label": 0},
    "top": {"label": 1},
    "w": {"label": 1, "pt": (300, 600), "matched_only": False, "gen": True},
}


@pytest.fixture(scope="module", params=SETTINGS)
def made(request: pytest.FixtureRequest) -> tuple[str, ak.Array, dict[str, float]]:
    jets, counters = recipe("jets")(60, seed=2, process=request.param, **SETTINGS[request.param])
    return request.param, jets, counters


def test_jets_are_in_schema_and_window(made: tuple[str, ak.Array, dict[str, float]]) -> None:
    process, jets, counters = made
    low, high = SETTINGS[process].get("pt", (550, 650))
    assert len(jets) == 60
    assert set(jets.fields) == {*FIELDS, "constituents"}
    assert ak.all((jets.pt > low * 0.9999) & (jets.pt < high * 1.0001) & (np.abs(jets.eta) < 2.0001))
    assert ak.all(jets.label == SETTINGS[process]["label"])
    assert ak.all(ak.num(jets.constituents) > 0)
    assert ak.all(jets.constituents.pt[:, :-1] >= jets.constituents.pt[:, 1:])
    assert ak.all(np.hypot(jets.constituents.deta, jets.constituents.dphi) < 1.2)
    assert counters["matched"] <= counters["near"] <= counters["jets_in_window"]
    assert counters["events"] <= counters["tried"]


def test_masses_are_those_of_the_particles(made: tuple[str, ak.Array, dict[str, float]]) -> None:
    process, jets, _ = made
    median = np.median(jets.msoftdrop[jets.matched])
    low, high = {"qcd": (0, 80), "top": (160, 182), "w": (74, 88)}[process]  # 60 jets: wide
    assert low <= median <= high
    assert ak.all(jets.msoftdrop <= jets.mass * 1.002 + 1e-3)


def test_particle_level_partner_agrees_within_the_resolution(made: tuple[str, ak.Array, dict[str, float]]) -> None:
    process, jets, _ = made
    if not SETTINGS[process].get("gen"):
        assert np.isnan(ak.to_numpy(jets.gen_pt)).all()
        return
    response = ak.to_numpy(jets.pt / jets.gen_pt)
    assert np.isfinite(response).mean() > 0.95
    assert np.nanmedian(response) == pytest.approx(1, abs=0.03)
    assert np.nanstd(response) < 0.15


def test_same_seed_same_jets_other_seed_other_jets() -> None:
    one, two, other = (recipe("jets")(20, seed=seed, process="w", pt=(300, 600))[0] for seed in (5, 5, 6))
    assert ak.array_equal(one, two, equal_nan=True)
    assert not ak.array_equal(one.pt, other.pt)


def test_nothing_asked_nothing_made() -> None:
    jets, _ = recipe("jets")(0, process="w", pt=(300, 600))
    assert len(jets) == 0
    assert set(jets.fields) == {*FIELDS, "constituents"}


def test_identity_tells_recipes_apart_and_nothing_else() -> None:
    jets = recipe("jets")
    assert jets.identity({"pt": [550, 650]}) == jets.identity({"pt": (550.0, 650.0), "process": "qcd"})
    assert jets.identity({"mpi": True}) != jets.identity({})
    assert {"pythia8mc", "fastjet", "detector"} == set(jets.identity({})["uses"])


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean 'jets'"):
        recipe("jet")
    with pytest.raises(InputError, match="did you mean 'process'"):
        recipe("jets")(1, proces="qcd")
    with pytest.raises(NotFound, match="no process"):
        recipe("jets")(1, process="higgs")


def test_the_tune_is_all_that_tells_tuned_jets_from_the_others() -> None:
    made = {tune: recipe("jets_of_tune")(20, seed=4, tune=tune)[0] for tune in (14, 21)}
    assert ak.array_equal(made[14], recipe("jets")(20, seed=4)[0], equal_nan=True)
    assert not ak.array_equal(made[14].pt, made[21].pt)


def test_asking_for_one_recipe_reaches_no_other():
    source = Path(inspect.getfile(Recipe)).read_text(encoding="utf-8")
    assert not {one for one in imported_modules(ast.parse(source)) if "recipes" in one}
