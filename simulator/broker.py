"""One device's MQTT session on the asyncio loop, with the habits of real devices: last will, back-off, messages lost
while the broker is away.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger("simulator.mqtt")


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and how devices log in."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> Self | None:
        """The broker named by ENMS_MQTT_*; None when no host is set (then nothing is published)."""
        host = env.get("ENMS_MQTT_HOST")
        if not host:
            return None
        return cls(
            host,
            int(env.get("ENMS_MQTT_PORT") or 1883),
            env.get("ENMS_MQTT_DEVICE_USER") or None,
            env.get("ENMS_MQTT_DEVICE_PASSWORD") or None,
        )


class Message(NamedTuple):
    """One message on its way to the broker."""

    topic: str
    payload: str
    qos: int
    retain: bool


class Session:
    """A connection that comes back by itself (1 s … 15 s). `on_message(topic, payload_text)` runs on the loop.

    `will` is (topic, payload) of the retained last will. `offline_buffer` is the number of messages kept while the
    broker is away; a Shelly keeps none.
    """

    def __init__(
        self,
        broker: Broker | None,
        client_id: str,
        will: tuple[str, str] | None = None,
        subscriptions: tuple[str, ...] = (),
        on_message: Callable[[str, str], None] | None = None,
        on_connect: Callable[[], None] | None = None,
        offline_buffer: int = 0,
    ) -> None:
        self.broker = broker
        self.client_id = client_id
        self.will = will
        self.subscriptions = subscriptions
        self.on_message = on_message
        self.on_connect = on_connect
        self.connected = False
        self.sent = self.dropped = 0
        self.waiting: deque[Message] = deque(maxlen=offline_buffer)
        self.client: mqtt.Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    def start(self) -> None:
        """Begins to connect (from inside the loop); without a broker it does nothing."""
        if self.broker and not self._task:
            self._task = asyncio.create_task(self._keep_connected(self.broker), name=f"mqtt {self.client_id}")

    async def stop(self, abrupt: bool = False) -> None:
        """Ends the session; `abrupt` cuts the line, so that the broker sends the last will."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if client := self.client:
            if self.connected and not abrupt:
                if self.will:
                    client.publish(*self.will, qos=1, retain=True)
                client.disconnect()
            elif sock := client.socket():
                # The old client may be collected later, when its descriptor belongs to a new line: it must not touch
                # that one.
                client.on_disconnect = client.on_socket_close = client.on_socket_unregister_write = None
                asyncio.get_running_loop().remove_reader(sock)
                asyncio.get_running_loop().remove_writer(sock)
                sock.close()
            self.client = None
        self.connected = False

    def publish(self, topic: str, payload: str, qos: int = 1, retain: bool = False) -> bool:
        """Hands a message to the broker; False when it is away and the message is lost (or only kept)."""
        if not self.connected or not self.client:
            if self.waiting.maxlen:
                self.waiting.append(Message(topic, payload, qos, retain))
            else:
                self.dropped += 1
            return False
        self.client.publish(topic, payload, qos=qos, retain=retain)
        self.sent += 1
        return True

    async def _keep_connected(self, broker: Broker) -> None:
        delay = 1.0
        while True:
            self._lost.clear()
            self.client = client = self._make_client(broker)
            try:
                await asyncio.get_running_loop().run_in_executor(None, client.connect, broker.host, broker.port, 30)
                while not self._lost.is_set():
                    client.loop_misc()
                    if self.connected:
                        delay = 1.0
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._lost.wait(), 1.0)
            except OSError as error:
                log.info("%s: no broker at %s:%d (%s)", self.client_id, broker.host, broker.port, error)
            await asyncio.sleep(delay)
            delay = min(15.0, delay * 2)

    def _make_client(self, broker: Broker) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.client_id)
        if broker.user:
            client.username_pw_set(broker.user, broker.password)
        if self.will:
            client.will_set(*self.will, qos=1, retain=True)
        loop, home = asyncio.get_running_loop(), threading.get_ident()
        descriptors: dict[Any, int] = {}

        def on_loop(call: Callable[..., object], *args: Any) -> None:
            # paho opens the socket in the executor's thread; the loop may only be touched from its own.
            if threading.get_ident() == home:
                call(*args)
            else:
                loop.call_soon_threadsafe(call, *args)

        def opened(_client: mqtt.Client, _data: Any, sock: Any) -> None:
            descriptors[sock] = sock.fileno()
            on_loop(loop.add_reader, descriptors[sock], client.loop_read)

        def closed(_client: mqtt.Client, _data: Any, sock: Any) -> None:
            descriptor = descriptors.pop(sock, -1)
            if descriptor >= 0:
                on_loop(loop.remove_reader, descriptor)
                on_loop(loop.remove_writer, descriptor)

        client.on_socket_open, client.on_socket_close = opened, closed
        client.on_socket_register_write = lambda _c, _d, sock: on_loop(
            loop.add_writer, sock.fileno(), client.loop_write
        )
        client.on_socket_unregister_write = lambda _c, _d, sock: on_loop(loop.remove_writer, sock.fileno())
        client.on_connect, client.on_disconnect, client.on_message = self._connected, self._disconnected, self._message
        return client

    def _connected(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if client is not self.client:
            # Its session was stopped while the connection was being made.
            client.disconnect()
            return
        if reason.is_failure:
            log.warning("%s: the broker refuses the login: %s", self.client_id, reason)
            return
        self.connected = True
        for topic in self.subscriptions:
            client.subscribe(topic, qos=1)
        if self.on_connect:
            self.on_connect()
        while self.waiting:
            self.publish(*self.waiting.popleft())

    def _disconnected(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if client is not self.client:
            return
        self.connected = False
        self._lost.set()
        log.info("%s: disconnected (%s)", self.client_id, reason)

    def _message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if self.on_message:
            self.on_message(message.topic, message.payload.decode("utf-8", "replace"))
