"""`./enms test --coverage`: which lines of JavaScript ran in Node, beside what pytest-cov prints of Python.

Node writes what each of its processes ran to NODE_V8_COVERAGE, also Node-RED; c8 makes a table of it. What the browser
runs isn't counted.
"""

import os
import subprocess
from pathlib import Path

import pytest

from common.files import ROOT

PARTS = ("nodered", "frontend/src")
LEFT_OUT = ("**/*.test.js", "**/node_modules/**", "**/testing.js", "**/fixtures.js", "**/.*.js")


def variables(run: Path, config: pytest.Config) -> dict[str, str]:
    """The variable that makes Node count in a run with `--cov`."""
    return {"NODE_V8_COVERAGE": str(run / "javascript-coverage")} if config.getoption("cov_source", None) else {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the table of a run with `--cov`."""
    if not config.getoption("cov_source", None):
        return
    counted = os.environ.pop("NODE_V8_COVERAGE")  # c8 itself isn't counted
    words = [f"--temp-directory={counted}", "--merge-async", "--all", "--reporter=text"]
    words += [f"--src={part}" for part in PARTS] + [f"--include={part}/**/*.js" for part in PARTS]
    words += [f"--exclude={part}" for part in LEFT_OUT]
    done = subprocess.run(
        [os.environ["ENMS_NODE"], ROOT / "node_modules/c8/bin/c8.js", "report", *words],
        cwd=ROOT,
        text=True,
        capture_output=True,
    )
    terminalreporter.write_line(f"\nJavaScript that ran in Node\n{done.stdout}{done.stderr}")
