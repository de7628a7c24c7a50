"""Sums over all ways to put particles on the vertices of a graph, one vertex at a time, shared between graphs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["GraphSums"]

Key = tuple[Any, ...]  # names a vector or a matrix over particles; equal keys are equal numbers


class GraphSums:
    """Of weighted points z (jets, n) with symmetric pair weights theta (jets, n, n).

    sums(graph) -> (jets,): the sum over particles i_v of all vertices v of prod_v z_(i_v) prod_(u, v) theta_(i_u, i_v).
    Vertices are summed one by one, those of fewest neighbours first (variable elimination, arXiv:1712.07124): one
    neighbour costs n^2, two cost n^3 (a matrix product). A vertex of three or more has its particles gone through one
    at a time. What graphs have in common is computed once.
    """

    def __init__(self, z: Tensor, theta: Tensor) -> None:
        self.z, self.theta = z, theta
        self.known: dict[Key, Tensor] = {}

    def __call__(self, graph: Iterable[tuple[int, int]]) -> Tensor:
        """Return the sum of one connected multigraph without loops, given by its edges (vertices are numbers)."""
        edges = [(min(edge), max(edge)) for edge in graph]
        pairs: dict[tuple[int, int], Key] = {edge: ("power", edges.count(edge)) for edge in edges}
        vertices = {v for edge in edges for v in edge}
        return self._sum(pairs, dict.fromkeys(vertices, ()))

    def _sum(self, pairs: dict[tuple[int, int], Key], at: dict[int, Key]) -> Tensor:
        """Sum out the vertices in `at`, which maps them to the vectors that weight them besides z."""
        if len(at) == 1:
            return self._vector(next(iter(at.values()))).sum(1)
        near: dict[int, list[int]] = {v: [] for v in at}
        for u, v in pairs:
            near[u].append(v)
            near[v].append(u)
        vertex = min(at, key=lambda v: (len(near[v]), v))
        if len(near[vertex]) > 2:
            return self._one_by_one(vertex, pairs, at)
        ways = [_seen_from(u, vertex, pairs) for u in near[vertex]]
        pairs = {edge: key for edge, key in pairs.items() if vertex not in edge}
        at = dict(at)
        weight = at.pop(vertex)
        if len(ways) == 1:
            u = near[vertex][0]
            at[u] = _joined(*at[u], ("message", ways[0], weight))
        else:
            edge = near[vertex][0], near[vertex][1]
            if edge[0] > edge[1]:
                edge, ways = edge[::-1], ways[::-1]
            product = ("product", ways[0], weight, ways[1])
            pairs[edge] = ("both", *_joined(pairs[edge], product)) if edge in pairs else product
        return self._sum(pairs, at)

    def _one_by_one(self, vertex: int, pairs: dict[tuple[int, int], Key], at: dict[int, Key]) -> Tensor:
        """Sum over the particles of a vertex of many neighbours: each fixes a weight of every neighbour."""
        weight = self._vector(at[vertex])
        ways = {u: _seen_from(u, vertex, pairs) for u in at if (min(u, vertex), max(u, vertex)) in pairs}
        others = {edge: key for edge, key in pairs.items() if vertex not in edge}
        total = torch.zeros_like(weight[:, 0])
        for particle in range(weight.shape[1]):
            inner = GraphSums(self.z, self.theta)
            inner.known = dict(self.known)
            seen = {u: ("column", way, particle) for u, way in ways.items()}
            inner.known |= {key: self._matrix(key[1])[:, :, particle] for key in seen.values()}
            rest = {u: _joined(*keys, seen[u]) if u in seen else keys for u, keys in at.items() if u != vertex}
            total = total + weight[:, particle] * inner._sum(others, rest)
        return total

    def _vector(self, keys: Key) -> Tensor:
        """Return z times the vectors of these keys, (jets, n)."""
        out = self.z
        for key in keys:
            if key not in self.known:
                _, way, weight = key
                self.known[key] = (self._matrix(way) @ self._vector(weight)[..., None])[..., 0]
            out = out * self.known[key]
        return out

    def _matrix(self, key: Key) -> Tensor:
        if key in self.known:
            return self.known[key]
        if (other := _turned(key)) in self.known:
            return self.known[other].mT
        kind, *of = key
        if kind == "power":
            out = self.theta if of[0] == 1 else self._matrix(("power", of[0] - 1)) * self.theta
        elif kind == "product":
            out = (self._matrix(of[0]) * self._vector(of[1])[:, None]) @ self._matrix(of[2]).mT
        else:
            out = self._matrix(of[0])
            for factor in of[1:]:
                out = out * self._matrix(factor)
        self.known[key] = out
        return out


def _joined(*keys: Key) -> Key:
    return tuple(sorted(_flat(keys), key=repr))


def _flat(keys: Iterable[Key]) -> list[Key]:
    return [inner for key in keys for inner in (key[1:] if key[0] == "both" else (key,))]


def _turned(key: Key) -> Key:
    """Return the key of the transposed matrix."""
    if key[0] == "product":
        return ("product", key[3], key[2], key[1])
    return ("both", *_joined(*(_turned(inner) for inner in key[1:]))) if key[0] == "both" else key


def _seen_from(u: int, v: int, pairs: dict[tuple[int, int], Key]) -> Key:
    """Return the key of the matrix of the pair with u along the rows and v along the columns."""
    return pairs[u, v] if u < v else _turned(pairs[v, u])
