"""A real broker, a listener to it and a real simulator process, on free ports."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
import requests
from paho.mqtt.enums import CallbackAPIVersion
from requests.auth import HTTPDigestAuth

from tests.support.simulator import Simulator
from tests.support.waiting import free_port, wait_for

FAST_FLEET = {
    "seed": 7,
    "step_s": 0.1,
    "printers": [
        {
            "device_id": "MK4",
            "profile": "mk4",
            "protocol": "prusalink",
            "device_model": "Prusa MK4",
            "finished_hold_s": 1.5,
        },
        {
            "device_id": "MK4q",
            "profile": "mk4",
            "protocol": "prusalink",
            "device_model": "Prusa MK4",
            "digest_qop": "auth",
        },
        {"device_id": "Old", "profile": "mini", "protocol": "prusalink", "device_model": "Prusa MINI+", "legacy": True},
        {"device_id": "Ender", "profile": "ender3", "protocol": "octoprint", "device_model": "Creality Ender-3"},
        {
            "device_id": "Voron",
            "profile": "voron24",
            "protocol": "moonraker",
            "device_model": "Voron 2.4 300",
            "materials": ["ASA"],
            "finished_hold_s": 0.5,
        },
        {"device_id": "K1", "profile": "k1max", "protocol": "simplyprint", "device_model": "Creality K1 Max"},
    ],
    "plugs": [
        {"id": "g2", "kind": "shelly_gen2", "channels": {"switch:0": "MK4"}, "interval_s": 0.3, "start_wh": 1000},
        {
            "id": "g2two",
            "kind": "shelly_gen2",
            "channels": {"switch:0": "MK4q", "switch:1": "Old"},
            "interval_s": 0.3,
            "status_ntf": False,
        },
        {"id": "pm", "kind": "shelly_gen2", "channels": {"pm1:0": "K1"}, "interval_s": 0.3},
        {"id": "g1", "kind": "shelly_gen1", "channels": {"relay:0": "Ender"}, "interval_s": 0.3, "start_wh": 50},
        {"id": "tas", "kind": "tasmota", "channels": {"": "Voron"}, "interval_s": 0.3, "start_wh": 904},
    ],
    "hubs": [{"mounted_on": "MK4", "interval_s": 0.3}],
}


class MosquittoProcess:
    """An anonymous broker that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "m.conf").write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")

    def start(self) -> None:
        """Starts it; returns when it answers."""
        binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen(
            [binary, "-c", str(self.folder / "m.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("the broker", answers, 5)

    def kill(self) -> None:
        """Ends it as a power cut does."""
        if self.process:
            self.process.kill()
            self.process.wait()


class Heard(NamedTuple):
    """A message that the broker handed out, and the unix time of its arrival."""

    at: float
    topic: str
    payload: str
    retained: bool


class Listener:
    """Subscribes to everything; `messages` are in the order of their arrival."""

    def __init__(self, port: int) -> None:
        self.messages: list[Heard] = []
        ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = self._heard
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert ready.wait(5)

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe("#", qos=1)

    def _heard(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        payload = message.payload.decode("utf-8", "replace")
        self.messages.append(Heard(time.time(), message.topic, payload, message.retain))

    def on(self, topic: str, since: float = 0.0) -> list[str]:
        """Payloads of a topic that arrived at unix time `since` or later."""
        return [message.payload for message in list(self.messages) if message.topic == topic and message.at >= since]

    def send(self, topic: str, payload: str) -> None:
        """Publishes a message."""
        self.client.publish(topic, payload, qos=1)

    def close(self) -> None:
        """Ends the connection."""
        self.client.loop_stop()
        self.client.disconnect()


class SimulatorProcess(Simulator):
    """The simulator with the fast fleet; its printers can be asked in their own protocols."""

    def __init__(self, folder: Path, mqtt_port: int) -> None:
        super().__init__(folder, FAST_FLEET, {"ENMS_MQTT_HOST": "127.0.0.1", "ENMS_MQTT_PORT": str(mqtt_port)})

    def start(self) -> None:
        """Starts it; returns when all its devices have reached the broker."""
        super().start()
        connected = lambda: all(session["connected"] for session in self.get("/health")["mqtt"].values())
        wait_for("the MQTT sessions", connected, 10)

    def truth_of(self, meter_id: str) -> Mapping[str, float]:
        """Ground truth of a meter: `true_wh`, `counter_wh`, `power_watts`."""
        return self.get("/truth")["meters"][meter_id]

    def ask(self, name: str, path: str, auth: bool = True, timeout: float = 5, **more: Any) -> requests.Response:
        """A request to a printer with its own way of logging in; POST when there is `json`."""
        device = self.devices[name]
        key = device.get("api_key") or device["sp_api_key"]
        digest = device["source"] == "prusalink" and name != "Old"
        if auth and digest:
            more["auth"] = HTTPDigestAuth("maker", key)
        elif auth:
            more["headers"] = {"X-Api-Key": key}
        method = "POST" if "json" in more else "GET"
        return requests.request(method, f"http://{device['api_ip']}{path}", timeout=timeout, **more)
