"""The running fleet: built from its declaration, moved through time, its state kept on disk."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from common import files

from .broker import Broker
from .fleet import Fleet
from .jobs import Schedule
from .meters import KINDS, Channel, Hub, Plug, PlugState
from .physics import PROFILES
from .printer import Printer
from .protocols import protocol_for
from .protocols.simplyprint import COMPANY, PRINTER_ID
from .server import PrinterServer, free_port
from .stored_files import StoredFiles

log = logging.getLogger("simulator")

SAVE_EVERY_S = 10
CATCH_UP_MAX_S = 14 * 86400
CATCH_UP_STEP_S = 30.0


class FleetState(TypedDict):
    """The fleet's state as it is kept on disk; `at` is unix seconds."""

    at: float
    printers: dict[str, dict[str, Any]]
    plugs: dict[str, PlugState]


class Identity(TypedDict):
    """What a printer keeps for ever: the port of its address, and its API key or password."""

    ports: dict[str, int]
    keys: dict[str, str]


def write_json(path: Path, value: FleetState | Identity) -> None:
    """Replaces a file that only its owner may read: a crash leaves the old or the new one."""
    files.write(path, json.dumps(value), 0o600)


def fleet_state(at: float, printers: Mapping[str, Printer], plugs: Mapping[str, Plug]) -> FleetState:
    """The state of a fleet at unix time `at`."""
    return {
        "at": at,
        "printers": {name: printer.to_dict() for name, printer in printers.items()},
        "plugs": {name: plug.to_dict() for name, plug in plugs.items()},
    }


def build_printers(
    fleet: Fleet, at: float, saved: Mapping[str, Mapping[str, Any]], auto_jobs: bool
) -> dict[str, Printer]:
    """All printers by device id, in the state of `saved` where they are in it."""
    printers = {}
    for i, spec in enumerate(fleet.printers):
        schedule = (
            Schedule(fleet.seed, spec, PROFILES[spec.profile], spec.calibration_at_s is not None) if auto_jobs else None
        )
        printer = Printer(spec, fleet.seed, at, fleet.step_s, schedule)
        if spec.device_id in saved:
            printer.restore(saved[spec.device_id])
        if schedule and not schedule.calibrates and printer.state == "idle" and printer.next_start is None:
            printer.next_start = at + 5 + 12 * i
        if not schedule:
            printer.next_start = printer.next_plan = None
        printers[spec.device_id] = printer
    return printers


def build_plugs(
    fleet: Fleet,
    broker: Broker | None,
    at: float,
    saved: Mapping[str, PlugState],
    printers: Mapping[str, Printer],
    zone: str,
) -> dict[str, Plug]:
    """All plugs by id, with their channels on the printers that they feed."""
    plugs = {}
    for spec in fleet.plugs:
        state = saved.get(spec.id) or PlugState()
        plug = KINDS[spec.kind](spec, broker, at, fleet.seed, state, zone)
        for channel in plug.channels:
            channel.load = state.get("loads", {}).get(channel.key, channel.load)
            if channel.load is not None and channel.load in printers:
                printers[channel.load].channels.append(channel)
        plugs[spec.id] = plug
    return plugs


class World:
    """Everything that lives. `advance` moves the models, `run` does it in real time and speaks to the network."""

    def __init__(
        self,
        fleet: Fleet,
        state_dir: Path,
        host: str = "127.0.0.1",
        advertise: str | None = None,
        broker: Broker | None = None,
        auto_jobs: bool = True,
        org: str = "raptorblingx",
        zone: str = "UTC",
    ) -> None:
        self.fleet, self.host, self.advertise = fleet, host, advertise or host
        self.state_dir = Path(state_dir)
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.started = time.time()
        saved = files.read_json(self.state_dir / "state.json") or {}
        # After a very long rest (or with a clock that went back) only counters and numbers matter: the jobs of that
        # time are lost.
        recent = bool(saved) and self.started - CATCH_UP_MAX_S < saved["at"] <= self.started
        at = saved["at"] if recent else self.started
        self.printers = build_printers(fleet, at, saved["printers"] if recent else {}, auto_jobs)
        for name in self.printers.keys() & saved.get("printers", {}).keys():
            self.printers[name].last_number = saved["printers"][name]["last_number"]
            self.printers[name].jobs_started = saved["printers"][name]["jobs_started"]
        self.plugs = build_plugs(fleet, broker, at, saved.get("plugs", {}), self.printers, zone)
        self.hubs = [Hub(h, org, self.printers[h.mounted_on], broker, fleet.seed) for h in fleet.hubs]
        for printer in self.printers.values():
            # The machines worked while nobody emulated their messages: the counters contain the energy of that time.
            printer.advance(self.started, CATCH_UP_STEP_S)
            first = printer.spec.calibration_at_s
            if printer.schedule and first is not None and printer.state == "idle":
                printer.next_plan = printer.schedule.calibration(printer.jobs_started)
                printer.next_start = self.started + first
        self.identity = self._identity()
        keys, ports = self.identity["keys"], self.identity["ports"]
        self.servers = {
            name: PrinterServer(
                p, protocol_for(p, keys[name], StoredFiles(p, self.state_dir / "gcode")), host, ports[name]
            )
            for name, p in self.printers.items()
        }
        self._saved_at = self.started

    def _identity(self) -> Identity:
        """Ports and keys, made once: a device keeps its address and its key over restarts."""
        path = self.state_dir / "identity.json"
        identity: Identity = files.read_json(path) or {"ports": {}, "keys": {}}
        for name in self.printers:
            identity["keys"].setdefault(name, secrets.token_hex(8))
            if name not in identity["ports"]:
                port = free_port(self.host)
                while port in identity["ports"].values():
                    port = free_port(self.host)
                identity["ports"][name] = port
        write_json(path, identity)
        return identity

    # ------------------------------------------------------------------ lookup

    @property
    def channels(self) -> dict[str, Channel]:
        """All metering points by meter id."""
        return {c.meter_id: c for plug in self.plugs.values() for c in plug.channels}

    def plug_of(self, target: str) -> Plug | None:
        """The plug by its id or by one of its meter ids; None when unknown."""
        return self.plugs.get(target) or next(
            (p for p in self.plugs.values() if any(c.meter_id == target for c in p.channels)), None
        )

    def devices(self) -> list[dict[str, Any]]:
        """The printers as payloads of the Devices API."""
        meters = {}
        for plug in self.plugs.values():
            for channel in plug.channels:
                if channel.load:
                    meters[channel.load] = plug.spec.id if len(plug.channels) == 1 else channel.meter_id
        return [self._device(printer, meters.get(name)) for name, printer in self.printers.items()]

    def _device(self, printer: Printer, meter: str | None) -> dict[str, Any]:
        spec, profile = printer.spec, printer.profile
        name = spec.device_id
        key = self.identity["keys"][name]
        device = {
            "device_id": name,
            "device_type": "printer",
            "friendly_name": spec.friendly_name or name,
            "device_model": spec.device_model,
            "location": spec.location,
            "plant_type": spec.plant_type,
            "printer_size_category": spec.size_category,
            "bed_width": profile.bed_width,
            "bed_depth": profile.bed_depth,
            "rated_power_w": round(
                (profile.bed_w + profile.hot_w + profile.electronics_w + profile.motors_w + profile.fans_w)
                / profile.efficiency
            ),
            "idle_power_w": round(profile.electronics_w / profile.efficiency, 1),
            "data_interval_seconds": spec.interval_s,
            "source": spec.protocol,
            "api_ip": f"{self.advertise}:{self.identity['ports'][name]}",
            "api_key": key,
            "shelly_id": meter,
        }
        # Hubs share their topics: only one can be known by them.
        if self.hubs and self.hubs[0].spec.mounted_on == name:
            device["mqtt_topic"] = f"esp32/{self.hubs[0].org}"
        if spec.protocol == "simplyprint":
            device |= {"simplyprint_id": str(PRINTER_ID), "sp_company_id": COMPANY, "sp_api_key": key}
            del device["api_key"]
        return device

    # ------------------------------------------------------------------ time

    def advance(self, to: float) -> None:
        """Moves all models to unix time `to`."""
        for printer in self.printers.values():
            printer.advance(to)
        for channel in self.channels.values():
            if channel.load is None:
                channel.add(to, to - channel.truth.times[-1], 0.0)

    async def listen(self) -> None:
        """Opens the printers' sockets; a port that another process has taken meanwhile is replaced by a new one."""
        for name, server in self.servers.items():
            if server.printer.state == "off" and not server.protocol.cloud:
                continue
            try:
                await server.listen()
            except OSError:
                server.port = self.identity["ports"][name] = free_port(self.host)
                await server.listen()
                write_json(self.state_dir / "identity.json", self.identity)

    async def run(self) -> None:
        """Moves, reports and saves in real time until cancelled. `listen` comes first."""
        for part in (*self.plugs.values(), *self.hubs):
            part.session.start()
        try:
            while True:
                now = time.time()
                self.advance(now)
                for server in self.servers.values():
                    await server.tick(now)
                for part in (*self.plugs.values(), *self.hubs):
                    part.tick(now)
                if now - self._saved_at >= SAVE_EVERY_S:
                    self.save()
                await asyncio.sleep(self.fleet.step_s - time.time() % self.fleet.step_s)
        finally:
            self.advance(time.time())
            self.save()
            await asyncio.gather(
                *(s.close() for s in self.servers.values()),
                *(p.session.stop() for p in (*self.plugs.values(), *self.hubs)),
            )

    def save(self) -> None:
        """Writes the fleet's state: counters, jobs, temperatures."""
        self._saved_at = time.time()
        at = min((p.at for p in self.printers.values()), default=self._saved_at)
        write_json(self.state_dir / "state.json", fleet_state(at, self.printers, self.plugs))
