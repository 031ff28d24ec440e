"""From raw keys to normalised settings and statements."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from . import dialects
from .planner import MachineLimits


def identify(headlines: Sequence[str], raw: dict[str, str]) -> tuple[str | None, str | None, str | None]:
    """Returns (name, version, dialect) of the slicer; None for what is unknown."""
    for slicer in dialects.SLICERS:
        for line in [raw.get("Producer", ""), raw.get("GENERATOR.NAME", ""), *headlines]:
            found = slicer.pattern.search(line)
            if not found:
                continue
            version = next((group for group in found.groups() if group), None)
            if slicer.dialect == "kisslicer":
                if not any("KISSlicer" in headline for headline in headlines[:20]):
                    break
                version = next((m[1] for headline in headlines if (m := re.match(r"version (\S+)", headline))), version)
            if slicer.name == "OrcaSlicer" or version or slicer.dialect in ("simplify3d", "kisslicer"):
                return slicer.name, version, slicer.dialect
    for line in headlines[:20]:
        found = re.match(
            r"(?:generated|sliced|created) (?:by|with|using) ([\w .-]{2,60}?)(?: v?(\d[\w.]*))?(?: on .*|,.*)?$",
            line,
            re.I,
        )
        if found:
            return found[1].strip(), found[2], None
    return None, None, None


def cura_settings(pieces: Sequence[str]) -> dict[str, str]:
    """The settings that a person changed in Cura: {key: value} from the ;SETTING_3 lines."""
    if not pieces:
        return {}
    try:
        document = json.loads("".join(pieces))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    texts = document.get("extruder_quality") or []
    texts = [document.get("global_quality") or "", *(texts if isinstance(texts, list) else [])]
    found: dict[str, str] = {}
    for number, text in enumerate(texts):
        section = None
        for line in str(text).replace("\\n", "\n").splitlines():
            if line.startswith("["):
                section = line.strip("[] ")
            elif "=" in line:
                key, _, value = (part.strip() for part in line.partition("="))
                if section == "values":
                    found.setdefault(key, value)
                elif number == 0 and key == "definition":
                    found.setdefault("definition", value)
                elif number == 0 and section == "general" and key == "name":
                    found.setdefault("profile_name", value)
    return found


def normalise(
    table: Iterable[dialects.Setting], raw: dict[str, str], dialect: str | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns ({name: value}, {name: raw key}) of those settings or statements that are in the file."""
    values, keys = {}, {}
    for setting in table:
        if dialect:
            candidates = setting.keys.get(dialect, ())
        else:  # an unknown slicer: any key that a known one uses
            candidates = tuple(dict.fromkeys(key for known in setting.keys.values() for key in known))
        for key in candidates:
            if key not in raw:
                continue
            value = dialects.read_value(setting.kind, raw[key])
            if key == "Filament used" and isinstance(value, list):
                value = None if "mm3" in raw[key] else [one * 1000 for one in value]
            if key == "Estimated Build Time" and value and "min" not in raw[key]:
                value *= 60
            if value == dialects.PLACEHOLDERS.get((dialect, setting.name)):
                value = None
            if setting.kind == "volumes" and value and (key in dialects.IN_MM3 or "mm^3" in raw[key]):
                value = [round(one / 1000, 6) for one in value]
            if isinstance(value, list) and not any(value):
                value = None  # a placeholder
            if value is not None:
                values[setting.name], keys[setting.name] = value, key
                break
    return values, keys


def machine_limits(raw: dict[str, str], limits: MachineLimits) -> None:
    """Fills the limits from the machine_max_… keys of a settings block (PrusaSlicer and its relatives)."""
    known = False

    def first(key: str) -> float | None:
        nonlocal known
        value = dialects.read_number(raw.get(key))
        if value and value > 0:
            known = True
            return value
        return None

    for axis, letter in enumerate("xyze"):
        for prefix, values in (
            ("machine_max_feedrate_", limits.feed),
            ("machine_max_speed_", limits.feed),
            ("machine_max_acceleration_", limits.acceleration),
        ):
            values[axis] = first(prefix + letter) or values[axis]
    for key, name in (
        ("machine_max_acceleration_extruding", "print_acceleration"),
        ("machine_max_acceleration_travel", "travel_acceleration"),
        ("machine_max_jerk_x", "corner"),
        ("machine_max_jerk_z", "jerk_z"),
        ("machine_max_jerk_e", "jerk_e"),
    ):
        setattr(limits, name, first(key) or getattr(limits, name))
    if known:
        limits.source = "slicer settings"
