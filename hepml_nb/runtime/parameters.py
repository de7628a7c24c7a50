"""Typed parameters: read from the cell tagged `parameters` without executing it, checked before anything runs."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hepml_nb.core import InputError, NotFound, suggest
from hepml_nb.runtime.notebooks import NotebookLike, code_cells, has_tag, info, read
from hepml_nb.runtime.types import Mismatch, Type, fit, infer, parse_text, parse_type, read_literal

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Parameter", "from_text", "parameter_table", "read_parameters", "validate"]

_IMPORTS = ("typing", "pathlib", "__future__")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook: its name, type (as written), default and the comment beside it."""

    name: str
    type: str
    default: Any
    help: str
    kind: Type


def read_parameters(notebook: NotebookLike) -> dict[str, Parameter]:
    """Return the notebook's parameters in order; an index without a parameters cell has none.

    Raises InputError when there is no (or more than one) parameters cell, when it holds anything but literals,
    annotations and imports from typing or pathlib, or when a default does not fit its own annotation.
    """
    node, about = read(notebook), info(notebook)
    name = about.id
    if about.kind == "index" and not any(has_tag(cell, "parameters") for cell in node.cells):
        return {}
    source = _parameters_cell(node, name).source
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        where = f"{error.msg}, line {error.lineno}"
        raise InputError(f"the parameters cell of {name} is not plain Python: {where}.") from error
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module in _IMPORTS:
            continue
        parameter = _parameter(statement, name, comments.get(statement.end_lineno or 0, ""))
        if parameter.name in found:
            raise InputError(f"the parameters cell of {name} assigns {parameter.name!r} twice.")
        found[parameter.name] = parameter
    return found


def validate(notebook: NotebookLike, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter's value as plain JSON: those given, checked, and the defaults of the others.

    Raises NotFound for a name that the notebook does not have, InputError for a value of the wrong type; both
    name the nearest right thing and show the table of what exists.
    """
    known, name = read_parameters(notebook), info(notebook).id
    table = _table(known.values())
    for word in given:
        if word not in known:
            raise NotFound(f"{name} has no parameter {word!r}{suggest(str(word), known)}\n{table}")
    values = {}
    for parameter in known.values():
        try:
            values[parameter.name] = fit(parameter.kind, given.get(parameter.name, parameter.default))
        except Mismatch as error:
            raise InputError(f"parameter {parameter.name!r} of {name}: {error}.\n{table}") from error
    return values


def from_text(notebook: NotebookLike, pairs: Mapping[str, str] | Sequence[str]) -> dict[str, Any]:
    """Return values for parameters typed as text: {"epochs": "3"} or ["epochs=3"]; check them with `validate`.

    Lists may be written `0.3,0.5` or `[0.3, 0.5]`, booleans `true` or `false`. Raises InputError without a "=".
    """
    if not isinstance(pairs, Mapping):
        for pair in pairs:
            if "=" not in pair:
                raise InputError(f"parameter {pair!r} is not of the form name=value.")
        pairs = dict(pair.split("=", 1) for pair in pairs)
    known = read_parameters(notebook)
    return {word: parse_text(known[word].kind, text) if word in known else text for word, text in pairs.items()}


def parameter_table(notebook: NotebookLike) -> str:
    """Return the notebook's parameters as an aligned text table: name, type, default, help."""
    return _table(read_parameters(notebook).values())


def _parameters_cell(node: NotebookNode, name: str) -> NotebookNode:
    cells = [cell for cell in code_cells(node) if has_tag(cell, "parameters")]
    if len(cells) != 1:
        raise InputError(
            f"{name} has {len(cells) or 'no'} cell{'s' * (len(cells) > 1)} tagged 'parameters'; exactly one is needed "
            "(JupyterLab: property inspector, cell tags)."
        )
    return cells[0]


def _parameter(statement: ast.stmt, notebook: str, comment: str) -> Parameter:
    target, value, annotation = _assignment(statement, notebook)
    default = read_literal(value, target)
    try:
        kind = parse_type(annotation) if annotation is not None else infer(default)
        default = default if default == "" else fit(kind, default)
    except Mismatch as error:
        raise InputError(f"parameter {target!r} of {notebook}: {error}.") from error
    return Parameter(target, str(kind), default, comment, kind)


def _assignment(statement: ast.stmt, notebook: str) -> tuple[str, ast.expr, ast.expr | None]:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        return statement.target.id, statement.value, statement.annotation
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value, None
    raise InputError(
        f"the parameters cell of {notebook} holds `{ast.unparse(statement).splitlines()[0]}`; it may hold only "
        "`name: type = literal`, and imports from typing or pathlib."
    )


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _table(parameters: Any) -> str:
    rows = [("parameter", "type", "default", "meaning")]
    rows += [(p.name, p.type, repr(p.default), p.help) for p in parameters]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )
