"""Writes the table of what is read from which slicer into docs/gcode.md: ``python -m gcode.docs``."""

import re
from pathlib import Path

from . import dialects

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gcode.md"
BEGIN, END = "<!-- table: python -m gcode.docs -->\n", "<!-- end of table -->\n"
_HEADINGS = {
    "prusa": "PrusaSlicer, SuperSlicer, Slic3r",
    "orca": "OrcaSlicer, BambuStudio",
    "cura": "Cura",
    "simplify3d": "Simplify3D",
    "ideamaker": "ideaMaker",
    "kisslicer": "KISSlicer",
}


def table() -> str:
    """Markdown: a row per normalised setting and statement, a column per dialect with its raw keys."""
    lines = ["| name | " + " | ".join(_HEADINGS.values()) + " |", "| --- |" + " --- |" * len(_HEADINGS)]
    for title, settings in (("settings", dialects.SETTINGS), ("stated", dialects.STATEMENTS)):
        for setting in settings:
            cells = [", ".join(f"`{key}`" for key in setting.keys.get(dialect, ())) or "–" for dialect in _HEADINGS]
            lines.append(f"| {title}.{setting.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def warnings() -> list[str]:
    """The codes of all warnings in the package's source."""
    source = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("*.py")))
    return sorted(set(re.findall(r'(?:warn\(|warnings\.append\(\()\s*"([a-z_]+)"', source)))


def main() -> None:
    """Replaces the table on the page."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
