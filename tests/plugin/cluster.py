"""A private PostgreSQL server for tests.

`python -m tests.plugin.cluster` prints the connection string of one that runs until standard input ends: for tests in
JavaScript that are started by themselves.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common.errors import EnmsError
from launcher import ports, postgres, probes, processes


@contextlib.contextmanager
def private_cluster(base: Path, log: Path) -> Iterator[str]:
    """A server with its data in `base`, removed afterwards; yields the superuser's connection string.

    Service roles need no password, so that a unit test can be any of them; the superuser does. Raises EnmsError when
    the server does not start.
    """
    clear(base)
    port = ports.choose(("test",), {})["test"]
    password = secrets.token_urlsafe(12)
    postgres.create(base, password, log)
    # Nothing in it is needed after the run, so it need not reach the disk; tests of durability start whole stacks.
    postgres.configure(
        base,
        extra="fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\n",
        access="host all postgres 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n",
    )
    env = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "ENMS_DB_HOST": "127.0.0.1",
        "ENMS_DB_PORT": str(port),
        "ENMS_DB_SUPERUSER_PASSWORD": password,
    }
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
    try:
        end = time.monotonic() + 30
        while problem := probes.database(env):
            if server.poll() is not None or time.monotonic() > end:
                raise EnmsError(f"The tests' database does not start: {problem}.", "See the log.", log)
            time.sleep(0.05)
        yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    finally:
        processes.stop_tree(processes.identity(server.pid), signal.SIGQUIT, 10)
        server.wait()
        clear(base)


def clear(base: Path) -> None:
    """Ends a server that a killed run left, and removes its data."""
    if (base / "data").exists():
        postgres.end_foreign_start(base)
    shutil.rmtree(base, ignore_errors=True)


def main() -> None:
    """Serves until standard input ends, or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with (
        tempfile.TemporaryDirectory() as place,
        private_cluster(Path(place) / "postgres", Path(place) / "log") as dsn,
    ):
        print(dsn, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
