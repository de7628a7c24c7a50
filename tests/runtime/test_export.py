"""The complete notebook runs through; the student copy fails only where the student has work to do."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hepml_nb.core import InputError
from hepml_nb.runtime.export import exercise_cells, export_plain, export_student, strip_outputs, student_copy
from hepml_nb.runtime.notebooks import discover, info, read
from hepml_nb.runtime.notebooks import nbformat as quick_nbformat

v4 = quick_nbformat().v4

SOLUTION = """def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION"""


def tagged(cell: Any, *tags: str) -> Any:
    cell.metadata["tags"] = list(tags)
    return cell


@pytest.fixture
def lesson() -> Any:
    code, text = v4.new_code_cell, v4.new_markdown_cell
    return v4.new_notebook(
        metadata={"hepml": {"id": "toys/01_double", "title": "Doubling"}},
        cells=[
            text("# Doubling"),
            tagged(code("start = 3"), "parameters"),
            tagged(code("assert start == 3"), "check"),  # ordinary: follows no solution
            tagged(text("Write `double`."), "exercise"),
            tagged(code(SOLUTION), "solution"),
            tagged(code('assert double(start) == 6, "double(3) is 6"\nprint("correct")'), "check"),
            tagged(text("Call its value `answer`."), "exercise"),
            tagged(code("answer = 42"), "solution"),
            tagged(code("assert answer == 42"), "check"),
            code("after = start + 1"),
        ],
    )


def run_on(node: Any) -> tuple[list[int], dict[int, str]]:
    """Run all cells in one kernel, going on after errors; return the indexes that failed and what was printed."""
    from nbclient import NotebookClient

    NotebookClient(node, timeout=60, kernel_name="python3", allow_errors=True).execute()
    failed = [i for i, c in enumerate(node.cells) if any(o.output_type == "error" for o in c.get("outputs", []))]
    printed = {
        i: "".join(o.text for o in c.outputs if o.output_type == "stream")
        for i, c in enumerate(node.cells)
        if c.cell_type == "code"
    }
    return failed, printed


def test_the_solution_passes_and_the_student_copy_fails_only_in_exercises(lesson: Any) -> None:
    failed, printed = run_on(strip_outputs(lesson))
    assert failed == []
    assert "correct" in printed[5]
    failed, _ = run_on(student_copy(lesson))
    assert failed == [5, 8]
    assert set(failed) <= set(exercise_cells(lesson)) == {4, 5, 7, 8}


def test_no_solution_is_left_anywhere(lesson: Any) -> None:
    text = quick_nbformat().writes(student_copy(lesson))
    assert "2 * x" not in text
    assert "answer = 42" not in text
    assert "BEGIN SOLUTION" not in text
    assert text.count("# your code here") == 2


def test_what_stands_outside_the_marks_stays_and_still_parses(lesson: Any) -> None:
    source = student_copy(lesson).cells[4].source
    assert source == "def double(x):\n    # your code here\n    ..."
    compile(source, "cell", "exec")


def test_several_regions_in_one_cell(lesson: Any) -> None:
    lesson.cells[
        4
    ].source = "a = 1\n### BEGIN SOLUTION\nb = 2\n### END SOLUTION\nc = 3\n### BEGIN SOLUTION\nd = 4\n### END SOLUTION"
    assert student_copy(lesson).cells[4].source == "a = 1\n# your code here\nc = 3\n# your code here"


@pytest.mark.parametrize("marks", [("BEGIN",), ("END",), ("BEGIN", "BEGIN", "END"), ("BEGIN", "END", "END")])
def test_marks_that_do_not_pair_up_are_refused(lesson: Any, marks: tuple[str, ...]) -> None:
    lesson.cells[4].source = "\n".join(f"### {mark} SOLUTION\nsecret = 1" for mark in marks)
    with pytest.raises(InputError, match="BEGIN SOLUTION"):
        student_copy(lesson)


def test_a_notebook_without_exercises_is_refused(build: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="no cell tagged 'solution'"):
        student_copy(build("1"))


def test_outputs_and_the_original_stay_untouched(lesson: Any, tmp_path: Path) -> None:
    lesson.cells[9].outputs = [v4.new_output("stream", name="stdout", text="42")]
    lesson.cells[9].execution_count = 3
    lesson.metadata["widgets"] = {"state": {}}
    made = student_copy(lesson)
    assert made.cells[9].outputs == []
    assert made.cells[9].execution_count is None
    assert "widgets" not in made.metadata
    assert lesson.cells[9].outputs


def test_the_file_is_named_after_the_notebook_and_never_replaces_it(make: Callable[..., Path], tmp_path: Path) -> None:
    path = make("1")
    assert export_plain(path, tmp_path) == tmp_path / "01_toy.ipynb"
    with pytest.raises(InputError, match="the notebook itself"):
        export_plain(path, path)
    with pytest.raises(InputError, match="nothing to leave"):
        export_student(path, tmp_path)


def _names(source: str, context: type[ast.expr_context]) -> set[str]:
    tree = ast.parse(source)
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    if context is ast.Store:
        found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        found |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return found


@pytest.mark.parametrize("name", [one for one in discover() if info(one).kind == "lesson"])
def test_a_lesson_goes_on_without_its_solutions(name: str) -> None:
    cells, exercises = read(name).cells, exercise_cells(name)
    code = [(index, str(cell.source)) for index, cell in enumerate(cells) if cell.cell_type == "code"]
    given = set().union(*(_names(source, ast.Store) for index, source in code if index not in exercises))
    solved = set().union(*(_names(source, ast.Store) for index, source in code if index in exercises)) - given
    for index, source in code:
        if index not in exercises:
            assert not _names(source, ast.Load) & solved, f"cell {index + 1} of {name} needs a solution"
