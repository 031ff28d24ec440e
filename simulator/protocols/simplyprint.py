"""SimplyPrint's cloud API for one printer of one company. An error is HTTP 200 with `status: false`."""

import json

from aiohttp import web

from ..physics import ambient_c
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
    """`/{company}/printers/Get` and `/{company}/jobs/GetDetails`; the cloud answers even when the printer is `offline`."""

    cloud = True
    offline = False

    def routes(self):
        """Both calls, GET or POST."""
        return [
            web.route("*", "/{company}/printers/Get", self.printers),
            web.route("*", "/{company}/jobs/GetDetails", self.details),
        ]

    def check(self, request):
        """`status: false` without the key or for another company."""
        if request.match_info["company"] != COMPANY or not self.key_fits(request.headers.get("X-API-KEY")):
            raise web.HTTPOk(
                text=json.dumps({"status": False, "message": "Invalid API key"}), content_type="application/json"
            )

    def _uid(self, number: int) -> str:
        return f"5f1e{number:08x}"

    @guarded
    async def printers(self, request):
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

    def _entry(self) -> dict:
        p, m, job = self.printer, self.printer.machine, self.printer.job
        active = p.state in ("printing", "paused", "attention") and not self.offline
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
            "job": {
                "id": int(p.source_id(job.number)),
                "uid": self._uid(job.number),
                "state": "paused" if p.state != "printing" else "printing",
                "file": job.plan.filename,
                "percentage": round(job.progress * 100),
                "time": int(job.left),
                "layer": job.layer,
                "maxLayer": job.plan.layers,
            }
            if active
            else None,
        }

    @guarded
    async def details(self, request):
        """A job by its uid, running or ended."""
        p, wanted = self.printer, request.query.get("id")
        jobs = list(p.history)
        if p.job and p.job.ended is None:
            jobs.append(p.describe(p.job))
        for job in reversed(jobs):
            if wanted in (self._uid(job["number"]), job["source_job_id"]):
                return web.json_response(
                    {
                        "status": True,
                        "message": None,
                        "job": {
                            "id": int(job["source_job_id"]),
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
                        },
                    }
                )
        return web.json_response({"status": False, "message": "Job not found"})
