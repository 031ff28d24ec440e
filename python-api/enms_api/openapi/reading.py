"""What this API itself serves."""

from enms_api import alarms, printer_state
from enms_api.parameters import DEVICE_ID, JOB_SORTS, JOB_STATUSES, MAX_LIMIT, MAX_OFFSET, MAX_WORDS, ORDERS
from enms_api.summary import answer as summary
from enms_api.summary import dpp_simulator, plants, tips

from .schema import (
    ANY_OBJECT,
    INSTANT,
    UUID,
    answer,
    array,
    nullable,
    number,
    obj,
    one_of,
    operation,
    prometheus,
    query,
    ref,
    text,
)

PARTS = {
    "description": "Shares of the parts, as the G-code analysis made them; null without",
    "type": ["array", "object", "null"],
}

JOB_COMMON = {
    "jobId": UUID,
    "deviceId": text("Registry id of the printer"),
    "printerName": text("Friendly name of the printer"),
    "filename": nullable(text("Full name of the printed file; null when the printer doesn't tell it")),
}
JOB_ENERGY = {
    "kwh": nullable(number("Energy, kWh; null when no meter measured it or the account isn't made yet")),
    "cost": nullable(number("Σ energy × tariff at that time; null without a tariff")),
    "currency": nullable(text("ISO 4217")),
    "co2g": nullable(number("Σ energy × carbon factor at that time, g CO2")),
}
ENERGY_QUALITY = {
    "description": "How well the energy is known; null while the print runs",
    "type": ["object", "null"],
    "additionalProperties": True,
}
JOB_LINKS = {
    "thumbnailUrl": nullable(text("Picture of the print")),
    "pdfUrl": nullable(text("The printable passport")),
}
JOB_LIST_FIELDS = {
    "status": one_of(JOB_STATUSES, "How it is or how it ended"),
    "statusReason": nullable(text("Why, where the printer said so")),
    "startedAt": INSTANT,
    "completedAt": nullable(INSTANT),
    "durationSeconds": nullable(number("From start to end, pauses included, s")),
    "pausedSeconds": number("Of it paused, s"),
    "material": nullable(text("Material")),
    "filamentGrams": nullable(number("Filament used, g")),
    "energyFinal": {"type": "boolean", "description": "False while the meters have not passed the end of the print"},
    "energyQuality": ENERGY_QUALITY,
}

SCHEMAS = {
    "Error": obj({"error": text("A sentence that says what is wrong and what would do")}),
    "Tip": obj(
        {
            "id": one_of([rule.id for rule in tips.RULES], "Rule"),
            "priority": {
                "type": "integer",
                "minimum": 1,
                "maximum": len(tips.RULES),
                "description": "1 is the most important",
            },
            "text": text("The advice"),
            "saving": nullable(
                obj(
                    {
                        "kwhPerDay": number(
                            "kWh a day; for small_part per further part, for above_usual for this print"
                        ),
                        "moneyPerDay": nullable(number("The same in money; null without a tariff")),
                        "currency": nullable(text("ISO 4217")),
                    },
                    "An estimate; null where no honest figure exists",
                )
            ),
        }
    ),
    "JobDetails": obj(
        {
            "object_name": nullable(text("Name of the printed object")),
            "infill_density_percent": nullable(number("Infill, %")),
            "layer_height_mm": nullable(number("Layer height, mm")),
            "supports_enabled": nullable({"type": "boolean", "description": "Printed with supports"}),
            "nozzle_diameter_mm": nullable(number("Nozzle diameter, mm")),
            "object_dimensions_mm": nullable(obj({axis: nullable(number(f"Extent in {axis}, mm")) for axis in "xyz"})),
            "estimated_material_g": nullable(number("Material by the slicer's estimate, g")),
            "slicer_profile_name": nullable(text("Profile of the slicer")),
            "estimated_print_time_s": nullable(number("Time by the slicer's estimate, s")),
        },
        "From the G-code of the running print; null until it is analysed",
    ),
    "JobAnalysis": obj(
        {
            "jobId": UUID,
            "started_at": INSTANT,
            "elapsed_seconds": number("From the start to the newest status, s"),
            "paused_seconds": number("Of it paused, s"),
            "energy_kwh": nullable(number("Energy so far, kWh")),
            "projected_total_kwh": nullable(
                number(f"Energy so far / progress, kWh; null below {summary.PROJECT_FROM_PERCENT:g} % progress")
            ),
            "cost": nullable(number("Cost so far")),
            "currency": nullable(text("ISO 4217")),
            "co2_g": nullable(number("CO2 so far, g")),
            "projected_cost": nullable(number("Cost so far / progress")),
            "projected_co2_g": nullable(number("CO2 so far / progress, g")),
            "phases": nullable(
                array(
                    obj(
                        {
                            "phase": one_of(summary.PHASES, "Phase"),
                            "seconds": number("Time, s"),
                            "energy_kwh": nullable(number("Energy, kWh")),
                        }
                    ),
                    "Time and energy per phase from the start until phases_until; null until first worked out",
                )
            ),
            "phases_until": nullable(INSTANT),
            "comparison": obj(
                {
                    "jobs": {
                        "type": "integer",
                        "description": "Finished prints with an energy account among the printer's last 10",
                    },
                    "kwh_per_hour": nullable(
                        number(f"This job, kWh/h; null in its first {summary.COMPARE_FROM_S / 60:g} minutes")
                    ),
                    "usual_kwh_per_hour": nullable(number("Those prints, kWh/h")),
                    "kwh_per_hour_difference_percent": nullable(number("This job against those, %")),
                    "kwh_per_g": nullable(number("This job's projected energy per gram, kWh/g")),
                    "usual_kwh_per_g": nullable(number("Those prints, kWh/g")),
                    "kwh_per_g_difference_percent": nullable(number("This job against those, %")),
                }
            ),
        },
        "The running print; null when none runs",
    ),
    "PastPrint": obj(
        {
            "filename": nullable(text("Full file name")),
            "session_energy_wh": nullable(number("Energy, Wh")),
            "end_time": INSTANT,
            "status": one_of(JOB_STATUSES, "How it ended"),
            "thumbnail_url": nullable(text("Picture of the print")),
            "per_part_analysis": PARTS,
        }
    ),
    "Printer": obj(
        {
            "deviceId": text("Registry id"),
            "friendlyName": text("Name for people"),
            "model": nullable(text("Model")),
            "sizeCategory": nullable(text("Size category")),
            "location": nullable(text("Where it stands")),
            "plant_type": one_of(plants.STAGES, "Species of its plant"),
            "plantStage": {
                "type": "integer",
                "minimum": 1,
                "maximum": max(plants.STAGES.values()),
                "description": "Stage of growth, 1 … plantStages",
            },
            "plantStages": {"type": "integer", "description": "Stages of the species"},
            "plantHealth": nullable(
                number("0 wilted … 100 thriving; null when there is nothing to compare with", minimum=0, maximum=100)
            ),
            "bedWidth": nullable(number("Bed, mm")),
            "bedDepth": nullable(number("Bed, mm")),
            "currentStatus": one_of(
                printer_state.STATUSES,
                f"Offline when the newest status is older than {printer_state.STALE_AFTER_S / 60:g} minutes",
            ),
            "isPrintingNow": {"type": "boolean", "description": "A print moves, or heats up"},
            "statusAgeSeconds": nullable(
                {
                    "type": "integer",
                    "minimum": 0,
                    "description": "Age of the newest status, s; null before the first. It alone doesn't change the ETag",
                }
            ),
            "currentNozzleTemp": nullable(number("°C; null when stale")),
            "targetNozzleTemp": nullable(number("°C; null when stale")),
            "currentBedTemp": nullable(number("°C; null when stale")),
            "targetBedTemp": nullable(number("°C; null when stale")),
            "currentMaterial": nullable(text("Material in the printer or of the running print")),
            "powerWatts": nullable(
                number(f"Power now, W; null when older than {printer_state.STALE_POWER_AFTER_S / 60:g} minutes")
            ),
            "predictedPowerWatts": nullable(
                number("What the trained model expects it to draw now, W; null without a model or a fresh status")
            ),
            "kwhLast24h": nullable(number("Energy of the last 24 hours, counted from a full minute, kWh")),
            "lastJobKwh": nullable(number("Energy of the last ended print, kWh")),
            "printTimeSeconds": nullable(number("Time of the last ended print, s")),
            "lastJobFilamentGrams": nullable(number("Filament of the last ended print, g")),
            "lastJobCost": nullable(number("Cost of the last ended print")),
            "lastJobCurrency": nullable(text("ISO 4217")),
            "lastJobCo2Grams": nullable(number("CO2 of the last ended print, g")),
            "jobFilename": nullable(text("Full name of the file being printed")),
            "jobProgressPercent": nullable(number("Progress, %", minimum=0, maximum=100)),
            "jobTimeLeftSeconds": nullable(number("Time left, s")),
            "jobKwhConsumed": nullable(number("Energy of the running print so far, kWh")),
            "gcodePreviewUrl": nullable(text("Preview geometry of the running print")),
            "thumbnailUrl": nullable(text("Picture of the running print")),
            "job_details": nullable(ref("JobDetails")),
            "detailed_analysis_data": nullable(ref("JobAnalysis")),
            "history": array(ref("PastPrint"), "The last 5 ended prints, newest first", maxItems=5),
            "tipText": text("The most important tip"),
            "tips": array(ref("Tip"), "All tips that apply, most important first", minItems=1),
        }
    ),
    "HistoryEntry": obj(
        {
            **JOB_COMMON,
            **JOB_ENERGY,
            "status": one_of(JOB_STATUSES, "How it ended"),
            "startedAt": INSTANT,
            "completedAt": INSTANT,
            "energyQuality": ENERGY_QUALITY,
            **JOB_LINKS,
        }
    ),
    "Summary": obj(
        {
            "scenario": one_of(dpp_simulator.SCENARIOS, "What was asked for"),
            "generatedAt": INSTANT,
            "printers": array(ref("Printer"), "Active devices of type printer, by name"),
            "globalHistory": array(ref("HistoryEntry"), "The newest ended prints of all printers", maxItems=50),
        }
    ),
    "Job": obj({**JOB_COMMON, **JOB_LIST_FIELDS, **JOB_ENERGY, **JOB_LINKS}),
    "JobPage": obj(
        {
            "total": {"type": "integer", "minimum": 0, "description": "Jobs that match"},
            "totals": obj(
                {
                    "measured": {"type": "integer", "minimum": 0, "description": "Of them with a known energy"},
                    "kwh": nullable(number("Their energy, kWh; null when none is known")),
                    "cost": nullable(number("Their cost; null when none is known or currencies differ")),
                    "currency": nullable(text("ISO 4217")),
                    "co2g": nullable(number("Their CO2, g")),
                },
                "All jobs that match together, not only this page's",
            ),
            "jobs": array(ref("Job")),
        }
    ),
    "Factory": obj(
        {
            "factoryId": UUID,
            "slug": text("Short name"),
            "name": text("Name for people"),
            "location": nullable(text("Where it is")),
            "timezone": text("IANA name of the zone by which its days, tariffs and shifts go"),
            "currency": text("ISO 4217"),
        }
    ),
    "JobPassport": obj(
        {
            **JOB_COMMON,
            **JOB_LIST_FIELDS,
            **JOB_ENERGY,
            **JOB_LINKS,
            "previewUrl": nullable(text("Preview geometry")),
            "gcodeStatus": nullable(
                text(
                    "State of the G-code analysis: done, requested, or a sentence that says why there is none; null while it is not tried yet"
                )
            ),
            "job_details": nullable(ref("JobDetails")),
            "perPartAnalysis": PARTS,
        }
    ),
    "Reject": obj(
        {
            "firstAt": INSTANT,
            "lastAt": INSTANT,
            "source": text("Who refused it"),
            "topic": text("Topic or place that it came from"),
            "reason": text("Why"),
            "count": {"type": "integer", "minimum": 1, "description": "How many equal ones within an hour"},
            "payloadBytes": nullable({"type": "integer", "description": "Size of the sample that is kept"}),
        }
    ),
    "Alarm": obj(
        {
            "kind": one_of(alarms.SENTENCES, "Kind"),
            "object": text("Device, meter or source"),
            "deviceName": nullable(text("Device")),
            "since": nullable(INSTANT),
            "text": text("What is the matter"),
        }
    ),
    "Health": obj(
        {
            "status": one_of(
                ("ok", "degraded", "unavailable"),
                "ok: all parts work; degraded: a part stands still; unavailable: no database",
            ),
            "parts": {
                "type": "object",
                "description": "database, ingest, printers, nodered, broker",
                "properties": {
                    name: ref("HealthPart") for name in ("database", "ingest", "printers", "nodered", "broker")
                },
                "required": ["database", "ingest", "printers", "nodered", "broker"],
                "additionalProperties": False,
            },
            "grafana": {"type": "boolean", "description": "Grafana is set up and reached under /grafana/"},
        }
    ),
    "HealthPart": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": one_of(
                ("ok", "waiting", "stale", "down", "unknown"),
                "waiting: nothing has come yet; stale: nothing for 5 minutes",
            ),
            "problem": text("What is wrong"),
            "engine": nullable(text("timescale or plain")),
            "milliseconds": number("Time of the database's answer, ms"),
            "lastReadingAgeSeconds": nullable(number("Age of the newest meter reading, s")),
            "lastStatusAgeSeconds": nullable(number("Age of the newest printer status, s")),
            "flows": nullable(text("started or stopped")),
            "spooledRows": nullable({"type": "integer", "description": "Rows on disk that wait for the database"}),
        },
        "additionalProperties": False,
    },
    "Version": obj({"name": text("enms"), "version": text("Version of the API")}),
}


LIMIT = query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}, "How many at most")
NOT_FOUND_JOB = "There is no such job."


ETAG = {"ETag": {"description": "Weak tag of what the answer says, ages excepted", "schema": {"type": "string"}}}


PATHS = {
    "/api/dpp_summary": operation(
        "The fleet and its newest prints",
        "Everything that the passport page shows, in one answer. Poll it with If-None-Match: what brings nothing new is a 304. "
        "A value that doesn't apply or isn't known is null, never 0.",
        answer("The fleet", ref("Summary"), ETAG),
        [
            query(
                "scenario",
                {"type": "string", "enum": list(dpp_simulator.SCENARIOS), "default": dpp_simulator.LIVE},
                "live, or a made-up fleet that goes the same way through the same code",
            ),
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "description": "The ETag of an earlier answer",
                "schema": {"type": "string"},
            },
        ],
        responses={"304": {"description": "Nothing new since the answer with that ETag"}},
        operationId="dpp_summary",
    ),
    "/api/jobs": operation(
        "Print jobs, newest first",
        "A page of all prints, running ones included, and what all that match took together. The energy of a running one is in /api/jobs/{jobId}.",
        answer("A page", ref("JobPage")),
        [
            query("deviceId", {"type": "string", "pattern": DEVICE_ID}, "Only of this printer"),
            query("status", {"type": "string", "enum": list(JOB_STATUSES)}, "Only with this status"),
            query("from", {"type": "string", "format": "date-time"}, "Started at or after"),
            query("to", {"type": "string", "format": "date-time"}, "Started before"),
            query("ended", {"type": "string", "enum": ["true", "false"]}, "Only ended ones, or only running ones"),
            query(
                "search",
                {"type": "string", "maxLength": MAX_WORDS},
                "In the name of the file or the printer, in upper or lower case",
            ),
            query(
                "sort",
                {"type": "string", "enum": list(JOB_SORTS), "default": "started"},
                "By what they are ordered; unknown values stand last",
            ),
            query("order", {"type": "string", "enum": list(ORDERS), "default": "desc"}, "Which way"),
            LIMIT,
            query("offset", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}, "How many to skip"),
        ],
        operationId="jobs",
    ),
    "/api/jobs/{jobId}": operation(
        "One print job",
        "The passport of a print. A running one has its energy until now.",
        answer("The job", ref("JobPassport")),
        [{"name": "jobId", "in": "path", "required": True, "description": "Id of the job", "schema": UUID}],
        responses={"404": answer(NOT_FOUND_JOB, ref("Error"))},
        operationId="job",
    ),
    "/api/factories": operation(
        "The factories",
        "By their zones people read times; their currency is the money of costs.",
        answer("Factories, by slug", obj({"factories": array(ref("Factory"))})),
        operationId="factories",
    ),
    "/api/alarms": operation(
        "What somebody should look at",
        "Silent printers and meters, errors, counters that jump, meters without a device, refused messages of the last hour.",
        answer("Alarms", obj({"alarms": array(ref("Alarm"))})),
        operationId="alarms",
    ),
    "/api/rejects": operation(
        "What was refused, and why",
        "Newest first; equal ones of an hour are one counted entry. The payloads stay in the database.",
        answer("Rejects", obj({"rejects": array(ref("Reject"))})),
        [LIMIT],
        operationId="rejects",
    ),
    "/api/health": operation(
        "How each part is",
        "200 while the API can do its work, even if a part stands still (status degraded); 503 when the database is away.",
        answer("Working", ref("Health")),
        away=False,
        responses={"503": answer("The database is away", ref("Health"))},
        operationId="health",
    ),
    "/api/version": operation(
        "Version", "Name and version of this API.", answer("Version", ref("Version")), away=False, operationId="version"
    ),
    "/api/openapi.json": operation(
        "This description", "OpenAPI 3.1.", answer("OpenAPI", ANY_OBJECT), away=False, operationId="openapi"
    ),
    "/api/docs": {
        "get": {
            "summary": "This description for people",
            "description": "A page that needs no network but this one.",
            "parameters": [],
            "responses": {"200": {"description": "The page", "content": {"text/html": {"schema": {"type": "string"}}}}},
            "operationId": "docs",
        }
    },
    "/metrics": prometheus(
        "Figures of the API for Prometheus", "Requests, latencies, database pool, process.", "metrics"
    ),
}
