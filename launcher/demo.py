"""The demo fleet: registering the simulator's devices and, once, bringing in their past."""

import os
import shutil
import subprocess
import time

from . import files, probes, services
from .errors import LauncherError
from .settings import SECRETS


def register(simulator, nodered, user, password):
    """Registers the fleet of the simulator at URL `simulator` through the Devices API at `nodered`; returns their number.

    A device that is registered already is brought up to date, because the addresses of emulated printers may change.
    """
    _, fleet, _ = probes.request("GET", f"{simulator}/fleet")
    base = f"{nodered}/api/devices"
    known = {device["device_id"] for device in listed(base)}
    for device in fleet:
        if device["device_id"] in known:
            body = {name: value for name, value in device.items() if name != "device_id"}
            status, answer, _ = probes.request("PATCH", f"{base}/{device['device_id']}", body, user, password)
        else:
            status, answer, _ = probes.request("POST", base, device, user, password)
        if status >= 300:
            reason = answer.get("error") if isinstance(answer, dict) else str(answer)[:200]
            raise LauncherError(f"The demo device {device['device_id']} could not be registered: {reason}",
                                "Start without the demo: ./enms up --no-demo")
    return len(fleet)


def listed(base, seconds=20):
    """The registered devices; waits for the flows, which start a moment after Node-RED's own pages."""
    end = time.monotonic() + seconds
    while True:
        status, answer, _ = probes.request("GET", base)
        if status == 200:
            return answer["devices"] if isinstance(answer, dict) else answer
        if time.monotonic() > end:
            raise LauncherError(f"The Devices API answers {status}.", "Its flow or the database has a problem: ./enms logs nodered")
        time.sleep(0.2)


def has_history(where):
    """True when the past was imported or at least written. (The simulator's state is the last thing that is written.)"""
    return where.demo_done.exists() or ((where.state / "demo-history/jobs.csv").exists()
                                        and (where.state / "simulator/state.json").exists())


def bring_history(where, env, say):
    """Imports the fleet's past, once per run directory. The meters' counters in it end where the live ones begin."""
    source = where.state / "demo-history"
    if where.demo_done.exists() or not source.exists():
        return
    began = time.monotonic()
    for name in ("readings", "statuses", "jobs"):
        path = source / f"{name}.csv"
        if path.exists():
            say("history", f"importing {name} ({path.stat().st_size / 1e6:.0f} MB)")
            if import_file(path, env, where.log("import")):
                raise LauncherError(f"The demo's past ({name}) could not be imported.",
                                    "Start without the demo: ./enms up --no-demo", where.log("import"))
    files.write_json(where.demo_done, {"imported_at": time.time(), "seconds": round(time.monotonic() - began, 1)})
    shutil.rmtree(source)


def import_file(path, env, log=None):
    """Runs the importer on a CSV file; output to the terminal or the log. Returns its exit code."""
    variables = {**{name: value for name, value in env.items() if name not in SECRETS or name.startswith("ENMS_DB_")},
                 "PYTHONPATH": str(services.ROOT), "PYTHONUNBUFFERED": "1"}
    command = [env["ENMS_PYTHON"], "-m", "database.importer", str(path)]
    if log is None:
        return subprocess.run(command, env=variables, cwd=services.ROOT).returncode
    with open(log, "ab") as output:
        return subprocess.run(command, env=variables, cwd=services.ROOT, stdin=subprocess.DEVNULL, stdout=output,
                              stderr=output).returncode


if __name__ == "__main__":  # the one-shot service of docker-compose.yml
    print(register(os.environ["ENMS_SIM_URL"], os.environ["ENMS_NODERED_URL"], os.environ["ENMS_EDITOR_USER"],
                   os.environ["ENMS_EDITOR_PASSWORD"]), "demo devices registered")
