"""Small file work: atomic writes, reading JSON that may not be there, the end of a log."""

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent  # the checkout, or the same folders in an image


def write(path: str | Path, text: str, mode: int = 0o644) -> None:
    """Writes a file so that a reader sees the old or the new text, never half of it. Raises OSError."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: str | Path, value: Any, mode: int = 0o644) -> None:
    """`write` for a JSON value."""
    write(path, json.dumps(value, indent=1) + "\n", mode)


def read_json(path: str | Path, default: Any = None) -> Any:
    """The JSON value of a file; `default` when it is missing or broken."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return default


def last_lines(path: str | Path, count: int = 15, since: int = 0) -> list[str]:
    """The last `count` lines of a log, none from before byte `since`, without reading all of it; [] without a log."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 400 * count, since if since <= end else 0, 0))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
