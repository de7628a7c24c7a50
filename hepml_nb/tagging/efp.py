"""Energy flow polynomials: a linear basis of infrared and collinear safe observables, one per multigraph."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hepml_nb.core import InputError, threads
from hepml_nb.learn import BucketBatches, pad
from hepml_nb.tagging.fisher import Fisher
from hepml_nb.tagging.graph_sums import GraphSums
from hepml_nb.tagging.particles import particles

__all__ = ["EFP", "EFPConfig", "Graph", "composites", "efps", "prime_graphs"]

Graph = tuple[tuple[int, int], ...]
_MOST_EDGES = 7
_ROWS = 32


@functools.lru_cache
def prime_graphs(edges: int) -> tuple[Graph, ...]:
    """Return every connected multigraph without loops of so many edges, once each: 1, 2, 5, 12, 33, 103, 333 of them.

    Grown edge by edge. Two graphs are the same if their polynomials are: equal on nine random weighted points.
    Raises InputError for fewer than one or more than seven edges.
    """
    if not 1 <= edges <= _MOST_EDGES:
        raise InputError(f"edges={edges!r}; expected 1 to {_MOST_EDGES}.")
    if edges == 1:
        return (((0, 1),),)
    generator = np.random.Generator(np.random.PCG64(1712))
    z, theta = generator.random((1, 9)) + 0.5, generator.random((1, 9, 9)) + 0.5
    sums = GraphSums(torch.from_numpy(z), torch.from_numpy(np.triu(theta, 1) + np.triu(theta, 1).transpose(0, 2, 1)))
    found: dict[str, Graph] = {}
    for graph in prime_graphs(edges - 1):
        n = 1 + max(max(edge) for edge in graph)
        for edge in [(i, j) for j in range(n + 1) for i in range(j) if i < n]:
            larger = tuple(sorted((*graph, edge)))
            found.setdefault(f"{sums(larger).item():.9e}", larger)
    return tuple(found.values())


@functools.lru_cache
def composites(degree: int) -> tuple[tuple[int, ...], ...]:
    """Return every product of primes of at most `degree` edges in all, as sorted positions in the list of primes.

    The primes of 1, 2, ..., degree edges are counted through; products of one factor are the primes themselves, first.
    There are 1000 in all for degree 7, the constant polynomial of no edge included, which is left out here.
    """
    sizes = [d for d in range(1, degree + 1) for _ in prime_graphs(d)]
    products: list[tuple[int, ...]] = [(i,) for i in range(len(sizes))]
    for product in products:  # grows while it is read
        left = degree - sum(sizes[i] for i in product)
        products += [(*product, i) for i in range(product[-1], len(sizes)) if sizes[i] <= left]
    return tuple(products)


def efps(jets: Any, degree: int = 5, beta: float = 0.5, most: int | None = None) -> npt.NDArray[np.float64]:
    """Return the energy flow polynomials of at most `degree` edges: (jets, len(composites(degree))).

    A graph's polynomial is the sum over all ways to put particles on its vertices of the product of their z (share of
    pt) and, for every edge, of the distance dR^beta between them (arXiv:1712.07124). beta = 2 with one edge is twice
    (m / pt)^2 of narrow jets. most: hardest particles taken (None: all).
    Raises InputError for a degree outside 1 to 7 or a beta that is not positive.
    """
    if not beta > 0:
        raise InputError(f"beta={beta!r}; expected a positive exponent of the angles.")
    threads()
    graphs = [graph for d in range(1, degree + 1) for graph in prime_graphs(d)]
    found = particles(jets, ("z", "deta", "dphi"), most, np.float64)
    batches = BucketBatches(found.values, found.lengths, batch_size=_ROWS, shuffle=False)
    primes = np.empty((len(found.lengths), len(graphs)))
    primes[batches.order()] = np.concatenate(
        [_primes(values, lengths, graphs, beta) for values, lengths in batches.epoch(0)]
    )
    return np.stack([primes[:, product].prod(axis=1) for product in composites(degree)], axis=1)


def _primes(values: Tensor, lengths: Tensor, graphs: list[Graph], beta: float) -> npt.NDArray[Any]:
    block, _ = pad(values, lengths)
    z, x, y = block.unbind(-1)  # padding has z = 0 and so adds nothing
    distance2 = (x[:, :, None] - x[:, None]) ** 2 + (y[:, :, None] - y[:, None]) ** 2
    sums = GraphSums(z, distance2 ** (beta / 2))
    out: npt.NDArray[Any] = torch.stack([sums(graph) for graph in graphs], dim=1).numpy()
    return out


@dataclass(frozen=True)
class EFPConfig:
    """degree: largest number of edges. beta: exponent of the angles. most: hardest particles taken (None: all).

    shrinkage: see FisherConfig. Defaults are the paper's for jets: degree 7, beta 1/2, Fisher's discriminant.
    """

    degree: int = 7
    beta: float = 0.5
    most: int | None = None
    shrinkage: float = 0.0


class EFP(Fisher):
    """Fisher's linear discriminant of all energy flow polynomials up to a degree (arXiv:1712.07124).

    Many of them say nearly the same, so that the discriminant is a small difference of large numbers: all in float64.
    """

    name = "efp"
    configs = {"paper": EFPConfig(), "small": EFPConfig(degree=5)}  # noqa: RUF012 - a Mapping, never changed
    columns: ClassVar[tuple[str, ...]] = ("constituents",)
    inputs = "efps"
    chunk = 10_000

    def _inputs(self, jets: Any) -> npt.NDArray[Any]:
        c = self.config
        return efps(jets, c.degree, c.beta, c.most)

    def _input_names(self) -> list[str]:
        c = self.config
        return [f"degree {c.degree}", f"beta {c.beta:g}", *([f"hardest {c.most}"] if c.most else [])]
