"""One torch thread: these networks are tiny, and other workers may share the cores."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_THREADS", "1")
