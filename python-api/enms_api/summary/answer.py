"""The facts of a fleet (facts.py) become the JSON of GET /api/dpp_summary."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

from enms_api import printer_state
from enms_api.responses import dumps

from . import plants, tips
from .facts import Factory, Facts, Fleet, Job, PastJob
from .figures import first, iso, kwh, money, rounded
from .job import COMPARE_FROM_S, JobAnalysis, JobDetails, job_analysis, job_details
from .usual import Usual


class PastPrint(TypedDict):
    """One element of ``history``."""

    filename: str | None
    session_energy_wh: float | None
    end_time: str
    status: str
    thumbnail_url: str | None
    per_part_analysis: Any


class Printer(TypedDict):
    """One element of ``printers``, without its statusAgeSeconds; openapi/reading_schemas.py describes each key."""

    deviceId: str
    friendlyName: str
    model: str | None
    sizeCategory: str | None
    location: str | None
    plant_type: str
    plantStage: int
    plantStages: int
    plantHealth: int | None
    bedWidth: float | None
    bedDepth: float | None
    currentStatus: str
    isPrintingNow: bool
    currentNozzleTemp: float | None
    targetNozzleTemp: float | None
    currentBedTemp: float | None
    targetBedTemp: float | None
    currentMaterial: str | None
    powerWatts: float | None
    predictedPowerWatts: float | None
    kwhLast24h: float | None
    lastJobKwh: float | None
    printTimeSeconds: float | None
    lastJobFilamentGrams: float | None
    lastJobCost: float | None
    lastJobCurrency: str | None
    lastJobCo2Grams: float | None
    lastJobPerPartAnalysis: Any
    jobFilename: str | None
    jobProgressPercent: float | None
    jobTimeLeftSeconds: float | None
    jobKwhConsumed: float | None
    gcodePreviewUrl: str | None
    thumbnailUrl: str | None
    job_details: JobDetails | None
    detailed_analysis_data: JobAnalysis | None
    history: list[PastPrint]
    tipText: str
    tips: list[tips.Tip]


@dataclass(frozen=True)
class Answer:
    """A written summary. Answers that say the same, but for the ages that only tick, have the same tag."""

    text: str
    tag: str
    valid_until_ts: float  # from then on it may differ though no row changed


@dataclass(frozen=True)
class _Written:
    facts: Facts
    surroundings: tuple[Any, ...]  # growth, rates
    text: str
    valid_until_ts: float


class Writer:
    """Writes summaries as JSON. A printer whose facts are as before keeps its text until time alone changes it."""

    def __init__(self) -> None:
        self._written: dict[str, _Written] = {}  # by device_id

    def write(self, fleet: Fleet, scenario: str) -> Answer:
        """The Answer for the facts of a scenario."""
        now_ts = fleet["now_ts"]
        next_minute_ts = now_ts - now_ts % 60 + 60  # tips round to minutes, rates begin on one
        factories = {factory["factory_id"]: factory for factory in fleet["factories"] or ()}
        growth = plants.growth_range(fleet["settings"])
        surroundings = {key: (growth, rates_key(factory)) for key, factory in factories.items()}
        written: dict[str, _Written] = {}
        for facts in fleet["printers"]:
            around = surroundings[facts["factory_id"]]
            known = self._written.get(facts["device_id"])
            if known is None or now_ts >= known.valid_until_ts or known.surroundings != around or known.facts != facts:
                text = dumps(printer(facts, factories[facts["factory_id"]], growth, now_ts))
                known = _Written(facts, around, text, min(next_minute_ts, printer_state.next_change_ts(facts, now_ts)))
            written[facts["device_id"]] = known
        self._written = written
        rest = dumps({"scenario": scenario, "globalHistory": fleet["global_history"]})
        aged = ",".join(
            f'{{"statusAgeSeconds":{age_text(one.facts, now_ts)},{one.text[1:]}' for one in written.values()
        )
        return Answer(
            text=f'{{"generatedAt":{dumps(iso(now_ts))},"printers":[{aged}],{rest[1:]}',
            tag=hashlib.blake2b(
                "\n".join([rest, *(one.text for one in written.values())]).encode(), digest_size=12
            ).hexdigest(),
            valid_until_ts=min([next_minute_ts, *(one.valid_until_ts for one in written.values())]),
        )


def age_text(facts: Facts, now_ts: float) -> str:
    """The age of the newest status as JSON."""
    age_s = printer_state.status_age_s(facts, now_ts)
    return "null" if age_s is None else str(age_s)


def rates_key(factory: Factory) -> tuple[Any, ...]:
    """What of a factory's rates an answer depends on: not when they begin."""
    return tuple((rate["price"], rate["currency"], rate["g_co2"]) for rate in factory["rates"])


def printer(facts: Facts, factory: Factory, growth: tuple[float, float], now_ts: float) -> Printer:
    """One printer of the answer; every key is always there, what doesn't apply is None."""
    status = printer_state.current_status(facts, now_ts)
    fresh = status != "Offline"
    job, last = facts["job"], facts["last"]
    # A printer that is active without a job says itself what it prints.
    filename = job["filename"] if job else facts["filename"] if status in printer_state.ACTIVE else None
    shows_job = fresh and (job is not None or status in printer_state.ACTIVE)
    progress = first(facts["progress"], job["progress"] if job else None) if shows_job else None
    time_left_s = first(facts["time_left_s"], job["time_left_s"] if job else None) if shows_job else None
    usual = Usual(facts["usual"])
    details = job_details(job["details"], job["nozzle_diameter"]) if job else None
    analysis = job_analysis(facts, job, progress, details, usual, now_ts) if job else None
    job_kwh = analysis["energy_kwh"] if analysis else None
    kwh_24h = kwh(facts["wh_24h"])
    tip_list = tips.tips_for(situation(facts, factory, status, progress, details, analysis, usual, now_ts))
    return {
        "deviceId": facts["device_id"],
        "friendlyName": facts["friendly_name"],
        "model": facts["device_model"],
        "sizeCategory": facts["size_category"],
        "location": facts["location"],
        "plant_type": facts["plant_type"],
        "plantStage": plants.stage(facts["plant_type"], job_kwh if job else kwh_24h, *growth),
        "plantStages": plants.STAGES[facts["plant_type"]],
        "plantHealth": plant_health(facts, analysis, usual),
        "bedWidth": facts["bed_width"],
        "bedDepth": facts["bed_depth"],
        "currentStatus": status,
        "isPrintingNow": is_printing(status, job),
        "currentNozzleTemp": facts["nozzle"] if fresh else None,
        "targetNozzleTemp": facts["nozzle_target"] if fresh else None,
        "currentBedTemp": facts["bed"] if fresh else None,
        "targetBedTemp": facts["bed_target"] if fresh else None,
        "currentMaterial": first(facts["material"] if fresh else None, job["material"] if job else None),
        "powerWatts": printer_state.current_power_w(facts, now_ts),
        "predictedPowerWatts": rounded(facts["predicted_w"], 2) if fresh else None,
        "kwhLast24h": kwh_24h,
        "lastJobKwh": kwh(last["wh"]) if last else None,
        "printTimeSeconds": last["duration_s"] if last else None,
        "lastJobFilamentGrams": last["grams"] if last else None,
        "lastJobCost": money(last["cost"]) if last else None,
        "lastJobCurrency": last["currency"] if last else None,
        "lastJobCo2Grams": rounded(last["co2_g"], 1) if last else None,
        "lastJobPerPartAnalysis": facts["history"][0]["per_part_analysis"] if facts["history"] else None,
        "jobFilename": filename,
        "jobProgressPercent": progress,
        "jobTimeLeftSeconds": time_left_s,
        "jobKwhConsumed": job_kwh,
        "gcodePreviewUrl": job["preview_url"] if job else None,
        "thumbnailUrl": job["thumbnail_url"] if job else None,
        "job_details": details,
        "detailed_analysis_data": analysis,
        "history": [past_print(past) for past in facts["history"]],
        "tipText": tip_list[0]["text"],
        "tips": tip_list,
    }


def past_print(job: PastJob) -> PastPrint:
    """One element of ``history``."""
    return {
        "filename": job["filename"],
        "session_energy_wh": rounded(job["session_energy_wh"], 2),
        "end_time": iso(job["end_ts"]),
        "status": job["status"],
        "thumbnail_url": job["thumbnail_url"],
        "per_part_analysis": job["per_part_analysis"],
    }


def is_printing(status: str, job: Job | None) -> bool:
    """Whether a print moves, or heats for a job. A paused one is not printing now."""
    return status == "Printing" or (status == "Heating" and job is not None)


def plant_health(facts: Facts, analysis: JobAnalysis | None, usual: Usual) -> int | None:
    """The plant's health by the running job's energy or, without a job, by that of the last 24 hours."""
    if analysis is None:
        return plants.health(kwh(facts["wh_24h"]), usual.expected_day_kwh(facts["idle_power_w"]))
    if not usual.kwh_per_hour or analysis["elapsed_seconds"] < COMPARE_FROM_S:
        return None
    return plants.health(analysis["energy_kwh"], usual.kwh_per_hour * analysis["elapsed_seconds"] / 3600)


def situation(
    facts: Facts,
    factory: Factory,
    status: str,
    progress: float | None,
    details: JobDetails | None,
    analysis: JobAnalysis | None,
    usual: Usual,
    now_ts: float,
) -> tips.Situation:
    """What the tips look at."""
    job, rate = facts["job"], factory["rates"][0]
    part = details["object_dimensions_mm"] if details else None
    zone = ZoneInfo(factory["timezone"])
    return tips.Situation(
        status=status,
        printing=status == "Printing" and job is not None,
        state_age_s=None if facts["state_since_ts"] is None else now_ts - facts["state_since_ts"],
        last_error=facts["state_text"],
        steady_w=None if printer_state.current_power_w(facts, now_ts) is None else facts["steady_w"],
        idle_power_w=facts["idle_power_w"],
        bed_target_c=facts["bed_target"],
        bed_mm=(facts["bed_width"], facts["bed_depth"]) if facts["bed_width"] and facts["bed_depth"] else None,
        part_mm=(part.get("x"), part.get("y")) if part else None,
        material=first(facts["material"], job["material"] if job else None),
        progress=progress,
        time_left_s=facts["time_left_s"],
        warm_up_kwh=warm_up_kwh(analysis),
        kwh_per_g=analysis["comparison"]["kwh_per_g"] if analysis else None,
        usual_kwh_per_g=usual.kwh_per_g,
        usual_job_kwh=usual.job_kwh,
        grams=details["estimated_material_g"] if details else None,
        rates=factory["rates"],
        price_per_kwh=rate["price"],
        currency=first(rate["currency"], factory["currency"]),
        hour_name=lambda ts: datetime.fromtimestamp(ts, zone).strftime("%H:%M"),
    )


def warm_up_kwh(analysis: JobAnalysis | None) -> float | None:
    """What the running job took to heat up."""
    phases = (analysis["phases"] if analysis else None) or ()
    return next((phase["energy_kwh"] for phase in phases if phase["phase"] == "Heating"), None)
