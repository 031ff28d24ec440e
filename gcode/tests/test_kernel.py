"""The compiled kernel, the interpreter and its bulk form are one machine.

The same programs give the same moves, runs, events and sums.
"""

import io
import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcode import analyze, bulk, dialects, kernel, packing, program
from gcode.arrays import Floats
from gcode.interpreter import Interpreter
from gcode.measure import measure
from gcode.planner import MachineLimits
from gcode.tests.support import EXAMPLES, ROOT
from gcode.thin import lines_numpy, thin, thin_numpy

needs_compiler = pytest.mark.skipif(kernel.library() is None, reason="no C compiler: there is only the interpreter")

number = st.one_of(
    st.integers(-300, 300).map(str),
    st.floats(-300, 300).map(lambda v: f"{v:.4f}"),
    st.sampled_from(
        [
            "0",
            "-0",
            ".5",
            "-.25",
            "5.",
            "+3",
            "1e3",
            "",
            "-",
            ".",
            "99999999999999999999",
            "1000001",
            "0.123456789012345678901",
            "000000.1",
        ]
    ),
)
word = st.tuples(st.sampled_from("XYZEFIJKRxyzePSQ"), number, st.sampled_from([" ", "", "  ", "\t"])).map("".join)
command = st.tuples(
    st.sampled_from(
        [
            "G0 ",
            "G1 ",
            "G1",
            "g1 ",
            "G2 ",
            "G3 ",
            "G92 ",
            "M204 ",
            "G10 ",
            "N5 G1 ",
            "N7G1 ",
            "G1 X1 Y2*71 ",
            "G28 ",
            "M83 ",
        ]
    ),
    st.lists(word, max_size=6).map("".join),
    st.sampled_from(["", "", " ; note", "*12", "(a) X9"]),
).map("".join)
plain = st.sampled_from(
    [
        "G90",
        "G91",
        "M82",
        "M83",
        "G17",
        "G18",
        "G19",
        "G20",
        "G21",
        "G92",
        "G92 E0",
        "T1",
        "T0",
        "G28",
        "M600",
        "G29.1 X1",
        "G1.1 X9",
        "G1-1 X9",
        "G01 X3",
        'M862.3 P "MK4"',
        "G999999 X1",
        "G10",
        "G11",
        ";LAYER_CHANGE",
        "; CHANGE_LAYER",
        ";LAYER:4",
        ";LAYER:x",
        "; layer 3, Z = 1",
        "; layer end",
        ";TYPE:Perimeter",
        "; FEATURE: Outer wall",
        ";TYPE: ",
        ";HEIGHT:0.2",
        ";WIDTH:.45",
        ";WIDTH:x",
        "; printing object a b id:0 copy 0",
        "; printing object ",
        "; stop printing object a",
        ";MESH:x.stl",
        ";MESH:NONMESH",
        "EXCLUDE_OBJECT_START NAME=p",
        "EXCLUDE_OBJECT_END NAME=p",
        "SET_VELOCITY_LIMIT ACCEL=500",
        "; outer perimeter",
        "; outer perimeter x",
        "; 'Loop Path', 1.0",
        ";WIPE_START",
        "; a = b",
        ";",
        "; ",
        "",
        "   ",
        "%",
        "(comment)",
        "?bad",
        "N",
        "N3",
        "é",
        "PRINT_START A=1",
        "_x",
        "M117 Hello X5",
        "\x00\x01",
        ";\x02x",
    ]
)
coordinate = st.floats(-90, 90).map(lambda v: f"{v:.3f}") | st.sampled_from(["5", "5", "0", "-.5", "5.", "900000"])
move = st.tuples(
    st.sampled_from(["G1 ", "G1 ", "G1 ", "G0 ", "G1", "G92 E0", "G92 "]),
    st.lists(
        st.tuples(st.sampled_from("XYZEEF"), coordinate, st.sampled_from([" ", " ", ""])).map("".join), max_size=4
    ).map("".join),
    st.sampled_from(["", "", "", " ; note X9", "\r"]),
).map("".join)
programs = st.lists(st.one_of(command, command, plain), max_size=60)
# These don't change how moves are read.
calm = st.sampled_from(["M204 P500", "M204 P800", "; note", ";WIDTH:.5", ";WIDTH:.4", ";HEIGHT:.3", "M106 S5", ""])
stretch = st.tuples(st.lists(move, max_size=9), calm | calm | command | plain).map(lambda parts: [*parts[0], parts[1]])
mostly_moves = st.tuples(
    st.lists(st.sampled_from(["M83", "G20", "G91", "G92 X900000 Y0", ";LAYER_CHANGE"]), max_size=2),
    st.lists(stretch, max_size=8),
).map(lambda parts: sum(parts[1], parts[0]))


def _drive(machine: kernel.Reader, data: bytes, cut: int) -> list[tuple[object, object]]:
    """All events of a program whose text comes in pieces of `cut` bytes."""
    events, carry, label = [], bytearray(), 0
    for last, piece in [(False, data[at : at + cut]) for at in range(0, len(data), cut)] + [(True, b"")]:
        carry += piece
        at = 0
        while True:
            code, at = machine.feed(carry, at, len(carry), last)
            state = machine.state
            for start, length in machine.comments[: state.n_comments].tolist():
                events.append(("comment", bytes(carry[start : start + length])))
            state.n_comments = 0
            if code == kernel.NEED_DATA:
                break
            text = bytes(carry[state.event_start : state.event_start + state.event_length])
            events.append((code, text if code in (kernel.COMMAND, kernel.LABEL) else state.event_marker))
            if code == kernel.LABEL:
                label += 1
                machine.learn(label if label % 3 else -2)
            elif code == kernel.FIRST_LAYER:
                state.layer, state.dirty = 0, 1
            elif code == kernel.COMMAND and text[:1] == b"T":
                state.tool, state.dirty, state.barrier = int(text[1:2]), 1, 1
        del carry[:at]
    return events


def _same(
    text: list[str],
    cut: int,
    make: Callable[[Sequence[kernel.MarkerRow]], kernel.Reader] = program.new_kernel,
    other: Callable[[Sequence[kernel.MarkerRow]], kernel.Reader] = Interpreter,
) -> kernel.Reader:
    """Checks that two machines read the same from a program; returns the first of them."""
    data = "\n".join(text).encode()
    one, two = make(dialects.MARKERS), other(dialects.MARKERS)
    one.state.per_e = two.state.per_e = 0.4
    assert _drive(one, data, cut) == _drive(two, data, cut)
    for name, _ in kernel.STATE_FIELDS:
        if name not in ("pending_label", "event_start", "event_length", "event_marker"):
            assert getattr(one.state, name) == pytest.approx(getattr(two.state, name), rel=1e-12, abs=1e-9), name
    n, r = one.state.n_moves, one.state.n_runs
    np.testing.assert_allclose(one.moves[:, :n], two.moves[:, :n], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(one.runs[:r], two.runs[:r], rtol=1e-12, atol=1e-9)
    return one


@needs_compiler
@settings(max_examples=100 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs, st.integers(1, 500))
def test_compiled_kernel_and_interpreter_read_the_same(text, cut):
    _same(text, cut)


@settings(max_examples=250 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mostly_moves | programs, st.integers(1, 2000), st.sampled_from([0, 0, bulk.FEW]))
def test_bulk_and_single_interpreter_read_the_same(text, cut, few):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "FEW", few)  # 0: by numpy however short the stretch is
        _same(text, cut, Interpreter, bulk.BulkInterpreter)


def test_reader_by_numpy_reports_itself(reader):
    assert isinstance(program.new_kernel(dialects.MARKERS), bulk.BulkInterpreter) == (reader == "numpy")
    codes = {warning["code"] for warning in analyze(io.BytesIO(b"G1 X1\n"))["warnings"]}
    assert ("slow_reader" in codes) == (reader == "numpy")


@pytest.mark.parametrize("marks", [True, False])
def test_long_programs_are_the_same_by_all_machines(monkeypatch, marks):
    """Beyond the capacity of a batch, with layers marked and not, with what slicers write between the moves."""
    rng = random.Random(3)
    lines = ["; generated by PrusaSlicer 2.7.0", "M83", "G28"]
    for layer in range(120):
        lines += [";LAYER_CHANGE", ";TYPE:Perimeter", "G92 E0", ";WIDTH:0.45"] if marks else []
        lines += [f"G1 Z{0.2 * layer + 0.2:.2f} F720", "G1 E-.8 F2100", "M204 P800", "G92 E0"]
        lines += [
            f"G1 X{rng.uniform(0, 200):.3f} Y{rng.uniform(0, 200):.3f}"
            + (f" E{rng.random() / 10:.5f}" if rng.random() < 0.9 else " F9000")
            for _ in range(600)
        ]
        lines += ["G2 X10 Y10 I5 J5 E.5", "G10", "G91", "G1 Z.4", "G1 Z-.4", "G90", "G11", "G1 E.8"]
    text = "\n".join(lines).encode()
    results = []
    for library in dict.fromkeys((kernel.library(), None)):
        monkeypatch.setattr(kernel, "library", lambda library=library: library)
        results.append(analyze(io.BytesIO(text)))
    monkeypatch.setattr(program, "new_kernel", Interpreter)
    expected = analyze(io.BytesIO(text))
    for result in results:
        assert (
            result["counts"] == expected["counts"] and result["layers"]["count"] == expected["layers"]["count"] == 120
        )
        assert result["geometry"] == expected["geometry"]
        assert result["filament"]["moved_mm"] == pytest.approx(expected["filament"]["moved_mm"], abs=0.02)
        assert result["time"]["moves_s"] == pytest.approx(
            expected["time"]["moves_s"], rel=1e-3
        )  # a batch may end at another move
        assert [row["feature"] for row in result["features"]] == [row["feature"] for row in expected["features"]]


@needs_compiler
@settings(max_examples=50 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs, st.booleans(), st.floats(0.5, 20), st.floats(5, 400))
def test_compiled_kernel_and_numpy_measure_the_same(text, deviation, corner, top):
    compiled = _same([f"M204 P{corner * 90:.1f} T2000 R900", "G1 X5 Y5 E.5 F3000", *text], 10_000)
    if not compiled.state.n_moves:
        return
    compiled.runs[: compiled.state.n_runs, 11] = corner
    limits = MachineLimits(feed=[top, top, 12, 40], deviation=deviation)
    here, there = np.zeros((256, 2)), np.zeros((256, 2))
    ours = compiled.measure(limits, here)
    theirs = measure(compiled.moves[:, : compiled.state.n_moves], compiled.runs[: compiled.state.n_runs], limits, there)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(here, there, rtol=1e-9, atol=1e-9)


def _furthest(points: Floats, thinned: Floats) -> float:
    """The largest distance of any of the points from the line through the thinned ones."""
    worst = 0.0
    for p in points:
        best = min(math.hypot(*(p - thinned[0])), math.hypot(*(p - thinned[-1])))
        for a, b in pairwise(thinned):
            way = b - a
            part = np.clip(np.dot(p - a, way) / max(np.dot(way, way), 1e-9), 0, 1)
            best = min(best, math.hypot(*(p - a - way * part)))
        worst = max(worst, best)
    return worst


@pytest.mark.parametrize("how", [thin, thin_numpy])
@settings(max_examples=40 * EXAMPLES, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=60),
    second=st.integers(2, 58),
    tolerance=st.floats(0.5, 12),
)
def test_thinned_lines_stay_within_their_tolerance(how, steps, second, tolerance):
    points = np.cumsum(np.array(steps, np.int32), axis=0, dtype=np.int32)
    starts = np.array([0] + ([second] if 2 <= second <= len(points) - 2 else []), np.int64)
    made, made_starts = how(points, starts, tolerance)
    assert len(made_starts) == len(starts)
    for a, b, c, d in zip(starts, [*starts[1:], len(points)], made_starts, [*made_starts[1:], len(made)]):
        assert (made[c] == points[a]).all() and (made[d - 1] == points[b - 1]).all()
        assert _furthest(points[a:b].astype(float), made[c:d].astype(float)) <= tolerance + 1e-9


@needs_compiler
def test_lines_of_kernel_and_numpy_have_the_same_ends():
    rng = random.Random(1)
    text = ["M83", ";LAYER_CHANGE"] + [
        f"G1 X{rng.uniform(0, 50):.3f} Y{rng.uniform(0, 50):.3f}"
        + (f" E{rng.random():.3f}" if rng.random() < 0.8 else "")
        for _ in range(500)
    ]
    compiled = _same(text, 999)
    runs = compiled.runs[: compiled.state.n_runs]
    wanted = np.ones(len(runs), bool)
    ours = compiled.lines(wanted, 0.05, 3.0, 1e4)
    theirs = lines_numpy(compiled.moves[:, : compiled.state.n_moves], runs, wanted, 0.05, 3.0, 1e4)
    assert len(ours[1]) == len(theirs[1]) > 50
    np.testing.assert_array_equal(ours[0][ours[1]], theirs[0][theirs[1]])
    np.testing.assert_array_equal(ours[2], theirs[2])


@needs_compiler
@settings(max_examples=100 * EXAMPLES, deadline=None)
@given(
    st.lists(
        st.sampled_from([255, 251, 250, 249, 247, 246, 0x0F, 0xF0, 0xDC, 0x1E, 0xCC, 0x3B, 65, 0]), max_size=80
    ).map(bytes)
    | st.binary(max_size=60)
)
def test_meatpack_of_kernel_and_python_are_equal(data):
    assert packing.meatpack_decode(data) == packing.meatpack_decode_python(data)


@needs_compiler
@settings(max_examples=100 * EXAMPLES, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 400), st.sampled_from([11, 12]))
def test_heatshrink_of_kernel_and_python_are_equal(data, size, window):
    assert packing.heatshrink_decode(data, size, window, 4) == packing.heatshrink_decode_python(data, size, window, 4)


@pytest.mark.skipif(shutil.which("tcc") is None, reason="./enms test installs tcc")
def test_the_kernel_of_the_smallest_compiler_gives_the_same_result(tmp_path):
    """tcc is what a machine without a compiler gets: no optimiser, no headers of the C library."""
    file = tmp_path / "arcs.gcode"
    file.write_text(
        "M83\nG28\n"
        + "\n".join(
            f";LAYER_CHANGE\nG1 Z{0.2 * n:.1f} F900\n;TYPE:Perimeter\nG1 X{n % 40} Y5 E.4 F1800\n"
            f"G2 X{20 + n % 9} Y20 I5 J5 E2.5\nG1 X1 Y1 E.3"
            for n in range(1, 300)
        )
    )
    script = (
        "import json, sys; from gcode import analyze, kernel; "
        "print(kernel.build(), json.dumps(analyze(sys.argv[1])), sep='\\n')"
    )
    answers = []
    for name in ("tcc", "cc"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(file)],
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=True,
            env={**os.environ, "CC": name, "ENMS_RUN_DIR": str(tmp_path / name), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        path, answer = done.stdout.splitlines()
        assert path.startswith(str(tmp_path / name))
        answers.append(json.loads(answer))
    assert answers[0] == answers[1] and not any(warning["code"] == "slow_reader" for warning in answers[0]["warnings"])
