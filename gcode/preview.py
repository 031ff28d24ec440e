"""The preview geometry: the printed lines of a program as a small binary file for the browser (docs/gcode.md, "Preview").

Lines are kept per layer and feature class, simplified within a stated tolerance and quantised. Memory is bounded: when too
many points have come, everything is simplified again with twice the tolerance, then what lies inside is left out, and when
that is not enough, layers are, evenly.
"""

import json
import struct

import numpy as np

from .dialects import FEATURES
from .kernel import library
from .thin import thin

MAGIC = b"EGPV"
VERSION = 1
QUANTUM = 0.05  # mm per unit
FIRST_TOLERANCE = 0.1  # mm, of one simplification
MAX_POINTS = 400_000  # kept in memory before everything is made coarser
MAX_BYTES = 1_000_000
MAX_LAYERS = 12_000
EDGE = 10_000.0  # mm: what lies further out is not drawn
_COARSER = (
    ("tolerance", 0.2),
    ("tolerance", 0.4),
    ("without", "infill"),
    ("without", "perimeter"),
    ("tolerance", 0.8),
    ("without", "solid_infill"),
    ("without", "gap_fill"),
    ("tolerance", 1.6),
)
"""What is done, one after the other, to make a preview smaller; after that every second layer goes, and again."""


class Preview:
    """Collects lines during the pass; encode() makes the file."""

    def __init__(self, max_bytes=MAX_BYTES, text_bytes=None):
        self.max_bytes = max_bytes
        self.step = FIRST_TOLERANCE
        self.stride = 1
        self._coarser = list(_COARSER)
        self._shown = np.array([name != "custom" for name in FEATURES])
        # A big file will not fit at the finest step: begin where it may, a coarser start is less work.
        while text_bytes and self.step < 0.4 and self.step < text_bytes / 100e6:
            self.step = self._coarser.pop(0)[1]
        self.restart()

    @property
    def left_out(self):
        """Names of the features that are not in it."""
        return [name for name, shown in zip(FEATURES, self._shown) if not shown]

    def restart(self):
        """Forgets the lines so far: they stood before the first layer."""
        self._parts = []  # (points (n, 2) int32, starts of lines, layer of line, feature of line)
        self._count = 0
        self.tolerance = QUANTUM / 2**0.5  # what rounding alone may move a point

    def add(self, kernel, runs):
        """The batch of moves that the kernel holds, in these runs."""
        layer, feature = runs[:, 1].astype(np.int64), runs[:, 2].astype(np.int64)
        wanted = self._shown[feature] & (layer >= 0) & (layer % self.stride == 0)
        if not wanted.any():
            return
        points, starts, run = kernel.lines(wanted, QUANTUM, self.step / QUANTUM, EDGE)
        self._parts.append((points, starts, layer[run], feature[run]))
        self._count += len(points)
        if self._count > MAX_POINTS:
            self._coarsen()

    def _coarsen(self):
        what, value = self._coarser.pop(0) if self._coarser else ("stride", self.stride * 2)
        part = self._joined()
        if what == "tolerance":
            self.tolerance += self.step  # what the step before may have moved stays moved
            self.step = value
            part = simplify(*part, value)
        else:
            if what == "without":
                self._shown[FEATURES.index(value)] = False
            else:
                self.stride = value
            part = _select(part, self._shown[part[3]] & (part[2] % self.stride == 0))
        self._parts = [part]
        self._count = len(part[0])
        if self._count > MAX_POINTS * 0.7:
            self._coarsen()

    def _joined(self):
        if not self._parts:
            return np.zeros((0, 2), np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
        offsets = np.cumsum([0] + [len(part[0]) for part in self._parts[:-1]])
        return (
            np.concatenate([part[0] for part in self._parts]),
            np.concatenate([part[1] + offset for part, offset in zip(self._parts, offsets)]),
            np.concatenate([part[2] for part in self._parts]),
            np.concatenate([part[3] for part in self._parts]),
        )

    def lines(self):
        """(points in mm (n, 2), start of each line, layer of each line, feature number of each line)."""
        points, starts, layer, feature = self._joined()
        return points * QUANTUM, starts, layer, feature

    def encode(self, z, height, seconds):
        """The file's bytes; z, height (mm) and seconds per layer."""
        while True:
            data = self._encode(np.asarray(z, float), np.asarray(height, float), np.asarray(seconds, float))
            if len(data) <= self.max_bytes:
                return data
            self._coarsen()

    def _encode(self, z, height, seconds):
        points, starts, layer, feature = self._joined()
        while len(z) > MAX_LAYERS * self.stride:
            self.stride *= 2
        known = (layer < len(z)) & (layer % self.stride == 0)
        points, starts, layer, feature = _select((points, starts, layer, feature), known)
        order = np.lexsort((feature, layer))
        origin = points.min(axis=0) if len(points) else np.zeros(2, np.int32)
        far = points.max(axis=0) if len(points) else origin
        shown = range(0, len(z), self.stride)
        packed, offsets = _pack(points, starts, order, origin)
        layer, feature = layer[order], feature[order]
        groups = (
            np.flatnonzero(np.concatenate([[True], (np.diff(layer) != 0) | (np.diff(feature) != 0)]))
            if len(layer)
            else np.zeros(0, np.int64)
        )
        group_ends = np.append(groups[1:], len(layer))
        table = np.zeros(len(groups), GROUP)
        if len(groups):
            table["layer"] = layer[groups] // self.stride
            table["feature"] = feature[groups]
            table["lines"] = group_ends - groups
            table["offset"] = offsets[groups]
        layers = np.zeros(len(shown), LAYER)
        for name, values in (("z", z[:: self.stride]), ("height", height[:: self.stride])):
            layers[name] = values
        if len(z):
            layers["seconds"] = np.add.reduceat(seconds, np.arange(0, len(z), self.stride))
        head = json.dumps(
            {
                "quantum_mm": QUANTUM,
                "tolerance_mm": round(self.tolerance + self.step, 3),
                "origin_mm": (origin * QUANTUM).round(3).tolist(),
                "size_mm": ((far - origin) * QUANTUM).round(3).tolist(),
                "origin": origin.tolist(),
                "layers": len(shown),
                "layer_stride": self.stride,
                "left_out": self.left_out,
                "groups": len(groups),
                "lines": len(starts),
                "points": len(points),
                "features": list(FEATURES),
            },
            separators=(",", ":"),
        ).encode()
        head += b" " * (-len(head) % 4)
        return b"".join(
            (MAGIC, struct.pack("<HHI", VERSION, 0, len(head)), head, layers.tobytes(), table.tobytes(), packed)
        )


LAYER = np.dtype([("z", "<f4"), ("height", "<f4"), ("seconds", "<f4")])
GROUP = np.dtype([("layer", "<u4"), ("feature", "<u4"), ("lines", "<u4"), ("offset", "<u4")])


def _select(part, keep):
    if keep.all():
        return part
    points, starts, layer, feature = part
    sizes = np.diff(starts, append=len(points))
    points = points[np.repeat(keep, sizes)]
    starts = (
        np.concatenate([[0], np.cumsum(sizes[keep])[:-1]]).astype(np.int64) if keep.any() else np.zeros(0, np.int64)
    )
    return points, starts, layer[keep], feature[keep]


def simplify(points, starts, layer, feature, tolerance):
    """Leaves out points so that no line moves by more than `tolerance` (mm)."""
    points, starts = thin(points, starts, tolerance / QUANTUM)
    return points, starts, layer, feature


def _pack(points, starts, order, origin):
    """(bytes of the lines in this order, where each of them begins): the count of points and their zigzag steps as base-128 numbers."""
    sizes = np.diff(starts, append=len(points))
    if (kernel := library()) is None:
        return _pack_numpy(points, starts, sizes, order, origin)
    points, offsets = np.ascontiguousarray(points, np.int32), np.empty(len(order), np.int64)
    data = np.empty(5 * (2 * len(points) + len(order)), np.uint8)
    size = kernel.gcode_pack(
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


def _pack_numpy(points, starts, sizes, order, origin):
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


def decode(data):
    """Reads a preview: (header, layers, list of (layer, feature number, list of (n, 2) arrays in mm)). The tests' counterpart of the reader in frontend/src/passports/preview-reader.js."""
    if data[:4] != MAGIC or struct.unpack_from("<H", data, 4)[0] != VERSION:
        raise ValueError("not a preview file of version 1")
    size = struct.unpack_from("<I", data, 8)[0]
    header = json.loads(data[12 : 12 + size])
    at = 12 + size
    layers = np.frombuffer(data, LAYER, header["layers"], at)
    at += layers.nbytes
    groups = np.frombuffer(data, GROUP, header["groups"], at)
    at += groups.nbytes
    result, place = [], list(header["origin"])

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    for group in groups:
        lines = []
        for _ in range(group["lines"]):
            line = np.empty((number(), 2))
            for row in line:
                for axis in (0, 1):
                    coded = number()
                    place[axis] += (coded >> 1) ^ -(coded & 1)
                row[:] = place
            lines.append(line * header["quantum_mm"])
        result.append((int(group["layer"]), int(group["feature"]), lines))
    return header, layers, result
