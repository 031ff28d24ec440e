"""A real broker, a listener to it and a real simulator process, on free ports."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import requests
from requests.auth import HTTPDigestAuth

ROOT = Path(__file__).resolve().parents[2]

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


def wait_for(condition, seconds=10.0, what="the condition"):
    """The condition's first true value; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true in {seconds} s")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class MosquittoProcess:
    """An anonymous broker that can be killed and started again."""

    def __init__(self, folder):
        self.port, self.folder, self.process = free_port(), folder, None
        (folder / "m.conf").write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")

    def start(self):
        binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen(
            [binary, "-c", str(self.folder / "m.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def answers():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for(answers, 5, "the broker")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Listener:
    """Everything that the broker hands out: list of (arrival, topic, payload text, retained)."""

    def __init__(self, port):
        self.messages = []
        self.ready = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda c, *_: c.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = lambda _c, _d, m: self.messages.append(
            (time.time(), m.topic, m.payload.decode("utf-8", "replace"), m.retain)
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(5)

    def on(self, topic, since=0.0):
        """Payloads of a topic that arrived after unix time `since`."""
        return [p for at, t, p, _ in list(self.messages) if t == topic and at >= since]

    def close(self):
        self.client.loop_stop()
        self.client.disconnect()


class SimulatorProcess:
    """`python -m simulator` with its control API."""

    def __init__(self, folder, fleet=None, mqtt_port=None, auto_jobs=False):
        self.folder, self.mqtt_port, self.auto_jobs = folder, mqtt_port, auto_jobs
        self.fleet_file = folder / "fleet.json"
        self.fleet_file.write_text(json.dumps(fleet or FAST_FLEET))
        self.process = None

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("ENMS_")} | {
            "PYTHONPATH": str(ROOT),
            "ENMS_STATE_DIR": str(self.folder),
        }
        if self.mqtt_port:
            env |= {"ENMS_MQTT_HOST": "127.0.0.1", "ENMS_MQTT_PORT": str(self.mqtt_port)}
        command = [sys.executable, "-m", "simulator", "--fleet", str(self.fleet_file)]
        log = self.folder / "simulator.log"
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command + ([] if self.auto_jobs else ["--no-auto-jobs"]), env=env, cwd=ROOT, stderr=output
            )
        self.url = wait_for(lambda: re.search(r"http://[\d.:]+", log.read_text()), 20, f"the simulator ({log})")[0]
        self.devices = {d["device_id"]: d for d in self.get("/fleet")}
        wait_for(
            lambda: not self.mqtt_port or all(m["connected"] for m in self.get("/health")["mqtt"].values()),
            10,
            "the MQTT sessions",
        )
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(5) == 0

    def get(self, path):
        answer = requests.get(self.url + path, timeout=5)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path, body=None, status=(200, 201)):
        answer = requests.post(self.url + path, json=body or {}, timeout=5)
        assert answer.status_code in status, answer.text
        return answer.json()

    def fault(self, kind, target, **more):
        return self.post("/faults", {"type": kind, "target": target, **more})

    def print(self, name, duration=20, filename="test.gcode"):
        return self.post(f"/printers/{name}/start", {"filename": filename, "duration_s": duration})

    def ask(self, name, path, auth=True, timeout=5, **more):
        """A request to a printer with its own way of logging in."""
        device = self.devices[name]
        key = device.get("api_key") or device["sp_api_key"]
        digest = device["source"] == "prusalink" and name != "Old"
        if auth and digest:
            more["auth"] = HTTPDigestAuth("maker", key)
        elif auth:
            more["headers"] = {"X-Api-Key": key}
        method = "POST" if "json" in more else "GET"
        return requests.request(method, f"http://{device['api_ip']}{path}", timeout=timeout, **more)
