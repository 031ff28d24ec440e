"""`status`: each service as it is now, the database engine, and the last reading of every device."""

import json
import time

from backup import record as backup_record
from common import files

from . import probes, processes, services, settings

LAST_READINGS = """
SELECT coalesce(json_agg(x), '[]') FROM (
  SELECT d.device_id, d.source, l.state, l.status_at, l.power_watts, l.power_at,
         round(extract(epoch FROM now() - l.status_at))::int AS status_age_seconds,
         round(extract(epoch FROM now() - l.power_at))::int AS power_age_seconds
    FROM devices d LEFT JOIN device_latest l USING (device_id) WHERE d.is_active ORDER BY d.device_id) x"""


def collect(where):
    """The whole state as a JSON value."""
    record = files.read_json(where.supervisor) or {}
    alive = processes.is_alive(record)
    result = {
        "running": alive,
        "run_dir": str(where.run),
        "supervisor": None,
        "demo": record.get("demo"),
        "services": {},
        "memory_kb": 0,
        "database_engine": None,
        "devices": None,
        "backup": last_backup(where),
    }
    if where.settings.exists():
        env = settings.recorded(where)
        result["url"] = env["ENMS_HTTP_URL"]
    tree = processes.snapshot()
    for name, known in record.get("services", {}).items():
        service = services.BY_NAME[name]
        running = processes.is_alive(known) if known.get("pid") else False
        entry = {
            "state": known["state"] if alive or running else "stopped",
            "pid": known.get("pid") if running else None,
            "restarts": known.get("restarts", 0),
        }
        if service.task:
            entry["health"] = "ok" if known["state"] == "done" or (service.background and running) else known["state"]
            if service.background:
                entry["progress"] = (files.last_lines(where.log(name), 1) or [None])[0]
        else:
            pids = [known["pid"], *processes.descendants(known["pid"], tree)] if running else []
            problem = service.probe(env) if running else known.get("error") or "not running"
            entry.update(
                memory_kb=processes.memory_kb(pids), processes=len(pids), health="ok" if not problem else problem
            )
            if service.port:
                entry["port"] = int(env[service.port])
            result["memory_kb"] += entry["memory_kb"]
        result["services"][name] = entry
    if alive:
        own = processes.memory_kb([record["pid"]])
        result["supervisor"] = {"pid": record["pid"], "memory_kb": own, "started_at": record["started_at"]}
        result["memory_kb"] += own
        try:
            result["database_engine"] = probes.sql(env, "SELECT value FROM settings WHERE name = 'engine'") or None
            result["devices"] = json.loads(probes.sql(env, LAST_READINGS))
        except (RuntimeError, ValueError) as error:
            result["database_error"] = str(error)
    return result


def last_backup(where):
    """{file, bytes, age_seconds} of the last good backup (null before the first), and {error, failed_age_seconds} of what failed since."""
    known, now = backup_record.read(where.state), time.time()
    ages = {
        name: round(now - known[stamp]) if stamp in known else None
        for name, stamp in (("age_seconds", "at"), ("failed_age_seconds", "failed_at"))
    }
    return {**{name: known.get(name) for name in ("file", "bytes", "error")}, **ages}


def healthy(state):
    """True when everything that should run does."""
    return state["running"] and all(entry["health"] == "ok" for entry in state["services"].values())


def status(arguments):
    """Prints the state; exit code 0 healthy, 1 something is wrong, 3 not running."""
    where = settings.paths()
    state = collect(where)
    state["healthy"] = healthy(state)
    if arguments.json:
        print(json.dumps(state, indent=1))
    else:
        show(state)
    return 0 if state["healthy"] else 1 if state["running"] else 3


def age(seconds):
    """A short text for an age in seconds; '-' when unknown."""
    if seconds is None:
        return "-"
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def show(state):
    """The state for people."""
    if not state["running"]:
        left = [name for name, entry in state["services"].items() if entry.get("pid")]
        print(
            f"Not running ({state['run_dir']})."
            + (f" Left by a killed supervisor: {', '.join(left)}; ./enms up or ./enms down clears it." if left else "")
        )
        return
    print(
        f"{state['url']}   database engine: {state['database_engine'] or 'unknown'}   demo fleet: "
        f"{'yes' if state['demo'] else 'no'}\n"
    )
    print(f"{'service':<12}{'pid':>8}{'port':>7}{'memory':>10}{'restarts':>10}  health")
    for name, entry in state["services"].items():
        memory = f"{entry['memory_kb'] / 1024:.0f} MB" if entry.get("memory_kb") else "-"
        health = entry["health"] if entry["health"] != "ok" else ("ok" if entry["pid"] else "done")
        if entry.get("progress"):
            health = f"{'running' if entry['pid'] else health}: {entry['progress'][:80]}"
        print(
            f"{name:<12}{entry['pid'] or '-':>8}{entry.get('port') or '-':>7}{memory:>10}{entry['restarts']:>10}  {health}"
        )
    own = state["supervisor"]
    print(
        f"{'supervisor':<12}{own['pid']:>8}{'-':>7}{own['memory_kb'] / 1024:>7.0f} MB{'-':>10}  ok, up for "
        f"{age(int(time.time() - own['started_at']))}"
    )
    print(f"{'all':<27}{state['memory_kb'] / 1024:>7.0f} MB\n")
    last = state["backup"]
    if last["file"]:
        print(f"last backup {age(last['age_seconds'])} ago: {last['file']} ({last['bytes'] / 1e6:.1f} MB)")
    if last["error"]:
        print(f"a backup failed {age(last['failed_age_seconds'])} ago: {last['error']}")
    if state.get("database_error"):
        print(f"The database can't be asked: {state['database_error']}")
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
