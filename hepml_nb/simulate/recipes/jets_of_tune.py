"""The recipe "jets_of_tune": the jets of "jets" from another tune of the generator, to test what was trained on one."""

from __future__ import annotations

from hepml_nb.simulate.recipe import Recipe
from hepml_nb.simulate.recipes.jets import RECIPE as JETS
from hepml_nb.simulate.recipes.jets import jet_sample

__all__ = ["RECIPE"]

RECIPE = Recipe("jets_of_tune", 1, jet_sample, {**JETS.defaults, "tune": 21}, libraries=JETS.libraries)
