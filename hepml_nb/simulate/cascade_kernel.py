"""The compiled loop of the cascade: follows photons, electrons and positrons of one shower through sheets.

Read `hepml_nb.simulate.cascade` first. A particle is (kind, energy, x, y, z, direction u, v, w, sheet), kinetic for
electrons; lengths in mm, energies in MeV. Everything that is compiled stands in this file, since numba's cache looks
at the time of one file only.
"""

from __future__ import annotations

from collections.abc import Callable
from math import atan2, cos, exp, log, pi, sin, sqrt
from typing import Any

import numba
import numpy as np

__all__ = ["fill", "shower"]

PHOTON, ELECTRON, POSITRON = 0, 1, 2
MASS = 0.51099895
LOW_PHOTON, LOW_ELECTRON, LOCAL = 0.05, 0.05, 1.0
"""MeV: photons and electrons below are absorbed on the spot, and so are electrons below the third whose range ends
inside the sheet."""
SOFT, DELTA = 0.1, 0.2
START, PER_LOG = log(1e-2), 24 / log(10.0)
ANGLE2, SHARE = 0.3, 0.3
"""The square of the angle (rad) of multiple scattering per step in one plane, and the least share of the range."""


def compiled(function: Callable[..., Any]) -> Any:
    """Return `function` compiled when it is first called, kept on disk where some folder can be written."""
    try:
        return numba.njit(cache=True, fastmath=True, error_model="numpy")(function)
    except RuntimeError:  # no folder to write to
        return numba.njit(fastmath=True, error_model="numpy")(function)


@compiled
def uniform(state):
    """Return a number in (0, 1) and move on: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@compiled
def turn(u, v, w, cosine, state):
    """Return a direction at an angle to (u, v, w), with a random azimuth."""
    sine, phi = sqrt(max(0.0, 1 - cosine * cosine)), 2 * pi * uniform(state)
    a, b = sine * cos(phi), sine * sin(phi)
    return tilt(u, v, w, a, b, cosine)


@compiled
def tilt(u, v, w, a, b, c):
    """Return the direction that is (a, b, c) in the frame whose third axis is (u, v, w)."""
    flat = u * u + v * v
    if flat < 1e-12:
        return a, b if w > 0 else -b, c if w > 0 else -c
    flat = sqrt(flat)
    x = (u * w * a - v * b) / flat + u * c
    y = (v * w * a + u * b) / flat + v * c
    z = -flat * a + w * c
    norm = 1 / sqrt(x * x + y * y + z * z)
    return x * norm, y * norm, z * norm


@compiled
def grown(array):
    """Return a copy with twice the rows."""
    out = np.empty((2 * len(array), array.shape[1]), array.dtype)
    for i in range(len(array)):  # a slice would take seconds to compile
        for j in range(array.shape[1]):
            out[i, j] = array[i, j]
    return out


@compiled
def push(stack, row, kind, energy, x, y, z, u, v, w, sheet):
    """Write a particle into a row."""
    one = stack[row]
    one[0], one[1], one[2], one[3], one[4] = kind, energy, x, y, z
    one[5], one[6], one[7], one[8] = u, v, w, sheet


@compiled
def note(points, row, x, y, z, energy, layer):
    """Write a deposit into a row."""
    one = points[row]
    one[0], one[1], one[2], one[3], one[4] = x, y, z, energy, layer


@compiled
def quantile(table, energy_at, state):
    """Return a value drawn from the quantiles of the grid point below or above."""
    i = int(energy_at)
    if uniform(state) < energy_at - i:
        i += 1
    at = uniform(state) * (table.shape[1] - 1)
    j = int(at)
    return table[i, j] + (at - j) * (table[i, j + 1] - table[i, j])


@compiled
def opening(energy, state):
    """Return the cosine of the angle at which photons and pairs of an electron's energy leave (Tsai; Geant4 manual)."""
    u = -log(uniform(state) * uniform(state)) / (0.625 if uniform(state) < 0.25 else 1.875)
    return cos(min(u * MASS / energy, pi))


@compiled
def knocked_share(kinetic, state):
    """Return the share of the energy that a knocked-on electron gets (Moller), from the cut to one half."""
    gamma = 1 + kinetic / MASS
    low = DELTA / kinetic
    c, g = (2 * gamma - 1) / gamma**2, (1 - 1 / gamma) ** 2
    most = 1 + 0.25 * g + 1
    while True:
        x = low / (1 - uniform(state) * (1 - 2 * low))
        if uniform(state) * most < 1 + x * x * (g + 1 / (1 - x) ** 2 - c / (x * (1 - x))):
            return x


@compiled
def compton(energy, state):
    """Return the share of the energy that the photon keeps and its cosine (Klein and Nishina)."""
    k = energy / MASS
    least = 1 / (1 + 2 * k)
    one, two = -log(least), 0.5 * (1 - least * least)
    while True:
        if uniform(state) * (one + two) < one:
            share = exp(-one * uniform(state))
        else:
            share = sqrt(least * least + (1 - least * least) * uniform(state))
        t = (1 - share) / (k * share)
        if uniform(state) < 1 - share * t * (2 - t) / (1 + share * share):
            return share, 1 - t


@compiled
def sauter(kinetic, state):
    """Return the cosine of the direction of a photo-electron (Sauter 1931)."""
    gamma = 1 + kinetic / MASS
    beta = sqrt(1 - 1 / gamma**2)
    a = 1 / beta - 1
    b = 0.5 * beta * gamma * (gamma - 1) * (gamma - 2)
    while True:
        r = uniform(state)
        nu = 2 * a * (2 * r + (a + 2) * sqrt(r)) / ((a + 2) ** 2 - 4 * r)
        if uniform(state) * 2 * (1 / a + b) < (2 - nu) * (1 / (a + nu) + b):
            return 1 - nu


@compiled
def shower(first, edges, material, layer, photon, electron, brems, pairs, medium, seed):
    """Return deposits (n, 5) of x, y, z, MeV and layer in the sheets that are read, and the MeV in all of the energy.

    `first` is the particle; sheet i lies between `edges` i and i + 1, is of `material` i and belongs to `layer` i, or
    to none (-1). The sums are of what is deposited in sheets that are read, in others, and of what leaves the stack at
    either end, rest mass of positrons included.
    """
    state = np.empty(1, np.uint64)
    state[0] = seed
    stack, points = np.empty((256, 9)), np.empty((1024, 5), dtype=np.float32)
    sums = np.zeros(3)
    for j in range(9):
        stack[0, j] = first[j]
    size, n, sheets = 1, 0, len(material)
    while size > 0:
        size -= 1
        kind, energy, x, y, z, u, v, w, sheet = stack[size]
        kind, sheet = int(kind), int(sheet)
        path = -log(uniform(state))  # what is left of the way to the next interaction, in mean free paths
        known, at, i, f = -1.0, 0.0, 0, 0.0
        while True:  # one turn is a step inside a sheet
            if n + 4 > len(points):
                points = grown(points)
            if size + 4 > len(stack):
                stack = grown(stack)
            m = material[sheet]
            read = layer[sheet]
            deposit = 0.0
            if energy != known:
                known = energy
                at = max((log(energy) - START) * PER_LOG, 0.0)
                i = int(at)
                f = at - i
            wall = edges[sheet + 1] if w > 0 else edges[sheet]
            out = max((wall - z) / w, 0.0) if w != 0 else 1e12
            alive = True
            if kind == PHOTON:
                rate = photon[m, i, 0] + f * (photon[m, i + 1, 0] - photon[m, i, 0])
                if energy < LOW_PHOTON:
                    deposit, alive = energy, False
                elif path < rate * out:  # interacts in this sheet
                    step = path / rate
                    x, y, z = x + u * step, y + v * step, z + w * step
                    r = uniform(state)
                    if r < photon[m, i, 1] + f * (photon[m, i + 1, 1] - photon[m, i, 1]):
                        share = quantile(pairs[m], at, state)
                        if uniform(state) < 0.5:
                            share = 1 - share
                        kinetic = energy - 2 * MASS
                        for other in range(2):
                            t = max(kinetic * (share if other == 0 else 1 - share), 1e-3)
                            a, b, c = turn(u, v, w, opening(t + MASS, state), state)
                            push(stack, size, ELECTRON + other, t, x, y, z, a, b, c, sheet)
                            size += 1
                        break
                    path = -log(uniform(state))
                    if r < photon[m, i, 2] + f * (photon[m, i + 1, 2] - photon[m, i, 2]):
                        share, cosine = compton(energy, state)
                        phi = 2 * pi * uniform(state)
                        sine = sqrt(max(0.0, 1 - cosine * cosine))
                        t = energy * (1 - share)
                        if t > LOW_ELECTRON:  # takes the momentum that the photon loses
                            p = sqrt(t * (t + 2 * MASS))
                            a, b = -energy * share * sine * cos(phi) / p, -energy * share * sine * sin(phi) / p
                            a, b, c = tilt(u, v, w, a, b, (energy - energy * share * cosine) / p)
                            push(stack, size, ELECTRON, t, x, y, z, a, b, c, sheet)
                            size += 1
                        else:
                            deposit = t
                        u, v, w = tilt(u, v, w, sine * cos(phi), sine * sin(phi), cosine)
                        energy *= share
                    else:
                        alive = False
                        t = energy - medium[m, 1]
                        if t > LOW_ELECTRON:
                            a, b, c = turn(u, v, w, sauter(t, state), state)
                            push(stack, size, ELECTRON, t, x, y, z, a, b, c, sheet)
                            size += 1
                            deposit = medium[m, 1]
                        else:
                            deposit = energy
                else:
                    path -= rate * out
                    x, y, z = x + u * out, y + v * out, wall
                    sheet += 1 if w > 0 else -1
            else:
                reach = electron[m, i, 3] + f * (electron[m, i + 1, 3] - electron[m, i, 3])
                if energy < LOW_ELECTRON or (energy < LOCAL and reach < min(edges[sheet + 1] - z, z - edges[sheet])):
                    deposit, alive = energy, False
                else:
                    slow = electron[m, i, 0] + f * (electron[m, i + 1, 0] - electron[m, i, 0])
                    hard = electron[m, i, 1] + f * (electron[m, i + 1, 1] - electron[m, i, 1])
                    knock = electron[m, i, 2] + f * (electron[m, i + 1, 2] - electron[m, i, 2])
                    rate = hard + knock
                    p2 = energy * (energy + 2 * MASS)
                    beta2 = p2 / (energy + MASS) ** 2
                    bend = electron[m, i, 4] + f * (electron[m, i + 1, 4] - electron[m, i, 4])  # angle^2 / 2 per mm
                    step = min(max(ANGLE2 / bend, SHARE * reach), 0.25 * energy / slow)
                    interacts = path < rate * step
                    if interacts:
                        step = path / rate
                    hinge = step * uniform(state)
                    moved = min(hinge, out)
                    crossed = hinge >= out
                    x0, y0, z0 = x, y, z
                    x, y, z = x + u * moved, y + v * moved, z + w * moved
                    if not crossed:
                        cosine = cos(min(sqrt(-2 * bend * step * log(uniform(state))), pi))
                        u, v, w = turn(u, v, w, cosine, state)
                        wall = edges[sheet + 1] if w > 0 else edges[sheet]
                        out = max((wall - z) / w, 0.0) if w != 0 else 1e12
                        rest = step - hinge
                        crossed = rest >= out
                        rest = min(rest, out)
                        moved += rest
                        x, y, z = x + u * rest, y + v * rest, z + w * rest
                    mean = slow * moved
                    lost = mean
                    if read >= 0 and moved > 0:  # fluctuates as collisions below the cut do, kept between 0 and twice
                        top = min(DELTA, 0.5 * energy)
                        width = sqrt(medium[m, 0] / beta2 * moved * top * (1 - 0.5 * beta2))
                        spread = width * sqrt(-2 * log(uniform(state))) * cos(2 * pi * uniform(state))
                        lost = mean + min(max(spread, -mean), mean)
                    lost = min(lost, energy)
                    energy -= lost
                    if read >= 0:
                        note(points, n, 0.5 * (x0 + x), 0.5 * (y0 + y), 0.5 * (z0 + z), lost, read)
                        n += 1
                        sums[0] += lost
                    else:
                        sums[1] += lost
                    if crossed:
                        path -= rate * moved
                        z = wall
                        sheet += 1 if w > 0 else -1
                    elif interacts:
                        path = -log(uniform(state))
                        if uniform(state) * rate < hard:
                            if energy > 1.01 * SOFT:
                                now = max((log(energy) - START) * PER_LOG, 0.0)
                                k = SOFT * exp(log(energy / SOFT) * quantile(brems[m], now, state))
                                k = min(k, energy)
                                a, b, c = turn(u, v, w, opening(energy + MASS, state), state)
                                push(stack, size, PHOTON, k, x, y, z, a, b, c, sheet)
                                size += 1
                                energy -= k
                        elif energy > 2.02 * DELTA:
                            t = energy * knocked_share(energy, state)
                            top = energy + 2 * MASS
                            cosine = min(sqrt(t * top / (energy * (t + 2 * MASS))), 1.0)
                            a, b, c = turn(u, v, w, cosine, state)
                            push(stack, size, ELECTRON, t, x, y, z, a, b, c, sheet)
                            size += 1
                            energy -= t
                            # the other's direction follows from the momenta
                            p1, p2 = sqrt((energy + t) * (energy + t + 2 * MASS)), sqrt(t * (t + 2 * MASS))
                            a, b, c = p1 * u - p2 * a, p1 * v - p2 * b, p1 * w - p2 * c
                            norm = 1 / sqrt(a * a + b * b + c * c)
                            u, v, w = a * norm, b * norm, c * norm
                    else:
                        path -= rate * step
                    if energy < 1e-2:
                        deposit, alive, energy = energy, False, 0.0
                        if crossed:  # what is left stays in the sheet that it came from
                            sheet += -1 if w > 0 else 1
                            crossed = False
                if not alive and kind == POSITRON:  # annihilates at rest
                    c = 2 * uniform(state) - 1
                    a, b, c = turn(0.0, 0.0, 1.0, c, state)
                    push(stack, size, PHOTON, MASS, x, y, z, a, b, c, sheet)
                    push(stack, size + 1, PHOTON, MASS, x, y, z, -a, -b, -c, sheet)
                    size += 2
            if deposit > 0:
                if read >= 0:
                    note(points, n, x, y, z, deposit, read)
                    n += 1
                    sums[0] += deposit
                else:
                    sums[1] += deposit
            if not alive:
                break
            if sheet < 0 or sheet >= sheets:
                sums[2] += energy + (2 * MASS if kind == POSITRON else 0.0)
                break
    return points[:n], sums


@compiled
def fill(out, points, axis, layers, n_alpha, offsets, edges):
    """Add deposits (n, 5) to a flat shower (voxels): cylinders around `axis`, which passes through the origin.

    `edges` (layers, most + 1) are the radii, filled up with infinity.
    """
    u, v, w = axis
    for i in range(len(points)):
        x, y, z, energy = points[i, 0], points[i, 1], points[i, 2], points[i, 3]
        place = int(points[i, 4])
        along = x * u + y * v + z * w
        x, y, z = x - along * u, y - along * v, z - along * w
        # turned by the angle between the axis and z
        x, y = x - u * z / (1 + w), y - v * z / (1 + w)
        r = sqrt(x * x + y * y)
        most = np.searchsorted(edges[place], r, side="right") - 1
        bins = int(layers[place])
        if most < 0 or most >= bins:
            continue
        alpha = int((atan2(y, x) + pi) / (2 * pi) * n_alpha[place])
        alpha = min(max(alpha, 0), n_alpha[place] - 1)
        out[offsets[place] + alpha * bins + most] += energy
