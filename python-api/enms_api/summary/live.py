"""The facts of the real fleet, from the database."""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from enms_api.database import Database

from .facts import Facts, Fleet, Job, LastJob, PastJob, PhasePart, UsualSums

# The phases of a running job are computed from all its status rows, and its cost from all its hours when rates vary. So
# an answer computes them for one job only and the others keep what an earlier answer brought (the statement adds the
# cost of what came since): new jobs first, then the one whose figures are the oldest.
KEEP_S = 30.0
JOBS_PER_ANSWER = 1
JOBS_IN_FIRST_ANSWER = 10


@dataclass(frozen=True, slots=True)
class Known:
    """What was computed of a running job."""

    phases: list[PhasePart]
    costs: str | None  # as the statement returned them; None under a rate that doesn't change
    ts: float  # when, in seconds since 1970


class LiveRows:
    """The live query, and its memory of what is costly to compute: the running jobs' phases and costs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Known] = {}  # by job_id, the oldest first
        self._complete = False  # whether these are all running jobs
        self._lock = threading.Lock()

    def fetch(self) -> Fleet:
        """The facts of all printers, by one statement."""
        with self._lock:
            fresh = list(self._known.items())
            if self._complete and fresh and time.time() - fresh[0][1].ts > KEEP_S:
                del fresh[0]
            limit = JOBS_PER_ANSWER if self._known else JOBS_IN_FIRST_ANSWER
        ids = "{" + ",".join(job_id for job_id, _ in fresh) + "}"
        costs = "[" + ",".join(one.costs for _, one in fresh if one.costs) + "]"
        rows = self._database.fetch_dicts("dpp_summary", None, ids, limit, costs)
        fleet: Fleet = json.loads(rows[0]["fleet"])
        fleet["printers"] = [facts_of(row) for row in rows if row["device_id"] is not None]
        jobs = {facts["job"]["job_id"]: facts["job"] for facts in fleet["printers"] if facts["job"]}
        computed = {row["job_id"]: row["job_costs"] for row in rows if row["job_phases"] is not None}
        with self._lock:
            for job_id, job in jobs.items():
                if job["phases"] is not None:
                    self._known.pop(job_id, None)
                    self._known[job_id] = Known(job["phases"], computed[job_id], fleet["now_ts"])
            self._known = {job_id: one for job_id, one in self._known.items() if job_id in jobs}
            self._complete = len(self._known) == len(jobs)
            for job_id, job in jobs.items():
                if one := self._known.get(job_id):
                    job["phases"], job["phases_ts"] = one.phases, one.ts
        return fleet


def facts_of(row: dict[str, Any]) -> Facts:
    """The facts in a row of the statement, whose columns are flat."""
    return {
        "device_id": row["device_id"],
        "friendly_name": row["friendly_name"],
        "device_model": row["device_model"],
        "size_category": row["size_category"],
        "plant_type": row["plant_type"],
        "location": row["location"],
        "bed_width": row["bed_width"],
        "bed_depth": row["bed_depth"],
        "idle_power_w": row["idle_power_w"],
        "holds_s": row["holds_s"],
        "factory_id": row["factory_id"],
        "status_ts": row["status_ts"],
        "state": row["state"],
        "state_class": row["state_class"],
        "state_text": row["state_text"],
        "state_since_ts": row["state_since_ts"],
        "nozzle": row["nozzle"],
        "nozzle_target": row["nozzle_target"],
        "bed": row["bed"],
        "bed_target": row["bed_target"],
        "material": row["material"],
        "filename": row["filename"],
        "progress": row["progress"],
        "time_left_s": row["time_left_s"],
        "power_w": row["power_w"],
        "power_ts": row["power_ts"],
        "power_holds_s": row["power_holds_s"],
        "steady_w": row["steady_w"],
        "wh_24h": row["wh_24h"],
        "predicted_w": row["predicted_w"],
        "job": None if row["job_id"] is None else job_of(row),
        "last": None if row["history_end_ts"] is None else last_of(row),
        "usual": usual_of(row),
        "history": history_of(row),
    }


def job_of(row: dict[str, Any]) -> Job:
    """The running job, without the memory of its phases."""
    return {
        "job_id": row["job_id"],
        "filename": row["job_filename"],
        "start_ts": row["job_start_ts"],
        "paused_s": row["job_paused_s"],
        "progress": row["job_progress"],
        "time_left_s": row["job_time_left_s"],
        "grams": row["job_grams"],
        "material": row["job_material"],
        "nozzle_diameter": row["job_nozzle_diameter"],
        "preview_url": row["job_preview_url"],
        "thumbnail_url": row["job_thumbnail_url"],
        "details": parsed(row["job_details"]),
        "wh": row["job_wh"],
        "cost": row["job_cost"],
        "currency": row["job_currency"] if row["job_cost"] is not None else None,
        "co2_g": row["job_co2_g"],
        "phases": parsed(row["job_phases"]),
        "phases_ts": None,
    }


def last_of(row: dict[str, Any]) -> LastJob:
    """The job that ended last."""
    return {
        "end_ts": row["last_end_ts"],
        "status": row["last_status"],
        "duration_s": row["last_s"],
        "wh": row["last_wh"],
        "grams": row["last_g"],
        "cost": row["last_cost"],
        "currency": row["last_currency"],
        "co2_g": row["last_co2_g"],
    }


def usual_of(row: dict[str, Any]) -> UsualSums:
    """The sums over the past jobs."""
    return {
        "jobs": row["usual_jobs"],
        "wh": row["usual_wh"],
        "timed_wh": row["usual_timed_wh"],
        "timed_s": row["usual_timed_s"],
        "weighed_wh": row["usual_weighed_wh"],
        "weighed_g": row["usual_weighed_g"],
        "day_s": row["day_printing_s"],
    }


def history_of(row: dict[str, Any]) -> list[PastJob]:
    """The last jobs, from parallel arrays."""
    return [
        {
            "filename": row["history_filename"][nth],
            "session_energy_wh": row["history_wh"][nth],
            "end_ts": end_ts,
            "status": row["history_status"][nth],
            "thumbnail_url": row["history_thumbnail"][nth],
            "per_part_analysis": parsed(row["history_parts"][nth]),
        }
        for nth, end_ts in enumerate(row["history_end_ts"] or ())
    ]


def parsed(text: str | None) -> Any:
    """The value of a JSON text."""
    return None if text is None else json.loads(text)
