import json

import numpy as np
import pytest

from hepml_nb import runtime
from hepml_nb.anomaly.searches import EDGES, WINDOWS, calibration, inclusive_z, pseudo_data, search_toy
from hepml_nb.core import InputError
from hepml_nb.simulate.resonance import ResonanceToy

QUICK = {"events": 4000, "folds": 2, "toys": 50, "settings": {"members": 1, "trees": 5}}


def test_pseudo_data_are_of_the_toy_and_new_for_every_seed():
    events = pseudo_data(5000, 300, seed=1)
    assert ((events.mjj > EDGES[0]) & (events.mjj < EDGES[-1])).all()
    share = np.mean(WINDOWS[2].inside(events.mjj[events.labels == 0]))
    assert abs(share - ResonanceToy().share((3.3, 3.7))[0]) < 0.03
    assert abs(events.labels.sum() - 300) < 60
    assert not np.isin(events.mjj, pseudo_data(5000, 300, seed=2).mjj).any()


def test_a_row_says_what_a_search_found_and_repeats():
    row, again = (search_toy({"seed": 3, **QUICK}) for _ in range(2))
    assert 0 < row["local_p"] <= row["global_p"] <= 1
    assert np.shape(row["observed"]) == np.shape(row["p"]) == (7, 3)
    assert row["signal"] == 0
    del row["seconds"], again["seconds"]
    assert json.loads(json.dumps(row)) == again


def test_a_loud_signal_is_found():
    row = search_toy({"seed": 0, **QUICK, "signal": 800, "settings": {"members": 1, "trees": 20}})
    assert row["global_z"] > 4
    assert WINDOWS[row["best"][0]].low in (3.1, 3.3, 3.5)


def test_calibration_tells_uniform_p_values_from_others():
    p = np.random.default_rng(0).random(200)
    right, wrong = (calibration([{"global_p": float(one)} for one in some]) for some in (p, p**2))
    assert right.ks > 0.01 > wrong.ks
    assert right.low <= right.below.value <= right.high < wrong.below.value
    assert (right.low, right.high) == (0.02, 0.08)


def test_the_reach_of_the_bump_hunt_rises_with_signal_and_luminosity():
    some, more, longer = inclusive_z(30_000, 300), inclusive_z(30_000, 600), inclusive_z(120_000, 1200)
    assert 1 < some < more
    assert np.isclose(longer / some, 2, rtol=0.05)  # four times the data
    assert inclusive_z(30_000, 0) == 0


def test_the_committed_sweep_asks_for_two_hundred_searches_without_a_signal():
    points = runtime.read_spec("anomaly/discoveries").points
    assert len({point["seed"] for point in points if point["signal"] == 0}) == 200


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="idealised needs pure background"):
        search_toy({"method": "idealised"})
    with pytest.raises(InputError, match="9 searches say nothing"):
        calibration([{"global_p": 0.5}] * 9)
