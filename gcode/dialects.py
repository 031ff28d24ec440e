"""What each slicer writes: marks of layers, features and objects, its settings and its statements.

Everything that the analyser knows about a dialect is data in this module; docs/gcode.md has a table generated from it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .kernel import (
    M_EVENT,
    M_FEATURE,
    M_HEIGHT,
    M_IGNORE,
    M_LAYER,
    M_OBJECT,
    M_OBJECT_END,
    M_WIDTH,
    WHOLE_LINE,
    MarkerRow,
)

Kind = Literal["text", "flag", "duration", "numbers", "volumes", "number", "percent", "integer", "density"]
"""How the text of a value is read."""

FEATURES = (
    "unknown",
    "external_perimeter",
    "perimeter",
    "overhang_perimeter",
    "gap_fill",
    "infill",
    "solid_infill",
    "top_solid_infill",
    "ironing",
    "bridge",
    "support",
    "support_interface",
    "skirt",
    "brim",
    "wipe_tower",
    "custom",
)
"""Feature classes; a class is numbered by its place, in the preview too."""

NOT_THE_OBJECT = frozenset(("support", "support_interface", "skirt", "brim", "wipe_tower", "custom"))
"""Features that are printed but are not part of the object."""

_FEATURE_WORDS = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("custom", r"custom|start g-?code|end g-?code|machine"),
        ("wipe_tower", r"wipe ?tower|prime[- ]?(tower|pillar)|purge|ooze ?shield|draft ?shield|flush"),
        ("support_interface", r"support.*interface|dense support|support-roof|support-bottom|support transition"),
        ("support", r"support|raft"),
        ("brim", r"^brim$"),
        ("skirt", r"skirt|brim"),
        ("ironing", r"ironing"),
        ("overhang_perimeter", r"overhang"),
        ("bridge", r"bridge"),
        ("gap_fill", r"gap|thin wall|single extrusion|ultrathin|crown"),
        ("external_perimeter", r"external|outer|^perimeter path$"),
        ("top_solid_infill", r"^top|skin-?top"),
        ("solid_infill", r"solid|^skin$|bottom|stacked sparse"),
        ("infill", r"infill|^fill$|sparse"),
        ("perimeter", r"perimeter|inner|wall|loop|shell"),
    )
)


def feature_class(label: str) -> str:
    """The class of a slicer's feature name (``"External perimeter"``, ``"WALL-OUTER"``, …)."""
    label = label.strip().lower()
    for name, pattern in _FEATURE_WORDS:
        if pattern.search(label):
            return name
    return "unknown"


# (mark without the leading ';' and spaces, kind, the character that ends the label or 1: a number must follow)
_MARKERS: tuple[tuple[str, int, int | str], ...] = (
    ("TYPE:", M_FEATURE, 0),
    ("FEATURE:", M_FEATURE, 0),
    ("feature ", M_FEATURE, 0),
    ("'", M_FEATURE, "'"),
    ("HEIGHT:", M_HEIGHT, 0),
    ("LAYER_HEIGHT:", M_HEIGHT, 0),
    ("WIDTH:", M_WIDTH, 0),
    ("LINE_WIDTH:", M_WIDTH, 0),
    ("LAYER_CHANGE", M_LAYER, 0),
    ("CHANGE_LAYER", M_LAYER, 0),
    ("LAYER:", M_LAYER, 1),
    ("layer ", M_LAYER, 1),
    ("BEGIN_LAYER_OBJECT", M_LAYER, 0),
    ("printing object ", M_OBJECT, 0),
    ("start printing object, unique label id:", M_OBJECT, 0),
    ("MESH:", M_OBJECT, 0),
    ("PRINTING:", M_OBJECT, 0),
    ("stop printing object", M_OBJECT_END, 0),
    ("FLAVOR:UltiGCode", M_EVENT, 0),
    ("Generated with Cura_SteamEngine", M_EVENT, 0),
    ("WIPE_", M_IGNORE, 0),
    ("BEFORE_LAYER_CHANGE", M_IGNORE, 0),
    ("AFTER_LAYER_CHANGE", M_IGNORE, 0),
    ("Z:", M_IGNORE, 0),
    ("TIME_ELAPSED:", M_IGNORE, 0),
    ("Z_HEIGHT:", M_IGNORE, 0),
    ("tool H", M_IGNORE, 0),
    ("head speed", M_IGNORE, 0),
    ("END_LAYER_OBJECT", M_IGNORE, 0),
    ("REMAINING_TIME:", M_IGNORE, 0),
    ("PRINTING_TIME:", M_IGNORE, 0),
    ("PRINTING_ID:", M_IGNORE, 0),
)
_OLD_SIMPLIFY3D = (
    "outer perimeter",
    "inner perimeter",
    "solid layer",
    "infill",
    "support",
    "dense support",
    "skirt",
    "brim",
    "raft",
    "bridge",
    "gap fill",
    "prime pillar",
    "ooze shield",
    "internal single extrusion",
    "external single extrusion",
)
_EXTENDED = (
    ("EXCLUDE_OBJECT_START NAME=", M_OBJECT),
    ("EXCLUDE_OBJECT_END", M_OBJECT_END),
    ("SET_VELOCITY_LIMIT", M_EVENT),
    ("ACTIVATE_EXTRUDER", M_EVENT),
)

MARKERS: tuple[MarkerRow, ...] = (
    *((text.encode(), kind, ord(stop) if isinstance(stop, str) else stop, 0) for text, kind, stop in _MARKERS),
    *((text.encode(), M_FEATURE, WHOLE_LINE, 0) for text in _OLD_SIMPLIFY3D),
    *((text.encode(), kind, 0, 1) for text, kind in _EXTENDED),
)


@dataclass(frozen=True)
class Slicer:
    """A slicer and the pattern of the line by which it is known, with its version; ``dialect`` names its keys."""

    name: str
    dialect: str
    pattern: re.Pattern[str]


SLICERS = tuple(
    Slicer(name, dialect, re.compile(pattern))
    for name, dialect, pattern in (
        ("PrusaSlicer", "prusa", r"PrusaSlicer[- ]([0-9][^\s+]*)"),
        ("SuperSlicer", "prusa", r"SuperSlicer[- ]([0-9][^\s+]*)"),
        ("OrcaSlicer", "orca", r"OrcaSlicer[- ]([0-9][^\s+]*)"),
        ("BambuStudio", "orca", r"BambuStudio[- ]([0-9][^\s+]*)"),
        ("Cura", "cura", r"Cura_SteamEngine[- ]([0-9a-z][^\s+]*)"),
        ("Simplify3D", "simplify3d", r"generated by Simplify3D\(R\)(?: Version ([0-9][^\s]*))?"),
        ("ideaMaker", "ideamaker", r"Sliced by ideaMaker ([0-9][^\s,]*)"),
        ("KISSlicer", "kisslicer", r"^KISSlicer\b()|^version ([0-9][0-9.]*[^\s]*)"),
        ("Slic3r", "prusa", r"generated by Slic3r(?: Prusa Edition)? ([0-9][^\s+]*)"),
    )
)
"""In the order in which they are tried: a successor comes before its ancestor."""


@dataclass(frozen=True)
class Setting:
    """A normalised setting; a unit is the end of its name. ``keys``: raw keys per dialect, the preferred one first."""

    name: str
    kind: Kind
    keys: dict[str, tuple[str, ...]]


def _setting(name: str, kind: Kind, **keys: str | tuple[str, ...]) -> Setting:
    return Setting(name, kind, {dialect: (key,) if isinstance(key, str) else key for dialect, key in keys.items()})


SETTINGS = (
    _setting(
        "layer_height_mm",
        "number",
        prusa="layer_height",
        orca="layer_height",
        cura=("Layer height", "layer_height"),
        simplify3d="layerHeight",
        ideamaker=("Layer Height", "layer_height"),
        kisslicer="layer_thickness_mm",
    ),
    _setting(
        "first_layer_height_mm",
        "number",
        prusa=("first_layer_height", "initial_layer_height"),
        orca="initial_layer_print_height",
        cura="layer_height_0",
        kisslicer="first_layer_thickness_mm",
    ),
    _setting(
        "nozzle_diameter_mm",
        "number",
        prusa="nozzle_diameter",
        orca="nozzle_diameter",
        cura=("machine_nozzle_size", "EXTRUDER_TRAIN.0.NOZZLE.DIAMETER", "NOZZLE_DIAMETER"),
        simplify3d="extruderDiameter",
        ideamaker="Nozzle Diameter #1",
        kisslicer="nozzle_dia_mm",
    ),
    _setting(
        "infill_density_percent",
        "percent",
        prusa="fill_density",
        orca="sparse_infill_density",
        cura="infill_sparse_density",
        simplify3d="infillPercentage",
        ideamaker=("Infill Density", "infill_density"),
        kisslicer="infill_density_percent",
    ),
    _setting(
        "infill_pattern",
        "text",
        prusa="fill_pattern",
        orca="sparse_infill_pattern",
        cura="infill_pattern",
        simplify3d="internalInfillPattern",
    ),
    _setting(
        "perimeters",
        "integer",
        prusa="perimeters",
        orca="wall_loops",
        cura="wall_line_count",
        simplify3d="perimeterOutlines",
        kisslicer="num_ISOs",
    ),
    _setting(
        "top_layers",
        "integer",
        prusa="top_solid_layers",
        orca="top_shell_layers",
        cura="top_layers",
        simplify3d="topSolidLayers",
    ),
    _setting(
        "bottom_layers",
        "integer",
        prusa="bottom_solid_layers",
        orca="bottom_shell_layers",
        cura="bottom_layers",
        simplify3d="bottomSolidLayers",
    ),
    _setting(
        "supports_enabled",
        "flag",
        prusa="support_material",
        orca="enable_support",
        cura="support_enable",
        simplify3d="generateSupport",
        kisslicer="support_style",
    ),
    _setting("brim_width_mm", "number", prusa="brim_width", orca="brim_width", cura="brim_width"),
    _setting(
        "skirt_loops",
        "integer",
        prusa="skirts",
        orca="skirt_loops",
        cura="skirt_line_count",
        simplify3d="skirtOutlines",
    ),
    _setting(
        "raft_layers",
        "integer",
        prusa="raft_layers",
        orca="raft_layers",
        cura="raft_surface_layers",
        simplify3d="raftTopLayers",
    ),
    _setting(
        "spiral_vase",
        "flag",
        prusa="spiral_vase",
        orca="spiral_mode",
        cura="magic_spiralize",
        simplify3d="spiralVaseMode",
    ),
    _setting(
        "filament_type",
        "text",
        prusa="filament_type",
        orca="filament_type",
        cura=("MATERIAL.TYPE", "material_type", "EXTRUDER_TRAIN.0.MATERIAL.TYPE"),
        simplify3d="printMaterial",
        ideamaker=("Filament Type #1", "Filament Name #1"),
        kisslicer="material_name",
    ),
    _setting(
        "filament_diameter_mm",
        "number",
        prusa="filament_diameter",
        orca=("filament_diameter",),
        cura="material_diameter",
        simplify3d="filamentDiameter",
        ideamaker="Filament Diameter #1",
        kisslicer="fiber_dia_mm",
    ),
    _setting(
        "filament_density_g_cm3",
        "density",
        prusa="filament_density",
        orca="filament_density",
        cura="material_density",
        simplify3d="filamentDensity",
        ideamaker="Filament Density #1",
    ),
    _setting(
        "filament_price_per_kg",
        "number",
        prusa="filament_cost",
        orca="filament_cost",
        simplify3d="filamentPricePerKg",
        kisslicer="cost_per_kg",
    ),
    _setting("filament_colour", "text", prusa=("filament_colour", "extruder_colour"), orca="filament_colour"),
    _setting(
        "filament_profile",
        "text",
        prusa="filament_settings_id",
        orca="filament_settings_id",
        cura="material_name",
        ideamaker="Filament Name #1",
    ),
    _setting(
        "nozzle_temperature_c",
        "number",
        prusa="temperature",
        orca="nozzle_temperature",
        cura=("material_print_temperature", "EXTRUDER_TRAIN.0.INITIAL_TEMPERATURE"),
        simplify3d="extruderTemperature",
        kisslicer="temperature_C",
    ),
    _setting(
        "first_layer_nozzle_temperature_c",
        "number",
        prusa="first_layer_temperature",
        orca="nozzle_temperature_initial_layer",
        cura="material_print_temperature_layer_0",
        kisslicer="first_layer_C",
    ),
    _setting(
        "bed_temperature_c",
        "number",
        prusa="bed_temperature",
        orca=("hot_plate_temp", "textured_plate_temp", "bed_temperature"),
        cura=("material_bed_temperature", "BUILD_PLATE.INITIAL_TEMPERATURE"),
        simplify3d="bedTemperature",
        kisslicer="bed_C",
    ),
    _setting(
        "first_layer_bed_temperature_c",
        "number",
        prusa="first_layer_bed_temperature",
        orca=("hot_plate_temp_initial_layer", "textured_plate_temp_initial_layer"),
        cura="material_bed_temperature_layer_0",
    ),
    _setting(
        "perimeter_speed_mm_s",
        "number",
        prusa="perimeter_speed",
        orca="inner_wall_speed",
        cura=("speed_wall", "speed_print"),
        kisslicer="perim_speed_mm_per_s",
    ),
    _setting(
        "infill_speed_mm_s",
        "number",
        prusa="infill_speed",
        orca="sparse_infill_speed",
        cura=("speed_infill", "speed_print"),
    ),
    _setting("travel_speed_mm_s", "number", prusa="travel_speed", orca="travel_speed", cura="speed_travel"),
    _setting(
        "printer_model",
        "text",
        prusa=("printer_model", "printer_settings_id"),
        orca=("printer_model",),
        cura=("TARGET_MACHINE.NAME", "definition"),
        ideamaker=("Printer Type", "Printer Model"),
        simplify3d="printerModelsOverride",
        kisslicer="printer_name",
    ),
    _setting(
        "printer_profile",
        "text",
        prusa="printer_settings_id",
        orca="printer_settings_id",
        cura="definition",
        simplify3d="profileName",
    ),
    _setting(
        "print_profile",
        "text",
        prusa="print_settings_id",
        orca="print_settings_id",
        cura="profile_name",
        simplify3d="processName",
        kisslicer="style_name",
    ),
    _setting("gcode_flavour", "text", prusa="gcode_flavor", orca="gcode_flavor", cura="FLAVOR"),
)

STATEMENTS = (
    _setting(
        "time_s",
        "duration",
        prusa=("estimated printing time (normal mode)", "estimated printing time"),
        orca=("total estimated time", "estimated printing time (normal mode)"),
        cura=("PRINT.TIME", "TIME"),
        simplify3d=("Build time", "Build Time"),
        ideamaker=("Print Time",),
        kisslicer="Estimated Build Time",
    ),
    _setting(
        "first_layer_time_s",
        "duration",
        prusa="estimated first layer printing time (normal mode)",
        orca="estimated first layer printing time (normal mode)",
    ),
    _setting(
        "filament_mm",
        "numbers",
        prusa=("filament used [mm]", "filament used"),
        orca=("filament used [mm]", "total filament length [mm]"),
        cura="Filament used",
        simplify3d=("Filament length", "Material Length"),
        ideamaker="Material#1 Used",
        kisslicer="+ Ext 1",
    ),
    _setting(
        "filament_cm3",
        "volumes",
        prusa=("filament used [cm3]", "filament used"),
        orca=("filament used [cm3]",),
        cura=("MATERIAL", "EXTRUDER_TRAIN.0.MATERIAL.VOLUME_USED"),
        simplify3d=("Plastic volume", "Material Volume"),
        kisslicer="+ Ext 1",
    ),
    _setting(
        "filament_g",
        "numbers",
        prusa=("filament used [g]", "total filament used [g]"),
        orca=("filament used [g]", "total filament weight [g]"),
        cura="Filament weight",
        simplify3d=("Plastic weight", "Material Weight"),
    ),
    _setting(
        "cost",
        "numbers",
        prusa=("total filament cost", "filament cost"),
        orca=("total filament cost", "filament cost"),
        simplify3d=("Material cost", "Material Cost"),
    ),
    _setting(
        "layer_count",
        "integer",
        prusa="total layers count",
        orca=("total layer number", "total layers count"),
        cura="LAYER_COUNT",
    ),
    _setting(
        "wipe_tower_g",
        "numbers",
        prusa="total filament used for wipe tower [g]",
        orca="total filament used for wipe tower [g]",
    ),
)
"""What a slicer states about the whole print. Cura's filament is in metres."""

PLACEHOLDERS: dict[tuple[str | None, str], Any] = {("cura", "time_s"): 6666, ("cura", "filament_cm3"): [6666]}
"""Values of a template that the slicer did not fill in, by dialect and name: no statements."""
IN_MM3 = ("MATERIAL", "EXTRUDER_TRAIN.0.MATERIAL.VOLUME_USED")
"""Keys whose volumes are in mm3 although no unit is written."""

PERCENT_OF: dict[tuple[str, str], str] = {("prusa", "first_layer_height_mm"): "layer_height_mm"}
"""The setting of which a percentage is meant, by dialect and name; others have a base that the file doesn't name."""

MAX_VALUE = 2000  # characters of a value that are read
MAX_NUMBER = 1e9  # what is larger is no statement on a print
_PLAIN = r"[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+)"
_NUMBER = re.compile(_PLAIN)
# A number with a unit or words behind it, and nothing that computes.
_ALONE = re.compile(rf"\$?\s*({_PLAIN})\s*(%?)(?:[A-Za-z°µ$€][\w°µ²³^/ .()\[\]$€-]*)?")
_COMMA_PAIR = re.compile(r"([-+]?\d+),(\d+)(\s*[A-Za-z%°][\w³^]*)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(days?|d|hours?|hrs?|h|minutes?|min|m|seconds?|sec|s)\b", re.I)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_UNLIKE = 8  # two entries of a list don't differ more than that many times: otherwise the comma is a decimal one


def read_value(kind: Kind, text: str | None, tool: int = 0) -> Any:
    """Reads a raw value as text, flag, number or list of numbers; None when it is missing or makes no sense.

    tool: the entry of a list with one for each tool. A percentage, a formula or a fraction is no number: None.
    """
    text = (text or "")[:MAX_VALUE].strip().strip('"')
    if not text or text.lower() in ("nil", "none", "n/a"):
        return None
    if kind in ("number", "percent", "integer", "density"):
        return _READERS[kind](_entry(text, tool))
    return _text(text, tool) if kind == "text" else _READERS[kind](text)


def read_number(text: str | None) -> float | None:
    """A raw value that is a number, or the first one of a list; None otherwise."""
    return read_value("number", text)


def _entry(text: str, tool: int) -> str:
    """The tool's part of a list, or the only part; a decimal comma becomes a point."""
    text = _decimal(text)
    parts = [part.strip().strip('"') for part in text.split(";" if ";" in text else ",")]
    return parts[tool] if tool < len(parts) else parts[0]


def _decimal(text: str) -> str:
    """`2,85` is one number where two entries of a list would not look like that."""
    pair = _COMMA_PAIR.fullmatch(text)
    if not pair:
        return text
    whole, part = abs(int(pair[1][:18])), int(pair[2][:18])
    alone = pair[3] is not None or whole == 0 or (len(pair[2]) > 1 and pair[2][0] == "0")
    return (
        f"{pair[1]}.{pair[2]}{pair[3] or ''}" if alone or part > _UNLIKE * whole or whole > _UNLIKE * part > 0 else text
    )


def _text(text: str, tool: int = 0) -> str | None:
    parts = re.split(r'"?;"?|(?<=\w),(?=\w)', text)
    return (parts[tool] if tool < len(parts) else parts[0]).strip().strip('"')[:500] or None


def _flag(text: str) -> bool:
    head = re.split(r"[,;]", text.lower())[0].strip()
    return head in ("1", "true", "yes", "on") or (head.isdecimal() and int(head) > 0)


def _duration(text: str) -> float | None:
    """Seconds of ``1d 2h 3m 4s``, ``12:34:56`` or a number of seconds; 0 is a blank."""
    parts = _DURATION.findall(text)
    if parts:
        seconds = sum(float(n) * _SECONDS[unit[0].lower()] for n, unit in parts)
    elif clock := re.fullmatch(r"(?:(\d+):)?(\d+):(\d+)", text):
        seconds = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3])
    else:
        seconds = _number(text)
    return seconds if seconds is not None and 0 < seconds < MAX_NUMBER else None


def _numbers(text: str) -> list[float] | None:
    """Numbers of a list, without what stands in brackets."""
    parts = [_decimal(part.strip()) for part in re.sub(r"\([^)]*\)", "", text).split(";")]
    return _listed(" ".join(parts))


def _volumes(text: str) -> list[float] | None:
    """Volumes of a list; behind a length they stand in brackets: ``10.8 mm (0.03 cm^3)``."""
    inside = re.findall(r"\(([^)]*cm\^?3[^)]*)\)", text)
    if inside:
        return _listed(" ".join(_decimal(part.strip()) for part in inside))
    return None if re.search(r"\d\s*mm(?!\^?3)", text) else _numbers(text)


def _listed(text: str) -> list[float] | None:
    found = [float(n) for n in _NUMBER.findall(re.sub(r"[mc]m\^?3", "", text))]
    return found if found and all(abs(n) <= MAX_NUMBER for n in found) else None


def _number(text: str) -> float | None:
    found = _ALONE.fullmatch(text.strip())
    value = float(found[1]) if found and not found[2] else None
    return None if value is None or abs(value) > MAX_NUMBER else value


def _percent(text: str) -> float | None:
    found = _ALONE.fullmatch(text.strip())
    value = float(found[1]) if found else None
    return None if value is None or abs(value) > MAX_NUMBER else value


def _integer(text: str) -> int | None:
    value = _number(text)
    return None if value is None else int(value)


def _density(text: str) -> float | None:
    """g/cm3; ideaMaker writes kg/m3, and 0 is a template's blank."""
    value = _number(text)
    return value / 1000 if value and value > 100 else value or None


_READERS: dict[Kind, Callable[[str], Any]] = {
    "flag": _flag,
    "duration": _duration,
    "numbers": _numbers,
    "volumes": _volumes,
    "number": _number,
    "percent": _percent,
    "integer": _integer,
    "density": _density,
}


_OBJECT_NAMES = tuple(
    re.compile(pattern, re.S) for pattern in (r"(.*?) id:(\d+) copy (\d+)", r"(.*?)_id_(\d+)_copy_(\d+)")
)
_NUMBERED = re.compile(r"(.*)\((\d+)\)", re.S)


def object_name(label: str) -> tuple[str, int | None, int | None]:
    """(name, copy, object id) of an object's mark; None for what is not in it.

    Marks look like ``box.stl id:0 copy 1``, ``box.stl_id_0_copy_1`` or ``box.stl(1)``.
    """
    for pattern in _OBJECT_NAMES:
        if found := pattern.fullmatch(label):
            return found[1], int(found[3]), int(found[2])
    if found := _NUMBERED.fullmatch(label):
        return found[1], int(found[2]), None
    return label, None, None
