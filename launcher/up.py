"""`up` and `down`: the steps that a person sees."""

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from common import files
from common.errors import EnmsError

from . import demo, install, ports, postgres, processes, record, services, settings
from .record import Record, ServiceRecord
from .services import Service
from .settings import Paths


class Steps:
    """Progress on the terminal: elapsed time, step, what happened."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def say(self, step: str, text: str) -> None:
        """Prints one line."""
        print(f"{time.monotonic() - self.began:6.1f} s  {step:<12} {text}", flush=True)


def running(where: Paths) -> Record | None:
    """The supervisor's record while it runs, otherwise None."""
    known = record.read(where)
    return known if processes.is_alive(known) else None


def exclusive(where: Paths) -> TextIO:
    """Keeps a second `up` or `down` of the same stack out while this one works; returns the lock, which ends when it is
    closed. Raises EnmsError when another one works.
    """
    handle = where.up_lock.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        raise EnmsError(
            f"Another ./enms up or down of this stack is at work (pid {handle.read().strip() or '?'}).",
            "Wait until it is done.",
        ) from error
    handle.seek(0)
    handle.truncate()
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def end_leftovers(where: Paths) -> list[str]:
    """Ends what a dead supervisor left running, by recorded identity, and nothing else; returns the names."""
    left = record.read(where)
    recorded = left["services"] if left else {}
    found = []
    for name in (name for group in services.STOP_ORDER for name in group if name in recorded):
        known = record.process(recorded[name])
        if known and (processes.is_alive(known) or processes.left_behind(known)):
            service = services.BY_NAME[name]
            processes.stop_tree(known, service.stop_signal, service.grace)
            found.append(name)
    if (where.postgres / "data").exists():
        postgres.end_foreign_start(where.postgres)
    where.supervisor.unlink(missing_ok=True)
    where.lock.unlink(missing_ok=True)
    return found


def check_ports(env: Mapping[str, str]) -> None:
    """Raises EnmsError when a port that people and plugs use is taken, or may not be opened."""
    for name, port in (
        ("ENMS_HTTP_PORT", int(env["ENMS_HTTP_PORT"])),
        ("ENMS_BROKER_PORT", int(env["ENMS_MQTT_PORT"])),
    ):
        try:
            free = ports.is_free(port, env["ENMS_BIND"])
        except PermissionError as error:
            raise EnmsError(
                f"This user may not open port {port}.",
                f"Choose one above 1023: {name}={8080 if name == 'ENMS_HTTP_PORT' else 1883} ./enms up",
            ) from error
        if not free:
            who = processes.listener(port)
            why = f"it is used by {who}" if who else "it is in use, or this machine does not have that address"
            raise EnmsError(
                f"Port {port} on {env['ENMS_BIND']} can't be opened: {why}.",
                f"Choose another: {name}={port + 1} ./enms up",
            )


def up(arguments: argparse.Namespace) -> int:
    """Starts the stack; a running one is left alone."""
    where = settings.paths()
    steps = Steps()
    settings.prepare_run_dir(where)
    with exclusive(where):
        known = running(where)
        if known and not arguments.fresh:
            tell_running(known, settings.recorded(where)["ENMS_HTTP_URL"], arguments.demo)
            return 0
        if known:
            stop(where, steps.say)
        left = end_leftovers(where)
        if left:
            steps.say("recover", f"ended what a killed supervisor left: {', '.join(left)}")
        if arguments.fresh:
            forget(where)
            steps.say("fresh", "all data of the last stack removed")
        start(where, arguments.demo, steps)
    return 0


def tell_running(known: Record, url: str, with_demo: bool) -> None:
    """Tells a person who starts a stack that runs already; `with_demo` is what was asked for."""
    bad = [name for name, service in known["services"].items() if service["state"] not in ("ready", "done")]
    print(
        f"The stack is already running at {url}; nothing to do."
        + (f" Not ready: {', '.join(bad)} (./enms status)." if bad else "")
    )
    if with_demo != known["demo"]:
        print(
            f"It runs {'with' if known['demo'] else 'without'} the demo fleet; "
            f"to change that: ./enms down, then ./enms up{'.' if with_demo else ' --no-demo.'}"
        )


def forget(where: Paths) -> None:
    """Removes the data of the stack, not the environments and not the ports."""
    for path in (where.postgres, where.state, where.run / "mosquitto", where.run / "nginx", where.config):
        shutil.rmtree(path, ignore_errors=True)
    for path in (where.secrets, where.settings, where.demo_done):
        path.unlink(missing_ok=True)
    settings.prepare_run_dir(where)


def start(where: Paths, with_demo: bool, steps: Steps) -> None:
    """All steps of a start; when one fails, what was started is stopped."""
    env = prepare(where, steps)
    chosen = services.wanted(env, with_demo, history=not demo.has_history(where))
    with launched(where, env, chosen, with_demo, steps):
        if with_demo:
            demo.begin(where, env, steps.say)
    steps.say("ready", "")
    print(
        f"\n  ENMS            {env['ENMS_HTTP_URL']}/\n  Node-RED        {env['ENMS_HTTP_URL']}/nodered/\n"
        f"  API             {env['ENMS_HTTP_URL']}/api/docs\n"
        + (f"  Grafana         {env['ENMS_HTTP_URL']}/grafana/\n" if env["ENMS_GRAFANA_URL"] else "")
        + f"  MQTT            {env['ENMS_MQTT_HOST']}:{env['ENMS_MQTT_PORT']}  user {env['ENMS_MQTT_DEVICE_USER']}\n"
        f"  Login           {env['ENMS_EDITOR_USER']} / {env['ENMS_EDITOR_PASSWORD']}\n\n"
        "  ./enms status · ./enms logs · ./enms device list · ./enms down",
        flush=True,
    )


def prepare(where: Paths, steps: Steps) -> dict[str, str]:
    """Brings packages, environments, settings and the cluster up to date, without starting anything.

    Returns the stack's variables.
    """
    install.check_disk(where, 300)
    install.system_packages(where.log("install"), lambda text: steps.say("packages", text), install.PACKAGES)
    done = install.environment(where, lambda text: steps.say("environment", text))
    steps.say("environment", "installed" if done else "up to date")
    env = settings.build(where)
    check_ports(env)
    if postgres.create(where.postgres, env["ENMS_DB_SUPERUSER_PASSWORD"], where.log("postgres")):
        steps.say("database", "private PostgreSQL cluster made")
    files.write_json(where.settings, env, 0o600)
    return env


@contextlib.contextmanager
def launched(
    where: Paths, env: Mapping[str, str], chosen: Sequence[Service], with_demo: bool, steps: Steps
) -> Iterator[None]:
    """Starts a supervisor with these services; inside the block they are ready. When it fails, they are stopped."""
    files.write_json(where.run / "plan.json", {"services": [service.name for service in chosen], "demo": with_demo})
    with open(where.log("supervisor"), "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "launcher.supervisor", str(where.run)],
            cwd=settings.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={"PATH": env["PATH"], "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        )
    try:
        wait_ready(where, env, child, steps)
        yield
    except BaseException:
        steps.say("stopping", "the start did not succeed")
        stop(where, lambda *_: None)
        raise


def wait_ready(where: Paths, env: Mapping[str, str], child: subprocess.Popen[bytes], steps: Steps) -> None:
    """Waits until every service is ready, reporting each; raises EnmsError for one that doesn't come up."""
    reported = set()
    shown: dict[str, int] = {}  # up to which byte of its log the progress of a service was shown
    while True:
        known = running(where)
        if child.poll() is not None:
            raise EnmsError(
                "The supervisor ended.", "./enms doctor looks for the usual causes.", where.log("supervisor")
            )
        if known and known["pid"] == child.pid:
            for name, service in known["services"].items():
                if name in reported:
                    continue
                if services.BY_NAME[name].progress:
                    lines, shown[name] = new_lines(where.log(name), shown.get(name, service["log_from"]))
                    for line in lines:
                        if line.startswith(services.BY_NAME[name].progress):
                            steps.say(name, line)
                if service["state"] in ("ready", "done"):
                    reported.add(name)
                    port = services.BY_NAME[name].port
                    at = f" on port {env[port]}" if port else ""
                    steps.say(name, f"{service['state']}{at}, {service.get('seconds')} s")
                elif not services.BY_NAME[name].background:  # ./enms status shows how those do
                    refuse_failed(name, where, service)
            if all(name in reported or services.BY_NAME[name].background for name in known["services"]):
                return
        time.sleep(0.05)


def new_lines(path: Path, since: int) -> tuple[list[str], int]:
    """The whole lines of a log from byte `since` on, and where the next ones begin."""
    try:
        with open(path, "rb") as log:
            log.seek(since)
            whole, end, _ = log.read().rpartition(b"\n")
    except OSError:
        return [], since
    return whole.decode(errors="replace").splitlines(), since + len(whole + end)


def refuse_failed(name: str, where: Paths, service: ServiceRecord) -> None:
    """Raises EnmsError when a service was started in vain three times, or takes too long to become ready."""
    error = service.get("error") or ""
    if service.get("failures", 0) >= 3:
        problem = f"{name} does not start" + (f": {error}" if error else ".")
    elif "not ready after" in error:
        problem = f"{name} is {error}."
    else:
        return
    raise EnmsError(problem, remedy_for(name, where, service), where.log(name), service["log_from"])


def remedy_for(name: str, where: Paths, service: ServiceRecord) -> str:
    """What to do about a service that doesn't start, as far as its log shows."""
    text = "\n".join(files.last_lines(where.log(name), 30, service["log_from"]))
    if "start again. The old rows are as they were" in text:
        return (
            "Free that much space, then run ./enms up again; or go back to the old version: its database is unchanged "
            "as long as nothing was copied."
        )
    if "No space left" in text or "disk full" in text.lower():
        return "The disk is full: free at least 1 GB, then run ./enms up again."
    if "there is no time zone" in text or "there is no currency" in text:
        return "Correct it in .env, then run ./enms up again."
    if "migrated by a newer version" in text:
        return (
            "Update the checkout (git pull), or go back with the backup from before the upgrade: "
            "./enms restore FILE --replace"
        )
    if "Address already in use" in text or "EADDRINUSE" in text:
        return "Somebody took the port meanwhile; run ./enms up again, it chooses a new one."
    if "Permission denied" in text or "EACCES" in text:
        return (
            "A file is not readable or writable for this user: "
            "run as the user who owns the checkout and the run directory."
        )
    return f"The last lines of {where.log(name)} say why; ./enms doctor looks for the usual causes."


def stop(where: Paths, say: Callable[[str, str], None]) -> bool:
    """Stops a running stack through its supervisor; ends what is left when that doesn't answer.

    Returns False when there was nothing to stop.
    """
    known = running(where)
    if known:
        processes.send(known["pid"], signal.SIGTERM)
        if processes.wait_gone([known], 60):
            processes.send(known["pid"], signal.SIGKILL)
            processes.wait_gone([known], 5)
    left = end_leftovers(where)
    if left:
        say("down", f"ended what was left: {', '.join(left)}")
    return bool(known or left)


def down(_arguments: argparse.Namespace) -> int:
    """Stops everything that `up` started and nothing else."""
    where = settings.paths()
    if not where.run.exists():
        print("Nothing is running.")
        return 0
    steps = Steps()
    with exclusive(where):
        found = stop(where, steps.say)
    where.up_lock.unlink(missing_ok=True)
    print(f"Stopped in {time.monotonic() - steps.began:.1f} s." if found else "Nothing is running.")
    return 0
