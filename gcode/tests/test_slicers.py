"""Against what real slicers state: Debian's prusa-slicer and cura-engine slice shapes, the analysis must agree with them."""
import os
import pathlib
import re
import shutil
import struct
import subprocess

import numpy as np
import pytest

from gcode import analyze

SHAPES = pathlib.Path("/usr/share/PrusaSlicer/shapes")
needs_prusa = pytest.mark.skipif(not shutil.which("prusa-slicer") or not SHAPES.exists(), reason="prusa-slicer is not installed (Debian package prusa-slicer)")
needs_cura = pytest.mark.skipif(not shutil.which("CuraEngine") or not SHAPES.exists(), reason="CuraEngine is not installed (Debian packages cura-engine, prusa-slicer)")

BASE = ("--nozzle-diameter 0.4 --filament-diameter 1.75 --filament-density 1.24 --filament-type PLA --gcode-label-objects --first-layer-height 0.2 --layer-height 0.2 ")
RELATIVE = "--use-relative-e-distances --layer-gcode G92|E0 "
SHORT = {
    "support": ("M3_hex_nut.stl", "--support-material --brim-width 3 --rotate-x 90"),
    "vase": ("cylinder.stl", "--spiral-vase --perimeters 1 --top-solid-layers 0 --fill-density 0 --layer-height 0.3"),
    "three copies, relative": ("M3_hex_nut.stl", RELATIVE + "--duplicate 3"),
    "two objects, machine limits": ("box.stl sphere.stl", "--merge --layer-height 0.3 --fill-density 10% --machine-limits-usage emit_to_gcode --gcode-flavor marlin2"),
}
LONG = {
    "plain": ("box.stl", ""),
    "fine, 50 %": ("pyramid.stl", "--layer-height 0.1 --fill-density 50%"),
    "coarse, hollow": ("cylinder.stl", "--layer-height 0.3 --fill-density 0"),
    "supported bunny": ("bunny.stl", "--support-material"),
    "relative E": ("cone.stl", RELATIVE),
    "absolute E": ("cone.stl", ""),
    "brim": ("torus.stl", "--brim-width 5 --skirts 0"),
    "skirt": ("torus.stl", "--skirts 3 --skirt-distance 4"),
    "raft": ("sphere.stl", "--raft-layers 3 --support-material"),
    "gyroid, machine limits": ("bunny.stl", "--scale 0.4 --fill-pattern gyroid --machine-limits-usage emit_to_gcode --gcode-flavor marlin2"),
    "lift and wipe": ("M3x10_screw.stl", RELATIVE + "--layer-height 0.15 --retract-lift 0.4 --wipe"),
    "firmware retraction": ("M3x10_screw.stl", "--use-firmware-retraction"),
    "one after the other": ("M3_hex_nut.stl", "--duplicate 2 --complete-objects --extruder-clearance-radius 20"),
    "two materials": ("box.stl sphere.stl", "--merge --nozzle-diameter 0.4,0.4 --filament-diameter 1.75,1.75 --filament-density 1.24,1.27 --temperature 200,210 "
                      "--perimeter-extruder 1 --infill-extruder 2 --wipe-tower --single-extruder-multi-material " + RELATIVE),
}


def stl_size(path):
    """Extent of an STL in x, y, z (mm)."""
    data = path.read_bytes()
    count = struct.unpack_from("<I", data, 80)[0]
    if len(data) == 84 + 50 * count:
        faces = np.frombuffer(data, np.dtype([("normal", "<f4", 3), ("points", "<f4", (3, 3)), ("flags", "<u2")]), count, 84)
        points = faces["points"].reshape(-1, 3)
    else:
        points = np.array(re.findall(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", data), float)
    return points.max(axis=0) - points.min(axis=0)


def _slice(tmp_path, shapes, options):
    made = tmp_path / "made.gcode"
    arguments = [option.replace("|", " ") for option in (BASE + options).split()]
    done = subprocess.run(["prusa-slicer", "-g", *(str(SHAPES / shape) for shape in shapes.split()), *arguments, "-o", str(made)], capture_output=True, text=True, timeout=300)
    assert made.exists(), done.stdout[-300:] + done.stderr[-300:]
    return made


def _compare_with_prusaslicer(tmp_path, shapes, options):
    made = _slice(tmp_path, shapes, options)
    result = analyze(made)
    stated = result["stated"]
    assert result["slicer"]["name"] == "PrusaSlicer"
    assert result["filament"]["moved_mm"] - result["filament"]["custom_mm"] == pytest.approx(sum(stated["filament_mm"]), rel=0.005)
    assert result["time"]["moves_s"] == pytest.approx(stated["time_s"], rel=0.12)
    assert result["layers"]["count"] == made.read_text().count(";LAYER_CHANGE")
    assert sum(result["layers"]["time_s"]) + result["time"]["before_first_layer_s"] == pytest.approx(result["time"]["total_s"], rel=0.002)
    assert sum(feature["filament_mm"] for feature in result["features"]) == pytest.approx(result["filament"]["moved_mm"], abs=0.06)
    assert sum(one["energy_share"] for one in result["objects"]) == pytest.approx(1, abs=1e-3)
    names = shapes.split()
    assert {one["name"] for one in result["objects"]} == set(names)
    if "--duplicate" in options:
        assert len({one["copy"] for one in result["objects"]}) == int(re.search(r"--duplicate (\d+)", options)[1])
    for one in result["objects"]:
        size = stl_size(SHAPES / one["name"])
        if "--rotate-x 90" in options:
            size = size[[0, 2, 1]]
        if scale := re.search(r"--scale (\S+)", options):
            size = size * float(scale[1])
        assert list(one["size_mm"].values()) == pytest.approx(list(size), abs=0.5), one
    return result


@needs_prusa
@pytest.mark.parametrize("name", SHORT)
def test_analysis_agrees_with_prusaslicer(tmp_path, name):
    result = _compare_with_prusaslicer(tmp_path, *SHORT[name])
    assert not {warning["code"] for warning in result["warnings"]} & {"box_by_heuristic", "slicer_unknown", "limits_unknown", "layers_by_height"}


@pytest.mark.long
@needs_prusa
@pytest.mark.parametrize("name", LONG)
def test_analysis_agrees_with_prusaslicer_in_all_combinations(tmp_path, name):
    result = _compare_with_prusaslicer(tmp_path, *LONG[name])
    if name == "two materials":
        assert [tool["tool"] for tool in result["filament"]["tools"]] == [0, 1]
        for tool, stated in zip(result["filament"]["tools"], result["stated"]["filament_mm"]):
            assert tool["moved_mm"] == pytest.approx(stated, rel=0.01)


CURA_DEFINITIONS = next((folder for folder in map(pathlib.Path, (os.environ.get("ENMS_CURA_DEFINITIONS", "/nowhere"), "/usr/share/cura/resources/definitions"))
                         if (folder / "fdmprinter.def.json").exists()), None)


@needs_cura
@pytest.mark.skipif(CURA_DEFINITIONS is None, reason="Cura's fdmprinter.def.json is missing (Debian package cura, or a folder in ENMS_CURA_DEFINITIONS)")
@pytest.mark.parametrize("shape, settings", [
    ("box.stl", {"layer_height": 0.3}),
    ("M3x10_screw.stl", {"layer_height": 0.2, "relative_extrusion": "true", "adhesion_type": "brim"}),
    ("cylinder.stl", {"layer_height": 0.25, "support_enable": "true"}),
])
def test_analysis_agrees_with_what_cura_engine_prints(tmp_path, shape, settings):
    made = tmp_path / "cura.gcode"
    options = [part for key, value in settings.items() for part in ("-s", f"{key}={value}")]
    done = subprocess.run(["CuraEngine", "slice", "-v", "-j", str(CURA_DEFINITIONS / "fdmprinter.def.json"), *options, "-l", str(SHAPES / shape), "-o", str(made)],
                          capture_output=True, text=True, timeout=300, env={**os.environ, "CURA_ENGINE_SEARCH_PATH": str(CURA_DEFINITIONS)})
    printed = done.stdout + done.stderr
    result = analyze(made)
    assert result["slicer"]["name"] == "Cura"
    # The file's own ;TIME and ;Filament used are placeholders, which must not be taken for statements.
    assert "time_s" not in result["stated"] and "filament_mm" not in result["stated"]
    metres = float(re.findall(r";Filament used: ([\d.]+)m", printed)[-1])
    assert result["filament"]["moved_mm"] - result["filament"]["custom_mm"] == pytest.approx(metres * 1000, rel=0.005)
    assert result["time"]["total_s"] == pytest.approx(float(re.findall(r"Print time \(s\): (\d+)", printed)[-1]), rel=0.12)
    assert result["layers"]["count"] == result["stated"]["layer_count"]
    assert list(result["geometry"]["size_mm"].values()) == pytest.approx(list(stl_size(SHAPES / shape)), abs=0.5)
    assert [one["name"] for one in result["objects"]] == [shape]
