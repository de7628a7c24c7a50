"""papermill's execution on a kernel of this very interpreter: watched, in a scratch folder, its environment known."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.execute import execute_notebook
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from traitlets.config import Config

import hepml_nb
from hepml_nb.core import NotFound, progress, repo_root
from hepml_nb.runtime.watchdog import Watchdog

__all__ = ["Execution", "environment", "execute", "inject", "is_bind_error"]

_LOG = logging.getLogger("hepml_nb.runtime.kernel")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False  # what nbclient logs, the runner reports
_KERNEL_LOG = "kernel.log"
_KEEP_EVERY = 30.0  # seconds between copies of a notebook that still runs


@dataclass
class Execution:
    """One notebook on its way: what runs, where, under which watch; and how far it came."""

    node: NotebookNode
    watchdog: Watchdog
    scratch: Path
    env: Mapping[str, str]
    keep: Callable[[NotebookNode], None]
    title: str = "notebook"
    exit_code: int | None = None
    kernel_log: str = ""
    kept: float = field(default_factory=time.monotonic)

    @property
    def folders(self) -> tuple[Path, Path]:
        """The folders of this run whose names mean nothing to a reader."""
        return self.scratch / "work", self.scratch


def inject(node: NotebookNode, parameters: Mapping[str, Any]) -> NotebookNode:
    """Return the notebook with papermill's cell of injected parameters below the parameters cell."""
    loaded: NotebookNode = load_notebook_node(node)
    if not parameters:
        return loaded
    # not through execute_notebook: its own parser calls every Literal an unknown parameter
    injected: NotebookNode = parameterize_notebook(
        loaded, dict(parameters), kernel_name="python3", language="python", engine_name="hepml-nb"
    )
    return injected


def execute(execution: Execution) -> None:
    """Run all cells; `execution.node` is the executed notebook afterwards, also when an exception passes through."""
    try:
        execute_notebook(execution.node, None, engine_name="hepml-nb", progress_bar=False, execution=execution)
    finally:
        log = execution.scratch / _KERNEL_LOG
        execution.kernel_log = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def environment(profile: str, scratch: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the kernel's environment: batch manners, the profile, this very package, no personal IPython files."""
    env = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "HEPML_NB_PROFILE")}
    env |= {
        "HEPML_NB_BATCH": "1",
        "TQDM_DISABLE": "1",
        "IPYTHONDIR": str(scratch / ".ipython"),
        "PYTHONHASHSEED": "0",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    with contextlib.suppress(NotFound):
        env["HEPML_NB_HOME"] = str(repo_root())
    if profile:
        env["HEPML_NB_PROFILE"] = profile
    if count := env.get("HEPML_NB_THREADS"):
        env.setdefault("OMP_NUM_THREADS", count)
    package = Path(hepml_nb.__file__).resolve().parents[1]
    if package.name != "site-packages":  # a checkout: the kernel must take the same one
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(package), env.get("PYTHONPATH")]))
    return env | dict(extra or {})


def is_bind_error(error: BaseException, kernel_log: str) -> bool:
    """Say whether a kernel did not come up because another process took its port."""
    if isinstance(error, zmq.ZMQError) and error.errno == errno.EADDRINUSE:
        return True
    return "Address already in use" in kernel_log and "ZMQError" in kernel_log


class _Kernel(AsyncKernelManager):
    """A kernel of `sys.executable`, whatever kernelspecs are installed under whatever names."""

    @property
    def kernel_spec(self) -> KernelSpec:
        # a crash in C leaves Python's traceback in the log; the kernel's own stderr would die with it
        log = str(Path(self.connection_file).with_name(_KERNEL_LOG))
        crash = f"--IPKernelApp.exec_lines=__import__('faulthandler').enable(open({log!r}, 'a'))"
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", crash]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """papermill's client, which also tells how the kernel ended."""

    execution: Execution

    def papermill_execute_cells(self) -> None:
        try:
            super().papermill_execute_cells()
            self.execution.watchdog.finish()
        except DeadKernelError:
            process = getattr(self.km.provisioner, "process", None)
            self.execution.exit_code = None if process is None else process.poll()
            raise


class _Engine(NBClientEngine):  # type: ignore[misc]
    """The papermill engine "hepml-nb": our kernel, our watchdog, our environment."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, execution: Execution, **_: Any) -> None:
        execution.node = nb_man.nb
        bar = progress(total=len(nb_man.nb.cells), desc=execution.title, unit="cell")

        def started(cell: NotebookNode, cell_index: int) -> None:
            execution.watchdog.enter(cell_index)
            bar.update(cell_index - bar.n)

        def executed(**_: Any) -> None:
            if time.monotonic() - execution.kept > _KEEP_EVERY:
                execution.keep(nb_man.nb)
                execution.kept = time.monotonic()

        client: _Client = _Client(
            nb_man,
            kernel_manager_class=_Kernel,
            kernel_name="python3",
            timeout=None,  # the watchdog's business
            startup_timeout=60,
            iopub_timeout=30,
            shutdown_kernel="immediate",
            ipython_hist_file=":memory:",
            log=_LOG,
            config=_transport(execution.scratch),
            on_notebook_start=lambda **_: execution.watchdog.attach(client.km.provisioner.pid),
            on_cell_start=started,
            on_cell_executed=executed,
        )
        client.execution = execution
        with bar, (execution.scratch / _KERNEL_LOG).open("wb") as log:
            execution.folders[0].mkdir()
            client.execute(env=dict(execution.env), cwd=str(execution.folders[0]), stdout=log, stderr=log)

    @classmethod
    def nb_kernel_name(cls, nb: NotebookNode, name: str | None = None) -> str:
        return "python3"

    @classmethod
    def nb_language(cls, nb: NotebookNode, language: str | None = None) -> str:
        return "python"


def _transport(scratch: Path) -> Config:
    """Return the kernel's settings: sockets in the scratch folder, which no other run and no other user reaches."""
    settings = Config()
    settings.KernelManager.connection_file = str(scratch / "kernel.json")
    if os.name == "posix" and len(str(scratch)) < 80:  # a socket's path may have 104 characters
        settings.KernelManager.transport = "ipc"
    return settings


papermill_engines.register("hepml-nb", _Engine)
