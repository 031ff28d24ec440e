"""`test` and `lint`: install what they need and run it, beside a running stack or without one.

What a test run is made of (its directory, its database server, its stacks) is the business of the plugin in tests/plugin/.
"""

import os
import signal
import subprocess

from . import install, linters, processes, settings
from .processes import Terminated


def test(arguments):
    """Runs the test suite. The last line of the output is pytest's own."""
    where = settings.paths()
    prepare(where, install.LONG_TEST_PACKAGES if arguments.long else install.TEST_PACKAGES)
    rest = (["--long"] if arguments.long else []) + arguments.rest
    if not rest:  # most of the time is spent waiting for real services, so two files at a time
        rest = ["-n", "2", "--dist", "loadfile"]
    environment = {**os.environ, "ENMS_RUN_DIR": str(where.run), "ENMS_ENV_DIR": str(where.env)}
    return pytest([str(where.python), "-m", "pytest", *rest], environment)


def lint(arguments):
    """Runs the linters; returns 1 when one of them complains."""
    where = settings.paths()
    prepare(where, install.PACKAGES)
    return linters.run(where, arguments.tools, arguments.fix)


def prepare(where, packages):
    """Installs what the linters and tests need."""
    settings.prepare_run_dir(where)
    install.check_disk(where, 1000)
    install.system_packages(where.log("install"), say, packages)
    install.environment(where, say)
    install.test_environment(where, say)


def pytest(command, environment):
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


def say(text):
    """A line before the tests begin."""
    print(text, flush=True)
