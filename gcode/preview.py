"""The preview: the printed lines of a program as a small binary file for the browser (docs/gcode.md, "Preview format").

Lines are kept per layer and feature class, simplified within a stated tolerance and quantised. Memory is bounded: when
there are too many points, everything is simplified again with twice the tolerance, then what lies inside is left out,
and when that is not enough, layers are, evenly.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import kernel
from .arrays import Flags, Floats, Integers, Points
from .dialects import FEATURES
from .thin import thin

MAGIC = b"EGPV"
VERSION = 1
QUANTUM = 0.05  # mm per unit
FIRST_TOLERANCE = 0.1  # mm, of one simplification
MAX_POINTS = 400_000  # in memory; with more, everything is made coarser
MAX_BYTES = 1_000_000
MAX_LAYERS = 12_000
EDGE = 10_000.0  # mm: what lies further out is not drawn
_COARSER: tuple[float | str, ...] = (0.2, 0.4, "infill", "perimeter", 0.8, "solid_infill", "gap_fill", 1.6)
"""What makes a preview smaller, one step after the other: a coarser tolerance (mm), or a feature to leave out.

After the last one, every second layer goes, then every second of those that are left, and so on.
"""

LAYER = np.dtype([("z", "<f4"), ("height", "<f4"), ("seconds", "<f4")])
GROUP = np.dtype([("layer", "<u4"), ("feature", "<u4"), ("lines", "<u4"), ("offset", "<u4")])

_Part = tuple[Points, Integers, Integers, Integers]
"""Lines: their points (n, 2), the first point of each line, its layer, its feature number."""


class Preview:
    """Collects lines during the pass; encode() makes the file."""

    def __init__(self, max_bytes: int, text_bytes: int | None) -> None:
        """text_bytes: size of the file, where it is known."""
        self.max_bytes = max_bytes
        self.step = FIRST_TOLERANCE
        self.stride = 1
        self._coarser = list(_COARSER)
        self._shown = np.array([name != "custom" for name in FEATURES])
        # A big file will not fit at the finest step; a coarser one from the start is less work.
        while text_bytes and self.step < 0.4 and self.step < text_bytes / 100e6:
            self.step *= 2  # as the first two of _COARSER do
            del self._coarser[0]
        self.restart()

    @property
    def left_out(self) -> list[str]:
        """Names of the features that are not in it."""
        return [name for name, shown in zip(FEATURES, self._shown) if not shown]

    def restart(self) -> None:
        """Forgets the lines so far: they came before the first layer."""
        self._parts: list[_Part] = []
        self._count = 0
        self.tolerance = QUANTUM / 2**0.5  # what rounding alone may move a point

    def add(self, reader: kernel.Reader, runs: Floats) -> None:
        """Adds the batch of moves that the reader has collected, in these runs."""
        layer, feature = runs[:, 1].astype(np.int64), runs[:, 2].astype(np.int64)
        wanted = self._shown[feature] & (layer >= 0) & (layer % self.stride == 0)
        if not wanted.any():
            return
        points, starts, run = reader.lines(wanted, QUANTUM, self.step / QUANTUM, EDGE)
        self._parts.append((points, starts, layer[run], feature[run]))
        self._count += len(points)
        if self._count > MAX_POINTS:
            self._coarsen()

    def _coarsen(self) -> None:
        step = self._coarser.pop(0) if self._coarser else None
        part = self._joined()
        if isinstance(step, float):
            self.tolerance += self.step  # what the step before may have moved stays moved
            self.step = step
            points, starts, layer, feature = part
            part = (*thin(points, starts, step / QUANTUM), layer, feature)
        else:
            if step:
                self._shown[FEATURES.index(step)] = False
            else:
                self.stride *= 2
            part = _select(part, self._shown[part[3]] & (part[2] % self.stride == 0))
        self._parts = [part]
        self._count = len(part[0])
        if self._count > MAX_POINTS * 0.7:
            self._coarsen()

    def _joined(self) -> _Part:
        if not self._parts:
            return np.zeros((0, 2), np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
        offsets = np.cumsum([0] + [len(part[0]) for part in self._parts[:-1]])
        return (
            np.concatenate([part[0] for part in self._parts]),
            np.concatenate([part[1] + offset for part, offset in zip(self._parts, offsets)]),
            np.concatenate([part[2] for part in self._parts]),
            np.concatenate([part[3] for part in self._parts]),
        )

    def lines(self) -> tuple[Floats, Integers, Integers, Integers]:
        """(points in mm (n, 2), first point of each line, layer of each line, feature number of each line)."""
        points, starts, layer, feature = self._joined()
        return np.multiply(points, QUANTUM, dtype=np.float64), starts, layer, feature

    def encode(self, z: ArrayLike, height: ArrayLike, seconds: ArrayLike) -> bytes:
        """Returns the file's bytes, at most max_bytes; z, height (mm) and seconds per layer."""
        while True:
            data = self._encode(np.asarray(z, float), np.asarray(height, float), np.asarray(seconds, float))
            if len(data) <= self.max_bytes:
                return data
            self._coarsen()

    def _encode(self, z: Floats, height: Floats, seconds: Floats) -> bytes:
        while len(z) > MAX_LAYERS * self.stride:
            self.stride *= 2
        part = self._joined()
        points, starts, layer, feature = _select(part, (part[2] < len(z)) & (part[2] % self.stride == 0))
        order = np.lexsort((feature, layer))
        origin = points.min(axis=0) if len(points) else np.zeros(2, np.int32)
        far = points.max(axis=0) if len(points) else origin
        packed, offsets = _pack(points, starts, order, origin)
        layers = _layer_table(z, height, seconds, self.stride)
        groups = _group_table(layer[order] // self.stride, feature[order], offsets)
        header = {
            "quantum_mm": QUANTUM,
            "tolerance_mm": round(self.tolerance + self.step, 3),
            "origin_mm": (origin * QUANTUM).round(3).tolist(),
            "size_mm": ((far - origin) * QUANTUM).round(3).tolist(),
            "origin": origin.tolist(),
            "layers": len(layers),
            "layer_stride": self.stride,
            "left_out": self.left_out,
            "groups": len(groups),
            "lines": len(starts),
            "points": len(points),
            "features": list(FEATURES),
        }
        head = json.dumps(header, separators=(",", ":")).encode()
        head += b" " * (-len(head) % 4)
        start = MAGIC + struct.pack("<HHI", VERSION, 0, len(head))
        return b"".join((start, head, layers.tobytes(), groups.tobytes(), packed))


def _layer_table(z: Floats, height: Floats, seconds: Floats, stride: int) -> NDArray[np.void]:
    """Rows of LAYER; the seconds of layers that are left out are in the layer before."""
    table = np.zeros(len(range(0, len(z), stride)), LAYER)
    table["z"], table["height"] = z[::stride], height[::stride]
    if len(z):
        table["seconds"] = np.add.reduceat(seconds, np.arange(0, len(z), stride))
    return table


def _group_table(layer: Integers, feature: Integers, offsets: Integers) -> NDArray[np.void]:
    """Rows of GROUP for lines that are sorted by layer, then feature."""
    if not len(layer):
        return np.zeros(0, GROUP)
    first = np.flatnonzero(np.concatenate([[True], (np.diff(layer) != 0) | (np.diff(feature) != 0)]))
    table = np.zeros(len(first), GROUP)
    table["layer"], table["feature"] = layer[first], feature[first]
    table["lines"], table["offset"] = np.diff(first, append=len(layer)), offsets[first]
    return table


def _select(part: _Part, keep: Flags) -> _Part:
    if keep.all():
        return part
    points, starts, layer, feature = part
    sizes = np.diff(starts, append=len(points))
    points = points[np.repeat(keep, sizes)]
    starts = (
        np.concatenate([[0], np.cumsum(sizes[keep])[:-1]]).astype(np.int64) if keep.any() else np.zeros(0, np.int64)
    )
    return points, starts, layer[keep], feature[keep]


def _pack(points: Points, starts: Integers, order: Integers, origin: Points) -> tuple[bytes, Integers]:
    """(bytes of the lines in this order, where each of them begins).

    A line is the count of its points and their zigzag steps, all as base-128 numbers.
    """
    sizes = np.diff(starts, append=len(points))
    if (compiled := kernel.library()) is None:
        return _pack_numpy(points, starts, sizes, order, origin)
    points, offsets = np.ascontiguousarray(points, np.int32), np.empty(len(order), np.int64)
    data = np.empty(5 * (2 * len(points) + len(order)), np.uint8)
    size = compiled.gcode_pack(
        points.ctypes.data,
        starts.ctypes.data,
        sizes.ctypes.data,
        order.ctypes.data,
        len(order),
        *origin.tolist(),
        data.ctypes.data,
        offsets.ctypes.data,
    )
    return data[:size].tobytes(), offsets


def _pack_numpy(
    points: Points, starts: Integers, sizes: Integers, order: Integers, origin: Points
) -> tuple[bytes, Integers]:
    sizes = sizes[order]
    before = np.cumsum(sizes) - sizes
    points = points[np.repeat(starts[order] - before, sizes) + np.arange(sizes.sum())]
    steps = np.diff(points, axis=0, prepend=origin[None, :].astype(np.int32)).astype(np.int64)
    numbers = np.empty(2 * len(points) + len(sizes), np.int64)
    heads = 2 * before + np.arange(len(sizes))
    body = np.ones(len(numbers), bool)
    body[heads] = False
    numbers[heads] = sizes
    numbers[body] = ((steps << 1) ^ (steps >> 63)).ravel()
    widths = np.ones(len(numbers), np.int64)
    for k in range(1, 5):
        widths += numbers >= 1 << 7 * k
    begins = np.cumsum(widths) - widths
    data = np.empty(int(widths.sum()), np.uint8)
    for k in range(5):
        chosen = np.flatnonzero(widths > k)
        data[begins[chosen] + k] = numbers[chosen] >> 7 * k & 127 | np.where(widths[chosen] > k + 1, 128, 0)
    return data.tobytes(), begins[heads]


def decode(data: bytes) -> tuple[dict[str, Any], NDArray[np.void], list[tuple[int, int, list[Floats]]]]:
    """Reads a preview: (header, rows of LAYER, list of (layer, feature number, list of (n, 2) arrays in mm)).

    The tests' counterpart of the browser's reader, frontend/src/passports/preview-reader.js. Raises ValueError for
    another kind of file.
    """
    if data[:4] != MAGIC or struct.unpack_from("<H", data, 4)[0] != VERSION:
        raise ValueError("not a preview file of version 1")
    size = struct.unpack_from("<I", data, 8)[0]
    header = json.loads(data[12 : 12 + size])
    at = 12 + size
    layers = np.frombuffer(data, LAYER, header["layers"], at)
    at += layers.nbytes
    groups = np.frombuffer(data, GROUP, header["groups"], at)
    numbers = _unpacked(data[at + groups.nbytes :])
    result, place = [], list(header["origin"])
    for group in groups:
        lines = []
        for _ in range(group["lines"]):
            line = np.empty((next(numbers), 2))
            for row in line:
                for axis in (0, 1):
                    coded = next(numbers)
                    place[axis] += (coded >> 1) ^ -(coded & 1)
                row[:] = place
            lines.append(line * header["quantum_mm"])
        result.append((int(group["layer"]), int(group["feature"]), lines))
    return header, layers, result


def _unpacked(data: bytes) -> Iterator[int]:
    """The base-128 numbers of the body."""
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0
