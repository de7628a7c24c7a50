"""The scaling of features: invertible, inside the range, with the right determinant."""

import numpy as np
import pytest

from hepml_nb.anomaly.preprocess import LogitScaler
from hepml_nb.core import InputError, RunError
from hepml_nb.simulate.resonance import ResonanceToy

X = ResonanceToy().background(4000, 1)[:, 1:]


def test_standardised_and_invertible():
    scaler = LogitScaler().fit(X)
    z = scaler.forward(X)
    assert np.allclose(z.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(z.std(axis=0), 1)
    assert np.allclose(scaler.inverse(z), X, rtol=1e-9)


def test_the_determinant_is_that_of_finite_differences():
    scaler, few, step = LogitScaler().fit(X), X[:200], 1e-6
    slopes = (scaler.forward(few + step) - scaler.forward(few - step)) / (2 * step)
    assert np.allclose(scaler.log_det(few), np.log(slopes).sum(axis=1), atol=1e-3)


def test_whatever_is_drawn_comes_back_inside():
    scaler = LogitScaler().fit(X)
    far = np.full((1, 4), 1.0) * np.array([[-1e4], [-30.0], [30.0], [1e4]])
    made = scaler.inverse(far)
    assert (made >= scaler.low).all()
    assert (made <= scaler.high).all()


def test_events_outside_go_to_the_nearest_end_and_are_told_apart():
    scaler = LogitScaler().fit(X)
    outside = X[:3] + np.array([10.0, 0, 0, 0])
    assert not scaler.inside(outside).any()
    assert scaler.inside(X).all()
    assert np.isfinite(scaler.forward(outside)).all()
    assert np.isfinite(scaler.log_det(outside)).all()
    assert (scaler.forward(outside)[:, 0] > scaler.forward(X)[:, 0].max()).all()


def test_bad_input():
    with pytest.raises(InputError, match="constant"):
        LogitScaler().fit(np.column_stack([X[:, 0], np.ones(len(X))]))
    with pytest.raises(InputError, match="nan"):
        LogitScaler().fit(np.array([[np.nan, 1.0], [0.0, 2.0]]))
    with pytest.raises(InputError, match="at least 2"):
        LogitScaler().fit(X[:1])
    with pytest.raises(InputError, match="margin"):
        LogitScaler(0)
    with pytest.raises(InputError, match=r"\(n, 4\)"):
        LogitScaler().fit(X).forward(X[:, :2])
    with pytest.raises(RunError, match="fit"):
        LogitScaler().forward(X)
