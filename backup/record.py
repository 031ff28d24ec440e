"""The last good backup, and what failed since: what `./enms status`, `./enms doctor` and a container's health check
read.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from common import files

NAME = "backup.json"


class Record(TypedDict, total=False):
    """The last good backup, and what failed after it; times in seconds since 1970."""

    at: float
    file: str
    bytes: int
    seconds: float
    failed_at: float
    error: str


def good(env: Mapping[str, str], file: Path, seconds: float) -> None:
    """Remembers a good backup that took this many seconds."""
    facts: Record = {"at": time.time(), "file": str(file), "bytes": file.stat().st_size, "seconds": round(seconds, 1)}
    files.write_json(Path(env["ENMS_STATE_DIR"], NAME), facts)


def failed(env: Mapping[str, str], error: str) -> None:
    """Remembers why a backup failed."""
    path = Path(env["ENMS_STATE_DIR"], NAME)
    files.write_json(path, {**read(path.parent), "failed_at": time.time(), "error": error})


def read(state: str | Path) -> Record:
    """The record in a stack's state folder; empty before the first backup."""
    return files.read_json(Path(state, NAME), {})
