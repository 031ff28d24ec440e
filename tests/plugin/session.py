"""One run of the tests: a directory below the run directory, removed afterwards, and the variables that tests read.

A run (`./enms test`, or pytest from a shell or an editor) needs no variable: what is set of ENMS_* and PG* belongs to
a stack of the user and reaches no test. Processes of pytest-xdist inherit the variables of the first process, and so
its directory. What a killed run left (a directory, databases, stacks, other processes) is ended and removed by the
next one.
"""

import os
import shutil
import signal
import threading
from pathlib import Path
from types import FrameType

import pytest

from common.errors import EnmsError
from launcher import install, processes, settings, up

from . import cluster, coverage

MARK = "TEST_RUN_DIR"  # every process that a test starts has it in its environment
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")


def pytest_addoption(parser: pytest.Parser) -> None:
    """--long: also the tests that take minutes."""
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_configure(config: pytest.Config) -> None:
    """Makes the run's directory and variables, once for all processes of the run."""
    if config.option.long and config.option.markexpr == "not long":
        config.option.markexpr = ""
    if hasattr(config, "workerinput"):
        return
    try:
        where = settings.paths()
    except EnmsError as error:
        raise pytest.UsageError(f"{error} {error.remedy}") from error
    run = settings.Paths(where.run / directory_name(os.getpid()), where.env)
    if not config.option.collectonly:
        prepare(where, run)
        config.add_cleanup(lambda: remove(run.run))
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)
    for name in [name for name in os.environ if name.startswith(("ENMS_", "PG"))]:
        del os.environ[name]
    os.environ.update({**variables(run, config.option.long), **coverage.variables(run.run, config)})


def prepare(where: settings.Paths, run: settings.Paths) -> None:
    """Makes the run's directory, and removes those of killed runs. Raises UsageError when the tests can't run here."""
    try:
        settings.prepare_run_dir(where)
        settings.prepare_run_dir(run)
    except EnmsError as error:
        raise pytest.UsageError(f"{error} {error.remedy}") from error
    if not install.is_installed(where):
        raise pytest.UsageError(f"What the tests need is not in {where.env} yet: run ./enms test once.")
    for old in where.run.glob("test-*-*"):
        pid = old.name.split("-")[1]
        if not pid.isdigit() or directory_name(int(pid)) != old.name:
            remove(old)


def directory_name(pid: int) -> str:
    """The name of a run's directory; a later process with the same pid has another one."""
    seen = processes.stat(pid)
    return f"test-{pid}-{seen.start if seen else 'ended'}"


def terminated(_number: int, _frame: FrameType | None) -> None:
    """Ends the run as Ctrl-C does, so that fixtures and directories are cleaned up."""
    raise processes.Terminated


def variables(run: settings.Paths, long: bool) -> dict[str, str]:
    """What tests read from their environment."""
    return {
        "ENMS_RUN_DIR": str(run.run),
        "ENMS_ENV_DIR": str(run.env),
        "ENMS_PYTHON": str(run.python),
        "ENMS_NODE": str(settings.node_binary(run)),
        "NODE_PATH": str(run.modules),
        "ENMS_LONG": "1" if long else "0",
        MARK: str(run.run),
    }


def remove(run: Path) -> None:
    """Ends whatever a run left (stacks, database servers, other processes of its tests), and removes its directory."""
    for record in run.rglob("supervisor.json"):
        up.stop(settings.Paths(record.parent), lambda *_: None)
    for base in run.glob("postgres-*"):
        cluster.clear(base)
    for pid in started_by(run):
        processes.stop_tree(processes.identity(pid), signal.SIGKILL, 5)
    shutil.rmtree(run, ignore_errors=True)


def started_by(run: Path) -> list[int]:
    """Pids of the processes that have the mark of that run, without this one."""
    mark, found = f"{MARK}={run}".encode(), []
    for pid in processes.snapshot():
        try:
            variables = (processes.PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or belongs to another user
            continue
        if mark in variables and pid != os.getpid():
            found.append(pid)
    return found
