"""A running stack as the tests see it: through its door, its broker and its database, never through its code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import psycopg2.extras

from .http import Answer, call

ROOT = Path(__file__).resolve().parents[2]
LEVELS = ("1min", "15min", "1hour", "1day")


class Enms:
    """A stack that was started by `./enms up` with `ENMS_RUN_DIR` = run_dir. `env` is the environment to call the launcher with."""

    def __init__(self, run_dir: Path, env: dict[str, str]):
        self.run_dir = Path(run_dir)
        self.env = env
        printed = self.launch("env").stdout
        self.settings = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
        self.url = self.settings["ENMS_HTTP_URL"]
        self.editor = (self.settings["ENMS_EDITOR_USER"], self.settings["ENMS_EDITOR_PASSWORD"])

    def launch(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess:
        """Runs `./enms …` for this stack. Raises AssertionError with its output when it fails."""
        done = subprocess.run(
            [ROOT / "enms", *arguments], env=self.env, text=True, capture_output=True, timeout=timeout
        )
        if check:
            assert done.returncode == 0, (
                f"./enms {' '.join(arguments)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done

    # ------------------------------------------------------------------ database

    @contextmanager
    def database(self):
        """A connection of its own, as owner, autocommit."""
        connection = psycopg2.connect(self.settings["ENMS_DATABASE_URL"], connect_timeout=5)
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, sql: str, *parameters) -> list[dict]:
        """The rows of one statement."""
        with self.database() as connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(sql, parameters or None)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def value(self, sql: str, *parameters):
        """The first column of the first row, None when there is none."""
        rows = self.rows(sql, *parameters)
        return next(iter(rows[0].values())) if rows else None

    # ------------------------------------------------------------------ HTTP

    def get(self, path: str, **more) -> Answer:
        """GET through the door; `path` begins with /."""
        return call("GET", self.url + path, **more)

    def change(self, method: str, path: str, body=None) -> Answer:
        """A changing request as the logged-in operator (HTTP Basic)."""
        return call(method, self.url + path, body, user=self.editor)

    def add_device(self, device: dict) -> None:
        """Registers a device through the Devices API. Raises AssertionError with its answer."""
        answer = self.change("POST", "/api/devices", device)
        assert answer.status in (200, 201), f"adding {device['device_id']}: {answer.status} {answer.text[:400]}"

    def summary(self) -> dict:
        """GET /api/dpp_summary."""
        return self.get("/api/dpp_summary").json()

    # ------------------------------------------------------------------ processes

    def status(self) -> dict:
        """`./enms status --json`."""
        return json.loads(self.launch("status", "--json", check=False).stdout)

    def pid(self, service: str) -> int:
        """The leading process of a service, as the supervisor recorded it. Raises AssertionError when it does not run."""
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
    """`./enms up` in a run directory of its own, on a free port, with the environment's packages shared; `more` are further variables.

    Raises AssertionError with the launcher's output when it fails.
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
    assert done.returncode == 0, (
        f"./enms up {' '.join(arguments)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )
    stack = Enms(run_dir, env)
    stack.up_output = done.stdout
    return stack
