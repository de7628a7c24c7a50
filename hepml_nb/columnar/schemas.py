"""Layouts of event files that we read: NanoAOD, PFNano, Delphes and flat ntuples, without coffea's warnings."""

from __future__ import annotations

from typing import Any, Literal

from coffea.nanoevents import BaseSchema, DelphesSchema, NanoAODSchema, PFNanoAODSchema

__all__ = ["EVENT_IDS", "SCHEMAS", "Delphes", "Flat", "NanoAOD", "PFNano", "SchemaName", "default_tree", "layout"]

SchemaName = Literal["nanoaod", "pfnano", "delphes", "flat"]
EVENT_IDS = ("run", "luminosityBlock", "event")
"""Without these the NanoAOD schemas refuse a file."""


# The switches are class attributes because workers import the class: an attribute set in a notebook stays in it.
class NanoAOD(NanoAODSchema):  # type: ignore[misc]
    """Collections named `Muon_pt`, counted by `nMuon`; trees with fewer collections than CMS's are fine."""

    warn_missing_crossrefs = False


class PFNano(PFNanoAODSchema):  # type: ignore[misc]
    """NanoAOD with particle-flow candidates and the lists that say in which jet they are."""

    warn_missing_crossrefs = False


class Delphes(DelphesSchema):  # type: ignore[misc]
    """Collections named `Jet/Jet.PT`, counted by `Jet_size`."""

    warn_missing_crossrefs = False


class Flat(BaseSchema):  # type: ignore[misc]
    """Every branch under its own name."""


SCHEMAS: dict[str, Any] = {"nanoaod": NanoAOD, "pfnano": PFNano, "delphes": Delphes, "flat": Flat}


def default_tree(schema: str) -> str:
    """Return the usual name of the tree of a schema."""
    return "Delphes" if schema == "delphes" else "Events"


def layout(branches: set[str]) -> SchemaName:
    """Return the schema that fits a tree with these branches (top level only)."""
    if "Event_size" in branches or {"Jet", "Jet_size"} <= branches:
        return "delphes"
    if not branches.issuperset(EVENT_IDS):
        return "flat"
    return "pfnano" if any(name.endswith("PFCands_pFCandsIdx") for name in branches) else "nanoaod"
