"""What a program adds up to: time, filament, lengths and extents by layer, feature, object and tool."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Flags, Floats
from .dialects import FEATURES, NOT_THE_OBJECT

TIME, OUT, EXTRUDED, TRAVEL = range(4)  # columns: s, mm of filament, mm of movement with and without extrusion
MAX_LAYERS = 100_000
CUSTOM = FEATURES.index("custom")
_NOT_OBJECT = np.array([feature in NOT_THE_OBJECT for feature in FEATURES])
_BIG = 1e9


def new_box() -> Floats:
    """Lowest x, y, z and highest x, y, z of nothing; see is_box()."""
    return np.array([_BIG] * 3 + [-_BIG] * 3)


def is_box(box: Floats) -> bool:
    """Whether anything is in the box."""
    return bool(box[0] < _BIG / 10)


class Sums:
    """Arrays with a row per layer (row 0: before the first one), feature, tool and object; boxes in mm."""

    def __init__(self) -> None:
        self.layers = np.zeros((64, 4))
        self.layer_z = np.full(64, -_BIG)
        self.layer_height = np.zeros(64)
        self.features = np.zeros((len(FEATURES), 4))
        self.tools = np.zeros((16, 4))
        self.tool_moves = np.zeros(16, bool)
        self.objects = np.zeros((16, 4))
        self.object_boxes = np.tile(new_box(), (16, 1))
        self.object_layers = np.zeros(16, np.int64)
        self.box_marked = new_box()  # of features that are the object's own
        self.box_first = new_box()  # of unmarked extrusion, first layer
        self.box_later = new_box()  # … all others
        self.box_all = new_box()
        self.widths_known = False
        self._object_layer: dict[int, int] = {}

    def main_tool(self) -> int:
        """The tool that pushes out most filament; 0 when none does."""
        return int(np.argmax(self.tools[:, OUT])) if len(self.tools) else 0

    def printed_layers(self) -> Flags:
        """Whether something is printed, for each row of layers."""
        return self.layer_z > -_BIG / 10

    def wait(self, layer: int, feature: int, seconds: float) -> None:
        """Adds a time without a move."""
        self._grow_layers(layer)
        self.layers[min(layer, MAX_LAYERS) + 1, TIME] += seconds
        self.features[feature, TIME] += seconds

    def first_layer(self) -> None:
        """Counts all so far as before the first layer: the purge line and what else the start program does."""
        self.layers[0] += self.layers[1:].sum(axis=0)
        self.layers[1:] = 0
        self.layer_z[:] = -_BIG
        self.layer_height[:] = 0
        self.features[CUSTOM] += self.features[0]
        self.features[0] = 0
        for box in (self.box_first, self.box_later, self.box_marked):
            box[:] = new_box()
        self.object_boxes[:] = new_box()

    def add(self, runs: Floats, measured: Floats) -> None:
        """Adds a batch of runs (rows as begin_run() in kernel.c fills them) with what measure() found for each."""
        sums, low, high = measured[:, :4], measured[:, 4:7], measured[:, 7:]
        layer, feature, thing, tool = (runs[:, column].astype(np.int64) for column in (1, 2, 3, 4))
        layer = np.minimum(layer, MAX_LAYERS)
        rows = layer + 1
        printed = sums[:, EXTRUDED] > 0
        own = printed & ~_NOT_OBJECT[feature] & (layer >= 0)
        self._grow_layers(int(layer.max()))
        np.add.at(self.layers, rows, sums)
        np.add.at(self.features, feature, sums)
        while tool.max() >= len(self.tools):
            self.tools = _twice(self.tools)
            self.tool_moves = _twice(self.tool_moves)
        np.add.at(self.tools, tool, sums)
        self.tool_moves[tool[printed]] = True
        np.maximum.at(self.layer_z, rows[printed & (feature != CUSTOM)], high[printed & (feature != CUSTOM), 2])
        np.maximum.at(self.layer_height, rows[own], runs[own, 6])
        self.widths_known |= bool(runs[printed, 7].any())
        marked = own & ((feature > 0) | (thing >= 0))
        _extend(self.box_all, low, high, printed)
        _extend(self.box_marked, low, high, marked)
        _extend(self.box_first, low, high, own & ~marked & (layer == 0))
        _extend(self.box_later, low, high, own & ~marked & (layer > 0))
        of_object = thing >= 0
        if of_object.any():
            while thing.max() >= len(self.objects):
                self.objects = _twice(self.objects)
                self.object_boxes = np.vstack([self.object_boxes, np.tile(new_box(), (len(self.object_boxes), 1))])
                self.object_layers = _twice(self.object_layers)
            np.add.at(self.objects, thing[of_object], sums[of_object])
            chosen = of_object & own
            np.minimum.at(self.object_boxes[:, :3], thing[chosen], low[chosen])
            np.maximum.at(self.object_boxes[:, 3:], thing[chosen], high[chosen])
            self._count_layers(sorted(set(zip(thing[chosen].tolist(), layer[chosen].tolist()))))

    def _count_layers(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Counts the layers of each object, from (object, layer) in their order."""
        for thing, layer in pairs:
            if self._object_layer.get(thing) != layer:
                self._object_layer[thing] = layer
                self.object_layers[thing] += 1

    def _grow_layers(self, layer: int) -> None:
        """Makes room for this layer."""
        row, size = min(layer, MAX_LAYERS) + 1, len(self.layers)
        if row >= size:
            more = max(2 * size, row + 1) - size
            self.layers = np.vstack([self.layers, np.zeros((more, 4))])
            self.layer_z = np.concatenate([self.layer_z, np.full(more, -_BIG)])
            self.layer_height = np.concatenate([self.layer_height, np.zeros(more)])


def _twice(array: NDArray[Any]) -> NDArray[Any]:
    """The array with as many rows of zeros appended."""
    return np.concatenate([array, np.zeros_like(array)])


def _extend(box: Floats, low: Floats, high: Floats, chosen: Flags) -> None:
    """Extends the box by the chosen ones of these extents."""
    if chosen.any():
        box[:3] = np.minimum(box[:3], low[chosen].min(axis=0))
        box[3:] = np.maximum(box[3:], high[chosen].max(axis=0))
