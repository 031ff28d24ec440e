"""Lines with fewer points: by the compiled kernel, or by numpy where there is none. Both keep to the same tolerance."""

import numpy as np

from . import kernel
from .arrays import Flags, Floats, Integers, Points
from .measure import starts_of


def thin(points: Points, starts: Integers, tolerance: float) -> tuple[Points, Integers]:
    """Returns (points, starts) with only the points that it takes to stay within `tolerance` (in the points' unit)."""
    compiled = kernel.library()
    if compiled is None:
        return thin_numpy(points, starts, tolerance)
    points, starts = np.array(points, np.int32, order="C"), np.array(starts, np.int64)
    count = compiled.gcode_thin(points.ctypes.data, len(points), starts.ctypes.data, len(starts), tolerance)
    return points[:count].copy(), starts


def thin_numpy(points: Points, starts: Integers, tolerance: float) -> tuple[Points, Integers]:
    """Like thin(), in rounds that may move a line by 1/2, 1/4, … of the tolerance.

    A round drops every second inner point that is near enough to the straight line between its neighbours.
    """
    budget = tolerance / 2
    x, y = np.array(points.T, np.float64)
    for _ in range(4):
        inner = np.ones(len(x), bool)
        inner[starts] = inner[starts[1:] - 1] = inner[-1:] = False
        # Every second point, p, between its neighbours a and b.
        (ax, px, bx), (ay, py, by) = ((v[:-2:2], v[1:-1:2], v[2::2]) for v in (x, y))
        way_x, way_y, off_x, off_y = bx - ax, by - ay, px - ax, py - ay
        part = np.clip((way_x * off_x + way_y * off_y) / np.maximum(way_x * way_x + way_y * way_y, 1e-9), 0, 1)
        off_x -= way_x * part
        off_y -= way_y * part
        gone = 2 * np.flatnonzero((off_x * off_x + off_y * off_y <= budget * budget) & inner[1:-1:2]) + 1
        if not len(gone):
            break
        keep = np.ones(len(x), bool)
        keep[gone] = False
        starts = starts - np.searchsorted(gone, starts)
        x, y = x[keep], y[keep]
        budget /= 2
    return np.stack([x, y], axis=1).astype(np.int32), starts


def lines_numpy(
    moves: Floats, runs: Floats, wanted: Flags, quantum: float, tolerance: float, edge: float
) -> tuple[Points, Integers, Integers]:
    """What kernel.Reader.lines() returns, for moves (5, n) and runs as in measure.py."""
    x, y, _, de, _ = moves
    first = runs[:, 0].astype(np.int64)
    run = np.repeat(np.arange(len(first)), np.diff(first, append=len(x)))
    sx, sy = starts_of(x, first, runs[:, 12]), starts_of(y, first, runs[:, 13])
    near = np.maximum.reduce([np.abs(x), np.abs(y), np.abs(sx), np.abs(sy)]) < edge
    drawn = np.flatnonzero((de > 0) & ((x != sx) | (y != sy)) & near & np.asarray(wanted, bool)[run])
    if not len(drawn):
        return np.zeros((0, 2), np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64)
    run = run[drawn]
    begins = np.ones(len(drawn), bool)
    begins[1:] = (np.diff(drawn) != 1) | (np.diff(run) != 0)
    # A line of k moves has k + 1 points: its own start, then every end.
    place = np.arange(len(drawn)) + np.cumsum(begins)
    opening = np.flatnonzero(begins)
    points = np.empty((len(drawn) + len(opening), 2), np.int32)
    starts = place[opening] - 1
    for axis, (end, start) in enumerate(((x, sx), (y, sy))):
        points[place, axis] = _rounded(end[drawn] * (1 / quantum))
        points[starts, axis] = _rounded(start[drawn[opening]] * (1 / quantum))
    points, starts = thin_numpy(points, starts, tolerance)
    return points, starts, run[opening]


def _rounded(values: Floats) -> Points:
    return np.trunc(values + np.copysign(0.5, values)).astype(np.int32)
