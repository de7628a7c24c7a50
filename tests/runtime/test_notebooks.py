"""Notebooks are found by id, prefix or path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hepml_nb import runtime
from hepml_nb.core import InputError, NotFound

ROOT = Path(__file__).parents[2]


def test_notebooks_are_found_by_id_prefix_and_path(make: Any, workbench: Path) -> None:
    one, two = make(name="toys/01_toy"), make(name="toys/02_more")
    make(name="index", kind="index", topic="")
    make(name="results/toys/01_toy")  # not a notebook of ours
    make(name="toys/.ipynb_checkpoints/01_toy")
    assert runtime.discover() == ["index", "toys/01_toy", "toys/02_more"]
    assert runtime.find("toys/02") == two
    assert runtime.find("toys/01_toy") == one
    assert runtime.find(one) == one
    assert runtime.info("toys/01").slug == "01_toy"
    assert runtime.info(one).topic == "toys"
    assert runtime.info("index").topic == ""


def test_a_wrong_name_gets_the_nearest(make: Any) -> None:
    make(name="toys/01_toy")
    make(name="toys/02_more")
    with pytest.raises(NotFound, match="did you mean 'toys/02_more'"):
        runtime.find("toy/02_more")
    with pytest.raises(InputError, match="fits several"):
        runtime.find("toys/")
    with pytest.raises(NotFound, match="there is no file"):
        runtime.find("nowhere.ipynb")


def test_a_file_that_is_no_notebook_is_said_so(workbench: Path) -> None:
    for number, text in enumerate(
        ("not json", "{}", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}')
    ):
        path = workbench / "notebooks" / f"bad{number}.ipynb"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="not a Jupyter notebook"):
            runtime.read(path)


def test_looking_at_notebooks_and_recording_need_no_nbformat(make: Any) -> None:
    make(name="toys/01_toy")
    code = "import sys; from hepml_nb import runtime; runtime.info('toys/01'); runtime.record; "
    code += "print('nbformat' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
