"""Every notebook in notebooks/ becomes tests by being there."""

from __future__ import annotations

import os
from typing import Any

import pytest

from hepml_nb import runtime


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise tests over notebooks, their breaks, golden files and committed results."""
    if {"notebook", "broken"} <= set(metafunc.fixturenames):
        pairs = [(name, one.name) for name in runtime.discover() for one in runtime.breaks(name)]
        metafunc.parametrize(("notebook", "broken"), pairs, ids=[f"{name}-{one}" for name, one in pairs])
    elif "recording" in metafunc.fixturenames:
        metafunc.parametrize("recording", [name for name in runtime.discover() if runtime.info(name).kind != "index"])
    elif "switchable" in metafunc.fixturenames:
        metafunc.parametrize("switchable", [name for name in runtime.discover() if "train" in known(name)])
    elif "notebook" in metafunc.fixturenames:
        metafunc.parametrize("notebook", runtime.discover())


def known(name: str) -> dict[str, Any]:
    """Return the notebook's parameters; none for one that the contract's own test will complain about."""
    try:
        return dict(runtime.read_parameters(name))
    except ValueError:
        return {}


@pytest.fixture(autouse=True)
def _no_profile_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEPML_NB_PROFILE", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _fair_share() -> Any:
    """Give each worker's kernels its share of the cores, where tests run side by side."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    with pytest.MonkeyPatch.context() as patch:
        if workers > 1 and "HEPML_NB_THREADS" not in os.environ:
            patch.setenv("HEPML_NB_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
        yield
