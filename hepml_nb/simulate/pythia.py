"""Proton-proton collisions from Pythia 8, read out in batches as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, RunError, derive_seed, suggest

__all__ = ["PROCESSES", "Preselection", "Pythia", "decay_quarks", "visible"]

_HADRONIC_W = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5")

PROCESSES: Mapping[str, tuple[str, ...]] = {
    "qcd": ("HardQCD:all = on",),
    "top": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", *_HADRONIC_W),
    "w": ("WeakBosonAndParton:qqbar2Wg = on", "WeakBosonAndParton:qg2Wq = on", *_HADRONIC_W),
}
"""Hard processes: dijets, top pairs with every W to quarks, W to quarks with a recoiling parton."""

SHOWERS: Mapping[str, int] = {"simple": 1, "vincia": 2}
_COUPLINGS = {"simple": ("TimeShower", "SpaceShower"), "vincia": ("Vincia",)}
_NEUTRINOS = (12, 14, 16)
_PARENT = {"top": 6, "w": 24}


@dataclass(frozen=True)
class Preselection:
    """What some jet of partons must be for its event to go on, when the shower has come down to 30 GeV.

    Most of the time goes into what follows, and what follows moves a jet's pt by little: a margin of some per cent
    about the window keeps 99 % of the jets and many events end here.

    Attributes:
        window: pt of the jet (GeV).
        radius, rapidity: anti-kT radius, and the largest |y|.
        holds: PDG number of the particle that the jet holds; 0 looks at the two hardest jets instead.
        apart: PDG number of a particle that is no part of any jet, such as a Z to neutrinos; 0 for none.
    """

    window: tuple[float, float]
    radius: float = 0.8
    rapidity: float = 2.2
    holds: int = 0
    apart: int = 0


class Pythia:
    """A configured Pythia 8 generator (arXiv:2203.11601) of one process: a name of PROCESSES, or lines of its language.

    `pthat` bounds the transverse momentum of the hard scattering (GeV; None where there is none); `ecm` is the
    collision energy (GeV). With `mpi=False` multiparton interactions are left out, as in the public top-tagging set
    (arXiv:1902.09914). `tune` is Pythia's number of a tune (14 is Monash, its default for pp; 7 for e+e-), `shower` its
    own or Vincia (arXiv:2003.00702, ten times slower), `alpha_s` the coupling at the Z mass in final and initial state
    showers (None: that of the tune), and `settings` are further lines. Beams other than protons stand in the lines.
    `preselect` drops events early that a `Preselection` does not let pass; a pt window (GeV) stands for its defaults,
    which look at the jets of tops and Ws where the process is named so. `tried` counts all events that got so far.
    Raises NotFound for an unknown process and InputError for a line that Pythia does not know.
    """

    def __init__(
        self,
        process: str | Sequence[str],
        *,
        seed: int = 0,
        pthat: tuple[float, float] | None = (500.0, 800.0),
        ecm: float = 14000.0,
        mpi: bool = False,
        tune: int | None = 14,
        shower: Literal["simple", "vincia"] = "simple",
        alpha_s: float | None = None,
        settings: Sequence[str] = (),
        preselect: Preselection | tuple[float, float] | None = None,
    ) -> None:
        if isinstance(process, str) and process not in PROCESSES:
            raise NotFound(f"there is no process {process!r}{suggest(process, PROCESSES)}")
        if pthat is not None and not 0 <= pthat[0] < pthat[1]:
            raise InputError(f"pthat={pthat} GeV is no window; expected 0 <= low < high.")
        if shower not in SHOWERS:
            raise InputError(f"shower={shower!r} is unknown{suggest(shower, SHOWERS)}")
        import pythia8mc

        self._generator = pythia8mc.Pythia("", False)
        self._made = 0
        self.settings = (
            "Print:quiet = on",
            f"Beams:eCM = {ecm}",
            *(() if tune is None else (f"Tune:pp = {tune}",)),
            f"PartonLevel:MPI = {'on' if mpi else 'off'}",
            *(() if pthat is None else (f"PhaseSpace:pTHatMin = {pthat[0]}", f"PhaseSpace:pTHatMax = {pthat[1]}")),
            "Random:setSeed = on",
            f"Random:seed = {derive_seed(seed, 'pythia') % 900_000_000 + 1}",  # Pythia's largest seed is 9e8
            f"PartonShowers:model = {SHOWERS[shower]}",
            *(PROCESSES[process] if isinstance(process, str) else process),
            *(() if alpha_s is None else tuple(f"{name}:alphaSvalue = {alpha_s}" for name in _COUPLINGS[shower])),
            *settings,
        )
        for line in self.settings:
            if not self._generator.readString(line):
                raise InputError(f"Pythia does not know the setting {line!r}; see its manual for names and ranges.")
        if preselect is not None and not isinstance(preselect, Preselection):
            preselect = Preselection(preselect, holds=_PARENT.get(str(process), 0))
        self._hook = None if preselect is None else _hook(preselect)
        if self._hook is not None:
            self._generator.setUserHooksPtr(self._hook)
        if not self._generator.init():
            raise RunError(f"Pythia could not start with the settings {'; '.join(self.settings)}.")

    def events(self, n: int) -> Any:
        """Return about `n` event records (an event that fails is left out): n * {prt: var * {...}, info: {...}}."""
        records = self._generator.nextBatch(n)
        if n and not len(records):
            raise RunError(f"Pythia failed in all {n} events; check the process and its settings.")
        self._made += len(records)
        return records

    def restart(self, seed: int, settings: Sequence[str]) -> None:
        """Start again with another seed and changed settings, in half the time that a new generator takes.

        A changed line has no effect without it. Raises InputError for a line that Pythia does not know.
        """
        lines = (f"Random:seed = {derive_seed(seed, 'pythia') % 900_000_000 + 1}", *settings)
        for line in lines:
            if not self._generator.readString(line):
                raise InputError(f"Pythia does not know the setting {line!r}; see its manual for names and ranges.")
        self.settings = (*self.settings, *lines)
        if not self._generator.init():
            raise RunError(f"Pythia could not start again with {'; '.join(lines)}.")

    @property
    def tried(self) -> int:
        """Return the number of events begun, those of the preselection included."""
        return self._made if self._hook is None else int(self._hook.tried)


def _hook(wanted: Preselection) -> Any:
    """Return the hook that looks at an event when its shower has come down to 30 GeV."""
    import pythia8mc

    low, high = wanted.window

    def final(event: Any, pdg: int) -> list[int]:
        return [i for i in range(event.size()) if event[i].idAbs() == pdg and event[i].isFinal()]

    class Hook(pythia8mc.UserHooks):
        tried = 0

        def __init__(self) -> None:
            super().__init__()
            # The last two: Pythia's own clustering, which prints no banner, and the usual distance measure.
            self.jets = pythia8mc.SlowJet(-1, wanted.radius, low, 5.0, 1, 2, None, False, True)

        def canVetoPT(self) -> bool:
            return True

        def scaleVetoPT(self) -> float:
            return 30.0

        def doVetoPT(self, position: int, event: Any) -> bool:
            if position == 5:  # showers of the decay products, after the event itself was accepted
                return False
            self.tried += 1
            self.jets.analyze(event)
            chosen = list(range(min(self.jets.sizeJet(), 2)))
            if wanted.holds:
                chosen = [self.jets.jetAssignment(i) for i in final(event, wanted.holds)]
            elif wanted.apart:
                taken = {self.jets.jetAssignment(i) for i in final(event, wanted.apart)}
                chosen = [i for i in range(self.jets.sizeJet()) if i not in taken][:2]
            found = ((self.jets.pT(i), self.jets.y(i)) for i in chosen if i >= 0)
            return not any(low < pt < high and abs(y) < wanted.rapidity for pt, y in found)

    return Hook()


def visible(records: Any, *, vertices: bool = False) -> dict[str, np.ndarray]:
    """Return the final visible particles as flat columns: `event`, `id`, and `px, py, pz, e` in GeV.

    With `vertices`, `x, y, z` (mm) say where they were made.
    """
    particles = ak.flatten(records.prt)
    pdg = ak.to_numpy(particles.id)
    keep = (ak.to_numpy(particles.status) > 0) & ~np.isin(np.abs(pdg), _NEUTRINOS)
    event = np.repeat(np.arange(len(records)), ak.to_numpy(ak.num(records.prt)))
    momentum = particles.p
    columns = {name: ak.to_numpy(momentum[name])[keep] for name in ("px", "py", "pz", "e")}
    if vertices:
        place = particles.vProd  # none for a particle at the origin
        for name in ("x", "y", "z"):
            columns[name] = ak.to_numpy(ak.fill_none(place[f"p{name}"], 0.0))[keep]
    return {"event": event[keep], "id": pdg[keep], **columns}


def decay_quarks(records: Any, process: str) -> np.ndarray:
    """Return the decay quarks of every top or W, at the decay and before their showers: (events, parents, quarks, 4).

    The last axis is (px, py, pz, e) in GeV. A top has three quarks (of its W, then its own b), two tops an event; a W
    has two. Processes without such a parent give the shape (events, 0, 0, 4).
    """
    if process not in ("top", "w"):
        return np.empty((len(records), 0, 0, 4))
    counts = ak.to_numpy(ak.num(records.prt))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    event = np.repeat(np.arange(len(records)), counts)
    particles = ak.flatten(records.prt)
    pdg = np.abs(ak.to_numpy(particles.id))
    mother = ak.to_numpy(particles.mother1) + first
    parent = 6 if process == "top" else 24
    # A quark whose first mother is a top or W comes from its decay: copies made by the showers have quark mothers.
    of_w = (pdg <= 5) & (pdg[mother] == 24)
    of_top = (pdg <= 5) & (pdg[mother] == 6)
    quark = np.flatnonzero(of_w | (of_top if process == "top" else False))
    origin = mother[quark]
    for _ in range(200):  # walk up through the W and the copies of the parent to its first copy
        above = mother[origin]
        climb = (pdg[origin] != parent) | (pdg[above] == parent)
        if not climb.any():
            break
        origin = np.where(climb, above, origin)
    order = np.lexsort((of_top[quark], origin))
    quark, origin = quark[order], origin[order]
    parents, size = (2, 3) if process == "top" else (1, 2)
    if len(quark) != len(records) * parents * size or not np.array_equal(
        event[quark], np.repeat(np.arange(len(records)), parents * size)
    ):
        raise RunError(f"the event records do not hold {parents} x {size} decay quarks each; is every W hadronic?")
    momentum = particles.p[quark]
    columns = [ak.to_numpy(momentum[name]) for name in ("px", "py", "pz", "e")]
    return np.stack(columns, axis=-1).reshape(len(records), parents, size, 4)
