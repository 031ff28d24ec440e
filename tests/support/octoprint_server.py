"""A real OctoPrint with its bundled Virtual Printer, in an environment and a directory of its own."""

import json
import secrets
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .http import call
from .waiting import free_port, wait_for

REQUIREMENTS = Path(__file__).with_name("octoprint-requirements.txt")
# Nothing of these is needed, and some of them would talk to the internet.
DISABLED = [
    "softwareupdate",
    "announcements",
    "pluginmanager",
    "discovery",
    "tracking",
    "backup",
    "errortracking",
    "achievements",
    "gcodeviewer",
]


def install(env_dir: Path) -> Path:
    """The Python of an environment with the pinned OctoPrint; made once (about 40 s) and kept."""
    home = env_dir / "octoprint"
    python = home / "bin" / "python"
    stamp = home / "requirements.txt"
    if not (stamp.exists() and stamp.read_bytes() == REQUIREMENTS.read_bytes()):
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        quiet = ["--quiet", "--disable-pip-version-check"]
        subprocess.run([python, "-m", "pip", "install", *quiet, "--require-hashes", "-r", REQUIREMENTS], check=True)
        stamp.write_bytes(REQUIREMENTS.read_bytes())
    return python


def dwelling_gcode(seconds: int) -> bytes:
    """G-code that the Virtual Printer prints in about so many seconds: moves, each followed by a second of dwell."""
    lines = ["M104 S60", "G28"]
    for i in range(seconds):
        lines += [f"G1 X{i % 100} Y{i % 100} E{i * 0.1:.2f} F3000", "G4 P1000"]
    return "\n".join([*lines, "M104 S0", ""]).encode()


class OctoPrintServer:
    """A running OctoPrint. `address` and `api_key` are what an operator would type in."""

    def __init__(self, env_dir: Path, directory: Path) -> None:
        self.python = install(env_dir)
        self.directory = directory
        self.port = free_port()
        self.api_key = secrets.token_hex(16).upper()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Configures and starts OctoPrint, and waits until the Virtual Printer is connected.

        Raises AssertionError with the end of OctoPrint's log.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        config = {
            "server": {
                "host": "127.0.0.1",
                "port": self.port,
                "firstRun": False,
                "onlineCheck": {"enabled": False},
                "pluginBlacklist": {"enabled": False},
            },
            "plugins": {"_disabled": DISABLED, "virtual_printer": {"enabled": True}},
            "serial": {"port": "VIRTUAL", "baudrate": 115200, "autoconnect": True},
        }
        # YAML reads JSON.
        (self.directory / "config.yaml").write_text(json.dumps(config))
        users = {
            "_version": 2,
            "operator": {
                "active": True,
                "apikey": self.api_key,
                "groups": ["admins"],
                "permissions": [],
                "password": "!",
                "roles": ["user", "admin"],
                "settings": {},
            },
        }
        (self.directory / "users.yaml").write_text(json.dumps(users))
        log = self.directory / "output.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [self.python, "-m", "octoprint", "serve", "--iknowwhatimdoing", "--basedir", self.directory],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for("OctoPrint's Virtual Printer", lambda: self.state() == "Operational", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{log.read_text()[-2000:]}") from None

    def stop(self) -> None:
        """Ends the server; harmless when it is not running."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self) -> None:
        """Ends the server as a power cut does."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def request(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
        """An API call that must succeed; returns its JSON. Raises AssertionError with OctoPrint's answer."""
        answer = call(
            method, f"http://{self.address}{path}", body, headers={"X-Api-Key": self.api_key, **(headers or {})}
        )
        assert answer.status < 300, f"OctoPrint: {method} {path} gave {answer.status}: {answer.text[:300]}"
        return answer.json() if answer.body else None

    def state(self) -> str:
        """`Operational`, `Printing`, `Paused` …"""
        return self.request("GET", "/api/job")["state"]

    def upload(self, filename: str, gcode: bytes) -> None:
        """Stores a file, without printing it."""
        boundary = uuid.uuid4().hex
        body = (
            (
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            ).encode()
            + gcode
            + f"\r\n--{boundary}--\r\n".encode()
        )
        self.request("POST", "/api/files/local", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def print(self, filename: str) -> None:
        """Selects a stored file, prints it, and waits until it does."""
        self.request("POST", f"/api/files/local/{filename}", {"command": "select", "print": True})
        wait_for(f"{filename} to be printed", lambda: self.state() == "Printing", 15, every=0.1)

    def pause(self) -> None:
        """Pauses, and waits until it is paused."""
        self.request("POST", "/api/job", {"command": "pause", "action": "pause"})
        wait_for("the pause", lambda: self.state() == "Paused", 15, every=0.1)

    def resume(self) -> None:
        """Resumes, and waits until it prints."""
        self.request("POST", "/api/job", {"command": "pause", "action": "resume"})
        wait_for("the print to continue", lambda: self.state() == "Printing", 15, every=0.1)

    def cancel(self) -> None:
        """Cancels, and waits until the printer is operational."""
        self.request("POST", "/api/job", {"command": "cancel"})
        self.wait_until_done(30)

    def wait_until_done(self, timeout: float) -> None:
        """Waits until nothing is printed any more."""
        wait_for("the end of the print", lambda: self.state() == "Operational", timeout, every=0.2)
