"""The contract names what is wrong with a notebook, and finds nothing wrong with a good one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from hepml_nb import runtime

PARAMETERS = """from typing import Literal
profile: Literal["smoke", "tutorial", "full"] = "tutorial"
seed: int = 0
train: bool = True"""


def good() -> NotebookNode:
    v4 = nbformat.v4
    node = v4.new_notebook()
    node.metadata["hepml"] = {
        "schema": 1, "title": "Toy", "topic": "", "learn": ["toys"], "prerequisites": [], "seed_rows": [],
        "minutes": {"smoke": 0.1, "tutorial": 1}, "mib": {"smoke": 500, "tutorial": 900}, "datasets": ["top-tagging"],
        "references": ["arXiv:1902.09914"], "trained": ["pfn"],
        "breaks": [{"name": "sign", "cell": "work", "replace": "+", "with": "-"}],
    }  # fmt: skip
    node.cells = [
        v4.new_markdown_cell("# Toy\nsmoke 0.1 min, tutorial 1 min; top-tagging; arXiv:1902.09914", id="title"),
        v4.new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("x = 1 + seed\nrecord('pfn.auc', x)", id="work"),
        v4.new_code_cell("assert x > 0", id="check", metadata={"tags": ["check"]}),
        v4.new_code_cell("x", id="look", metadata={"tags": ["widget", "static"]}),
        v4.new_markdown_cell("Your turn", id="exercise", metadata={"tags": ["exercise"]}),
        v4.new_code_cell("x", id="solution", metadata={"tags": ["solution"]}),
    ]
    return node


def cell(node: NotebookNode, name: str) -> NotebookNode:
    return next(one for one in node.cells if one.id == name)


def test_a_good_notebook_has_no_problems() -> None:
    assert runtime.problems(good()) == []


def source(name: str, text: str) -> Callable[[NotebookNode], None]:
    return lambda node: cell(node, name).update(source=text)


def tags(name: str, *given: str) -> Callable[[NotebookNode], None]:
    return lambda node: cell(node, name).metadata.update(tags=list(given))


def meta(**values: Any) -> Callable[[NotebookNode], None]:
    return lambda node: node.metadata["hepml"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda node: node.metadata.pop("hepml"), "metadata `hepml` is missing"),
        (meta(schema=2), "hepml.schema is 2"),
        (meta(kind="story"), "hepml.kind is 'story'"),
        (meta(title="Other"), "the first heading is 'Toy'"),
        (meta(learn="toys"), "hepml.learn must be a list"),
        (meta(minutes={"smoke": 1}), "hepml.minutes must give numbers"),
        (meta(datasets=["unfolding"]), "does not mention 'unfolding'"),
        (meta(claims={"a": "maybe"}), "expected holds, consistent or reversed"),
        (meta(trained=[]), "hepml.trained must list"),
        (meta(breaks=[]), "hepml.breaks must declare"),
        (meta(breaks=[{"name": "sign", "cell": "work", "replace": "*", "with": "-"}]), "holds it 0 times"),
        (source("title", "Toy"), "the first heading is ''"),
        (source("parameters", "seed: int = 0"), 'profile: Literal\\["smoke"'),
        (source("parameters", PARAMETERS.replace("seed: int = 0", "seed: int = 1")), "seed: int = 0"),
        (source("parameters", PARAMETERS.replace("train: bool = True", "")), "`train: bool = True` is needed"),
        (tags("parameters"), "no cell tagged 'parameters'"),
        (source("work", "x = 1 +\\\n seed" + "\nrecord('a', x)" * 25), "27 lines; at most 25"),
        (source("solution", "open('/home/me/jets.h5')"), "path of one machine"),
        (source("solution", "import sys; sys.path.append('..')"), "changes sys.path"),
        (source("solution", "%pip install hepml-nb"), "installs something"),
        (source("check", "print(x)"), "must assert"),
        (tags("look", "widget"), "tagged `static`"),
        (tags("exercise"), "tagged `exercise`"),
        (tags("solution"), "needs a cell tagged `solution`"),
        (tags("solution", "solution", "raises-exception"), "try/except"),
        (lambda node: cell(node, "work").update(execution_count=1), "holds outputs"),
        (lambda node: cell(node, "work").update(id="title"), "needs an id of its own"),
        (lambda node: node.cells.pop(0), "first cell must be Markdown"),
    ],
)
def test_each_clause_is_checked(change: Callable[[NotebookNode], None], message: str) -> None:
    node = good()
    change(node)
    found = runtime.problems(node)
    assert any(pytest.raises(AssertionError, match=message).matches(AssertionError(line)) for line in found), found


def test_an_index_needs_only_a_title() -> None:
    node = nbformat.v4.new_notebook(metadata={"hepml": {"schema": 1, "kind": "index", "title": "Start", "topic": ""}})
    node.cells = [nbformat.v4.new_markdown_cell("# Start")]
    assert runtime.problems(node) == []


def test_web_addresses_are_no_machine_paths() -> None:
    node = good()
    cell(node, "title")["source"] += "\n<https://zenodo.org/data/2603256> and a/data/b"
    assert runtime.problems(node) == []
