"""The notebook contract: what must be true of a committed notebook before anyone runs it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hepml_nb.core import HepmlError
from hepml_nb.runtime.broken import break_notebook, breaks
from hepml_nb.runtime.notebooks import Info, NotebookLike, code_cells, has_tag, info, read
from hepml_nb.runtime.parameters import read_parameters

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["problems"]

KINDS = ("lesson", "report", "index")
_LINES = 25
_MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])/(home|Users|tmp|root|work|mnt|eos|afs|scratch|data|private)/|[A-Z]:\\\\?Users"
)
_INSTALL = re.compile(r"^\s*[%!]\s*(pip|conda|mamba|uv)\b|sys\.path\b|os\.chdir\b", re.MULTILINE)
_TEXTS = {"title": str, "topic": str}
_LISTS = ("learn", "prerequisites", "datasets", "seed_rows", "references")
_NUMBERS = ("minutes", "mib")
_NOT_HERE = {
    "raises-exception": "show an error with try/except",
    "skip-execution": "every cell runs",
}


def problems(notebook: NotebookLike) -> list[str]:
    """Return what the contract says is wrong with the notebook, one line each; [] is good.

    Checked: metadata `hepml` and the same facts in the first cell, no outputs, ids, one parameters cell with
    profile and seed, at most 25 lines a cell, no paths of a machine, no installs, and for a lesson: an exercise
    with its solution, a widget with a static twin, breaks that still fit, and where it trains, an equality check.
    """
    node, about = read(notebook), info(notebook)
    found = list(_metadata(about)) + list(_cells(node))
    if about.kind != "index":
        found += _first_cell(node, about)
        found += _parameters(node, about)
    if about.kind == "lesson":
        found += _lesson(node, about)
    return found


def _metadata(about: Info) -> Iterator[str]:
    meta = about.metadata
    if not meta:
        yield "metadata `hepml` is missing"
        return
    if meta.get("schema") != 1:
        yield f"hepml.schema is {meta.get('schema')!r}; expected 1"
    if about.kind not in KINDS:
        yield f"hepml.kind is {about.kind!r}; expected one of {', '.join(KINDS)}"
    for name, kind in _TEXTS.items():
        if not isinstance(meta.get(name), kind):
            yield f"hepml.{name} must be a text"
    folder = about.id.rpartition("/")[0]
    if about.path is not None and meta.get("topic", "") != folder:
        yield f"hepml.topic is {meta.get('topic')!r}; the notebook lies in {folder!r}"
    if about.kind != "index":
        yield from _facts(meta)


def _facts(meta: Mapping[str, Any]) -> Iterator[str]:
    for name in _LISTS:
        if not isinstance(meta.get(name), list) or not all(isinstance(one, str) for one in meta[name]):
            yield f"hepml.{name} must be a list of texts"
    for name in _NUMBERS:
        values = meta.get(name)
        if not isinstance(values, dict) or not {"smoke", "tutorial"} <= set(values):
            yield f"hepml.{name} must give numbers for smoke and tutorial at least"
    for text, outcome in dict(meta.get("claims", {})).items():
        if outcome not in ("holds", "consistent", "reversed"):
            yield f"hepml.claims[{text!r}] is {outcome!r}; expected holds, consistent or reversed"


def _cells(node: NotebookNode) -> Iterator[str]:
    seen: set[str] = set()
    for number, cell in enumerate(node.cells, 1):
        name = f"cell {number} (id {cell.get('id', '?')})"
        if cell.get("id") in seen or not cell.get("id"):
            yield f"{name}: needs an id of its own"
        seen.add(str(cell.get("id")))
        if _MACHINE_PATH.search(cell.source):
            yield f"{name}: holds a path of one machine"
        if cell.cell_type != "code":
            continue
        if cell.get("outputs") or cell.get("execution_count"):
            yield f"{name}: holds outputs; notebooks are committed without"
        if _INSTALL.search(cell.source):
            yield f"{name}: installs something or changes sys.path or the folder"
        if (lines := len(cell.source.splitlines())) > _LINES:
            yield f"{name}: {lines} lines; at most {_LINES}"
        yield from (f"{name}: tag {tag!r}; {instead}" for tag, instead in _NOT_HERE.items() if has_tag(cell, tag))


def _first_cell(node: NotebookNode, about: Info) -> Iterator[str]:
    if not node.cells or node.cells[0].cell_type != "markdown":
        yield "the first cell must be Markdown: title, what you learn, prerequisites, minutes, data, references"
        return
    text = node.cells[0].source
    heading = next((line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("# ")), "")
    if heading != about.title:
        yield f"the first heading is {heading!r}; hepml.title is {about.title!r}"
    facts = [*about.datasets, *about.metadata.get("references", []), *about.minutes]
    facts += about.metadata.get("seed_rows", [])
    yield from (f"the first cell does not mention {fact!r}, which is in hepml" for fact in facts if fact not in text)


def _parameters(node: NotebookNode, about: Info) -> Iterator[str]:
    try:
        known = read_parameters(node)
    except HepmlError as error:
        yield str(error)
        return
    if "profile" not in known or known["profile"].default != "tutorial" or "smoke" not in known["profile"].type:
        yield 'parameters: `profile: Literal["smoke", "tutorial", "full"] = "tutorial"` is needed'
    if "seed" not in known or known["seed"].type != "int" or known["seed"].default != 0:
        yield "parameters: `seed: int = 0` is needed"
    if "train" in known and not about.metadata.get("trained"):
        yield "hepml.trained must list the methods that the parameter `train` switches"
    if about.metadata.get("trained") and "train" not in known:
        yield "hepml.trained lists methods, so the parameter `train: bool = True` is needed"


def _lesson(node: NotebookNode, about: Info) -> Iterator[str]:
    exercises = [i for i, cell in enumerate(node.cells) if has_tag(cell, "exercise")]
    if not exercises:
        yield "a lesson needs a cell tagged `exercise`"
    for index in exercises:
        if not any(has_tag(cell, "solution") for cell in node.cells[index : index + 3]):
            yield f"the exercise in cell {index + 1} needs a cell tagged `solution` within the next two"
    yield from (
        f"a lesson needs a cell tagged `{tag}`"
        for tag in ("widget", "static")
        if not any(has_tag(cell, tag) for cell in node.cells)
    )
    if about.metadata.get("trained") and not any(_asserts(cell) for cell in code_cells(node) if has_tag(cell, "check")):
        yield "a cell tagged `check` must assert that the method written out here equals the package's on one batch"
    try:
        declared = breaks(node)
        for one in declared:
            break_notebook(node, one.name)
    except HepmlError as error:
        yield str(error)
        return
    if not declared and any("record(" in cell.source for cell in code_cells(node)):
        yield "hepml.breaks must declare at least one way to break the notebook, for its bands to be tested"


def _asserts(cell: NotebookNode) -> bool:
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:
        return False
    calls = [ast.unparse(one.func) for one in ast.walk(tree) if isinstance(one, ast.Call)]
    return any(isinstance(one, ast.Assert) for one in ast.walk(tree)) or any("assert_" in name for name in calls)
