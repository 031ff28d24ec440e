"""A publisher that costs little: it encodes its PUBLISH packets beforehand and only moves bytes while the clock runs.

An ordinary client library would spend more CPU than the system under test on a two-core machine. This speaks just
enough MQTT 3.1.1 for QoS 1 publishing, with a bounded window of unacknowledged messages.
"""

import resource
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass

PUBLISH_QOS1 = 0x32
PUBACK = b"\x40\x02"


@dataclass(frozen=True, slots=True)
class BlastResult:
    """What was sent: messages acknowledged, wall seconds, and CPU seconds spent by this process."""

    acknowledged: int
    wall_s: float
    cpu_s: float


def _remaining_length(n: int) -> bytes:
    out = bytearray()
    while True:
        n, digit = divmod(n, 128)
        out.append(digit | (0x80 if n else 0))
        if not n:
            return bytes(out)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("!H", len(raw)) + raw


def encode_publish(topic: str, payload: bytes, packet_id: int) -> bytes:
    """One QoS 1 PUBLISH packet; packet_id is 1 to 65535."""
    body = _string(topic) + struct.pack("!H", packet_id) + payload
    return bytes([PUBLISH_QOS1]) + _remaining_length(len(body)) + body


class Publisher:
    """A QoS 1 connection that publishes prepared packets.

    Raises ConnectionError when the broker refuses the login or closes the connection.
    """

    def __init__(self, host: str, port: int, user: str, password: str, client_id: str) -> None:
        self._socket = socket.create_connection((host, port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = _string("MQTT") + bytes([4, 0xC2]) + struct.pack("!H", 0)
        body += _string(client_id) + _string(user) + _string(password)
        self._socket.sendall(b"\x10" + _remaining_length(len(body)) + body)
        answer = self._socket.recv(4)
        if len(answer) < 4 or answer[3] != 0:
            raise ConnectionError(f"the broker refused the connection: {answer!r}")
        self._pending = b""

    def _acknowledged(self) -> int:
        """Reads what has come and returns how many PUBACKs were in it."""
        data = self._pending + self._socket.recv(1 << 16)
        whole = len(data) // 4
        self._pending = data[whole * 4 :]
        if any(data[i : i + 2] != PUBACK for i in range(0, whole * 4, 4)):
            raise ConnectionError("the broker sent something other than PUBACK")
        return whole

    def blast(
        self, messages: Iterable[tuple[str, bytes]], window: int = 2000, rate: float | None = None
    ) -> BlastResult:
        """Publishes all messages, as fast as the window allows or at `rate` messages a second.

        Returns when all are acknowledged.
        """
        packets = [encode_publish(topic, payload, i % 65535 + 1) for i, (topic, payload) in enumerate(messages)]
        cpu0 = resource.getrusage(resource.RUSAGE_SELF)
        start = time.perf_counter()
        sent = acknowledged = 0
        while acknowledged < len(packets):
            room = window - (sent - acknowledged)
            if rate is not None:
                room = min(room, int((time.perf_counter() - start) * rate) + 1 - sent)
            if room > 0 and sent < len(packets):
                chunk = packets[sent : sent + min(room, 500)]
                self._socket.sendall(b"".join(chunk))
                sent += len(chunk)
                if sent - acknowledged < window and sent < len(packets) and rate is None:
                    continue
            if sent > acknowledged:
                acknowledged += self._acknowledged()
            elif rate is not None:
                time.sleep(0.002)
        cpu1 = resource.getrusage(resource.RUSAGE_SELF)
        return BlastResult(
            acknowledged, time.perf_counter() - start, cpu1.ru_utime + cpu1.ru_stime - cpu0.ru_utime - cpu0.ru_stime
        )

    def close(self) -> None:
        """Disconnects."""
        self._socket.sendall(b"\xe0\x00")
        self._socket.close()
