"""From a file to one JSON document (schema.json): settings, geometry, shares, layers, time, picture and preview."""

import copy
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import dialects, kernel, materials, render, sections, settings
from . import thumbnail as pictures
from .errors import GcodeError
from .planner import MachineLimits
from .preview import MAX_BYTES, VERSION, Preview
from .program import Program
from .render import Colour
from .sections import Filament, Layers, Settings, Warn
from .source import MAX_TEXT, Readable, Source

SCHEMA = "enms.gcode/1"
LINE_WIDTH_FACTOR = 1.125  # of the nozzle's diameter, where the file doesn't say how wide a line is
MAX_RAW = 2000  # raw settings kept in the result
_TAIL_KEY = re.compile(
    rb"^;\s*(machine_max_\w+|use_volumetric_e|filament_diameter|retract(?:ion)?_(?:length|speed))\s*=\s*(.*)$", re.M
)

AnyPath = str | os.PathLike[str]


@dataclass
class Limits:
    """What an analysis may use. max_seconds is checked between batches of moves."""

    max_seconds: float | None = None
    max_text: int = MAX_TEXT
    preview_bytes: int = MAX_BYTES


def analyze(
    path_or_stream: AnyPath | Readable,
    *,
    thumbnail: AnyPath | None = None,
    preview: AnyPath | None = None,
    limits: Limits | None = None,
    machine: MachineLimits | None = None,
) -> dict[str, Any]:
    """Analyses a G-code file (text, gzip of it, or .bgcode) in one pass.

    thumbnail, preview: paths to write the PNG and the preview file to. machine: limits of the printer, used until the
    file says otherwise. Returns the document that schema.json describes. Raises GcodeError, with a sentence, when the
    file can't be analysed.
    """
    limits = limits or Limits()
    started = time.monotonic()
    with Source(path_or_stream, limits.max_text) as source:
        geometry = Preview(limits.preview_bytes, source.size_on_disk())
        # The file's own limits replace the machine's: in a copy.
        program = Program(copy.deepcopy(machine or MachineLimits()), geometry, _clock(started, limits.max_seconds))
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


def _clock(started: float, seconds: float | None) -> Callable[[], None]:
    def check() -> None:
        if seconds and time.monotonic() - started > seconds:
            raise GcodeError(f"took longer than the limit of {seconds:g} s")

    return check


def _begin(program: Program, source: Source) -> None:
    """Applies the slicer's settings of the machine and of E, at the end of a plain file, the start of .bgcode."""
    raw = {key.decode(): value.decode("utf-8", "replace").strip() for key, value in _TAIL_KEY.findall(source.tail())}
    raw.update(source.settings)
    settings.machine_limits(raw, program.limits)
    program.begin(program.limits)
    if raw.get("use_volumetric_e") == "1":
        program.volumetric(dialects.read_number(raw.get("filament_diameter")) or materials.DIAMETER)
    for kind in ("retract", "retraction"):  # PrusaSlicer's and OrcaSlicer's name
        length, speed = (dialects.read_number(raw.get(f"{kind}_{what}")) or 0 for what in ("length", "speed"))
        program.firmware_retraction(length, speed)


def _document(
    program: Program,
    source: Source,
    geometry: Preview,
    thumbnail_path: AnyPath | None,
    preview_path: AnyPath | None,
) -> dict[str, Any]:
    warnings = [*source.warnings, *program.warnings]

    def warn(code: str, sentence: str) -> None:
        warnings.append((code, sentence))

    state, said = program.kernel.state, _settings(program, source, warn)
    if kernel.library() is None:
        warn("slow_reader", "No C compiler was found: numpy read the file, at a tenth of the speed.")
    if state.bad_lines:
        warn("bad_lines", f"{state.bad_lines} lines are damaged and were left out.")
    layers = sections.layers(program, said.values, warn)
    clock = sections.clock(program, said.stated, layers, warn)
    filament = sections.filament(program, said, warn)
    width = (said.values.get("nozzle_diameter_mm") or 0.4) * LINE_WIDTH_FACTOR
    document = {
        "schema": SCHEMA,
        "file": {
            "name": os.path.basename(source.name) or None,
            "bytes": source.size,
            "text_bytes": source.text_bytes,
            "format": source.format,
            "lines": state.lines,
        },
        "slicer": {"name": said.name, "version": said.version, "dialect": said.dialect},
        "settings": said.values,
        "settings_keys": said.value_keys,
        "stated": said.stated,
        "stated_keys": said.stated_keys,
        "geometry": sections.geometry(program, layers, width, warn),
        "filament": filament,
        "objects": sections.objects(program, layers, filament, clock, width),
        "features": sections.features(program, filament, clock),
        "layers": layers,
        "time": clock,
        "counts": {
            "moves": program.moves,
            "arcs": state.arcs,
            "retractions": program.retractions,
            "tool_changes": program.tool_changes,
            "pauses": program.pauses,
            "homings": program.homings,
            "levellings": program.levellings,
        },
    }
    document["job_details"] = sections.job_details(document, said.values)
    document["preview"] = _preview(geometry, layers, preview_path)
    document["thumbnail"] = _thumbnail(program, source, geometry, layers, filament, width, thumbnail_path, warn)
    document["raw_settings"] = {key: value[:2000] for key, value in list(said.raw.items())[:MAX_RAW]}
    document["warnings"] = [{"code": code, "text": text} for code, text in warnings]
    return _clean(document)


def _settings(program: Program, source: Source, warn: Warn) -> Settings:
    raw = {**program.raw, **source.settings}
    name, version, dialect = settings.identify(program.headlines, raw)
    if name is None:
        warn(
            "slicer_unknown",
            "No slicer named itself; settings were looked for under the names that all known slicers use.",
        )
    if dialect == "cura":
        raw = {**settings.cura_settings(program.setting_3), **raw}
    # The settings of the tool that prints most.
    values, value_keys = settings.normalise(dialects.SETTINGS, raw, dialect, program.sums.main_tool())
    stated, stated_keys = settings.normalise(dialects.STATEMENTS, raw, dialect)
    return Settings(name, version, dialect, raw, values, value_keys, stated, stated_keys)


def _preview(geometry: Preview, layers: Layers, path: AnyPath | None) -> dict[str, Any] | None:
    if path is None:
        return None
    z, height, seconds = layers["z_mm"], layers["height_mm"], layers["time_s"]
    data = geometry.encode(_by_mark(layers, z), _by_mark(layers, height), _by_mark(layers, seconds, fill=0.0))
    _write(path, data)
    return {
        "bytes": len(data),
        "version": VERSION,
        "tolerance_mm": round(geometry.tolerance + geometry.step, 3),
        "layer_stride": geometry.stride,
        "left_out": geometry.left_out,
    }


def _thumbnail(
    program: Program,
    source: Source,
    geometry: Preview,
    layers: Layers,
    filament: Filament,
    width: float,
    path: AnyPath | None,
    warn: Warn,
) -> dict[str, Any] | None:
    if path is None:
        return None
    found, complaints = pictures.embedded([*source.thumbnails, *program.thumbnails])
    for sentence in complaints[:3]:
        warn("thumbnail_damaged", sentence)
    if found is None:
        z, height = _by_mark(layers, layers["z_mm"]), _by_mark(layers, layers["height_mm"])
        image = render.render(*geometry.lines(), z, height, geometry.stride, width, _colour(filament))
        if image is None:
            warn("no_picture", "There is no embedded picture and nothing to draw.")
            return None
        size = {"width": image.width, "height": image.height}
        found = pictures.png(image), {"source": "rendered", "format": "png", **size}
    data, facts = found
    _write(path, data)
    return {**facts, "bytes": len(data)}


def _by_mark(layers: Layers, values: list[float], fill: float | None = None) -> list[float]:
    """A column of the layers by the number of their mark; a mark without a layer gets `fill` or the value before it."""
    made = dict(zip(layers["first"], values))
    last, column = values[0] if values else 0.0, []
    for mark in range(layers["first"][-1] + 1 if layers["first"] else 0):
        last = made.get(mark, last if fill is None else fill)
        column.append(last)
    return column


def _colour(filament: Filament) -> Colour | None:
    """The colour of the heaviest filament, None where the file doesn't say."""
    text = max(filament["tools"], key=lambda tool: tool["g"])["colour"] or ""
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?", text):
        return None
    red, green, blue = bytes.fromhex(text[1:7])
    return red, green, blue


def _write(path: AnyPath, data: bytes) -> None:
    """Writes a file at once: a reader gets the old one or the new one. Raises GcodeError if it can't be written."""
    path = Path(path)
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


def _clean(value: Any) -> Any:
    """Plain JSON: numpy's numbers become Python's, what is not finite becomes null, half surrogates are replaced."""
    kind = type(value)
    if kind is int or (kind is float and math.isfinite(value)):  # nearly all: the layers
        return value
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if isinstance(value, (np.floating, float)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
