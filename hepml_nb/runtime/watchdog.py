"""A thread beside a running kernel: measures its memory and processor time, and stops what exceeds a limit."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

__all__ = ["Limits", "Stop", "Watchdog"]

_MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What a run may take: seconds per cell, seconds in all, MiB of the kernel and its children; None: no limit."""

    cell_timeout: float | None = None
    total_timeout: float | None = None
    memory_mib: float | None = None


@dataclass(frozen=True)
class Stop:
    """Why the watchdog stopped the kernel, and in which cell."""

    reason: Literal["timeout", "memory"]
    cell: int | None
    text: str


class Watchdog:
    """Watches one kernel from `attach` to `close`; a context manager.

    A cell over time is interrupted, so that its traceback says where it was, and killed if that does not help
    within `grace` seconds. A kernel over its memory is killed at once, before the system does it to someone else.
    """

    def __init__(self, limits: Limits, period: float = 0.05, grace: float = 10.0) -> None:
        self.limits, self.period, self.grace = limits, period, grace
        self.peak_mib = 0.0
        self.cpu_seconds = 0.0
        self.stop: Stop | None = None
        self.cell: int | None = None
        self._started = self._cell_started = time.monotonic()
        self._interrupted: float | None = None
        self._kernel: psutil.Process | None = None
        self._children: dict[int, psutil.Process] = {}
        self._next_scan = 0.0
        self._done = threading.Event()
        self._lock = threading.Lock()  # one sample at a time: the thread's, and the last one
        self._thread = threading.Thread(target=self._watch, name="hepml-nb watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def attach(self, pid: int) -> None:
        """Begin to watch the process and all its children."""
        try:
            self._kernel = psutil.Process(pid)
        except psutil.NoSuchProcess:  # it died while starting; the runner sees that itself
            return
        self.finish()  # a first sample, for a kernel that dies at once
        self._thread.start()

    def enter(self, cell: int) -> None:
        """Say which cell runs now; its time starts."""
        self.cell, self._cell_started = cell, time.monotonic()
        if self.stop is not None and self._interrupted is not None and self.stop.cell != cell:
            self.stop, self._interrupted = None, None  # that cell ended just before it was interrupted

    def finish(self) -> None:
        """Take a thorough sample now; the last one while the kernel still lives."""
        with self._lock:
            self._sample(scan=True)

    def close(self) -> None:
        """Stop watching and end what the kernel left behind."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        left = [child for child in self._children.values() if child.is_running()]
        for child in left:
            _end(child)
        psutil.wait_procs(left, timeout=self.grace)

    @property
    def seconds(self) -> float:
        """Seconds since the watchdog was made."""
        return time.monotonic() - self._started

    def _watch(self) -> None:
        while not self._done.wait(self.period):
            with self._lock:
                used = self._sample()
            if used is None:
                return
            self._enforce(used)

    def _enforce(self, used: float) -> None:
        if self._interrupted is not None:
            if time.monotonic() - self._interrupted > self.grace:
                self._kill()
            return
        limits, now = self.limits, time.monotonic()
        if limits.memory_mib is not None and used > limits.memory_mib:
            self.stop = Stop("memory", self.cell, f"took {used:.0f} MiB; the limit is {limits.memory_mib:.0f} MiB")
            self._kill()
        elif self.cell is None:
            return
        elif limits.cell_timeout is not None and now - self._cell_started > limits.cell_timeout:
            self._interrupt(f"ran longer than {limits.cell_timeout:g} s, the limit for one cell")
        elif limits.total_timeout is not None and now - self._started > limits.total_timeout:
            self._interrupt(f"was running when the notebook passed {limits.total_timeout:g} s, the limit for all cells")

    def _interrupt(self, text: str) -> None:
        self.stop, self._interrupted = Stop("timeout", self.cell, text), time.monotonic()
        self._signal(signal.SIGINT)

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        for child in self._children.values():
            _end(child)

    def _signal(self, number: int) -> None:
        if self._kernel is None or not self._kernel.is_running():
            return
        try:
            if os.getpgid(self._kernel.pid) == self._kernel.pid:  # the kernel leads its own group
                os.killpg(self._kernel.pid, number)
            else:
                self._kernel.send_signal(number)
        except (ProcessLookupError, psutil.NoSuchProcess):
            return

    def _sample(self, scan: bool = False) -> float | None:
        """Measure once: MiB in use now, None when the kernel is gone."""
        if self._kernel is None:
            return None
        try:
            self._scan(scan)
            rss, cpu = _usage(self._kernel)
            self.peak_mib = max(self.peak_mib, _high_water(self._kernel.pid))
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            return None
        for child in list(self._children.values()):
            try:
                more = _usage(child, shared=True)
            except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
                continue
            rss, cpu = rss + more[0], cpu + more[1]
        self.peak_mib, self.cpu_seconds = max(self.peak_mib, rss), max(self.cpu_seconds, cpu)
        return rss

    def _scan(self, now: bool) -> None:
        """Look for children; that reads the whole process table, so it takes at most a twentieth of the time."""
        start = time.monotonic()
        if self._kernel is None or (start < self._next_scan and not now):
            return
        for child in self._kernel.children(recursive=True):
            self._children.setdefault(child.pid, child)
        self._next_scan = start + max(0.25, 20 * (time.monotonic() - start))


def _usage(process: psutil.Process, shared: bool = False) -> tuple[float, float]:
    """Return (MiB, processor seconds); a child's pages shared with its parent count only once, for the parent."""
    with process.oneshot():
        memory, times = process.memory_info(), process.cpu_times()
    pages = memory.rss - (getattr(memory, "shared", 0) if shared else 0)
    # times of ended children stand in the parent's own account
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return pages / _MIB, times.user + times.system + ended


def _high_water(pid: int) -> float:
    """Return the kernel's own peak in MiB, which no sampling misses; 0 where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def _end(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
