"""The printers' HTTP APIs, one module each; a class per protocol with `routes()` that reads a Printer."""

from .moonraker import Moonraker
from .octoprint import OctoPrint
from .prusalink import PrusaLink, PrusaLinkLegacy
from .simplyprint import SimplyPrint


def protocol_for(printer, key: str):
    """The protocol object of a printer; `key` is its API key or password."""
    kinds = {
        "prusalink": PrusaLinkLegacy if printer.spec.legacy else PrusaLink,
        "octoprint": OctoPrint,
        "moonraker": Moonraker,
        "simplyprint": SimplyPrint,
    }
    return kinds[printer.spec.protocol](printer, key)
