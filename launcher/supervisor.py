"""The supervisor: one process per stack that starts the services, keeps them alive and stops them.

A thread per service does its whole life in order: wait for what it needs, prepare, start, probe until ready, wait for
its end, end what it left behind, start it again. The supervisor is the "subreaper" of everything below it: when a
service is killed, its workers become the supervisor's children, so that none can escape and keep a port. Services write
straight into their log files, so they continue when the supervisor dies; the next `up` ends them by their recorded
identity.

Run as: python3 -m launcher.supervisor RUN_DIR; SIGTERM stops the stack.
"""

import contextlib
import ctypes
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO, Unpack

from common import files, logs
from common.errors import EnmsError

from . import processes, services
from .record import Changes, Record, process
from .services import Service
from .settings import Paths

BACK_OFF = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
STEADY_SECONDS = 10.0  # a service that was ready this long starts again with the shortest pause
PR_SET_CHILD_SUBREAPER = 36
MB = 1 << 20
log = logging.getLogger(__name__)


class Supervisor:
    """Runs the services of one stack; `record` in supervisor.json is what `up`, `status` and `down` read."""

    def __init__(self, where: Paths, env: Mapping[str, str], wanted: Sequence[Service], demo: bool) -> None:
        self.where, self.env, self.wanted = where, env, wanted
        self.stopping = threading.Event()
        self.ready = {service.name: threading.Event() for service in wanted}
        self.guard = threading.RLock()
        self.leaders: set[int] = set()
        self.record: Record = {
            **processes.identity(os.getpid()),
            "demo": demo,
            "started_at": time.time(),
            "services": {
                service.name: {
                    "state": "waiting",
                    "restarts": 0,
                    "task": service.task,
                    "log_from": size(where.log(service.name)),
                }
                for service in wanted
            },
        }

    def note(self, name: str, **changes: Unpack[Changes]) -> None:
        """Records what is known of a service."""
        with self.guard:
            self.record["services"][name] = {**self.record["services"][name], **changes}
            try:
                files.write_json(self.where.supervisor, self.record, 0o600)
            except OSError as error:  # a full disk must not end the supervisor
                log.error("cannot record %s: %s", name, error)

    def live(self, service: Service) -> None:
        """The life of one service, until the supervisor stops."""
        failures = 0
        while self.wait_for_needs(service):
            began = time.monotonic()
            child = self.start(service)
            if child:
                was_ready = self.wait_ready(service, child, began)
                code = child.wait()
                self.ready[service.name].clear()
                self.end_left_behind(service, child.pid)
                with self.guard:
                    self.leaders.discard(child.pid)
                if self.stopping.is_set():
                    break
                if service.task and code == 0:
                    self.note(service.name, state="done", pid=None, seconds=round(time.monotonic() - began, 2))
                    self.ready[service.name].set()
                    return
                log.warning("%s ended with %s", service.name, code)
                if was_ready and time.monotonic() - began > STEADY_SECONDS:
                    failures = 0
                self.note(service.name, state="failed", exit=code, pid=None, ready_at=None)
            pause = BACK_OFF[min(failures, len(BACK_OFF) - 1)]
            failures += 1
            self.note(service.name, failures=failures)
            if self.stopping.wait(pause):
                break
            with self.guard:
                restarts = self.record["services"][service.name]["restarts"] + 1
            self.note(service.name, state="waiting", restarts=restarts)

    def wait_for_needs(self, service: Service) -> bool:
        """Waits until all that the service needs is ready; False when the supervisor stops."""
        for name in service.needs:
            while name in self.ready and not self.ready[name].wait(0.1):
                if self.stopping.is_set():
                    return False
        return not self.stopping.is_set()

    def start(self, service: Service) -> subprocess.Popen[bytes] | None:
        """Prepares and starts the process; None when that failed (which is recorded)."""
        try:
            service.prepare(self.env)
            command, rights = service.command(self.env)
            with self.guard:
                if self.stopping.is_set():
                    return None
                with open(self.where.log(service.name), "ab") as output:
                    child = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        cwd=service.cwd,
                        env=services.environment(service, self.env),
                        start_new_session=True,
                        **rights,
                    )
                self.leaders.add(child.pid)
        except (OSError, EnmsError, subprocess.SubprocessError) as error:
            log.error("%s could not be started: %s", service.name, error)
            self.note(service.name, state="failed", error=str(error))
            return None
        self.note(service.name, state="starting", error=None, **processes.identity(child.pid))
        return child

    def wait_ready(self, service: Service, child: subprocess.Popen[bytes], began: float) -> bool:
        """Probes until the service is ready or its process ended; True when it became ready."""
        if service.task:
            return False
        pause = 0.02
        while not self.stopping.is_set():
            if child.poll() is not None:
                return False
            try:
                problem = service.probe(self.env) or self.foreign_listener(service, child)
            except Exception as error:  # whatever a half-started service answers, this thread must continue
                problem = repr(error)
            if not problem:
                # exec may have come after the first identity was taken (setpriv): keep the final name.
                self.note(
                    service.name,
                    state="ready",
                    error=None,
                    ready_at=time.time(),
                    seconds=round(time.monotonic() - began, 2),
                    **processes.identity(child.pid),
                )
                self.ready[service.name].set()
                return True
            if time.monotonic() - began > service.ready_seconds:
                self.note(service.name, error=f"not ready after {service.ready_seconds:.0f} s: {problem}")
            time.sleep(pause)
            pause = min(pause * 1.3, 0.5)
        return False

    def foreign_listener(self, service: Service, child: subprocess.Popen[bytes]) -> str:
        """'' when the service itself listens on its port: another stack's answer on it must not pass for ours."""
        if not service.port:
            return ""
        port = int(self.env[service.port])
        found = processes.listeners(port)
        # Nothing found: this user may not look into the process that listens (root in a container, for example).
        if not found or found & {child.pid, *processes.descendants(child.pid)}:
            return ""
        return f"port {port} is held by {processes.listener(port) or 'another program'}"

    def end_left_behind(self, service: Service, pid: int) -> None:
        """Kills what a dead service left: its session's processes, and PostgreSQL's (each has a session of its own).

        They must be gone before the next start: an old backend next to a new server would ruin the data.
        """
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with self.guard:
                leaders = set(self.leaders)
            orphans = [
                child
                for child, seen in processes.snapshot().items()
                if seen.ppid == os.getpid()
                and child not in leaders
                and (seen.session == pid or (service.name == "postgres" and seen.comm == "postgres"))
            ]
            if not orphans:
                return
            for child in orphans:
                processes.send(child, signal.SIGKILL)
                reap(child)
            time.sleep(0.01)
        log.error("%s: some of its processes would not end", service.name)

    def tidy(self) -> None:
        """Every second: rotates big logs and collects ended orphans."""
        limit = float(self.env["ENMS_LOG_MAX_MB"]) * MB
        for path in self.where.logs.glob("*.log"):
            try:
                if path.stat().st_size > limit:
                    rotate(path)
            except OSError as error:
                log.error("cannot rotate %s: %s", path.name, error)
        with self.guard:
            leaders = set(self.leaders)
        for pid, seen in processes.snapshot().items():
            if seen.ppid == os.getpid() and seen.state == "Z" and pid not in leaders:
                reap(pid)

    def run(self) -> None:
        """Starts all services and serves until SIGTERM, then stops them."""
        threads = [
            threading.Thread(target=self.live, args=(service,), name=service.name, daemon=True)
            for service in self.wanted
        ]
        files.write_json(self.where.supervisor, self.record, 0o600)
        for thread in threads:
            thread.start()
        while not self.stopping.wait(1.0):
            try:
                self.tidy()
            except Exception as error:  # housekeeping must never end the supervisor
                log.exception("housekeeping: %r", error)
        self.stop()

    def stop(self) -> None:
        """Stops everything, in order, each group at once."""
        for group in services.STOP_ORDER:
            stoppers = [
                threading.Thread(target=self.stop_one, args=(name,))
                for name in group
                if name in self.record["services"]
            ]
            for stopper in stoppers:
                stopper.start()
            for stopper in stoppers:
                stopper.join()

    def stop_one(self, name: str) -> None:
        """Stops one service and everything below it."""
        with self.guard:
            known = process(self.record["services"][name])
        if known:
            service = services.BY_NAME[name]
            processes.stop_tree(known, service.stop_signal, service.grace)
        self.note(name, state="stopped", pid=None)


def size(path: Path) -> int:
    """Bytes of a file; 0 when it isn't there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def rotate(path: Path) -> None:
    """Keeps the old text in NAME.log.1 and empties the log in place: writers have it open for appending.

    What is written during the copy is copied, too; only what falls into the instant between the last look and the cut
    is lost.
    """
    with open(path, "rb") as source, open(path.with_name(path.name + ".1"), "wb") as target:
        shutil.copyfileobj(source, target)
        while chunk := source.read(1 << 16):
            target.write(chunk)
        os.truncate(path, 0)


def reap(pid: int) -> None:
    """Collects an ended child."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def lock(where: Paths) -> TextIO | None:
    """Takes the stack's lock for this process; None when another supervisor has it."""
    handle = where.lock.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle


def main(run_dir: str) -> int:
    """Entry point of the daemon."""
    env = files.read_json(Path(run_dir) / "settings.json")
    logs.configure("supervisor", env["ENMS_LOG_LEVEL"])
    where = Paths(run_dir, env["ENMS_ENV_DIR"])
    own_lock = lock(where)
    if not own_lock:
        log.error("another supervisor runs this stack")
        return 1
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    plan = files.read_json(where.run / "plan.json")
    wanted = [services.BY_NAME[name] for name in plan["services"]]
    supervisor = Supervisor(where, env, wanted, plan["demo"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log.info("started")
    supervisor.run()
    where.supervisor.unlink(missing_ok=True)
    where.lock.unlink(missing_ok=True)
    log.info("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
