"""What the protocol modules share."""

import hmac
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from ..printer import Printer
from ..stored_files import StoredFiles

P = TypeVar("P", bound="Protocol")


class Protocol:
    """A protocol reads one printer and its files, and knows its key."""

    cloud = False
    """A cloud answers for its printer when that one is unreachable."""
    offline = False
    """Whether a cloud can't reach its printer now."""
    clock_offset = 0.0
    """Seconds by which the printer's own clock is wrong; only Moonraker's answers contain times of it."""

    def __init__(self, printer: Printer, key: str, files: StoredFiles) -> None:
        self.printer, self.key, self.files = printer, key, files
        self.dice = random.Random(f"{printer.spec.device_id}/sensors")

    def routes(self) -> list[web.RouteDef]:
        """The URL table."""
        raise NotImplementedError

    def check(self, request: web.Request) -> None:
        """Raises the protocol's own refusal when the request has no valid login."""
        raise NotImplementedError

    def shown(self, celsius: float, digits: int = 1) -> float:
        """A temperature as the sensor shows it: with a little noise."""
        return round(celsius + self.dice.gauss(0, 0.08), digits)

    def key_fits(self, given: str | None) -> bool:
        """Whether a sent key is the printer's."""
        return given is not None and hmac.compare_digest(given.encode(), self.key.encode())


def guarded(
    handler: Callable[[P, web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[P, web.Request], Awaitable[web.StreamResponse]]:
    """The handler, run only after `self.check(request)`."""

    async def wrapped(self: P, request: web.Request) -> web.StreamResponse:
        self.check(request)
        return await handler(self, request)

    return wrapped
