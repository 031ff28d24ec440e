"""Printed output as a pattern: the words that stay, with numbers, times, paths, states and JSON values left open."""

import json
import re
from collections.abc import Sequence
from typing import Any

STATES = (
    "(?i:offline|idle|ready|heating|printing|paused|attention|finished|cancelled|error|unknown|completed|cooling|done)"
)
STRING = r'"(?:[^"\\]|\\.)*"'
NUMBER = r"\d+(?:[.,]\d+)*"
UNIT = "(?: (?:s|min|h|days?|kB|MB|GB))?"
SCALAR = rf"(?:{STRING}|null|true|false|-?\d[\d.e+-]*)"
# What changes from run to run, the most special first: (what it looks like on a page, what fits in its place; None:
# only the same text).
KINDS: list[tuple[str, str | None]] = [
    (rf"{STRING}(?=:)", None),  # a JSON key
    (rf"(?:(?<=\":)|(?<=\": )){SCALAR}", SCALAR),  # its value
    (STRING, f"(?:{STRING}|null)"),
    (
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?",
        r"\d{4}-[\dT :.,-]+(?:Z|[+-]\d\d(?::?\d\d)?)?",
    ),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[0-9a-f-]{36}"),
    (r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,64}\b", r"[0-9a-f]{7,64}(?:-dirty)?"),  # a commit, a checksum
    (
        r"(?<![\w/.:])(?:/(?!api/|nodered/|grafana/|metrics|files/)[\w.-]+)+/?|(?<![\w/.:])[\w.-]+/[\w./-]+\.(?:zip|csv)",
        r"[^\s:]+",
    ),  # a path of the machine
    (rf"(?<![\w-])[-+]?{NUMBER}{UNIT}\b", rf"(?:[-+]?{NUMBER}{UNIT}\b|-)"),
    (NUMBER, NUMBER),  # within a word
    (rf"\b{STATES}\b", STATES),
    (r"\s+", r"\s*"),
]
OPEN = re.compile("|".join(f"({looks})" for looks, _ in KINDS))


def pattern(line: str) -> re.Pattern[str]:
    """Matches lines of the same shape. An ellipsis stands for anything."""
    made, at = [], 0
    for found in OPEN.finditer(line):
        fitting = next(fitting for (_, fitting), text in zip(KINDS, found.groups()) if text is not None)
        made += [re.escape(line[at : found.start()]), re.escape(found[0]) if fitting is None else fitting]
        at = found.end()
    return re.compile("".join([*made, re.escape(line[at:])]).replace("…", ".*"))


def document(line: str) -> dict[str, Any] | list[Any] | None:
    """The JSON object or list that a line is, otherwise None."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, (dict, list)) else None


def alike(one: Any, other: Any) -> bool:
    """Whether two JSON values have the same fields.

    Of lists the first entries are compared; what is missing (null, an empty list) is like anything.
    """
    if not one or not other or not isinstance(one, (dict, list)):
        return not isinstance(other, (dict, list)) or not other or not one
    if isinstance(one, list):
        return isinstance(other, list) and alike(one[0], other[0])
    return (
        isinstance(other, dict)
        and one.keys() == other.keys()
        and all(alike(value, other[name]) for name, value in one.items())
    )


def fits(shown: str, real: str) -> bool:
    """Whether a real line has the shape of the one that a page shows."""
    if (one := document(shown)) is not None and (other := document(real)) is not None:
        return alike(one, other)
    return bool(pattern(bare(shown)).fullmatch(bare(real)))


def bare(line: str) -> str:
    """Without indentation, and without the comma that depends on what follows."""
    return line.strip().rstrip(",")


def difference(printed: Sequence[str], real: Sequence[str]) -> str:
    """Compares line by line; a line with only an ellipsis stands for any lines.

    Returns what does not fit, '' when everything does.
    """
    places, gap = {0}, False  # how many real lines may have been read
    for number, line in enumerate(printed, 1):
        if bare(line) == "…":
            gap = True
            continue
        first = min(places)
        places = {n + 1 for n in (range(first, len(real)) if gap else places) if n < len(real) and fits(line, real[n])}
        if not places:
            seen = "\n  ".join(real[first : first + (30 if gap else 1)]) or "nothing more"
            where = "is nowhere in" if gap else "is not"
            return f"line {number} of the block:\n  {line}\n{where} the real output:\n  {seen}"
        gap = False
    rest = [line for line in real[max(places) :] if line.strip()]
    return "" if gap or not rest else "the real output goes on:\n  " + "\n  ".join(rest[:5])
