"""Modes, arcs, boxes, filament and time of hand-made and generated programs."""

import io
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcode import analyze, dialects
from gcode.interpreter import Interpreter
from gcode.planner import MachineLimits
from gcode.program import new_kernel
from gcode.tests.support import EXAMPLES, cube


def _result(text, **options):
    return analyze(io.BytesIO(text.encode()), **options)


@settings(max_examples=60 * EXAMPLES, deadline=None)
@given(
    clockwise=st.booleans(),
    plane=st.integers(0, 2),
    radius=st.floats(0.5, 120),
    begin=st.floats(0, 6.28),
    sweep=st.floats(0.05, 6.2),
    rise=st.floats(-3, 3),
    by_radius=st.booleans(),
)
def test_arcs_in_every_plane(clockwise, plane, radius, begin, sweep, rise, by_radius):
    """A helix that we make: all points on its circle, its length, its end, its filament."""
    a, b, c = ((0, 1, 2), (2, 0, 1), (1, 2, 0))[plane]
    letters = [("I", "J"), ("K", "I"), ("J", "K")][plane]
    centre = [50.0, 40.0, 30.0]
    start, end = list(centre), list(centre)
    angle = begin - sweep if clockwise else begin + sweep
    start[a] += radius * math.cos(begin)
    start[b] += radius * math.sin(begin)
    end[a] += radius * math.cos(angle)
    end[b] += radius * math.sin(angle)
    end[c] += rise
    if by_radius and abs(sweep - math.pi) < 0.05:
        return  # a half circle by its radius: rounding decides on which side the centre is
    how = (
        f"R{radius if sweep < math.pi else -radius:.6f}"
        if by_radius
        else f"{letters[0]}{centre[a] - start[a]:.6f} {letters[1]}{centre[b] - start[b]:.6f}"
    )
    text = [
        f"G1{plane + 7}",
        "M83",
        "G1 " + " ".join(f"{axis}{v:.6f}" for axis, v in zip("XYZ", start)),
        f"G{2 if clockwise else 3} " + " ".join(f"{axis}{v:.6f}" for axis, v in zip("XYZ", end)) + f" {how} E2",
    ]
    for machine in [new_kernel(dialects.MARKERS), Interpreter(dialects.MARKERS)]:
        data = bytearray("\n".join(text).encode())
        machine.feed(data, 0, len(data), True)
        moves = machine.moves[:, : machine.state.n_moves]
        path = moves[:3].T
        offset = path - centre
        slack = 0.01 if not by_radius else 0.3 + radius * 0.02
        assert all(math.hypot(p[a], p[b]) == pytest.approx(radius, abs=slack) for p in offset)
        assert tuple(path[-1]) == pytest.approx(tuple(end), abs=1e-5)
        assert moves[3, 1:].sum() == pytest.approx(2, abs=1e-9)
        if not by_radius:
            length = sum(math.dist(p, q) for p, q in pairwise(path))
            assert length == pytest.approx(math.hypot(radius * sweep, rise), rel=0.03)


def test_absolute_and_relative_e_g92_and_inches_agree():
    absolute = (
        "M82\nG92 E0\nG1 Z.2\nG1 X10 E1 F1200\nG92 E0\nG1 Y10 E1\nG1 E.5 F2400\nG1 X20 F6000\nG1 E1\nG1 X30 E2 F1200\n"
    )
    relative = "M83\nG1 Z.2\nG1 X10 E1 F1200\nG1 Y10 E1\nG1 E-.5 F2400\nG1 X20 F6000\nG1 E.5\nG1 X30 E1 F1200\n"
    inches = (
        "G20\nM83\nG1 Z.007874\nG1 X.393701 E.0393701 F47.2441\nG1 Y.393701 E.0393701\nG1 E-.0196850 F94.4882\n"
        "G1 X.787402 F236.2205\nG1 E.0196850\nG1 X1.181102 E.0393701 F47.2441\n"
    )
    expected = _result(absolute)
    assert expected["filament"]["moved_mm"] == 3 and expected["counts"]["retractions"] == 1
    for other in (relative, inches):
        result = _result(other)
        assert result["filament"]["moved_mm"] == pytest.approx(3, abs=0.01)
        assert result["geometry"]["size_mm"] == pytest.approx(expected["geometry"]["size_mm"], abs=0.01)
        assert result["time"]["moves_s"] == pytest.approx(expected["time"]["moves_s"], rel=1e-3)


def test_relative_positioning_moves_the_extruder_relatively_too():
    """As in Marlin, Klipper and Prusa's firmware: E is relative after G91, M82 or not, and absolute after G90."""
    assert _result("M82\nG1 X10 E5 F600\nG91\nG1 X5 E5\nG90\nG1 X20 E12\n")["filament"]["moved_mm"] == 12


def test_origin_shift_moves_no_extent():
    result = _result("M83\nG1 Z.2\nG1 X10 Y0 E1\nG92 X0 Y5\nG1 X10 Y5 E1\n")
    assert result["geometry"]["all_extrusion_box_mm"]["max"][0] == pytest.approx(20.225)


def test_purge_line_and_skirt_are_not_the_object():
    result = _result(cube(layers=10, size=20))
    assert result["geometry"]["size_mm"] == pytest.approx({"x": 20, "y": 20, "z": 2}, abs=0.01)
    assert result["objects"][0]["size_mm"] == pytest.approx({"x": 20, "y": 20, "z": 2}, abs=0.01)
    assert result["filament"]["custom_mm"] == 21.5
    assert result["layers"] == result["layers"] | {"count": 10, "z_mm": [round(0.2 * n, 1) for n in range(1, 11)]}
    assert not {warning["code"] for warning in result["warnings"]} & {"box_by_heuristic", "layers_by_height"}


def test_without_marks_the_first_layer_is_left_out_of_the_size_with_a_warning():
    text = "\n".join(line for line in cube(layers=10, size=20).splitlines() if not line.startswith(";"))
    result = _result(text)
    assert result["geometry"]["size_mm"] == pytest.approx({"x": 20, "y": 20, "z": 2}, abs=0.5)
    assert result["layers"]["count"] == 10
    assert {"box_by_heuristic", "layers_by_height", "slicer_unknown"} <= {
        warning["code"] for warning in result["warnings"]
    }


def test_tools_share_the_filament_and_a_runout_is_a_pause():
    result = _result(
        "; generated by PrusaSlicer 2.7.0\nM83\n;LAYER_CHANGE\n;TYPE:Perimeter\nG1 Z.2\n"
        "T0\nG1 X10 E3\nT1\nG1 X20 E1\nM600\nG1 X30 E1\nT0\nG1 X40 E1\n"
        "; filament_type = PLA;PETG\n; filament_diameter = 1.75,2.85\n; filament_density = 1.24,1.27\n"
    )
    assert [(tool["tool"], tool["type"], tool["moved_mm"]) for tool in result["filament"]["tools"]] == [
        (0, "PLA", 4.0),
        (1, "PETG", 2.0),
    ]
    assert result["filament"]["tools"][1]["g"] == pytest.approx(2 * math.pi * 2.85**2 / 4 * 1.27 / 1000, abs=1e-3)
    assert result["counts"]["tool_changes"] == 2 and result["counts"]["pauses"] == 1


def test_firmware_retraction_wipe_homing_and_levelling_are_counted():
    result = _result(
        "M83\nG28\nG29\nG1 X10 E1\nG10\nG0 X20\nG11\nG1 X30 E1\nG1 X29 E-.1\nG1 X28 E-.1\nG1 E.2\nG10 P1 X3\n"
    )
    assert result["counts"] == result["counts"] | {"retractions": 2, "homings": 1, "levellings": 1}
    assert result["filament"]["moved_mm"] == 2


def test_firmware_retraction_takes_its_time():
    """A retraction of 2 mm at 40 mm/s and its end take 0.1 s and some acceleration; M207 sets others; twice is once."""
    base, usual, long, twice = (
        _result(f"M83\n{m207}G1 X10 E1 F1200\n{retract}G0 X20\n{end}G1 X30 E1\n")["time"]["moves_s"]
        for m207, retract, end in (
            ("", "", ""),
            ("", "G10\n", "G11\n"),
            ("M207 S8 F480\n", "G10\n", "G11\n"),
            ("", "G10\nG10\n", "G11\nG11\n"),
        )
    )
    assert 0.1 < usual - base < 0.5 and 1.9 < long - base < 2.5 and twice == usual


@pytest.mark.parametrize("begin, diameter", [("M200 D2.85\n", 2.85), (";FLAVOR:UltiGCode\n", 2.85)])
def test_volumetric_extrusion_is_counted_in_mm_of_filament(begin, diameter):
    """E in mm3: 100 mm3 are 15.7 mm of a 2.85 mm filament; M200 D0 ends it."""
    area = math.pi * diameter**2 / 4
    filament = _result(f"{begin}M82\nG1 X10 E40\nG92 E0\nG1 X20 E60\n")["filament"]
    assert filament["moved_mm"] == pytest.approx(100 / area, abs=0.01)
    assert filament["tools"][0]["diameter_mm"] == diameter and filament["volume_cm3"] == pytest.approx(0.1, abs=0.001)
    assert _result(f"{begin}M83\nG1 X10 E40\nM200 D0\nG1 X20 E5\n")["filament"]["moved_mm"] == pytest.approx(
        40 / area + 5, abs=0.01
    )


def test_volumetric_extrusion_that_only_the_settings_state(tmp_path):
    (tmp_path / "x.gcode").write_text("M83\nG1 X10 E100\n; filament_diameter = 1.75\n; use_volumetric_e = 1\n")
    assert analyze(tmp_path / "x.gcode")["filament"]["moved_mm"] == pytest.approx(
        100 / (math.pi * 1.75**2 / 4), abs=0.01
    )


def test_machine_is_not_changed_by_a_file():
    """One object with a printer's limits serves for many files; those in a file count for it alone."""
    machine = MachineLimits(source="printer")
    _result("M201 X100 Y100\nM203 X10\nM205 X1 Z1\nG1 X100 F3000\n", machine=machine)
    assert machine == MachineLimits(source="printer")


def test_time_of_one_move_is_the_trapezoid():
    """100 mm at 50 mm/s and 500 mm/s2 from standstill to standstill: 2 s and another v/a = 0.1 s for the ramps."""
    machine = MachineLimits(print_acceleration=500, travel_acceleration=500, corner=0.001, source="printer")
    result = _result("G1 X100 F3000\n", machine=machine)
    assert result["time"]["moves_s"] == pytest.approx(2 + 0.1, abs=0.06)  # the planner starts at up to 1 mm/s
    assert result["time"]["limits"] == "printer"


def test_dwell_and_slow_corners_take_time():
    base = _result("M204 P1000 T1000\nM205 X8 Y8\nG1 X50 F6000\nG1 X100\n")["time"]["moves_s"]
    assert _result("M204 P1000 T1000\nM205 X8 Y8\nG1 X50 F6000\nG4 S3\nG1 X100\n")["time"]["moves_s"] == pytest.approx(
        base + 3.1, abs=0.15
    )
    assert _result("M204 P1000 T1000\nM205 X8 Y8\nG1 X50 F6000\nG1 Y50\n")["time"]["moves_s"] > base + 0.05


def test_klipper_limits_are_read():
    slow = _result("SET_VELOCITY_LIMIT VELOCITY=30 ACCEL=300 SQUARE_CORNER_VELOCITY=1\nG1 X50 F6000\nG1 X50 Y50\n")
    assert slow["time"]["moves_s"] > 100 / 30 and slow["time"]["limits"] == "file"


def test_objects_by_m486_and_by_klippers_marks():
    body = (
        "M83\n;LAYER_CHANGE\n;TYPE:Perimeter\nG1 Z.2\n"
        "{0}\nG1 X10 E1 F600\n{1}\nG1 X20 F6000\n{2}\nG1 X30 E3 F600\n{1}\n"
    )
    for marks in (
        ('M486 S0\nM486 A"Lid"', "M486 S-1", "M486 S1\nM486 Abox"),
        ("EXCLUDE_OBJECT_START NAME=Lid", "EXCLUDE_OBJECT_END NAME=Lid", "EXCLUDE_OBJECT_START NAME=box"),
    ):
        rows = _result(body.format(*marks))["objects"]
        assert [(row["name"], row["filament_mm"], row["material_share"]) for row in rows] == [
            ("Lid", 1.0, 0.25),
            ("box", 3.0, 0.75),
        ]


def test_hostile_names_are_data():
    name = "../../etc/'pass\"wd\\ ä中" + "x" * 500
    row = _result(f"M83\n;LAYER_CHANGE\n;TYPE:Perimeter\n; printing object {name} id:0 copy 0\nG1 Z.2\nG1 X10 E1\n")[
        "objects"
    ][0]
    assert row["label"].startswith("../../etc/'pass\"wd") and len(row["name"]) <= 500
