"""One pass over a program's text: the reader's moves become sums; comments and rare commands are understood here."""

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from . import dialects, kernel
from .bulk import BulkInterpreter
from .kernel import COMMAND, FIRST_LAYER, FULL, KEEP, LABEL, M_FEATURE
from .planner import MachineLimits, cura_limits
from .preview import Preview
from .sums import Sums
from .thumbnail import Picture

MAX_LINE = 1 << 20  # bytes; a longer line can't be G-code and is skipped
MAX_OBJECTS = 4096
MAX_KEYS = 20_000
MAX_RAW = 8 << 20  # characters of all raw settings
MAX_THUMBNAILS = 24 << 20  # characters of base64 of all pictures
MAX_LABEL = 1000
MAX_TOOL = 63  # a higher number is a maker's command (Bambu's T255, T1000, T65535): no printer has that many tools
COMMAS_WITHIN = 1 << 14  # bytes from the first move within which a file with decimal commas shows one
ULTIMAKER_DIAMETER = 2.85  # mm: the printers that read UltiGCode

_BRACKETS = re.compile(rb"^([ \t]*[GgMmNn][^;\n(]*)\([^)\n]*\)", re.M)  # a comment inside of a command
_FIRST_MOVE = re.compile(rb"^[ \t]*[Gg]0*[0-3](?!\d)", re.M)
_COMMA_MOVE = re.compile(rb"^[ \t]*[Gg]0*[0-3](?!\d)[^;\n]*[XYZEFxyzef][-+]?\d+,\d", re.M)
_COMMA = re.compile(rb"(?<=\d),(?=\d)")
_NO_OBJECT = frozenset(
    ("NONMESH", "NON-MESH", "NON_MESH", "NON-OBJECT", "NON_OBJECT", "NONOBJECT", "NONE", "NO OBJECT")
)
_BY_NUMBER = -1  # as the kind of the objects' marks: M486
_SEPARATOR = re.compile(r"[=:;]")
_COMMA_VALUE = re.compile(r";\s+([A-Za-z]\w{2,60}),(.*)", re.S)
_THUMBNAIL = re.compile(
    r";\s*(?:(?:thumbnail(?:_(\w+))?|(png|jpe?g|qoi))\s+)?begin\s*:?\s+(\d{1,6})\s*[x*, ]\s*(\d{1,6})(?!\d)", re.I
)
_DATA_URI = re.compile(r";.{0,60}?data:image/(png|jpe?g);base64,\s*([A-Za-z0-9+/]+=*)")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]*")
_WORD = re.compile(r"([A-Z])\s*([-+]?\d*\.?\d+)")
_KLIPPER = re.compile(r"(\w+)=([-+.\d]+)")


def _key_value(comment: str) -> tuple[str | None, str]:
    """(key, value) of ``; key = value``, ``;KEY:value`` or Simplify3D's ``;   key,value``, otherwise (None, "")."""
    text = comment.lstrip("; ")
    found = _SEPARATOR.search(text)
    if found and found[0] != ";" and text[found.start() : found.start() + 3] != "://":
        key = text[: found.start()].strip()
        if 0 < len(key) <= 200:
            return key, text[found.end() :].strip()
    found = _COMMA_VALUE.match(comment)
    return (found[1], found[2].strip()) if found else (None, "")


def new_kernel(markers: Sequence[kernel.MarkerRow]) -> kernel.Reader:
    """What reads one program: the compiled kernel, or numpy with the same interface."""
    compiled = kernel.library()
    return BulkInterpreter(markers) if compiled is None else kernel.CompiledKernel(compiled, markers)


class Program:
    """Reads text by feed() and close(); after that, its attributes have the sums, marks, raw settings and thumbnails.

    limits: what the machine can do, until the file says otherwise (M201 … M205). on_batch is called after each batch of
    moves.
    """

    def __init__(self, limits: MachineLimits, preview: Preview, on_batch: Callable[[], None]) -> None:
        self.kernel = new_kernel(dialects.MARKERS)
        self.preview = preview
        self.on_batch = on_batch
        self.sums = Sums()
        self.raw: dict[str, str] = {}  # first value of each key of a comment
        self.headlines: list[str] = []  # comments that may name the slicer
        self.setting_3: list[str] = []  # Cura's quality settings, a JSON text cut in pieces
        self.thumbnails: list[Picture] = []
        self.warnings: list[tuple[str, str]] = []
        self.moves = self.retractions = 0
        self.tool_changes = self.pauses = self.homings = self.levellings = 0
        self.object_labels: list[str] = []  # by number
        self.raw_features: dict[str, str] = {}  # label -> class
        self.volume_diameter: float | None = None  # mm, where E is a volume
        self._objects: dict[str, int] = {}  # label -> number
        self._object_mark: int | None = None  # the first kind of mark in the file; others don't count
        self._extruders = np.zeros((256, 2))  # mm: position of each tool's filament and its furthest so far
        self._image: tuple[str, int, int] | None = None  # an embedded picture that is being read, …
        self._image_lines: list[str] = []  # … and its base64
        self._picture_size = self._raw_size = 0
        self._carry = bytearray()
        self._commas: bool | None = None  # numbers are written with decimal commas; not known before the first move
        self._state = self.kernel.state
        self.begin(limits)

    def begin(self, limits: MachineLimits) -> None:
        """Sets the machine's limits, before the first move."""
        self.limits = limits
        for name, value in limits.state().items():
            setattr(self._state, name, value)
        self._state.dirty = 1

    # text ------------------------------------------------------------------------------------------------------------

    def feed(self, piece: bytes) -> None:
        """Reads the next piece of the text."""
        carry = self._carry
        carry += piece
        if self._commas is None and (first := _FIRST_MOVE.search(carry)):
            self._commas = _COMMA_MOVE.search(carry, first.start(), first.start() + COMMAS_WITHIN) is not None
        if self._commas:
            carry[:] = _COMMA.sub(b".", carry)
        if b"(" in carry:
            changed = 1
            while changed:
                text, changed = _BRACKETS.subn(rb"\1 ", carry)
                if changed:
                    carry[:] = text
        done = self._run(carry, len(carry), False)
        del carry[:done]
        if len(carry) > MAX_LINE:
            self.warn("long_line", "A line of more than 1 MB was skipped: it can't be G-code.")
            del carry[:]
            carry += b";"  # its rest is read as a comment

    def close(self) -> None:
        """Reads what is left after the last piece."""
        self._run(self._carry, len(self._carry), True)
        self._flush()

    def warn(self, code: str, sentence: str) -> None:
        """Adds a warning, once per code."""
        if all(code != known for known, _ in self.warnings):
            self.warnings.append((code, sentence))

    def _run(self, data: bytearray, size: int, last: bool) -> int:
        """Reads as far as there are whole lines; returns the position after them."""
        reader, state, at = self.kernel, self._state, 0
        while True:
            code, at = reader.feed(data, at, size, last)
            if state.n_comments:
                self._comments(data)
            if code == COMMAND:
                self._command(self._event(data))
            elif code == LABEL:
                self._label(self._event(data))
            elif code == FIRST_LAYER:
                self._flush()
                self._first_layer()
            elif code == FULL:
                self._flush()
            else:
                return at

    def _event(self, data: bytearray) -> str:
        start = self._state.event_start
        return data[start : start + self._state.event_length].decode("utf-8", "replace")

    def _first_layer(self) -> None:
        """The first layer mark: all before it is the start program."""
        self._state.layer, self._state.dirty = 0, 1
        self.sums.first_layer()
        self.preview.restart()

    # labels ----------------------------------------------------------------------------------------------------------

    def _label(self, text: str) -> None:
        state = self._state
        mark, kind, _, _ = dialects.MARKERS[state.event_marker]
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
            self.kernel.learn(KEEP)  # a second way to mark the same objects
            return
        self.kernel.learn(self._object(text) if text.upper() not in _NO_OBJECT else -1)
        self._enter(self._objects.get(text, -1))

    def _object(self, label: str) -> int:
        """The number of an object, -1 where there are too many."""
        if label not in self._objects:
            if len(self._objects) >= MAX_OBJECTS:
                self.warn("objects", f"More than {MAX_OBJECTS} objects: the others are counted as none.")
                return -1
            self._objects[label] = len(self._objects)
            self.object_labels.append(label)
        return self._objects[label]

    def _enter(self, number: int) -> None:
        """The moves from here on are of this object, or with -1 of none."""
        state = self._state
        if state.object != number:
            state.object, state.dirty = number, 1

    # comments --------------------------------------------------------------------------------------------------------

    def _comments(self, data: bytearray) -> None:
        state = self._state
        spans = self.kernel.comments[: state.n_comments].tolist()
        state.n_comments = 0
        for start, length in spans:
            text = data[start : start + min(length, 200_000)].decode("utf-8", "replace")
            if self._image is not None:
                line = text.lstrip("; ").rstrip()
                if _BASE64.fullmatch(line):
                    if self._picture_size < MAX_THUMBNAILS:
                        self._image_lines.append(line)
                        self._picture_size += length
                    continue
                # "thumbnail end", or the end of a picture without one.
                self.thumbnails.append((*self._image, "".join(self._image_lines)))
                self._image = None
            self._comment(text)

    def _comment(self, text: str) -> None:
        if text.startswith(";SETTING_3 "):
            if len(self.setting_3) < 10_000:
                self.setting_3.append(text[11:])
            return
        if len(self.headlines) < 400:
            self.headlines.append(text.lstrip("; ").rstrip()[:300])
        if "begin" in text and (found := _THUMBNAIL.match(text)):
            if len(self.thumbnails) < 20:
                self._image = (found[1] or found[2] or "png").lower(), int(found[3]), int(found[4])
                self._image_lines = []
            return
        if "data:image" in text and (found := _DATA_URI.match(text)):
            if len(self.thumbnails) < 20 and self._picture_size < MAX_THUMBNAILS:
                self.thumbnails.append((found[1].lower(), 1, 1, found[2]))  # its size is not said
                self._picture_size += len(text)
            return
        if len(self.raw) >= MAX_KEYS or self._raw_size > MAX_RAW:
            return
        if "; total estimated time:" in text:  # Bambu writes two statements on a line
            for part in text.lstrip("; ").split("; "):
                key, _, value = part.partition(":")
                self.raw.setdefault(key.strip(), value.strip())
            return
        key, value = _key_value(text)
        if key and key.lower() == "filament used" and "mm" in value and key in self.raw:  # Slic3r: a line per extruder
            self.raw[key] = f"{self.raw[key]}; {value}"[:2000]
        if key and key not in self.raw:
            self.raw[key] = value[:100_000]
            self._raw_size += len(text)

    def _telling_comment(self, text: str) -> None:
        """A comment that changes how the moves after it are read."""
        if "Cura_SteamEngine" in text and self.limits.source == "default":
            self._flush()
            self.begin(cura_limits())
        elif "UltiGCode" in text:
            self.volumetric(ULTIMAKER_DIAMETER)
        self._comment(text)

    # commands --------------------------------------------------------------------------------------------------------

    def _command(self, line: str) -> None:
        """A line for which the kernel stopped."""
        if line.startswith(";"):
            self._telling_comment(line)
            return
        found = re.match(r"[A-Za-z_]+\d*", line)
        name = found[0].upper() if found else ""
        text = re.split(r"[;*(]", line[len(name) :], maxsplit=1)[0]
        words = {letter: float(value[:20]) for letter, value in _WORD.findall(text.upper())}
        self._act(name, text, words)

    def _act(self, name: str, text: str, words: dict[str, float]) -> None:
        """One command: its name, the text after it, the numbers in that by letter."""
        if name == "G28":
            self._home(text.upper())
        elif name == "G29":
            self.levellings += 1
            self._stop()
        elif name == "G4":
            self._stop(min(max(words.get("S", 0) + words.get("P", 0) / 1000, 0), 86400))
        elif name[:1] == "T" and name[1:].isdigit():
            self._tool(int(name[1:6]))
        elif name == "ACTIVATE_EXTRUDER":
            found = re.search(r"EXTRUDER=EXTRUDER(\d*)", text.upper())
            self._tool(int(found[1][:3] or 0) if found else 0)
        elif name in ("M600", "M601", "M0", "M1", "M25"):
            self.pauses += 1
            self._stop()
        elif name in ("M109", "M190"):
            self._stop()
        elif name == "M201":
            self._axis_limits(self.limits.acceleration, words, 1)
        elif name == "M203":
            # RepRapFirmware's M203 is per minute; its F word or its large values show it.
            per = 60 if "F" in words or max(words.values(), default=0) > 1500 else 1
            self._axis_limits(self.limits.feed, words, per)
        elif name in ("M205", "M566"):
            self._corner(words, 60 if name == "M566" else 1)
        elif name == "M200":
            self._volumetric(words)
        elif name == "M207":
            self.firmware_retraction(words.get("S", 0), words.get("F", 0) / 60)
        elif name == "M486":
            self._cancel_object(text, words)
        elif name == "SET_VELOCITY_LIMIT":
            self._klipper(text.upper())

    def _home(self, body: str) -> None:
        """G28: these axes, or all, go to 0."""
        axes = [axis for axis in "XYZ" if re.search(rf"(?<![A-Z]){axis}", body)] or list("XYZ")
        for axis in axes:
            setattr(self._state, axis.lower(), 0.0)
            setattr(self._state, f"offset_{axis.lower()}", 0.0)
        self.homings += 1
        self._stop()

    def _stop(self, seconds: float = 0.0) -> None:
        """The machine comes to rest here, and waits."""
        state = self._state
        state.barrier = state.dirty = 1
        if seconds:
            self.sums.wait(state.layer, state.feature, seconds)

    def _tool(self, number: int) -> None:
        if number <= MAX_TOOL and number != self._state.tool:
            self.tool_changes += 1
            self._state.tool = number
            # Each tool has its own filament; the logical position of E continues.
            self._stop()

    def _axis_limits(self, values: list[float], words: dict[str, float], per: float) -> None:
        """M201, M203: sets the limits of the axes that are named."""
        self._flush()
        for axis, letter in enumerate("XYZE"):
            if 0 < words.get(letter, 0) < 1e7:
                values[axis] = words[letter] / per
        self.limits.source = "file"

    def _corner(self, words: dict[str, float], per: float) -> None:
        """M205, M566: jerk, or Marlin's junction deviation (mm) as a square corner velocity."""
        state = self._state
        self._flush()
        if 0 < words.get("J", 0) < 1 and "X" not in words:
            self.limits.deviation = True
            state.corner = (words["J"] * state.acc_print / 0.41421356) ** 0.5  # planner.py has the formula
        elif 0 < words.get("X", 0) < 1e5:
            self.limits.deviation = False
            state.corner = words["X"] / per
        if 0 < words.get("Z", 0) < 1e5:
            self.limits.jerk_z = words["Z"] / per
        if 0 < words.get("E", 0) < 1e5:
            self.limits.jerk_e = words["E"] / per
        state.dirty = 1
        self.limits.source = "file"

    def _klipper(self, body: str) -> None:
        """SET_VELOCITY_LIMIT."""
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

    def _volumetric(self, words: dict[str, float]) -> None:
        """M200: with a diameter (mm), E is a volume from here on; D0 or S0 end that."""
        if words.get("S", 1) and 0.1 < words.get("D", 0) < 10:
            self.volumetric(words["D"])
        elif "D" in words or "S" in words:
            self._state.per_e = 1.0

    def volumetric(self, diameter: float) -> None:
        """From here on E is mm3 of a filament of this diameter (mm)."""
        self.volume_diameter = diameter
        self._state.per_e = 4 / (math.pi * diameter * diameter)

    def firmware_retraction(self, length: float, feed: float) -> None:
        """What G10 and G11 do: mm, mm/s; 0 leaves the value as it is."""
        if 0 < length < 100:
            self._state.retract_mm = length
        if 0 < feed < 1000:
            self._state.retract_feed = feed

    def _cancel_object(self, text: str, words: dict[str, float]) -> None:
        """M486: S starts an object by number, S-1 ends it, A names it."""
        if self._object_mark not in (None, _BY_NUMBER):
            return
        if "S" in words:
            self._object_mark = _BY_NUMBER
            self._enter(self._object(f"object {int(words['S'])}") if words["S"] >= 0 else -1)
        number = self._state.object
        if (found := re.search(r'A"?([^"]*)', text)) and number >= 0 and found[1].strip():
            self.object_labels[number] = found[1].strip()

    # sums ------------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Plans and sums the moves that the kernel has collected."""
        state = self._state
        n, r = state.n_moves, state.n_runs
        state.dirty = 1
        if not n:
            return
        runs = self.kernel.runs[:r]
        sums = self.kernel.measure(self.limits, self._extruders)
        self.preview.add(self.kernel, runs)
        state.n_moves = state.n_runs = 0
        back = self.kernel.moves[3, :n] < 0  # a wipe while retracting is many moves but one retraction
        self.retractions += int(back[0]) + int(np.count_nonzero(back[1:] & ~back[:-1]))
        self.moves += n
        self.sums.add(runs, sums)
        self.on_batch()
