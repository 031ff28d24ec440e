"""Heat and electricity of a printer: one exact step of any length, so that live steps (1 s) and steps of history (30 s)
agree.

Units: watts at the wall, °C, seconds, joules inside, watt-hours outside.
"""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """What a printer model is made of. Powers in W (DC side), heat capacities in J/K, losses in W/K."""

    bed_w: float
    bed_c: float
    bed_h: float
    hot_w: float
    electronics_w: float
    motors_w: float
    flow_mm3_s: float
    speed_mm_s: float
    bed_width: int
    bed_depth: int
    bed_height: int
    hot_c: float = 13.0
    hot_h: float = 0.09
    fans_w: float = 4.5
    efficiency: float = 0.88
    enclosure: float = 0.0
    """Share of the bed's excess temperature that the air around the parts takes on."""
    job_factor: float = 1.0
    """How long a job takes compared with a Prusa MK4."""


PROFILES = {
    "mk4": Profile(
        bed_w=200,
        bed_c=620,
        bed_h=0.85,
        hot_w=40,
        electronics_w=8.5,
        motors_w=16,
        flow_mm3_s=7,
        speed_mm_s=80,
        bed_width=250,
        bed_depth=210,
        bed_height=220,
    ),
    "mini": Profile(
        bed_w=110,
        bed_c=330,
        bed_h=0.55,
        hot_w=38,
        electronics_w=6.5,
        motors_w=11,
        flow_mm3_s=5,
        speed_mm_s=60,
        bed_width=180,
        bed_depth=180,
        bed_height=180,
        efficiency=0.86,
        job_factor=1.25,
    ),
    "xl": Profile(
        bed_w=390,
        bed_c=1900,
        bed_h=1.7,
        hot_w=48,
        electronics_w=21,
        motors_w=25,
        flow_mm3_s=9,
        speed_mm_s=100,
        bed_width=360,
        bed_depth=360,
        bed_height=360,
        fans_w=7,
        efficiency=0.9,
        job_factor=1.1,
    ),
    "ender3": Profile(
        bed_w=215,
        bed_c=700,
        bed_h=1.0,
        hot_w=40,
        electronics_w=6,
        motors_w=14,
        flow_mm3_s=4,
        speed_mm_s=50,
        bed_width=220,
        bed_depth=220,
        bed_height=250,
        efficiency=0.85,
        job_factor=1.5,
    ),
    "voron24": Profile(
        bed_w=500,
        bed_c=1700,
        bed_h=1.35,
        hot_w=60,
        electronics_w=14,
        motors_w=30,
        flow_mm3_s=14,
        speed_mm_s=200,
        bed_width=300,
        bed_depth=300,
        bed_height=280,
        fans_w=8,
        efficiency=0.95,
        enclosure=0.25,
        job_factor=0.6,
    ),
    "k1max": Profile(
        bed_w=440,
        bed_c=1500,
        bed_h=1.4,
        hot_w=60,
        electronics_w=11,
        motors_w=35,
        flow_mm3_s=15,
        speed_mm_s=220,
        bed_width=300,
        bed_depth=300,
        bed_height=300,
        fans_w=8,
        efficiency=0.93,
        enclosure=0.2,
        job_factor=0.55,
    ),
}


@dataclass(frozen=True, slots=True)
class Material:
    """Print settings and density (g/cm³) of a filament; `fan` is the part cooling in 0..1."""

    nozzle: float
    bed: float
    density: float
    fan: float
    price_per_kg: float


MATERIALS = {
    "PLA": Material(nozzle=215, bed=60, density=1.24, fan=1.0, price_per_kg=25),
    "PETG": Material(nozzle=240, bed=85, density=1.27, fan=0.5, price_per_kg=28),
    "ASA": Material(nozzle=260, bed=105, density=1.07, fan=0.15, price_per_kg=35),
}

FILAMENT_AREA_MM2 = math.pi * 1.75**2 / 4


def ambient_c(at: float) -> float:
    """Room temperature at unix time `at`: a daily swing and a slow weekly one, the same for everyone in the room."""
    day = (at % 86400) / 86400
    week = (at % 604800) / 604800
    return 22.0 + 2.2 * math.sin(2 * math.pi * (day - 0.4)) + 0.8 * math.sin(2 * math.pi * week * 3)


def time_to_target(temp: float, target: float, ambient: float, power: float, c: float, h: float) -> float:
    """Seconds of full power until `temp` reaches `target`; infinite when the heater is too weak."""
    if temp >= target:
        return 0.0
    final = ambient + power / h
    return math.inf if final <= target else c / h * math.log((final - temp) / (final - target))


def heat(
    temp: float, target: float, ambient: float, dt: float, power: float, c: float, h: float
) -> tuple[float, float]:
    """The temperature after `dt` and the energy (J) that the heater took: full power up to the target, then the losses.

    The body is one thermal mass, so every part of the step has a closed solution: no error for long steps.
    """
    if temp < target:
        warm_up = time_to_target(temp, target, ambient, power, c, h)
        if warm_up >= dt:
            final = ambient + power / h
            return final + (temp - final) * math.exp(-h * dt / c), power * dt
        hold = min(power, max(0.0, h * (target - ambient)))
        return target, power * warm_up + hold * (dt - warm_up)
    if target <= ambient:
        return ambient + (temp - ambient) * math.exp(-h * dt / c), 0.0
    cool_down = c / h * math.log((temp - ambient) / (target - ambient))
    if cool_down >= dt:
        return ambient + (temp - ambient) * math.exp(-h * dt / c), 0.0
    return target, h * (target - ambient) * (dt - cool_down)


class Machine:
    """The temperatures of one printer and the power that its parts take."""

    def __init__(self, profile: Profile, noise: random.Random, at: float) -> None:
        self.profile = profile
        self.noise = noise
        self.nozzle = self.bed = ambient_c(at)
        self.nozzle_target = self.bed_target = 0.0

    def heating_time(self, at: float) -> float:
        """Seconds until both heaters have reached their targets, without motion."""
        p, air = self.profile, ambient_c(at)
        return max(
            time_to_target(self.nozzle, self.nozzle_target - 0.5, air, p.hot_w, p.hot_c, p.hot_h),
            time_to_target(self.bed, self.bed_target - 0.5, air, p.bed_w, p.bed_c, p.bed_h),
        )

    def step(self, at: float, dt: float, motion: float = 0.0, fan: float = 0.0, flow: float = 0.0) -> float:
        """Advances by `dt` seconds from unix time `at`; returns the mean power of the step, W at the wall.

        `motion` 0..1.5 is the load of the steppers, `fan` 0..1 the part cooling, `flow` mm³/s the molten plastic.
        """
        p = self.profile
        room = ambient_c(at)
        air = room + p.enclosure * max(0.0, self.bed - room)
        hot_loss = p.hot_h + 0.012 * fan
        melt_w = flow * 0.0022 * max(0.0, self.nozzle - air)
        self.nozzle, hot_j = heat(self.nozzle, self.nozzle_target, air, dt, p.hot_w, p.hot_c, hot_loss)
        self.bed, bed_j = heat(self.bed, self.bed_target, air, dt, p.bed_w, p.bed_c, p.bed_h * (1 + 0.12 * fan))
        fans = p.fans_w * (0.65 * fan + (0.35 if self.nozzle > 50 else 0.0))
        # Longer steps average the noise out, so that live and history have the same energy and spread.
        spread = self.noise.gauss(0, 1) / math.sqrt(max(dt, 1.0))
        motors = p.motors_w * motion * max(0.2, 1 + 0.18 * spread)
        dc = p.electronics_w + motors + fans + min(melt_w, p.hot_w) + (hot_j + bed_j) / dt
        return dc / p.efficiency * (1 + 0.008 * spread)
