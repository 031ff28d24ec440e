"""pygcode, an independent reader, as the oracle of positions."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcode import dialects, kernel
from gcode.program import new_kernel
from gcode.tests.support import EXAMPLES

pygcode = pytest.importorskip("pygcode", reason="pygcode is not installed")


def _positions(text: list[str]) -> list[tuple[float, ...]]:
    """Where the kernel is after each line, in mm as the program counts them (G92 shifts its origin)."""
    machine, carry = new_kernel(dialects.MARKERS), bytearray()
    places = []
    for line in text:
        carry[:] = line.encode() + b"\n"
        assert machine.feed(carry, 0, len(carry), True)[0] == kernel.NEED_DATA
        places.append(tuple(getattr(machine.state, axis) + getattr(machine.state, f"offset_{axis}") for axis in "xyz"))
    return places


MOVES = ("G0", "G1", "G2", "G3")
coordinate = st.integers(-2000, 2000).map(lambda v: f"{v / 10:g}")
axes = st.lists(st.sampled_from("XYZ"), min_size=1, max_size=3, unique=True)
straight = st.tuples(st.sampled_from(["G0", "G1"]), axes, st.lists(coordinate, min_size=3, max_size=3)).map(
    lambda t: t[0] + "".join(f" {axis}{value}" for axis, value in zip(t[1], t[2])) + (" F1200" if t[0] == "G1" else "")
)
arc = st.tuples(st.sampled_from(["G2", "G3"]), axes, st.lists(coordinate, min_size=5, max_size=5)).map(
    lambda t: (
        t[0] + "".join(f" {axis}{value}" for axis, value in zip(t[1], t[2])) + f" I{t[2][3]} J{t[2][4]} K{t[2][3]}"
    )
)
origin = st.tuples(axes, st.lists(coordinate, min_size=3, max_size=3)).map(
    lambda t: "G92" + "".join(f" {axis}{value}" for axis, value in zip(*t))
)
modes = st.sampled_from(["G90", "G91", "G17", "G18", "G19", "M5"])


@settings(max_examples=60 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(straight, straight, arc, origin, modes), max_size=25),
    st.sampled_from([("G21", 1.0), ("G20", 25.4)]),
)
def test_positions_are_those_of_pygcode(program, unit):
    """pygcode's machine is the oracle for modes, units, ends of arcs and shifts of the origin, after every move.

    It has no extruder, keeps its numbers when the unit changes, and after G91 adds the words of a G92 to the position.
    So a program has one unit, and G92 only after G90.
    """
    code, mm = unit
    lines, relative = [code, "G90"], False
    for line in program:
        relative = line == "G91" or (relative and line != "G90")
        lines += [line] if not (relative and line.startswith("G92")) else []
    machine = pygcode.Machine()
    for line, place in zip(lines, _positions(lines)):
        machine.process_block(pygcode.Line(line).block)
        if line[:2] in MOVES:
            assert place == pytest.approx([mm * machine.pos.values[axis] for axis in "XYZ"], abs=1e-4 * mm)
