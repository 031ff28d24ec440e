"""Against what real slicers state: PrusaSlicer 2.5 and CuraEngine 4.13 slice shapes, the analysis must agree with them.

The recorded programs (sliced/record.py) always run; with --long Debian's slicers are installed and slice their sample
shapes.
"""

import gzip
import json
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcode import analyze
from gcode.tests import support
from gcode.tests.sliced import record

SHAPES = Path("/usr/share/PrusaSlicer/shapes")
RELATIVE = "--use-relative-e-distances --layer-gcode G92|E0 "
TWO_TOOLS = (
    "--nozzle-diameter 0.4,0.4 --filament-diameter 1.75,1.75 --filament-density 1.24,1.27 --temperature 200,210 "
    "--perimeter-extruder 1 --infill-extruder 2 " + RELATIVE
)
PRUSA = {
    "plain": ("box.stl", ""),
    "fine, 50 %": ("pyramid.stl", "--layer-height 0.1 --fill-density 50%"),
    "coarse, hollow": ("cylinder.stl", "--layer-height 0.3 --fill-density 0"),
    "wide nozzle": (
        "bunny.stl",
        "--nozzle-diameter 0.6 --layer-height 0.35 --first-layer-height 0.35 --fill-pattern cubic",
    ),
    "thick filament": (
        "pyramid.stl",
        "--filament-diameter 2.85 --filament-density 1.04 --filament-type ABS --fill-pattern honeycomb",
    ),
    "support": ("M3_hex_nut.stl", "--support-material --brim-width 3 --rotate-x 90"),
    "supported bunny": ("bunny.stl", "--support-material"),
    "vase": ("cylinder.stl", "--spiral-vase --perimeters 1 --top-solid-layers 0 --fill-density 0 --layer-height 0.3"),
    "relative E": ("cone.stl", RELATIVE),
    "absolute E": ("cone.stl", ""),
    "volumetric E": ("cylinder.stl", "--use-volumetric-e"),
    "brim": ("torus.stl", "--brim-width 5 --skirts 0"),
    "skirt": ("torus.stl", "--skirts 3 --skirt-distance 4"),
    "raft": ("sphere.stl", "--raft-layers 3 --support-material"),
    "ironing, machine limits": (
        "box.stl",
        "--ironing --fill-density 15% --machine-limits-usage emit_to_gcode --gcode-flavor marlin",
    ),
    "gyroid, machine limits": (
        "bunny.stl",
        "--scale 0.4 --fill-pattern gyroid --machine-limits-usage emit_to_gcode --gcode-flavor marlin2",
    ),
    "RepRapFirmware's limits": ("M3_hex_nut.stl", "--gcode-flavor reprapfirmware --machine-limits-usage emit_to_gcode"),
    "lift and wipe": ("M3x10_screw.stl", RELATIVE + "--layer-height 0.15 --retract-lift 0.4 --wipe"),
    "firmware retraction": ("M3x10_screw.stl", "--use-firmware-retraction"),
    "two objects": (
        "box.stl sphere.stl",
        "--merge --layer-height 0.3 --fill-density 10% --machine-limits-usage emit_to_gcode --gcode-flavor marlin2",
    ),
    "three copies, relative": ("M3_hex_nut.stl", RELATIVE + "--duplicate 3"),
    "one after the other": ("M3_hex_nut.stl", "--duplicate 2 --complete-objects --extruder-clearance-radius 20"),
    "two materials": ("box.stl sphere.stl", "--merge " + TWO_TOOLS),
    "two materials, wipe tower": (
        "box.stl sphere.stl",
        "--merge --wipe-tower --single-extruder-multi-material " + TWO_TOOLS,
    ),
}
CURA = {
    "plain": ("box.stl", {"layer_height": 0.3}),
    "relative E, brim": (
        "M3x10_screw.stl",
        {"layer_height": 0.2, "relative_extrusion": "true", "adhesion_type": "brim"},
    ),
    "support": ("cylinder.stl", {"layer_height": 0.25, "support_enable": "true"}),
    "raft": ("sphere.stl", {"layer_height": 0.3, "support_enable": "true", "adhesion_type": "raft"}),
    "gyroid": ("sphere.stl", {"layer_height": 0.15, "infill_sparse_density": 30, "infill_pattern": "gyroid"}),
    "vase, skirt": ("cone.stl", {"magic_spiralize": "true", "adhesion_type": "skirt"}),
    "accelerations": (
        "torus.stl",
        {"speed_print": 80, "acceleration_enabled": "true", "jerk_enabled": "true", "adhesion_type": "brim"},
    ),
}


def stl_size(path: Path) -> list[float]:
    """Extent of an STL in x, y, z (mm)."""
    data = path.read_bytes()
    count = struct.unpack_from("<I", data, 80)[0] if len(data) > 84 else 0
    if len(data) == 84 + 50 * count:
        faces = np.frombuffer(
            data, np.dtype([("normal", "<f4", 3), ("points", "<f4", (3, 3)), ("flags", "<u2")]), count, 84
        )
        points = faces["points"].reshape(-1, 3)
    else:
        points = np.array(re.findall(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", data), float)
    return (points.max(axis=0) - points.min(axis=0)).tolist()


def _printed_mm(result: dict[str, Any]) -> float:
    """Filament of the layers; the slicers don't count what the start program purges."""
    return result["filament"]["moved_mm"] - result["filament"]["custom_mm"]


def _agrees_with_prusaslicer(made: Path, options: str, sizes: Mapping[str, Sequence[float]]) -> None:
    """sizes: of each object by its name, mm."""
    result = analyze(made)
    stated = result["stated"]
    assert result["slicer"]["name"] == "PrusaSlicer"
    assert not {warning["code"] for warning in result["warnings"]} & {
        "box_by_heuristic",
        "slicer_unknown",
        "limits_unknown",
        "layers_by_height",
        "time_differs",
    }
    assert _printed_mm(result) == pytest.approx(sum(stated["filament_mm"]), rel=0.005)
    assert result["time"]["moves_s"] == pytest.approx(stated["time_s"], rel=0.12)
    assert result["layers"]["count"] == made.read_text().count(";LAYER_CHANGE")
    assert sum(result["layers"]["time_s"]) + result["time"]["before_first_layer_s"] == pytest.approx(
        result["time"]["total_s"], rel=0.002
    )
    assert sum(feature["filament_mm"] for feature in result["features"]) == pytest.approx(
        result["filament"]["moved_mm"], abs=0.06
    )
    assert sum(one["energy_share"] for one in result["objects"]) == pytest.approx(1, abs=1e-3)
    assert {one["name"] for one in result["objects"]} == set(sizes)
    if copies := re.search(r"--duplicate (\d+)", options):
        assert len({one["copy"] for one in result["objects"]}) == int(copies[1])
    for one in result["objects"]:
        assert list(one["size_mm"].values()) == pytest.approx(sizes[one["name"]], abs=0.5), one
    if "--infill-extruder 2" in options:
        assert [tool["tool"] for tool in result["filament"]["tools"]] == [0, 1]
        for tool, stated_mm in zip(result["filament"]["tools"], stated["filament_mm"]):
            assert tool["moved_mm"] == pytest.approx(stated_mm, rel=0.01)


def _agrees_with_cura(made: Path, printed: Mapping[str, float], name: str, size: Sequence[float]) -> None:
    result = analyze(made)
    assert result["slicer"]["name"] == "Cura"
    # The file's own ;TIME and ;Filament used are placeholders, which must not be taken for statements.
    assert "time_s" not in result["stated"] and "filament_mm" not in result["stated"]
    assert _printed_mm(result) == pytest.approx(printed["filament_mm"], rel=0.005)
    assert result["time"]["total_s"] == pytest.approx(printed["time_s"], rel=0.12)
    # ;LAYER_COUNT is no measure: it includes empty layers at the top, but not those of a raft.
    assert result["layers"]["count"] == len(re.findall(r"^;LAYER:", made.read_text(), re.M))
    assert list(result["geometry"]["size_mm"].values()) == pytest.approx(size, abs=0.5)
    assert [one["name"] for one in result["objects"]] == [name]


@pytest.mark.parametrize("name", record.RECORDS)
def test_analysis_agrees_with_recorded_slicers(reader, tmp_path, name):
    folder, (shapes, options) = Path(record.__file__).parent, record.RECORDS[name]
    made = tmp_path / "made.gcode"
    made.write_bytes(gzip.decompress((folder / f"{name}.gcode.gz").read_bytes()))
    sizes = {f"{shape}.stl": record.size(shape) for shape in shapes}
    if isinstance(options, dict):
        _agrees_with_cura(made, json.loads((folder / "cura.json").read_text())[name], *sizes.popitem())
    else:
        _agrees_with_prusaslicer(made, options, sizes)


@pytest.mark.long
@pytest.mark.parametrize("name", PRUSA)
def test_analysis_agrees_with_prusaslicer(tmp_path, name):
    shapes, options = PRUSA[name]
    made, sizes = tmp_path / "made.gcode", {}
    support.prusa_slicer([SHAPES / shape for shape in shapes.split()], options, made)
    for shape in shapes.split():
        x, y, z = stl_size(SHAPES / shape)
        scale = re.search(r"--scale (\S+)", options)
        factor = float(scale[1]) if scale else 1
        sizes[shape] = [v * factor for v in ((x, z, y) if "--rotate-x 90" in options else (x, y, z))]
    _agrees_with_prusaslicer(made, options, sizes)


@pytest.fixture(scope="module")
def definitions():
    return support.cura_definitions()


@pytest.mark.long
@pytest.mark.parametrize("name", CURA)
def test_analysis_agrees_with_what_cura_engine_prints(tmp_path, definitions, name):
    shape, settings = CURA[name]
    made = tmp_path / "made.gcode"
    printed = support.cura_engine(SHAPES / shape, settings, made, definitions)
    _agrees_with_cura(made, printed, shape, stl_size(SHAPES / shape))


@pytest.mark.long
def test_ulti_gcode_is_counted_in_mm_of_filament(tmp_path, definitions):
    """Cura's Ultimaker 2 writes E in mm3 and prints the volume."""
    made = tmp_path / "made.gcode"
    printed = support.cura_engine(SHAPES / "box.stl", {}, made, definitions, "ultimaker2")
    result = analyze(made)
    assert result["settings"]["gcode_flavour"] == "UltiGCode" and result["filament"]["tools"][0]["diameter_mm"] == 2.85
    assert result["filament"]["volume_cm3"] * 1000 == pytest.approx(printed["filament_mm3"], rel=0.005)
    assert list(result["geometry"]["size_mm"].values()) == pytest.approx(stl_size(SHAPES / "box.stl"), abs=0.5)
