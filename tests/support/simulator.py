"""The project's simulator as a process: a fleet of its own, its control API, its ground truth."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from common.files import ROOT

from .http import call
from .waiting import wait_for


class Simulator:
    """A running `python -m simulator` that prints only what the test starts.

    `devices` are its printers as payloads of the Devices API, by device id. `variables` name the broker (ENMS_MQTT_*);
    without them nothing is published.
    """

    def __init__(self, directory: Path, declaration: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        self.directory, self.declaration, self.variables = directory, declaration, variables
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.devices: dict[str, dict[str, Any]] = {}

    def start(self) -> None:
        """Starts the simulator and reads what it emulates. Raises AssertionError with the name of its log."""
        self.directory.mkdir(parents=True, exist_ok=True)
        fleet_file = self.directory / "fleet.json"
        fleet_file.write_text(json.dumps(self.declaration, indent=1))
        log = self.directory / "simulator.log"
        others = {name: value for name, value in os.environ.items() if not name.startswith("ENMS_")}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "simulator", "--fleet", fleet_file, "--no-auto-jobs"],
                cwd=ROOT,
                env={**others, **self.variables, "ENMS_STATE_DIR": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        printed = wait_for(f"the simulator ({log})", lambda: re.search(r"http://[\d.:]+", log.read_text()), 20)
        self.url = printed[0]
        self.devices = {device["device_id"]: device for device in self.get("/fleet")}

    def stop(self) -> int | None:
        """Ends the simulator; returns its exit code, None when it was never started."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def request(self, method: str, path: str, body: object = None) -> Any:
        """A request to the control API that must succeed; returns its JSON. Raises AssertionError with the answer."""
        answer = call(method, self.url + path, body)
        assert answer.status < 300, f"simulator: {method} {path} {body or ''} gave {answer.status}: {answer.text[:300]}"
        return answer.json()

    def get(self, path: str) -> Any:
        """GET of the control API."""
        return self.request("GET", path)

    def start_job(self, device_id: str, filename: str, seconds: float) -> dict[str, Any]:
        """Begins a print of that duration (heating included) now; returns its ground truth so far."""
        return self.request("POST", f"/printers/{device_id}/start", {"filename": filename, "duration_s": seconds})

    def command(self, device_id: str, command: str, **body: object) -> None:
        """Sends pause, resume, cancel, fail or clear."""
        self.request("POST", f"/printers/{device_id}/{command}", body)

    def fault(self, kind: str, target: str, **body: object) -> None:
        """Injects a fault of the simulator's catalogue (GET /faults)."""
        self.request("POST", "/faults", {"type": kind, "target": target, **body})

    def jobs(self, device_id: str | None = None) -> list[dict[str, Any]]:
        """Ground truth of all prints, or of a printer's, in the order of their starts; times are unix seconds."""
        return [job for job in self.get("/truth?since=0")["jobs"] if device_id in (None, job["device_id"])]

    def meter_wh(self, meter_id: str, start: float, end: float) -> float:
        """True energy in Wh through a metering point between two unix times."""
        return self.get(f"/truth/meter/{quote(meter_id)}?from={start!r}&to={end!r}")["energy_wh"]
