"""Plugs that never lie: every message is a reading that exists once, and what the broker acknowledged is recorded."""

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

Reading = tuple[str, float]  # meter id, counter in Wh


class MeterPublisher:
    """`meters` Shelly Gen2 plugs whose names begin with `prefix`.

    They publish NotifyStatus (QoS 1) with their own time, `rate` messages a second in all. Each message of a meter has
    a counter that no other message of it has, from `start_wh` on. `accepted` has, for each reading that the broker
    acknowledged, the plug's time of it; what was on its way when the broker died is in `unacknowledged`.
    """

    def __init__(
        self, settings: Mapping[str, str], prefix: str, meters: int = 100, rate: float = 200, start_wh: float = 1000
    ) -> None:
        self.settings, self.prefix, self.rate, self.start_wh = settings, prefix, rate, start_wh
        self.meters = [f"{prefix}-{i:03d}" for i in range(meters)]
        self.accepted: dict[Reading, float] = {}
        self.unacknowledged: dict[int, tuple[Reading, float]] = {}
        self._acked: set[int] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"{prefix}-publisher", clean_session=True)
        self.client.username_pw_set(settings["ENMS_MQTT_DEVICE_USER"], settings["ENMS_MQTT_DEVICE_PASSWORD"])
        self.client.max_inflight_messages_set(1000)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_publish = self._acknowledged

    def _acknowledged(self, _client: mqtt.Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        # No lock: paho has its own locked here, and publish() takes that one while the other thread is in it.
        self._acked.add(mid)

    def _settle(self) -> None:
        """Records what was acknowledged; only the publishing thread (or stop) does this."""
        for mid in list(self._acked):
            if known := self.unacknowledged.pop(mid, None):
                reading, at = known
                self.accepted[reading] = at
                self._acked.discard(mid)

    def start(self) -> None:
        """Connects, and publishes from a thread of its own."""
        self.client.connect(self.settings["ENMS_MQTT_HOST"], int(self.settings["ENMS_MQTT_PORT"]), keepalive=5)
        self.client.loop_start()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def _publish(self) -> None:
        begin, n = time.monotonic(), 0
        while not self._stop.is_set():
            due = begin + n / self.rate
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if not self.client.is_connected():
                # A plug without its broker continues to count and keeps no message.
                n += 1
                continue
            meter = self.meters[n % len(self.meters)]
            # 0.1 Wh a message and meter: the counter shows the message's number.
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
        """Ends the publishing, waits for the acknowledgements that are due, and disconnects."""
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
