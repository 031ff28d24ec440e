"""OctoPrint's REST API: no job ids, a file stays selected after its print, 409 when the printer is not connected."""

from aiohttp import web

from ..physics import FILAMENT_AREA_MM2
from ..printer import PAUSED
from .common import Protocol, guarded

NO_FILE = {
    "file": dict.fromkeys(("name", "path", "display", "origin", "size", "date")),
    **dict.fromkeys(("estimatedPrintTime", "averagePrintTime", "lastPrintTime", "filament", "user")),
}
NO_PROGRESS = dict.fromkeys(("completion", "filepos", "printTime", "printTimeLeft", "printTimeLeftOrigin"))


class OctoPrint(Protocol):
    """GET /api/job, /api/printer, /api/version and downloads."""

    def routes(self) -> list[web.RouteDef]:
        """The subset that ENMS-like programs read."""
        return [
            web.get("/api/version", self.version),
            web.get("/api/job", self.job),
            web.get("/api/printer", self.telemetry),
            web.get("/api/connection", self.connection),
            web.get("/downloads/files/local/{name}", self.download),
        ]

    def check(self, request: web.Request) -> None:
        """403 without X-Api-Key or a bearer token."""
        bearer = request.headers.get("Authorization", "")
        given = request.headers.get("X-Api-Key") or (bearer[7:] if bearer.lower().startswith("bearer ") else None)
        if not self.key_fits(given):
            raise web.HTTPForbidden(
                text='{"error": "You don\'t have the permission to access the requested resource."}',
                content_type="application/json",
            )

    def _text(self) -> str:
        p = self.printer
        return {
            "printing": "Printing",
            "paused": "Paused",
            "attention": "Paused",
            "error": f"Offline after error: {p.job.reason if p.job else ''}",
        }.get(p.state, "Operational")

    @guarded
    async def version(self, request: web.Request) -> web.StreamResponse:
        """OctoPrint's version."""
        return web.json_response({"api": "0.1", "server": "1.10.2", "text": "OctoPrint 1.10.2"})

    @guarded
    async def connection(self, request: web.Request) -> web.StreamResponse:
        """The serial line to the printer."""
        connected = self.printer.state != "error"
        return web.json_response(
            {
                "current": {
                    "state": self._text(),
                    "port": "/dev/ttyUSB0" if connected else None,
                    "baudrate": 115200 if connected else None,
                    "printerProfile": "_default",
                }
            }
        )

    @guarded
    async def job(self, request: web.Request) -> web.StreamResponse:
        """The selected file and the progress of its print."""
        job = self.printer.job
        if job is None:
            return web.json_response({"job": NO_FILE, "progress": NO_PROGRESS, "state": self._text()})
        plan = job.plan
        size = self.files.size(plan)
        progress = {
            "completion": job.progress * 100,
            "filepos": int(size * job.progress),
            "printTime": int(job.elapsed),
            "printTimeLeft": int(job.left),
            "printTimeLeftOrigin": "genius",
        }
        return web.json_response(
            {
                "job": {
                    "file": {
                        "name": plan.filename,
                        "path": plan.filename,
                        "display": plan.filename,
                        "origin": "local",
                        "size": size,
                        "date": int(job.started) - 600,
                    },
                    "estimatedPrintTime": job.duration,
                    "averagePrintTime": None,
                    "lastPrintTime": job.elapsed if job.status == "done" else None,
                    "filament": {
                        "tool0": {
                            "length": plan.filament_mm,
                            "volume": round(plan.filament_mm * FILAMENT_AREA_MM2 / 1000, 3),
                        }
                    },
                    "user": "maker",
                },
                "progress": NO_PROGRESS if job.status in ("cancelled", "error") else progress,
                "state": self._text(),
            }
        )

    @guarded
    async def telemetry(self, request: web.Request) -> web.StreamResponse:
        """Temperatures and flags; 409 when the printer is not operational."""
        p, m = self.printer, self.printer.machine
        if p.state == "error":
            raise web.HTTPConflict(text='{"error": "Printer is not operational"}', content_type="application/json")
        paused, printing = p.state in PAUSED, p.state == "printing"
        return web.json_response(
            {
                "sd": {"ready": False},
                "state": {
                    "text": self._text(),
                    "error": "",
                    "flags": {
                        "operational": True,
                        "printing": printing,
                        "paused": paused,
                        "pausing": False,
                        "resuming": False,
                        "cancelling": False,
                        "finishing": False,
                        "closedOrError": False,
                        "error": False,
                        "ready": not printing and not paused,
                        "sdReady": False,
                    },
                },
                "temperature": {
                    "tool0": {"actual": self.shown(m.nozzle, 2), "target": float(m.nozzle_target), "offset": 0},
                    "bed": {"actual": self.shown(m.bed, 2), "target": float(m.bed_target), "offset": 0},
                },
            }
        )

    @guarded
    async def download(self, request: web.Request) -> web.StreamResponse:
        """A file of the local storage."""
        return await self.files.send(request.match_info["name"])
