"""One printer: the machine, the life of its jobs and the true energy of each. The protocol servers only read it."""

import math
import random
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict

from .fleet import PrinterSpec
from .jobs import FLOW_SHARE, HOMING_S, Mishap, Plan, Schedule, plan
from .physics import MATERIALS, PROFILES, Machine
from .truth import TruthLog

TINY = 1e-6
State = Literal["off", "idle", "preheat", "printing", "paused", "attention", "finished", "cancelled", "error"]
EndStatus = Literal["done", "cancelled", "error"]
JobStatus = Literal["printing", "paused"] | EndStatus
PAUSED = ("paused", "attention")
ACTIVE = ("printing", *PAUSED)


class PrinterError(ValueError):
    """A command that does not fit the printer's state."""


class JobTruth(TypedDict):
    """Ground truth of a job; times are unix seconds, energy is what the printer took from the wall."""

    device_id: str
    filename: str
    number: int
    source_job_id: str | None
    start: float
    end: float | None
    status: JobStatus
    reason: str | None
    energy_wh: float
    paused_seconds: float
    printing_seconds: float
    material: str
    filament_mm: float
    filament_g: float


class Meter(Protocol):
    """Counts the energy of a printer, step by step."""

    def add(self, until: float, dt: float, watts: float) -> None:
        """A step of `dt` seconds that ends at unix time `until`."""
        ...


@dataclass
class Job:
    """A print in progress or just ended. `elapsed` is the printer's own clock of it: without pauses."""

    number: int
    plan: Plan
    started: float
    duration: float
    start_wh: float
    elapsed: float = 0.0
    paused: float = 0.0
    moving_from: float | None = None
    mishaps: list[Mishap] = field(default_factory=list)
    ended: float | None = None
    status: JobStatus = "printing"
    reason: str | None = None
    end_wh: float | None = None

    @property
    def progress(self) -> float:
        """Share of the motion done, 0..1."""
        if self.status == "done":
            return 1.0
        if self.moving_from is None:
            return 0.0
        return min(1.0, max(0.0, (self.elapsed - self.moving_from) / max(TINY, self.duration - self.moving_from)))

    @property
    def left(self) -> float:
        """Seconds of printing still to do."""
        return max(0.0, self.duration - self.elapsed)

    @property
    def layer(self) -> int:
        """The current layer, from 1; 0 before the first."""
        return 0 if self.moving_from is None else min(self.plan.layers, 1 + int(self.progress * self.plan.layers))

    @property
    def z(self) -> float:
        """Height of the nozzle in mm."""
        return round(self.layer * self.plan.layer_height, 3)

    @property
    def fan(self) -> float:
        """Part cooling while the head moves, 0..1: none in the first two layers."""
        return 0.0 if self.layer <= 2 else self.plan.fan

    @property
    def filament_mm(self) -> float:
        """Filament pushed so far."""
        return self.plan.filament_mm * self.progress


class Printer:
    """One printer. `advance(to)` moves it to unix time `to`; every step's energy goes to `truth` and to the meter
    channels that feed it. A command that doesn't fit its state raises PrinterError.
    """

    def __init__(
        self, spec: PrinterSpec, seed: int, at: float, step_s: float = 1.0, schedule: Schedule | None = None
    ) -> None:
        self.spec = spec
        self.profile = PROFILES[spec.profile]
        self.step_s = step_s
        self.machine = Machine(self.profile, random.Random(f"{seed}/{spec.device_id}/noise"), at)
        self.at = at
        self.truth = TruthLog(at)
        self.channels: list[Meter] = []
        self.state: State = "idle"
        self.job: Job | None = None
        self.until: float | None = None
        self.schedule = schedule
        self.next_start: float | None = None
        self.next_plan: Plan | None = None
        self.jobs_started = 0
        self.last_number = 0
        self.reuse_id = False
        self.speed = 100.0
        self.power = 0.0
        self.history: deque[JobTruth] = deque(maxlen=1000)
        self.files: dict[str, Plan] = {}
        self.loaded_material = spec.materials[0]
        self._resume_state: State | None = None
        self._saved_targets = (0.0, 0.0)

    @property
    def active_job(self) -> Job | None:
        """The print while it is not over: it runs, is paused or waits for a person."""
        return self.job if self.state in ACTIVE else None

    @property
    def moving_job(self) -> Job | None:
        """The print while the head moves: after the heating, and not in a pause."""
        job = self.job
        return job if self.state == "printing" and job and job.moving_from is not None else None

    # ------------------------------------------------------------------ time

    def advance(self, to: float, step_s: float | None = None) -> None:
        """Runs the model up to unix time `to`; events in between happen at their exact time."""
        step_s = step_s or self.step_s
        while self.at < to - TINY:
            wait = self._until_event()
            if wait <= TINY:
                self._event()
                continue
            self._run(min(step_s, to - self.at, wait))

    def _until_event(self) -> float:
        waits = [math.inf]
        if self.until is not None:
            waits.append(self.until - self.at)
        if self.state == "idle" and self.next_start is not None:
            waits.append(self.next_start - self.at)
        if self.state == "printing" and (job := self.job):
            waits.append(job.left)
            if job.mishaps:
                waits.append(job.mishaps[0].share * job.duration - job.elapsed)
            if job.moving_from is None:
                heated = self.machine.heating_time(self.at)
                waits.append(min(heated, 0.5 * job.duration - job.elapsed))
        return min(waits)

    def _run(self, dt: float) -> None:
        # Unix seconds have a grain of 0.2 µs: count what the clock really moves, or long prints drift from it.
        until = self.at + dt
        dt = until - self.at
        if self.state == "off":
            self.machine.step(self.at, dt)
            watts = 0.0
        elif job := self.moving_job:
            load = self.speed / 100 * (1 + 0.12 * math.sin(2.1 * job.layer + job.plan.seed))
            flow = self.profile.flow_mm3_s * FLOW_SHARE * self.speed / 100
            watts = self.machine.step(self.at, dt, load, job.fan, flow)
        else:
            holding = 0.25 if self.state in ACTIVE else 0.0
            watts = self.machine.step(self.at, dt, holding)
        self.at = until
        if self.job and self.state == "printing":
            self.job.elapsed += dt
        elif self.job and self.state in PAUSED:
            self.job.paused += dt
        self.power = watts
        self.truth.add(self.at, watts * dt / 3600)
        for channel in self.channels:
            channel.add(self.at, dt, watts)

    def _event(self) -> None:
        if self.until is not None and self.until - self.at <= TINY:
            self.until = None
            self._time_is_up()
        elif self.state == "idle":
            self._scheduled_start()
        elif self.job:
            self._job_event(self.job)

    def _time_is_up(self) -> None:
        if self.state in PAUSED:
            self.resume()
        elif self.state in ("finished", "cancelled", "error"):
            self.clear()
        elif self.state == "preheat" and self.next_plan:
            self._begin(self.next_plan)
        elif self.state == "off":
            self.power_on()

    def _job_event(self, job: Job) -> None:
        if job.left <= TINY:
            self._end("done", None)
        elif job.mishaps and job.mishaps[0].share * job.duration - job.elapsed <= TINY:
            _, kind, seconds = job.mishaps.pop(0)
            if kind == "cancel":
                self.cancel("cancelled by the user")
            elif kind == "error":
                self.fail("Thermal runaway of the hotend")
            else:
                self.pause(seconds, attention=kind == "runout")
        else:
            job.moving_from = job.elapsed

    # ------------------------------------------------------------------ commands

    def start(self, job_plan: Plan) -> Job:
        """Begins a print now. Raises PrinterError when one is running or the printer is off."""
        if self.state == "off":
            raise PrinterError(f"{self.spec.device_id} has no power")
        if self.state in ACTIVE:
            raise PrinterError(f"{self.spec.device_id} is already printing")
        return self._begin(job_plan)

    def custom_plan(self, filename: str, duration_s: float, material: str | None = None) -> Plan:
        """A plan of a whole duration (heating included) for a print that a person or a test asks for.

        Raises PrinterError for an unknown material or an impossible duration.
        """
        material = material or self.spec.materials[0]
        if material not in MATERIALS:
            raise PrinterError(f"material {material!r} is unknown; known are {', '.join(MATERIALS)}")
        if not 1 <= duration_s <= 14 * 86400:
            raise PrinterError("duration_s must be between 1 s and 14 days")
        return plan(
            self.profile,
            self.spec.protocol,
            self.spec.device_model,
            stem=filename.rsplit(".", 1)[0],
            aspect=(1, 1, 0.6),
            material=material,
            motion_s=duration_s * 0.6,
            filename=filename,
            duration_s=duration_s,
            seed=len(filename),
        )

    def pause(self, seconds: float | None = None, attention: bool = False) -> None:
        """Stops the motion and keeps the heat; the print continues by itself after `seconds` when given."""
        job = self._job_in(("printing",), "is not printing")
        self.state = "attention" if attention else "paused"
        job.status = "paused"
        self.until = None if seconds is None else self.at + seconds

    def resume(self) -> None:
        """Continues after a pause."""
        job = self._job_in(PAUSED, "is not paused")
        self.state, self.until, job.status = "printing", None, "printing"

    def cancel(self, reason: str = "cancelled by the user") -> None:
        """Ends the print as cancelled."""
        self._end("cancelled", reason)

    def fail(self, reason: str) -> None:
        """Ends the print with an error that the printer shows."""
        self._end("error", reason)

    def finish(self, status: EndStatus = "done") -> None:
        """Ends the print at once with `status` and without a reason."""
        self._end(status, None)

    def clear(self) -> None:
        """Takes the part off: finished, cancelled or error becomes idle."""
        if self.state not in ("finished", "cancelled", "error"):
            raise PrinterError(f"{self.spec.device_id} has no finished print to clear")
        if self.state == "error":
            # Getting out of an error takes a restart, which forgets the job.
            self.job = None
        self.state, self.until = "idle", None

    def power_off(self, seconds: float | None = None, resume: bool = False) -> None:
        """Cuts the mains, for `seconds` when given.

        With `resume` a print continues when power returns (power panic), otherwise it ended here.
        """
        if self.state == "off":
            return
        job = self.active_job
        if job and not resume:
            self._record(job, "error", "power cut")
        self._resume_state = self.state if job and resume else None
        self.state = "off"
        self._saved_targets = (self.machine.nozzle_target, self.machine.bed_target)
        self.machine.nozzle_target = self.machine.bed_target = 0.0
        self.until = None if seconds is None else self.at + seconds

    def power_on(self) -> None:
        """Mains are back: idle, or in the print again after a power panic."""
        if self.state != "off":
            return
        self.until = None
        if self._resume_state:
            self.state = self._resume_state
            self.machine.nozzle_target, self.machine.bed_target = self._saved_targets
        else:
            self.state, self.job = "idle", None
            self._plan_next()

    # ------------------------------------------------------------------ inside

    def _job_in(self, states: Iterable[str], complaint: str) -> Job:
        if self.job is None or self.state not in states:
            raise PrinterError(f"{self.spec.device_id} {complaint}")
        return self.job

    def _scheduled_start(self) -> None:
        self.next_start = None
        if self.next_plan:
            # A calibration needs a hot nozzle first: the printer is busy for a while before its job begins.
            self.state, self.until = "preheat", self.at + 15
            self.machine.nozzle_target, self.machine.bed_target = self.next_plan.nozzle, self.next_plan.bed
        elif self.schedule:
            job_plan, mishaps = self.schedule.job(self.jobs_started)
            if self.schedule.fits(job_plan, self.at):
                self._begin(job_plan, mishaps)

    def _begin(self, job_plan: Plan, mishaps: Iterable[Mishap] = ()) -> Job:
        self.next_start = self.next_plan = self.until = None
        self.machine.nozzle_target, self.machine.bed_target = job_plan.nozzle, job_plan.bed
        self.speed = job_plan.speed
        duration = (
            job_plan.duration_s
            or self.machine.heating_time(self.at) + HOMING_S + job_plan.motion_s * 100 / job_plan.speed
        )
        if not self.reuse_id:
            self.last_number += 1
        self.reuse_id = False
        self.jobs_started += 1
        self.state = "printing"
        self.loaded_material = job_plan.material
        self.job = Job(self.last_number, job_plan, self.at, duration, self.truth.wh, mishaps=list(mishaps))
        self.files[job_plan.filename] = job_plan
        while len(self.files) > 20:
            del self.files[next(iter(self.files))]
        return self.job

    def _record(self, job: Job, status: EndStatus, reason: str | None) -> None:
        job.ended, job.status, job.reason, job.end_wh = self.at, status, reason, self.truth.wh
        self.history.append(self.describe(job))

    def _end(self, status: EndStatus, reason: str | None) -> None:
        self._record(self._job_in(ACTIVE, "has no print to end"), status, reason)
        self.state = "finished" if status == "done" else status
        self.machine.nozzle_target = self.machine.bed_target = 0.0
        self.speed = 100.0
        self.until = self.at + self.spec.finished_hold_s
        self._plan_next()

    def _plan_next(self) -> None:
        if self.schedule is None:
            return
        last = self.job.duration if self.job else 3600
        self.next_start = self.at + self.spec.finished_hold_s + self.schedule.gap(self.jobs_started, self.at, last)

    # ------------------------------------------------------------------ what is known of the jobs

    def source_id(self, number: int) -> str | None:
        """A job's id as this printer's protocol shows it; None where it has none."""
        if self.spec.legacy or self.spec.protocol == "octoprint":
            return None
        return {"moonraker": f"{number:06X}", "simplyprint": str(900_000 + number)}.get(self.spec.protocol, str(number))

    def jobs(self) -> list[JobTruth]:
        """Ground truth of the last 1000 jobs that ended, then of the open one."""
        return [*self.history, *([self.describe(self.job)] if self.job and self.job.ended is None else [])]

    def describe(self, job: Job) -> JobTruth:
        """Ground truth of a job of this printer."""
        end_wh = self.truth.wh if job.end_wh is None else job.end_wh
        return {
            "device_id": self.spec.device_id,
            "filename": job.plan.filename,
            "number": job.number,
            "source_job_id": self.source_id(job.number),
            "start": job.started,
            "end": job.ended,
            "status": job.status,
            "reason": job.reason,
            "energy_wh": end_wh - job.start_wh,
            "paused_seconds": job.paused,
            "printing_seconds": job.elapsed,
            "material": job.plan.material,
            "filament_mm": job.filament_mm,
            "filament_g": job.plan.filament_g * job.progress,
        }

    # ------------------------------------------------------------------ state over restarts

    def to_dict(self) -> dict[str, Any]:
        """Everything that must survive a restart of the simulator."""
        job = self.job and {**vars(self.job), "plan": self.job.plan.to_dict()}
        m = self.machine
        return {
            "at": self.at,
            "wh": self.truth.wh,
            "state": self.state,
            "until": self.until,
            "next_start": self.next_start,
            "next_plan": self.next_plan and self.next_plan.to_dict(),
            "jobs_started": self.jobs_started,
            "last_number": self.last_number,
            "speed": self.speed,
            "material": self.loaded_material,
            "temps": [m.nozzle, m.bed, m.nozzle_target, m.bed_target],
            "job": job,
            "history": list(self.history)[-100:],
            "files": {n: p.to_dict() for n, p in self.files.items()},
            "resume": [self._resume_state, self._saved_targets],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Returns to what to_dict described, at the time when it was saved."""
        self.at = saved["at"]
        self.truth = TruthLog(saved["at"], saved["wh"])
        for name in ("state", "until", "next_start", "jobs_started", "last_number", "speed"):
            setattr(self, name, saved[name])
        self.next_plan = saved["next_plan"] and Plan.from_dict(saved["next_plan"])
        self.loaded_material = saved["material"]
        m = self.machine
        m.nozzle, m.bed, m.nozzle_target, m.bed_target = saved["temps"]
        if saved["job"]:
            job = {**saved["job"], "plan": Plan.from_dict(saved["job"]["plan"])}
            job["mishaps"] = [Mishap(*mishap) for mishap in job["mishaps"]]
            self.job = Job(**job)
        self.history.extend(saved["history"])
        self.files = {n: Plan.from_dict(p) for n, p in saved["files"].items()}
        self._resume_state, self._saved_targets = saved["resume"]
