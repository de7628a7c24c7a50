"""The command `doctor`: what is missing on this machine, line by line, each with the fix."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from hepml_nb.cli.common import add_command, print_json

__all__ = ["Check", "add_commands", "examine", "find_browser"]

State = Literal["ok", "warn", "fail"]
_GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: its state, what was found, and what to do when it is not ok."""

    name: str
    state: State
    found: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.state:<5}{self.name:<20}{self.found}"
        return f"{line}\n{'':<25}fix: {self.fix}" if self.fix and self.state != "ok" else line


def add_commands(commands: Any) -> None:
    """Declare the command of this module."""
    add_command(
        commands,
        "doctor",
        _doctor,
        "look for what is missing on this machine, and name the fix",
        ["doctor", "doctor --json"],
        more="Exits with 1 when anything is marked fail; warn means that something optional or slower.",
        as_json=True,
    )


def _doctor(arguments: argparse.Namespace) -> int:
    found = list(examine())
    if arguments.json:
        print_json([asdict(one) for one in found])
    else:
        print("\n".join(map(str, found)))
    return 1 if any(one.state == "fail" for one in found) else 0


def examine() -> Iterator[Check]:
    """Yield one check after the other; a check that itself breaks is reported as failed, not raised."""
    looks: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("torch", _torch),
        ("versions", _versions),
        ("cores", _cores),
        ("memory", _memory),
        ("cache", _cache),
        ("checkout", _checkout),
        ("samples", _samples),
        ("generator", lambda: _import("generator", "pythia8mc", "making new jets")),
        ("fastjet", lambda: _import("fastjet", "fastjet", "clustering jets")),
        ("sherpa", _sherpa),
        ("kernel", _kernel),
        ("jupyterlab", lambda: _import("jupyterlab", "jupyterlab", "hepml-nb lab")),
        ("browser", _browser),
    ]
    for name, look in looks:
        try:
            yield look()
        except Exception as error:  # any: a doctor who faints at the first wound is no use
            yield Check(name, "fail", f"could not be examined: {type(error).__name__}: {error}")


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{version} ({sys.executable})")


def _torch() -> Check:
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    if torch.version.cuda and not torch.cuda.is_available():
        fix = "nothing, if this machine has no GPU (the CPU build is 0.2 GB instead of 3 GB); else check its driver"
        return Check("torch", "warn", f"{torch.__version__}, {build}, but no GPU is seen", fix)
    gpu = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return Check("torch", "ok", f"{torch.__version__}, {build}{gpu}")


def _versions() -> Check:
    from hepml_nb.core.files import repo_root

    pins = repo_root() / "constraints.txt"
    if not pins.exists():
        return Check("versions", "ok", "no constraints.txt beside this installation to compare with")
    wanted = dict(line.split("==", 1) for line in pins.read_text(encoding="utf-8").split() if "==" in line)
    have = {one.name.lower().replace("_", "-"): one.version.partition("+")[0] for one in metadata.distributions()}
    other = [f"{name} {have[name]} (tested: {pin})" for name, pin in wanted.items() if have.get(name, pin) != pin]
    if other:
        more = f" and {len(other) - 5} more" if len(other) > 5 else ""
        return Check("versions", "warn", ", ".join(other[:5]) + more, f"pip install -c {pins} -e .")
    return Check("versions", "ok", f"as tested ({sum(name in have for name in wanted)} pins)")


def _cores() -> Check:
    from hepml_nb.core import cores

    threads = os.environ.get("HEPML_NB_THREADS")
    limited = f", HEPML_NB_THREADS={threads}" if threads else ""
    if cores() < 2:
        return Check("cores", "warn", f"{cores()}{limited}", "the stated minutes are for two cores; expect the double")
    return Check("cores", "ok", f"{cores()}{limited}")


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available / _GIB
    if free < 1.2:
        return Check("memory", "fail", f"{free:.1f} GiB free", "close something: a smoke run takes up to 1.2 GiB")
    state: State = "ok" if free >= 3 else "warn"
    return Check("memory", state, f"{free:.1f} GiB free", "enough for smoke runs; tutorials take up to 2.5 GiB")


def _cache() -> Check:
    from hepml_nb.core import atomic_write, cache_dir

    folder = cache_dir()
    try:
        with atomic_write(folder / "doctor.txt") as stream:
            stream.write("writable\n")
        (folder / "doctor.txt").unlink()
    except OSError as error:
        return Check("cache", "fail", f"{folder} cannot be written ({error})", "set HEPML_NB_CACHE to another folder")
    free = shutil.disk_usage(folder).free / _GIB
    state: State = "ok" if free >= 5 else "warn"
    return Check("cache", state, f"{folder}, {free:.0f} GiB free", "free some disk, or set HEPML_NB_CACHE elsewhere")


def _checkout() -> Check:
    from hepml_nb.runtime.notebooks import discover

    count = sum(name != "index" for name in discover())
    if not count:
        return Check("checkout", "fail", "no notebooks", "set HEPML_NB_HOME to a checkout of hepml-nb")
    return Check("checkout", "ok", f"{count} notebooks")


def _samples() -> Check:
    from hepml_nb import data

    found = data.list()
    shipped = [name for name, one in found.items() if "sample" in one["sources"]]
    damaged = [name for name in shipped if _damaged(name)]
    if damaged or not shipped:
        told = f"damaged: {', '.join(damaged)}" if damaged else "none is here"
        return Check("samples", "fail", told, "git checkout data_manifests")
    return Check("samples", "ok", f"smoke samples of {', '.join(shipped)}")


def _damaged(name: str) -> bool:
    from hepml_nb import data

    samples = {path: state for path, state in data.verify(name).items() if "samples" in Path(path).parts}
    return "damaged" in samples.values()


def _sherpa() -> Check:
    from hepml_nb.core import NotFound
    from hepml_nb.simulate import sherpa

    try:
        return Check("sherpa", "ok", f"{sherpa.VERSION} ({sherpa.installation()})")
    except NotFound as missing:
        return Check("sherpa", "ok", f"not here; only for more events than ship of zjets ({missing})")


def _import(name: str, module: str, purpose: str) -> Check:
    try:
        importlib.import_module(module)
    except ImportError as error:
        return Check(name, "fail", f"{module} cannot be imported ({error})", f"pip install {module} (for {purpose})")
    return Check(name, "ok", f"{module} {metadata.version(module)}")


def _kernel() -> Check:
    from jupyter_client.kernelspec import KernelSpecManager

    specs = KernelSpecManager().find_kernel_specs()
    if "python3" not in specs:
        fix = f"{sys.executable} -m ipykernel install --sys-prefix"
        return Check("kernel", "fail", f"no kernel 'python3' among {sorted(specs)}", fix)
    command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    if Path(command).is_absolute() and Path(command).resolve() != Path(sys.executable).resolve():
        fix = f"{sys.executable} -m ipykernel install --sys-prefix"
        return Check("kernel", "warn", f"'python3' runs {command}, another Python than this one", fix)
    return Check("kernel", "ok", "python3")


def find_browser() -> str | None:
    """Return the Chromium that browser tests drive: $HEPML_NB_BROWSER, else one on the path, else None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("HEPML_NB_BROWSER") or next((found for name in names if (found := shutil.which(name))), None)


def _browser() -> Check:
    path = find_browser()
    if path is None:
        fix = "apt-get install chromium, or set HEPML_NB_BROWSER; without one the browser tests are skipped"
        return Check("browser", "warn", "no Chromium found", fix)
    if importlib.util.find_spec("playwright") is None:
        return Check("browser", "warn", f"{path}, but no playwright", "pip install 'hepml-nb[test]'")
    return Check("browser", "ok", path)
