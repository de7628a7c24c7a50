"""A real Chromium, pages that tell what they asked for, and a JupyterLab on 127.0.0.1 with a folder of its own."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from hepml_nb.cli.doctor import find_browser

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_START = 90.0  # seconds that JupyterLab may take to answer, on a busy machine


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; the test is skipped, with the reason, where there is none."""
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium here (apt-get install chromium, or set HEPML_NB_BROWSER)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, and what it wrote to its console, what it raised and what it fetched from elsewhere."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Watched]]:
    """Open an HTML file in a fresh context; options are those of Playwright's new_context."""
    contexts = []

    def visit(path: Path, **options: Any) -> Watched:
        context = chromium.new_context(**options)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.on("console", lambda message: watched.console.append(f"{message.type}: {message.text}"))
        watched.page.on("pageerror", lambda error: watched.console.append(str(error)))
        watched.page.on("request", lambda request: watched.requests.append(request.url))
        watched.page.goto(path.resolve().as_uri())
        return watched

    yield visit
    for context in contexts:
        context.close()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, its token, and the folder that it shows."""

    url: str
    token: str
    folder: Path

    def open(self, page: Any, notebook: str) -> Any:
        """Open a notebook of the folder in `page` and wait until its kernel is idle."""
        # a workspace of its own: the default one would open the notebooks of earlier tests again
        page.goto(f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{notebook}?token={self.token}")
        page.locator(".jp-NotebookPanel").wait_for(timeout=60_000)
        # before the status bar says so, a run would ask which kernel to take
        page.locator(".jp-StatusBar-TextItem", has_text="| Idle").wait_for(timeout=60_000)
        return page

    @staticmethod
    def run_all(page: Any) -> None:
        """Run → Run All Cells."""
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start JupyterLab with settings, runtime and workspaces of its own, and end it afterwards."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    folder.mkdir()
    token, port = secrets.token_hex(16), _free_port()
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR")
    own = {name: str(home / name.lower()) for name in (*places, "JUPYTERLAB_WORKSPACES_DIR")}
    # by default JupyterLab keeps far cells out of the page, where no test could wait for them
    settings = Path(own["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    command = [
        *(sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", f"--ServerApp.root_dir={folder}"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={token}", "--LabApp.news_url=None"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    root = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **own, "HEPML_NB_PROFILE": "smoke", "HEPML_NB_HOME": str(root), "PYTHONPATH": path}
    log = home / "lab.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        try:
            _wait(f"http://127.0.0.1:{port}/api?token={token}", process, log)
            yield Lab(f"http://127.0.0.1:{port}", token, folder)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not come up:\n{log.read_text(errors='replace')[-2000:]}")
