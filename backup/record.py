"""What `./enms status`, `./enms doctor` and a container's health check read: the last good backup, and what failed since."""

import time
from pathlib import Path

from common import files

NAME = "backup.json"


def note(env, error=None, **facts):
    """Remembers a good backup (file, bytes, seconds), or why one failed."""
    path = Path(env["ENMS_STATE_DIR"], NAME)
    if error is None:
        files.write_json(path, {"at": time.time(), **facts})
    else:
        files.write_json(path, {**read(path.parent), "failed_at": time.time(), "error": error})


def read(state):
    """{at, file, bytes, seconds} of the last good backup and {failed_at, error} of what failed after it; empty before the first."""
    return files.read_json(Path(state, NAME), {})
