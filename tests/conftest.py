"""What the cross-module tests share: one complete private stack per test process, without the demo fleet, and a place for figures."""

import os
from pathlib import Path

import pytest

from support import enms as stacks


@pytest.fixture(scope="session")
def enms(worker_id):
    """A stack of its own: own run directory, ports and database; the environments are shared."""
    stack = stacks.start(Path(os.environ["ENMS_RUN_DIR"]) / f"stack-{worker_id}", "--no-demo")
    try:
        yield stack
    finally:
        stack.launch("down", check=False)


@pytest.fixture(scope="session")
def stack(enms):
    """Its settings: {ENMS_NAME: value}."""
    return enms.settings


@pytest.fixture
def figures(request):
    """figures(title, *lines): what a test measured, printed at the end of the run below its title."""

    def add(title: str, *lines: str) -> None:
        request.node.user_properties += [("figures", [title, line]) for line in lines]

    return add


def pytest_terminal_summary(terminalreporter):
    """Prints the figures of all tests, also of those that ran in other processes."""
    tables: dict[str, list[str]] = {}
    for report in (
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
    ):
        for name, value in report.user_properties:
            if name == "figures":
                tables.setdefault(value[0], []).append(value[1])
    for title, lines in tables.items():
        terminalreporter.write_line(f"\n{title}\n" + "\n".join(f"  {line}" for line in lines))
