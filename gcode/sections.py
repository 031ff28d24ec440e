"""The sections of the document (schema.json) that are computed from what a program adds up to."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from . import dialects, materials
from .arrays import Flags, Floats
from .program import Program
from .sums import CUSTOM, EXTRUDED, OUT, TIME, TRAVEL, Sums, is_box

Warn = Callable[[str, str], None]
"""Takes the code and the sentence of a warning."""

_KISS_MARK = next(number for number, marker in enumerate(dialects.MARKERS) if marker[0] == b"BEGIN_LAYER_OBJECT")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the slicer says: who it is, its raw settings, normalised ones, statements, and the raw keys of both."""

    name: str | None
    version: str | None
    dialect: str | None
    raw: dict[str, str]
    values: dict[str, Any]
    value_keys: dict[str, str]
    stated: dict[str, Any]
    stated_keys: dict[str, str]


class Layers(TypedDict):
    """Columns of equal length."""

    count: int
    z_mm: list[float]
    height_mm: list[float]
    time_s: list[float]
    filament_mm: list[float]
    first: list[int]


class Clock(TypedDict):
    """The section `time`."""

    total_s: float
    source: str
    moves_s: float
    scale: float
    before_first_layer_s: float
    first_layer_s: float | None
    limits: str


class Tool(TypedDict):
    """The filament of a tool."""

    tool: int
    type: str | None
    diameter_mm: float
    density_g_cm3: float
    density_source: str
    colour: str | None
    moved_mm: float
    mm: float
    g: float
    share: float | None


class Filament(TypedDict):
    """The section `filament`."""

    total_mm: float
    moved_mm: float
    custom_mm: float
    total_g: float
    volume_cm3: float
    cost: float | None
    source: str
    tools: list[Tool]


def layers(program: Program, values: dict[str, Any], warn: Warn) -> Layers:
    """Per layer in which something is printed; times are those of the moves."""
    state, sums = program.kernel.state, program.sums
    count = min(state.layer + 1, len(sums.layers) - 1)
    if state.layer_marker < 0 and count:
        warn("layers_by_height", "The file marks no layers; they were told by the heights at which it extrudes.")
    rows = slice(1, count + 1)
    # A mark without extrusion (the end of the program, or an empty layer) is no layer: its time goes to the one before.
    printed, z = sums.printed_layers()[rows], sums.layer_z[rows]
    if state.layer_marker == _KISS_MARK:  # one mark per layer and object
        printed[1:] &= ~(np.abs(np.diff(z)) < 1e-6)
    if state.layer_marker < 0:
        _leave_out_start(sums, printed, z)
    if not printed.any():
        return Layers(count=0, z_mm=[], height_mm=[], time_s=[], filament_mm=[], first=[])
    made = np.zeros((int(printed.sum()), 4))
    np.add.at(made, np.maximum(np.cumsum(printed) - 1, 0), sums.layers[rows])
    z, height = z[printed], sums.layer_height[rows][printed]
    steps = np.diff(z, prepend=0.0)
    first_height = values.get("first_layer_height_mm") or values.get("layer_height_mm") or float(z[0])
    guess = np.where(steps > 0, steps, first_height)  # one object after the other: the next begins at the bed again
    return Layers(
        count=len(made),
        z_mm=z.round(3).tolist(),
        height_mm=np.where(height > 0, height, guess).round(3).tolist(),
        time_s=made[:, TIME].round(2).tolist(),
        filament_mm=made[:, OUT].round(2).tolist(),
        first=np.flatnonzero(printed).tolist(),
    )


def _leave_out_start(sums: Sums, printed: Flags, z: Floats) -> None:
    """Without marks a purge line looks like a layer: on the bed itself, or above the layer after it."""
    places, lead = np.flatnonzero(printed), 0
    while lead + 1 < len(places) and (z[places[lead]] <= 0 or (lead == 0 and z[places[0]] > z[places[1]])):
        lead += 1
    if lead:
        first = places[lead]
        sums.layers[0] += sums.layers[1 : first + 1].sum(axis=0)
        sums.layers[1 : first + 1] = 0
        printed[:first] = False


def clock(program: Program, stated: dict[str, Any], layers: Layers, warn: Warn) -> Clock:
    """The time in total; scales the layers' times to it."""
    moves, before = float(program.sums.layers[:, TIME].sum()), float(program.sums.layers[0, TIME])
    total, source = moves, "moves"
    if stated.get("time_s"):
        total, source = stated["time_s"], "slicer"
    scale = total / moves if moves > 0 else 1.0
    if source == "slicer" and moves and not 0.5 < scale < 2:
        warn("time_differs", f"The slicer states {total:.0f} s, the moves take {moves:.0f} s by our count.")
    if source == "moves":
        warn(
            "time_from_moves",
            "The slicer states no print time; it was counted from the moves, without heating and levelling.",
        )
    if program.limits.source in ("default", "Cura's defaults"):
        warn(
            "limits_unknown",
            "The file doesn't say what the machine can do; time is counted with usual limits "
            f"({program.limits.print_acceleration:,.0f} mm/s2).",
        )
    layers["time_s"] = [round(seconds * scale, 2) for seconds in layers["time_s"]]
    return Clock(
        total_s=round(total, 1),
        source=source,
        moves_s=round(moves, 1),
        scale=round(scale, 5),
        before_first_layer_s=round(before * scale, 2),
        first_layer_s=stated.get("first_layer_time_s", layers["time_s"][0] if layers["count"] else None),
        limits=program.limits.source,
    )


def filament(program: Program, settings: Settings, warn: Warn) -> Filament:
    """The slicer's statements where there are any, otherwise what the moves push out."""
    sums, stated = program.sums, settings.stated
    stated_mm, stated_g = stated.get("filament_mm") or [], stated.get("filament_g") or []
    stated_cm3 = stated.get("filament_cm3") or []
    used = np.flatnonzero(sums.tool_moves).tolist() or [0]
    slots = _slots(settings)
    tools, volumes = [], []
    for place, number in enumerate(used):
        # A slicer lists every filament of the printer, or only those that are used.
        at = slots.index(number) if number in slots else place
        mm = _of_tool(stated_mm, number, at, len(slots or used))
        cm3 = _of_tool(stated_cm3, number, at, len(slots or used)) if len(stated_cm3) >= len(used) else None
        grams = _of_tool(stated_g, number, at, len(slots or used)) if len(stated_g) >= len(used) else None
        tools.append(_tool(program, settings, number, mm, cm3, grams))
        volumes.append(cm3)
    if any(tool["density_source"] != "slicer" for tool in tools):
        warn(
            "density_from_table", "The slicer states no density; grams were computed with a usual one of the material."
        )
    if not all(_diameter(program, settings, number) for number in used):
        warn("diameter_assumed", "The filament's diameter is not stated; 1.75 mm is assumed.")
    total_g = sum(tool["g"] for tool in tools)
    if len(stated_g) == 1 and len(tools) > 1 and stated_g[0] > 0:
        total_g = stated_g[0]
    for tool in tools:
        tool["share"] = round(tool["g"] / total_g, 5) if total_g else None
    volume = sum(
        tool["mm"] * math.pi * tool["diameter_mm"] ** 2 / 4000 if cm3 is None else cm3
        for tool, cm3 in zip(tools, volumes)
    )
    moved = float(sums.layers[:, OUT].sum())
    start = float(sums.layers[0, OUT]) / moved if moved > 0 else 0.0
    _compare(tools, volumes, stated_mm, start, all(_diameter(program, settings, number) for number in used), warn)
    cost = stated.get("cost")
    return Filament(
        total_mm=round(sum(tool["mm"] for tool in tools), 2),
        moved_mm=round(float(sums.features[:, OUT].sum()), 2),
        custom_mm=round(float(sums.features[CUSTOM, OUT]), 2),
        total_g=round(total_g, 3),
        volume_cm3=round(volume, 3),
        cost=round(sum(cost), 4) if cost and sum(cost) else None,
        source="slicer" if sum(stated_mm) or sum(stated_cm3) else "moves",
        tools=tools,
    )


def _slots(settings: Settings) -> list[int]:
    """The tools that Bambu's header names by their slots (from 1), in the order of its lists; [] without."""
    text = settings.raw.get("filament", "") if settings.dialect == "orca" else ""
    return [int(slot) - 1 for slot in text.split(",")] if re.fullmatch(r"[1-9]\d?(,[1-9]\d?)*", text) else []


def _compare(
    tools: list[Tool],
    volumes: list[float | None],
    stated_mm: list[float],
    start: float,
    diameter_known: bool,
    warn: Warn,
) -> None:
    """Warns where the slicer's filament is not that of the moves, with or without the share of the start program."""
    moved, stated, what = sum(tool["moved_mm"] for tool in tools), sum(stated_mm), "mm"
    if not stated and diameter_known and volumes and None not in volumes:
        moved = sum(tool["moved_mm"] * math.pi * tool["diameter_mm"] ** 2 / 4000 for tool in tools)
        stated, what = sum(volume or 0 for volume in volumes), "cm3"
    if stated and moved and not any(0.8 < stated / part < 1.25 for part in (moved, moved * (1 - start)) if part > 0):
        warn(
            "filament_differs",
            f"The slicer states {stated:,.2f} {what} of filament, the moves push {moved:,.2f} {what}.",
        )


def _of_tool(stated: list[float], tool: int, place: int, used: int) -> float | None:
    """A tool's value in a list per filament; None if it is missing or not positive."""
    at = tool if len(stated) > used else place
    return stated[at] if at < len(stated) and stated[at] > 0 else None


def _tool(
    program: Program, settings: Settings, number: int, mm: float | None, cm3: float | None, grams: float | None
) -> Tool:
    """mm, cm3, grams: what the slicer states, if anything."""
    raw, made = settings.raw, float(program.sums.tools[number, OUT])
    diameter = _diameter(program, settings, number) or materials.DIAMETER
    kind = dialects.read_value("text", _per_tool(raw, "filament_type", number)) or settings.values.get("filament_type")
    density = dialects.read_value("density", _per_tool(raw, "filament_density", number))
    density, source = density or settings.values.get("filament_density_g_cm3"), "slicer"
    if not density:
        density, material = materials.density(kind)
        source = "table" if material else "assumed PLA"
    per_mm = math.pi * diameter * diameter / 4 / 1000 * density
    mm = made if mm is None else mm
    return Tool(
        tool=number,
        type=kind,
        diameter_mm=diameter,
        density_g_cm3=round(density, 4),
        density_source=source,
        colour=dialects.read_value("text", _per_tool(raw, "filament_colour", number)),
        moved_mm=round(made, 2),
        mm=round(mm, 2),
        # A stated volume needs no diameter.
        g=round(grams if grams is not None else mm * per_mm if cm3 is None else cm3 * density, 3),
        share=None,
    )


def _diameter(program: Program, settings: Settings, tool: int) -> float | None:
    stated = dialects.read_number(_per_tool(settings.raw, "filament_diameter", tool))
    return stated or settings.values.get("filament_diameter_mm") or program.volume_diameter


def _per_tool(raw: dict[str, str], key: str, tool: int) -> str | None:
    """A tool's part of a raw value that lists all tools, or the only part."""
    if key not in raw:
        return None
    parts = re.split(r"[,;]", raw[key])
    return parts[tool] if tool < len(parts) else parts[0] if len(parts) == 1 else None


def geometry(program: Program, layers: Layers, width: float, warn: Warn) -> dict[str, Any]:
    """Extents in mm. width: of a line (mm), where the file doesn't state it."""
    sums = program.sums
    facts: dict[str, Any] = {
        "extruded_mm": round(float(sums.layers[:, EXTRUDED].sum()), 1),
        "travel_mm": round(float(sums.layers[:, TRAVEL].sum()), 1),
        "bounding_box_mm": None,
        "size_mm": None,
        "all_extrusion_box_mm": None,
        "max_z_mm": None,
    }
    if is_box(sums.box_all):
        facts["all_extrusion_box_mm"] = _corners(_widened(sums.box_all, sums, width))
    box = _object_box(sums, warn)
    if box is None:
        warn("no_extrusion", "Nothing is extruded in a layer; there is no object.")
    else:
        facts |= _extent(_widened(box, sums, width), _undersides(layers))
        facts["max_z_mm"] = facts["bounding_box_mm"]["max"][2]
    return facts


def _object_box(sums: Sums, warn: Warn) -> Floats | None:
    if is_box(sums.box_marked):
        return sums.box_marked
    if is_box(sums.box_later):
        box = sums.box_later.copy()
        if is_box(sums.box_first):
            box[2] = min(box[2], sums.box_first[2])
        warn(
            "box_by_heuristic",
            "Purge line, skirt and brim are not marked: the size is that of all layers but the first.",
        )
        return box
    if is_box(sums.box_first):
        warn("box_by_heuristic", "Purge line, skirt and brim are not marked: a single layer's size may hold them.")
        return sums.box_first
    return None


def _widened(box: Floats, sums: Sums, width: float) -> Floats:
    """A copy of the box with half a line's width on each side, unless the widths are known and in it already."""
    grow = 0.0 if sums.widths_known else width / 2
    return box + np.array([-grow, -grow, 0, grow, grow, 0])


def _undersides(layers: Layers) -> dict[float, float]:
    """{z of a layer: where its lines end below}."""
    return {z: z - height for z, height in zip(layers["z_mm"], layers["height_mm"])}


def _extent(box: Floats, undersides: dict[float, float]) -> dict[str, Any]:
    """Box and size. A line lies below its nozzle: the lowest layer reaches down by its height."""
    bottom = undersides.get(round(float(box[2]), 3), float(box[2]))
    box[2] = 0.0 if abs(bottom) < 0.02 else bottom
    size = {axis: round(float(box[3 + n] - box[n]), 3) for n, axis in enumerate("xyz")}
    return {"bounding_box_mm": _corners(box), "size_mm": size}


def _corners(box: Floats) -> dict[str, list[float]]:
    return {"min": [round(float(v), 3) for v in box[:3]], "max": [round(float(v), 3) for v in box[3:]]}


def objects(program: Program, layers: Layers, filament: Filament, clock: Clock, width: float) -> list[dict[str, Any]]:
    """Per object and copy: its own lines. energy_share includes its part of what serves all (travel, heating)."""
    sums, per_mm, undersides = program.sums, _grams_per_mm(filament), _undersides(layers)
    busy, made = float(sums.objects[:, TIME].sum()), float(sums.objects[:, OUT].sum())
    rows = []
    for label, row, box, count in zip(program.object_labels, sums.objects, sums.object_boxes, sums.object_layers):
        if row[EXTRUDED] <= 0:
            continue
        name, copy, identity = dialects.object_name(label)
        name = re.split(r"[\\/]", name)[-1] or name  # CuraEngine writes the whole path
        facts = {
            "label": label[:500],
            "name": name[:500],
            "copy": copy,
            "id": identity,
            "filament_mm": round(float(row[OUT]), 2),
            "filament_g": round(float(row[OUT]) * per_mm, 3),
            "material_share": _share(row[OUT], made),
            "time_s": round(float(row[TIME]) * clock["scale"], 1),
            "energy_share": _share(row[TIME], busy),
            "layers": int(count),
            "bounding_box_mm": None,
            "size_mm": None,
        }
        rows.append(facts | _extent(_widened(box, sums, width), undersides) if is_box(box) else facts)
    return rows


def _grams_per_mm(filament: Filament) -> float:
    """Of all tools together."""
    return filament["total_g"] / filament["total_mm"] if filament["total_mm"] else 0.0


def _share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 5) if whole > 0 else None


def features(program: Program, filament: Filament, clock: Clock) -> list[dict[str, Any]]:
    """Per feature class that is in the program."""
    sums, per_mm = program.sums.features, _grams_per_mm(filament)
    total = float(sums[:, OUT].sum())
    names: dict[str, list[str]] = {}
    for raw, name in program.raw_features.items():
        names.setdefault(name, []).append(raw[:200])
    return [
        {
            "feature": name,
            "names": names.get(name, []),
            "filament_mm": round(float(row[OUT]), 2),
            "filament_g": round(float(row[OUT]) * per_mm, 3),
            "share": _share(row[OUT], total),
            "length_mm": round(float(row[EXTRUDED]), 1),
            "time_s": round(float(row[TIME]) * clock["scale"], 1),
        }
        for name, row in zip(dialects.FEATURES, sums)
        if row[: EXTRUDED + 1].any()
    ]


def job_details(document: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The fields that the fleet's summary shows, from the other sections and the normalised settings."""
    supports, layer_height = values.get("supports_enabled"), values.get("layer_height_mm")
    printed = {row["feature"] for row in document["features"] if row["filament_mm"] > 0}
    if printed & {"support", "support_interface"}:
        supports = True
    if not layer_height and document["layers"]["count"] > 1:
        layer_height = sorted(document["layers"]["height_mm"])[document["layers"]["count"] // 2]
    return {
        "object_name": _job_name(document),
        "infill_density_percent": values.get("infill_density_percent"),
        "layer_height_mm": layer_height,
        "supports_enabled": supports,
        "nozzle_diameter_mm": values.get("nozzle_diameter_mm"),
        "object_dimensions_mm": document["geometry"]["size_mm"],
        "estimated_material_g": document["filament"]["total_g"],
        "slicer_profile_name": values.get("print_profile"),
        "estimated_print_time_s": document["time"]["total_s"],
    }


def _job_name(document: dict[str, Any]) -> str | None:
    names = list(dict.fromkeys(row["name"] for row in document["objects"]))
    if not names:
        return os.path.splitext(document["file"]["name"] or "")[0] or None
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
