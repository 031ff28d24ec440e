"""How long moves take: the firmware's motion planner (trapezoids, corner speeds, look-ahead) for many moves at once.

The model is that of Marlin with classic jerk, which PrusaSlicer's own estimate uses too; Klipper's square corner
velocity and Marlin's junction deviation are the other corner rule. Look-ahead is not limited to a buffer's length:
firmware with a short one is a little slower.
"""

from dataclasses import dataclass, field

import numpy as np

from .arrays import Floats, Integers


@dataclass
class MachineLimits:
    """What the machine can do; axes in the order X, Y, Z, E. ``source`` says where the figures came from."""

    feed: list[float] = field(default_factory=lambda: [500.0, 500.0, 12.0, 120.0])  # mm/s
    acceleration: list[float] = field(default_factory=lambda: [9000.0, 9000.0, 500.0, 10000.0])  # mm/s2
    jerk_z: float = 0.4  # mm/s
    jerk_e: float = 2.5
    print_acceleration: float = 1500.0  # mm/s2, until M204 says otherwise
    travel_acceleration: float = 1500.0
    corner: float = 8.0  # XY jerk in mm/s, until M205 says otherwise
    deviation: bool = False  # corner is a square corner velocity (mm/s) and not a jerk
    source: str = "default"

    def state(self) -> dict[str, float]:
        """The fields of the kernel's state that these limits set."""
        return {
            "acc_print": self.print_acceleration,
            "acc_travel": self.travel_acceleration,
            "acc_retract": self.print_acceleration,
            "corner": self.corner,
        }


def cura_limits() -> MachineLimits:
    """The machine of Cura's own time estimate: the defaults of its definition fdmprinter."""
    return MachineLimits(
        feed=[1e9] * 4,
        acceleration=[9000.0, 9000.0, 100.0, 10000.0],
        jerk_z=0.4,
        jerk_e=5.0,
        print_acceleration=4000.0,
        travel_acceleration=4000.0,
        corner=20.0,
        source="Cura's defaults",
    )


def plan(
    dx: Floats,
    dy: Floats,
    dz: Floats,
    de: Floats,
    length: Floats,
    feed: Floats,
    acceleration: Floats,
    corner: Floats,
    barriers: Integers,
    limits: MachineLimits,
) -> Floats:
    """Returns the seconds of each move; there is at least one.

    dx … de: mm per axis; length: mm in space; feed: programmed speed (mm/s); acceleration: mm/s2; corner: XY jerk or
    square corner velocity (mm/s); barriers: indices of the moves that start from standstill (the first always does).
    """
    n = len(length)
    moving = length > 0
    distance = np.where(moving, length, np.abs(de))
    inverse = 1.0 / np.maximum(distance, 1e-12)
    unit = [dx * inverse, dy * inverse, dz * inverse, de * inverse]
    share = [np.abs(u) for u in unit]
    speed, accel = feed, acceleration
    top_speed, top_accel = speed.max(), accel.max()
    for axis in range(4):
        reach = 1.0 if axis < 3 else max(1.0, share[3].max())
        if top_speed * reach > limits.feed[axis]:
            speed = np.minimum(speed, limits.feed[axis] / np.maximum(share[axis], 1e-9))
        if top_accel * reach > limits.acceleration[axis]:
            accel = np.minimum(accel, limits.acceleration[axis] / np.maximum(share[axis], 1e-9))
    speed = np.maximum(speed, 0.01)
    accel = np.maximum(accel, 1.0)

    entry = _corner_speeds(unit, share, speed, accel, corner, limits)
    entry[0] = min(speed[0], 1.0)
    if len(barriers):
        entry[barriers] = np.minimum(entry[barriers], 1.0)
    # Look-ahead. In squares of speeds a ramp is a straight line, so both passes are running minima:
    # backwards s[i] <= s[i+1] + 2ad, forwards s[i+1] <= s[i] + 2ad.
    ramp = 2 * accel * distance
    along = np.empty(n + 1)
    along[0] = 0
    np.cumsum(ramp, out=along[1:])
    square = np.empty(n + 1)
    np.multiply(entry, entry, out=square[:-1])
    square[-1] = min(speed[-1], 1.0) ** 2
    square += along
    square = np.minimum.accumulate(square[::-1])[::-1]
    square -= 2 * along
    square = np.minimum.accumulate(square)
    square += along
    np.maximum(square, 0, out=square)
    start, end = square[:-1], square[1:]
    # Cruise speed is reached, or the ramps meet below it.
    peak = np.minimum(speed, np.sqrt((ramp + start + end) * 0.5))
    ramps = (2 * peak - np.sqrt(start) - np.sqrt(end)) / accel
    cruise = distance - (2 * peak * peak - start - end) / (2 * accel)
    return np.maximum(ramps, 0) + np.maximum(cruise, 0) / peak


def _corner_speeds(
    unit: list[Floats], share: list[Floats], speed: Floats, accel: Floats, corner: Floats, limits: MachineLimits
) -> Floats:
    """The highest speed (mm/s) at the start of each move that the corner before it allows."""
    before = np.empty_like(speed)
    before[0] = 0
    before[1:] = speed[:-1]
    low = np.minimum(before, speed)
    if limits.deviation:
        cosine = np.zeros_like(speed)
        for u in unit[:3]:
            cosine[1:] -= u[1:] * u[:-1]
        sine = np.sqrt(np.maximum(0.5 * (1 - cosine), 0))  # of half the angle between the moves
        # Klipper: junction deviation = square corner velocity² · (√2 − 1) / acceleration
        radius = np.square(corner) * 0.41421356 / accel * sine / np.maximum(1 - sine, 1e-9)
        return np.minimum(low, np.sqrt(accel * radius))
    factor = np.ones_like(speed)
    safe = speed
    for axis, (u, s) in enumerate(zip(unit, share)):
        jerk = (corner, corner, limits.jerk_z, limits.jerk_e)[axis]
        pace = s * speed
        safe = np.where(pace > jerk, np.minimum(safe, jerk), safe)
        into = u * speed
        out = np.empty_like(u)
        out[0] = 0
        np.multiply(u[:-1], low[1:], out=out[1:])
        # Marlin: the step in an axis' speed; where the axis reverses, the larger of the two speeds.
        step = np.where(into * out > 0, np.abs(into - out), np.maximum(np.abs(into), np.abs(out)))
        factor = np.minimum(factor, jerk / np.maximum(step, 1e-9))
    junction = low * factor
    threshold = junction * 0.99
    calm = np.empty_like(safe)
    calm[0] = 0
    calm[1:] = safe[:-1]
    return np.where((calm > threshold) & (safe > threshold), np.minimum(safe, low), junction)
