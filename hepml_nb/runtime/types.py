"""The few types a notebook parameter can have, read from its annotation, and how a value is fitted to one."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hepml_nb.core import InputError

__all__ = ["Mismatch", "Type", "fit", "infer", "parse_text", "parse_type"]

_SIMPLE = {"int": "int", "float": "float", "str": "str", "bool": "bool", "Path": "path", "None": "none"}


class Mismatch(Exception):
    """A value that does not fit; its text says what it is instead."""


@dataclass(frozen=True)
class Type:
    """A parameter's type: its kind and, for containers, unions and literals, its arguments."""

    kind: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        if self.kind == "literal":
            return f"Literal[{', '.join(map(repr, self.args))}]"
        if self.kind == "union":
            return " | ".join(map(str, self.args))
        if self.kind == "dict":
            return f"dict[str, {self.args[0]}]"
        if self.kind == "list":
            return f"list[{self.args[0]}]"
        return {"path": "Path", "none": "None"}.get(self.kind, self.kind)

    def has(self, kind: str) -> bool:
        """Say whether this is of the kind, or a union with a member of it."""
        return self.kind == kind or (self.kind == "union" and any(one.has(kind) for one in self.args))


def parse_type(node: ast.expr) -> Type:
    """Read an annotation's syntax tree; nothing is evaluated. Raises Mismatch with the part that is not known."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return parse_type(ast.parse(node.value, mode="eval").body)
    if isinstance(node, ast.Constant) and node.value is None:
        return Type("none")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([parse_type(node.left), parse_type(node.right)])
    if isinstance(node, ast.Subscript):
        return _generic(_word(node.value), node.slice)
    if (word := _word(node)) in _SIMPLE:
        return Type(_SIMPLE[word])
    raise Mismatch(
        f"{ast.unparse(node)} is not a parameter type; use int, float, str, bool, Path, list[...], dict[str, ...], "
        "Literal[...] or X | None"
    )


def infer(value: Any) -> Type:
    """Return the type of a default that has no annotation. Raises Mismatch where it says too little."""
    for kind, cls in (("bool", bool), ("int", int), ("float", float), ("str", str)):
        if isinstance(value, cls):
            return Type(kind)
    if isinstance(value, list) and value:
        kinds = {infer(one) for one in value}
        if kinds == {Type("int"), Type("float")}:
            return Type("list", (Type("float"),))
        if len(kinds) == 1:
            return Type("list", (kinds.pop(),))
    raise Mismatch(f"the default {value!r} does not say the type; annotate it, as in `x: float | None = None`")


def fit(kind: Type, value: Any) -> Any:
    """Return the plain JSON value that `value` is as this type; raises Mismatch when it is none.

    numpy scalars become Python's, paths text; an int is taken for a float, a bool never for an int.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, tuple):
        raise Mismatch(f"got the tuple {value!r}; use a list")
    if isinstance(value, np.ndarray):
        raise Mismatch("got a numpy array; use a list (its .tolist())")
    if kind.kind == "union":
        return _fit_union(kind, value)
    fitted = _FITTERS[kind.kind](kind, value)
    if fitted is _NO:
        raise Mismatch(f"got {value!r} ({type(value).__name__}); expected {kind}")
    return fitted


def parse_text(kind: Type, text: str) -> Any:
    """Return what a text typed on the command line means for this type; text that means nothing stays text."""
    if text in ("None", "null") and kind.has("none"):
        return None
    literals = {str(option): option for part in _members(kind) if part.kind == "literal" for option in part.args}
    if text in literals:
        return literals[text]
    if kind.has("bool") and text.lower() in ("true", "false", "yes", "no"):
        return text.lower() in ("true", "yes")
    if kind.has("str") or kind.has("path"):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind.has("list") and not isinstance(value, list):
        element = next(part.args[0] for part in _members(kind) if part.kind == "list")
        return [parse_text(element, part.strip()) for part in text.split(",")]
    return value


_NO: Any = object()


def _word(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""  # typing.Literal, pathlib.Path


def _generic(word: str, inner: ast.expr) -> Type:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if word == "Literal":
        try:
            return Type("literal", tuple(ast.literal_eval(part) for part in parts))
        except ValueError as error:
            raise Mismatch(f"Literal[{ast.unparse(inner)}] must hold plain values") from error
    if word == "Optional":
        return _union([parse_type(inner), Type("none")])
    if word == "Union":
        return _union([parse_type(part) for part in parts])
    if word == "list" and len(parts) == 1:
        return Type("list", (parse_type(inner),))
    if word == "dict" and len(parts) == 2 and _word(parts[0]) == "str":
        return Type("dict", (parse_type(parts[1]),))
    raise Mismatch(f"{word}[{ast.unparse(inner)}] is not a parameter type; use list[...] or dict[str, ...]")


def _union(parts: list[Type]) -> Type:
    flat = [one for part in parts for one in _members(part)]
    return Type("union", tuple(dict.fromkeys(flat)))


def _members(kind: Type) -> tuple[Type, ...]:
    return kind.args if kind.kind == "union" else (kind,)


def _fit_union(kind: Type, value: Any) -> Any:
    # an exact match first, so that 1 stays an int in `float | int`
    parts = sorted(kind.args, key=lambda part: part.kind != type(value).__name__)
    for part in parts:
        try:
            return fit(part, value)
        except Mismatch:
            continue
    raise Mismatch(f"got {value!r} ({type(value).__name__}); expected {kind}")


def _fit_literal(kind: Type, value: Any) -> Any:
    return next((option for option in kind.args if type(option) is type(value) and option == value), _NO)


def _fit_list(kind: Type, value: Any) -> Any:
    return [fit(kind.args[0], one) for one in value] if isinstance(value, list) else _NO


def _fit_dict(kind: Type, value: Any) -> Any:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        return _NO
    return {key: fit(kind.args[0], one) for key, one in value.items()}


_FITTERS: dict[str, Any] = {
    "int": lambda _, v: v if isinstance(v, int) and not isinstance(v, bool) else _NO,
    "float": lambda _, v: float(v) if isinstance(v, int | float) and not isinstance(v, bool) else _NO,
    "str": lambda _, v: v if isinstance(v, str) else _NO,
    "bool": lambda _, v: v if isinstance(v, bool) else _NO,
    "none": lambda _, v: None if v is None else _NO,
    # an empty path means "not given"; the kernel works elsewhere, so a path is made absolute here
    "path": lambda _, v: (str(Path(v).expanduser().resolve()) if v else "") if isinstance(v, str) else _NO,
    "literal": _fit_literal,
    "list": _fit_list,
    "dict": _fit_dict,
}


def read_literal(node: ast.expr, name: str) -> Any:
    """Return the value of a literal expression; raises InputError for anything that would have to be executed."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the default of parameter {name!r} is `{ast.unparse(node)}`; a parameters cell holds literals only, "
            "so that it can be read without executing it."
        ) from error
