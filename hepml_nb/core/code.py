"""Which code a result rests on: the modules it reaches by imports, and a hash of what they do."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from hepml_nb.core.errors import NotFound
from hepml_nb.core.files import content_hash

__all__ = ["code_hash", "imported_modules", "reached_code"]

_REGISTRY = ".registry"
"""A registry only names methods: a line more in it changes no result, so nothing is reached through it."""


def code_hash(*names: str) -> str:
    """Return a hash of what the named modules or packages do: their syntax trees without docstrings and comments.

    A better comment or a reformatted line keeps the hash, so committed results stay valid; a changed number does not.
    """
    return content_hash([(name, _module_trees(name)) for name in sorted(names)])


def reached_code(roots: Iterable[str], within: Iterable[str]) -> dict[str, str]:
    """Return {package: hash of those of its modules which the roots reach by imports, the roots among them}.

    roots: modules or packages (a package stands for all its modules). within: the packages that count. Imports are
    read from the text, those inside functions included; `from package import name` is followed to the module where
    the package's stub says that the name stands. Registries are not followed. Raises NotFound for an unknown root.
    """
    packages = tuple(within)
    todo, found = [name for root in roots for name in _modules(root)], set[str]()
    while todo:
        name = todo.pop()
        inside = any(name == package or name.startswith(package + ".") for package in packages)
        if inside and name not in found and not name.endswith(_REGISTRY):
            found.add(name)
            todo += [module for one in _imports(_file(name)) for module in _modules(one)]
    return {
        package: content_hash([(name, _tree_hash(_file(name))) for name in mine])
        for package in packages
        if (mine := sorted(name for name in found if name == package or name.startswith(package + ".")))
    }


def imported_modules(tree: ast.AST, top: str = "hepml_nb") -> set[str]:
    """Return the modules of `top` that a syntax tree imports; a package where it is used as a whole.

    Of an imported package, as in `from hepml_nb import tagging`, only what is used counts: `tagging.make`.
    """
    found: set[str] = set()
    packages: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith(top + ".")}
        elif isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(top + "."):
            for alias in node.names:
                module = _resolve(node.module, alias.name)
                if _is_package(module):
                    packages[alias.asname or alias.name] = module
                else:
                    found.add(module)
    used: dict[str, set[str]] = {name: set() for name in packages}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in packages:
            used[node.value.id].add(node.attr)
    for name, attributes in used.items():
        found |= {_resolve(packages[name], attribute) for attribute in attributes} or {packages[name]}
    return found


def _resolve(package: str, name: str) -> str:
    """Return the module where `from package import name` finds the name."""
    if not _is_package(package):
        return package
    if importlib.util.find_spec(f"{package}.{name}"):
        return f"{package}.{name}"
    stub = _file(package).with_suffix(".pyi")
    for node in _tree(stub).body if stub.is_file() else ():
        if isinstance(node, ast.ImportFrom) and node.level == 1 and any(alias.name == name for alias in node.names):
            return f"{package}.{node.module}"
    return package


def _modules(name: str) -> list[str]:
    """Return a module itself, a package as all the modules in it."""
    origin = _file(name)
    if origin.name != "__init__.py":
        return [name]
    inside = [file.relative_to(origin.parent).with_suffix("").parts for file in sorted(origin.parent.rglob("*.py"))]
    return [".".join((name, *(part for part in parts if part != "__init__"))) for parts in inside]


def _is_package(name: str) -> bool:
    return _file(name).name == "__init__.py"


def _file(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise NotFound(f"there is no module {name!r} whose code could be hashed.")
    return Path(spec.origin)


def _module_trees(name: str) -> list[tuple[str, str]]:
    origin = _file(name)
    files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    return [(file.relative_to(origin.parent).as_posix(), _tree_hash(file)) for file in files]


def _tree(file: Path) -> ast.Module:
    about = file.stat()
    return _parsed(file, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=1000)
def _parsed(file: Path, changed: int, size: int) -> ast.Module:
    """Return the syntax tree of a file as it was then, without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def _imports(file: Path) -> frozenset[str]:
    about = file.stat()
    return _imported(file, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=1000)
def _imported(file: Path, changed: int, size: int) -> frozenset[str]:
    """Return what a file as it was then imports; a sweep asks for the same files once per row."""
    return frozenset(imported_modules(_parsed(file, changed, size)))


def _tree_hash(file: Path) -> str:
    about = file.stat()
    return _hashed(file, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=1000)
def _hashed(file: Path, changed: int, size: int) -> str:
    return hashlib.sha256(ast.dump(_parsed(file, changed, size)).encode()).hexdigest()[:16]
