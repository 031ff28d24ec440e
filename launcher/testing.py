"""`test`, `lint` and `bench`: install what they need and run it, next to a running stack or without one.

What a test run is made of (its directory, its database server, its stacks) is the work of the plugin in tests/plugin/.
"""

import argparse
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from . import install, linters, modules, processes, settings
from .processes import Terminated
from .settings import Paths


def test(arguments: argparse.Namespace) -> int:
    """Runs the test suite. The last line of the output is pytest's own."""
    where = settings.paths()
    prepare(where, install.LONG_TEST_PACKAGES if arguments.long else install.TEST_PACKAGES)
    rest = arguments.rest
    if arguments.long:
        rest = ["--long", *rest]
    elif not rest:  # most of the time is spent waiting for real services, so two files at a time
        rest = ["-n", "2", "--dist", "loadfile"]
    if arguments.coverage:
        rest = [*rest, "--cov"]  # last, because a path behind it would be taken for its value
    environment = {**os.environ, "ENMS_RUN_DIR": str(where.run), "ENMS_ENV_DIR": str(where.env)}
    return pytest([str(where.python), "-m", "pytest", *rest], environment)


def bench(arguments: argparse.Namespace) -> int:
    """Runs the bench, which starts a stack of its own."""
    where = settings.paths()
    prepare(where, install.PACKAGES)
    env = {
        **os.environ,
        "ENMS_RUN_DIR": str(where.run),
        "ENMS_ENV_DIR": str(where.env),
        "ENMS_PYTHON": str(where.python),
        "ENMS_NODE": str(settings.node_binary(where)),
        "NODE_PATH": str(where.modules),
    }
    return modules.run(env, "tests.bench", *arguments.rest, cwd=settings.ROOT)


def lint(arguments: argparse.Namespace) -> int:
    """Runs the linters; returns 1 when one of them complains."""
    where = settings.paths()
    prepare(where, install.PACKAGES)
    return linters.run(where, arguments.tools, arguments.fix)


def prepare(where: Paths, packages: Sequence[install.Package]) -> None:
    """Installs what the linters, tests and the bench need."""
    settings.prepare_run_dir(where)
    install.check_disk(where, 1000)
    install.system_packages(where.log("install"), say, packages)
    install.environment(where, say)
    install.test_environment(where, say)


def pytest(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs pytest; an interruption is passed on and waited for, so that it can stop the stacks that it started."""
    child = subprocess.Popen(command, cwd=settings.ROOT, env=environment)
    try:
        return child.wait()
    except KeyboardInterrupt as why:
        if isinstance(why, Terminated):
            processes.send(child.pid, signal.SIGINT)
        processes.stop_tree(processes.identity(child.pid), 0, 60)
        raise
    finally:
        child.wait()


def say(text: str) -> None:
    """Prints a line at once, before what is run prints its own."""
    print(text, flush=True)
