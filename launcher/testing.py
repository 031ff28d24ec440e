"""`test`: the whole test suite on a database and ports of its own, beside a running stack or without one."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time

from . import install, ports, postgres, probes, processes, settings, up
from .errors import LauncherError, Terminated
from .settings import Paths, node_binary

PASSWORD = secrets.token_urlsafe(12)  # of the superuser of this run's cluster


@contextlib.contextmanager
def private_cluster(base, log):
    """A PostgreSQL cluster for unit tests; yields the superuser's connection string. Its data are gone afterwards."""
    clear(base)
    port = ports.choose(("test",), {})["test"]
    postgres.create(base, PASSWORD, log)
    # Nothing in it outlives the run, so it need not reach the disk; tests of durability start whole stacks.
    # Service roles need no password, so that a unit test can be any of them; the superuser does.
    postgres.configure(
        base,
        extra="fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\n",
        access="host all postgres 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n",
    )
    command, rights = postgres.command(base, port)
    with open(log, "ab") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            start_new_session=True,
            **rights,
        )
    env = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "ENMS_DB_HOST": "127.0.0.1",
        "ENMS_DB_PORT": str(port),
        "ENMS_DB_SUPERUSER_PASSWORD": PASSWORD,
    }
    try:
        end = time.monotonic() + 30
        while problem := probes.database(env):
            if server.poll() is not None or time.monotonic() > end:
                raise LauncherError(f"The tests' database does not start: {problem}.", "See the log.", log)
            time.sleep(0.05)
        yield f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        processes.stop_tree(processes.identity(server.pid), 3, 10)
        server.wait()
        clear(base)


def clear(base):
    """Ends a server that a killed test run left, and removes its data."""
    if (base / "data").exists():
        postgres.end_foreign_start(base)
    shutil.rmtree(base, ignore_errors=True)


def test(arguments):
    """Installs what the tests need, starts their database, runs pytest. The last line of the output is pytest's own."""
    where = settings.paths()
    settings.prepare_run_dir(where)
    install.check_disk(where, 1000)
    install.system_packages(
        where.log("install"), say, install.LONG_TEST_PACKAGES if arguments.long else install.TEST_PACKAGES
    )
    install.environment(where, say)
    install.test_environment(where, say)
    run = Paths(where.run / f"test-{os.getpid()}", where.env)
    for old in where.run.glob("test-*"):
        if not processes.stat(int(old.name.partition("-")[2] or 0)):
            remove(old)
    settings.prepare_run_dir(run)
    rest = (["-m", ""] if arguments.long else []) + arguments.rest
    if not rest:  # most of the time is spent waiting for real services, so two files at a time
        rest = ["-n", "2", "--dist", "loadfile"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ENMS_", "PG"))}
    environment.update(
        {
            "ENMS_RUN_DIR": str(run.run),
            "ENMS_ENV_DIR": str(where.env),
            "ENMS_PYTHON": str(where.python),
            "ENMS_NODE": str(node_binary(where)),
            "NODE_PATH": str(where.modules),
            "ENMS_TEST_TIMESCALE_MODULES": str(where.env / "timescale" / "node_modules"),
            "ENMS_TEST_GRAFANA_MODULES": str(where.env / "grafana-types" / "node_modules"),
            "ENMS_LONG": "1" if arguments.long else "0",
        }
    )
    try:
        with private_cluster(run.postgres, where.log("test-postgres")) as dsn:
            environment["ENMS_TEST_PG"] = dsn
            environment["PGPASSWORD"] = PASSWORD  # for tests that connect by host and port
            return pytest([str(where.python), "-m", "pytest", *rest], environment)
    finally:
        remove(run.run)


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


def remove(run):
    """Ends whatever a test run left in its directory (its tests' stacks, its database), and removes the directory."""
    for record in run.rglob("supervisor.json"):
        up.stop(Paths(record.parent), lambda *_: None)
    clear(run / "postgres")
    shutil.rmtree(run, ignore_errors=True)


def say(text):
    """A line before the tests begin."""
    print(text, flush=True)
