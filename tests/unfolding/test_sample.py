"""Simulated and measured events: what is accepted, what is hidden, what is refused."""

import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.unfolding import Measured, Simulation, Spectrum, histogram

GEN, SIM = np.arange(8.0).reshape(4, 2), np.arange(8.0).reshape(4, 2) + 0.5


def test_values_of_a_side_that_an_event_does_not_pass_are_hidden():
    simulation = Simulation(GEN, SIM, pass_gen=[True, True, False, True], pass_sim=[True, False, True, True])
    assert np.isnan(simulation.gen[2]).all()
    assert np.isnan(simulation.sim[1]).all()
    assert np.isfinite(simulation.gen[[0, 1, 3]]).all()
    assert simulation.column("x1")[0] == 1


def test_negative_and_zero_generator_weights_are_legal():
    assert Simulation(GEN, SIM, weights=[2, -1, 0, 1]).weights.sum() == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sim": SIM[:3]}, "unequal lengths (gen 4, sim 3)"),
        ({"weights": [1, np.nan, 1, 1]}, "weights is NaN or infinite in 1 of 4 events (first 1)"),
        ({"weights": [1, np.inf, 1, 1]}, "NaN or infinite"),
        ({"weights": [1, -1, 0, 0]}, "sum to 0"),
        ({"pass_sim": [False] * 4}, "efficiency is 0"),
        ({"pass_gen": [1, 0, 1, 1]}, "expected bool"),
        ({"gen": np.where(GEN == 3, np.nan, GEN)}, "gen is NaN or infinite in 1 of 4 selected events (first in row 1)"),
        ({"names": ("mass",)}, "2 different names"),
    ],
)
def test_bad_simulations_are_refused(change, words):
    with pytest.raises(InputError) as error:
        Simulation(**{"gen": GEN, "sim": SIM} | change)
    assert words in str(error.value)


def test_an_unknown_observable_names_the_nearest():
    with pytest.raises(InputError, match="mass"):
        Simulation(GEN, SIM, names=("mass", "width")).column("mas")


def test_background_has_the_columns_of_the_measured_events():
    assert len(Measured(SIM).background) == 0
    with pytest.raises(InputError, match="1 columns"):
        Measured(SIM, background=[1.0, 2.0])


def test_density_has_unit_area_and_no_error_on_it():
    spectrum = histogram([0.1, 0.2, 1.5, np.nan], [0, 0.5, 2], weights=[1, 2, 3, 9])
    assert spectrum.values.tolist() == [3, 3]
    assert np.diag(spectrum.covariance).tolist() == [5, 9]
    density = spectrum.density()
    assert density.values @ np.diff(density.edges) == pytest.approx(1)
    widths = np.diff(density.edges)
    assert widths @ density.covariance @ widths == pytest.approx(0, abs=1e-15)
    assert spectrum.to_hist().variances().tolist() == [5, 9]


def test_a_spectrum_refuses_edges_that_fall():
    with pytest.raises(InputError, match="rising"):
        Spectrum([1, 2], [0, 2, 1], np.eye(2))
    with pytest.raises(InputError, match="rising"):
        histogram([1.0, 2.0], [0, 2, 1])
