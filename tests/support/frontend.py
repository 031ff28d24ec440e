"""The app as it was built, behind a door of its own: the project's nginx configuration in front of a stack's services,
on a free port.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from common.files import ROOT

from .waiting import free_port, wait_for

PLACE = re.compile(r"\$\{(ENMS_[A-Z0-9_]+)\}")


class Door:
    """An nginx that can be shut and opened again; `url` stays the same."""

    def __init__(self, stack: Mapping[str, str], pages: Path, place: Path) -> None:
        self.listen = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.listen}"
        place.mkdir(parents=True, exist_ok=True)
        values = {
            **stack,
            "ENMS_NGINX_LISTEN": self.listen,
            "ENMS_NGINX_DIR": str(place),
            "ENMS_NGINX_TLS": "",
            "ENMS_NGINX_ACCESS_LOG": "off",
            "ENMS_NODERED_UPSTREAM": f"127.0.0.1:{stack['ENMS_NODERED_PORT']}",
            "ENMS_API_UPSTREAM": f"127.0.0.1:{stack['ENMS_API_PORT']}",
            "ENMS_GRAFANA_UPSTREAM": "127.0.0.1:9",
            "ENMS_FRONTEND_DIR": str(pages),
            "ENMS_GCODE_PUBLIC_DIR": f"{stack['ENMS_STATE_DIR']}/gcode/public",
            "ENMS_API_RATE": "1000",
        }
        text = PLACE.sub(lambda match: values[match[1]], (ROOT / "nginx/nginx.conf").read_text())
        self._config = place / "nginx.conf"
        self._config.write_text(text.replace("access_log off door;", "access_log off;"))
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Starts serving; returns when it answers."""
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin") or "nginx"
        options = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
        self._process = subprocess.Popen(
            [nginx, "-p", str(self._place), "-c", str(self._config), "-e", "stderr", "-g", options]
        )
        wait_for("the door to open", self._answers, 10)

    def shut(self) -> None:
        """Stops serving, as a machine that is switched off."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)

    def _answers(self) -> bool:
        host, port = self.listen.split(":")
        socket.create_connection((host, int(port)), 1).close()
        return True
