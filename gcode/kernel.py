"""Builds, loads and drives the compiled kernel (kernel.c). Without a C compiler, program.py uses bulk.py (numpy).

The kernel is built once per source text into a private cache folder (about half a second) with any of ``$CC``, cc, gcc,
clang or tcc. ``python -m gcode.build`` does so ahead of time. ``ENMS_GCODE_KERNEL=python`` forces numpy.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .arrays import Flags, Floats, Integers, Points
from .measure import COLUMNS
from .planner import MachineLimits

SOURCE = Path(__file__).with_name("kernel.c")
MAX_MOVES = 1 << 15  # moves per batch: the columns stay in the processor's cache
MAX_RUNS = 1 << 12
MAX_COMMENTS = 1 << 12
RUN_FIELDS = 16
MARKER_TEXT = 40
LABEL_SLOTS = 65536

NEED_DATA, FULL, COMMAND, LABEL, FIRST_LAYER = range(5)
(
    SKIP,
    EVENT,
    LINEAR,
    ARC_CW,
    ARC_CCW,
    SET_POSITION,
    RETRACT,
    UNRETRACT,
    MODE_XY,
    MODE_XZ,
    MODE_YZ,
    INCHES,
    MILLIMETRES,
    ABSOLUTE,
    RELATIVE,
    E_ABSOLUTE,
    E_RELATIVE,
    ACCELERATION,
) = range(18)
M_IGNORE, M_FEATURE, M_OBJECT, M_OBJECT_END, M_LAYER, M_HEIGHT, M_WIDTH, M_EVENT = range(8)
KEEP = -2  # as the value of a label: the object does not change
WHOLE_LINE = 2  # as the stop of a mark: the mark is the label itself, nothing may follow

MarkerRow = tuple[bytes, int, int, int]
"""A mark in the text: its bytes; M_…; its stop: the character that ends the label, 1 if a number must follow, or
WHOLE_LINE; 1 if it is an extended command, 0 if it is a comment."""

G_ACTIONS = {
    0: LINEAR,
    1: LINEAR,
    2: ARC_CW,
    3: ARC_CCW,
    4: EVENT,
    10: RETRACT,
    11: UNRETRACT,
    17: MODE_XY,
    18: MODE_XZ,
    19: MODE_YZ,
    20: INCHES,
    21: MILLIMETRES,
    28: EVENT,
    29: EVENT,
    90: ABSOLUTE,
    91: RELATIVE,
    92: SET_POSITION,
}
M_ACTIONS = {
    82: E_ABSOLUTE,
    83: E_RELATIVE,
    204: ACCELERATION,
    **dict.fromkeys((0, 1, 25, 109, 190, 200, 201, 203, 205, 207, 486, 566, 600, 601), EVENT),
}
"""What each command means to the kernel. Commands that are not listed do not change what is made."""

STATE_FIELDS = (
    *(
        (name, ctypes.c_double)
        for name in (
            "x",
            "y",
            "z",
            "e",
            "offset_x",
            "offset_y",
            "offset_z",
            "feed",
            "unit",
            "per_e",
            "retract_mm",
            "retract_feed",
            "acc_print",
            "acc_travel",
            "acc_retract",
            "corner",
            "height",
            "width",
            "layer_z",
        )
    ),
    *(
        (name, ctypes.c_int32)
        for name in (
            "relative",
            "e_relative",
            "plane",
            "retracted",
            "tool",
            "layer",
            "feature",
            "object",
            "layer_marker",
            "dirty",
            "barrier",
        )
    ),
    *(
        (name, ctypes.c_int64)
        for name in (
            "lines",
            "bad_lines",
            "arcs",
            "labels",
            "n_moves",
            "n_runs",
            "n_comments",
            "event_start",
            "event_length",
            "event_marker",
        )
    ),
    ("pending_label", ctypes.c_uint64),
)
INITIAL = {
    "feed": 25.0,
    "unit": 1.0,
    "per_e": 1.0,
    "retract_mm": 2.0,
    "retract_feed": 40.0,
    "layer": -1,
    "object": -1,
    "layer_marker": -1,
    "dirty": 1,
    "barrier": 1,
}
"""State before the first line; accelerations and corner speed come from planner.MachineLimits."""


class State(ctypes.Structure):
    """Where the machine is; field by field the struct State of kernel.c."""

    _fields_ = list(STATE_FIELDS)


class Marker(ctypes.Structure):
    """A MarkerRow; field by field the struct Marker of kernel.c."""

    _fields_ = [
        ("text", ctypes.c_char * MARKER_TEXT),
        ("length", ctypes.c_int32),
        ("kind", ctypes.c_int32),
        ("stop", ctypes.c_int32),
        ("extended", ctypes.c_int32),
    ]


class _Kernel(ctypes.Structure):
    _fields_ = [
        ("state", State),
        ("max_moves", ctypes.c_int64),
        ("max_runs", ctypes.c_int64),
        ("max_comments", ctypes.c_int64),
        ("moves", ctypes.c_void_p),
        ("runs", ctypes.c_void_p),
        ("comments", ctypes.c_void_p),
        ("n_markers", ctypes.c_int64),
        ("markers", ctypes.c_void_p),
        ("g_actions", ctypes.c_char_p),
        ("m_actions", ctypes.c_char_p),
        ("label_keys", ctypes.c_void_p),
        ("label_values", ctypes.c_void_p),
    ]


class Reader(Protocol):
    """What reads one program: CompiledKernel, or without a compiler BulkInterpreter.

    state: the fields of State. moves: columns of x, y, z, filament step (mm) and feed (mm/s); runs: rows as begin_run()
    in kernel.c fills them; comments: start and length. The state has the number of each; the caller sets it back to 0.
    """

    state: Any
    moves: Floats
    runs: Floats
    comments: Integers

    def feed(self, data: bytearray, position: int, size: int, last: bool) -> tuple[int, int]:
        """Reads ``data[position:size]``; returns (what stopped it, new position). `last`: the rest is a line too."""
        ...

    def learn(self, value: int) -> None:
        """Sets the value (number of a feature or object, or KEEP) of the label that feed() stopped at."""
        ...

    def measure(self, limits: MachineLimits, extruders: Floats) -> Floats:
        """The sums per run of the moves collected so far (see measure.py)."""
        ...

    def lines(self, wanted: Flags, quantum: float, tolerance: float, edge: float) -> tuple[Points, Integers, Integers]:
        """The extruded lines of the wanted runs, thinned; nothing beyond `edge` mm.

        Returns (points (n, 2) in quanta, first point of each line, run of each line). quantum: mm; tolerance: quanta.
        """
        ...


class CompiledKernel:
    """The Reader that kernel.c makes."""

    def __init__(self, library: ctypes.CDLL, markers: Sequence[MarkerRow]) -> None:
        self._library = library
        self.moves = np.empty((5, MAX_MOVES))
        self.runs = np.empty((MAX_RUNS, RUN_FIELDS))
        self.comments = np.empty((MAX_COMMENTS, 2), np.int64)
        self._markers = (Marker * len(markers))(
            *[Marker(text, len(text), kind, stop, extended) for text, kind, stop, extended in markers]
        )
        self._g = bytes(G_ACTIONS.get(n, SKIP) for n in range(128))
        self._m = bytes(M_ACTIONS.get(n, SKIP) for n in range(1024))
        self._scratch = np.empty((4, MAX_MOVES))
        self._keys = np.zeros(LABEL_SLOTS, np.uint64)
        self._values = np.zeros(LABEL_SLOTS, np.int32)
        self._kernel = _Kernel(
            State(**INITIAL),
            MAX_MOVES,
            MAX_RUNS,
            MAX_COMMENTS,
            self.moves.ctypes.data,
            self.runs.ctypes.data,
            self.comments.ctypes.data,
            len(markers),
            ctypes.addressof(self._markers),
            self._g,
            self._m,
            self._keys.ctypes.data,
            self._values.ctypes.data,
        )
        self.state: Any = self._kernel.state
        self._pointer = ctypes.byref(self._kernel)

    def feed(self, data: bytearray, position: int, size: int, last: bool) -> tuple[int, int]:
        """See Reader."""
        at = ctypes.c_int64(position)
        address = (ctypes.c_char * len(data)).from_buffer(data)
        code = self._library.gcode_feed(self._pointer, address, ctypes.byref(at), size, last)
        return code, at.value

    def learn(self, value: int) -> None:
        """See Reader."""
        self._library.gcode_learn(self._pointer, value)

    def measure(self, limits: MachineLimits, extruders: Floats) -> Floats:
        """See Reader."""
        sums = np.empty((self.state.n_runs, COLUMNS))
        packed = np.array([*limits.feed, *limits.acceleration, limits.jerk_z, limits.jerk_e, float(limits.deviation)])
        self._library.gcode_measure(
            self._pointer, packed.ctypes.data, extruders.ctypes.data, self._scratch.ctypes.data, sums.ctypes.data
        )
        return sums

    def lines(self, wanted: Flags, quantum: float, tolerance: float, edge: float) -> tuple[Points, Integers, Integers]:
        """See Reader."""
        n = self.state.n_moves
        points, starts, runs = np.empty((2 * n, 2), np.int32), np.empty(n, np.int64), np.empty(n, np.int64)
        count, chosen = ctypes.c_int64(), np.ascontiguousarray(wanted, np.uint8)
        lines = self._library.gcode_lines(
            self._pointer,
            chosen.ctypes.data,
            quantum,
            tolerance,
            edge,
            points.ctypes.data,
            starts.ctypes.data,
            runs.ctypes.data,
            ctypes.byref(count),
        )
        return points[: count.value].copy(), starts[:lines].copy(), runs[:lines].copy()


def cache_folder() -> Path | None:
    """A folder for the built kernel that only this user can write to, None without one.

    The first that there is of ENMS_RUN_DIR/cache, the user's cache and a temporary folder.
    """
    candidates = [Path(os.environ["ENMS_RUN_DIR"]) / "cache"] if os.environ.get("ENMS_RUN_DIR") else []
    candidates.append(Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "enms")
    candidates.append(Path(tempfile.gettempdir()) / f"enms-{os.getuid()}")
    for folder in filter(Path.is_absolute, candidates):  # without a home, "~" remains as it is
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            info = folder.stat()
            # A library is code: nobody else may be able to put one here.
            if (
                info.st_uid == os.getuid()
                and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
                and os.access(folder, os.W_OK)
            ):
                return folder
        except OSError:
            continue
    return None


def build() -> Path | None:
    """Compiles kernel.c; returns the library's path, or None without a compiler that works or a folder to write to."""
    folder = cache_folder()
    if folder is None:
        return None
    digest = hashlib.sha256(SOURCE.read_bytes() + os.uname().machine.encode()).hexdigest()[:16]
    target = folder / f"gcode-kernel-{digest}.so"
    if target.exists():
        return target
    for compiler in dict.fromkeys(filter(None, (os.environ.get("CC"), "cc", "gcc", "clang", "tcc"))):
        program = shutil.which(compiler)
        if not program:
            continue
        # Without fused multiply-add the kernel's figures are those of the interpreter, to the last bit. The second
        # attempt is for a compiler without the C library's development files: the kernel needs none.
        for extra in (["-lm"], ["-nostdlib"]):
            made = Path(tempfile.mkdtemp(dir=folder)) / "kernel.so"
            try:
                subprocess.run(
                    [program, "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-o", made, SOURCE, *extra],
                    check=True,
                    capture_output=True,
                    timeout=120,
                )
                os.replace(made, target)
                return target
            except (OSError, subprocess.SubprocessError):
                continue
            finally:
                shutil.rmtree(made.parent, ignore_errors=True)
    return None


_POINTER, _LONG, _INT, _DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_double
_FUNCTIONS = {
    "gcode_feed": (_INT, [_POINTER, _POINTER, ctypes.POINTER(_LONG), _LONG, _INT]),
    "gcode_learn": (None, [_POINTER, _INT]),
    "gcode_measure": (None, [_POINTER] * 5),
    "gcode_lines": (_LONG, [_POINTER, _POINTER, _DOUBLE, _DOUBLE, _DOUBLE, *[_POINTER] * 4]),
    "gcode_thin": (_LONG, [_POINTER, _LONG, _POINTER, _LONG, _DOUBLE]),
    "gcode_pack": (_LONG, [*[_POINTER] * 4, _LONG, _INT, _INT, _POINTER, _POINTER]),
    "meatpack_decode": (_LONG, [ctypes.c_char_p, _LONG, _POINTER, _LONG]),
    "heatshrink_decode": (_LONG, [ctypes.c_char_p, _LONG, _POINTER, _LONG, _INT, _INT]),
    "gcode_kernel_size": (_LONG, []),
}
"""Result and arguments of the functions of kernel.c."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The loaded kernel; None where it can't be built, or with ENMS_GCODE_KERNEL=python."""
    if os.environ.get("ENMS_GCODE_KERNEL") == "python":
        return None
    path = build()
    if path is None:
        return None
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError:
        return None
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded if loaded.gcode_kernel_size() == ctypes.sizeof(_Kernel) else None
