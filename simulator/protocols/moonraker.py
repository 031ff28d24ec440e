"""Moonraker before Klipper: object queries, history, files. print_stats keeps the last job's values until the next."""

import math
import time
from typing import Any

from aiohttp import web

from ..jobs import Plan
from ..printer import JobTruth
from .common import Protocol, guarded

STATES = {
    "idle": "standby",
    "preheat": "standby",
    "printing": "printing",
    "paused": "paused",
    "attention": "paused",
    "finished": "complete",
    "cancelled": "cancelled",
    "error": "error",
}
HISTORY = {
    "done": "completed",
    "cancelled": "cancelled",
    "error": "error",
    "printing": "in_progress",
    "paused": "in_progress",
}


class Moonraker(Protocol):
    """The external API that programs poll. The times of its history are those of the host's clock."""

    def routes(self) -> list[web.RouteDef]:
        """Queries, history, metadata, downloads."""
        return [
            web.get("/server/info", self.server_info),
            web.get("/printer/info", self.printer_info),
            web.get("/printer/objects/query", self.query),
            web.get("/server/history/list", self.history),
            web.get("/server/files/metadata", self.metadata),
            web.get("/server/files/gcodes/{name}", self.download),
        ]

    def check(self, request: web.Request) -> None:
        """401 without the API key: this host is no trusted client."""
        if not self.key_fits(request.headers.get("X-Api-Key")):
            raise web.HTTPUnauthorized(
                text='{"error": {"code": 401, "message": "Unauthorized"}}', content_type="application/json"
            )

    @guarded
    async def server_info(self, request: web.Request) -> web.StreamResponse:
        """State of the server."""
        return web.json_response(
            {
                "result": {
                    "klippy_connected": True,
                    "klippy_state": self._klippy(),
                    "components": ["history", "file_manager"],
                    "moonraker_version": "v0.9.3-1-g4e00a07",
                    "api_version": [1, 5, 0],
                }
            }
        )

    def _klippy(self) -> str:
        job = self.printer.job if self.printer.state == "error" else None
        return "shutdown" if job and "runaway" in (job.reason or "") else "ready"

    @guarded
    async def printer_info(self, request: web.Request) -> web.StreamResponse:
        """State of Klipper."""
        return web.json_response(
            {
                "result": {
                    "state": self._klippy(),
                    "state_message": "Printer is ready",
                    "hostname": self.printer.spec.device_id,
                    "software_version": "v0.12.0-302",
                }
            }
        )

    def _print_stats(self) -> dict[str, Any]:
        """A job that has ended shows its last values, also when the printer stands by, until the next begins."""
        p, job = self.printer, self.printer.job
        stats = {
            "filename": "",
            "total_duration": 0.0,
            "print_duration": 0.0,
            "filament_used": 0.0,
            "state": STATES[p.state],
            "message": "",
            "info": {"total_layer": None, "current_layer": None},
        }
        if job:
            end = job.ended if job.ended is not None else p.at
            if p.state in ("idle", "preheat"):
                stats["state"] = {"done": "complete"}.get(job.status, job.status)
            motion = job.elapsed - job.moving_from if job.moving_from is not None else 0.0
            stats |= {
                "filename": job.plan.filename,
                "total_duration": round(end - job.started, 3),
                "print_duration": round(motion, 3),
                "filament_used": round(job.filament_mm, 3),
                "message": job.reason or "",
                "info": {"total_layer": job.plan.layers, "current_layer": job.layer},
            }
        return stats

    def _virtual_sdcard(self) -> dict[str, Any]:
        job = self.printer.job
        if job is None:
            return {"file_path": None, "progress": 0.0, "is_active": False, "file_position": 0, "file_size": 0}
        size = self.files.size(job.plan)
        return {
            "file_path": f"/home/pi/printer_data/gcodes/{job.plan.filename}",
            "progress": round(job.progress, 6),
            "is_active": self.printer.state == "printing",
            "file_position": int(size * job.progress),
            "file_size": size,
        }

    def _objects(self) -> dict[str, dict[str, Any]]:
        p, m, active = self.printer, self.printer.machine, self.printer.active_job
        disk = self._virtual_sdcard()
        z = active.z if active else 0.0
        fan = p.moving_job.fan if p.moving_job else 0.0
        return {
            "print_stats": self._print_stats(),
            "virtual_sdcard": disk,
            "display_status": {"progress": disk["progress"], "message": None},
            "extruder": {
                "temperature": self.shown(m.nozzle, 2),
                "target": float(m.nozzle_target),
                "power": 0.4 if m.nozzle_target else 0.0,
                "pressure_advance": 0.04,
            },
            "heater_bed": {
                "temperature": self.shown(m.bed, 2),
                "target": float(m.bed_target),
                "power": 0.3 if m.bed_target else 0.0,
            },
            "gcode_move": {
                "speed_factor": p.speed / 100,
                "extrude_factor": 1.0,
                "gcode_position": [150.0, 150.0, z, 0.0],
                "homing_origin": [0, 0, 0, 0],
            },
            "toolhead": {
                "position": [150.0, 150.0, z, 0.0],
                "homed_axes": "xyz" if active else "",
                "print_time": round(p.at % 100000, 3),
            },
            "fan": {"speed": fan, "rpm": round(fan * 5200) if fan else None},
            "idle_timeout": {
                "state": "Printing" if active else "Idle",
                "printing_time": active.elapsed if active else 0.0,
            },
            "webhooks": {"state": self._klippy(), "state_message": "Printer is ready"},
        }

    @guarded
    async def query(self, request: web.Request) -> web.StreamResponse:
        """Only the objects and attributes that were asked for."""
        objects, status = self._objects(), {}
        for name, wanted in request.query.items():
            if name in objects:
                keys = [k for k in wanted.split(",") if k]
                status[name] = {k: v for k, v in objects[name].items() if not keys or k in keys}
        return web.json_response({"result": {"eventtime": round(time.monotonic(), 6), "status": status}})

    def _entry(self, job: JobTruth) -> dict[str, Any]:
        start, end = job["start"] + self.clock_offset, job["end"]
        total = (end if end is not None else self.printer.at) - job["start"]
        plan = self.printer.files.get(job["filename"])
        return {
            "job_id": job["source_job_id"],
            "user": "maker",
            "filename": job["filename"],
            "exists": plan is not None,
            "status": HISTORY[job["status"]],
            "start_time": start,
            "end_time": None if end is None else end + self.clock_offset,
            "print_duration": job["printing_seconds"],
            "total_duration": total,
            "filament_used": job["filament_mm"],
            "metadata": {} if plan is None else self._metadata(plan),
            "auxiliary_data": [],
        }

    def _metadata(self, plan: Plan) -> dict[str, Any]:
        return {
            "size": self.files.size(plan),
            "slicer": "OrcaSlicer",
            "slicer_version": "2.1.1",
            "layer_height": plan.layer_height,
            "object_height": plan.size[2],
            "estimated_time": int(plan.motion_s),
            "filament_total": plan.filament_mm,
            "filament_weight_total": plan.filament_g,
            "filament_type": plan.material,
            "first_layer_bed_temp": plan.bed,
            "first_layer_extr_temp": plan.nozzle,
            "nozzle_diameter": 0.4,
            "layer_count": plan.layers,
        }

    @guarded
    async def history(self, request: web.Request) -> web.StreamResponse:
        """Newest first; `limit`, `start`, `since`, `before`, `order` as in Moonraker."""
        entries = [self._entry(job) for job in self.printer.jobs()]
        try:
            since, before = float(request.query.get("since", -math.inf)), float(request.query.get("before", math.inf))
            start, limit = int(request.query.get("start", 0)), int(request.query.get("limit", 50))
        except ValueError:
            raise web.HTTPBadRequest(
                text='{"error": {"code": 400, "message": "Bad argument"}}', content_type="application/json"
            ) from None
        entries = [e for e in entries if since < e["start_time"] < before]
        if request.query.get("order", "desc") == "desc":
            entries.reverse()
        return web.json_response({"result": {"count": len(entries), "jobs": entries[start : start + limit]}})

    @guarded
    async def metadata(self, request: web.Request) -> web.StreamResponse:
        """Metadata of a file."""
        plan = self.printer.files.get(request.query.get("filename", ""))
        if plan is None:
            raise web.HTTPNotFound(
                text='{"error": {"code": 404, "message": "Metadata not available"}}', content_type="application/json"
            )
        return web.json_response({"result": {"filename": plan.filename, **self._metadata(plan)}})

    @guarded
    async def download(self, request: web.Request) -> web.StreamResponse:
        """A file of the gcodes root."""
        return await self.files.send(request.match_info["name"])
