"""The control API: what the fleet is, what truly happened, and what shall go wrong."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from .faults import FAULTS, FaultError, inject, number
from .meters import Channel
from .printer import JobTruth, Printer, PrinterError
from .world import World

HELP = {
    "GET /health": "is the simulator alive, broker sessions, counts",
    "GET /fleet": "printers as payloads of the Devices API",
    "GET /truth?since=": "ground truth: jobs (ended since, and open ones) and meters",
    "GET /truth/meter/<meter_id>?from=&to=": "true Wh of a metering point between two times (unix seconds or ISO 8601)",
    "GET /truth/printer/<device_id>?from=&to=": "true Wh of a printer between two times",
    "GET /faults": "the faults that can be injected",
    "POST /faults": "{type, target, …}",
    "POST /printers/<device_id>/start": "{filename, duration_s, material}",
    "POST /printers/<device_id>/pause|resume|cancel|fail|clear": "{seconds} for pause",
}


def _error(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


@web.middleware
async def _sentences(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (PrinterError, FaultError) as error:
        return _error(409 if isinstance(error, PrinterError) else 400, str(error))
    except web.HTTPNotFound:
        return _error(404, f"there is no {request.method} {request.path}; GET / lists what there is")


def _time(request: web.Request, name: str, default: float) -> float:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise FaultError(f"{name} must be a time: unix seconds, or ISO 8601 with its offset") from None


async def _body(request: web.Request) -> dict[str, Any]:
    if not request.can_read_body:
        return {}
    try:
        body = await request.json()
    except ValueError:
        raise FaultError("the body must be JSON") from None
    if not isinstance(body, dict):
        raise FaultError("the body must be a JSON object")
    return body


class Control:
    """HTTP handlers over a World."""

    def __init__(self, world: World) -> None:
        self.world = world

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[_sentences])
        app.add_routes(
            [
                web.get("/", self.help),
                web.get("/health", self.health),
                web.get("/fleet", self.fleet),
                web.get("/truth", self.truth),
                web.get("/truth/meter/{id:.+}", self.meter),
                web.get("/truth/printer/{id}", self.printer),
                web.get("/faults", self.faults),
                web.post("/faults", self.inject),
                web.post("/printers/{id}/{command}", self.command),
            ]
        )
        return app

    async def help(self, request: web.Request) -> web.StreamResponse:
        """What there is."""
        return web.json_response(HELP)

    async def health(self, request: web.Request) -> web.StreamResponse:
        """Liveness and the state of all sessions."""
        w = self.world
        sessions = {p.spec.id: p.session for p in w.plugs.values()}
        return web.json_response(
            {
                "status": "ok",
                "uptime_s": round(time.time() - w.started, 1),
                "printers": {n: p.state for n, p in w.printers.items()},
                "mqtt": {
                    n: {"connected": s.connected, "sent": s.sent, "dropped": s.dropped} for n, s in sessions.items()
                },
            }
        )

    async def fleet(self, request: web.Request) -> web.StreamResponse:
        """The devices to register."""
        return web.json_response(self.world.devices())

    async def truth(self, request: web.Request) -> web.StreamResponse:
        """Jobs and meters as they truly are."""
        since, w = _time(request, "since", 0.0), self.world
        w.advance(time.time())
        jobs: list[JobTruth] = []
        for printer in w.printers.values():
            jobs += [job for job in printer.jobs() if job["end"] is None or job["end"] >= since]
        meters = {
            m: {"device_id": c.load, "true_wh": c.truth.wh, "counter_wh": c.counter_wh, "power_watts": c.power}
            for m, c in w.channels.items()
        }
        return web.json_response({"now": time.time(), "jobs": sorted(jobs, key=lambda j: j["start"]), "meters": meters})

    async def meter(self, request: web.Request) -> web.StreamResponse:
        """Exact integral of a metering point."""
        return self._between(request, self.world.channels, "meter")

    async def printer(self, request: web.Request) -> web.StreamResponse:
        """Exact integral of a printer."""
        return self._between(request, self.world.printers, "printer")

    def _between(
        self, request: web.Request, things: Mapping[str, Channel] | Mapping[str, Printer], kind: str
    ) -> web.StreamResponse:
        thing = things.get(request.match_info["id"])
        if thing is None:
            return _error(404, f"no {kind} {request.match_info['id']!r} in this fleet")
        now = time.time()
        self.world.advance(now)
        start, end = _time(request, "from", thing.truth.times[0]), _time(request, "to", now)
        try:
            return web.json_response({"from": start, "to": end, "energy_wh": thing.truth.between(start, end)})
        except ValueError as error:
            return _error(410, str(error))

    async def faults(self, request: web.Request) -> web.StreamResponse:
        """The catalogue."""
        return web.json_response({name: " ".join((f.__doc__ or "").split()) for name, f in FAULTS.items()})

    async def inject(self, request: web.Request) -> web.StreamResponse:
        """Injects one."""
        now = time.time()
        self.world.advance(now)
        return web.json_response(await inject(self.world, await _body(request), now))

    async def command(self, request: web.Request) -> web.StreamResponse:
        """Starts, pauses, resumes, cancels or fails a print, or takes it off the bed (clear)."""
        printer = self.world.printers.get(request.match_info["id"])
        if printer is None:
            return _error(404, f"no printer {request.match_info['id']!r} in this fleet")
        body, command = await _body(request), request.match_info["command"]
        printer.advance(max(time.time(), printer.at))
        if command == "start":
            try:
                plan = printer.custom_plan(
                    str(body.get("filename") or "test.gcode"), number(body, "duration_s", 100), body.get("material")
                )
            except PrinterError as error:
                return _error(400, str(error))
            job = printer.start(plan)
            return web.json_response(printer.describe(job), status=201)
        if command == "pause":
            printer.pause(number(body, "seconds") if "seconds" in body else None, attention=bool(body.get("attention")))
        elif command == "resume":
            printer.resume()
        elif command == "cancel":
            printer.cancel()
        elif command == "clear":
            printer.clear()
        elif command == "fail":
            printer.fail(str(body.get("reason") or "Thermal runaway of the hotend"))
        else:
            return _error(404, f"no command {command!r}; known are start, pause, resume, cancel, fail, clear")
        return web.json_response({"device_id": printer.spec.device_id, "state": printer.state, "at": printer.at})
