"""What is printed at the end of a run: figures that tests measured, and the ten slowest tests."""

from collections.abc import Callable, Iterator

import pytest

SLOWEST = 10


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[..., None]:
    """figures(title, *lines): what a test measured, printed at the end of the run below its title."""

    def add(title: str, *lines: str) -> None:
        request.node.user_properties += [("figures", [title, line]) for line in lines]

    return add


def finished(terminalreporter: pytest.TerminalReporter) -> Iterator[pytest.TestReport]:
    """The reports of all tests' calls, also of those that ran in other processes."""
    for reports in terminalreporter.stats.values():
        yield from (report for report in reports if isinstance(report, pytest.TestReport) and report.when == "call")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the figures, and the slowest tests of a run that had at least so many."""
    tables: dict[str, list[str]] = {}
    for report in finished(terminalreporter):
        for name, value in report.user_properties:
            if name == "figures" and isinstance(value, list):
                title, line = value
                tables.setdefault(title, []).append(line)
    for title, lines in tables.items():
        terminalreporter.write_line(f"\n{title}\n" + "\n".join(f"  {line}" for line in lines))
    slow = sorted(finished(terminalreporter), key=lambda report: report.duration, reverse=True)[:SLOWEST]
    if len(slow) == SLOWEST:
        terminalreporter.write_line(f"\nThe {SLOWEST} slowest tests, seconds without their set-up")
        for report in slow:
            terminalreporter.write_line(f"  {report.duration:6.1f}  {report.nodeid}")
