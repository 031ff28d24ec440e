"""The demo fleet: registering the simulator's devices and, once, bringing in their past."""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import files
from common.errors import EnmsError

from . import modules, probes
from .settings import SECRETS, Paths


def begin(where: Paths, env: Mapping[str, str], say: Callable[[str, str], None]) -> None:
    """Registers the fleet and, once per run directory, brings in its past.

    The prints that run at the border of past and present come in before the first poll: not every printer reports for
    how long it has been printing, and ENMS could only count from its first look on.
    """
    fleet = (
        f"http://127.0.0.1:{env['ENMS_SIM_PORT']}",
        f"http://127.0.0.1:{env['ENMS_NODERED_PORT']}",
        env["ENMS_EDITOR_USER"],
        env["ENMS_EDITOR_PASSWORD"],
    )
    past = where.state / "demo-history"
    waits = past.exists() and not where.demo_done.exists()
    if waits:
        register(*fleet, is_active=False)
        bring(past / "running.csv", where, env)
    number = register(*fleet, **({"is_active": True} if waits else {}))
    say("demo fleet", f"{number} devices registered")
    if waits:
        bring_past(past, where, env, say)


def register(simulator: str, nodered: str, user: str, password: str, **more: object) -> int:
    """Registers the fleet of the simulator at URL `simulator` through the Devices API at URL `nodered`, with `more`
    fields; returns the number of devices.

    A device that is registered already is brought up to date, because the addresses of emulated printers may change.
    Raises EnmsError when the API refuses one.
    """
    _, fleet, _ = probes.request("GET", f"{simulator}/fleet")
    base = f"{nodered}/api/devices"
    known = {device["device_id"] for device in listed(base)}
    for device in fleet:
        device |= more
        if device["device_id"] in known:
            body = {name: value for name, value in device.items() if name != "device_id"}
            status, answer, _ = probes.request("PATCH", f"{base}/{device['device_id']}", body, user, password)
        else:
            status, answer, _ = probes.request("POST", base, device, user, password)
        if status >= 300:
            reason = answer.get("error") if isinstance(answer, dict) else str(answer)[:200]
            raise EnmsError(
                f"The demo device {device['device_id']} could not be registered: {reason}",
                "Start without the demo: ./enms up --no-demo",
            )
    return len(fleet)


def listed(base: str, seconds: float = 20) -> list[dict[str, Any]]:
    """The registered devices; waits for the flows, which start a little after Node-RED's own pages.

    Raises EnmsError when there is no list after that time.
    """
    end = time.monotonic() + seconds
    while True:
        status, answer, _ = probes.request("GET", base)
        if status == 200:
            return answer["devices"] if isinstance(answer, dict) else answer
        if time.monotonic() > end:
            raise EnmsError(
                f"The Devices API answers {status}.", "Its flow or the database has a problem: ./enms logs nodered"
            )
        time.sleep(0.2)


def has_history(where: Paths) -> bool:
    """True when the past was imported, or at least written: the simulator's state is what is written last."""
    return where.demo_done.exists() or (
        (where.state / "demo-history/jobs.csv").exists() and (where.state / "simulator/state.json").exists()
    )


def bring_past(past: Path, where: Paths, env: Mapping[str, str], say: Callable[[str, str], None]) -> None:
    """Imports what lies behind. The meters' counters in it end where the live ones begin."""
    began = time.monotonic()
    for name in ("readings", "statuses", "jobs"):
        path = past / f"{name}.csv"
        say("history", f"importing {name} ({path.stat().st_size / 1e6:.0f} MB)")
        bring(path, where, env)
    files.write_json(where.demo_done, {"imported_at": time.time(), "seconds": round(time.monotonic() - began, 1)})
    shutil.rmtree(past)


def bring(path: Path, where: Paths, env: Mapping[str, str]) -> None:
    """Imports one file of the past; raises EnmsError when that fails."""
    if import_file(path, env, where.log("import")):
        raise EnmsError(
            f"The demo's past ({path.stem}) could not be imported.",
            "Start without the demo: ./enms up --no-demo",
            where.log("import"),
        )


def import_file(path: str | Path, env: Mapping[str, str], log: Path | None = None) -> int:
    """Runs the importer on a CSV file, with its output on the terminal or in the log; returns its exit code."""
    variables = {name: value for name, value in env.items() if name not in SECRETS or name.startswith("ENMS_DB_")}
    if log is None:
        return modules.run(variables, "database.importer", str(path))
    with open(log, "ab") as output:
        return modules.run(variables, "database.importer", str(path), output=output)


if __name__ == "__main__":  # the one-shot service of docker-compose.yml
    print(
        register(
            os.environ["ENMS_SIM_URL"],
            os.environ["ENMS_NODERED_URL"],
            os.environ["ENMS_EDITOR_USER"],
            os.environ["ENMS_EDITOR_PASSWORD"],
        ),
        "demo devices registered",
    )
