"""One run of the tests: a directory below the run directory, removed afterwards, and the variables that tests read.

Whoever starts the run (`./enms test`, or pytest from a shell or an editor) needs to set nothing; what is set of ENMS_* and
PG* is that of somebody's stack and reaches no test. Processes of pytest-xdist inherit the first one's directory.
"""

import os
import shutil
from pathlib import Path

import pytest

from common.errors import EnmsError
from launcher import install, processes, settings, up

from . import cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """--long: also the tests that take minutes."""
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_configure(config: pytest.Config) -> None:
    """Makes the run's directory, once for all processes of the run."""
    if config.option.long and config.option.markexpr == "not long":
        config.option.markexpr = ""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    try:
        where = settings.paths()
        settings.prepare_run_dir(where)
    except EnmsError as error:
        raise pytest.UsageError(f"{error} {error.remedy}") from error
    if not install.is_installed(where):
        raise pytest.UsageError(f"What the tests need is not in {where.env} yet: run ./enms test once.")
    for old in where.run.glob("test-*"):
        if not processes.stat(int(old.name.partition("-")[2] or 0)):
            remove(old)
    run = settings.Paths(where.run / f"test-{os.getpid()}", where.env)
    settings.prepare_run_dir(run)
    for name in [name for name in os.environ if name.startswith(("ENMS_", "PG"))]:
        del os.environ[name]
    os.environ.update(variables(run, config.option.long))
    config.add_cleanup(lambda: remove(run.run))


def variables(run: settings.Paths, long: bool) -> dict[str, str]:
    """What tests read from their environment."""
    return {
        "ENMS_RUN_DIR": str(run.run),
        "ENMS_ENV_DIR": str(run.env),
        "ENMS_PYTHON": str(run.python),
        "ENMS_NODE": str(settings.node_binary(run)),
        "NODE_PATH": str(run.modules),
        "ENMS_LONG": "1" if long else "0",
    }


def remove(run: Path) -> None:
    """Ends whatever a run left in its directory (stacks, database servers), and removes the directory."""
    for record in run.rglob("supervisor.json"):
        up.stop(settings.Paths(record.parent), lambda *_: None)
    for base in run.glob("postgres-*"):
        cluster.clear(base)
    shutil.rmtree(run, ignore_errors=True)
