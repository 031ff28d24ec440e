"""One device's MQTT session on the asyncio loop, with the habits of real devices: last will, back-off, loss while away."""

import asyncio
import logging
import os
import threading
from collections import deque
from dataclasses import dataclass

import paho.mqtt.client as mqtt

log = logging.getLogger("simulator.mqtt")


@dataclass(frozen=True)
class Broker:
    """Where the broker is and how devices log in."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None

    @classmethod
    def from_environment(cls, env=os.environ) -> "Broker | None":
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


class Session:
    """A connection that comes back by itself (1 s … 15 s). `on_message(topic, payload_text)` runs on the loop.

    `offline_buffer` is the number of messages kept while the broker is away; a Shelly keeps none.
    """

    def __init__(
        self,
        broker: Broker | None,
        client_id: str,
        will: tuple[str, str] | None = None,
        subscriptions: tuple = (),
        on_message=None,
        on_connect=None,
        offline_buffer: int = 0,
    ):
        self.broker = broker
        self.client_id = client_id
        self.will = will
        self.subscriptions = subscriptions
        self.on_message = on_message
        self.on_connect = on_connect
        self.connected = False
        self.sent = self.dropped = 0
        self.waiting = deque(maxlen=offline_buffer) if offline_buffer else None
        self.client: mqtt.Client | None = None
        self._task: asyncio.Task | None = None
        self._lost = asyncio.Event()

    def start(self) -> None:
        """Begin to connect (from inside the loop)."""
        if self.broker and not self._task:
            self._task = asyncio.create_task(self._keep_connected(), name=f"mqtt {self.client_id}")

    async def stop(self, abrupt: bool = False) -> None:
        """End the session; `abrupt` cuts the line, so that the broker sends the last will."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self.client:
            if self.connected and not abrupt:
                if self.will:
                    self.client.publish(self.will[0], self.will[1], qos=1, retain=True)
                self.client.disconnect()
            elif sock := self.client.socket():
                # The old client may be collected later, when its descriptor belongs to a new line: it must not touch that.
                self.client.on_disconnect = self.client.on_socket_close = self.client.on_socket_unregister_write = None
                asyncio.get_running_loop().remove_reader(sock)
                asyncio.get_running_loop().remove_writer(sock)
                sock.close()
            self.client = None
        self.connected = False

    def publish(self, topic: str, payload: str, qos: int = 1, retain: bool = False) -> bool:
        """Hand a message to the broker; False when it is away and the message is lost (or only kept)."""
        if not self.connected:
            if self.waiting is not None:
                self.waiting.append((topic, payload, qos, retain))
            else:
                self.dropped += 1
            return False
        self.client.publish(topic, payload, qos=qos, retain=retain)
        self.sent += 1
        return True

    async def _keep_connected(self) -> None:
        delay = 1.0
        while True:
            self._lost.clear()
            self.client = self._make_client()
            try:
                await asyncio.get_running_loop().run_in_executor(
                    None, self.client.connect, self.broker.host, self.broker.port, 30
                )
                while not self._lost.is_set():
                    self.client.loop_misc()
                    if self.connected:
                        delay = 1.0
                    try:
                        await asyncio.wait_for(self._lost.wait(), 1.0)
                    except TimeoutError:
                        pass
            except OSError as error:
                log.info("%s: no broker at %s:%d (%s)", self.client_id, self.broker.host, self.broker.port, error)
            await asyncio.sleep(delay)
            delay = min(15.0, delay * 2)

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=self.client_id)
        if self.broker.user:
            client.username_pw_set(self.broker.user, self.broker.password)
        if self.will:
            client.will_set(self.will[0], self.will[1], qos=1, retain=True)
        loop, home, fds = asyncio.get_running_loop(), threading.get_ident(), {}

        def on_loop(call, *args):
            # paho opens the socket in the executor's thread; the loop may only be touched from its own.
            if threading.get_ident() == home:
                call(*args)
            else:
                loop.call_soon_threadsafe(call, *args)

        def opened(_client, _data, sock):
            fds[sock] = sock.fileno()
            on_loop(loop.add_reader, fds[sock], client.loop_read)

        def closed(_client, _data, sock):
            fd = fds.pop(sock, -1)
            if fd >= 0:
                on_loop(loop.remove_reader, fd)
                on_loop(loop.remove_writer, fd)

        client.on_socket_open, client.on_socket_close = opened, closed
        client.on_socket_register_write = lambda _c, _d, sock: on_loop(
            loop.add_writer, sock.fileno(), client.loop_write
        )
        client.on_socket_unregister_write = lambda _c, _d, sock: on_loop(loop.remove_writer, sock.fileno())
        client.on_connect, client.on_disconnect, client.on_message = self._connected, self._disconnected, self._message
        return client

    def _connected(self, client, _data, _flags, reason, _properties) -> None:
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

    def _disconnected(self, client, _data, _flags, reason, _properties) -> None:
        if client is not self.client:
            return
        self.connected = False
        self._lost.set()
        log.info("%s: disconnected (%s)", self.client_id, reason)

    def _message(self, _client, _data, message) -> None:
        if self.on_message:
            self.on_message(message.topic, message.payload.decode("utf-8", "replace"))
