"""The linters and type checkers of `./enms lint`, a test each."""

import os
import subprocess

import pytest

from common.files import ROOT
from launcher import linters
from launcher.settings import Paths


@pytest.mark.parametrize("name", linters.COMMANDS)
def test_linter_has_nothing_to_say(name: str) -> None:
    """Its whole output is shown when it does."""
    line = linters.command(Paths(os.environ["ENMS_RUN_DIR"], os.environ["ENMS_ENV_DIR"]), name)
    done = subprocess.run(line, cwd=ROOT, stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout}{done.stderr}"
