"""Tables that Geant4 reads of bremsstrahlung below 1 GeV and of the photo-electric effect, from closed formulas.

Geant4's data sets (2 GB from CERN) come with no package. Its standard electromagnetic physics reads few of their files;
everything else (pairs, Compton, ionisation, multiple scattering, bremsstrahlung above 1 GeV) is compiled. These few are
written here in Geant4's layout: bremsstrahlung of Tsai (Rev. Mod. Phys. 46 (1974) 815) and the photo-electric effect
of Biggs and Lighthill (SAND87-0070). Coherent scattering, which deposits nothing, is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hepml_nb.core import NotFound, atomic_dir, cache_dir, lock

__all__ = ["SANDIA", "bremsstrahlung", "folder", "photo_electric", "write"]

_VERSION = 1
"""Raised whenever the tables change: they are kept by it."""
_FOLDERS = (
    "G4NDL4.7.1", "G4EMLOW8.8", "PhotonEvaporation6.1.2", "RadioactiveDecay6.1.2", "G4PARTICLEXS4.2", "G4PII1.3",
    "RealSurface2.2", "G4SAIDDATA2.0", "G4ABLA3.3", "G4INCL1.3", "G4ENSDFSTATE3.0", "G4CHANNELING2.0",
)  # fmt: skip
"""Folders of the data sets of Geant4 11.4.0, which calzone 1.2 looks for."""
_OURS = "closed-form"
"""A file of this name marks what is written here."""
_ELECTRON, _ALPHA = 0.51099895, 1 / 137.035999
_RADIUS = 2.8179403e-13
"""Mass of the electron (MeV), fine-structure constant and classical radius of the electron (cm)."""
SANDIA: dict[int, dict[float, tuple[float, float, float, float]]] = {
    1: {
        0.0136: (-2060.4, 0.098752, -1.4071e-06, 6.2599e-12),
        0.02: (-18.93, -0.00061628, 1.5928e-07, -1.7993e-12),
        0.0457: (358.02, -0.055284, 2.9542e-06, -4.9928e-11),
        0.1: (0.0051066, -1.3085e-05, 1.9148e-08, 1.1648e-13),
        0.8: (0.00012781, -1.5743e-06, 1.0284e-08, 2.3851e-12),
        4.0: (1.975e-06, -1.3785e-07, 4.8305e-09, 9.2626e-12),
        20.0: (2.7115e-08, -9.3898e-09, 2.0319e-09, 2.9475e-11),
        100.0: (1.7307e-09, -6.8859e-10, 1.0523e-09, 6.5729e-11),
        500.0: (7.6976e-10, 8.3789e-10, -2.3851e-11, 3.2806e-10),
    },
    14: {
        0.01: (21.336, 0, 0, 0),
        0.0305: (-5.447, 0.005918, -2.5677e-07, 3.0854e-12),
        0.099: (-30.084, 0.085622, 2.495e-05, -3.0014e-09),
        1.839: (-0.18915, -0.00050786, 0.0016527, -1.2102e-06),
        20.0: (0.023061, -0.007844, 0.0016915, -7.4849e-07),
        100.0: (0.0012666, -0.00025313, 0.00082777, 3.1549e-05),
        500.0: (0.00052558, 0.0006417, 0.00022716, 0.00020878),
    },
    74: {
        0.01: (-636.23, 0.05599, -8.2001e-07, 3.4528e-12),
        0.031: (-4268, 0.74827, -3.2269e-05, 4.2161e-10),
        0.0493: (3048.3, -0.55441, 3.9718e-05, -8.3864e-10),
        0.245: (-557.16, 2.6325, -0.00095068, 1.0478e-07),
        1.809: (-142.45, 3.2269, 0.0041367, -1.0694e-06),
        2.281: (43.107, 0.084322, 0.027293, -3.4467e-05),
        10.204: (-18.946, 1.3814, 0.066981, -3.7337e-05),
        11.541: (-36.971, 3.23, 0.082459, -7.8033e-05),
        12.098: (-6.4264, 1.4114, 0.15597, -0.00056021),
        69.525: (1.6107, 0.91557, 1.4739, -0.031445),
        500.0: (0.9461, 1.8659, 1.0221, 0.039993),
    },
    82: {
        0.01: (539.77, 0, 0, 0),
        0.0311: (-3320.2, 0.64332, -2.67e-05, 3.2424e-10),
        0.095: (5535.3, -2.0143, 0.00024594, -9.1923e-09),
        0.413: (-754.79, 4.2624, -0.0018639, 2.3373e-07),
        2.484: (-138.16, 4.0354, 0.0079676, -2.7367e-06),
        3.066: (23.218, 0.23356, 0.048198, -8.3838e-05),
        13.035: (-24.512, 2.4515, 0.10083, -9.5604e-05),
        15.2: (-46.89, 6.8529, 0.093609, -0.00016812),
        15.861: (-2.8231, 1.396, 0.2735, -0.0014157),
        88.004: (2.6129, 1.6142, 2.2117, -0.060101),
        500.0: (1.4587, 3.056, 1.6355, 0.011862),
    },
}
"""{Z: {begin of an interval in keV: a}}: the cross section is sum_i a_i / E^i barn, i = 1 to 4, E in MeV, per atom.

Coefficients of Biggs and Lighthill as Geant4 11.4 holds them, of hydrogen (its vacuum), silicon, tungsten and lead.
"""


def photo_electric(z: int, energy: np.ndarray) -> np.ndarray:
    """Return the photo-electric cross section of an atom in barn at `energy` in MeV, 0 below the first interval.

    Raises NotFound for an element that is not in `SANDIA`.
    """
    energy = np.asarray(energy, dtype=np.float64)
    if z not in SANDIA:
        raise NotFound(f"no photo-electric coefficients of Z = {z}; there are those of {', '.join(map(str, SANDIA))}.")
    begins = np.array([*SANDIA[z]]) / 1000
    interval = np.searchsorted(begins, energy, side="right") - 1
    rows = np.array([*SANDIA[z].values()])[np.maximum(interval, 0)]
    powers = energy[..., None] ** -np.arange(1, 5)
    return np.where(interval < 0, 0.0, np.maximum((rows * powers).sum(axis=-1), 0.0))


def bremsstrahlung(z: int, kinetic: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return beta^2 / Z^2 k dsigma/dk in mb for electrons of `kinetic` (MeV) and photons of `share` = k / T.

    Tsai's formula with screening of nucleus and electrons. It is one of high energies: its Coulomb correction is made
    to fade out below some MeV, it is kept above 0.3 + 4.5 (1 - 3/4 share) mb, and raised by a factor that we fitted to
    the tables of Seltzer and Berger (At. Data Nucl. Data Tables 35 (1986) 345), which are what Geant4 reads. Of theirs,
    the energy radiated in tungsten is 1.00 to 1.03 above 0.5 MeV, and 0.9 at 0.2 MeV.
    """
    kinetic, share = np.asarray(kinetic, dtype=np.float64), np.asarray(share, dtype=np.float64)
    total, photon = kinetic + _ELECTRON, np.minimum(share, 0.999999) * kinetic
    y, cube_root = photon / total, np.cbrt(z)
    reduced = 100 * _ELECTRON * photon / (total * (total - photon))
    gamma, epsilon = reduced / cube_root, reduced / cube_root**2
    nucleus = 20.863 - 2 * np.log1p((0.55846 * gamma) ** 2)
    nucleus = nucleus - 4 * (1 - 0.6 * np.exp(-0.9 * gamma) - 0.4 * np.exp(-1.5 * gamma))
    electrons = 28.340 - 2 * np.log1p((3.621 * epsilon) ** 2)
    electrons = electrons - 4 * (1 - 0.7 * np.exp(-8 * epsilon) - 0.3 * np.exp(-29.2 * epsilon))
    less = 2 / 3 / (1 + 6.5 * gamma + 6 * gamma**2) + 2 / 3 / (1 + 40 * epsilon + 400 * epsilon**2) / z
    a = (_ALPHA * z) ** 2
    coulomb = a * (1 / (1 + a) + 0.20206 - 0.0369 * a + 0.0083 * a**2 - 0.002 * a**3) * kinetic / (kinetic + 2)
    bracket = nucleus - 4 / 3 * np.log(z) - 4 * coulomb + (electrons - 8 / 3 * np.log(z)) / z
    born = (4 / 3 * (1 - y) + y**2) * bracket + 2 / 3 * (1 - y) * less
    scaled = _ALPHA * _RADIUS**2 * 1e27 * born * (1 - (_ELECTRON / total) ** 2)
    raised = 1 + z / 74 * (0.218 + 0.613 * share) / (kinetic + 0.324)
    return np.asarray(raised * np.maximum(scaled, 0.3 + 4.5 * (1 - 0.75 * share)))


def folder() -> tuple[Path, str]:
    """Return the folder of data sets for Geant4, and "official" or "closed-form".

    Official ones are looked for where calzone does, in $GEANT4_DATA_DIR or ~/.local/share/calzone/data, and count where
    all are there. The others are written into the cache when first asked for.
    """
    given = os.environ.get("GEANT4_DATA_DIR")
    official = Path(given) if given else Path.home() / ".local" / "share" / "calzone" / "data"
    ours = cache_dir() / "geant4" / f"closed-form-{_VERSION}"
    if all((official / name).is_dir() for name in _FOLDERS) and not (official / _OURS).exists():
        return official, "official"
    with lock(ours.with_suffix(".lock")):
        if not ours.is_dir():
            with atomic_dir(ours) as aside:
                write(aside)
    return ours, "closed-form"


def write(root: Path) -> None:
    """Write all that Geant4 asks for to follow electrons and photons in the elements of `SANDIA`, below `root`."""
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    (root / _OURS).touch()
    (root / "G4ENSDFSTATE3.0" / "ENSDFSTATE.dat").touch()
    nuclei = root / "G4PARTICLEXS4.2" / "gamma"
    nuclei.mkdir()
    for z in range(1, 99):  # photons break no nuclei
        (nuclei / f"inel{z}").write_text("0 1e5 2\n2\n0 0\n1e5 0\n")
    low_energy = root / "G4EMLOW8.8"
    for z in SANDIA:
        _write(low_energy / "brem_SB" / f"br{z}", _bremsstrahlung_lines(z))
        for place in ("livermore/phot_epics2014", "epics2017/phot"):
            _write(low_energy / place / f"pe-cs-{z}.dat", _photo_electric_lines(z))
            # beyond a threshold (MeV) Geant4 reads powers of 1 / E of each shell: here one shell, bound by 10 eV
            for name, threshold in (("high", 1.0), ("low", 0.9)):
                last = (1e-5, *list(SANDIA[z].values())[-1], 0, 0)
                _write(low_energy / place / f"pe-{name}-{z}.dat", [(1, 1, threshold), last])
        for place in ("livermore/rayl", "epics2017/rayl"):
            energy = np.logspace(-4, 5, 60)
            nothing = [(e, 1e-32) for e in energy]  # mm^2; Geant4 asks for positive numbers
            _write(low_energy / place / f"re-cs-{z}.dat", [(energy[0], energy[-1], 60), (60,), *nothing])


def _bremsstrahlung_lines(z: int) -> list[Sequence[float]]:
    """Return type and sizes of the grid, shares k / T, ln(T / MeV), and one line of the scaled cross section per T."""
    share = np.array([0, *np.arange(0.05, 0.126, 0.025), *np.arange(0.15, 0.91, 0.05), 0.925, 0.95, 0.97, 0.99, 0.995,
                      0.999, 0.9995, 0.9999, 0.99995, 0.99999, 1])  # fmt: skip
    kinetic = np.logspace(-3, 4, 57)
    rows = bremsstrahlung(z, kinetic[:, None], share)
    return [(4, len(share), len(kinetic)), share, np.log(kinetic), *rows]


def _photo_electric_lines(z: int) -> list[Sequence[float]]:
    """Return the range, the number of points, and E (MeV) with E^3 sigma (barn MeV^3) from 100 eV to 10 MeV."""
    energy = np.logspace(-4, 1, 400)
    return [(energy[0], energy[-1], 400), (400,), *zip(energy, photo_electric(z, energy) * energy**3, strict=True)]


def _write(path: Path, lines: Iterable[Sequence[float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(" ".join(f"{x:.8g}" for x in line) + "\n" for line in lines))
