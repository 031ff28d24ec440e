"""`doctor`: looks for the usual causes of trouble; every finding comes with what to do."""

import os
import shutil
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime

from . import install, ports, probes, processes, settings, status
from .errors import LauncherError
from .settings import ROOT, node_binary


def look(where):
    """Yields (level, subject, text, remedy); level is ok, warning or problem."""
    yield from machine(where)
    state = status.collect(where)
    if state["running"]:
        yield from running_stack(where, state)
    else:
        yield from stopped_stack(where, state)


def machine(where):
    """Versions, packages, disk, memory, clock, rights."""
    yield "ok", "python", sys.version.split()[0], ""
    missing = install.missing_packages(install.PACKAGES)
    if missing:
        yield ("problem", "packages", f"missing: {', '.join(missing)}",
               f"as root: apt-get install -y --no-install-recommends {' '.join(missing)}")
    else:
        yield "ok", "packages", "PostgreSQL, mosquitto and nginx are there", ""
    node = node_binary(where)
    if node.exists():
        version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
        yield "ok", "node", version, ""
    else:
        yield "warning", "node", "the private environment is not installed yet", "./enms up installs it"
    place = where.run if where.run.exists() else where.run.parent
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // (1 << 20)
    level = "problem" if free < 300 else "warning" if free < 2000 else "ok"
    yield level, "disk", f"{free} MB free for {where.run}", "" if level == "ok" else "Free some space, or move the run directory."
    if not os.access(place, os.W_OK):
        yield "problem", "rights", f"{place} can't be written by this user", "ENMS_RUN_DIR=$HOME/enms ./enms up"
    available = next((int(line.split()[1]) // 1024 for line in open("/proc/meminfo") if line.startswith("MemAvailable")), 0)
    if available < 400:
        yield "warning", "memory", f"{available} MB available", "The stack needs about 600 MB."
    newest = max(path.stat().st_mtime for path in ROOT.iterdir())
    if time.time() < newest - 86400:
        yield "problem", "clock", "this machine's clock is before the time of its own files", "Set the clock (timedatectl set-ntp true)."
    elif shutil.which("timedatectl"):
        done = subprocess.run(["timedatectl", "show", "-p", "NTPSynchronized", "--value"], capture_output=True, text=True)
        if done.stdout.strip() == "no":
            yield "warning", "clock", "the clock is not synchronised", "timedatectl set-ntp true; wrong times spoil energy per job."


def stopped_stack(where, state):
    """What could prevent a start."""
    left = [name for name, entry in state["services"].items() if entry.get("pid")]
    if left:
        yield "warning", "stack", f"the supervisor died; still running: {', '.join(left)}", "./enms up takes over, ./enms down ends them"
    else:
        yield "ok", "stack", "not running", ""
    chosen = settings.configured()
    port = int(chosen["ENMS_HTTP_PORT"])
    try:
        free = ports.is_free(port, chosen["ENMS_BIND"])
    except PermissionError:
        yield "problem", "port", f"this user may not open port {port}", "ENMS_HTTP_PORT=8080 ./enms up"
        return
    if not free:
        yield "problem", "port", f"{port} is in use by {processes.listener(port) or 'another program'}", f"ENMS_HTTP_PORT={port + 1} ./enms up"


def running_stack(where, state):
    """Services, database, broker, silent devices."""
    env = settings.recorded(where)
    for name, entry in state["services"].items():
        if entry["health"] != "ok":
            yield "problem", name, entry["health"], f"./enms logs {name}; it is started again by itself"
        elif entry["restarts"]:
            yield "warning", name, f"was restarted {entry['restarts']} times", f"./enms logs {name}"
        else:
            yield "ok", name, f"pid {entry['pid']}" if entry["pid"] else "done", ""
    if state["memory_kb"] > 900 * 1024:
        yield "warning", "memory", f"the stack uses {state['memory_kb'] // 1024} MB", "./enms status shows which service"
    if state.get("database_error"):
        yield "problem", "database", state["database_error"], "./enms logs postgres"
    else:
        yield "ok", "database", f"engine {state['database_engine']}", ""
        yield from questions(env)
    for device in state["devices"] or []:
        if device["source"] not in ("none", "mqtt") and (device["status_age_seconds"] is None or device["status_age_seconds"] > 300):
            yield ("warning", device["device_id"], "no status for " + (status.age(device["status_age_seconds"]) if device["status_age_seconds"]
                   else "ever"), f"./enms device test {device['device_id']}")
        if device["power_at"] and device["power_age_seconds"] > 900:
            yield ("warning", device["device_id"], f"its meter is silent for {status.age(device['power_age_seconds'])}",
                   "Is the plug on the network? At constant load some plugs say nothing for hours.")
    try:
        _, _, headers = probes.request("GET", env["ENMS_HTTP_URL"] + "/", timeout=5)
        off = abs(parsedate_to_datetime(headers["Date"]).timestamp() - time.time())
        if off > 5:
            yield "problem", "clock", f"nginx and this shell differ by {off:.0f} s", "Set the clock."
    except (OSError, TypeError):
        pass


def questions(env):
    """What the database knows about trouble."""
    for subject, statement, text, remedy in (
            ("rejects", "SELECT coalesce(sum(count), 0) FROM ingest_rejects WHERE last_at > now() - interval '1 hour'",
             "{} messages refused within the last hour", "SELECT * FROM ingest_rejects ORDER BY last_at DESC says which and why"),
            ("meters", "SELECT count(*) FROM meters m WHERE NOT EXISTS (SELECT FROM meter_assignments a WHERE a.meter_id = m.meter_id "
             "AND a.valid_to = 'infinity')", "{} meters belong to no device", "assign them: /nodered/ or POST /api/meters/assign"),
            ("counters", "SELECT count(*) FROM meter_state WHERE jumps_in_row >= 3", "{} meters jump again and again",
             "their max_power_w is too low, or two devices share one meter id")):
        try:
            count = int(float(probes.sql(env, statement) or 0))
        except (RuntimeError, ValueError) as error:
            yield "problem", subject, str(error), "./enms logs postgres"
            continue
        if count:
            yield "warning", subject, text.format(count), remedy


def doctor(_arguments):
    """Prints the findings; exit code 1 when there is a problem."""
    worst = 0
    for level, subject, text, remedy in look(settings.paths()):
        print(f"{ {'ok': 'ok     ', 'warning': 'WARNING', 'problem': 'PROBLEM'}[level]}  {subject:<16} {text}" + (f"\n{'':27}→ {remedy}" if remedy else ""))
        worst = max(worst, level == "problem")
    return int(worst)
