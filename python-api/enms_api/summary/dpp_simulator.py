"""Made-up fleets, one for each scenario that a page must be able to show. They need no database.

Their facts have the shape of the live ones and go the same way through answer.py, so a page that shows every scenario
without error shows live data as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.estimate import estimated

from .facts import Facts, Fleet, HistoryEntry, Job, LastJob, PastJob, PhasePart, Rate, UsualSums
from .figures import iso

LIVE = "live"  # the scenario that isn't made up

FACTORY = "00000000-0000-4000-8000-000000000000"
PRICE = 0.30  # EUR per kWh
G_CO2 = 380.0  # per kWh
WARM_UP_S = 600.0
WARM_UP_WH = 60.0


@dataclass(frozen=True, kw_only=True)
class MockJob:
    """A job that has been running for ``elapsed_s`` seconds; its first ten minutes were the warm-up."""

    filename: str
    elapsed_s: float
    progress: float  # percent
    wh: float
    grams: float | None = None
    part_mm: tuple[float, float, float] = (120.0, 110.0, 40.0)
    material: str = "PLA"
    paused_s: float = 0.0

    def facts(self, now_ts: float) -> Job:
        """The job as the statement would return it."""
        heating_s = min(WARM_UP_S, self.elapsed_s)
        heating_wh = min(WARM_UP_WH, self.wh)
        phases: list[PhasePart] = [{"phase": "Heating", "seconds": heating_s, "wh": heating_wh}]
        if self.elapsed_s > heating_s:
            printing_s = self.elapsed_s - heating_s - self.paused_s
            phases.append({"phase": "Printing", "seconds": printing_s, "wh": self.wh - heating_wh})
        if self.paused_s:
            phases.append({"phase": "Paused", "seconds": self.paused_s, "wh": 0.0})
        return {
            "job_id": "00000000-0000-4000-8000-0000000000aa",
            "filename": self.filename,
            "start_ts": now_ts - self.elapsed_s,
            "paused_s": self.paused_s,
            "progress": self.progress,
            "time_left_s": round(self.elapsed_s * (100 - self.progress) / self.progress) if self.progress else None,
            "grams": None,
            "material": self.material,
            "nozzle_diameter": 0.4,
            "preview_url": None,
            "thumbnail_url": None,
            "details": {
                "object_name": self.filename.rsplit(".", 1)[0],
                "infill_density_percent": 15.0,
                "layer_height_mm": 0.2,
                "supports_enabled": False,
                "nozzle_diameter_mm": 0.4,
                "object_dimensions_mm": dict(zip("xyz", self.part_mm)),
                "estimated_material_g": self.grams,
                "slicer_profile_name": "0.20mm SPEED",
                "estimated_print_time_s": round(self.elapsed_s * 100 / self.progress) if self.progress else None,
            },
            "wh": self.wh,
            "cost": estimated(self.wh / 1000, PRICE),
            "currency": "EUR",
            "co2_g": estimated(self.wh / 1000, G_CO2),
            "phases": phases,
            "phases_ts": now_ts,
        }


@dataclass(frozen=True, kw_only=True)
class MockPast:
    """A print of the past."""

    filename: str = "bracket_v7.gcode"
    ended_ago_s: float = 7_200
    duration_s: float = 5_400
    wh: float = 135.0
    grams: float | None = 45.0
    status: str = "done"

    @property
    def cost(self) -> float:
        """In EUR."""
        return estimated(self.wh / 1000, PRICE)

    @property
    def co2_g(self) -> float:
        """In g."""
        return estimated(self.wh / 1000, G_CO2)

    def last(self, now_ts: float) -> LastJob:
        """The print as the one that ended last."""
        return {
            "end_ts": now_ts - self.ended_ago_s,
            "status": self.status,
            "duration_s": float(self.duration_s),
            "wh": self.wh,
            "grams": self.grams,
            "cost": self.cost,
            "currency": "EUR",
            "co2_g": self.co2_g,
        }

    def history(self, now_ts: float) -> PastJob:
        """The print as a line of its printer's history."""
        return {
            "filename": self.filename,
            "session_energy_wh": self.wh,
            "end_ts": now_ts - self.ended_ago_s,
            "status": self.status,
            "thumbnail_url": None,
            "per_part_analysis": None,
        }


@dataclass(frozen=True, kw_only=True)
class MockPrinter:
    """One printer, by default an idle, cool MK4; its newest status is ``ago_s`` old."""

    name: str | None = None
    device_model: str = "Prusa MK4"
    plant_type: str = "generic_plant"
    idle_power_w: float | None = 12.0
    ago_s: float | None = 8
    state: str = "idle"
    state_text: str = "IDLE"
    state_age_s: float = 1_800
    nozzle: float = 24.5
    nozzle_target: float = 0.0
    bed: float = 23.8
    bed_target: float = 0.0
    material: str = "PLA"
    power_w: float | None = 11.6
    wh_24h: float | None = 290.0
    job: MockJob | None = None
    past: Sequence[MockPast] = ()  # newest first

    def facts(self, number: int, now_ts: float) -> Facts:
        """The printer's facts as number ``number`` of a fleet."""
        job = self.job.facts(now_ts) if self.job else None
        return {
            "device_id": f"Mock-{number}",
            "friendly_name": self.name or f"Mock printer {number}",
            "device_model": self.device_model,
            "size_category": "medium",
            "plant_type": self.plant_type,
            "location": "Mock hall",
            "bed_width": 250.0,
            "bed_depth": 210.0,
            "idle_power_w": self.idle_power_w,
            "holds_s": 300.0,
            "factory_id": FACTORY,
            "status_ts": None if self.ago_s is None else now_ts - self.ago_s,
            "state": self.state,
            "state_class": None,
            "state_text": self.state_text,
            "state_since_ts": now_ts - self.state_age_s,
            "nozzle": self.nozzle,
            "nozzle_target": self.nozzle_target,
            "bed": self.bed,
            "bed_target": self.bed_target,
            "material": self.material,
            "filename": job["filename"] if job else None,
            "progress": job["progress"] if job else None,
            "time_left_s": job["time_left_s"] if job else None,
            "power_w": self.power_w,
            "power_ts": None if self.power_w is None else now_ts - 4,
            "power_holds_s": 300.0,
            "steady_w": self.power_w,
            "wh_24h": self.wh_24h,
            "predicted_w": None,
            "job": job,
            "last": self.past[0].last(now_ts) if self.past else None,
            "usual": usual_sums(self.past),
            "history": [past.history(now_ts) for past in self.past[:5]],
        }


def usual_sums(past: Sequence[MockPast]) -> UsualSums:
    """The sums over past prints that the statement computes."""
    done = [job for job in past if job.status == "done"]
    weighed = [job for job in done if job.grams]
    return {
        "jobs": len(done),
        "wh": sum(job.wh for job in done),
        "timed_wh": sum(job.wh for job in done),
        "timed_s": sum(job.duration_s for job in done),
        "weighed_wh": sum(job.wh for job in weighed),
        "weighed_g": sum(job.grams for job in weighed if job.grams),
        "day_s": sum(max(0.0, min(job.duration_s, 86_400 - job.ended_ago_s)) for job in past),
    }


def rates(now_ts: float, cheaper_in_h: int | None = None) -> list[Rate]:
    """24 hours of one flat tariff, or of one that falls by a third ``cheaper_in_h`` hours ahead."""
    hour_ts = now_ts - now_ts % 3600
    return [
        {
            "from_ts": hour_ts + 3600 * hour,
            "price": round(PRICE * (2 / 3 if cheaper_in_h is not None and hour >= cheaper_in_h else 1), 4),
            "currency": "EUR",
            "g_co2": G_CO2,
        }
        for hour in range(24)
    ]


def global_history(mocks: Sequence[MockPrinter], printers: Sequence[Facts], now_ts: float) -> list[HistoryEntry]:
    """The past prints of all printers, newest first."""
    ended = [(past, facts) for mock, facts in zip(mocks, printers) for past in mock.past]
    ended.sort(key=lambda one: one[0].ended_ago_s)
    return [
        {
            "jobId": f"00000000-0000-4000-8000-{number:012d}",
            "deviceId": facts["device_id"],
            "printerName": facts["friendly_name"],
            "filename": past.filename,
            "kwh": round(past.wh / 1000, 4),
            "cost": round(past.cost, 4),
            "currency": "EUR",
            "co2g": round(past.co2_g, 1),
            "status": past.status,
            "startedAt": iso(now_ts - past.ended_ago_s - past.duration_s),
            "completedAt": iso(now_ts - past.ended_ago_s),
            "energyQuality": None,
            "thumbnailUrl": None,
            "pdfUrl": None,
        }
        for number, (past, facts) in enumerate(ended[:50], start=1)
    ]


def scenario_rows(name: str, now_ts: float) -> Fleet:
    """The facts of a mock scenario at a time; KeyError when there is none of that name."""
    mocks = MOCKS[name]
    printers = [mock.facts(number, now_ts) for number, mock in enumerate(mocks, start=1)]
    return {
        "now_ts": now_ts,
        "settings": None,
        "factories": [
            {
                "factory_id": FACTORY,
                "name": "Mock factory",
                "timezone": "Europe/Berlin",
                "currency": "EUR",
                "rates": rates(now_ts, cheaper_in_h=3 if name == "saving_hours" else None),
            }
        ],
        "printers": printers,
        "global_history": global_history(mocks, printers, now_ts),
    }


PAST = (
    MockPast(ended_ago_s=9_000),
    MockPast(filename="gear_24t.bgcode", ended_ago_s=40_000, duration_s=7_800, wh=201.5, grams=66.0),
    MockPast(filename="cover.gcode", ended_ago_s=60_000, duration_s=1_500, wh=71.0, grams=None, status="cancelled"),
    MockPast(filename="clip × 12.gcode", ended_ago_s=130_000, duration_s=3_900, wh=98.0, grams=31.0),
)
BENCHY = MockJob(filename="benchy.gcode", elapsed_s=3_000, progress=52.0, wh=82.0, grams=60.0)
PRINTING = MockPrinter(
    state="printing",
    state_text="PRINTING",
    state_age_s=4_000,
    nozzle=215.1,
    nozzle_target=215.0,
    bed=60.2,
    bed_target=60.0,
    power_w=96.0,
    job=BENCHY,
    past=PAST,
)
IDLE = MockPrinter(past=PAST, wh_24h=690.0)
# Nothing but "All well": half done, as economical as always.
MIDWAY = replace(PRINTING, job=replace(BENCHY, wh=75.0))

MOCKS: dict[str, Sequence[MockPrinter]] = {
    "idle_fleet": (
        IDLE,
        MockPrinter(past=PAST, plant_type="corn", wh_24h=960.0),
        MockPrinter(name="Fresh from the box", plant_type="tomato", power_w=None, wh_24h=None, idle_power_w=None),
        MockPrinter(past=(MockPast(ended_ago_s=240), *PAST), plant_type="sunflower"),
        MockPrinter(state="finished", state_text="FINISHED", past=PAST),
    ),
    "busy_fleet": (
        MIDWAY,
        replace(
            PRINTING,
            plant_type="corn",
            job=replace(BENCHY, filename="vase.gcode", progress=3.1, elapsed_s=700, wh=60.0),
        ),
        replace(
            PRINTING,
            plant_type="sunflower",
            job=replace(BENCHY, filename="housing.bgcode", progress=97.4, elapsed_s=9_000, wh=260.0),
        ),
        replace(
            PRINTING,
            name="Voron",
            plant_type="tomato",
            device_model="Voron 2.4",
            material="ABS",
            bed=105.0,
            bed_target=105.0,
            power_w=310.0,
            job=replace(BENCHY, filename="gantry.gcode", material="ABS", wh=240.0),
        ),
        replace(PRINTING, job=replace(BENCHY, filename="clip.gcode", part_mm=(40.0, 60.0, 8.0))),
        MockPrinter(
            state="heating",
            state_text="BUSY",
            nozzle=130.0,
            nozzle_target=215.0,
            bed=44.0,
            bed_target=60.0,
            power_w=420.0,
            past=PAST,
            state_age_s=120,
            job=replace(BENCHY, elapsed_s=120, progress=0.0, wh=12.0),
        ),
        replace(PRINTING, state="paused", state_text="PAUSED", job=replace(BENCHY, paused_s=400.0)),
    ),
    "errors": (
        MockPrinter(name="Silent", ago_s=4_000, power_w=None, past=PAST),
        MockPrinter(name="Never seen", ago_s=None, power_w=None, wh_24h=None),
        MockPrinter(name="Switched off", state="offline", state_text="not connected", power_w=0.4),
        MockPrinter(
            name="Failed",
            state="error",
            state_text="Heater fault",
            past=(MockPast(status="error", ended_ago_s=600), *PAST),
        ),
        replace(PRINTING, name="Filament out", state="attention", state_text="ATTENTION: filament runout"),
        MockPrinter(name="Puzzling", state="unknown", state_text="?"),
        MockPrinter(
            name="Heats for ever",
            state="heating",
            state_text="BUSY",
            state_age_s=2_400,
            nozzle=214.0,
            nozzle_target=215.0,
            bed=60.0,
            bed_target=60.0,
            power_w=82.0,
        ),
    ),
    "long_job": (
        replace(
            PRINTING,
            name="Marathon",
            plant_type="tomato",
            job=MockJob(
                filename="a very long file name of a very long print, part 1 of 3 (final, really final).bgcode",
                elapsed_s=3 * 86_400,
                progress=61.5,
                wh=7_300.0,
                grams=2_400.0,
            ),
        ),
        replace(PRINTING, name="Thirsty", job=replace(BENCHY, filename="draughty.gcode", wh=160.0, grams=62.0)),
    ),
    "saving_idle": (
        MockPrinter(name="Lights on", power_w=46.0, past=PAST, wh_24h=1_450.0),
        MockPrinter(name="Hot bed", bed=60.0, bed_target=60.0, power_w=None, past=PAST),
        MockPrinter(name="Just stopped", nozzle=140.0, bed=52.0, state="cancelled", past=PAST),
    ),
    "saving_hours": (IDLE,),
    "empty": (),
}
SCENARIOS = (LIVE, *MOCKS)
