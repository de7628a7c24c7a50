"""Searches ready to use: what is data, what is pure, what tests, and that no event is in two of them."""

from __future__ import annotations

import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.anomaly import SIGNAL_REGION, disjoint
from hepml_nb.anomaly.problems import COLUMNS, Problem, from_array, lhco, read_array, toy
from hepml_nb.core import InputError


@pytest.fixture(scope="module")
def records():
    return [np.concatenate([one.split(s) for s in one.splits]) for one in
            (data.load(name, profile="smoke") for name in ("lhco", "lhco-extra-qcd"))]  # fmt: skip


def _consistent(problem: Problem) -> None:
    parts = {name: getattr(problem, name) for name in ("sideband", "signal_region", "background", "signal", "test")}
    disjoint(**parts)
    assert not problem.window.inside(problem.sideband.mjj).any()
    for name in ("signal_region", "background", "signal", "test"):
        assert problem.window.inside(parts[name].mjj).all(), name
    assert not problem.background.labels.any()
    assert problem.signal.labels.all()
    assert 0 < problem.test.labels.mean() < 1


@pytest.mark.parametrize("convention", ["cathode", "sk_cathode"])
def test_the_twin_in_both_conventions(records, convention: str):
    problem = lhco(*records, n_signal=200, convention=convention)
    _consistent(problem)
    n = len(problem.sideband) + len(problem.signal_region)
    whole = int((np.asarray(records[0].label) == 0).sum()) + 200
    if convention == "cathode":
        assert n == whole
        assert problem.validation == 0.5
        assert problem.sideband.labels.sum() + problem.signal_region.labels.sum() == 200
    else:
        assert n == 2 * whole // 3
        assert problem.validation == 0.25
    s, b = problem.injected
    assert problem.purity == pytest.approx(s / b)
    assert problem.significance == pytest.approx(s / np.sqrt(b))


def test_the_other_signal_and_the_default_number(records):
    two, three = (lhco(*records, signal=label) for label in (1, 2))
    assert two.sideband.labels.sum() + two.signal_region.labels.sum() == round(
        1e-3 * (np.asarray(records[0].label) == 0).sum()
    )
    assert not np.array_equal(two.signal.features[:50], three.signal.features[:50])


def test_the_toy_has_what_was_asked_for():
    problem = toy(5000, 100, 1, noise=2, pure_background=300, pure_signal=200, test_background=400, test_signal=100)
    _consistent(problem)
    assert problem.test.names == (*COLUMNS, "noise0", "noise1")
    assert len(problem.sideband) + len(problem.signal_region) == 5100
    assert (len(problem.background), len(problem.signal), len(problem.test)) == (300, 200, 500)
    again = toy(5000, 100, 1, noise=2, pure_background=300, pure_signal=200, test_background=400, test_signal=100)
    assert np.array_equal(again.test.features, problem.test.features)
    shifted = toy(5000, 100, 1, shift=0.1, pure_background=300, pure_signal=200, test_background=400, test_signal=100)
    assert np.median(shifted.test.features[:, 0]) > np.median(problem.test.features[:, 0]) + 0.3


def test_arrays_of_public_preparations(tmp_path):
    table = np.column_stack([np.linspace(3, 4, 20), *np.random.default_rng(0).random((4, 20)), np.arange(20) % 2])
    events = from_array(table)
    assert events.names == COLUMNS
    assert events.labels.tolist() == [0, 1] * 10
    table[:, 5] = -1
    assert from_array(table).labels is None
    np.save(tmp_path / "inner.npy", table)
    assert np.array_equal(read_array(tmp_path / "inner.npy").features, events.features)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "inner.h5", "w") as file:
        file["train/table"] = table
        file["test"] = table[:5]
    assert len(read_array(tmp_path / "inner.h5", key="test")) == 5
    with pytest.raises(InputError, match="key="):
        read_array(tmp_path / "inner.h5")


def test_bad_input(records, tmp_path):
    with pytest.raises(InputError, match="cathode"):
        lhco(*records, convention="cathod")
    with pytest.raises(InputError, match="n_signal"):
        lhco(*records, n_signal=10**6)
    with pytest.raises(InputError, match="pure_background=100000"):
        lhco(*records, pure_background=100_000)
    with pytest.raises(InputError, match="signal=3"):
        lhco(*records, signal=3, n_signal=5)
    with pytest.raises(InputError, match="shape"):
        from_array(np.zeros((3, 4)))
    with pytest.raises(InputError, match="TeV"):
        from_array(np.full((3, 6), 3500.0))
    with pytest.raises(InputError, match="no file"):
        read_array(tmp_path / "gone.npy")
    np.save(tmp_path / "odd.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="no plain table"):
        read_array(tmp_path / "odd.npy")
    assert SIGNAL_REGION.low == 3.3
