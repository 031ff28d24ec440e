"""A printer's HTTP socket: real port and injectable misbehaviour."""

import asyncio
import logging
import random
import socket
import time
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from .printer import Printer
from .protocols import Protocol

log = logging.getLogger("simulator.http")


def free_port(host: str) -> int:
    """A port that nobody listens on now."""
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


@dataclass
class HttpFaults:
    """Misbehaviour until the given unix times; `slow_s` delays every answer."""

    hung_until: float = 0.0
    unauthorized_until: float = 0.0
    garbage_until: float = 0.0
    error_until: float = 0.0
    slow_until: float = 0.0
    slow_s: float = 0.0


GARBAGE = (
    '{"printer": {"state":',
    "<html><body>404 Not Found</body></html>",
    "",
    "null",
    '{"printer": "on fire", "job": [1]}',
    "[[[[",
)


class PrinterServer:
    """Serves one printer's protocol."""

    def __init__(self, printer: Printer, protocol: Protocol, host: str, port: int) -> None:
        self.printer, self.protocol = printer, protocol
        self.host, self.port = host, port
        self.faults = HttpFaults()
        self.vanished = False
        self.vanished_until: float | None = None
        self._runner: web.AppRunner | None = None
        self.dice = random.Random(printer.spec.device_id)

    async def listen(self) -> None:
        """Opens the socket. Raises OSError when another process has the port."""
        app = web.Application(middlewares=[self._misbehave], client_max_size=1 << 20)
        app.add_routes(self.protocol.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, keepalive_timeout=30)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port, reuse_address=True).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner

    async def close(self) -> None:
        """Closes the socket and all its connections: connections are refused from now on."""
        if self._runner:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def tick(self, at: float) -> None:
        """Opens or closes the socket, as power and faults demand."""
        if self.vanished and self.vanished_until is not None and at >= self.vanished_until:
            self.vanished = False
        gone = self.vanished or self.printer.state == "off"
        if self.protocol.cloud:
            self.protocol.offline, gone = gone, False
        if gone and self._runner:
            await self.close()
        elif not gone and not self._runner:
            try:
                await self.listen()
            except OSError as error:
                log.warning("%s cannot be reached yet: %s", self.printer.spec.device_id, error)

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        now, f = time.time(), self.faults
        if now < f.hung_until:
            await asyncio.sleep(f.hung_until - now)
        if now < f.slow_until:
            await asyncio.sleep(f.slow_s)
        if now < f.error_until:
            return web.Response(status=503, text="Service Unavailable")
        if now < f.unauthorized_until:
            return web.Response(status=401, text="Unauthorized")
        if now < f.garbage_until:
            return web.Response(text=self.dice.choice(GARBAGE), content_type="application/json")
        self.printer.advance(max(now, self.printer.at))
        if self.printer.state == "off" and not self.protocol.cloud:
            if request.transport:
                request.transport.abort()
            raise web.HTTPServiceUnavailable()
        return await handler(request)
