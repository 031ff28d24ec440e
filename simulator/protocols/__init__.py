"""The printers' HTTP APIs, one module each; a class per protocol with `routes()` that reads a Printer."""

from ..printer import Printer
from ..stored_files import StoredFiles
from .common import Protocol
from .moonraker import Moonraker
from .octoprint import OctoPrint
from .prusalink import PrusaLink, PrusaLinkLegacy
from .simplyprint import SimplyPrint

KINDS: dict[str, type[Protocol]] = {
    "prusalink": PrusaLink,
    "octoprint": OctoPrint,
    "moonraker": Moonraker,
    "simplyprint": SimplyPrint,
}


def protocol_for(printer: Printer, key: str, files: StoredFiles) -> Protocol:
    """The protocol object of a printer; `key` is its API key or password."""
    kind = KINDS[printer.spec.protocol]
    if kind is PrusaLink and printer.spec.legacy:
        kind = PrusaLinkLegacy
    return kind(printer, key, files)
