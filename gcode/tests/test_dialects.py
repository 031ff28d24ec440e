"""Each slicer's dialect (settings, statements, features, objects), from the short programs in tests/dialects."""

import pytest

from gcode import analyze, dialects
from gcode.tests.support import DIALECTS

CASES = {
    "orca": {
        "slicer": {"name": "OrcaSlicer", "version": "2.1.1", "dialect": "orca"},
        "settings": {
            "layer_height_mm": 0.2,
            "infill_density_percent": 15,
            "infill_pattern": "crosshatch",
            "supports_enabled": False,
            "nozzle_diameter_mm": 0.4,
            "nozzle_temperature_c": 220,
            "bed_temperature_c": 60,
            "printer_model": "Voron 2.4 300",
            "print_profile": "0.20mm Standard @Voron",
            "filament_type": "PLA",
            "perimeters": 2,
        },
        "stated": {
            "time_s": 125,
            "filament_mm": [12.72],
            "filament_g": [0.04],
            "layer_count": 3,
            "first_layer_time_s": 41,
        },
        "features": {"custom", "brim", "perimeter", "external_perimeter"},
        "objects": ["Cube.stl"],
        "layers": 3,
        "size": 14,
    },
    "bambu": {
        "slicer": {"name": "BambuStudio", "version": "01.09.05.51", "dialect": "orca"},
        "settings": {
            "layer_height_mm": 0.2,
            "infill_density_percent": 20,
            "supports_enabled": True,
            "printer_model": "Bambu Lab X1 Carbon",
            "filament_type": "PLA",
        },
        "stated": {"time_s": 410, "filament_mm": [20.0, 7.1], "filament_g": [0.07, 0.02], "layer_count": 2},
        "features": {"custom", "perimeter", "external_perimeter", "wipe_tower", "support"},
        "objects": ["15"],
        "layers": 2,
        "size": 20,
    },
    "superslicer": {
        "slicer": {"name": "SuperSlicer", "version": "2.5.59", "dialect": "prusa"},
        "settings": {
            "layer_height_mm": 0.2,
            "infill_density_percent": 12,
            "filament_type": "ABS",
            "printer_model": "VORON_TRIDENT",
            "supports_enabled": False,
        },
        "stated": {"time_s": 35, "filament_mm": [5.8]},
        "features": {"perimeter", "external_perimeter", "gap_fill"},
        "objects": ["a.stl"],
        "layers": 2,
        "size": 10,
    },
    "cura": {
        "slicer": {"name": "Cura", "version": "5.5.0", "dialect": "cura"},
        "settings": {
            "layer_height_mm": 0.2,
            "infill_density_percent": 25,
            "infill_pattern": "gyroid",
            "supports_enabled": True,
            "printer_model": "Creality Ender-3 Pro",
            "print_profile": "My Standard #2",
            "nozzle_temperature_c": 205,
            "perimeters": 3,
        },
        "stated": {"time_s": 93, "filament_mm": [13.6], "layer_count": 2},
        "features": {"custom", "skirt", "perimeter", "external_perimeter"},
        "objects": ["cube.stl"],
        "layers": 2,
        "size": 20,
    },
    "cura_griffin": {
        "slicer": {"name": "Cura", "version": "5.5.0", "dialect": "cura"},
        "settings": {
            "nozzle_diameter_mm": 0.4,
            "nozzle_temperature_c": 205,
            "bed_temperature_c": 60,
            "printer_model": "Ultimaker S5",
            "gcode_flavour": "Griffin",
        },
        "stated": {"time_s": 120, "layer_count": 2},
        "features": {"external_perimeter", "support_interface"},
        "objects": ["cube.stl"],
        "layers": 2,
        "size": 20,
    },
    "simplify3d": {
        "slicer": {"name": "Simplify3D", "version": "5.1.2", "dialect": "simplify3d"},
        "settings": {
            "layer_height_mm": 0.2,
            "infill_density_percent": 20,
            "infill_pattern": "Rectilinear",
            "nozzle_diameter_mm": 0.4,
            "filament_type": "PLA",
            "filament_price_per_kg": 46,
            "supports_enabled": False,
            "perimeters": 2,
            "filament_density_g_cm3": 1.25,
        },
        "stated": {"time_s": 120, "filament_mm": [18.8], "filament_g": [0.06]},
        "features": {"skirt", "perimeter", "external_perimeter", "infill"},
        "objects": [],
        "layers": 2,
        "size": 20,
    },
    "ideamaker": {
        "slicer": {"name": "ideaMaker", "version": "4.3.2.6470", "dialect": "ideamaker"},
        "settings": {
            "layer_height_mm": 0.2,
            "filament_type": "PETG",
            "filament_diameter_mm": 1.75,
            "filament_density_g_cm3": 1.27,
        },
        "stated": {"time_s": 130, "filament_mm": [12.0]},
        "features": {"perimeter", "external_perimeter"},
        "objects": ["cube.stl"],
        "layers": 2,
        "size": 20,
    },
    "kisslicer": {
        "slicer": {"name": "KISSlicer", "version": "1.6.3", "dialect": "kisslicer"},
        "settings": {
            "layer_height_mm": 0.2,
            "infill_density_percent": 10,
            "filament_type": "ABS - 230",
            "filament_diameter_mm": 1.75,
            "nozzle_temperature_c": 230,
            "perimeters": 3,
        },
        "stated": {"time_s": 150},
        "features": {"external_perimeter", "infill", "support"},
        "objects": [],
        "layers": 2,
        "size": 20,
    },
}


@pytest.mark.parametrize("name", CASES)
def test_dialect(name):
    expected, result = CASES[name], analyze(DIALECTS / f"{name}.gcode")
    assert result["slicer"] == expected["slicer"]
    assert result["settings"] == result["settings"] | expected["settings"]
    assert result["stated"] == result["stated"] | expected["stated"]
    assert {row["feature"] for row in result["features"] if row["filament_mm"]} == expected["features"]
    assert [row["name"] for row in result["objects"]] == expected["objects"]
    assert result["layers"]["count"] == expected["layers"]
    assert result["geometry"]["size_mm"] == pytest.approx(
        {"x": expected["size"], "y": expected["size"], "z": 0.2 * expected["layers"]}, abs=0.5
    )
    if mm := expected["stated"].get("filament_mm"):
        assert result["filament"]["moved_mm"] - result["filament"]["custom_mm"] == pytest.approx(sum(mm), abs=0.15)
    assert result["time"]["total_s"] == expected["stated"]["time_s"]
    assert all(key in result["raw_settings"] or name.startswith("cura") for key in result["settings_keys"].values())
    assert not {warning["code"] for warning in result["warnings"]} & {
        "slicer_unknown",
        "box_by_heuristic",
        "layers_by_height",
        "bad_lines",
    }


def test_every_slicer_has_a_program():
    assert {CASES[name]["slicer"]["name"] for name in CASES} | {"PrusaSlicer", "Slic3r"} == {
        slicer.name for slicer in dialects.SLICERS
    }


@pytest.mark.parametrize(
    "label, feature",
    [
        ("External perimeter", "external_perimeter"),
        ("Overhang wall", "overhang_perimeter"),
        ("Outer wall", "external_perimeter"),
        ("Inner wall", "perimeter"),
        ("Bottom surface", "solid_infill"),
        ("Top surface", "top_solid_infill"),
        ("Internal solid infill", "solid_infill"),
        ("Sparse infill", "infill"),
        ("Internal Bridge", "bridge"),
        ("Bridge infill", "bridge"),
        ("Gap infill", "gap_fill"),
        ("Gap fill", "gap_fill"),
        ("Support interface", "support_interface"),
        ("Support material interface", "support_interface"),
        ("Support transition", "support_interface"),
        ("Support material", "support"),
        ("Prime tower", "wipe_tower"),
        ("Wipe tower", "wipe_tower"),
        ("PRIME-TOWER", "wipe_tower"),
        ("Skirt/Brim", "skirt"),
        ("SKIRT", "skirt"),
        ("Brim", "brim"),
        ("Custom", "custom"),
        ("Ironing", "ironing"),
        ("WALL-OUTER", "external_perimeter"),
        ("WALL-INNER", "perimeter"),
        ("SKIN", "solid_infill"),
        ("FILL", "infill"),
        ("SUPPORT", "support"),
        ("SUPPORT-INTERFACE", "support_interface"),
        ("Solid infill", "solid_infill"),
        ("Top solid infill", "top_solid_infill"),
        ("Internal infill", "infill"),
        ("Perimeter", "perimeter"),
        ("outer perimeter", "external_perimeter"),
        ("solid layer", "solid_infill"),
        ("dense support", "support_interface"),
        ("raft", "support"),
        ("Thin wall", "gap_fill"),
        ("anything", "unknown"),
    ],
)
def test_feature_names(label, feature):
    assert dialects.feature_class(label) == feature


@pytest.mark.parametrize(
    "kind, text, value",
    [
        ("duration", "1d 2h 3m 4s", 93784),
        ("duration", "41m 45s", 2505),
        ("duration", "0 hours 2 minutes", 120),
        ("duration", "12:34:56", 45296),
        ("duration", "93", 93),
        ("duration", "2.50 minutes", 150),
        ("duration", "9" * 400 + ":00", None),
        ("numbers", "1.5, 2.5", [1.5, 2.5]),
        ("numbers", "0.59m, 0.5m", [0.59, 0.5]),
        ("numbers", "18.8 mm (0.02 m)", [18.8]),
        ("numbers", "9" * 400, None),
        ("number", "15%", None),  # of what?
        ("percent", "15%", 15),
        ("percent", "0,5 %", 0.5),
        ("number", "=default + 10", None),
        ("number", "60 / 2", None),
        ("number", "0.4 mm", 0.4),
        ("number", "2,85", 2.85),
        ("number", "0,2", 0.2),
        ("number", "220,250", 220),
        ("number", "0.4,0.6", 0.4),
        ("number", "0,06", 0.06),
        ("numbers", "0,06", [0.06]),
        ("numbers", "10,5mm (0,1cm3)", [10.5]),
        ("numbers", "10.5mm (0.1cm3); 3.0mm (0.03cm3)", [10.5, 3.0]),
        ("volumes", "10.5mm (0.1cm3); 3.0mm (0.03cm3)", [0.1, 0.03]),
        ("volumes", "10.8 mm  (0.03 cm^3)", [0.03]),
        ("volumes", "10.8 mm", None),
        ("duration", "0", None),
        ("number", "", None),
        ("number", "nil", None),
        ("text", '"Generic PLA";"x"', "Generic PLA"),
        ("text", "PLA;PETG", "PLA"),
        ("flag", "1", True),
        ("flag", "True", True),
        ("flag", "0", False),
        ("flag", "²", False),
        ("integer", "3", 3),
        ("density", "1270", 1.27),
        ("density", "0", None),
    ],
)
def test_values(kind, text, value):
    assert dialects.read_value(kind, text) == value
