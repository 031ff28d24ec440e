"""A running stack as the tests see it: through its door, its broker and its database, never through its code."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import psycopg2.extras

from common.files import ROOT

from .http import Answer, call

LEVELS = ("1min", "15min", "1hour", "1day")


class Enms:
    """A stack that was started by `./enms up` with `ENMS_RUN_DIR` = run_dir.

    `env` is the environment in which the launcher is called, `up_output` what `./enms up` printed, and `up_at` the unix
    time at which it had done so.
    """

    def __init__(self, run_dir: Path, env: Mapping[str, str], up_output: str = "") -> None:
        self.run_dir, self.env, self.up_output, self.up_at = run_dir, env, up_output, time.time()
        printed = self.launch("env").stdout
        self.settings = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
        self.url = self.settings["ENMS_HTTP_URL"]
        self.editor = (self.settings["ENMS_EDITOR_USER"], self.settings["ENMS_EDITOR_PASSWORD"])

    def launch(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs `./enms …` for this stack. Raises AssertionError with its output when it fails."""
        done = subprocess.run(
            [ROOT / "enms", *arguments], env=self.env, text=True, capture_output=True, timeout=timeout
        )
        if check:
            assert done.returncode == 0, _failure(arguments, done)
        return done

    # ------------------------------------------------------------------ database

    @contextmanager
    def database(self) -> Iterator[psycopg2.extensions.connection]:
        """A connection of its own, as owner, autocommit."""
        connection = psycopg2.connect(self.settings["ENMS_DATABASE_URL"], connect_timeout=5)
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """The rows of one statement."""
        with self.database() as connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(sql, parameters or None)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def value(self, sql: str, *parameters: object) -> Any:
        """The first column of the first row, None when there is no row."""
        rows = self.rows(sql, *parameters)
        return next(iter(rows[0].values())) if rows else None

    # ------------------------------------------------------------------ HTTP

    def get(self, path: str, **more: Any) -> Answer:
        """GET through the door; `path` begins with /, `more` is for call()."""
        return call("GET", self.url + path, **more)

    def change(self, method: str, path: str, body: object = None) -> Answer:
        """A changing request as the logged-in operator (HTTP Basic)."""
        return call(method, self.url + path, body, user=self.editor)

    def add_device(self, device: Mapping[str, Any]) -> None:
        """Registers a device through the Devices API. Raises AssertionError with its answer."""
        answer = self.change("POST", "/api/devices", device)
        assert answer.status in (200, 201), f"adding {device['device_id']}: {answer.status} {answer.text[:400]}"

    def summary(self) -> dict[str, Any]:
        """GET /api/dpp_summary."""
        return self.get("/api/dpp_summary").json()

    # ------------------------------------------------------------------ processes

    def status(self) -> dict[str, Any]:
        """`./enms status --json`."""
        return json.loads(self.launch("status", "--json", check=False).stdout)

    def pid(self, service: str) -> int:
        """The leading process of a service, as the supervisor recorded it.

        Raises AssertionError when the service does not run.
        """
        pid = json.loads((self.run_dir / "supervisor.json").read_text())["services"][service].get("pid")
        assert pid, f"{service} does not run"
        return pid

    def kill(self, service: str) -> int:
        """`kill -9` of the leading process of a service, and nothing else; returns its pid."""
        pid = self.pid(service)
        os.kill(pid, signal.SIGKILL)
        return pid

    def logs(self) -> list[Path]:
        """All log files of the stack."""
        return [p for p in Path(self.settings.get("ENMS_LOG_DIR", self.run_dir)).rglob("*") if p.is_file()]


def _failure(arguments: tuple[str, ...], done: subprocess.CompletedProcess[str]) -> str:
    printed = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return f"./enms {' '.join(arguments)} ended with {done.returncode}\n{printed}"


def children(pid: int) -> list[tuple[int, str]]:
    """(pid, command line) of everything below a process."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text()
                parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        for child, above in parents.items():
            if above == parent:
                queue.append(child)
                try:
                    found.append((child, re.sub("\0", " ", Path(f"/proc/{child}/cmdline").read_text()).strip()))
                except OSError:
                    continue
    return found


def start(run_dir: Path, *arguments: str, timeout: float = 240, **more: str) -> Enms:
    """`./enms up` in a run directory of its own, on a free port, with the environment's packages shared.

    `more` are further variables. Raises AssertionError with the launcher's output when it fails.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ENMS_", "PG"))}
    env.update(
        ENMS_RUN_DIR=str(run_dir),
        ENMS_ENV_DIR=os.environ["ENMS_ENV_DIR"],
        ENMS_HTTP_PORT="0",
        ENMS_API_RATE="1000",
        **more,
    )
    done = subprocess.run([ROOT / "enms", "up", *arguments], env=env, text=True, capture_output=True, timeout=timeout)
    assert done.returncode == 0, _failure(("up", *arguments), done)
    return Enms(run_dir, env, done.stdout)
