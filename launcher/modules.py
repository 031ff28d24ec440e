"""Running the project's Python modules in the private environment."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from .settings import ROOT


def run(env: Mapping[str, str], name: str, *words: str, cwd: Path | None = None, output: BinaryIO | None = None) -> int:
    """Runs `python -m name words…` with these variables; returns its exit code.

    It runs in the caller's directory unless `cwd` says otherwise, because `words` may name files from there. Its output
    goes to the terminal, or to the open file `output`.
    """
    return subprocess.run(
        # -P: a file of the caller's directory is no module of ours
        [env["ENMS_PYTHON"], "-P", "-m", name, *words],
        cwd=cwd,
        env={**env, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL if output else None,
        stdout=output,
        stderr=output,
    ).returncode
