"""`status`: each service as it is now, the database engine, and the last reading of every device."""

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from backup import record as backup_record
from common import files

from . import probes, processes, record, services, settings
from .processes import Stat
from .record import ServiceRecord
from .settings import Paths

LAST_READINGS = """
SELECT coalesce(json_agg(x), '[]') FROM (
  SELECT d.device_id, d.source, l.state, l.status_at, l.power_watts, l.power_at,
         round(extract(epoch FROM now() - l.status_at))::int AS status_age_seconds,
         round(extract(epoch FROM now() - l.power_at))::int AS power_age_seconds
    FROM devices d LEFT JOIN device_latest l USING (device_id) WHERE d.is_active ORDER BY d.device_id) x"""


class ServiceState(TypedDict):
    """A service as it is now. A task has no memory and no port, a background task its last words."""

    state: record.State
    pid: int | None
    restarts: int
    memory_kb: NotRequired[int]
    processes: NotRequired[int]
    health: str  # "ok", otherwise what is wrong
    port: NotRequired[int]
    progress: NotRequired[str | None]


class SupervisorState(TypedDict):
    """The supervisor itself; `started_at` in seconds since 1970."""

    pid: int
    memory_kb: int
    started_at: float


class LastBackup(TypedDict):
    """The last good backup (None before the first), and what failed since then."""

    file: str | None
    bytes: int | None
    error: str | None
    age_seconds: int | None
    failed_age_seconds: int | None


class StackState(TypedDict):
    """What `./enms status --json` prints."""

    running: bool
    run_dir: str
    supervisor: SupervisorState | None
    demo: bool | None
    services: dict[str, ServiceState]
    memory_kb: int
    database_engine: str | None
    devices: list[dict[str, Any]] | None
    backup: LastBackup
    url: NotRequired[str]
    database_error: NotRequired[str]
    healthy: NotRequired[bool]


def collect(where: Paths) -> StackState:
    """The state of a stack, without `healthy`."""
    known = record.read(where)
    alive = processes.is_alive(known)
    result: StackState = {
        "running": alive,
        "run_dir": str(where.run),
        "supervisor": None,
        "demo": known["demo"] if known else None,
        "services": {},
        "memory_kb": 0,
        "database_engine": None,
        "devices": None,
        "backup": last_backup(where),
    }
    if not known and not where.settings.exists():
        return result
    env = settings.recorded(where)
    result["url"] = env["ENMS_HTTP_URL"]
    if not known:
        return result
    tree = processes.snapshot()
    for name, service in known["services"].items():
        entry = service_state(name, service, alive, where, env, tree)
        result["services"][name] = entry
        result["memory_kb"] += entry.get("memory_kb", 0)
    if alive:
        own = processes.memory_kb([known["pid"]])
        result["supervisor"] = {"pid": known["pid"], "memory_kb": own, "started_at": known["started_at"]}
        result["memory_kb"] += own
        try:
            result["database_engine"] = probes.sql(env, "SELECT value FROM settings WHERE name = 'engine'") or None
            result["devices"] = json.loads(probes.sql(env, LAST_READINGS))
        except (RuntimeError, ValueError) as error:
            result["database_error"] = str(error)
    return result


def service_state(
    name: str, known: ServiceRecord, supervised: bool, where: Paths, env: Mapping[str, str], tree: Mapping[int, Stat]
) -> ServiceState:
    """One service, as recorded and as its own probe finds it; `tree` is a snapshot of all processes."""
    service = services.BY_NAME[name]
    process = record.process(known)
    pid = process["pid"] if process and processes.is_alive(process) else None
    state: record.State = known["state"] if supervised or pid else "stopped"
    if service.task:
        health = "ok" if known["state"] == "done" or (service.background and pid) else known["state"]
        task: ServiceState = {"state": state, "pid": pid, "restarts": known["restarts"], "health": health}
        if service.background:
            task["progress"] = next(iter(files.last_lines(where.log(name), 1)), None)
        return task
    pids = [pid, *processes.descendants(pid, tree)] if pid else []
    problem = service.probe(env) if pid else known.get("error") or "not running"
    entry: ServiceState = {
        "state": state,
        "pid": pid,
        "restarts": known["restarts"],
        "memory_kb": processes.memory_kb(pids),
        "processes": len(pids),
        "health": problem or "ok",
    }
    if service.port:
        entry["port"] = int(env[service.port])
    return entry


def last_backup(where: Paths) -> LastBackup:
    """What is known of the backups of a stack."""
    known, now = backup_record.read(where.state), time.time()
    return {
        "file": known.get("file"),
        "bytes": known.get("bytes"),
        "error": known.get("error"),
        "age_seconds": round(now - known["at"]) if "at" in known else None,
        "failed_age_seconds": round(now - known["failed_at"]) if "failed_at" in known else None,
    }


def healthy(state: StackState) -> bool:
    """True when everything that should run does."""
    return state["running"] and all(entry["health"] == "ok" for entry in state["services"].values())


def status(arguments: argparse.Namespace) -> int:
    """Prints the state; exit code 0 healthy, 1 something is wrong, 3 not running."""
    where = settings.paths()
    state = collect(where)
    state["healthy"] = healthy(state)
    if arguments.json:
        print(json.dumps(state, indent=1))
    else:
        show(state)
    return 0 if state["healthy"] else 1 if state["running"] else 3


def age(seconds: int | None) -> str:
    """A short text for an age in seconds; '-' when unknown."""
    if seconds is None:
        return "-"
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def show(state: StackState) -> None:
    """Prints the state for people."""
    own = state["supervisor"]
    if not own:
        left = [name for name, entry in state["services"].items() if entry["pid"]]
        print(
            f"Not running ({state['run_dir']})."
            + (f" Left by a killed supervisor: {', '.join(left)}; ./enms up or ./enms down clears it." if left else "")
        )
        return
    print(
        f"{state.get('url')}   database engine: {state['database_engine'] or 'unknown'}   demo fleet: "
        f"{'yes' if state['demo'] else 'no'}\n"
    )
    print(f"{'service':<12}{'pid':>8}{'port':>7}{'memory':>10}{'restarts':>10}  health")
    for name, entry in state["services"].items():
        memory_kb = entry.get("memory_kb")
        memory = f"{memory_kb / 1024:.0f} MB" if memory_kb else "-"
        health = entry["health"] if entry["health"] != "ok" else ("ok" if entry["pid"] else "done")
        if progress := entry.get("progress"):
            health = f"{'running' if entry['pid'] else health}: {progress[:80]}"
        ids = f"{name:<12}{entry['pid'] or '-':>8}{entry.get('port') or '-':>7}"
        print(f"{ids}{memory:>10}{entry['restarts']:>10}  {health}")
    print(
        f"{'supervisor':<12}{own['pid']:>8}{'-':>7}{own['memory_kb'] / 1024:>7.0f} MB{'-':>10}  ok, up for "
        f"{age(int(time.time() - own['started_at']))}"
    )
    print(f"{'all':<27}{state['memory_kb'] / 1024:>7.0f} MB\n")
    last = state["backup"]
    if last["file"]:
        print(f"last backup {age(last['age_seconds'])} ago: {last['file']} ({(last['bytes'] or 0) / 1e6:.1f} MB)")
    if last["error"]:
        print(f"a backup failed {age(last['failed_age_seconds'])} ago: {last['error']}")
    if error := state.get("database_error"):
        print(f"The database can't be asked: {error}")
    elif state["devices"]:
        print(f"{'device':<24}{'source':<12}{'state':<11}{'status age':>11}{'power':>10}{'power age':>11}")
        for device in state["devices"]:
            power = "-" if device["power_watts"] is None else f"{device['power_watts']:.1f} W"
            print(
                f"{device['device_id']:<24}{device['source']:<12}{device['state'] or '-':<11}"
                f"{age(device['status_age_seconds']):>11}{power:>10}{age(device['power_age_seconds']):>11}"
            )
    else:
        print("No devices yet: ./enms device add --help")
