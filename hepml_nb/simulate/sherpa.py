"""Sherpa (arXiv:1905.09127) as a second generator: found where it is installed, run as a program, its events read.

pip cannot install it for every Python, but its program needs none; `installation` says how to get it. Of its events we
need the particles, which it has no compact file for, so a small plugin is compiled once (it stands alone under the GPL,
see `sherpa_plugin`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hepml_nb.core import InputError, NotFound, RunError, atomic_write, cache_dir, content_hash, lock

__all__ = ["VERSION", "Events", "events", "installation", "read", "run_card", "working_folder"]

VERSION = "3.0.3"
"""The version that the data were made with; others make other events, so they are refused."""

_GET = (
    "pip install --pre --no-deps --only-binary :all: --python-version 3.12 --platform manylinux_2_34_x86_64 "
    "--target {target} sherpa-mc==3.0.3b2"
)
_PARTICLE = np.dtype([("pdg", "=i4"), ("px", "=f4"), ("py", "=f4"), ("pz", "=f4"), ("e", "=f4")])
_HEAD = np.dtype([("weight", "=f8"), ("hard", "=i4"), ("final", "=i4")])
_PLUGIN = Path(__file__).parent / "sherpa_plugin" / "final_state.C"
_NEUTRINOS = (12, 14, 16)
_MOST = 1_000_000


@dataclass(frozen=True)
class Events:
    """Events as flat arrays: `particles` {pdg, px, py, pz, e} (GeV), those of event i from `first[i]` on.

    Of these, `hard[i]` are the outgoing particles of the matrix element, and `final[i]` the final state that follows.
    """

    weight: np.ndarray
    first: np.ndarray
    hard: np.ndarray
    final: np.ndarray
    particles: np.ndarray

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.weight)

    def __getitem__(self, part: slice) -> Events:
        """Return a range of events."""
        return Events(self.weight[part], self.first[part], self.hard[part], self.final[part], self.particles)

    def visible(self) -> dict[str, np.ndarray]:
        """Return the visible final particles as `pythia.visible` does: event, id, px, py, pz, e (GeV)."""
        event = np.repeat(np.arange(len(self)), self.final)
        inside = np.arange(len(event)) - np.repeat(np.cumsum(self.final) - self.final, self.final)
        found = self.particles[np.repeat(self.first + self.hard, self.final) + inside]
        keep = ~np.isin(np.abs(found["pdg"]), _NEUTRINOS)
        columns = {name: found[name][keep].astype(np.float64) for name in ("px", "py", "pz", "e")}
        return {"event": event[keep], "id": found["pdg"][keep], **columns}


def run_card(
    process: str,
    *,
    order: str,
    selectors: Sequence[str],
    ecm: float = 14000.0,
    mpi: bool = True,
    hadrons: bool = True,
) -> str:
    """Return Sherpa's run card (YAML) for events of weight one from proton beams of `ecm` (GeV) in all.

    `process` is in its codes, such as "93 93 -> 13 -13 93" (93 is any light parton), `order` its couplings, and
    `selectors` the cuts on the matrix element, such as "[PT, 93, 150, E_CMS]".
    """
    return "\n".join(
        (
            "BEAMS: 2212",
            f"BEAM_ENERGIES: {ecm / 2:g}",
            "EVENT_GENERATION_MODE: Unweighted",
            f"FRAGMENTATION: {'Ahadic' if hadrons else 'None'}",
            f"MI_HANDLER: {'Amisic' if mpi else 'None'}",
            "ME_GENERATORS: [Comix]",
            "PROCESSES:",
            f"- {process}:",
            f"    Order: {order}",
            "SELECTORS:",
            *(f"- {selector}" for selector in selectors),
            "",
        )
    )


def installation() -> Path:
    """Return the folder of Sherpa: $HEPML_NB_SHERPA, or `sherpa/program` in the cache.

    Raises NotFound with the command that installs it where it is not there, and InputError for another version.
    """
    given = os.environ.get("HEPML_NB_SHERPA")
    folder = Path(given).expanduser() if given else cache_dir() / "sherpa" / "program"
    if not (folder / "bin" / "Sherpa").is_file():
        how = _GET.format(target=folder)
        raise NotFound(f"Sherpa is not in {folder}; get it with `{how}` (Linux), or set HEPML_NB_SHERPA to its folder.")
    told = _call([str(folder / "bin" / "Sherpa"), "--version"], folder, _environment(folder)).split()
    if VERSION not in told:
        raise InputError(f"{folder} holds Sherpa {' '.join(told) or '?'}; expected {VERSION}, as events differ.")
    return folder


def working_folder(card: str) -> Path:
    """Return where the integration of a run card and, in `runs`, events to be kept are."""
    plugin = _PLUGIN.read_text(encoding="utf-8")
    return cache_dir() / "sherpa" / content_hash({"card": card, "version": VERSION, "plugin": plugin})


def events(card: str, n: int, seed: int, keep: bool = False) -> Events:
    """Return `n` events of a run card; the same card, number and seed give the same events.

    The first call for a card integrates its matrix element (minutes). With `keep` the events' file stays in the `runs`
    of the card's working folder, and is read from there the next time: for samples that take more than one evening.
    Raises NotFound without Sherpa or a C++ compiler, RunError where a run fails.
    """
    if not 1 <= n <= _MOST:
        raise InputError(f"n={n}: expected 1 to {_MOST:,} events in a run.")
    folder = working_folder(card)
    number = seed % 900_000_000 + 1
    kept = folder / "runs" / f"{number}-{n}.bin"
    if kept.is_file():
        return read(kept)
    root = installation()
    _integrate(root, folder, card)
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as aside:
        here = Path(aside)
        shutil.copytree(folder / "integrated", here, dirs_exist_ok=True)
        _sherpa(root, here, number, n, "events")
        found = read(here / "events.bin")
        if len(found) != n:
            raise RunError(f"Sherpa wrote {len(found)} of {n} events; its last words: {_tail(here / 'log')}")
        if keep:
            kept.parent.mkdir(exist_ok=True)
            os.replace(here / "events.bin", kept)
    return found


def read(path: str | os.PathLike[str]) -> Events:
    """Return the events of a file that the plugin wrote; raise InputError for one that is cut off or something else."""
    content = Path(path).read_bytes()
    heads: list[Any] = []
    starts: list[int] = []
    at = 0
    while at < len(content):
        head = np.frombuffer(content, _HEAD, 1, at)[0] if at + _HEAD.itemsize <= len(content) else None
        if head is None or head["hard"] < 0 or head["final"] < 1:
            raise InputError(f"{path} is no whole file of Sherpa events: event {len(heads)} is cut off or damaged.")
        heads.append(head)
        starts.append(at + _HEAD.itemsize)
        at = starts[-1] + int(head["hard"] + head["final"]) * _PARTICLE.itemsize
    if at > len(content):
        raise InputError(f"{path} is no whole file of Sherpa events: event {len(heads) - 1} is cut off.")
    head = np.array(heads, dtype=_HEAD)
    sizes = (head["hard"] + head["final"]).astype(np.int64)
    rows = [np.frombuffer(content, _PARTICLE, size, start) for start, size in zip(starts, sizes, strict=True)]
    particles = np.concatenate(rows) if rows else np.zeros(0, _PARTICLE)
    return Events(head["weight"], np.cumsum(sizes) - sizes, head["hard"], head["final"], particles)


def _integrate(root: Path, folder: Path, card: str) -> None:
    """Make `integrated` in the folder of a card: the card, the plugin, and Sherpa's integration, always the same."""
    with lock(folder / "lock", timeout=3600):
        if (folder / "integrated").is_dir():
            return
        with tempfile.TemporaryDirectory(dir=folder, prefix="integrate-") as aside:
            here = Path(aside) / "integrated"
            here.mkdir()
            _compile(root, here)
            with atomic_write(here / "Sherpa.yaml") as stream:
                stream.write(card)
            _sherpa(root, here, 1, 0)
            os.replace(here, folder / "integrated")


def _compile(root: Path, folder: Path) -> None:
    """Compile the output plugin into `folder`; raise NotFound without a C++ compiler."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if not compiler:
        raise NotFound("Sherpa's events need a C++ compiler once; install g++ (Debian: apt install g++) or set CXX.")
    library = folder / "libSherpaHepmlNbOutput.so"
    include = root / "include" / "SHERPA-MC"
    _call([compiler, "-std=c++17", "-O2", "-fPIC", "-shared", "-I", str(include), str(_PLUGIN), "-o", str(library)],
          folder, dict(os.environ))  # fmt: skip


def _sherpa(root: Path, folder: Path, seed: int, n: int, output: str = "") -> None:
    """Run Sherpa in a folder that has its card; what it says goes to `log` there."""
    arguments = [str(root / "bin" / "Sherpa"), f"RANDOM_SEED: {seed}", f"EVENTS: {n}"]
    arguments += [f"EVENT_OUTPUT: HepmlNb[{output}]"] if output else []
    with (folder / "log").open("w", encoding="utf-8") as log:
        code = subprocess.run(arguments, cwd=folder, env=_environment(root, folder), stdin=subprocess.DEVNULL,
                              stdout=log, stderr=subprocess.STDOUT, check=False).returncode  # fmt: skip
    if code:
        raise RunError(f"Sherpa ended with code {code}; its last words: {_tail(folder / 'log')}")


def _environment(root: Path, plugins: Path | None = None) -> dict[str, str]:
    """Return the environment for Sherpa: its PDF sets, and where plugins are."""
    paths = [str(plugins)] if plugins else []
    paths += [os.environ["LD_LIBRARY_PATH"]] if os.environ.get("LD_LIBRARY_PATH") else []
    sets = root / "share" / "SHERPA-MC" / "LHAPDF"
    return {**os.environ, "LHAPDF_DATA_PATH": str(sets), "LD_LIBRARY_PATH": ":".join(paths)}


def _call(arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Return what a program says; raise RunError with its last line where it fails."""
    try:
        done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RunError(f"{arguments[0]} cannot be run: {error}") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RunError(f"{arguments[0]} ended with code {done.returncode}: {' '.join(last)}")
    return done.stdout + done.stderr


def _tail(log: Path) -> str:
    """Return the last lines of a log, in one."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-300:]
