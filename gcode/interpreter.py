"""The kernel in plain Python, line by line: the readable form of kernel.c, and how bulk.py reads the rare lines.

tests/test_kernel.py feeds all of them the same programs.
"""

import math
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import kernel as k
from .arrays import Flags, Floats, Integers, Points
from .measure import measure
from .planner import MachineLimits
from .thin import lines_numpy

ARC_STEPS = 96
ARC_DEVIATION = 0.005
LIMIT = 1e6
MAX_LABELS = 32768
RunState = tuple[Any, ...]
"""A row of runs without its move and position: layer, feature, object, tool and barrier (int), the others as floats."""
_PLANES = {0: ((0, 1, 2), "IJ"), 1: ((2, 0, 1), "KI"), 2: ((1, 2, 0), "JK")}
_WORD = re.compile(rb"([A-Za-z]) *([-+]?(?:\d+\.?\d*|\.\d+)?)")
_NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)")
_COMMAND = re.compile(rb"([GMTgmt])(\d+)")


class Interpreter:
    """A Reader (see kernel.py) that takes one line at a time."""

    def __init__(self, markers: Sequence[k.MarkerRow]) -> None:
        self.state = SimpleNamespace(**dict.fromkeys((name for name, _ in k.STATE_FIELDS), 0) | k.INITIAL)
        for name in ("x", "y", "z", "e", "offset_x", "offset_y", "offset_z", "height", "width", "layer_z"):
            setattr(self.state, name, 0.0)
        self.moves = np.empty((5, k.MAX_MOVES))
        self.runs = np.empty((k.MAX_RUNS, k.RUN_FIELDS))
        self.comments = np.empty((k.MAX_COMMENTS, 2), np.int64)
        # By first character: most lines have few to compare with.
        self._markers: dict[tuple[bytes, int], list[tuple[int, bytes, int, int]]] = {}
        for number, (text, kind, stop, extended) in enumerate(markers):
            self._markers.setdefault((text[:1], extended), []).append((number, text, kind, stop))
        self._labels: dict[tuple[int, bytes], int] = {}

    def feed(self, data: bytearray, position: int, size: int, last: bool) -> tuple[int, int]:
        """See kernel.Reader."""
        s, at = self.state, position
        while at < size:
            if (
                s.n_moves + ARC_STEPS + 1 >= k.MAX_MOVES
                or s.n_runs + ARC_STEPS + 1 >= k.MAX_RUNS
                or s.n_comments >= k.MAX_COMMENTS
            ):
                return k.FULL, at
            end = data.find(b"\n", at, size)
            if end < 0:
                if not last:
                    break
                end = size
            line, start, at = bytes(data[at:end]), at, min(end + 1, size)
            s.lines += 1
            code = self._line(line, start)
            if code:
                return code, at
        return k.NEED_DATA, at

    def learn(self, value: int) -> None:
        """See kernel.Reader."""
        if len(self._labels) < MAX_LABELS:
            self._labels[self.state.pending_label] = value
            self.state.labels += 1

    def measure(self, limits: MachineLimits, extruders: Floats) -> Floats:
        """See kernel.Reader."""
        return measure(self.moves[:, : self.state.n_moves], self.runs[: self.state.n_runs], limits, extruders)

    def lines(self, wanted: Flags, quantum: float, tolerance: float, edge: float) -> tuple[Points, Integers, Integers]:
        """See kernel.Reader."""
        return lines_numpy(
            self.moves[:, : self.state.n_moves], self.runs[: self.state.n_runs], wanted, quantum, tolerance, edge
        )

    def _line(self, line: bytes, start: int) -> int:
        """Reads a line that begins at `start`; returns what stopped it, 0 if nothing."""
        s = self.state
        text = line.rstrip(b"\r ")
        stripped = text.lstrip(b" \t\r")
        start += len(text) - len(stripped)
        line = stripped
        if not line:
            return 0
        if line[:1] == b";":
            mark = line[1:].lstrip(b" ")
            if not mark:
                return 0
            code = self._marker(mark, start + len(line) - len(mark), 0)
            if code < 0:
                self.comments[s.n_comments] = start, len(line)
                s.n_comments += 1
                return 0
            if code == k.COMMAND:
                s.event_start, s.event_length = start, len(line)
            return code
        if numbered := re.match(rb"[Nn]\d+ *|[Nn] *$", line):
            line = line[numbered.end() :]
            start += numbered.end()
            if not line:
                return 0
        if found := _COMMAND.match(line):
            return self._command(line, start, found)
        if (line[:1].isalpha() and line[0] < 128) or line[:1] == b"_":
            code = self._marker(line, start, 1)
            if code == k.COMMAND:
                s.event_start, s.event_length = start, len(line)
            return max(code, 0)
        if line[:1] not in (b"(", b"%"):
            s.bad_lines += 1
        return 0

    def _command(self, line: bytes, start: int, found: re.Match[bytes]) -> int:
        s = self.state
        letter, digits = found[1].upper(), found[2]
        if len(digits) >= 6:
            s.bad_lines += 1
            return 0
        value = int(digits)
        if letter == b"T":
            action = k.EVENT
        elif line[found.end() : found.end() + 1] == b".":
            return 0
        else:
            action = k.G_ACTIONS.get(value, k.SKIP) if letter == b"G" else k.M_ACTIONS.get(value, k.SKIP)
        if action == k.SKIP:
            return 0
        if action == k.EVENT:
            s.event_start, s.event_length = start, len(line)
            return k.COMMAND
        if not self._execute(action, line[found.end() :]):
            s.bad_lines += 1
        return 0

    def _execute(self, action: int, text: bytes) -> bool:
        """A command with its words; False when it is damaged."""
        s, words = self.state, {}
        for letter, digits in _WORD.findall(re.split(rb"[;*(]", text, maxsplit=1)[0]):
            value = _value(digits)
            if value is None:
                return False
            words[letter.upper().decode()] = value
        if action in (k.LINEAR, k.ARC_CW, k.ARC_CCW):
            return self._move_command(action, words)
        if action == k.SET_POSITION:
            every = not words.keys() & set("XYZE")
            for axis in "xyz":
                if every or axis.upper() in words:
                    setattr(s, f"offset_{axis}", (0 if every else words[axis.upper()] * s.unit) - getattr(s, axis))
            if every or "E" in words:
                s.e = 0.0 if every else words["E"] * s.unit
        elif action == k.ACCELERATION:
            if words.get("S", 0) > 0:
                s.acc_print = s.acc_travel = words["S"]
            for letter, name in (("P", "acc_print"), ("T", "acc_travel"), ("R", "acc_retract")):
                if words.get(letter, 0) > 0:
                    setattr(s, name, words[letter])
            s.dirty = 1
        elif action == k.RETRACT:
            if not ("L" in words or "P" in words):  # G10 with L or P sets tool offsets
                self._retract(1)
        elif action == k.UNRETRACT:
            self._retract(0)
        elif action in (k.MODE_XY, k.MODE_XZ, k.MODE_YZ):
            s.plane = action - k.MODE_XY
        elif action in (k.INCHES, k.MILLIMETRES):
            s.unit = 25.4 if action == k.INCHES else 1.0
        elif action in (k.ABSOLUTE, k.RELATIVE):
            s.relative = int(action == k.RELATIVE)
        elif action in (k.E_ABSOLUTE, k.E_RELATIVE):
            s.e_relative = int(action == k.E_RELATIVE)
        return True

    def _move_command(self, action: int, words: dict[str, float]) -> bool:
        s = self.state
        target = [s.x, s.y, s.z]
        for axis, (letter, offset) in enumerate((("X", s.offset_x), ("Y", s.offset_y), ("Z", s.offset_z))):
            if letter in words:
                target[axis] = target[axis] + words[letter] * s.unit if s.relative else words[letter] * s.unit - offset
        if any(not -LIMIT <= value <= LIMIT for value in target):
            return False
        de = 0.0
        if "E" in words:
            e = words["E"] * s.unit
            if s.relative or s.e_relative:
                de = e
                s.e += e
            else:
                de, s.e = e - s.e, e
            de *= s.per_e
        if words.get("F", 0) > 0:
            s.feed = words["F"] * s.unit / 60
        if action == k.LINEAR:
            self._move(target[0], target[1], target[2], de)
            return True
        first, second = _PLANES[s.plane][1]
        centre = first in words or second in words
        if (centre or "R" in words) and self._arc(
            action == k.ARC_CW,
            target,
            words.get(first, 0) * s.unit,
            words.get(second, 0) * s.unit,
            words.get("R", 0) * s.unit,
            centre,
            de,
        ):
            return True
        self._move(target[0], target[1], target[2], de)  # the end is known, the way there is not
        return False

    def _move(self, x: float, y: float, z: float, de: float) -> None:
        s = self.state
        if x == s.x and y == s.y and z == s.z and de == 0:
            return
        if s.layer_marker < 0 and de > 0 and (x != s.x or y != s.y) and (s.layer < 0 or abs(z - s.layer_z) > 0.03):
            s.layer += 1
            s.layer_z, s.dirty = z, 1
        if s.dirty:
            self.runs[s.n_runs] = (s.n_moves, *self._run_state(), s.x, s.y, s.z, 0)
            s.n_runs += 1
            s.dirty = s.barrier = 0
        self.moves[:, s.n_moves] = x, y, z, de, s.feed
        s.n_moves += 1
        s.x, s.y, s.z = x, y, z

    def _run_state(self) -> RunState:
        s = self.state
        return (
            s.layer,
            s.feature,
            s.object,
            s.tool,
            s.barrier,
            s.height,
            s.width,
            s.acc_print,
            s.acc_travel,
            s.acc_retract,
            s.corner,
        )

    def _retract(self, retracted: int) -> None:
        """Retraction by the firmware, or its end; a second one does nothing."""
        s, feed = self.state, self.state.feed
        if s.retracted == retracted:
            return
        s.retracted, s.feed = retracted, s.retract_feed
        self._move(s.x, s.y, s.z, -s.retract_mm if retracted else s.retract_mm)
        s.feed = feed

    def _arc(
        self, clockwise: bool, target: list[float], i: float, j: float, r: float, has_centre: bool, de: float
    ) -> bool:
        """An arc as chords; False if the words make no arc."""
        s = self.state
        a, b, c = _PLANES[s.plane][0]
        start = [s.x, s.y, s.z]
        if has_centre:
            ca, cb = start[a] + i, start[b] + j
        else:
            da, db = target[a] - start[a], target[b] - start[b]
            chord = math.sqrt(da * da + db * db)
            if chord == 0 or r == 0:
                return False
            h = math.sqrt(max(r * r - chord * chord / 4, 0))
            if (r > 0) == clockwise:  # the shorter way round for r > 0
                h = -h
            ca, cb = start[a] + da / 2 - h * db / chord, start[b] + db / 2 + h * da / chord
        sa, sb, ta, tb = start[a] - ca, start[b] - cb, target[a] - ca, target[b] - cb
        radius = math.sqrt(sa * sa + sb * sb)
        if not 1e-6 <= radius <= LIMIT:
            return False
        angle = math.atan2(sb, sa)
        sweep = math.atan2(sa * tb - sb * ta, sa * ta + sb * tb)
        if target[a] == start[a] and target[b] == start[b]:
            sweep = -math.tau if clockwise else math.tau
        elif clockwise and sweep >= 0:
            sweep -= math.tau
        elif not clockwise and sweep <= 0:
            sweep += math.tau
        step = 2 * math.acos(1 - ARC_DEVIATION / radius) if radius > ARC_DEVIATION else 1
        steps, done, point = min(int(abs(sweep) / step) + 1, ARC_STEPS), 0.0, [0.0] * 3
        for n in range(1, steps):
            part = n / steps
            share = de * part
            point[a] = ca + radius * math.cos(angle + sweep * part)
            point[b] = cb + radius * math.sin(angle + sweep * part)
            point[c] = start[c] + (target[c] - start[c]) * part
            self._move(point[0], point[1], point[2], share - done)
            done = share
        self._move(target[0], target[1], target[2], de - done)
        s.arcs += 1
        return True

    def _assign(self, kind: int, value: int) -> int:
        s, name = self.state, "feature" if kind == k.M_FEATURE else "object"
        if value != k.KEEP and getattr(s, name) != value:
            setattr(s, name, value)
            s.dirty = 1
        return 0

    def _marker(self, line: bytes, start: int, extended: int) -> int:
        """Acts on a marker line; returns 0 when done, what stops the reading, or -1 when it is no marker."""
        s = self.state
        for number, text, kind, stop in self._markers.get((line[:1], extended), ()):
            if not line.startswith(text):
                continue
            rest = line[len(text) :]
            if kind == k.M_IGNORE:
                return 0
            if kind in (k.M_HEIGHT, k.M_WIDTH):
                found = _NUMBER.match(rest.lstrip(b" "))
                value = _value(found[0]) if found else None
                name = "height" if kind == k.M_HEIGHT else "width"
                if value is not None and 0 < value < 100 and getattr(s, name) != value:
                    setattr(s, name, value)
                    s.dirty = 1
                return 0
            if kind == k.M_OBJECT_END:
                return self._assign(k.M_OBJECT, -1)
            if kind == k.M_LAYER:
                if stop and not (rest[:1].isdigit() or rest[:1] == b"-"):
                    continue
                if s.layer_marker < 0:
                    s.event_marker = s.layer_marker = number
                    return k.FIRST_LAYER
                if s.layer_marker == number:
                    s.layer += 1
                    s.dirty = 1
                return 0
            if kind == k.M_EVENT:
                return k.COMMAND
            if stop == k.WHOLE_LINE and rest:
                continue
            label = rest.split(bytes([stop]), 1)[0].rstrip(b" \t").lstrip(b" ")
            if not label and text[-1:] == b" ":
                return -1
            key = number, label
            if key in self._labels:
                return self._assign(kind, self._labels[key])
            if s.labels >= MAX_LABELS:
                return self._assign(kind, 0 if kind == k.M_FEATURE else -1)
            s.pending_label, s.event_marker = key, number
            s.event_start = start + len(text) + rest.index(label) if label else start + len(text)
            s.event_length = len(label)
            return k.LABEL
        return -1


def _value(digits: bytes) -> float | None:
    """A number's value; 0.0 for a letter without a number, None for what no machine could reach."""
    whole, _, fraction = digits.lstrip(b"+-").partition(b".")
    if not whole and not fraction:
        return 0.0
    if len(whole) > 18:
        return None
    value = int(whole + fraction[: 18 - len(whole)]) / 10 ** min(len(fraction), 18 - len(whole))
    if value > LIMIT:
        return None
    return -value if digits[:1] == b"-" else value
