"""The objects that this API itself answers with."""

from enms_api import alarms, printer_state
from enms_api.parameters import JOB_STATUSES
from enms_api.summary import dpp_simulator, job, plants, tips

from .schema import INSTANT, UUID, Json, array, boolean, integer, nullable, number, obj, one_of, ref, text

PARTS: Json = {
    "description": "Shares of the parts, as the G-code analysis made them; null without",
    "type": ["array", "object", "null"],
}

JOB_COMMON = {
    "jobId": UUID,
    "deviceId": text("Registry id of the printer"),
    "printerName": text("Friendly name of the printer"),
    "filename": nullable(text("Full name of the printed file; null when the printer doesn't report it")),
}
JOB_ENERGY = {
    "kwh": nullable(number("Energy, kWh; null when no meter measured it or the account isn't made yet")),
    "cost": nullable(number("Σ energy × tariff at that time; null without a tariff")),
    "currency": nullable(text("ISO 4217")),
    "co2g": nullable(number("Σ energy × carbon factor at that time, g CO2")),
}
ENERGY_QUALITY: Json = {
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
    "energyFinal": boolean("False while the meters have not passed the end of the print"),
    "energyQuality": ENERGY_QUALITY,
}

SCHEMAS: Json = {
    "Error": obj({"error": text("A sentence that says what is wrong and what would do")}),
    "Tip": obj(
        {
            "id": one_of([rule.id for rule in tips.RULES], "Rule"),
            "priority": integer("1 is the most important", minimum=1, maximum=len(tips.RULES)),
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
            "supports_enabled": nullable(boolean("Printed with supports")),
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
                number(f"Energy so far / progress, kWh; null below {job.PROJECT_FROM_PERCENT:g} % progress")
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
                            "phase": one_of(job.PHASES, "Phase, of the printer's states"),
                            "seconds": number("Time, s"),
                            "energy_kwh": nullable(number("Energy, kWh")),
                        }
                    ),
                    "Time and energy per phase from the start until phases_until; null until they are first computed",
                )
            ),
            "phases_until": nullable(INSTANT),
            "comparison": obj(
                {
                    "jobs": integer("Finished prints with an energy account among the printer's last 10"),
                    "kwh_per_hour": nullable(
                        number(f"This job, kWh/h; null in its first {job.COMPARE_FROM_S / 60:g} minutes")
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
            "plantStage": integer("Stage of growth, 1 … plantStages", minimum=1, maximum=max(plants.STAGES.values())),
            "plantStages": integer("Stages of the species"),
            "plantHealth": nullable(
                number("0 wilted … 100 thriving; null when there is nothing to compare with", minimum=0, maximum=100)
            ),
            "bedWidth": nullable(number("Bed, mm")),
            "bedDepth": nullable(number("Bed, mm")),
            "currentStatus": one_of(
                printer_state.STATUSES,
                "Offline when the newest status does not hold any more: after three of the printer's intervals, at"
                " least 5 minutes",
            ),
            "isPrintingNow": boolean("A print moves, or heats up"),
            "statusAgeSeconds": nullable(
                integer(
                    "Age of the newest status, s; null before the first. It alone doesn't change the ETag", minimum=0
                )
            ),
            "currentNozzleTemp": nullable(number("°C; null when stale")),
            "targetNozzleTemp": nullable(number("°C; null when stale")),
            "currentBedTemp": nullable(number("°C; null when stale")),
            "targetBedTemp": nullable(number("°C; null when stale")),
            "currentMaterial": nullable(text("Material in the printer or of the running print")),
            "powerWatts": nullable(
                number(
                    "Power now, W; null when the newest reading does not hold any more: after three of its meters'"
                    " intervals, at least 5 minutes"
                )
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
            "lastJobPerPartAnalysis": PARTS,
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
            "total": integer("Jobs that match", minimum=0),
            "totals": obj(
                {
                    "measured": integer("Of them with a known energy", minimum=0),
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
            "isDefault": boolean("Devices and meters that name no factory are its own"),
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
                    "State of the G-code analysis: done, requested, or a sentence that says why there is none; null"
                    " while it is not tried yet"
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
            "count": integer("How many equal ones within an hour", minimum=1),
            "payloadBytes": nullable(integer("Size of the sample that is kept")),
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
            "grafana": boolean("Grafana is set up and reached under /grafana/"),
        }
    ),
    "HealthPart": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": one_of(
                ("ok", "waiting", "stale", "down", "unknown"),
                "waiting: nothing has come yet; stale: what came last does not hold any more",
            ),
            "problem": text("What is wrong"),
            "engine": nullable(text("timescale or plain")),
            "milliseconds": number("Time of the database's answer, ms"),
            "lastReadingAgeSeconds": nullable(number("Age of the newest meter reading, s")),
            "lastStatusAgeSeconds": nullable(number("Age of the newest printer status, s")),
            "flows": nullable(text("started or stopped")),
            "spooledRows": nullable(integer("Rows on disk that wait for the database")),
        },
        "additionalProperties": False,
    },
    "Version": obj({"name": text("enms"), "version": text("Version of the API")}),
}
