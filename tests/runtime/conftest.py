"""Tiny notebooks, made in the test, in a workbench of their own: nothing here needs torch or a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hepml_nb.runtime.notebooks import nbformat as quick_nbformat

nbformat = quick_nbformat()

PARAMETERS = """from typing import Literal

profile: Literal["smoke", "tutorial", "full"] = "tutorial"
seed: int = 0
epochs: int = 3  # passes over the training set
rate: float = 0.1
flags: list[float] | None = None"""


def notebook(*cells: str, parameters: str | None = PARAMETERS, **hepml: Any) -> Any:
    """Return a notebook of code cells below a title and a parameters cell."""
    v4 = nbformat.v4
    node = v4.new_notebook(metadata={"hepml": {"schema": 1, "title": "Toy", "topic": "toys", **hepml}})
    node.cells.append(v4.new_markdown_cell("# Toy"))
    if parameters is not None:
        node.cells.append(v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    node.cells += [v4.new_code_cell(cell) for cell in cells]
    for number, cell in enumerate(node.cells):
        cell["id"] = f"cell-{number}"
    return node


@pytest.fixture
def workbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout, with a cache of its own."""
    root = tmp_path / "bench"
    for folder in ("notebooks", "data_manifests", "tests/golden"):
        (root / folder).mkdir(parents=True)
    monkeypatch.setenv("HEPML_NB_HOME", str(root))
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEPML_NB_PROFILE", raising=False)
    return root


@pytest.fixture
def build() -> Callable[..., Any]:
    """Make a notebook in memory."""
    return notebook


@pytest.fixture
def make(workbench: Path) -> Callable[..., Path]:
    """Write notebooks/<name>.ipynb from code cells below a parameters cell."""

    def write(*cells: str, name: str = "toys/01_toy", **options: Any) -> Path:
        path = workbench / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(nbformat.writes(notebook(*cells, **options)), encoding="utf-8")
        return path

    return write
