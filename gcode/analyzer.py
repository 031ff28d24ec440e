"""From a file to one JSON document (schema.json): settings, geometry, shares, layers, time, picture and preview."""

import dataclasses
import math
import os
import pathlib
import re
import time

import numpy as np

from . import dialects, materials, settings, thumbnail
from .errors import GcodeError
from .kernel import library
from .planner import MachineLimits
from .preview import Preview
from .program import EXTRUDED, OUT, TIME, TRAVEL, Program
from .source import MAX_TEXT, Source

SCHEMA = "enms.gcode/1"
LINE_WIDTH_FACTOR = 1.125  # of the nozzle's diameter, where the file doesn't say how wide a line is
MAX_RAW = 2000  # raw settings kept in the result
_TAIL_KEY = re.compile(
    rb"^;\s*(machine_max_\w+|use_volumetric_e|filament_diameter|retract(?:ion)?_(?:length|speed))\s*=\s*(.*)$", re.M
)


@dataclasses.dataclass
class Limits:
    """What an analysis may use. max_seconds is looked at between batches of moves."""

    max_seconds: float | None = None
    max_text: int = MAX_TEXT
    preview_bytes: int = 1_000_000


def analyze(path_or_stream, *, thumbnail=None, preview=None, limits=None, machine=None):
    """Analyses a G-code file (text, gzip of it, or .bgcode) in one pass.

    thumbnail, preview: paths to write the PNG and the preview file to. limits: Limits. machine: planner.MachineLimits of the
    printer, used until the file says otherwise. Returns the document that schema.json describes. Raises GcodeError with a
    sentence when the file can't be analysed.
    """
    limits = limits or Limits()
    started = time.monotonic()
    with Source(path_or_stream, limits.max_text) as source:
        geometry = Preview(limits.preview_bytes, source.size_on_disk())
        program = Program(machine or MachineLimits(), geometry, _clock(started, limits.max_seconds))
        for number, piece in enumerate(source.windows()):
            if number == 0:
                _begin(program, source)
            if b"\0" in piece[:4096] and not program.moves:
                raise GcodeError("is not G-code: it holds binary data")
            program.feed(piece)
        program.close()
        if program.kernel.state.lines == 0:
            raise GcodeError(
                "holds settings or pictures but no G-code" if source.settings or source.thumbnails else "is empty"
            )
        if program.moves == 0 and not program.raw:
            raise GcodeError("holds no move and no setting: it is not G-code")
        return _document(program, source, geometry, thumbnail, preview)


def _clock(started, seconds):
    def check():
        if time.monotonic() - started > seconds:
            raise GcodeError(f"took longer than the limit of {seconds:g} s")

    return check if seconds else None


def _begin(program, source):
    """What the slicer's settings say of the machine and of E: plain files have them at their end, .bgcode before the program."""
    raw = {key.decode(): value.decode("utf-8", "replace").strip() for key, value in _TAIL_KEY.findall(source.tail())}
    raw.update(source.settings)
    settings.machine_limits(raw, program.limits)
    program.begin(program.limits)
    if raw.get("use_volumetric_e") == "1":
        program.volumetric(_number(raw.get("filament_diameter")) or materials.DIAMETER)
    for kind in ("retract", "retraction"):  # PrusaSlicer's and OrcaSlicer's name
        program.firmware_retraction(*(_number(raw.get(f"{kind}_{what}")) or 0 for what in ("length", "speed")))


def _document(program, source, geometry, thumbnail_path, preview_path):
    warnings = [*source.warnings, *program.warnings]

    def warn(code, sentence):
        warnings.append((code, sentence))

    raw = {**program.raw, **source.settings}
    name, version, dialect = settings.identify(program.headlines, raw)
    if name is None:
        warn(
            "slicer_unknown",
            "No slicer named itself; settings were looked for under the names that all known slicers use.",
        )
    if dialect == "cura":
        raw = {**settings.cura_settings(program.setting_3), **raw}
    values, value_keys = settings.normalise(dialects.SETTINGS, raw, dialect)
    stated, stated_keys = settings.normalise(dialects.STATEMENTS, raw, dialect)
    if library() is None:
        warn("slow_reader", "No C compiler was found: numpy read the file, at a tenth of the speed.")
    if program.kernel.state.bad_lines:
        warn("bad_lines", f"{program.kernel.state.bad_lines} lines are damaged and were left out.")

    layers = _layers(program, values, warn)
    clock = _time(program, stated, layers, warn)
    filament = _filament(program, raw, values, stated, warn)
    width = (values.get("nozzle_diameter_mm") or 0.4) * LINE_WIDTH_FACTOR
    box = _box(program, layers, width, warn)
    document = {
        "schema": SCHEMA,
        "file": {
            "name": os.path.basename(source.name) or None,
            "bytes": source.size,
            "text_bytes": source.text_bytes,
            "format": source.format,
            "lines": program.kernel.state.lines,
        },
        "slicer": {"name": name, "version": version, "dialect": dialect},
        "settings": values,
        "settings_keys": value_keys,
        "stated": stated,
        "stated_keys": stated_keys,
        "geometry": box,
        "filament": filament,
        "objects": _objects(program, layers, filament, clock, width),
        "features": _features(program, filament, clock),
        "layers": layers,
        "time": clock,
        "counts": {
            "moves": program.moves,
            "arcs": program.kernel.state.arcs,
            "retractions": program.retractions,
            "tool_changes": program.tool_changes,
            "pauses": program.pauses,
            "homings": program.homings,
            "levellings": program.levellings,
        },
    }
    document["job_details"] = _job_details(document, values, source, name)
    document["preview"] = _preview(geometry, layers, preview_path)
    document["thumbnail"] = _thumbnail(program, source, geometry, layers, filament, width, thumbnail_path, warn)
    document["raw_settings"] = dict(list((key, value[:2000]) for key, value in raw.items())[:MAX_RAW])
    document["warnings"] = [{"code": code, "text": text} for code, text in warnings]
    return _clean(document)


def _layers(program, values, warn):
    count = min(program.kernel.state.layer + 1, len(program.layers) - 1)
    sums, z, height = (
        program.layers[1 : count + 1],
        program.layer_z[1 : count + 1],
        program.layer_height[1 : count + 1].copy(),
    )
    if program.kernel.state.layer_marker < 0 and count:
        warn("layers_by_height", "The file marks no layers; they were told by the heights at which it extrudes.")
    # A mark without extrusion (the end of the program, or of an empty layer) is no layer: its time goes to the one before.
    printed = z > -1e8
    if program.kernel.state.layer_marker == KISS_MARK:  # one mark per layer and object
        printed[1:] &= ~(np.abs(np.diff(z)) < 1e-6)
    group = np.maximum(np.cumsum(printed) - 1, 0)
    if not printed.any():
        return {"count": 0, "z_mm": [], "height_mm": [], "time_s": [], "filament_mm": [], "first": []}
    made = np.zeros((int(printed.sum()), 4))
    np.add.at(made, group, sums)
    z, height = z[printed], height[printed]
    steps = np.diff(z, prepend=0.0)
    first_height = values.get("first_layer_height_mm") or values.get("layer_height_mm") or float(z[0])
    guess = np.where(steps > 0, steps, first_height)  # one object after the other: the next begins at the bed again
    height = np.where(height > 0, height, guess)
    return {
        "count": int(printed.sum()),
        "z_mm": z.round(3).tolist(),
        "height_mm": height.round(3).tolist(),
        "time_s": made[:, TIME].round(2).tolist(),
        "filament_mm": made[:, OUT].round(2).tolist(),
        "first": np.flatnonzero(printed).tolist(),
    }


KISS_MARK = next(number for number, marker in enumerate(dialects.MARKERS) if marker[0] == b"BEGIN_LAYER_OBJECT")


def _time(program, stated, layers, warn):
    moves = float(program.layers[:, TIME].sum())
    before = float(program.layers[0, TIME])
    total, origin = moves, "moves"
    if stated.get("time_s"):
        total, origin = stated["time_s"], "slicer"
    scale = total / moves if moves > 0 else 1.0
    if origin == "slicer" and moves and not 0.5 < scale < 2:
        warn("time_differs", f"The slicer states {total:.0f} s, the moves take {moves:.0f} s by our count.")
    if origin == "moves":
        warn(
            "time_from_moves",
            "The slicer states no print time; it was counted from the moves, without heating and levelling.",
        )
    if program.limits.source in ("default", "Cura's defaults"):
        warn(
            "limits_unknown",
            f"The file doesn't say what the machine can do; time is counted with usual limits ({program.limits.print_acceleration:,.0f} mm/s2).",
        )
    layers["time_s"] = [round(seconds * scale, 2) for seconds in layers["time_s"]]
    first = layers["time_s"][0] if layers["count"] else None
    return {
        "total_s": round(total, 1),
        "source": origin,
        "moves_s": round(moves, 1),
        "scale": round(scale, 5),
        "before_first_layer_s": round(before * scale, 2),
        "first_layer_s": stated.get("first_layer_time_s", first),
        "limits": program.limits.source,
    }


def _per_tool(raw, key, tool):
    if key not in raw:
        return None
    parts = re.split(r"[,;]", raw[key])
    return parts[tool] if tool < len(parts) else parts[0] if len(parts) == 1 else None


def _filament(program, raw, values, stated, warn):
    custom = float(program.features[dialects.FEATURES.index("custom"), OUT])
    total = float(program.features[:, OUT].sum())
    stated_mm, stated_g = stated.get("filament_mm") or [], stated.get("filament_g") or []
    used = [tool for tool in range(len(program.tools)) if program.tool_moves[tool]] or [0]
    density_keys = ("filament_density",)
    tools, guessed, unknown = [], False, False
    for place, tool in enumerate(used):
        made = float(program.tools[tool, OUT])
        diameter = (
            _number(_per_tool(raw, "filament_diameter", tool))
            or values.get("filament_diameter_mm")
            or program.volume_diameter
        )
        if not diameter:
            diameter, unknown = materials.DIAMETER, True
        kind = dialects.read_value("text", _per_tool(raw, "filament_type", tool) or "") or values.get("filament_type")
        density = next(
            (d for key in density_keys if (d := dialects.read_value("density", _per_tool(raw, key, tool) or ""))), None
        ) or values.get("filament_density_g_cm3")
        source = "slicer"
        if not density:
            density, material = materials.density(kind)
            source = "table" if material else "assumed PLA"
            guessed = True
        per_mm = math.pi * diameter * diameter / 4 / 1000 * density
        # A slicer lists every filament of the printer, or only those that are used.
        at = tool if len(stated_mm) > len(used) else place
        mm = stated_mm[at] if at < len(stated_mm) and stated_mm[at] > 0 else made
        at = tool if len(stated_g) > len(used) else place
        g = stated_g[at] if at < len(stated_g) and stated_g[at] > 0 and len(stated_g) >= len(used) else mm * per_mm
        tools.append(
            {
                "tool": tool,
                "type": kind,
                "diameter_mm": diameter,
                "density_g_cm3": round(density, 4),
                "density_source": source,
                "colour": dialects.read_value("text", _per_tool(raw, "filament_colour", tool) or ""),
                "moved_mm": round(made, 2),
                "mm": round(mm, 2),
                "g": round(g, 3),
                "g_per_mm": per_mm,
            }
        )
    if guessed:
        warn(
            "density_from_table", "The slicer states no density; grams were computed with a usual one of the material."
        )
    if unknown:
        warn("diameter_assumed", "The filament's diameter is not stated; 1.75 mm is assumed.")
    cost = stated.get("cost")
    grams = sum(tool["g"] for tool in tools)
    if len(stated_g) == 1 and len(tools) > 1 and stated_g[0] > 0:
        grams = stated_g[0]
    volume = sum(tool["mm"] * math.pi * tool["diameter_mm"] ** 2 / 4 for tool in tools) / 1000
    for tool in tools:
        del tool["g_per_mm"]
        tool["share"] = round(tool["g"] / grams, 5) if grams else None
    return {
        "total_mm": round(sum(tool["mm"] for tool in tools), 2),
        "moved_mm": round(total, 2),
        "custom_mm": round(custom, 2),
        "total_g": round(grams, 3),
        "volume_cm3": round(volume, 3),
        "cost": round(sum(cost), 4) if cost and sum(cost) else None,
        "source": "slicer" if stated_mm and sum(stated_mm) else "moves",
        "tools": tools,
    }


def _number(text):
    return dialects.read_value("number", text) if text else None


def _box(program, layers, width, warn):
    if program.box_marked[0] < 1e8:
        box = program.box_marked.copy()
    elif program.box_later[0] < 1e8:
        box = program.box_later.copy()
        if program.box_first[0] < 1e8:
            box[2] = min(box[2], program.box_first[2])
        warn(
            "box_by_heuristic",
            "Purge line, skirt and brim are not marked: the size is that of all layers but the first.",
        )
    elif program.box_first[0] < 1e8:
        box = program.box_first.copy()
        warn("box_by_heuristic", "Purge line, skirt and brim are not marked: a single layer's size may hold them.")
    else:
        box = None
    extruded, travel = float(program.layers[:, EXTRUDED].sum()), float(program.layers[:, TRAVEL].sum())
    facts = {
        "extruded_mm": round(extruded, 1),
        "travel_mm": round(travel, 1),
        "bounding_box_mm": None,
        "size_mm": None,
        "all_extrusion_box_mm": None,
        "max_z_mm": None,
    }
    if not program.widths_known:
        for one in (box, program.box_all if program.box_all[0] < 1e8 else None):
            if one is not None:
                one[:2] -= width / 2
                one[3:5] += width / 2
    if program.box_all[0] < 1e8:
        facts["all_extrusion_box_mm"] = _box_facts(program.box_all)
    if box is not None:
        # A line lies below its nozzle: the lowest layer reaches down by its height.
        box[2] = _floor(box[2], _undersides(layers))
        facts["bounding_box_mm"] = _box_facts(box)
        facts["size_mm"] = {axis: round(float(box[3 + n] - box[n]), 3) for n, axis in enumerate("xyz")}
        facts["max_z_mm"] = round(float(box[5]), 3)
    else:
        warn("no_extrusion", "Nothing is extruded in a layer; there is no object.")
    return facts


def _undersides(layers):
    """{z of a layer: where its lines end below}."""
    return {z: z - height for z, height in zip(layers["z_mm"], layers["height_mm"])}


def _floor(z, undersides):
    """The underside of what was extruded at z."""
    floor = undersides.get(round(float(z), 3), float(z))
    return 0.0 if abs(floor) < 0.02 else floor


def _box_facts(box):
    return {"min": [round(float(v), 3) for v in box[:3]], "max": [round(float(v), 3) for v in box[3:]]}


def _grams(filament):
    """Grams of a mm of filament, over all tools."""
    return filament["total_g"] / filament["total_mm"] if filament["total_mm"] else 0.0


def _objects(program, layers, filament, clock, width):
    """Per object and copy: its own lines; energy_share also carries its part of what serves all (travel, skirt, start, heating)."""
    rows, per_mm, undersides = [], _grams(filament), _undersides(layers)
    busy = float(program.object_sums[:, TIME].sum())
    made = float(program.object_sums[:, OUT].sum())
    for number, label in enumerate(program.object_labels):
        if number >= len(program.object_sums):
            break
        sums, box = program.object_sums[number], program.object_boxes[number]
        if sums[EXTRUDED] <= 0:
            continue
        name, copy, identity = dialects.object_name(label)
        name = re.split(r"[\\/]", name)[-1] or name  # CuraEngine writes the whole path
        row = {
            "label": label[:500],
            "name": name[:500],
            "copy": copy,
            "id": identity,
            "filament_mm": round(float(sums[OUT]), 2),
            "filament_g": round(float(sums[OUT]) * per_mm, 3),
            "material_share": _share(sums[OUT], made),
            "time_s": round(float(sums[TIME]) * clock["scale"], 1),
            "energy_share": _share(sums[TIME], busy),
            "layers": int(program.object_layers[number]),
            "bounding_box_mm": None,
            "size_mm": None,
        }
        if box[0] < 1e8:
            box = box.copy()
            if not program.widths_known:
                box[:2] -= width / 2
                box[3:5] += width / 2
            box[2] = _floor(box[2], undersides)
            row["bounding_box_mm"] = _box_facts(box)
            row["size_mm"] = {axis: round(float(box[3 + n] - box[n]), 3) for n, axis in enumerate("xyz")}
        rows.append(row)
    return rows


def _share(part, whole):
    return round(float(part / whole), 5) if whole > 0 else None


def _features(program, filament, clock):
    per_mm, total = _grams(filament), float(program.features[:, OUT].sum())
    names = {}
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
        for name, row in zip(dialects.FEATURES, program.features)
        if row[:3].any()
    ]


def _job_details(document, values, source, slicer):
    """The fields that the fleet's summary shows."""
    names = list(dict.fromkeys(row["name"] for row in document["objects"]))
    name = (
        names[0]
        if len(names) == 1
        else f"{names[0]} and {len(names) - 1} more"
        if names
        else os.path.splitext(document["file"]["name"] or "")[0] or None
    )
    supports = values.get("supports_enabled")
    if any(
        row["feature"] in ("support", "support_interface") and row["filament_mm"] > 0 for row in document["features"]
    ):
        supports = True
    layer_height = values.get("layer_height_mm")
    if not layer_height and document["layers"]["count"] > 1:
        layer_height = sorted(document["layers"]["height_mm"])[document["layers"]["count"] // 2]
    return {
        "object_name": name,
        "infill_density_percent": values.get("infill_density_percent"),
        "layer_height_mm": layer_height,
        "supports_enabled": supports,
        "nozzle_diameter_mm": values.get("nozzle_diameter_mm"),
        "object_dimensions_mm": document["geometry"]["size_mm"],
        "estimated_material_g": document["filament"]["total_g"],
        "slicer_profile_name": values.get("print_profile"),
        "estimated_print_time_s": document["time"]["total_s"],
    }


def _preview(geometry, layers, path):
    if path is None:
        return None
    seconds = layers["time_s"]
    data = geometry.encode(
        _by_mark(layers, "z_mm"), _by_mark(layers, "height_mm"), _by_mark(layers, "time_s", fill=0.0) if seconds else []
    )
    _write(path, data)
    return {
        "bytes": len(data),
        "version": 1,
        "tolerance_mm": round(geometry.tolerance + geometry.step, 3),
        "layer_stride": geometry.stride,
        "left_out": geometry.left_out,
    }


def _by_mark(layers, key, fill=None):
    """A column of the layers by the number of their mark: marks without a layer take the value of the one before, or `fill`."""
    count = (layers["first"][-1] + 1) if layers["first"] else 0
    column = [fill] * count
    for at, value in zip(layers["first"], layers[key]):
        column[at] = value
    last = layers[key][0] if layers[key] else 0.0
    for at, value in enumerate(column):
        if value is None:
            column[at] = last
        last = column[at]
    return column


def _colour(filament):
    """Red, green and blue (0 … 255) of the filament of which there is most, None where the file doesn't say."""
    text = max(filament["tools"], key=lambda tool: tool["g"])["colour"] or ""
    return tuple(bytes.fromhex(text[1:7])) if re.fullmatch(r"#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?", text) else None


def _thumbnail(program, source, geometry, layers, filament, width, path, warn):
    if path is None:
        return None
    data, facts, complaints = thumbnail.embedded([*source.thumbnails, *program.thumbnails])
    for sentence in complaints[:3]:
        warn("thumbnail_damaged", sentence)
    if data is None:
        from . import render

        image = render.render(
            *geometry.lines(),
            _by_mark(layers, "z_mm"),
            _by_mark(layers, "height_mm"),
            geometry.stride,
            width,
            _colour(filament),
        )
        if image is None:
            warn("no_picture", "There is no embedded picture and nothing to draw.")
            return None
        data, facts = (
            thumbnail.png(image),
            {"source": "rendered", "format": "png", "width": image.width, "height": image.height},
        )
    _write(path, data)
    return {**facts, "bytes": len(data)}


def _write(path, data):
    """Writes a file all at once: who reads it meanwhile gets the old or the new one."""
    path = pathlib.Path(path)
    part = path.parent / f".{os.getpid()}.part"
    try:
        if path.exists() and not path.is_file():  # a pipe or a device
            path.write_bytes(data)
            return
        part.write_bytes(data)
        os.replace(part, path)
    except (OSError, ValueError) as error:
        part.unlink(missing_ok=True)
        raise GcodeError(
            f"was read, but {os.fspath(path)!r} can't be written: {getattr(error, 'strerror', None) or error}"
        ) from None


def _clean(value):
    """Plain JSON: numpy's numbers become Python's, what is not finite becomes null, half surrogates are replaced."""
    kind = type(value)
    if kind is int or (kind is float and math.isfinite(value)):  # nearly all: the layers
        return value
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return value.replace("\0", "�").encode("utf-8", "replace").decode()
    if isinstance(value, (np.floating, float)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
