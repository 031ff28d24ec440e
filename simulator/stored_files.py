"""The G-code files that a printer has in its storage, as its HTTP API sends them."""

import asyncio
from pathlib import Path

from aiohttp import web

from . import gcode
from .jobs import Plan
from .printer import Printer


class StoredFiles:
    """The files of one printer, kept in `folder` and each made when it is first asked for."""

    def __init__(self, printer: Printer, folder: Path) -> None:
        self.printer, self.folder = printer, folder

    async def send(self, name: str) -> web.StreamResponse:
        """The file of that name; 404 when the printer never had it."""
        plan = self.printer.files.get(name)
        if plan is None:
            raise web.HTTPNotFound(text="File not found")
        path = await asyncio.to_thread(gcode.file_for, plan, self.printer.spec, self.folder)
        return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})

    def size(self, plan: Plan) -> int:
        """Bytes of the file, an estimate until it was made."""
        path = gcode.path_for(plan, self.printer.spec, self.folder)
        return path.stat().st_size if path.exists() else 150_000
