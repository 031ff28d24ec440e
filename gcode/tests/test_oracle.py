"""pygcode, an independent reader, as the oracle of positions."""
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcode import dialects, kernel
from gcode.tests.support import EXAMPLES

pygcode = pytest.importorskip("pygcode", reason="pygcode is not installed")


def _positions(text):
    """Where the kernel is after each line that moves, in mm."""
    machine, carry = kernel.new_kernel(dialects.MARKERS), bytearray()
    places = []
    for line in text:
        carry[:] = line.encode() + b"\n"
        assert machine.feed(carry, 0, len(carry), True)[0] == kernel.NEED_DATA
        places.append((machine.state.x, machine.state.y, machine.state.z))
    return places


coordinate = st.integers(-2000, 2000).map(lambda v: f"{v / 10:g}")
axes = st.lists(st.sampled_from("XYZ"), min_size=1, max_size=3, unique=True)
straight = st.tuples(st.sampled_from(["G0", "G1"]), axes, st.lists(coordinate, min_size=3, max_size=3)).map(
    lambda t: t[0] + "".join(f" {axis}{value}" for axis, value in zip(t[1], t[2])) + (" F1200" if t[0] == "G1" else ""))
modes = st.sampled_from(["G90", "G91", "G20", "G21", "G17", "G18", "G19", "M5"])


@settings(max_examples=60 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(straight, straight, modes), max_size=25))
def test_positions_are_those_of_pygcode(program):
    """pygcode's machine is the oracle for modes and units: positions after every move. It knows no extruder."""
    machine = pygcode.Machine()
    expected, unit = [], 1.0
    for line in ["G21 G90", *program]:
        block = pygcode.Line(line).block
        machine.process_block(block)
        unit = {"G20": 25.4, "G21 G90": 1.0, "G21": 1.0}.get(line, unit)
        place = machine.pos.values
        if line[:2] in ("G0", "G1"):
            expected.append(tuple(place[axis] for axis in "XYZ") + (unit,))
    ours = [place for line, place in zip(["G21", "G90", *program], _positions(["G21", "G90", *program])) if line[:2] in ("G0", "G1")]
    if any(line == "G20" for line in program):
        return _compare_with_units(program, ours)
    for (x, y, z, _), place in zip(expected, ours):
        assert place == pytest.approx((x, y, z), abs=1e-6)


def _compare_with_units(program, ours):
    """pygcode keeps its numbers when the unit changes: only a program that never changes it can be compared as a whole, so the
    inch half is compared as a program of its own."""
    machine, expected = pygcode.Machine(), []
    lines = [line for line in program if line not in ("G20", "G21")]
    for line in ["G20 G90", *lines]:
        machine.process_block(pygcode.Line(line).block)
        if line[:2] in ("G0", "G1"):
            expected.append(tuple(25.4 * machine.pos.values[axis] for axis in "XYZ"))
    ours = [place for line, place in zip(["G20", "G90", *lines], _positions(["G20", "G90", *lines])) if line[:2] in ("G0", "G1")]
    for there, here in zip(expected, ours):
        assert here == pytest.approx(there, abs=1e-4)
