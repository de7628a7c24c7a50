"""Merging that gives the same bits in whatever order the pieces come: siblings of a fixed binary tree."""

from __future__ import annotations

from typing import Any

from hepml_nb.core import InputError

__all__ = ["Pieces", "merged", "ordered"]


class Pieces:
    """Outputs of chunks, each under (level, place): place `p` of level `k` stands for chunks p * 2^k to (p + 1) * 2^k.

    Two siblings are merged, left with right, as soon as both are there. Sums of floating-point numbers depend on the
    order of the terms and lists on the order of the parts; here that order hangs on the chunk numbers only, and never
    on which worker came first. About log2(chunks) pieces are held where chunks come in order.
    """

    def __init__(self, parts: dict[tuple[int, int], Any] | None = None) -> None:
        self.parts = parts or {}

    @classmethod
    def of(cls, number: int, output: Any) -> Pieces:
        """Return what chunk `number` gave."""
        return cls({(0, number): output})

    def __add__(self, other: Pieces) -> Pieces:
        together = Pieces(dict(self.parts))
        for place, part in other.parts.items():
            together._put(place, part)
        return together

    def _put(self, place: tuple[int, int], part: Any) -> None:
        level, number = place
        sibling = (level, number ^ 1)
        while sibling in self.parts:
            left, right = (self.parts.pop(sibling), part) if number % 2 else (part, self.parts.pop(sibling))
            part, level, number = merged(left, right), level + 1, number // 2
            sibling = (level, number ^ 1)
        self.parts[level, number] = part

    def total(self) -> Any:
        """Return everything merged, from the first chunk to the last; None where nothing is there."""
        total: Any = None
        for _, part in sorted(self.parts.items(), key=lambda item: item[0][1] << item[0][0]):
            total = part if total is None else merged(total, part)
        return total


def merged(a: Any, b: Any) -> Any:
    """Return two outputs as one: mappings key by key, awkward arrays and lists end to end, all else as coffea adds it.

    (coffea adds awkward arrays element by element, which for records of events is no sum at all.) Raises InputError for
    records of which some have columns that others lack.
    """
    import awkward as ak
    from coffea.processor import accumulate

    if isinstance(a, dict) and isinstance(b, dict):
        keys = [*a, *(key for key in b if key not in a)]
        return {key: merged(a[key], b[key]) if key in a and key in b else (a if key in a else b)[key] for key in keys}
    if isinstance(a, ak.Array) and isinstance(b, ak.Array):
        if lacking := sorted(set(ak.fields(a)) ^ set(ak.fields(b))):
            raise InputError(f"some files give records with {lacking[0]!r} and some without; process them apart, or "
                             "ask the processor for no weight variations: weights={}.")  # fmt: skip
        return ak.concatenate([a, b])
    return accumulate([a, b])


def ordered(output: Any) -> Any:
    """Return an output with the categories of its histograms sorted; keys of mappings keep the order of the chunks."""
    import hist

    if isinstance(output, hist.BaseHist):
        for place, axis in enumerate(output.axes):
            if isinstance(axis, hist.axis.StrCategory) and list(axis) != sorted(axis):
                output = output.sort(place)
        return output
    if isinstance(output, dict):
        return {key: ordered(value) for key, value in output.items()}
    return output
