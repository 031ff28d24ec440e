"""PrusaLink: v1 with HTTP digest, and the legacy API of old firmware with X-Api-Key."""

import asyncio
import hashlib
import hmac
import re
import time

from aiohttp import web

from .. import gcode
from ..printer import ACTIVE, PAUSED, Job
from .common import Protocol, guarded

USER = "maker"
REALM = "Printer API"
NONCE_LIFE_S = 600
STATES = {
    "idle": "IDLE",
    "preheat": "BUSY",
    "printing": "PRINTING",
    "paused": "PAUSED",
    "attention": "ATTENTION",
    "finished": "FINISHED",
    "cancelled": "STOPPED",
    "error": "ERROR",
}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def short_name(filename: str) -> str:
    """An 8.3 name as the FAT file system of a USB stick has it."""
    stem, _, ext = filename.rpartition(".")
    plain = re.sub(r"[^A-Z0-9_]", "", stem.upper())
    return f"{(plain or 'FILE')[:6]}~1.{ext.upper()[:3]}"


class _Stick(Protocol):
    """Serves the files of the USB stick; old firmware has no link to them, but serves them under the same path."""

    def _file(self, request: web.Request) -> str:
        """The newest file with the short name of the request."""
        wanted = request.match_info["name"]
        for name in reversed(self.printer.files):
            if wanted in (short_name(name), name):
                return name
        raise web.HTTPNotFound(text="404: Not Found")

    @guarded
    async def download(self, request: web.Request) -> web.StreamResponse:
        """A file of the stick."""
        return await self.files.send(self._file(request))


class PrusaLink(_Stick):
    """API v1. The digest challenge has `qop` only where the fleet says so; without it a sent `algorithm` is refused."""

    def routes(self) -> list[web.RouteDef]:
        """v1, the shared /api/version, downloads."""
        return [
            web.get("/api/version", self.version),
            web.get("/api/v1/info", self.info),
            web.get("/api/v1/status", self.status),
            web.get("/api/v1/job", self.job),
            web.get("/api/v1/storage", self.storage),
            web.get("/usb/{name}", self.download),
            web.get("/thumb/{size}/usb/{name}", self.thumbnail),
        ]

    # ---------------------------------------------------------------- login

    def _nonce(self, at: float) -> str:
        stamp = f"{int(at):08x}"
        return stamp + hmac.new(self.key.encode(), stamp.encode(), "md5").hexdigest()[:24]

    def check(self, request: web.Request) -> None:
        """Digest (or X-Api-Key, which the same firmware takes too); 401 with a challenge otherwise."""
        if self.key_fits(request.headers.get("X-Api-Key")):
            return
        header = request.headers.get("Authorization", "")
        stale = False
        if header.lower().startswith("digest "):
            fields = {
                k: quoted if quoted else bare
                for k, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', header[7:])
            }
            nonce = fields.get("nonce", "")
            stamp = nonce[:8]
            ours = re.fullmatch(r"[0-9a-f]{8}", stamp) and nonce == self._nonce(int(stamp, 16))
            if ours and self._answer_fits(fields, request):
                stale = time.time() - int(stamp, 16) > NONCE_LIFE_S
                if not stale:
                    return
        qop = f', qop="{self.printer.spec.digest_qop}"' if self.printer.spec.digest_qop else ""
        challenge = (
            f'Digest realm="{REALM}", nonce="{self._nonce(time.time())}"{qop}, stale={"true" if stale else "false"}'
        )
        raise web.HTTPUnauthorized(text="401: Unauthorized", headers={"WWW-Authenticate": challenge})

    def _answer_fits(self, f: dict[str, str], request: web.Request) -> bool:
        if f.get("username") != USER or f.get("realm") != REALM or f.get("uri") != request.raw_path:
            return False
        ha1, ha2 = _md5(f"{USER}:{REALM}:{self.key}"), _md5(f"{request.method}:{f['uri']}")
        if self.printer.spec.digest_qop:
            expected = _md5(f"{ha1}:{f['nonce']}:{f.get('nc')}:{f.get('cnonce')}:{f.get('qop')}:{ha2}")
        elif "algorithm" in f:
            return False
        else:
            expected = _md5(f"{ha1}:{f['nonce']}:{ha2}")
        return hmac.compare_digest(expected, f.get("response", ""))

    # ---------------------------------------------------------------- answers

    def _shown_job(self) -> Job | None:
        """The print that the display shows: the running one, and an ended one until its part is taken off."""
        return None if self.printer.state in ("idle", "preheat", "off") else self.printer.job

    @guarded
    async def version(self, request: web.Request) -> web.StreamResponse:
        """What firmware this is."""
        return web.json_response(
            {
                "api": "2.0.0",
                "server": "2.1.2",
                "nozzle_diameter": 0.4,
                "text": "PrusaLink",
                "hostname": self.printer.spec.device_id,
                "capabilities": {"upload-by-put": True},
            }
        )

    @guarded
    async def info(self, request: web.Request) -> web.StreamResponse:
        """Static facts of the printer."""
        return web.json_response(
            {
                "nozzle_diameter": 0.4,
                "mmu": False,
                "serial": f"SIM-{self.printer.spec.device_id}",
                "hostname": self.printer.spec.device_id,
                "min_extrusion_temp": 170,
            }
        )

    @guarded
    async def storage(self, request: web.Request) -> web.StreamResponse:
        """The USB stick."""
        return web.json_response(
            {"storage_list": [{"path": "/usb/", "name": "usb", "type": "USB", "read_only": False, "available": True}]}
        )

    @guarded
    async def status(self, request: web.Request) -> web.StreamResponse:
        """Telemetry, plus the job's short form while there is one."""
        p, m, job, moving = self.printer, self.printer.machine, self._shown_job(), self.printer.moving_job
        fan = moving.fan if moving else 0.0
        telemetry = {
            "state": STATES[p.state],
            "temp_bed": self.shown(m.bed),
            "target_bed": float(m.bed_target),
            "temp_nozzle": self.shown(m.nozzle),
            "target_nozzle": float(m.nozzle_target),
            "axis_z": round(job.z, 1) if job else 0.0,
            "flow": 100,
            "speed": int(p.speed),
            "fan_hotend": int(7500 + self.dice.gauss(0, 40)) if m.nozzle > 50 else 0,
            "fan_print": int(fan * 5900 + self.dice.gauss(0, 30)) if fan else 0,
        }
        if not moving:
            telemetry |= {"axis_x": 0.0, "axis_y": -3.0}
        answer = {"storage": {"path": "/usb/", "name": "usb", "read_only": False}, "printer": telemetry}
        if job:
            answer["job"] = {
                "id": job.number,
                "progress": round(job.progress * 100, 2),
                "time_remaining": int(job.left),
                "time_printing": int(job.elapsed),
            }
        return web.json_response(answer)

    @guarded
    async def job(self, request: web.Request) -> web.StreamResponse:
        """The job, or 204."""
        job = self._shown_job()
        if not job:
            return web.Response(status=204)
        # A filament change shows ATTENTION in status while the job itself is only paused.
        state = "PAUSED" if self.printer.state == "attention" else STATES[self.printer.state]
        short = short_name(job.plan.filename)
        return web.json_response(
            {
                "id": job.number,
                "state": state,
                "progress": round(job.progress * 100, 2),
                "time_remaining": int(job.left),
                "time_printing": int(job.elapsed),
                "inaccurate_estimates": False,
                "serial_print": False,
                "file": {
                    "refs": {
                        "icon": f"/thumb/s/usb/{short}",
                        "thumbnail": f"/thumb/l/usb/{short}",
                        "download": f"/usb/{short}",
                    },
                    "name": short,
                    "display_name": job.plan.filename,
                    "path": "/usb",
                    "size": self.files.size(job.plan),
                    "m_timestamp": int(job.started) - 600,
                },
            }
        )

    @guarded
    async def thumbnail(self, request: web.Request) -> web.StreamResponse:
        """The picture of a file: `l` large, `s` small."""
        plan = self.printer.files[self._file(request)]
        width, height = (220, 124) if request.match_info["size"] == "l" else (16, 16)
        picture = await asyncio.to_thread(gcode.thumbnail, plan, width, height)
        return web.Response(body=picture, content_type="image/png")


class PrusaLinkLegacy(_Stick):
    """Old firmware: no v1, key in X-Api-Key, and at the end of a print the job is gone at once."""

    def routes(self) -> list[web.RouteDef]:
        """The OctoPrint-like subset, downloads."""
        return [
            web.get("/api/version", self.version),
            web.get("/api/printer", self.telemetry),
            web.get("/api/job", self.job),
            web.get("/usb/{name}", self.download),
        ]

    def check(self, request: web.Request) -> None:
        """401 without the right key."""
        if not self.key_fits(request.headers.get("X-Api-Key")):
            raise web.HTTPUnauthorized(text="401: Unauthorized")

    @guarded
    async def version(self, request: web.Request) -> web.StreamResponse:
        """What firmware this is."""
        return web.json_response(
            {"api": "0.1", "server": "0.7.0", "text": "PrusaLink MINI", "hostname": self.printer.spec.device_id}
        )

    @guarded
    async def telemetry(self, request: web.Request) -> web.StreamResponse:
        """Temperatures and flags."""
        p, m, job = self.printer, self.printer.machine, self.printer.active_job
        paused = p.state in PAUSED
        bed, nozzle = self.shown(m.bed), self.shown(m.nozzle)
        error = p.state == "error"
        text = "Error" if error else "Paused" if paused else "Printing" if p.state == "printing" else "Operational"
        return web.json_response(
            {
                "telemetry": {
                    "temp-bed": bed,
                    "temp-nozzle": nozzle,
                    "print-speed": int(p.speed),
                    "z-height": round(job.z, 1) if job else 0.0,
                    "material": p.loaded_material,
                },
                "temperature": {
                    "tool0": {
                        "actual": nozzle,
                        "target": float(m.nozzle_target),
                        "display": float(m.nozzle_target),
                        "offset": 0,
                    },
                    "bed": {"actual": bed, "target": float(m.bed_target), "offset": 0},
                },
                "state": {
                    "text": text,
                    "flags": {
                        "operational": not error,
                        "paused": paused,
                        "printing": p.state == "printing",
                        "cancelling": False,
                        "pausing": False,
                        "sdReady": True,
                        "error": error,
                        "closedOnError": False,
                        "ready": p.state not in (*ACTIVE, "preheat", "error"),
                        "busy": p.state == "preheat",
                    },
                },
            }
        )

    @guarded
    async def job(self, request: web.Request) -> web.StreamResponse:
        """The job with completion in 0..1, or nulls."""
        job = self.printer.active_job
        if not job:
            return web.json_response({"state": "Operational", "job": None, "progress": None})
        short = short_name(job.plan.filename)
        return web.json_response(
            {
                "state": "Paused" if self.printer.state != "printing" else "Printing",
                "job": {
                    "estimatedPrintTime": int(job.duration),
                    "file": {"name": job.plan.filename, "path": f"/usb/{short}", "display": job.plan.filename},
                },
                "progress": {
                    "completion": round(job.progress, 4),
                    "printTime": int(job.elapsed),
                    "printTimeLeft": int(job.left),
                },
            }
        )
