"""Sums over the runs of a batch of moves: time, filament, lengths and extents; gcode_measure of kernel.c in numpy."""

from itertools import pairwise

import numpy as np

from .arrays import Floats, Integers
from .planner import MachineLimits, plan

NEVER = 1e9
COLUMNS = 10
"""Seconds, mm of filament, mm with and without extrusion, lowest x, y, z and highest x, y, z of what is extruded."""


def measure(moves: Floats, runs: Floats, limits: MachineLimits, extruders: Floats) -> Floats:
    """Returns rows of COLUMNS, one per run.

    moves: (5, n) of x, y, z, filament step (mm) and feed (mm/s); runs: rows as begin_run() in kernel.c fills them;
    extruders: (tools, 2), position of the filament and its furthest so far in mm, updated here.
    """
    x, y, z, de, feed = moves
    n = len(x)
    first = runs[:, 0].astype(np.int64)
    index = np.repeat(np.arange(len(runs)), np.diff(first, append=n))
    starts = [starts_of(end, first, runs[:, 12 + axis]) for axis, end in enumerate((x, y, z))]
    dx, dy, dz = x - starts[0], y - starts[1], z - starts[2]
    length = np.sqrt(dx * dx + dy * dy + dz * dz)
    extruding = (de > 0) & (length > 0)
    acceleration = np.where(extruding, runs[index, 8], np.where(length > 0, runs[index, 9], runs[index, 10]))
    seconds = plan(dx, dy, dz, de, length, feed, acceleration, runs[index, 11], first[runs[:, 5] != 0], limits)
    extruded = np.where(extruding, length, 0)
    result = np.empty((len(runs), COLUMNS))
    for column, values in enumerate((seconds, _filament(de, first, runs, extruders), extruded, length - extruded)):
        result[:, column] = np.add.reduceat(values, first)
    half = runs[:, 7] / 2
    for axis, (start, end) in enumerate(zip(starts, (x, y, z))):
        grow = half if axis < 2 else 0
        result[:, 4 + axis] = np.minimum.reduceat(np.where(extruding, np.minimum(start, end), NEVER), first) - grow
        result[:, 7 + axis] = np.maximum.reduceat(np.where(extruding, np.maximum(start, end), -NEVER), first) + grow
    return result


def starts_of(end: Floats, first: Integers, at_run: Floats) -> Floats:
    """Where each move starts: at the end of the one before, or where its run began."""
    start = np.empty_like(end)
    start[1:] = end[:-1]
    start[first] = at_run
    return start


def _filament(de: Floats, first: Integers, runs: Floats, extruders: Floats) -> Floats:
    """mm of filament that each move pushes out: what goes beyond the furthest that its tool has pushed so far."""
    out = np.empty_like(de)
    tools = runs[:, 4].astype(int)
    bounds = [0, *(np.flatnonzero(np.diff(tools)) + 1), len(tools)]
    for low, high in pairwise(bounds):
        tool = tools[low]
        a, b = first[low], first[high] if high < len(first) else len(de)
        place, furthest = extruders[tool]
        along = np.cumsum(de[a:b])
        along += place
        reached = np.maximum.accumulate(along)
        np.maximum(reached, furthest, out=reached)
        out[a] = reached[0] - furthest
        np.subtract(reached[1:], reached[:-1], out=out[a + 1 : b])
        extruders[tool] = along[-1], reached[-1]
    return out
