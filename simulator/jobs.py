"""What is printed: a catalogue of parts, plans with consistent figures, and the schedule of an unattended fleet."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self

from .fleet import PrinterSpec
from .physics import FILAMENT_AREA_MM2, MATERIALS, Profile

HOMING_S = 20.0
FLOW_SHARE = 0.8
"""Mean flow as a share of the printer's maximum: travels and corners take the rest."""
Size = tuple[float, float, float]
"""x, y and z; mm, or relative to each other."""

PARTS = (
    # stem, relative size x : y : z
    ("Benchy", (1.9, 1.0, 1.5)),
    ("Zahnrad Modul 2 – 45 Zähne", (3.0, 3.0, 0.6)),
    ("Cable clip v3 ×12", (4.0, 3.0, 0.5)),
    ("Gehäuse Deckel", (3.0, 2.0, 0.35)),
    ("raspberry_pi_case_bottom", (3.0, 2.0, 0.8)),
    ("Spool holder left", (2.0, 1.2, 2.2)),
    ("ノズルホルダー", (1.0, 1.0, 1.6)),
    ("Lampenschirm (Ø 120)", (1.4, 1.4, 1.7)),
    ("bracket_90deg_M5", (1.5, 1.0, 1.5)),
    ("Tööriistahoidja", (3.5, 1.0, 1.2)),
    ("Drohnenarm rev B", (4.5, 1.0, 0.6)),
    ("Étagère - crochet", (1.0, 0.6, 2.0)),
    ("planetary gear set", (2.0, 2.0, 0.9)),
    ("fan_duct_5015", (1.5, 1.2, 1.3)),
)
CALIBRATIONS = ("First layer calibration", "pressure_advance_line", "Flow cube 10 mm", "Retraction test")


class Mishap(NamedTuple):
    """What goes wrong in a print after a share (0..1) of its time; a pause or runout lasts for `seconds`."""

    share: float
    kind: Literal["pause", "runout", "cancel", "error"]
    seconds: float


@dataclass
class Plan:
    """One sliced file and the figures that printer, file name and G-code agree on.

    `motion_s` is the time of moves at 100 % speed; `duration_s` fixes the whole print (heating included) when given.
    Sizes in mm, `infill` in percent.
    """

    filename: str
    stem: str
    material: str
    motion_s: float
    filament_mm: float
    filament_g: float
    size: Size
    layer_height: float
    layers: int
    infill: int
    nozzle: float
    bed: float
    fan: float
    speed: float = 100.0
    duration_s: float | None = None
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the state file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The plan that to_dict described."""
        return cls(**{**values, "size": tuple(values["size"])})


def _hours(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m"


def plan(
    profile: Profile,
    protocol: str,
    model: str,
    *,
    stem: str,
    aspect: Size,
    material: str,
    motion_s: float,
    layer_height: float = 0.2,
    infill: int = 15,
    filename: str | None = None,
    duration_s: float | None = None,
    speed: float = 100.0,
    seed: int = 0,
) -> Plan:
    """A plan whose size follows from the plastic that flows in `motion_s` seconds."""
    m = MATERIALS[material]
    volume = motion_s * profile.flow_mm3_s * FLOW_SHARE
    filament_mm = volume / FILAMENT_AREA_MM2
    scale = (volume / 0.35 / (aspect[0] * aspect[1] * aspect[2])) ** (1 / 3)
    limits = (profile.bed_width * 0.9, profile.bed_depth * 0.9, profile.bed_height * 0.9)
    width, depth, height = (min(limit, max(5.0, a * scale)) for a, limit in zip(aspect, limits))
    layers = max(2, round(height / layer_height))
    if filename is None:
        estimate = _hours(motion_s + 180)
        filename = {
            "octoprint": f"CE3_{stem}.gcode",
            "moonraker": f"{stem}_{material}_{estimate}.gcode",
        }.get(protocol, f"{stem}_{layer_height}mm_{material}_{model.split()[-1].rstrip('+')}_{estimate}.gcode")
    return Plan(
        filename=filename,
        stem=stem,
        material=material,
        motion_s=motion_s,
        filament_mm=round(filament_mm, 2),
        filament_g=round(volume / 1000 * m.density, 2),
        size=(round(width, 2), round(depth, 2), round(layers * layer_height, 2)),
        layer_height=layer_height,
        layers=layers,
        infill=infill,
        nozzle=m.nozzle,
        bed=m.bed,
        fan=m.fan,
        speed=speed,
        duration_s=duration_s,
        seed=seed,
    )


class Schedule:
    """Chooses jobs, gaps and mishaps of one unattended printer; the n-th choice depends on the seed and n alone."""

    def __init__(self, seed: int, spec: PrinterSpec, profile: Profile, calibrates: bool = False) -> None:
        self.seed, self.spec, self.profile = seed, spec, profile
        self.calibrates = calibrates
        self.free_at: float | None = None
        """Unix time at which the printer must be idle: no job begins that could still run then."""

    def fits(self, job: Plan, at: float) -> bool:
        """Whether a job that begins at `at` leaves the printer idle when it must be, mishaps included."""
        return self.free_at is None or at + job.motion_s * 1.2 + 3600 < self.free_at

    def _dice(self, number: int, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}/{self.spec.device_id}/{number}/{purpose}")

    def gap(self, number: int, at: float, last_duration: float) -> float:
        """Seconds of rest before job `number`; longer at night when nobody takes the parts off."""
        night = 2.5 if at % 86400 < 5 * 3600 or at % 86400 > 21 * 3600 else 1.0
        mean = max(600.0, last_duration) * (1 - self.spec.busy) / self.spec.busy
        return min(8 * 3600, 240 + self._dice(number, "gap").expovariate(1 / (mean * night)))

    def job(self, number: int) -> tuple[Plan, list[Mishap]]:
        """The plan of job `number` and its mishaps in the order of their time."""
        dice = self._dice(number, "job")
        if self.calibrates and dice.random() < 0.3:
            return self.calibration(number), []
        stem, aspect = dice.choice(PARTS)
        minutes = min(360.0, max(10.0, dice.lognormvariate(4.3, 0.75) * self.profile.job_factor))
        job = plan(
            self.profile,
            self.spec.protocol,
            self.spec.device_model,
            stem=stem,
            aspect=aspect,
            material=dice.choice(self.spec.materials),
            motion_s=minutes * 60,
            layer_height=dice.choice((0.15, 0.2, 0.2, 0.25)),
            infill=dice.choice((10, 15, 15, 20, 40)),
            speed=dice.choice((100, 100, 100, 90, 115)),
            seed=dice.randrange(1 << 30),
        )
        return job, self._mishaps(dice)

    def _mishaps(self, dice: random.Random) -> list[Mishap]:
        mishaps = []
        if dice.random() < 0.08:
            mishaps.append(Mishap(dice.uniform(0.1, 0.8), "pause", dice.uniform(120, 900)))
        if dice.random() < 0.06:
            mishaps.append(Mishap(dice.uniform(0.2, 0.9), "runout", dice.uniform(180, 1500)))
        end = dice.random()
        if end < 0.10:
            mishaps.append(Mishap(dice.uniform(0.1, 0.9), "cancel" if end < 0.06 else "error", 0))
        return sorted(mishaps)

    def calibration(self, number: int) -> Plan:
        """A piece of about 100 s that needs no warm bed."""
        dice = self._dice(number, "calibration")
        duration = dice.uniform(88, 104)
        stem = dice.choice(CALIBRATIONS)
        job = plan(
            self.profile,
            self.spec.protocol,
            self.spec.device_model,
            stem=stem,
            aspect=(2.0, 2.0, 0.05),
            material=self.spec.materials[0],
            motion_s=duration * 0.8,
            filename=f"{stem}.gcode",
            duration_s=duration,
            seed=dice.randrange(1 << 30),
        )
        job.bed = 35.0
        return job
