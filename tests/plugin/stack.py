"""Whole stacks, as `./enms up` starts them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import enms as stacks


@pytest.fixture(scope="session")
def enms(worker_id: str) -> Iterator[stacks.Enms]:
    """A stack of its own without the demo fleet: own run directory, ports and database; the environments are shared."""
    made = stacks.start(Path(os.environ["ENMS_RUN_DIR"]) / f"stack-{worker_id}", "--no-demo")
    try:
        yield made
    finally:
        made.launch("down", check=False)


@pytest.fixture(scope="session")
def stack(enms: stacks.Enms) -> dict[str, str]:
    """Its settings: {ENMS_NAME: value}."""
    return enms.settings
