"""Where and with how many threads torch works is decided here, once."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

from hepml_nb.core.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["cores", "device", "threads", "tune_allocator"]

# glibc's mallopt parameters (malloc.h)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(n: int | None = None) -> int:
    """Set and return torch's thread count: `n`, else $HEPML_NB_THREADS, else every core that the process may use.

    Workers that run side by side set HEPML_NB_THREADS=1; a lone process takes all cores.
    """
    text = os.environ.get("HEPML_NB_THREADS", "")
    if n is None and text:
        if not text.isdigit() or int(text) < 1:
            raise InputError(f"HEPML_NB_THREADS={text!r} is no thread count; expected a whole number of at least 1.")
        n = int(text)
    n = cores() if n is None else n
    if n < 1:
        raise InputError(f"n={n!r} threads; expected at least 1.")
    import torch

    torch.set_num_threads(n)
    return n


def device(name: str = "auto") -> torch.device:
    """Return the torch device: "auto" takes CUDA, then Apple's MPS, then the CPU; any torch device name is taken."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device={name!r} is not a torch device; use 'auto', 'cpu', 'cuda' or 'mps'.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device={name!r} was asked for, but torch sees no CUDA GPU here; use 'auto' or 'cpu'.")
    return chosen


def tune_allocator() -> bool:
    """Keep large freed blocks in the process instead of giving them back to the system; say whether it took effect.

    glibc returns every large activation to the kernel and page-faults it in again at the next step. Large batches
    gain (1.5 times for a padded network at batch 512), small ones nothing: benchmarks/README.md. Peaks of memory rise.
    Set HEPML_NB_ALLOCATOR=system to leave the allocator alone.
    """
    if not sys.platform.startswith("linux") or os.environ.get("HEPML_NB_ALLOCATOR") == "system":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl has none
        return False
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}
    applied = [mallopt(key, value) for key, value in settings.items()]  # every one, whatever the others gave
    return applied == [1] * len(settings)
