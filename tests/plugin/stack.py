"""Whole stacks, as `./enms up` starts them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import enms as stacks

from .session import WORKER


@pytest.fixture(scope="session")
def enms() -> Iterator[stacks.Enms]:
    """A running stack without the demo fleet: own run directory, ports and database; the environments are shared."""
    made = stacks.start(Path(os.environ["ENMS_RUN_DIR"]) / f"stack-{WORKER}", "--no-demo")
    yield made
    made.launch("down", check=False)


@pytest.fixture(scope="session")
def stack(enms: stacks.Enms) -> dict[str, str]:
    """The settings of `enms`: {ENMS_NAME: value}."""
    return enms.settings
