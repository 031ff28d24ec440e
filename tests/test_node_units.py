"""Runs the unit tests of the JavaScript parts with Node's own test runner, one pytest item per file."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("nodered", "frontend", "gcode")
    for path in (ROOT / folder).rglob("*.test.js")
    if "node_modules" not in path.parts
)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_node_unit(path):
    """The file's tests pass; what Node printed is shown when they don't."""
    done = subprocess.run(
        [os.environ["ENMS_NODE"], "--test", "--test-timeout=120000", "--test-reporter=spec", str(path)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-8000:]
