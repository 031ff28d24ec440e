"""What the cross-module tests share: one complete private stack per test run, without the demo fleet."""

import os
from pathlib import Path

import pytest

from support import enms as stacks


@pytest.fixture(scope="session")
def enms():
    """A stack of its own: own run directory, ports and database; the environments are shared."""
    stack = stacks.start(Path(os.environ["ENMS_RUN_DIR"]) / "stack", "--no-demo")
    try:
        yield stack
    finally:
        stack.launch("down", check=False)


@pytest.fixture(scope="session")
def stack(enms):
    """Its settings: {ENMS_NAME: value}."""
    return enms.settings
