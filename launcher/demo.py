"""The demo fleet: registering the simulator's devices and, once, bringing in their past."""

import shutil
import subprocess
import time

from . import files, probes, services
from .errors import LauncherError
from .settings import SECRETS


def register(where, env, say):
    """Registers the simulator's fleet through the Devices API; what is there is brought up to date (addresses change)."""
    _, fleet, _ = probes.request("GET", f"http://127.0.0.1:{env['ENMS_SIM_PORT']}/fleet")
    base = f"http://127.0.0.1:{env['ENMS_NODERED_PORT']}/api/devices"
    login = {"user": env["ENMS_EDITOR_USER"], "password": env["ENMS_EDITOR_PASSWORD"]}
    known = {device["device_id"] for device in listed(base, where)}
    for device in fleet:
        if device["device_id"] in known:
            body = {name: value for name, value in device.items() if name != "device_id"}
            status, answer, _ = probes.request("PATCH", f"{base}/{device['device_id']}", body, **login)
        else:
            status, answer, _ = probes.request("POST", base, device, **login)
        if status >= 300:
            reason = answer.get("error") if isinstance(answer, dict) else str(answer)[:200]
            raise LauncherError(f"The demo device {device['device_id']} could not be registered: {reason}",
                                "Start without the demo: ./enms up --no-demo", where.log("nodered"))
    say("demo fleet", f"{len(fleet)} devices registered")


def listed(base, where, seconds=20):
    """The registered devices; waits for the flows, which start a moment after Node-RED's own pages."""
    end = time.monotonic() + seconds
    while True:
        status, answer, _ = probes.request("GET", base)
        if status == 200:
            return answer["devices"] if isinstance(answer, dict) else answer
        if time.monotonic() > end:
            raise LauncherError(f"The Devices API answers {status}.", "Its flow or the database has a problem; see the log.",
                                where.log("nodered"))
        time.sleep(0.2)


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
