"""G-code of the emulated prints, in the true dialects of PrusaSlicer, OrcaSlicer and Cura.

A file agrees with its plan: size and layers of the object, sum of extrusion = filament, time of the moves = motion
time. A part is a stack of rounded outlines with infill; nobody would print it, but every reader finds what slicers
write.
"""

import base64
import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from .fleet import PrinterSpec
from .jobs import Plan
from .physics import FILAMENT_AREA_MM2, MATERIALS, PROFILES, Profile

LINE_BUDGET = 7000
TRAVEL_MM_S = 180.0
KEPT_FILES = 60

Dialect = Literal["prusa", "orca", "cura"]
DIALECTS: dict[str, Dialect] = {"octoprint": "cura", "moonraker": "orca", "simplyprint": "orca"}
Feature = Literal["skirt", "inner", "outer", "solid", "top", "fill"]
FEATURES: dict[Dialect, dict[Feature, str]] = {
    "prusa": {
        "skirt": "Skirt/Brim",
        "inner": "Perimeter",
        "outer": "External perimeter",
        "solid": "Solid infill",
        "top": "Top solid infill",
        "fill": "Internal infill",
    },
    "orca": {
        "skirt": "Skirt",
        "inner": "Inner wall",
        "outer": "Outer wall",
        "solid": "Internal solid infill",
        "top": "Top surface",
        "fill": "Sparse infill",
    },
    "cura": {
        "skirt": "SKIRT",
        "inner": "WALL-INNER",
        "outer": "WALL-OUTER",
        "solid": "SKIN",
        "top": "SKIN",
        "fill": "FILL",
    },
}
RETRACTION_MM: dict[Dialect, float] = {"prusa": 0.8, "orca": 0.5, "cura": 5.0}
COLOURS = {"PLA": (242, 130, 48), "PETG": (64, 140, 214), "ASA": (96, 99, 105)}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """One object on the bed: centre, half axes and roundness of its outline (2 ellipse … 8 nearly a box)."""

    name: str
    copy: int
    x: float
    y: float
    a: float
    b: float
    power: float

    def outline(self, inset: float, points: int) -> list[Point]:
        """A closed loop of so many points, `inset` mm inside the outline."""
        a, b = max(0.3, self.a - inset), max(0.3, self.b - inset)
        loop = []
        for i in range(points):
            c, s = math.cos(2 * math.pi * i / points), math.sin(2 * math.pi * i / points)
            # On the axes a superellipse touches its box: with points on all four the bounding box is exact.
            loop.append(
                (
                    self.x + math.copysign(a * abs(c) ** (2 / self.power), c),
                    self.y + math.copysign(b * abs(s) ** (2 / self.power), s),
                )
            )
        return loop + loop[:1]

    def chords(self, inset: float, count: int, along_x: bool) -> list[Point]:
        """The ends of `count` parallel lines that fill the outline, drawn there and back."""
        a, b = max(0.2, self.a - inset), max(0.2, self.b - inset)
        if not along_x:
            a, b = b, a
        corners: list[Point] = []
        for i in range(count):
            offset = b * (2 * (i + 0.5) / count - 1)
            reach = a * max(0.0, 1 - abs(offset / b) ** self.power) ** (1 / self.power)
            ends = [(-reach, offset), (reach, offset)] if i % 2 == 0 else [(reach, offset), (-reach, offset)]
            corners += [(self.x + u, self.y + v) if along_x else (self.x + v, self.y + u) for u, v in ends]
        return corners


class Stroke(NamedTuple):
    """A line that is drawn without lifting the nozzle; `shape` is None for the skirt."""

    shape: Shape | None
    feature: Feature
    points: list[Point]


def shapes_of(plan: Plan, profile: Profile) -> list[Shape]:
    """The objects of a plan, filling its size around the middle of the bed."""
    cx, cy = profile.bed_width / 2, profile.bed_depth / 2
    power = (2.0, 4.0, 8.0)[sum(map(ord, plan.stem)) % 3]
    columns, rows = (4, 3) if "×12" in plan.stem else (1, 1)
    space = 1.0 if columns == 1 else 0.88
    a, b = plan.size[0] / columns * space / 2, plan.size[1] / rows * space / 2
    # The outermost objects touch the edges of the plan's size.
    step_x, step_y = (
        (size - 2 * half) / max(1, count - 1)
        for size, half, count in ((plan.size[0], a, columns), (plan.size[1], b, rows))
    )
    shapes = []
    for k in range(columns * rows):
        column, row = k % columns, k // columns
        shapes.append(
            Shape(
                f"{plan.stem}.stl",
                k,
                cx + (column - (columns - 1) / 2) * step_x,
                cy + (row - (rows - 1) / 2) * step_y,
                a,
                b,
                power,
            )
        )
    return shapes


def _length(points: Sequence[Point]) -> float:
    return sum(math.dist(p, q) for p, q in pairwise(points))


def layer_paths(plan: Plan, profile: Profile) -> list[list[Stroke]]:
    """The strokes of each layer, in the order in which they are drawn."""
    shapes, layers = shapes_of(plan, profile), plan.layers
    width = 0.45
    per_layer = max(8, LINE_BUDGET // layers // len(shapes))
    points = max(8, min(40, per_layer // 3 // 4 * 4))
    target = plan.motion_s * profile.speed_mm_s / layers / len(shapes)
    loops = _length(shapes[0].outline(width / 2, points)) + _length(shapes[0].outline(1.5 * width, points))
    chord = 1.6 * min(shapes[0].a, shapes[0].b)
    chords = max(2, min(per_layer // 2, 60, round((target - loops) / chord)))
    result = []
    for number in range(layers):
        layer: list[Stroke] = []
        if number == 0:
            reach = (
                max(abs(s.x - profile.bed_width / 2) + s.a for s in shapes) + 4,
                max(abs(s.y - profile.bed_depth / 2) + s.b for s in shapes) + 4,
            )
            skirt = Shape("", 0, profile.bed_width / 2, profile.bed_depth / 2, *reach, 8.0)
            layer.append(Stroke(None, "skirt", skirt.outline(0, 24)))
        solid = number < 2 or number >= layers - 2
        feature: Feature = "top" if number == layers - 1 else "solid" if solid else "fill"
        for shape in shapes:
            layer.append(Stroke(shape, "inner", shape.outline(1.5 * width, points)))
            layer.append(Stroke(shape, "outer", shape.outline(width / 2, points)))
            zigzag = shape.chords(2 * width, chords * 2 if solid else chords, number % 2 == 0)
            layer.append(Stroke(shape, feature, zigzag))
        result.append(layer)
    return result


# ---------------------------------------------------------------------- picture


def png(width: int, height: int, pixels: bytes) -> bytes:
    """RGBA pixels as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[4 * width * y : 4 * width * (y + 1)] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def thumbnail(plan: Plan, width: int, height: int) -> bytes:
    """A PNG of the part as a solid block seen from the front above."""
    red, green, blue = COLOURS[plan.material]
    power = shapes_of(plan, PROFILES["mk4"])[0].power
    x, y, z = plan.size
    scale = min(width * 0.8 / x, height * 0.85 / (0.45 * y + 0.8 * z))
    a, b, tall = x * scale / 2, max(1.0, 0.45 * y * scale / 2), 0.8 * z * scale
    top = (height - tall) / 2
    picture = bytearray()
    for row in range(height):
        for column in range(width):
            u, v = column + 0.5 - width / 2, row + 0.5 - top
            if abs(u) >= a:
                picture += b"\0\0\0\0"
                continue
            edge = b * (1 - abs(u / a) ** power) ** (1 / power)
            if abs(v) <= edge:
                shade = 1.0
            elif edge < v <= tall + edge:
                shade = (0.62 + 0.22 * u / a) * (0.94 if int((v - edge) / 2) % 2 else 1.0)
            else:
                picture += b"\0\0\0\0"
                continue
            picture += bytes((int(red * shade), int(green * shade), int(blue * shade), 255))
    return png(width, height, bytes(picture))


def _thumbnail_lines(plan: Plan, width: int, height: int) -> list[str]:
    text = base64.b64encode(thumbnail(plan, width, height)).decode()
    return [
        ";",
        f"; thumbnail begin {width}x{height} {len(text)}",
        *(f"; {text[i : i + 78]}" for i in range(0, len(text), 78)),
        "; thumbnail end",
        ";",
        "",
    ]


# ---------------------------------------------------------------------- text


def _clock(seconds: float) -> str:
    seconds = round(seconds)
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return " ".join(
        part for part in (f"{hours}h" if hours else "", f"{minutes}m" if hours or minutes else "", f"{rest}s") if part
    )


class _Speeds(NamedTuple):
    """How fast (`feed`, mm/min) and how thick (`per_mm`, mm of filament for a mm of line) a plan is drawn, so that its
    time and its filament are exact.
    """

    feed: int
    per_mm: float


def _speeds(plan: Plan, layers: Sequence[Sequence[Stroke]], retraction: float) -> _Speeds:
    drawn = travelled = 0.0
    stops, place = 0, (0.0, 0.0)
    for layer in layers:
        for _, _, points in layer:
            travelled += math.dist(place, points[0])
            drawn += _length(points)
            place = points[-1]
            stops += 1
    still = travelled / TRAVEL_MM_S + stops * 2 * retraction / 45 + plan.layers * plan.layer_height / 10
    speed = drawn / max(0.2 * plan.motion_s, plan.motion_s - still)
    return _Speeds(max(60, round(speed * 60)), plan.filament_mm / drawn)


def _moves(plan: Plan, profile: Profile, dialect: Dialect) -> list[str]:
    """The lines of all layers."""
    layers = layer_paths(plan, profile)
    retraction = RETRACTION_MM[dialect]
    feed, per_mm = _speeds(plan, layers, retraction)
    bead = per_mm * FILAMENT_AREA_MM2 / plan.layer_height
    names, absolute = FEATURES[dialect], dialect == "cura"
    lines, e, elapsed, place = [], 0.0, 0.0, (0.0, 0.0)
    for number, layer in enumerate(layers):
        z = round((number + 1) * plan.layer_height, 4)
        lines += _layer_begin(plan, dialect, number, z)
        inside: Shape | None = None
        for shape, feature, points in layer:
            if shape is not inside:
                lines += _object_change(inside, shape, dialect)
                inside = shape
            x, y = points[0]
            if absolute:
                lines += [
                    f"G1 F2700 E{e - retraction:.5f}",
                    f"G0 F{TRAVEL_MM_S * 60:.0f} X{x:.3f} Y{y:.3f} Z{z:g}",
                    f";TYPE:{names[feature]}",
                    f"G1 F2700 E{e:.5f}",
                ]
            else:
                lines += [
                    f"G1 E-{retraction:g} F2700",
                    f"G1 X{x:.3f} Y{y:.3f} F{TRAVEL_MM_S * 60:.0f}",
                    f"G1 E{retraction:g} F2700",
                    f";TYPE:{names[feature]}",
                    f";WIDTH:{bead:.5g}",
                ]
            elapsed += math.dist(place, points[0]) / TRAVEL_MM_S
            lines.append(f"G1 F{feed}")
            for (x0, y0), (x, y) in pairwise(points):
                length = math.hypot(x - x0, y - y0)
                # Rounded per move like the file is, so that relative moves don't drift from the absolute sum.
                piece = round(e + length * per_mm, 5) - round(e, 5)
                e += length * per_mm
                elapsed += length * 60 / feed
                lines.append(f"G1 X{x:.3f} Y{y:.3f} E{e if absolute else piece:.5f}")
            place = points[-1]
        lines += _object_change(inside, None, dialect)
        if absolute:
            lines.append(f";TIME_ELAPSED:{elapsed:.6f}")
    return lines


def _layer_begin(plan: Plan, dialect: Dialect, number: int, z: float) -> list[str]:
    if dialect == "cura":
        lines = [f";LAYER:{number}"]
    else:
        lines = [
            ";LAYER_CHANGE",
            f";Z:{z:g}",
            f";HEIGHT:{plan.layer_height:g}",
            ";BEFORE_LAYER_CHANGE",
            "G92 E0.0",
            f";{z:g}",
            "",
            f"G1 Z{z:g} F600",
            ";AFTER_LAYER_CHANGE",
            f";{z:g}",
        ]
    if number == 2 and plan.fan > 0:
        lines.append(f"M106 S{plan.fan * 255:g}")
    if dialect == "prusa" and number % max(1, plan.layers // 50) == 0:
        left_min = math.ceil(plan.motion_s * (1 - number / plan.layers) / 60)
        lines.append(f"M73 P{number * 100 // plan.layers} R{left_min}")
    return lines


def _object_change(old: Shape | None, new: Shape | None, dialect: Dialect) -> list[str]:
    """The marks between two objects; None is the skirt, or the end of the layer."""
    if dialect == "cura":
        return [f";MESH:{new.name}"] if new else []
    return [
        *([f"; stop printing object {old.name} id:0 copy {old.copy}"] if old else []),
        *([f"; printing object {new.name} id:0 copy {new.copy}"] if new else []),
    ]


def _config(plan: Plan, spec: PrinterSpec, profile: Profile) -> list[str]:
    """The slicer's settings as key = value, those that programs read."""
    material = MATERIALS[plan.material]
    return [
        f"; {key} = {value}"
        for key, value in sorted(
            {
                "bed_shape": f"0x0,{profile.bed_width}x0,{profile.bed_width}x{profile.bed_depth},0x{profile.bed_depth}",
                "bed_temperature": f"{plan.bed:g}",
                "bottom_solid_layers": 2,
                "brim_width": 0,
                "complete_objects": 0,
                "extrusion_width": 0.45,
                "filament_cost": material.price_per_kg,
                "filament_density": material.density,
                "filament_diameter": 1.75,
                "filament_settings_id": f'"Generic {plan.material}"',
                "filament_type": plan.material,
                "fill_density": f"{plan.infill}%",
                "fill_pattern": "rectilinear",
                "first_layer_bed_temperature": f"{plan.bed:g}",
                "first_layer_height": plan.layer_height,
                "first_layer_temperature": f"{plan.nozzle:g}",
                "gcode_flavor": "marlin2",
                "infill_speed": profile.speed_mm_s,
                "layer_height": plan.layer_height,
                "nozzle_diameter": 0.4,
                "perimeters": 2,
                "print_settings_id": f"{plan.layer_height:.2f}mm QUALITY",
                "printer_model": spec.device_model.split()[-1] if spec.device_model else spec.profile,
                "printer_settings_id": spec.device_model,
                "skirts": 1,
                "spiral_vase": 0,
                "support_material": 0,
                "temperature": f"{plan.nozzle:g}",
                "top_solid_layers": 2,
                "travel_speed": f"{TRAVEL_MM_S:g}",
                "use_relative_e_distances": 1,
            }.items()
        )
    ]


def _totals(plan: Plan) -> list[str]:
    material = MATERIALS[plan.material]
    cost = plan.filament_g / 1000 * material.price_per_kg
    return [
        f"; filament used [mm] = {plan.filament_mm:.2f}",
        f"; filament used [cm3] = {plan.filament_mm * FILAMENT_AREA_MM2 / 1000:.2f}",
        f"; filament used [g] = {plan.filament_g:.2f}",
        f"; filament cost = {cost:.2f}",
        f"; total filament used [g] = {plan.filament_g:.2f}",
        f"; total filament cost = {cost:.2f}",
        f"; estimated printing time (normal mode) = {_clock(plan.motion_s)}",
    ]


LIMITS = [
    "M201 X5000 Y5000 Z400 E8000",
    "M203 X250 Y250 Z12 E120",
    "M204 P4000 R2500 T5000",
    "M205 X8.00 Y8.00 Z0.40 E5.00",
]
END = ["M107", "M104 S0", "M140 S0", "G1 X5 F9000", "M84"]


def _start(plan: Plan) -> list[str]:
    return [
        "G90",
        f"M104 S{plan.nozzle:g}",
        f"M140 S{plan.bed:g}",
        f"M190 S{plan.bed:g}",
        f"M109 S{plan.nozzle:g}",
        "G28",
        "G92 E0",
    ]


def _sliced_at(plan: Plan) -> str:
    return f"2026-10-{plan.seed % 28 + 1:02d} at {plan.seed % 12 + 8:02d}:{plan.seed % 60:02d}:00 UTC"


def _cura(plan: Plan, spec: PrinterSpec, profile: Profile) -> list[str]:
    cx, cy, (x, y, z) = profile.bed_width / 2, profile.bed_depth / 2, plan.size
    values = {
        "layer_height": f"{plan.layer_height:g}",
        "infill_sparse_density": plan.infill,
        "material_type": plan.material,
    }
    quality = "[general]\nversion = 4\nname = Standard Quality\n\n[values]\n" + "".join(
        f"{k} = {v}\n" for k, v in values.items()
    )
    # Cura stores JSON whose strings contain escaped line ends.
    settings = json.dumps({"global_quality": quality.replace("\n", "\\n")})
    return [
        ";FLAVOR:Marlin",
        f";TIME:{plan.motion_s:.0f}",
        f";Filament used: {plan.filament_mm / 1000:.5f}m",
        f";Layer height: {plan.layer_height:g}",
        f";MINX:{cx - x / 2:.3f}",
        f";MINY:{cy - y / 2:.3f}",
        f";MINZ:{plan.layer_height:g}",
        f";MAXX:{cx + x / 2:.3f}",
        f";MAXY:{cy + y / 2:.3f}",
        f";MAXZ:{z:g}",
        f";TARGET_MACHINE.NAME:{spec.device_model}",
        ";Generated with Cura_SteamEngine 5.6.0",
        *LIMITS,
        *_start(plan),
        "M82 ;absolute extrusion mode",
        f";LAYER_COUNT:{plan.layers}",
        *_moves(plan, profile, "cura"),
        "M83 ;relative extrusion mode",
        *END,
        ";End of Gcode",
        *(f";SETTING_3 {settings[i : i + 70]}" for i in range(0, len(settings), 70)),
    ]


def _orca(plan: Plan, spec: PrinterSpec, profile: Profile) -> list[str]:
    return [
        "; HEADER_BLOCK_START",
        f"; generated by OrcaSlicer 2.1.1 on {_sliced_at(plan)}",
        f"; total layer number: {plan.layers}",
        f"; filament_density: {MATERIALS[plan.material].density}",
        "; filament_diameter: 1.75",
        f"; max_z_height: {plan.size[2]:.2f}",
        "; HEADER_BLOCK_END",
        "",
        "; THUMBNAIL_BLOCK_START",
        *_thumbnail_lines(plan, 220, 124),
        "; THUMBNAIL_BLOCK_END",
        "",
        "; EXECUTABLE_BLOCK_START",
        *LIMITS,
        *_start(plan),
        "M83",
        *_moves(plan, profile, "orca"),
        *END,
        "; EXECUTABLE_BLOCK_END",
        "",
        *_totals(plan),
        "",
        "; CONFIG_BLOCK_START",
        *_config(plan, spec, profile),
        f"; sparse_infill_density = {plan.infill}%",
        "; CONFIG_BLOCK_END",
    ]


def _prusa(plan: Plan, spec: PrinterSpec, profile: Profile) -> list[str]:
    return [
        f"; generated by PrusaSlicer 2.8.0+linux-x64 on {_sliced_at(plan)}",
        "",
        *_thumbnail_lines(plan, 16, 16),
        *_thumbnail_lines(plan, 220, 124),
        "; external perimeters extrusion width = 0.45mm",
        "; infill extrusion width = 0.45mm",
        "",
        f"M73 P0 R{math.ceil(plan.motion_s / 60)}",
        *LIMITS,
        "M107",
        ";TYPE:Custom",
        "M862.1 P0.4 ; nozzle diameter check",
        *_start(plan),
        "M83 ; extruder relative mode",
        *_moves(plan, profile, "prusa"),
        ";TYPE:Custom",
        *END,
        "M73 P100 R0",
        *_totals(plan),
        "",
        "; prusaslicer_config = begin",
        *_config(plan, spec, profile),
        "; prusaslicer_config = end",
    ]


def text(plan: Plan, spec: PrinterSpec) -> str:
    """The whole file of a plan for the printer `spec`."""
    write = {"cura": _cura, "orca": _orca, "prusa": _prusa}[DIALECTS.get(spec.protocol, "prusa")]
    return "\n".join(write(plan, spec, PROFILES[spec.profile])) + "\n"


# ---------------------------------------------------------------------- files


def path_for(plan: Plan, spec: PrinterSpec, folder: Path) -> Path:
    """Where the file of a plan is kept; a name from outside is never part of the path."""
    digest = hashlib.sha256(repr((plan, spec.profile, spec.protocol, spec.device_model)).encode()).hexdigest()[:20]
    return folder / f"{digest}.gcode"


def file_for(plan: Plan, spec: PrinterSpec, folder: Path) -> Path:
    """The plan's file, made when it isn't there yet; of more than KEPT_FILES the oldest are removed."""
    path = path_for(plan, spec, folder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(text(plan, spec), encoding="utf-8")
        os.replace(temporary, path)
        files = sorted(path.parent.glob("*.gcode"), key=lambda p: p.stat().st_mtime)
        for old in files[:-KEPT_FILES]:
            old.unlink(missing_ok=True)
    return path
