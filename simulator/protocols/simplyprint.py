"""SimplyPrint's cloud API for one printer of one company. An error is HTTP 200 with `status: false`."""

import json
from typing import Any

from aiohttp import web

from ..physics import ambient_c
from ..printer import Job, JobTruth
from .common import Protocol, guarded

COMPANY = "4711"
PRINTER_ID = 1207
STATES = {
    "idle": "operational",
    "preheat": "operational",
    "printing": "printing",
    "paused": "paused",
    "attention": "paused",
    "finished": "operational",
    "cancelled": "operational",
    "error": "error",
}
JOB_STATES = {
    "done": "finished",
    "cancelled": "cancelled",
    "error": "failed",
    "printing": "ongoing",
    "paused": "ongoing",
}


class SimplyPrint(Protocol):
    """`/{company}/printers/Get` and `/{company}/jobs/GetDetails`.

    The cloud answers even when the printer is `offline`.
    """

    cloud = True

    def routes(self) -> list[web.RouteDef]:
        """Both calls, GET or POST."""
        return [
            web.route("*", "/{company}/printers/Get", self.printers),
            web.route("*", "/{company}/jobs/GetDetails", self.details),
        ]

    def check(self, request: web.Request) -> None:
        """`status: false` without the key or for another company."""
        if request.match_info["company"] != COMPANY or not self.key_fits(request.headers.get("X-API-KEY")):
            raise web.HTTPOk(
                text=json.dumps({"status": False, "message": "Invalid API key"}), content_type="application/json"
            )

    def _id(self, number: int) -> int:
        source_id = self.printer.source_id(number)
        assert source_id is not None, "the cloud has an id for every job"
        return int(source_id)

    def _uid(self, number: int) -> str:
        return f"5f1e{number:08x}"

    @guarded
    async def printers(self, request: web.Request) -> web.StreamResponse:
        """One printer as an object with `pid`, all as an array without."""
        pid = request.query.get("pid")
        if request.method == "POST" and request.can_read_body:
            try:
                body = await request.json()
            except ValueError:
                body = None
            pid = body.get("pid", pid) if isinstance(body, dict) else pid
        if pid is not None and str(pid) != str(PRINTER_ID):
            return web.json_response({"status": False, "message": "Printer not found"})
        entry = self._entry()
        return web.json_response({"status": True, "message": None, "data": [entry] if pid is None else entry})

    def _entry(self) -> dict[str, Any]:
        p, m, job = self.printer, self.printer.machine, self.printer.active_job
        tool, bed = (None, None) if self.offline else (round(self.shown(m.nozzle)), round(self.shown(m.bed)))
        return {
            "id": PRINTER_ID,
            "printer": {
                "name": p.spec.friendly_name or p.spec.device_id,
                "state": "offline" if self.offline else STATES[p.state],
                "online": not self.offline,
                "api": "OctoPrint",
                "model": {
                    "name": p.spec.device_model,
                    "brand": p.spec.device_model.split()[0] if p.spec.device_model else "",
                },
                "temps": {
                    "ambient": round(ambient_c(p.at)),
                    "current": {"tool": [tool], "bed": bed},
                    "target": {"tool": [round(m.nozzle_target)], "bed": round(m.bed_target)},
                },
            },
            "filament": {
                "0": {
                    "id": 88,
                    "type": {"name": p.loaded_material},
                    "color": "Black",
                    "colorHex": "#202020",
                    "left": 640.2,
                    "total": 1000,
                }
            },
            "job": self._running(job) if job and not self.offline else None,
        }

    def _running(self, job: Job) -> dict[str, Any]:
        return {
            "id": self._id(job.number),
            "uid": self._uid(job.number),
            "state": "paused" if self.printer.state != "printing" else "printing",
            "file": job.plan.filename,
            "percentage": round(job.progress * 100),
            "time": int(job.left),
            "layer": job.layer,
            "maxLayer": job.plan.layers,
        }

    @guarded
    async def details(self, request: web.Request) -> web.StreamResponse:
        """A job by its uid, running or ended."""
        wanted = request.query.get("id")
        for job in reversed(self.printer.jobs()):
            if wanted in (self._uid(job["number"]), job["source_job_id"]):
                return web.json_response({"status": True, "message": None, "job": self._details(job)})
        return web.json_response({"status": False, "message": "Job not found"})

    def _details(self, job: JobTruth) -> dict[str, Any]:
        return {
            "id": self._id(job["number"]),
            "uid": self._uid(job["number"]),
            "state": JOB_STATES[job["status"]],
            "file": job["filename"],
            "started": int(job["start"]),
            "ended": None if job["end"] is None else int(job["end"]),
            "percentage": 100 if job["status"] == "done" else None,
            "time": int(job["printing_seconds"]),
            "pauses": [],
            "cancelInfo": {"reason": job["reason"]} if job["status"] == "cancelled" else None,
            "failedReason": job["reason"] if job["status"] == "error" else None,
            # The cloud hands some objects on as JSON inside a string.
            "analysis": json.dumps(
                {
                    "estimatedPrintTime": job["printing_seconds"],
                    "filament": {"tool0": {"length": job["filament_mm"]}},
                }
            ),
            "filament": {
                "length": job["filament_mm"],
                "weight": job["filament_g"],
                "type": job["material"],
            },
        }
