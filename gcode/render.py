"""Draws a program's printed lines as a solid: a picture for files without one.

Points along the printed lines go into a depth buffer (the nearest wins), each grows to a bead as thick as its line, and
the surface that results is lit from the upper left. So hidden lines need no sorting, and slopes and walls are shaded
alike.
"""

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageFilter

from .arrays import Flags, Floats, Integers, Points
from .dialects import FEATURES, NOT_THE_OBJECT

SIZE = 480
SCALE = 1.5  # drawn larger and reduced: smooth edges
SIDE = int(SIZE * SCALE)
MARGIN = 0.06  # of the picture, free around the object
SMALLEST = 6.0  # mm: a smaller object doesn't fill the picture
MAX_SAMPLES = 1_200_000
CHUNK = 150_000  # samples at once: memory
AZIMUTH, ELEVATION = math.radians(-58), math.radians(30)
LIGHT = np.array([-0.50, 0.62, 0.60])  # right, up, towards the viewer
SHADOW = (0.35, 0.10)  # how far right and back the shadow falls per mm of height
OBJECT = (243, 126, 52)
SUPPORT = (188, 182, 170)
_SURFACE = ("external_perimeter", "top_solid_infill", "ironing", "unknown", "overhang_perimeter", "bridge", "gap_fill")
_IS_SUPPORT = np.isin(FEATURES, ("support", "support_interface"))
_DEPTH_STEPS = 1 << 22  # of the depth buffer, whose lowest 8 bits say what is there

Colour = tuple[int, int, int]
"""Red, green and blue, 0 … 255."""
_Shades = NDArray[np.floating[Any]]
"""An image of float32."""


def render(
    points: Floats,
    starts: Integers,
    layer: Integers,
    feature: Integers,
    z: ArrayLike,
    height: ArrayLike,
    stride: int,
    width: float,
    colour: Colour | None,
) -> Image.Image | None:
    """Returns a 480 x 480 picture (RGBA, transparent ground), None when there is nothing to draw.

    points … feature: lines in mm as preview.Preview.lines() returns them, with only every `stride`-th layer; z, height:
    of each layer (mm); width: of a line (mm); colour: the object's.
    """
    z, height = np.asarray(z, float), np.maximum(np.asarray(height, float), 0.02)
    sizes = np.diff(starts, append=len(points))
    chosen = _choose(layer, feature, sizes, len(z))
    if not chosen.any():
        return None
    a = np.flatnonzero(np.repeat(chosen, sizes))
    line = np.repeat(np.arange(len(starts)), sizes)[a]
    a, line = a[:-1][np.diff(line) == 0], line[:-1][np.diff(line) == 0]
    if not len(a):
        return None
    p, q, level, support = points[a], points[a + 1], layer[line], _IS_SUPPORT[feature[line]]
    view = _View(
        [*np.minimum(p, q).min(axis=0), min(z[level].min(), 0)], [*np.maximum(p, q).max(axis=0), max(z[level].max(), 0)]
    )
    bead = max(width * view.scale / 2, 0.5)  # radius, pixels
    buffer, shadow = _splat(view, p, q, z[level], _reach(z, height, level, stride), support, bead)
    grown = _grow(buffer, bead, view)
    solid = grown >= 0
    depth = (grown >> 8) / _DEPTH_STEPS * view.range - view.far  # mm towards the viewer
    if not solid.any():
        return None
    rows, columns = (np.flatnonzero(solid.any(axis=axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)  # there is nothing to light elsewhere
    light = np.zeros((SIDE, SIDE), np.float32)
    light[part] = _light(
        depth[part],
        solid[part],
        view.scale,
        max(2 * float(np.sort(height)[len(height) // 2]) * stride, 1.5 * width, 5 / view.scale),
    )
    return _paint(grown, light, shadow, colour or OBJECT)


def _paint(grown: Points, light: _Shades, shadow: Flags, colour: Colour) -> Image.Image:
    solid = grown >= 0
    image = np.zeros((SIDE, SIDE, 4), np.float32)
    colours = np.asarray(SUPPORT, np.float32), np.asarray(_visible(colour), np.float32)
    base = np.where((grown & 1 == 1)[..., None], *colours)
    image[..., :3] = np.where(solid[..., None], np.clip(base * light[..., None], 0, 255), (24, 32, 48))
    image[..., 3] = np.where(solid, 255, 90 * _blur(shadow.astype(np.float32), max(3, SIDE // 60)))
    # Reduced with colours weighted by their opacity, so that the edge takes nothing from the ground.
    return (
        Image.fromarray(image.astype(np.uint8))
        .convert("RGBa")
        .resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        .convert("RGBA")
    )


def _choose(layer: Integers, feature: Integers, sizes: Integers, layers: int) -> Flags:
    """Which lines are drawn: the object's surface and its support; without these, all."""
    drawable = (layer < layers) & (sizes > 1)
    own = drawable & ~np.isin(FEATURES, list(NOT_THE_OBJECT))[feature]
    last = int(layer[own].max(initial=0))  # seen from above, whatever feature it is
    chosen = own & (np.isin(FEATURES, _SURFACE)[feature] | (layer == last)) | drawable & _IS_SUPPORT[feature]
    return chosen if chosen.any() else drawable


def _visible(colour: Colour) -> ArrayLike:
    """The colour, made lighter if its shades would all be black."""
    return np.maximum(colour, 255 * 0.22 + 0.5 * np.asarray(colour)) if max(colour) < 110 else colour


class _View:
    """A parallel projection: where a point in mm is in the picture and how near."""

    def __init__(self, low: list[float], high: list[float]) -> None:
        self.middle = (np.array(low[:2]) + high[:2]) / 2
        self.ca, self.sa, self.ce, self.se = (
            math.cos(AZIMUTH),
            math.sin(AZIMUTH),
            math.cos(ELEVATION),
            math.sin(ELEVATION),
        )
        self.scale, self.shift = 1.0, np.zeros(2)
        corners = np.array(list(itertools.product(*zip(low, high))))
        x, y, near = self.project(corners[:, :2], corners[:, 2])
        shadow_x, shadow_y, _ = self.project(corners[:, :2] + corners[:, 2:] * SHADOW, 0.0)
        x, y = np.append(x, shadow_x), np.append(y, shadow_y)
        self.scale = SIDE * (1 - 2 * MARGIN) / max(np.ptp(x), np.ptp(y), SMALLEST)
        self.shift = SIDE / 2 - self.scale * np.array([x.max() + x.min(), y.max() + y.min()]) / 2
        slack = 1.0
        self.far, self.range = slack - near.min(), np.ptp(near) + 2 * slack

    def project(self, xy: Floats, height: Floats | float) -> tuple[Floats, Floats, Floats]:
        """(x, y) in pixels from the lower left, nearness in mm."""
        x, y = (xy - self.middle).T
        right, away = x * self.ca - y * self.sa, x * self.sa + y * self.ca
        return (
            right * self.scale + self.shift[0],
            (away * self.se + height * self.ce) * self.scale + self.shift[1],
            height * self.se - away * self.ce,
        )


def _reach(z: Floats, height: Floats, level: Integers, stride: int) -> Floats:
    """mm from each line down to the layer below."""
    levels = np.unique(level)
    step = np.diff(z[levels], prepend=0.0)
    usual = height[levels] * stride
    return np.where((step > 0) & (step <= 3 * usual), step, usual)[np.searchsorted(levels, level)]


def _splat(
    view: _View, p: Floats, q: Floats, z: Floats, reach: Floats, support: Flags, bead: float
) -> tuple[Points, Flags]:
    """(the nearest thing at each pixel as depth << 8 | is support, or -1 for none; where the shadow falls)."""
    buffer, shadow = np.full(SIDE * SIDE, -1, np.int32), np.zeros(SIDE * SIDE, bool)
    x0, y0, _ = view.project(p, z)
    x1, y1, _ = view.project(q, z)
    step = max(1.0, 0.7 * bead)
    along = np.hypot(x1 - x0, y1 - y0)
    below = np.maximum(1, np.ceil(reach * view.ce * view.scale / max(1.0, 1.4 * bead))).astype(np.int64)
    step = max(step, float((along * below).sum()) / MAX_SAMPLES)
    across = np.ceil(along / step).astype(np.int64) + 1
    counts = across * below
    bounds = np.searchsorted(np.cumsum(counts), np.arange(CHUNK, counts.sum() + CHUNK, CHUNK))
    first = 0
    for last in np.minimum(bounds + 1, len(counts)):
        if last <= first:
            continue
        segment = np.repeat(np.arange(first, last), counts[first:last])
        number = np.arange(len(segment)) - np.repeat(
            np.cumsum(counts[first:last]) - counts[first:last], counts[first:last]
        )
        part = (number % across[segment]) / np.maximum(across[segment] - 1, 1)
        level = z[segment] - reach[segment] * (number // across[segment]) / below[segment]
        xy = p[segment] + (q[segment] - p[segment]) * part[:, None]
        x, y, near = view.project(xy, level)
        depth = ((near + view.far) / view.range * _DEPTH_STEPS).astype(np.int32) << 8 | support[segment]
        place, inside = _pixels(x, y)
        np.maximum.at(buffer, place[inside], depth[inside])
        place, inside = _pixels(*view.project(xy + level[:, None] * SHADOW, np.zeros(len(xy)))[:2])
        shadow[place[inside]] = True
        first = last
    return buffer.reshape(SIDE, SIDE), shadow.reshape(SIDE, SIDE)


def _pixels(x: Floats, y: Floats) -> tuple[Integers, Flags]:
    """(number of the pixel of each point, whether it is in the picture)."""
    column, row = np.rint(x).astype(np.int64), SIDE - 1 - np.rint(y).astype(np.int64)
    return row * SIDE + column, (column >= 0) & (column < SIDE) & (row >= 0) & (row < SIDE)


def _grow(buffer: Points, radius: float, view: _View) -> Points:
    """Each point grows to a bead: ring by ring, to four and to eight sides in turn, each ring further back."""
    whole = math.ceil(radius - 0.25)
    profile = [radius - math.sqrt(max(radius * radius - k * k, 0)) for k in range(whole + 1)]
    for k in range(1, whole + 1):
        back = round((profile[k] - profile[k - 1]) / view.scale / view.range * _DEPTH_STEPS) << 8
        moved = np.where(buffer < 0, -1, np.maximum(buffer - back, 0))
        grown = buffer.copy()
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)) + (((1, 1), (1, -1), (-1, 1), (-1, -1)) if k % 2 == 0 else ()):
            target, source = _shifted(grown, dy, dx), _shifted(moved, -dy, -dx)
            np.maximum(target, source, out=target)
        buffer = grown
    return buffer


def _shifted(array: NDArray[Any], dy: int, dx: int) -> NDArray[Any]:
    """The part of an array that has a neighbour at (-dy, -dx)."""
    rows, columns = array.shape
    return array[max(dy, 0) : rows + min(dy, 0), max(dx, 0) : columns + min(dx, 0)]


def _light(nearness: Floats, solid: Flags, scale: float, edge: float) -> _Shades:
    """Brightness of each pixel from the slope of the surface; what is more than `edge` mm behind is another surface.

    nearness: mm towards the viewer; scale: pixels per mm.
    """
    depth = np.where(solid, nearness, -1e6).astype(np.float32)
    for step in (1, 2, 4, 2, 1):  # smooths the steps between lines and layers to the slope of the whole
        total, weight = depth.copy(), np.ones_like(depth)
        for dy, dx in ((0, step), (step, 0), (0, -step), (-step, 0)):
            here, there = _shifted(depth, dy, dx), _shifted(depth, -dy, -dx)
            near = np.abs(here - there) < edge * step**0.5
            _shifted(total, dy, dx)[...] += np.where(near, there, 0)
            _shifted(weight, dy, dx)[...] += near
        depth = total / weight
    slopes = []
    for axis in (1, 0):
        step = np.diff(depth, axis=axis) * scale
        pad = [(0, 0), (0, 0)]
        pad[axis] = (1, 0)
        before = np.pad(step, pad, mode="edge")
        pad[axis] = (0, 1)
        after = np.pad(step, pad, mode="edge")
        slopes.append(np.where(np.abs(before) < np.abs(after), before, after))
    right, down = slopes
    normal = np.stack([-right, down, np.ones_like(right)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    facing = np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)).astype(np.float32), 0, 1)
    # Creases and what lies behind an edge are darker.
    mean = _blur(np.where(solid, depth, 0), 9) / np.maximum(_blur(solid.astype(np.float32), 9), 1e-3)
    crease = np.clip((mean - depth) / (6 * edge), 0, 1)
    light = (0.48 + 0.66 * facing) * (1 - 0.35 * crease)
    # Where the surface is seen nearly edge on, single pixels are lit by chance.
    return (
        np.asarray(Image.fromarray((light * 200).astype(np.uint8)).filter(ImageFilter.MedianFilter(5)), np.float32)
        / 200
    )


def _blur(values: _Shades, radius: int) -> _Shades:
    """Mean over squares, applied twice to make it soft."""
    for _ in range(2):
        for axis in (0, 1):
            padded = np.pad(values, [(radius + 1, radius) if n == axis else (0, 0) for n in (0, 1)], mode="edge")
            total = np.cumsum(padded, axis=axis, dtype=np.float32)
            low, high = [slice(None)] * 2, [slice(None)] * 2
            low[axis], high[axis] = slice(0, -2 * radius - 1), slice(2 * radius + 1, None)
            values = (total[tuple(high)] - total[tuple(low)]) / (2 * radius + 1)
    return values
