"""From raw keys to normalised settings and statements."""

import ast
import json
import math
import operator
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
    table: Iterable[dialects.Setting], raw: dict[str, str], dialect: str | None, tool: int = 0
) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns ({name: value}, {name: raw key}) of those settings or statements that are in the file.

    tool: which entry counts of a list with one for each tool. Keys are compared without regard to case.
    """
    values, keys = {}, {}
    written = {key.lower(): key for key in reversed(raw)}
    for setting in table:
        if dialect:
            candidates = setting.keys.get(dialect, ())
        else:  # an unknown slicer: any key that a known one uses
            candidates = tuple(dict.fromkeys(key for known in setting.keys.values() for key in known))
        for candidate in (one for key in candidates for one in _of_tool(key, tool)):
            key = candidate if candidate in raw else written.get(candidate.lower())
            if key is None:
                continue
            value = _value(setting, key, raw, dialect, tool, values)
            if value is not None:
                values[setting.name], keys[setting.name] = value, key
                break
    return values, keys


def _of_tool(key: str, tool: int) -> tuple[str, ...]:
    """A key that names the first tool, by the tool that counts, then as it is."""
    if not tool or not ("TRAIN.0." in key or key.endswith("#1")):
        return (key,)
    return key.replace("TRAIN.0.", f"TRAIN.{tool}.").replace("#1", f"#{tool + 1}"), key


def _value(
    setting: dialects.Setting, key: str, raw: dict[str, str], dialect: str | None, tool: int, known: dict[str, Any]
) -> Any:
    """The value of one raw key, None when it makes no sense. known: what was read before."""
    text = _of_all_tools(key, raw) if setting.kind in ("numbers", "volumes") else raw[key]
    if setting.name.endswith("_c"):
        text = text.replace(",", ";")  # whole degrees: a comma stands between tools
    if text.startswith("="):  # Cura's formulas
        computed = formula(text[1:], raw)
        text = "" if computed is None else f"{computed:.10g}"
    value = dialects.read_value(setting.kind, text, tool)
    if value is None and setting.kind == "number" and text.strip().endswith("%"):
        base = known.get(dialects.PERCENT_OF.get((dialect or "", setting.name), ""))
        part = dialects.read_value("percent", text, tool)
        value = None if base is None or part is None else round(base * part / 100, 6)
    if setting.kind == "percent" and dialect == "prusa" and value is not None and "%" not in text and 0 < value <= 1:
        value = round(value * 100, 6)  # Slic3r before 1.0 wrote fractions
    if key == "Filament used" and dialect != "prusa" and isinstance(value, list):
        value = None if "mm3" in text else value if re.search(r"\dmm", text) else [one * 1000 for one in value]
    if key == "Estimated Build Time" and value and "min" not in text:
        value *= 60
    if value == dialects.PLACEHOLDERS.get((dialect, setting.name)):
        value = None
    if setting.kind == "volumes" and value and (key in dialects.IN_MM3 or "mm^3" in text):
        value = [round(one / 1000, 6) for one in value]
    return None if isinstance(value, list) and not any(value) else value  # zeros only: a placeholder


def _of_all_tools(key: str, raw: dict[str, str]) -> str:
    """The texts of a statement that has a key for each tool, one after the other; of a tool that has none, 0."""
    for first, other in (("TRAIN.0.", "TRAIN.{}."), ("+ Ext 1", "+ Ext {}"), ("Material#1 ", "Material#{} ")):
        if first in key:
            start = 0 if first == "TRAIN.0." else 1
            texts = [raw.get(key.replace(first, other.format(n))) for n in range(start, start + 16)]
            last = max((n for n, text in enumerate(texts) if text is not None), default=0)
            return "; ".join(text or "0" for text in texts[: last + 1])
    return raw[key]


_CALLS = {"math.ceil": math.ceil, "math.floor": math.floor, "round": round, "max": max, "min": min, "abs": abs}
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
MAX_FORMULA = 500  # characters; a longer one is not computed


def formula(text: str, raw: dict[str, str]) -> float | None:
    """What Cura's formula makes of numbers and settings that are in the file; None when it needs anything else."""
    if len(text) > MAX_FORMULA:
        return None
    written = {key.lower().replace(" ", "_"): value for key, value in reversed(raw.items())}

    def number(node: ast.expr) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.Name):
            value = dialects.read_number(written.get(node.id.lower()))
            if value is None:
                raise ValueError(node.id)
            return value
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](number(node.left), number(node.right))
        if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](number(node.operand))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _CALLS and not node.keywords:
            return _CALLS[ast.unparse(node.func)](*map(number, node.args))
        raise ValueError(ast.dump(node))

    try:
        value = float(number(ast.parse(text.strip(), mode="eval").body))
    except (ValueError, TypeError, SyntaxError, ArithmeticError, RecursionError, MemoryError):
        return None
    return value if math.isfinite(value) else None


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
