"""One pass over a program's text: the kernel's moves and runs become sums by layer, feature, object and tool."""

import math
import re

import numpy as np

from . import dialects
from .bulk import BulkInterpreter
from .kernel import COMMAND, FIRST_LAYER, FULL, LABEL, M_FEATURE, CompiledKernel, library
from .planner import MachineLimits, cura_limits

MAX_LINE = 1 << 20  # bytes; what is longer can't be G-code and is skipped
MAX_LAYERS = 100_000
MAX_OBJECTS = 4096
MAX_KEYS = 20_000
MAX_RAW = 8 << 20  # characters of all raw settings
MAX_THUMBNAILS = 24 << 20  # characters of base64 of all pictures
MAX_LABEL = 1000
TIME, OUT, EXTRUDED, TRAVEL = range(4)  # columns of the sums: s, mm of filament, mm of way with and without extrusion
ULTIMAKER_DIAMETER = 2.85  # mm: the printers that read UltiGCode
_BIG = 1e9
CUSTOM = dialects.FEATURES.index("custom")

_SEPARATOR = re.compile(r"[=:;]")
_COMMA_VALUE = re.compile(r";\s+([A-Za-z]\w{2,60}),(.*)", re.S)
_THUMBNAIL = re.compile(r";\s*thumbnail(?:_(\w+))? begin (\d+)\s*x\s*(\d+)")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]*")
_WORD = re.compile(r"([A-Z])\s*([-+]?\d*\.?\d+)")
_KLIPPER = re.compile(r"(\w+)=([-+.\d]+)")


def _key_value(comment):
    """(key, value) of ``; key = value``, ``;KEY:value`` or Simplify3D's ``;   key,value``; (None, "") of any other comment."""
    text = comment.lstrip("; ")
    found = _SEPARATOR.search(text)
    if found and found[0] != ";" and text[found.start() : found.start() + 3] != "://":
        key = text[: found.start()].strip()
        if 0 < len(key) <= 200:
            return key, text[found.end() :].strip()
    found = _COMMA_VALUE.match(comment)
    return (found[1], found[2].strip()) if found else (None, "")


def new_box():
    return np.array([_BIG] * 3 + [-_BIG] * 3)


def new_kernel(markers):
    """What reads one program: the compiled kernel, or numpy with the same interface."""
    compiled = library()
    return BulkInterpreter(markers) if compiled is None else CompiledKernel(compiled, markers)


class Program:
    """Reads text by feed() and close(); then the sums, marks, raw settings and thumbnails are in its attributes.

    preview: a preview.Preview or None. limits: MachineLimits to start from; what the file
    says (M201 … M205) replaces them.
    """

    def __init__(self, limits=None, preview=None, on_batch=None):
        self.kernel = new_kernel(dialects.MARKERS)
        self.limits = limits or MachineLimits()
        self.preview = preview
        self.on_batch = on_batch
        self.raw = {}  # first value of each key of a comment
        self.headlines = []  # comments that may name the slicer
        self.setting_3 = []  # Cura's quality settings, a JSON text cut in pieces
        self.thumbnails = []  # (format, width, height, base64)
        self.warnings = []
        self.tools_seen = {0: 0}
        self.tool_changes = self.pauses = self.homings = self.levellings = self.dwells = 0
        self.objects = {}  # label -> number
        self.object_labels = []
        self.raw_features = {}  # label -> class
        self.layers = np.zeros((64, 4))  # row 0: before the first layer
        self.layer_z = np.full(64, -_BIG)
        self.layer_height = np.zeros(64)
        self.features = np.zeros((len(dialects.FEATURES), 4))
        self.tools = np.zeros((16, 4))
        self.tool_moves = np.zeros(16, bool)
        self.object_sums = np.zeros((16, 4))
        self.object_boxes = np.tile(new_box(), (16, 1))
        self.object_layers = np.zeros(16, np.int64)
        self.box_marked = new_box()  # of features that are the object's own
        self.box_first = new_box()  # of unmarked extrusion, first layer
        self.box_later = new_box()  # … all others
        self.box_all = new_box()
        self.widths_known = False
        self.volume_diameter = None  # mm, where E is a volume
        self.retractions = 0
        self.moves = 0
        self.extruders = np.zeros((256, 2))  # mm: place of each tool's filament and its furthest so far
        self._object_layer = {}
        self._object_mark = None
        self._image = None
        self._picture_size = self._raw_size = 0
        self._carry = bytearray()
        self._state = self.kernel.state
        self.begin(self.limits)
        self._not_object = np.array([f in dialects.NOT_THE_OBJECT for f in dialects.FEATURES])

    def begin(self, limits):
        """Sets the machine's limits, before the first move."""
        self.limits = limits
        for name, value in limits.state().items():
            setattr(self._state, name, value)
        self._state.dirty = 1

    # text ------------------------------------------------------------------------------------------------------------

    def feed(self, piece):
        """Reads the next piece of the text."""
        carry = self._carry
        carry += piece
        done = self._run(carry, len(carry), False)
        del carry[:done]
        if len(carry) > MAX_LINE:
            self.warn("long_line", "A line of more than 1 MB was skipped: it can't be G-code.")
            del carry[:]
            carry += b";"  # its rest is read as a comment

    def close(self):
        """Reads what is left after the last piece."""
        self._run(self._carry, len(self._carry), True)
        self._flush()

    def warn(self, code, sentence):
        if all(code != known for known, _ in self.warnings):
            self.warnings.append((code, sentence))

    def _run(self, data, size, last):
        kernel, state, at = self.kernel, self._state, 0
        while True:
            code, at = kernel.feed(data, at, size, last)
            if state.n_comments:
                self._comments(data)
            if code == COMMAND:
                self._command(
                    data[state.event_start : state.event_start + state.event_length].decode("utf-8", "replace")
                )
            elif code == LABEL:
                self._label(data[state.event_start : state.event_start + state.event_length].decode("utf-8", "replace"))
            elif code == FIRST_LAYER:
                self._flush()
                self._first_layer()
            elif code == FULL:
                self._flush()
            else:
                return at

    def _label(self, text):
        state = self._state
        mark, kind, stop, extended = dialects.MARKERS[state.event_marker]
        text = text[:MAX_LABEL]
        if kind == M_FEATURE:
            label = text or mark.decode()
            value = dialects.FEATURES.index(dialects.feature_class(label))
            if len(self.raw_features) < 1000:
                self.raw_features[label] = dialects.FEATURES[value]
            self.kernel.learn(value)
            if state.feature != value:
                state.feature, state.dirty = value, 1
            return
        if self._object_mark is None:
            self._object_mark = state.event_marker
        if self._object_mark != state.event_marker:
            self.kernel.learn(-2)  # a second way to mark the same objects
            return
        self.kernel.learn(self._object(text) if text.upper() != "NONMESH" else -1)
        value = self.objects.get(text, -1)
        if state.object != value:
            state.object, state.dirty = value, 1

    def _object(self, label):
        if label not in self.objects:
            if len(self.objects) >= MAX_OBJECTS:
                self.warn("objects", f"More than {MAX_OBJECTS} objects: the others are counted as none.")
                return -1
            self.objects[label] = len(self.objects)
            self.object_labels.append(label)
        return self.objects[label]

    def _first_layer(self):
        """What was read so far, was before the first marked layer: the purge line and what else the start program does."""
        state = self._state
        self.layers[0] += self.layers[1:].sum(axis=0)
        self.layers[1:] = 0
        self.layer_z[:] = -_BIG
        self.layer_height[:] = 0
        self.features[CUSTOM] += self.features[0]
        self.features[0] = 0
        for box in (self.box_first, self.box_later, self.box_marked):
            box[:] = new_box()
        self.object_boxes[:] = new_box()
        state.layer, state.dirty = 0, 1
        if self.preview is not None:
            self.preview.restart()

    def _comments(self, data):
        state = self._state
        spans = self.kernel.comments[: state.n_comments].tolist()
        state.n_comments = 0
        for start, length in spans:
            text = data[start : start + min(length, 200_000)].decode("utf-8", "replace")
            if self._image is not None:
                line = text.lstrip("; ").rstrip()
                if _BASE64.fullmatch(line):
                    if self._picture_size < MAX_THUMBNAILS:
                        self._image[3].append(line)
                        self._picture_size += length
                    continue
                # "thumbnail end", or a picture that nothing ended.
                self.thumbnails.append((*self._image[:3], "".join(self._image[3])))
                self._image = None
            self._comment(text)

    def _comment(self, text):
        if text.startswith(";SETTING_3 "):
            if len(self.setting_3) < 10_000:
                self.setting_3.append(text[11:])
            return
        if len(self.headlines) < 400:
            self.headlines.append(text.lstrip("; ").rstrip()[:300])
        if "thumbnail" in text and (found := _THUMBNAIL.match(text)):
            if len(self.thumbnails) < 20:
                self._image = [(found[1] or "png").lower(), int(found[2][:6]), int(found[3][:6]), []]
            return
        if len(self.raw) >= MAX_KEYS or self._raw_size > MAX_RAW:
            return
        if "; total estimated time:" in text:  # Bambu writes two statements on a line
            for part in text.lstrip("; ").split("; "):
                key, _, value = part.partition(":")
                self.raw.setdefault(key.strip(), value.strip())
            return
        key, value = _key_value(text)
        if key and key not in self.raw:
            self.raw[key] = value[:100_000]
            self._raw_size += len(text)

    # commands --------------------------------------------------------------------------------------------------------

    def _command(self, line):
        if line.startswith(";"):
            self._telling_comment(line)
            return
        state = self._state
        found = re.match(r"[A-Za-z_]+\d*", line)
        name = found[0].upper() if found else ""
        text = re.split(r"[;*(]", line[len(name) :], maxsplit=1)[0]
        body = text.upper()
        words = {letter: float(value[:20]) for letter, value in _WORD.findall(body)}
        if name == "G28":
            axes = [axis for axis in "XYZ" if re.search(rf"(?<![A-Z]){axis}", body)] or list("XYZ")
            for axis in axes:
                setattr(state, axis.lower(), 0.0)
                setattr(state, f"offset_{axis.lower()}", 0.0)
            self.homings += 1
            self._stop()
        elif name == "G29":
            self.levellings += 1
            self._stop()
        elif name == "G4":
            self.dwells += 1
            self._stop(min(max(words.get("S", 0) + words.get("P", 0) / 1000, 0), 86400))
        elif name[:1] == "T" and name[1:].isdigit():
            self._tool(int(name[1:6]))
        elif name == "ACTIVATE_EXTRUDER":
            found = re.search(r"EXTRUDER=EXTRUDER(\d*)", body)
            self._tool(int(found[1][:3] or 0) if found else 0)
        elif name in ("M600", "M601", "M0", "M1", "M25"):
            self.pauses += 1
            self._stop()
        elif name in ("M109", "M190"):
            self._stop()
        elif name == "M201":
            self._limits("acceleration", words, 1)
        elif name == "M203":
            # RepRapFirmware counts M203 per minute, and marks itself by M566.
            self._limits("feed", words, 60 if "F" in words or max(words.values(), default=0) > 1500 else 1)
        elif name in ("M205", "M566"):
            self._corner(name, words)
        elif name == "M200":
            self._volumetric(words)
        elif name == "M207":
            self.firmware_retraction(words.get("S", 0), words.get("F", 0) / 60)
        elif name == "M486":
            self._cancel_object(text, words)
        elif name == "SET_VELOCITY_LIMIT":
            self._klipper(body)

    def _telling_comment(self, text):
        """A comment that changes how the moves after it are read."""
        if "Cura_SteamEngine" in text and self.limits.source == "default":
            self._flush()
            self.begin(cura_limits())
        elif "UltiGCode" in text:
            self.volumetric(ULTIMAKER_DIAMETER)
        self._comment(text)

    def _stop(self, seconds=0.0):
        """The machine comes to rest here, and waits."""
        state = self._state
        state.barrier = state.dirty = 1
        if seconds:
            self._row(state.layer)[TIME] += seconds
            self.features[state.feature, TIME] += seconds

    def _tool(self, number):
        number = min(number, 255)
        state = self._state
        if number != state.tool or number not in self.tools_seen:
            self.tool_changes += number != state.tool
            self.tools_seen.setdefault(number, 0)
            state.tool = number
            # Each tool has its own filament; the logical E position goes on.
            self._stop()

    def _limits(self, what, words, per):
        self._flush()
        values = getattr(self.limits, what)
        for axis, letter in enumerate("XYZE"):
            if 0 < words.get(letter, 0) < 1e7:
                values[axis] = words[letter] / per
        self.limits.source = "file"

    def _corner(self, name, words):
        state = self._state
        self._flush()
        per = 60 if name == "M566" else 1
        if 0 < words.get("J", 0) < 1 and "X" not in words:  # Marlin's junction deviation, as a square corner velocity
            self.limits.deviation = True
            state.corner = (words["J"] * state.acc_print / 0.41421356) ** 0.5
        elif 0 < words.get("X", 0) < 1e5:
            self.limits.deviation = False
            state.corner = words["X"] / per
        if 0 < words.get("Z", 0) < 1e5:
            self.limits.jerk_z = words["Z"] / per
        if 0 < words.get("E", 0) < 1e5:
            self.limits.jerk_e = words["E"] / per
        state.dirty = 1
        self.limits.source = "file"

    def _volumetric(self, words):
        """M200: with a diameter (mm), E is a volume from here on; D0 or S0 end that."""
        if words.get("S", 1) and 0.1 < words.get("D", 0) < 10:
            self.volumetric(words["D"])
        elif "D" in words or "S" in words:
            self._state.per_e = 1.0

    def volumetric(self, diameter):
        """From here on E is mm3 of a filament of this diameter (mm)."""
        self.volume_diameter = diameter
        self._state.per_e = 4 / (math.pi * diameter * diameter)

    def firmware_retraction(self, length, feed):
        """What G10 and G11 do: mm, mm/s; 0 where it is not said."""
        if 0 < length < 100:
            self._state.retract_mm = length
        if 0 < feed < 1000:
            self._state.retract_feed = feed

    def _klipper(self, body):
        state = self._state
        values = {
            key: float(value) for key, value in _KLIPPER.findall(body) if re.fullmatch(r"[-+]?\d{1,9}\.?\d*", value)
        }
        if values.get("ACCEL", 0) > 0:
            state.acc_print = state.acc_travel = state.acc_retract = values["ACCEL"]
        if values.get("SQUARE_CORNER_VELOCITY", 0) > 0:
            if not self.limits.deviation:
                self._flush()
                self.limits.deviation = True
            state.corner = values["SQUARE_CORNER_VELOCITY"]
        if values.get("VELOCITY", 0) > 0:
            self._flush()
            self.limits.feed[:2] = [values["VELOCITY"]] * 2
        state.dirty = 1
        self.limits.source = "file"

    def _cancel_object(self, text, words):
        """M486: S starts an object by number, S-1 ends it, A names it."""
        if self._object_mark not in (None, -1):
            return
        state = self._state
        if "S" in words:
            self._object_mark = -1
            value = self._object(f"object {int(words['S'])}") if words["S"] >= 0 else -1
            if value != state.object:
                state.object, state.dirty = value, 1
        if (found := re.search(r'A"?([^"]*)', text)) and state.object >= 0 and found[1].strip():
            self.object_labels[state.object] = found[1].strip()

    # sums ------------------------------------------------------------------------------------------------------------

    def _row(self, layer):
        row = min(layer, MAX_LAYERS) + 1
        if row >= len(self.layers):
            grow = max(2 * len(self.layers), row + 1)
            self.layers = np.vstack([self.layers, np.zeros((grow - len(self.layers), 4))])
            self.layer_z = np.concatenate([self.layer_z, np.full(grow - len(self.layer_z), -_BIG)])
            self.layer_height = np.concatenate([self.layer_height, np.zeros(grow - len(self.layer_height))])
        return self.layers[row]

    def _flush(self):
        """Plans and sums the moves that the kernel has collected."""
        state = self._state
        n, r = state.n_moves, state.n_runs
        if not n:
            state.dirty = 1
            return
        runs = self.kernel.runs[:r]
        sums = self.kernel.measure(self.limits, self.extruders)
        if self.preview is not None:
            self.preview.add(self.kernel, runs)
        state.n_moves = state.n_runs = 0
        state.dirty = 1
        back = self.kernel.moves[3, :n] < 0  # a wipe while retracting is many moves but one retraction
        self.retractions += int(back[0]) + int(np.count_nonzero(back[1:] & ~back[:-1]))
        self.moves += n
        self._sum(runs, sums)
        if self.on_batch is not None:
            self.on_batch()

    def _sum(self, runs, measured):
        sums, low, high = measured[:, :4], measured[:, 4:7], measured[:, 7:]
        layer, feature, thing, tool = (runs[:, column].astype(np.int64) for column in (1, 2, 3, 4))
        layer = np.minimum(layer, MAX_LAYERS)
        self._row(int(layer.max()))
        rows = layer + 1
        np.add.at(self.layers, rows, sums)
        np.add.at(self.features, feature, sums)
        while tool.max() >= len(self.tools):
            self.tools = np.vstack([self.tools, np.zeros_like(self.tools)])
            self.tool_moves = np.concatenate([self.tool_moves, np.zeros_like(self.tool_moves)])
        np.add.at(self.tools, tool, sums)
        printed = sums[:, EXTRUDED] > 0
        self.tool_moves[tool[printed]] = True
        own = printed & ~self._not_object[feature] & (layer >= 0)
        np.maximum.at(self.layer_z, rows[printed & (feature != CUSTOM)], high[printed & (feature != CUSTOM), 2])
        np.maximum.at(self.layer_height, rows[own], runs[own, 6])
        self.widths_known |= bool(runs[printed, 7].any())
        self._grow(self.box_all, low, high, printed)
        marked = own & ((feature > 0) | (thing >= 0))
        self._grow(self.box_marked, low, high, marked)
        self._grow(self.box_first, low, high, own & ~marked & (layer == 0))
        self._grow(self.box_later, low, high, own & ~marked & (layer > 0))
        with_object = thing >= 0
        if with_object.any():
            while thing.max() >= len(self.object_sums):
                self.object_sums = np.vstack([self.object_sums, np.zeros_like(self.object_sums)])
                self.object_boxes = np.vstack([self.object_boxes, np.tile(new_box(), (len(self.object_boxes), 1))])
                self.object_layers = np.concatenate([self.object_layers, np.zeros_like(self.object_layers)])
            np.add.at(self.object_sums, thing[with_object], sums[with_object])
            chosen = with_object & own
            np.minimum.at(self.object_boxes[:, :3], thing[chosen], low[chosen])
            np.maximum.at(self.object_boxes[:, 3:], thing[chosen], high[chosen])
            for one, at in sorted(set(zip(thing[chosen].tolist(), layer[chosen].tolist()))):
                if self._object_layer.get(one) != at:
                    self._object_layer[one] = at
                    self.object_layers[one] += 1

    @staticmethod
    def _grow(box, low, high, chosen):
        if chosen.any():
            box[:3] = np.minimum(box[:3], low[chosen].min(axis=0))
            box[3:] = np.maximum(box[3:], high[chosen].max(axis=0))
