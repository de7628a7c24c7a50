"""Every recipe makes what its manifest promises: columns, their types and shapes, and classes."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.data.manifest import Column, names
from hepml_nb.simulate import geant4, recipe, recipe_names

TOOLS = {"nature"}  # streams that need a program which pip cannot install; their tables ship
N = 20


def streams() -> list[tuple[str, str]]:
    """Return (dataset, stream) of all streams that can be made here."""
    twins = [about for about in map(data.manifest, names()) if about.recipe]
    return [(about.name, stream) for about in twins if about.recipe for stream, given in about.recipe.streams.items()
            if stream not in TOOLS and (given.get("simulator") != "geant4" or geant4.available())]  # fmt: skip


def first_streams() -> list[tuple[str, str]]:
    """Return one stream of every dataset, each recipe with the same parameters once."""
    found: dict[str, tuple[str, str]] = {}
    for name, stream in dict(reversed(streams())).items():
        spec = data.manifest(name).recipe
        found.setdefault(str((spec.name, spec.streams[stream])) if spec else "", (name, stream))
    return sorted(found.values())


def kind(array: Any) -> tuple[str, list[int]]:
    """Return numpy type and shape of one entry of a column."""
    values = ak.to_numpy(ak.flatten(array) if array.ndim > 1 and "var" in str(array.type) else array)
    return str(values.dtype), list(values.shape[1:])


def check(array: Any, column: Column, where: str) -> None:
    assert kind(array) == (column.dtype, column.shape), where


@pytest.mark.parametrize(("name", "stream"), first_streams())
def test_a_twin_has_the_columns_of_its_manifest(name: str, stream: str) -> None:
    about = data.manifest(name)
    assert about.recipe is not None
    few = 3 if about.recipe.streams[stream].get("shower") == "vincia" else N  # a shower ten times as slow
    made, counters = recipe(about.recipe.name)(few, seed=3, **about.recipe.streams[stream])
    assert len(made) == few
    assert set(made.fields) == {*about.columns, *about.collections}
    for column, fixed in about.columns.items():
        check(made[column], fixed, column)
    for collection, columns in about.collections.items():
        assert set(made[collection].fields) == set(columns)
        for column, fixed in columns.items():
            check(made[collection][column], fixed, f"{collection}.{column}")
    if about.classes:
        assert set(ak.to_list(made.label)) <= set(about.classes.values())
    assert all(np.isfinite(value) for value in counters.values())


@pytest.mark.parametrize(("name", "stream"), streams())
def test_every_stream_has_parameters_that_its_recipe_knows(name: str, stream: str) -> None:
    about = data.manifest(name)
    assert about.recipe is not None
    given = recipe(about.recipe.name).parameters(about.recipe.streams[stream])
    assert given.get("label", about.classes.get(stream)) == about.classes.get(stream, given.get("label"))


def test_every_recipe_serves_a_dataset() -> None:
    used = {about.recipe.name for about in map(data.manifest, names()) if about.recipe}
    assert used == set(recipe_names())
