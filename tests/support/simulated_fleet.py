"""A fleet made for one test: the project's simulator with its own printers and plugs, printing only what the test starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from .enms import ROOT, Enms
from .http import call
from .waiting import wait_for


class SimulatedFleet:
    """A running simulator beside a stack. `devices` are its printers as payloads of the Devices API, by device id."""

    def __init__(self, enms: Enms, directory: Path, declaration: dict):
        self.enms = enms
        self.directory = Path(directory)
        self.declaration = declaration
        self.process: subprocess.Popen | None = None
        self.url = ""
        self.devices: dict[str, dict] = {}

    def start(self) -> None:
        """Start the simulator and read what it emulates. Raises AssertionError with its last words."""
        self.directory.mkdir(parents=True, exist_ok=True)
        fleet_file = self.directory / "fleet.json"
        fleet_file.write_text(json.dumps(self.declaration, indent=1))
        log = self.directory / "simulator.log"
        environment = {
            **os.environ,
            **{k: v for k, v in self.enms.settings.items() if k.startswith("ENMS_MQTT_")},
            "ENMS_BIND": "127.0.0.1",
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "simulator",
                    "--fleet",
                    fleet_file,
                    "--port",
                    "0",
                    "--state-dir",
                    self.directory,
                    "--no-auto-jobs",
                ],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.url = wait_for(f"the simulator ({log})", lambda: re.search(r"http://[\d.:]+", log.read_text())[0], 20)
        self.devices = {device["device_id"]: device for device in self._call("GET", "/fleet")}

    def stop(self) -> None:
        """End the simulator; harmless when it is not running."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def register(self) -> None:
        """Add every printer with its plug through the Devices API."""
        for device in self.devices.values():
            self.enms.add_device(device)

    def remove(self) -> None:
        """Take the printers off the registry again, so that nobody polls what is gone."""
        for device_id in self.devices:
            self.enms.change("DELETE", f"/api/devices/{device_id}")

    def _call(self, method: str, path: str, body=None):
        answer = call(method, self.url + path, body)
        assert answer.status < 300, f"simulator: {method} {path} {body or ''} gave {answer.status}: {answer.text[:300]}"
        return answer.json()

    def start_job(self, device_id: str, filename: str, seconds: float) -> dict:
        """Begin a print of that duration (heating included) now; its ground truth so far."""
        return self._call("POST", f"/printers/{device_id}/start", {"filename": filename, "duration_s": seconds})

    def command(self, device_id: str, command: str, **body) -> None:
        """pause, resume, cancel, fail or clear."""
        self._call("POST", f"/printers/{device_id}/{command}", body)

    def fault(self, kind: str, target: str, **body) -> None:
        """Inject a fault of the simulator's catalogue (GET /faults)."""
        self._call("POST", "/faults", {"type": kind, "target": target, **body})

    def jobs(self) -> list[dict]:
        """Ground truth of all prints, in the order of their starts; times are unix seconds."""
        return self._call("GET", "/truth?since=0")["jobs"]

    def meter_wh(self, meter_id: str, start: float, end: float) -> float:
        """True energy in Wh through a metering point between two unix times."""
        return self._call("GET", f"/truth/meter/{quote(meter_id)}?from={start!r}&to={end!r}")["energy_wh"]

    def wait_seen(self, timeout: float = 40, without: tuple[str, ...] = ()) -> None:
        """Wait until the stack has a status of every printer and readings of every plug, `without` those that have no plug."""
        names = [name for name in self.devices if name not in without]
        wait_for(
            "a status of every printer",
            lambda: (
                self.enms.value(
                    "SELECT count(*) FROM device_latest WHERE device_id = ANY(%s) AND state NOT IN ('offline','unknown')",
                    names,
                )
                == len(names)
            ),
            timeout,
        )
        wait_for(
            "a reading of every plug",
            lambda: (
                self.enms.value(
                    """SELECT count(DISTINCT a.device_id) FROM meter_assignments a JOIN meter_state s USING (meter_id)
               WHERE a.device_id = ANY(%s) AND s.base_wh IS NOT NULL""",
                    names,
                )
                == len(names)
            ),
            timeout,
        )


class Timeline:
    """Things to do at their seconds after the start; run one after the other in one thread."""

    def __init__(self):
        self.events: list[tuple[float, str, object]] = []

    def at(self, second: float, what: str, do) -> None:
        """Plan `do()` for that second."""
        self.events.append((second, what, do))

    def run(self) -> None:
        """Do everything in its order. Raises AssertionError with the name of the event that failed."""
        begin = time.monotonic()
        for second, what, do in sorted(self.events, key=lambda e: e[0]):
            time.sleep(max(0.0, begin + second - time.monotonic()))
            try:
                do()
            except Exception as error:
                raise AssertionError(f"at {second} s, {what}: {error}") from error
