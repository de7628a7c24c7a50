"""What holds for the package as a whole: layers, lazy names, pins, sizes."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "hepml_nb").rglob("*.py"))
STUBS = sorted((ROOT / "hepml_nb").rglob("__init__.pyi"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _pins(lines: list[str]) -> dict[str, str]:
    found = (re.match(r"([A-Za-z0-9._-]+)==([^\s;#]+)", line.strip()) for line in lines)
    return {m[1].lower().replace("_", "-"): m[2] for m in found if m}


def _name(requirement: str) -> str:
    return re.split(r"[\[><=~!; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


CONSTRAINTS = _pins((ROOT / "constraints.txt").read_text().splitlines())


def test_layers_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("stub", STUBS, ids=lambda p: p.parent.relative_to(ROOT).as_posix())
def test_every_listed_name_can_be_imported_and_none_is_shadowed_by_its_module(stub):
    name = ".".join(stub.parent.relative_to(ROOT).parts)
    package = importlib.import_module(name)
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            importlib.import_module(f"{name}.{node.module}")  # would hide an attribute of the same name
            for alias in node.names:
                assert not isinstance(getattr(package, alias.name), types.ModuleType), alias.name


def test_every_package_lists_its_public_names():
    assert {path.parent for path in MODULES if path.name == "__init__.py"} - {path.parent for path in STUBS} == {
        ROOT / "hepml_nb" / "cli",  # a command, not an interface
        ROOT / "hepml_nb" / "data" / "readers",  # families whose members are found by the names of their modules
        ROOT / "hepml_nb" / "simulate" / "recipes",
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_modules_are_short_and_say_what_they_are(path):
    text = path.read_text()
    assert text.count("\n") <= 400, "split it: a file has at most 400 lines"
    assert ast.get_docstring(ast.parse(text)), "the first sentence of a module explains it"


def test_command_line_starts_without_heavy_packages():
    heavy = {
        "torch",
        "numpy",
        "matplotlib",
        "awkward",
        "sklearn",
        "papermill",
        "coffea",
        "pandas",
        "IPython",
        "nbformat",
    }
    code = "import sys, hepml_nb.cli; print(*sorted(set(sys.modules)))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not heavy & loaded


def test_every_dependency_has_a_tested_pin():
    extras = PROJECT["optional-dependencies"]
    wanted = {_name(line) for line in [*PROJECT["dependencies"], *extras["test"], *extras["public"]]}
    assert wanted - set(CONSTRAINTS) == set()


def test_packages_that_break_the_stack_are_not_pinned():
    assert not {"dask-awkward", "energyflow", "jetnet", "torchvision"} & set(CONSTRAINTS)


def test_binder_pins_equal_the_constraints():
    lines = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in lines if isinstance(entry, dict))
    pins = _pins(pip)
    assert {_name(line) for line in PROJECT["dependencies"]} - set(pins) == set()
    assert {name: version for name, version in pins.items() if CONSTRAINTS.get(name) != version} == {}
    assert any("whl/cpu" in line for line in pip), "Binder has no GPU: torch comes from the CPU index"


@pytest.mark.parametrize("script", ["binder/postBuild", "binder/start", ".ci/run"])
def test_shell_scripts_parse_and_are_executable(script):
    path = ROOT / script
    assert path.stat().st_mode & 0o100
    subprocess.run(["bash", "-n", path], check=True)


@pytest.mark.parametrize(
    "path", [*MODULES, *ROOT.glob("notebooks/**/*.ipynb"), *ROOT.glob("*.md")], ids=lambda p: p.name
)
def test_nothing_names_a_path_of_one_machine(path):
    assert not re.findall(r"""["'\s(](?:/home/|/root/|/tmp/|/Users/)""", path.read_text())
