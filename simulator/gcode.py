"""G-code files of the emulated prints."""

import hashlib
from pathlib import Path


def path_for(plan, spec, folder) -> Path:
    """Where the file of a plan is kept; the name from outside is never part of the path."""
    digest = hashlib.sha256(repr((plan, spec.profile, spec.protocol)).encode()).hexdigest()[:20]
    return Path(folder) / f"{digest}.gcode"


def file_for(plan, spec, folder) -> Path:
    """The plan's file, written when it isn't there yet."""
    path = path_for(plan, spec, folder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("; empty\n", encoding="utf-8")
    return path
