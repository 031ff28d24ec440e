"""Plugs that never lie: every message is a reading that exists once, and what the broker acknowledged is written down."""

from __future__ import annotations

import json
import threading
import time

import paho.mqtt.client as mqtt


class MeterPublisher:
    """`meters` Shelly Gen2 plugs that publish NotifyStatus (QoS 1) with their own time, `rate` messages a second over all.

    Each message of a meter carries a counter that no other message of it has, from `start_wh` on. `accepted[(meter_id, counter)]` is the plug's
    time of each reading that the broker acknowledged; what was on its way when the broker died is in `unacknowledged`.
    """

    def __init__(
        self, settings: dict[str, str], prefix: str, meters: int = 100, rate: float = 200, start_wh: float = 1000
    ):
        self.settings, self.rate, self.start_wh = settings, rate, start_wh
        self.meters = [f"{prefix}-{i:03d}" for i in range(meters)]
        self.accepted: dict[tuple[str, float], float] = {}
        self.unacknowledged: dict[int, tuple[tuple[str, float], float]] = {}
        self._acked: set[int] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"{prefix}-publisher", clean_session=True)
        self.client.username_pw_set(settings["ENMS_MQTT_DEVICE_USER"], settings["ENMS_MQTT_DEVICE_PASSWORD"])
        self.client.max_inflight_messages_set(1000)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_publish = self._acknowledged

    def _acknowledged(self, client, userdata, mid, reason, properties):
        # No lock: paho holds its own here, and publish() takes that one while the other thread is in it.
        self._acked.add(mid)

    def _settle(self):
        """Book what was acknowledged; only the publishing thread (or stop) does this."""
        for mid in list(self._acked):
            known = self.unacknowledged.pop(mid, None)
            if known:
                self.accepted[known[0]] = known[1]
                self._acked.discard(mid)

    def start(self) -> None:
        """Connect and publish from a thread of its own."""
        self.client.connect(self.settings["ENMS_MQTT_HOST"], int(self.settings["ENMS_MQTT_PORT"]), keepalive=5)
        self.client.loop_start()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def _publish(self):
        begin, n = time.monotonic(), 0
        while not self._stop.is_set():
            due = begin + n / self.rate
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if not self.client.is_connected():
                # A plug without its broker goes on counting and keeps nothing.
                n += 1
                continue
            meter = self.meters[n % len(self.meters)]
            # 0.1 Wh a message and meter: the counter tells the message's number.
            counter = round(self.start_wh + 0.1 * (n // len(self.meters)), 1)
            at = time.time()
            payload = {
                "src": meter,
                "dst": f"{meter}/events",
                "method": "NotifyStatus",
                "params": {"ts": round(at, 3), "switch:0": {"id": 0, "apower": 720.0, "aenergy": {"total": counter}}},
            }
            info = self.client.publish(f"{meter}/events/rpc", json.dumps(payload), qos=1)
            self.unacknowledged[info.mid] = (f"{meter}/switch:0", counter), at
            self._settle()
            n += 1

    def stop(self, timeout: float = 15) -> None:
        """Publish no more, wait for the acknowledgements that are due, disconnect."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._settle()
            if not self.unacknowledged:
                break
            time.sleep(0.05)
        self.client.disconnect()
        self.client.loop_stop()
