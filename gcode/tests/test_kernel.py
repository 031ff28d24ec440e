"""The compiled kernel and the interpreter are one machine: the same programs give the same moves, runs, events and sums."""
import math
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcode import dialects, kernel, packing
from gcode.interpreter import Interpreter
from gcode.measure import measure
from gcode.planner import MachineLimits
from gcode.thin import lines_numpy, thin, thin_numpy

needs_compiler = pytest.mark.skipif(kernel.library() is None, reason="no C compiler: there is only the interpreter")

number = st.one_of(st.integers(-300, 300).map(str), st.floats(-300, 300).map(lambda v: f"{v:.4f}"), st.sampled_from(
    ["0", "-0", ".5", "-.25", "5.", "+3", "1e3", "", "-", ".", "99999999999999999999", "1000001", "0.123456789012345678901", "000000.1"]))
word = st.tuples(st.sampled_from("XYZEFIJKRxyzePSQ"), number, st.sampled_from([" ", "", "  ", "\t"])).map("".join)
command = st.tuples(st.sampled_from(["G0 ", "G1 ", "G1", "g1 ", "G2 ", "G3 ", "G92 ", "M204 ", "G10 ", "N5 G1 ", "N7G1 ", "G1 X1 Y2*71 ", "G28 ", "M83 "]),
                    st.lists(word, max_size=6).map("".join), st.sampled_from(["", "", " ; note", "*12", "(a) X9"])).map("".join)
plain = st.sampled_from([
    "G90", "G91", "M82", "M83", "G17", "G18", "G19", "G20", "G21", "G92", "G92 E0", "T1", "T0", "G28", "M600", "G29.1 X1", "M862.3 P \"MK4\"", "G999999 X1", "G10", "G11",
    ";LAYER_CHANGE", "; CHANGE_LAYER", ";LAYER:4", ";LAYER:x", "; layer 3, Z = 1", "; layer end", ";TYPE:Perimeter", "; FEATURE: Outer wall", ";TYPE: ", ";HEIGHT:0.2", ";WIDTH:.45",
    ";WIDTH:x", "; printing object a b id:0 copy 0", "; printing object ", "; stop printing object a", ";MESH:x.stl", ";MESH:NONMESH", "EXCLUDE_OBJECT_START NAME=p",
    "EXCLUDE_OBJECT_END NAME=p", "SET_VELOCITY_LIMIT ACCEL=500", "; outer perimeter", "; outer perimeter x", "; 'Loop Path', 1.0", ";WIPE_START", "; a = b", ";", "; ", "", "   ",
    "%", "(comment)", "?bad", "N", "N3", "é", "PRINT_START A=1", "_x", "M117 Hello X5", "\x00\x01", ";\x02x"])
programs = st.lists(st.one_of(command, command, plain), max_size=60)


def _drive(machine, data, cut):
    """Everything that a program makes of a kernel, with the text handed over in pieces."""
    events, carry, label = [], bytearray(), 0
    for last, piece in [(False, data[at:at + cut]) for at in range(0, len(data), cut)] + [(True, b"")]:
        carry += piece
        at = 0
        while True:
            code, at = machine.feed(carry, at, len(carry), last)
            state = machine.state
            for start, length in machine.comments[:state.n_comments].tolist():
                events.append(("comment", bytes(carry[start:start + length])))
            state.n_comments = 0
            if code == kernel.NEED_DATA:
                break
            text = bytes(carry[state.event_start:state.event_start + state.event_length])
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


def _same(text, cut):
    data = "\n".join(text).encode()
    compiled, plain = kernel.CompiledKernel(kernel.library(), dialects.MARKERS), Interpreter(dialects.MARKERS)
    assert _drive(compiled, data, cut) == _drive(plain, data, cut)
    for name, _ in kernel.STATE_FIELDS:
        if name not in ("pending_label", "event_start", "event_length", "event_marker"):
            assert getattr(compiled.state, name) == pytest.approx(getattr(plain.state, name), rel=1e-12, abs=1e-12), name
    n, r = compiled.state.n_moves, compiled.state.n_runs
    np.testing.assert_allclose(compiled.moves[:, :n], plain.moves[:, :n], rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(compiled.runs[:r], plain.runs[:r], rtol=1e-12, atol=1e-11)
    return compiled, plain


@needs_compiler
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs, st.integers(1, 500))
def test_compiled_kernel_and_interpreter_read_the_same(text, cut):
    _same(text, cut)


@needs_compiler
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs, st.booleans(), st.floats(0.5, 20), st.floats(5, 400))
def test_compiled_kernel_and_numpy_measure_the_same(text, deviation, corner, top):
    compiled, _ = _same([f"M204 P{corner * 90:.1f} T2000 R900", "G1 X5 Y5 E.5 F3000", *text], 10_000)
    if not compiled.state.n_moves:
        return
    compiled.runs[:compiled.state.n_runs, 11] = corner
    limits = MachineLimits(feed=[top, top, 12, 40], deviation=deviation)
    here, there = np.zeros((256, 2)), np.zeros((256, 2))
    ours = compiled.measure(limits, here)
    theirs = measure(compiled.moves[:, :compiled.state.n_moves], compiled.runs[:compiled.state.n_runs], limits, there)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(here, there, rtol=1e-9, atol=1e-9)


def _furthest(points, thinned):
    """The largest distance of any of the points from the line through the thinned ones."""
    worst = 0.0
    for p in points:
        best = min(math.hypot(*(p - thinned[0])), math.hypot(*(p - thinned[-1])))
        for a, b in zip(thinned[:-1], thinned[1:]):
            way = b - a
            part = np.clip(np.dot(p - a, way) / max(np.dot(way, way), 1e-9), 0, 1)
            best = min(best, math.hypot(*(p - a - way * part)))
        worst = max(worst, best)
    return worst


@pytest.mark.parametrize("how", [thin, thin_numpy])
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=60), second=st.integers(2, 58), tolerance=st.floats(0.5, 12))
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
    text = ["M83", ";LAYER_CHANGE"] + [f"G1 X{rng.uniform(0, 50):.3f} Y{rng.uniform(0, 50):.3f}" + (f" E{rng.random():.3f}" if rng.random() < 0.8 else "") for _ in range(500)]
    compiled, _ = _same(text, 999)
    runs = compiled.runs[:compiled.state.n_runs]
    wanted = np.ones(len(runs), bool)
    ours = compiled.lines(wanted, 0.05, 3.0, 1e4)
    theirs = lines_numpy(compiled.moves[:, :compiled.state.n_moves], runs, wanted, 0.05, 3.0, 1e4)
    assert len(ours[1]) == len(theirs[1]) > 50
    np.testing.assert_array_equal(ours[0][ours[1]], theirs[0][theirs[1]])
    np.testing.assert_array_equal(ours[2], theirs[2])


@needs_compiler
@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([255, 251, 250, 249, 247, 246, 0x0F, 0xF0, 0xDC, 0x1E, 0xCC, 0x3B, 65, 0]), max_size=80).map(bytes) | st.binary(max_size=60))
def test_meatpack_of_kernel_and_python_are_equal(data):
    assert packing.meatpack_decode(data) == packing.meatpack_decode_python(data)


@needs_compiler
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 400), st.sampled_from([11, 12]))
def test_heatshrink_of_kernel_and_python_are_equal(data, size, window):
    assert packing.heatshrink_decode(data, size, window, 4) == packing.heatshrink_decode_python(data, size, window, 4)
