"""Beyond one process the engine is Dask: one function gives the client, only the address changes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hepml_nb.core.errors import InputError, NotFound
from hepml_nb.core.hardware import cores

__all__ = ["client"]

_BATCH = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}


@contextmanager
def client(address: str | None = None, workers: int | None = None) -> Iterator[Any]:
    """Yield a Dask client and close it (and what was started for it) at the end.

    address: None starts a LocalCluster on 127.0.0.1 with `workers` processes of one thread each; "tcp://..." or
    "tls://..." connects to a scheduler (coffea-casa: "tls://localhost:8786"); "gateway" asks the configured
    dask-gateway; "slurm", "htcondor", "pbs" or "lsf" submit `workers` jobs through dask-jobqueue.
    Raises InputError for another address, NotFound (with the install line) when the package is missing.
    """
    distributed = _package("dask.distributed", "pip install 'hepml-nb[dask]'")
    n = workers or cores()
    cluster: Any = None
    if address is None:
        here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}  # None would mean port 8787, on all of them
        share = str(max(cores() // n, 1))  # torch threads of more workers than one would wait for each other's cores
        env = {"HEPML_NB_THREADS": os.environ.get("HEPML_NB_THREADS", share)}
        cluster = distributed.LocalCluster(n_workers=n, threads_per_worker=1, env=env, **here)
    elif address == "gateway":
        cluster = _package("dask_gateway", "pip install dask-gateway").Gateway().new_cluster()
        cluster.scale(n)
    elif address in _BATCH:
        cluster = getattr(_package("dask_jobqueue", "pip install 'hepml-nb[dask]'"), _BATCH[address])()
        cluster.scale(jobs=n)
    elif not address.startswith(("tcp://", "tls://")):
        raise InputError(
            f"address={address!r} names no Dask cluster; use None, 'tcp://host:port', 'tls://host:port', 'gateway', "
            f"{', '.join(map(repr, _BATCH))}."
        )
    try:
        with distributed.Client(address if cluster is None else cluster) as connected:
            yield connected
    finally:
        if cluster is not None:
            cluster.close()


def _package(name: str, install: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotFound(f"{name} is not installed here: {install}.") from error
