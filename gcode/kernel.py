"""Builds, loads and drives the compiled kernel (kernel.c); program.py takes numpy (bulk.py) where no C compiler is.

The kernel is built once per source text into a private cache folder (about half a second) with any of ``$CC``, cc, gcc,
clang or tcc. ``python -m gcode.build`` does so ahead of time. ``ENMS_GCODE_KERNEL=python``
forces numpy.
"""

import ctypes
import functools
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import numpy as np

from .measure import COLUMNS

SOURCE = pathlib.Path(__file__).with_name("kernel.c")
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
INITIAL = dict(
    feed=25.0,
    unit=1.0,
    per_e=1.0,
    retract_mm=2.0,
    retract_feed=40.0,
    layer=-1,
    object=-1,
    layer_marker=-1,
    dirty=1,
    barrier=1,
)
"""State before the first line; accelerations and corner speed come from planner.MachineLimits."""


class State(ctypes.Structure):
    """Where the machine is; field by field the struct State of kernel.c."""

    _fields_ = list(STATE_FIELDS)


class Marker(ctypes.Structure):
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


class CompiledKernel:
    """One pass over one program. ``markers`` are (text, kind, stop, extended) tuples."""

    def __init__(self, library, markers):
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
        self.state = self._kernel.state
        self._pointer = ctypes.byref(self._kernel)

    def feed(self, data, position, size, last):
        """Reads ``data[position:size]`` (a bytearray or bytes); returns (what stopped it, new position)."""
        at = ctypes.c_int64(position)
        address = (ctypes.c_char * len(data)).from_buffer(data) if isinstance(data, bytearray) else data
        code = self._library.gcode_feed(self._pointer, address, ctypes.byref(at), size, last)
        return code, at.value

    def measure(self, limits, extruders):
        """The sums per run of the moves collected so far (see measure.py)."""
        sums = np.empty((self.state.n_runs, COLUMNS))
        packed = np.array([*limits.feed, *limits.acceleration, limits.jerk_z, limits.jerk_e, float(limits.deviation)])
        self._library.gcode_measure(
            self._pointer, packed.ctypes.data, extruders.ctypes.data, self._scratch.ctypes.data, sums.ctypes.data
        )
        return sums

    def lines(self, wanted, quantum, tolerance, edge):
        """The thinned lines of the wanted runs: (points (n, 2) int32 in quanta, first point of each line, run of each line)."""
        n = self.state.n_moves
        points, starts, runs, count = (
            np.empty((2 * n, 2), np.int32),
            np.empty(n, np.int64),
            np.empty(n, np.int64),
            ctypes.c_int64(),
        )
        wanted = np.ascontiguousarray(wanted, np.uint8)
        lines = self._library.gcode_lines(
            self._pointer,
            wanted.ctypes.data,
            quantum,
            tolerance,
            edge,
            points.ctypes.data,
            starts.ctypes.data,
            runs.ctypes.data,
            ctypes.byref(count),
        )
        return points[: count.value].copy(), starts[:lines].copy(), runs[:lines].copy()

    def learn(self, value):
        """The value (feature or object number) of the label that feed() stopped at."""
        self._library.gcode_learn(self._pointer, value)


def cache_folder():
    """A folder of this user's own for the built kernel (ENMS_RUN_DIR/cache, else the user's cache, else a private temporary one)."""
    candidates = [pathlib.Path(os.environ["ENMS_RUN_DIR"]) / "cache"] if os.environ.get("ENMS_RUN_DIR") else []
    candidates.append(pathlib.Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "enms")
    candidates.append(pathlib.Path(tempfile.gettempdir()) / f"enms-{os.getuid()}")
    for folder in filter(pathlib.Path.is_absolute, candidates):  # "~" stays where there is no home
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            info = folder.stat()
            # A library is code: nobody else may be able to put one there.
            if (
                info.st_uid == os.getuid()
                and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
                and os.access(folder, os.W_OK)
            ):
                return folder
        except OSError:
            continue
    return None


def build(folder=None):
    """Compiles kernel.c; returns the library's path, or None when there is no compiler that can or no folder for it."""
    folder = folder or cache_folder()
    if folder is None:
        return None
    digest = hashlib.sha256(SOURCE.read_bytes() + os.uname().machine.encode()).hexdigest()[:16]
    target = pathlib.Path(folder) / f"gcode-kernel-{digest}.so"
    if target.exists():
        return target
    for compiler in dict.fromkeys(filter(None, (os.environ.get("CC"), "cc", "gcc", "clang", "tcc"))):
        program = shutil.which(compiler)
        if not program:
            continue
        # Without fused multiply-add the kernel's figures are those of the interpreter, to the last bit. The second try is
        # for a compiler without the C library's development files: the kernel needs none.
        for extra in (["-lm"], ["-nostdlib"]):
            made = pathlib.Path(tempfile.mkdtemp(dir=folder)) / "kernel.so"
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


@functools.cache
def library():
    """The loaded kernel, or None."""
    if os.environ.get("ENMS_GCODE_KERNEL") == "python":
        return None
    path = build()
    if path is None:
        return None
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError:
        return None
    loaded.gcode_feed.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_int64),
        ctypes.c_int64,
        ctypes.c_int32,
    ]
    loaded.gcode_feed.restype = ctypes.c_int32
    loaded.gcode_learn.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    loaded.gcode_learn.restype = None
    loaded.gcode_measure.argtypes = [ctypes.c_void_p] * 5
    loaded.gcode_measure.restype = None
    loaded.gcode_lines.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_double,
        ctypes.c_double,
        ctypes.c_double,
        *[ctypes.c_void_p] * 4,
    ]
    loaded.gcode_lines.restype = ctypes.c_int64
    loaded.gcode_thin.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_double]
    loaded.gcode_thin.restype = ctypes.c_int64
    loaded.gcode_pack.argtypes = [
        *[ctypes.c_void_p] * 4,
        ctypes.c_int64,
        ctypes.c_int32,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    loaded.gcode_pack.restype = ctypes.c_int64
    loaded.meatpack_decode.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]
    loaded.meatpack_decode.restype = ctypes.c_int64
    loaded.heatshrink_decode.argtypes = [
        ctypes.c_char_p,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int32,
        ctypes.c_int32,
    ]
    loaded.heatshrink_decode.restype = ctypes.c_int64
    loaded.gcode_kernel_size.restype = ctypes.c_int64
    if loaded.gcode_kernel_size() != ctypes.sizeof(_Kernel):
        return None
    return loaded
