"""The student copy of a notebook: solutions removed, everything else as it was, and it still runs up to the exercises.

An exercise is a run of cells: a Markdown cell tagged `exercise` (what to compute and what to call it), one or more code
cells tagged `solution`, then directly after them any number of code cells tagged `check` (asserts; print "correct").
A `check` that follows no solution is an ordinary cell.

Of a solution cell, what stands between the lines `### BEGIN SOLUTION` and `### END SOLUTION` becomes `# your code here`
(with an `...` where Python needs a statement); a cell without these lines is replaced as a whole. The complete notebook
runs to its end; the student copy fails only in solution cells and their checks: `exercise_cells` says which these are.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hepml_nb.core import InputError, atomic_write
from hepml_nb.runtime.notebooks import NotebookLike, has_tag, info, nbformat, read

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["exercise_cells", "export_plain", "export_student", "strip_outputs", "student_copy"]

STUB = "# your code here"
_BEGIN = re.compile(r"^\s*###\s*BEGIN SOLUTION\s*$")
_END = re.compile(r"^\s*###\s*END SOLUTION\s*$")


def exercise_cells(notebook: NotebookLike) -> list[int]:
    """Return the indexes of the cells that a student copy may fail in: solutions and the checks directly after them."""
    found: list[int] = []
    for index, cell in enumerate(read(notebook).cells):
        if has_tag(cell, "solution") or (has_tag(cell, "check") and index - 1 in found):
            found.append(index)
    return found


def student_copy(notebook: NotebookLike) -> NotebookNode:
    """Return the notebook without outputs and without solutions.

    Raises InputError where there is no solution to remove, or where the marks of one do not pair up.
    """
    node, name = strip_outputs(notebook), info(notebook).id
    solutions = [cell for cell in node.cells if has_tag(cell, "solution")]
    if not solutions:
        raise InputError(f"{name} has no cell tagged 'solution', so there is nothing to leave to the student.")
    for cell in solutions:
        if cell.cell_type == "code":
            cell.source = _without_solution(str(cell.source), f"{name}, cell {cell.get('id', '?')}")
        else:
            cell.source = "*Your answer here.*"
    return node


def strip_outputs(notebook: NotebookLike) -> NotebookNode:
    """Return the notebook as it is committed: no outputs, no execution counts, no widget state, no run's traces."""
    node = read(notebook)
    for key in ("widgets", "papermill"):
        node.metadata.pop(key, None)
    for cell in node.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return node


def export_student(notebook: NotebookLike, out: str | Path | None = None) -> Path:
    """Write the student copy to `out` (file or folder; here by default) as <slug>.student.ipynb; return the file."""
    return _write(student_copy(notebook), notebook, out, ".student.ipynb")


def export_plain(notebook: NotebookLike, out: str | Path | None = None) -> Path:
    """Write the complete notebook without outputs to `out` (a file or a folder; here by default); return the file."""
    return _write(strip_outputs(notebook), notebook, out, ".ipynb")


def _write(node: NotebookNode, notebook: NotebookLike, out: str | Path | None, suffix: str) -> Path:
    about = info(notebook)
    path = Path(out) if out is not None else Path()
    if path.suffix != ".ipynb":
        path = path / f"{about.slug}{suffix}"
    if about.path is not None and path.resolve() == about.path.resolve():
        raise InputError(f"out={str(path)!r} is the notebook itself; name another file or folder.")
    with atomic_write(path) as stream:
        stream.write(nbformat().writes(node) + "\n")
    return path


def _without_solution(source: str, where: str) -> str:
    if not any(_BEGIN.match(line) or _END.match(line) for line in source.splitlines()):
        return f"{STUB}\n"
    kept: list[str] = []
    inside = False
    for line in source.splitlines():
        begins, ends = bool(_BEGIN.match(line)), bool(_END.match(line))
        if begins == inside and (begins or ends):
            raise InputError(f"{where}: '### BEGIN SOLUTION' and '### END SOLUTION' do not pair up.")
        if begins:
            kept.append(_indent(line) + STUB)
        elif not ends and not inside:
            kept.append(line)
        inside = begins or (inside and not ends)
    if inside:
        raise InputError(f"{where}: '### BEGIN SOLUTION' has no '### END SOLUTION'.")
    return _parsable(kept)


def _parsable(lines: list[str]) -> str:
    """Add `...` below stubs where a block would otherwise be empty."""
    plain = "\n".join(lines)
    try:
        ast.parse(plain)
    except SyntaxError:
        return "\n".join(f"{line}\n{_indent(line)}..." if line.strip() == STUB else line for line in lines)
    return plain


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
