"""The declaration of a fleet: which printers, plugs and hubs exist and how they behave. Read from a JSON file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from .physics import MATERIALS, PROFILES

DEMO = Path(__file__).with_name("fleet.json")
PROTOCOLS = ("prusalink", "octoprint", "moonraker", "simplyprint")
PLUG_KINDS = ("shelly_gen2", "shelly_gen1", "tasmota")
Spec = TypeVar("Spec", "PrinterSpec", "PlugSpec", "HubSpec")


class FleetError(ValueError):
    """The declaration can't be used; the text names the entry and the remedy."""


@dataclass
class PrinterSpec:
    """One printer. `calibration_at_s`: seconds after start at which it prints a short calibration piece (demo)."""

    device_id: str
    profile: str
    protocol: str
    friendly_name: str = ""
    device_model: str = ""
    location: str = ""
    plant_type: str = "generic_plant"
    size_category: str = "medium"
    materials: list[str] = field(default_factory=lambda: ["PLA"])
    interval_s: int = 15
    legacy: bool = False
    digest_qop: str | None = None
    finished_hold_s: float = 300.0
    calibration_at_s: float | None = None
    busy: float = 0.6


@dataclass
class PlugSpec:
    """One plug; `channels` maps its metering points (`switch:0`, `pm1:0`, `relay:0`, or `` for Tasmota) to printers.

    A full report comes every `interval_s`. A change of power by more than `change_w` is reported at once, but not
    within `change_gap_s` of the last report. `offline_buffer` messages are kept while the broker is away (a real plug
    keeps none).
    """

    id: str
    kind: str
    channels: dict[str, str | None]
    interval_s: float = 10.0
    change_w: float = 8.0
    change_gap_s: float = 3.0
    status_ntf: bool = True
    rpc_ntf: bool = True
    offline_buffer: int = 0
    start_wh: float = 0.0


@dataclass
class HubSpec:
    """An ESP32 with DHT22, MPU6050 and MAX6675, mounted on a printer."""

    mounted_on: str
    interval_s: float = 5.0


@dataclass
class Fleet:
    """Everything that the simulator emulates. `step_s` is the model's step, at most 1 s."""

    printers: list[PrinterSpec]
    plugs: list[PlugSpec]
    hubs: list[HubSpec]
    seed: int = 1
    step_s: float = 1.0


def _make(kind: type[Spec], entry: Mapping[str, Any], where: str) -> Spec:
    known = {f.name for f in fields(kind)}
    unknown = set(entry) - known
    if unknown:
        raise FleetError(f"{where}: unknown setting {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    try:
        return kind(**entry)
    except TypeError as error:
        raise FleetError(f"{where}: {error}") from None


def parse(declaration: Mapping[str, Any]) -> Fleet:
    """The fleet of a decoded declaration, checked. Raises FleetError."""
    printers = [_make(PrinterSpec, e, f"printers[{i}]") for i, e in enumerate(declaration.get("printers", []))]
    plugs = [_make(PlugSpec, e, f"plugs[{i}]") for i, e in enumerate(declaration.get("plugs", []))]
    hubs = [_make(HubSpec, e, f"hubs[{i}]") for i, e in enumerate(declaration.get("hubs", []))]
    fleet = Fleet(printers, plugs, hubs, int(declaration.get("seed", 1)), float(declaration.get("step_s", 1.0)))
    if not 0 < fleet.step_s <= 1:
        raise FleetError("step_s must be above 0 and at most 1 s")
    names = {p.device_id for p in printers}
    if len(names) < len(printers):
        raise FleetError("two printers have the same device_id")
    if len({p.id for p in plugs}) < len(plugs):
        raise FleetError("two plugs have the same id")
    for p in printers:
        if p.profile not in PROFILES:
            raise FleetError(f"{p.device_id}: profile {p.profile!r} is unknown; known are {', '.join(PROFILES)}")
        if p.protocol not in PROTOCOLS:
            raise FleetError(f"{p.device_id}: protocol {p.protocol!r} is unknown; known are {', '.join(PROTOCOLS)}")
        if not p.materials or set(p.materials) - set(MATERIALS):
            raise FleetError(f"{p.device_id}: materials must be some of {', '.join(MATERIALS)}")
    for plug in plugs:
        if plug.kind not in PLUG_KINDS:
            raise FleetError(f"{plug.id}: kind {plug.kind!r} is unknown; known are {', '.join(PLUG_KINDS)}")
        for load in plug.channels.values():
            if load is not None and load not in names:
                raise FleetError(f"{plug.id}: no printer {load!r} in this fleet")
    for hub in hubs:
        if hub.mounted_on not in names:
            raise FleetError(f"hub: no printer {hub.mounted_on!r} in this fleet")
    return fleet


def load(path: Path | str = DEMO) -> Fleet:
    """The fleet of a file. Raises FleetError, with the file's name when it can't be read."""
    try:
        return parse(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError) as error:
        raise FleetError(f"cannot read the fleet file {path}: {error}") from None
