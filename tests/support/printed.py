"""Printed output as a pattern: the words that stay, with numbers, times, paths, states and JSON values left open."""

from __future__ import annotations

import re

STATES = "(?i:offline|idle|ready|heating|printing|paused|attention|finished|cancelled|error|unknown|completed|cooling|done)"
STRING = r'"(?:[^"\\]|\\.)*"'
NUMBER = r"\d+(?:[.,]\d+)*"
UNIT = "(?: (?:s|min|h|days?|kB|MB|GB))?"
SCALAR = rf"(?:{STRING}|null|true|false|-?\d[\d.e+-]*)"
# What changes from run to run, the most special first: (what it looks like on a page, what may stand there; None: the same).
KINDS = [
    (rf"{STRING}(?=:)", None),                                                                        # a JSON key
    (rf"(?:(?<=\":)|(?<=\": )){SCALAR}", SCALAR),                                                     # its value
    (STRING, f"(?:{STRING}|null)"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?", r"\d{4}-[\dT :.,-]+(?:Z|[+-]\d\d(?::?\d\d)?)?"),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[0-9a-f-]{36}"),
    (r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,64}\b", "[0-9a-f]{7,64}"),                                # a commit, a checksum
    (r"(?<![\w/.:])(?:/(?!api/|nodered/|grafana/|metrics|files/)[\w.-]+)+/?|(?<![\w/.:])[\w.-]+/[\w./-]+\.(?:zip|csv)", r"[^\s:]+"),  # a path of the machine
    (rf"(?<![\w-])-?{NUMBER}{UNIT}\b", rf"(?:-?{NUMBER}{UNIT}\b|-)"),
    (NUMBER, NUMBER),                                                                                 # within a word
    (rf"\b{STATES}\b", STATES),
    (r"\s+", r"\s*"),
]
OPEN = re.compile("|".join(f"(?P<k{n}>{looks})" for n, (looks, _) in enumerate(KINDS)))


def pattern(line: str) -> re.Pattern:
    """Matches lines of the same shape. An ellipsis stands for anything."""
    made, at = [], 0
    for found in OPEN.finditer(line):
        stands = KINDS[int(found.lastgroup[1:])][1]
        made += [re.escape(line[at:found.start()]), re.escape(found[0]) if stands is None else stands]
        at = found.end()
    return re.compile("".join([*made, re.escape(line[at:])]).replace("…", ".*"))


def bare(line: str) -> str:
    """Without indentation, and without the comma that depends on what follows."""
    return line.strip().rstrip(",")


def difference(printed: list[str], real: list[str]) -> str:
    """Compares line by line; a line that holds only an ellipsis stands for any lines. Returns what does not fit, '' when all does."""
    place, gap = 0, False
    for number, line in enumerate(printed, 1):
        if bare(line) == "…":
            gap = True
            continue
        shape = pattern(bare(line))
        where = next((n for n in range(place, len(real) if gap else min(place + 1, len(real))) if shape.fullmatch(bare(real[n]))), None)
        if where is None:
            seen = "\n  ".join(real[place:place + (30 if gap else 1)]) or "nothing more"
            return f"line {number} of the block:\n  {line}\n{'is nowhere in' if gap else 'is not'} the real output:\n  {seen}"
        place, gap = where + 1, False
    rest = [line for line in real[place:] if line.strip()]
    return "" if gap or not rest else "the real output goes on:\n  " + "\n  ".join(rest[:5])
