"""Deliberately broken copies: a band that does not fail on shuffled labels or a wrong sign checks nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hepml_nb.core import InputError, NotFound, suggest
from hepml_nb.runtime.notebooks import NotebookLike, code_cells, has_tag, info, read

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Break", "break_notebook", "breaks"]


@dataclass(frozen=True)
class Break:
    """One way to break a notebook: in the cell (by id or tag), the fragment `old` becomes `new`."""

    name: str
    cell: str
    old: str
    new: str


def breaks(notebook: NotebookLike) -> list[Break]:
    """Return the breaks that the notebook declares in its metadata `hepml.breaks`.

    Each is {"name", "cell", "replace", "with"}. Raises InputError for one that lacks a part or changes nothing.
    """
    about, found = info(notebook), []
    for entry in about.metadata.get("breaks", []):
        lacking = [part for part in ("name", "cell", "replace", "with") if not isinstance(entry.get(part), str)]
        if lacking or entry["replace"] == entry["with"] or not entry["replace"]:
            raise InputError(
                f"{about.id}: break {entry.get('name', entry)!r} needs the texts name, cell, replace and with, "
                f"the last two different{'; it lacks ' + ', '.join(lacking) if lacking else ''}."
            )
        found.append(Break(entry["name"], entry["cell"], entry["replace"], entry["with"]))
    return found


def break_notebook(notebook: NotebookLike, name: str) -> NotebookNode:
    """Return a copy of the notebook with the named break in it, under the same id.

    Raises NotFound for an unknown break, and InputError when its cell or its fragment is no longer there (once).
    """
    declared = {one.name: one for one in breaks(notebook)}
    about = info(notebook)
    if name not in declared:
        raise NotFound(f"{about.id} declares no break {name!r}{suggest(name, declared)}")
    one, node = declared[name], read(notebook)
    cells = [cell for cell in code_cells(node) if cell.get("id") == one.cell or has_tag(cell, one.cell)]
    if len(cells) != 1:
        ids = [str(cell.get("id")) for cell in code_cells(node)]
        raise InputError(
            f"{about.id}: break {name!r} names the cell {one.cell!r}, which {len(cells) or 'no'} code cells are "
            f"called{suggest(one.cell, ids)}"
        )
    count = cells[0].source.count(one.old)
    if count != 1:
        raise InputError(
            f"{about.id}: break {name!r} wants to replace {one.old!r} in cell {one.cell!r}, which holds it {count} "
            f"times; expected once. The cell is now:\n{cells[0].source}"
        )
    cells[0]["source"] = cells[0].source.replace(one.old, one.new)
    node.metadata.setdefault("hepml", {})["id"] = about.id
    return node
