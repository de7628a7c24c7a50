"""A dataset's identity is known without making it; what a notebook holds is found."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import IPython.core.getipython
import pytest

from hepml_nb.runtime import datasets


def test_identities_differ_by_profile_and_hold_still() -> None:
    smoke, tutorial = (datasets.identity("top-tagging", profile) for profile in ("smoke", "tutorial"))
    assert smoke != tutorial
    assert datasets.identity("top-tagging", "tutorial") == tutorial
    assert datasets.identity("nothing", "smoke") == "unknown"
    assert datasets.identity("top-tagging", "default") == "unknown"


def test_the_public_files_are_another_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = datasets.identity("top-tagging", "tutorial")
    (tmp_path / "top-tagging").mkdir()
    for name in ("train", "val", "test"):
        (tmp_path / "top-tagging" / f"{name}.h5").write_bytes(b"jets")
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path))
    assert datasets.identity("top-tagging", "tutorial") != twin


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    assert datasets.identity(str(path), "smoke") == "missing"
    path.write_bytes(b"1")
    first = datasets.identity(str(path), "smoke")
    path.write_bytes(b"2")
    assert datasets.identity(str(path), "smoke") != first


def test_the_datasets_that_a_notebook_holds_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from hepml_nb.data import Dataset

    sample = Dataset("toys", "smoke", {}, {"identity": "abc", "source": "twin"}, {})
    shell = SimpleNamespace(user_ns={"a": sample, "b": sample, "c": 3})
    monkeypatch.setattr(IPython.core.getipython, "get_ipython", lambda: shell)
    assert datasets.loaded() == [{"name": "toys", "profile": "smoke", "identity": "abc", "source": "twin"}]
