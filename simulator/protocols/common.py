"""What the protocol modules share."""

import hmac
import random

from aiohttp import web


class Protocol:
    """A protocol reads one printer and knows its key. `server` is set by PrinterServer."""

    server = None
    cloud = False
    """A cloud answers for its printer when that one is unreachable."""

    def __init__(self, printer, key: str):
        self.printer, self.key = printer, key
        self.dice = random.Random(f"{printer.spec.device_id}/sensors")

    def routes(self) -> list[web.RouteDef]:
        """The URL table."""
        raise NotImplementedError

    def shown(self, celsius: float, digits: int = 1) -> float:
        """A temperature as the sensor tells it: with a little noise."""
        return round(celsius + self.dice.gauss(0, 0.08), digits)

    def key_fits(self, given: str | None) -> bool:
        """Whether a sent key is the printer's."""
        return given is not None and hmac.compare_digest(given.encode(), self.key.encode())


def guarded(handler):
    """Run `self.check(request)` first: it raises the protocol's own refusal."""

    async def wrapped(self, request):
        self.check(request)
        return await handler(self, request)

    return wrapped
