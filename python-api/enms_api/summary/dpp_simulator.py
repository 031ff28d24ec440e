"""Where the rows of a summary come from: the database, or a mock scenario that needs none.

Both have the shape of dpp_summary.sql and go the same way through summary.build, so a page that shows every scenario
without error shows live data as well.
"""

import json
import threading
import time

from .figures import iso

LIVE = "live"

# The phases of a running job are worked out from all its status rows, and its cost from all its hours when rates vary, so an
# answer brings them for one job only and the others keep what an earlier answer brought: new jobs first, then the one whose
# figures are the oldest.
KEEP_S = 30.0
JOBS_PER_ANSWER = 1
JOBS_IN_FIRST_ANSWER = 10


class LiveRows:
    """The live query, and its memory of what is costly to work out: the running jobs' phases and costs."""

    def __init__(self, database):
        self._database = database
        self._known = {}  # job_id -> (phases, costs, seconds since 1970), the oldest first
        self._complete = False  # whether that is all running jobs
        self._lock = threading.Lock()

    def fetch(self):
        """The rows of all printers, by one statement."""
        with self._lock:
            fresh = list(self._known)
            if self._complete and fresh and time.time() - self._known[fresh[0]][2] > KEEP_S:
                del fresh[0]
            limit = JOBS_PER_ANSWER if self._known else JOBS_IN_FIRST_ANSWER
        rows = self._database.fetch_dicts("dpp_summary", None, "{" + ",".join(fresh) + "}", limit)
        fleet = json.loads(rows[0]["fleet"])
        fleet["printers"] = [facts_of(row) for row in rows if row["device_id"] is not None]
        jobs = {facts["job"]["job_id"]: facts["job"] for facts in fleet["printers"] if facts["job"]}
        with self._lock:
            for job_id, job in jobs.items():
                if job["phases"] is not None:
                    self._known.pop(job_id, None)
                    self._known[job_id] = (job["phases"], job["costs"], fleet["now_ts"])
            self._known = {job_id: known for job_id, known in self._known.items() if job_id in jobs}
            self._complete = len(self._known) == len(jobs)
            for job_id, job in jobs.items():
                job["phases"], job["costs"], job["phases_ts"] = self._known.get(job_id, (None, None, None))
        return fleet


def facts_of(row):
    """A row of the statement as facts: the running job, the last one and the sums over the past ones by themselves."""
    row["job"] = (
        None
        if row["job_id"] is None
        else {
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
            "steady_rate": row["job_steady_rate"],
            "costs": parsed(row["job_costs"]),
            "phases": parsed(row["job_phases"]),
        }
    )
    ended = row["history_end_ts"] or ()
    row["last"] = (
        {
            "end_ts": row["last_end_ts"],
            "status": row["last_status"],
            "duration_s": row["last_s"],
            "wh": row["last_wh"],
            "grams": row["last_g"],
            "cost": row["last_cost"],
            "currency": row["last_currency"],
            "co2_g": row["last_co2_g"],
        }
        if ended
        else None
    )
    row["usual"] = {
        "jobs": row["usual_jobs"],
        "wh": row["usual_wh"],
        "timed_wh": row["usual_timed_wh"],
        "timed_s": row["usual_timed_s"],
        "weighed_wh": row["usual_weighed_wh"],
        "weighed_g": row["usual_weighed_g"],
        "day_s": row["day_printing_s"],
    }
    row["history"] = [
        {
            "filename": row["history_filename"][nth],
            "session_energy_wh": row["history_wh"][nth],
            "end_ts": end_ts,
            "status": row["history_status"][nth],
            "thumbnail_url": row["history_thumbnail"][nth],
            "per_part_analysis": parsed(row["history_parts"][nth]),
        }
        for nth, end_ts in enumerate(ended)
    ]
    return row


def parsed(text):
    return None if text is None else json.loads(text)


def scenario_rows(name, now_ts):
    """The rows of a mock scenario at a moment; KeyError when there is none of that name."""
    printers = [make(now_ts) for make in MOCKS[name]]
    for number, facts in enumerate(printers, start=1):
        facts["device_id"] = f"Mock-{number}"
        facts["friendly_name"] = facts["friendly_name"] or f"Mock printer {number}"
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
        "global_history": global_history(printers),
    }


FACTORY = "00000000-0000-4000-8000-000000000000"
PRICE = 0.30
G_CO2 = 380.0


def rates(now_ts, cheaper_in_h=None):
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


def mock(name=None, job=None, ago_s=8, past=(), **facts):
    """A maker of one printer's facts: an idle, cool MK4 unless told otherwise; its last status is ``ago_s`` old."""

    def make(now_ts):
        printer = {
            "device_id": None,
            "friendly_name": name,
            "device_model": "Prusa MK4",
            "size_category": "medium",
            "plant_type": "generic_plant",
            "location": "Mock hall",
            "bed_width": 250.0,
            "bed_depth": 210.0,
            "rated_power_w": 480.0,
            "idle_power_w": 12.0,
            "interval_s": 30,
            "factory_id": FACTORY,
            "state": "idle",
            "state_text": "IDLE",
            "nozzle": 24.5,
            "nozzle_target": 0.0,
            "bed": 23.8,
            "bed_target": 0.0,
            "material": "PLA",
            "filename": None,
            "progress": None,
            "time_left_s": None,
            "last_error": None,
            "power_w": 11.6,
            "predicted_w": None,
            "wh_24h": 290.0,
        }
        printer.update(facts)
        printer["status_ts"] = None if ago_s is None else now_ts - ago_s
        printer["state_since_ts"] = now_ts - printer.pop("state_age_s", 1800)
        printer.setdefault("steady_w", printer["power_w"])
        printer["power_ts"] = None if printer["power_w"] is None else now_ts - 4
        printer["job"] = running_job(now_ts, **job) if job else None
        if job:
            printer.update(
                {
                    "filename": printer["job"]["filename"],
                    "progress": printer["job"]["progress"],
                    "time_left_s": printer["job"]["time_left_s"],
                }
            )
        ended = [ended_job(now_ts, **one) for one in past]
        printer["past"] = [one["row"] for one in ended]
        printer["last"] = printer["past"][0] if ended else None
        printer["usual"] = usual(printer["past"], now_ts)
        printer["history"] = [one["history"] for one in ended[:5]]
        return printer

    return make


def running_job(
    now_ts,
    filename,
    elapsed_s,
    progress,
    wh,
    warm_up_wh=60.0,
    grams=None,
    part_mm=(120.0, 110.0, 40.0),
    material="PLA",
    paused_s=0.0,
    status="printing",
    state="printing",
):
    """A job that runs since ``elapsed_s`` seconds; its first ten minutes were the warm-up."""
    heating_s = min(600.0, elapsed_s)
    heating_wh = min(warm_up_wh, wh)
    details = {
        "object_name": filename.rsplit(".", 1)[0],
        "infill_density_percent": 15.0,
        "layer_height_mm": 0.2,
        "supports_enabled": False,
        "nozzle_diameter_mm": 0.4,
        "object_dimensions_mm": dict(zip("xyz", part_mm)),
        "estimated_material_g": grams,
        "slicer_profile_name": "0.20mm SPEED",
        "estimated_print_time_s": round(elapsed_s * 100 / progress) if progress else None,
    }
    phases = [{"state": "heating", "seconds": heating_s, "wh": heating_wh}]
    if elapsed_s > heating_s:
        phases.append({"state": "printing", "seconds": elapsed_s - heating_s - paused_s, "wh": wh - heating_wh})
    if paused_s:
        phases.append({"state": "paused", "seconds": paused_s, "wh": 0.0})
    return {
        "job_id": "00000000-0000-4000-8000-0000000000aa",
        "filename": filename,
        "start_ts": now_ts - elapsed_s,
        "status": status,
        "paused_s": paused_s,
        "progress": progress,
        "time_left_s": round(elapsed_s * (100 - progress) / progress) if progress else None,
        "grams": None,
        "material": material,
        "nozzle_diameter": 0.4,
        "preview_url": None,
        "thumbnail_url": None,
        "details": details,
        "wh": wh,
        "steady_rate": True,
        "costs": None,
        "phases": phases,
        "phases_ts": now_ts,
    }


def ended_job(
    now_ts, filename="bracket_v7.gcode", ended_ago_s=7200, duration_s=5400, wh=135.0, grams=45.0, status="done"
):
    """A print of the past: the row that the averages use, and its line in the history."""
    end_ts = now_ts - ended_ago_s
    return {
        "row": {
            "end_ts": end_ts,
            "start_ts": end_ts - duration_s,
            "status": status,
            "duration_s": float(duration_s),
            "wh": wh,
            "grams": grams,
            "filename": filename,
            "cost": wh / 1000 * PRICE,
            "currency": "EUR",
            "co2_g": wh / 1000 * G_CO2,
        },
        "history": {
            "filename": filename,
            "session_energy_wh": wh,
            "end_ts": end_ts,
            "status": status,
            "thumbnail_url": None,
            "per_part_analysis": None,
        },
    }


def usual(past, now_ts):
    """The sums over past prints that the statement makes."""
    done = [job for job in past if job["status"] == "done"]
    weighed = [job for job in done if job["grams"]]
    return {
        "jobs": len(done),
        "wh": sum(job["wh"] for job in done),
        "timed_wh": sum(job["wh"] for job in done),
        "timed_s": sum(job["duration_s"] for job in done),
        "weighed_wh": sum(job["wh"] for job in weighed),
        "weighed_g": sum(job["grams"] for job in weighed),
        "day_s": sum(max(0.0, job["end_ts"] - max(job["start_ts"], now_ts - 86_400)) for job in past),
    }


def global_history(printers):
    """The same ended prints, newest first, as the statement brings them."""
    ended = [(job, facts) for facts in printers for job in facts["past"]]
    ended.sort(key=lambda one: one[0]["end_ts"], reverse=True)
    return [
        {
            "jobId": f"00000000-0000-4000-8000-{number:012d}",
            "deviceId": facts["device_id"],
            "printerName": facts["friendly_name"],
            "filename": job["filename"],
            "kwh": round(job["wh"] / 1000, 4),
            "cost": round(job["cost"], 4),
            "currency": job["currency"],
            "co2g": round(job["co2_g"], 1),
            "status": job["status"],
            "startedAt": iso(job["start_ts"]),
            "completedAt": iso(job["end_ts"]),
            "energyQuality": None,
            "thumbnailUrl": None,
            "pdfUrl": None,
        }
        for number, (job, facts) in enumerate(ended[:50], start=1)
    ]


PAST = (
    {"ended_ago_s": 9_000},
    {"filename": "gear_24t.bgcode", "ended_ago_s": 40_000, "duration_s": 7_800, "wh": 201.5, "grams": 66.0},
    {
        "filename": "cover.gcode",
        "ended_ago_s": 60_000,
        "duration_s": 1_500,
        "wh": 71.0,
        "grams": None,
        "status": "cancelled",
    },
    {"filename": "clip × 12.gcode", "ended_ago_s": 130_000, "duration_s": 3_900, "wh": 98.0, "grams": 31.0},
)
PRINTING = {
    "state": "printing",
    "state_text": "PRINTING",
    "state_age_s": 4000,
    "nozzle": 215.1,
    "nozzle_target": 215.0,
    "bed": 60.2,
    "bed_target": 60.0,
    "power_w": 96.0,
    "past": PAST,
}
BENCHY = {"filename": "benchy.gcode", "elapsed_s": 3_000, "progress": 52.0, "wh": 82.0, "grams": 60.0}


def printing(name=None, job=None, **facts):
    """A maker of a printing printer."""
    return mock(name, job={**BENCHY, **(job or {})}, **{**PRINTING, **facts})


IDLE = mock(past=PAST, wh_24h=690.0)
# Nothing but "All well": half done, as economical as always.
MIDWAY = printing(job={"wh": 75.0})

MOCKS = {
    "idle_fleet": [
        IDLE,
        mock(past=PAST, plant_type="corn", wh_24h=960.0),
        mock("Fresh from the box", plant_type="tomato", power_w=None, wh_24h=None, idle_power_w=None),
        mock(past=({"ended_ago_s": 240}, *PAST), plant_type="sunflower"),
        mock(state="finished", state_text="FINISHED", past=PAST),
    ],
    "busy_fleet": [
        MIDWAY,
        printing(plant_type="corn", job={"filename": "vase.gcode", "progress": 3.1, "elapsed_s": 700, "wh": 60.0}),
        printing(
            plant_type="sunflower",
            job={"filename": "housing.bgcode", "progress": 97.4, "elapsed_s": 9_000, "wh": 260.0},
        ),
        printing(
            "Voron",
            plant_type="tomato",
            device_model="Voron 2.4",
            material="ABS",
            bed=105.0,
            bed_target=105.0,
            power_w=310.0,
            job={"filename": "gantry.gcode", "material": "ABS", "wh": 240.0},
        ),
        printing(job={"filename": "clip.gcode", "part_mm": (40.0, 60.0, 8.0)}),
        mock(
            state="heating",
            state_text="BUSY",
            nozzle=130.0,
            nozzle_target=215.0,
            bed=44.0,
            bed_target=60.0,
            power_w=420.0,
            past=PAST,
            state_age_s=120,
            job={**BENCHY, "elapsed_s": 120, "progress": 0.0, "wh": 12.0},
        ),
        printing(state="paused", state_text="PAUSED", job={"status": "paused", "paused_s": 400.0}),
    ],
    "errors": [
        mock("Silent", ago_s=4_000, power_w=None, past=PAST),
        mock("Never seen", ago_s=None, power_w=None, wh_24h=None),
        mock("Switched off", state="offline", state_text="not connected", power_w=0.4),
        mock(
            "Failed",
            state="error",
            state_text="Heater fault",
            last_error="Heater fault",
            past=({"status": "error", "ended_ago_s": 600}, *PAST),
        ),
        printing("Filament out", state="attention", state_text="ATTENTION: filament runout", job={"status": "paused"}),
        mock("Puzzling", state="unknown", state_text="?"),
        mock(
            "Heats for ever",
            state="heating",
            state_text="BUSY",
            state_age_s=2_400,
            nozzle=214.0,
            nozzle_target=215.0,
            bed=60.0,
            bed_target=60.0,
            power_w=82.0,
        ),
    ],
    "long_job": [
        printing(
            "Marathon",
            plant_type="tomato",
            job={
                "filename": "a very long file name of a very long print, part 1 of 3 (final, really final).bgcode",
                "elapsed_s": 3 * 86_400,
                "progress": 61.5,
                "wh": 7_300.0,
                "grams": 2_400.0,
            },
        ),
        printing("Thirsty", job={"filename": "draughty.gcode", "wh": 160.0, "grams": 62.0}),
    ],
    "saving_idle": [
        mock("Lights on", power_w=46.0, past=PAST, wh_24h=1_450.0),
        mock("Hot bed", bed=60.0, bed_target=60.0, power_w=None, past=PAST),
        mock("Just stopped", nozzle=140.0, bed=52.0, state="cancelled", past=PAST),
    ],
    "saving_hours": [IDLE],
    "empty": [],
}
SCENARIOS = (LIVE, *MOCKS)
