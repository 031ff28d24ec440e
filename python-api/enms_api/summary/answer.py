"""Rows of dpp_summary.sql (or of a mock scenario, the same shape) become the JSON of GET /api/dpp_summary."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from enms_api import printer_state
from enms_api.responses import dumps

from . import plants, tips
from .figures import difference_percent, first, iso, kwh, money, plus, ratio, rounded

PROJECT_FROM_PERCENT = 5.0  # below this progress a projection is a guess
COMPARE_FROM_S = 600.0  # a shorter run is mostly warm-up and can't be compared with whole prints
DAY_S = 24 * 3600.0

# The fields of job_details, as the G-code analysis names them.
JOB_DETAILS = (
    "object_name",
    "infill_density_percent",
    "layer_height_mm",
    "supports_enabled",
    "nozzle_diameter_mm",
    "object_dimensions_mm",
    "estimated_material_g",
    "slicer_profile_name",
    "estimated_print_time_s",
)


@dataclass(frozen=True)
class Answer:
    """A written summary. Answers that say the same, but for the ages that only tick, have the same tag."""

    text: str
    tag: str
    valid_until_ts: float  # from then on it may differ though no row changed


@dataclass(frozen=True)
class _Written:
    facts: dict
    surroundings: tuple
    text: str
    valid_until_ts: float


class Writer:
    """Writes summaries as JSON. A printer whose facts are as before keeps its text until time alone changes it."""

    def __init__(self):
        self._written = {}  # device_id -> _Written

    def write(self, rows, scenario):
        """The Answer for the rows of a scenario."""
        now_ts = rows["now_ts"]
        next_minute_ts = now_ts - now_ts % 60 + 60  # tips round their minutes, rates begin on one
        factories = {factory["factory_id"]: factory for factory in rows["factories"] or ()}
        growth = plants.growth_range(rows["settings"])
        surroundings = {key: (growth, rates_key(factory)) for key, factory in factories.items()}
        written = {}
        for facts in rows["printers"]:
            around = surroundings.get(facts["factory_id"], (growth, ()))
            known = self._written.get(facts["device_id"])
            if known is None or now_ts >= known.valid_until_ts or known.surroundings != around or known.facts != facts:
                text = dumps(printer(facts, factories.get(facts["factory_id"]), growth, now_ts))
                known = _Written(facts, around, text, min(next_minute_ts, printer_state.next_change_ts(facts, now_ts)))
            written[facts["device_id"]] = known
        self._written = written
        rest = dumps({"scenario": scenario, "globalHistory": rows["global_history"]})
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


def age_text(facts, now_ts):
    age_s = printer_state.status_age_s(facts, now_ts)
    return "null" if age_s is None else str(age_s)


def rates_key(factory):
    """What of a factory's rates an answer depends on: not the moment itself."""
    return tuple((rate["price"], rate["currency"], rate["g_co2"]) for rate in factory["rates"] or ())


def printer(facts, factory, growth, now_ts):
    """One element of ``printers`` but for its statusAgeSeconds; every key is always there, what doesn't apply is None."""
    status = printer_state.current_status(facts, now_ts)
    fresh = status != "Offline"
    job = facts["job"]
    active = status in printer_state.ACTIVE
    shown = job or ({"filename": facts["filename"], "progress": None, "time_left_s": None} if active else None)
    last = facts["last"] or {}
    usual = Usual(facts["usual"] or {})
    rate = current_rate(factory)
    progress = first(facts["progress"], shown["progress"]) if shown and fresh else None
    job_kwh = kwh(job["wh"]) if job else None
    kwh_24h = kwh(facts["wh_24h"])
    details = job_details(job["details"], job["nozzle_diameter"]) if job else None
    analysis = job_analysis(facts, job, job_kwh, progress, details, usual, rate, now_ts) if job else None
    expected = usual.kwh_per_hour * analysis["elapsed_seconds"] / 3600 if analysis and usual.kwh_per_hour else None
    health = (
        plants.health(job_kwh, expected if analysis["elapsed_seconds"] >= COMPARE_FROM_S else None)
        if analysis
        else plants.health(kwh_24h, usual.expected_day_kwh(facts["idle_power_w"]))
    )
    tip_list = tips.tips_for(situation(facts, factory, status, job, progress, details, analysis, usual, rate, now_ts))
    return {
        "deviceId": facts["device_id"],
        "friendlyName": facts["friendly_name"],
        "model": facts["device_model"],
        "sizeCategory": facts["size_category"],
        "location": facts["location"],
        "plant_type": facts["plant_type"],
        "plantStage": plants.stage(facts["plant_type"], job_kwh if job else kwh_24h, *growth),
        "plantStages": plants.STAGES[facts["plant_type"]],
        "plantHealth": health,
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
        "lastJobKwh": kwh(last.get("wh")),
        "printTimeSeconds": last.get("duration_s"),
        "lastJobFilamentGrams": last.get("grams"),
        "lastJobCost": money(last.get("cost")),
        "lastJobCurrency": last.get("currency"),
        "lastJobCo2Grams": rounded(last.get("co2_g"), 1),
        "jobFilename": shown["filename"] if shown else None,
        "jobProgressPercent": progress,
        "jobTimeLeftSeconds": first(facts["time_left_s"], shown["time_left_s"]) if shown and fresh else None,
        "jobKwhConsumed": job_kwh,
        "gcodePreviewUrl": job["preview_url"] if job else None,
        "thumbnailUrl": job["thumbnail_url"] if job else None,
        "job_details": details,
        "detailed_analysis_data": analysis,
        "history": [past_print(job) for job in facts["history"]],
        "tipText": tip_list[0]["text"],
        "tips": tip_list,
    }


def past_print(job):
    """One element of ``history``."""
    return {
        "filename": job["filename"],
        "session_energy_wh": rounded(job["session_energy_wh"], 2),
        "end_time": iso(job["end_ts"]),
        "status": job["status"],
        "thumbnail_url": job["thumbnail_url"],
        "per_part_analysis": job["per_part_analysis"],
    }


def is_printing(status, job):
    """A print is going on: it moves, or it heats for a job. A paused one is not printing now."""
    return status == "Printing" or (status == "Heating" and job is not None)


def job_details(analysed, nozzle_diameter_mm):
    """The fields JOB_DETAILS as the G-code analysis gives them, None while there is none."""
    if not analysed:
        return None
    details = {name: analysed.get(name) for name in JOB_DETAILS}
    details["nozzle_diameter_mm"] = first(details["nozzle_diameter_mm"], nozzle_diameter_mm)
    return details


def job_analysis(facts, job, job_kwh, progress, details, usual, rate, now_ts):
    """``detailed_analysis_data`` of a running job. Elapsed time ends at the newest status, so it doesn't tick by itself."""
    seen_ts = max(job["start_ts"], min(now_ts, facts["status_ts"] or job["start_ts"]))
    elapsed_s = seen_ts - job["start_ts"]
    share = progress / 100 if progress is not None and progress >= PROJECT_FROM_PERCENT else None
    projected_kwh = rounded(job_kwh / share, 4) if share and job_kwh is not None else None
    grams = first((details or {}).get("estimated_material_g"), job["grams"] / share if share and job["grams"] else None)
    active_h = (elapsed_s - (job["paused_s"] or 0)) / 3600
    per_hour = job_kwh / active_h if job_kwh is not None and elapsed_s >= COMPARE_FROM_S and active_h > 0 else None
    cost, currency, co2_g = costs_so_far(job, rate)
    per_gram = projected_kwh / grams if projected_kwh is not None and grams else None
    return {
        "jobId": job["job_id"],
        "started_at": iso(job["start_ts"]),
        "elapsed_seconds": round(elapsed_s),
        "paused_seconds": round(job["paused_s"] or 0),
        "energy_kwh": job_kwh,
        "projected_total_kwh": projected_kwh,
        "cost": money(cost),
        "currency": currency,
        "co2_g": rounded(co2_g, 1),
        "projected_cost": money(ratio(cost, share)),
        "projected_co2_g": rounded(ratio(co2_g, share), 1),
        "phases": phases(job["phases"]),
        "phases_until": iso(job["phases_ts"]),
        "comparison": {
            "jobs": usual.jobs,
            "kwh_per_hour": rounded(per_hour, 4),
            "usual_kwh_per_hour": rounded(usual.kwh_per_hour, 4),
            "kwh_per_hour_difference_percent": difference_percent(per_hour, usual.kwh_per_hour),
            "kwh_per_g": rounded(per_gram, 5),
            "usual_kwh_per_g": rounded(usual.kwh_per_g, 5),
            "kwh_per_g_difference_percent": difference_percent(per_gram, usual.kwh_per_g),
        },
    }


def costs_so_far(job, rate):
    """(cost, currency, g CO2) of a running job. Under a rate that never changed since its start that is a product; else what
    the database worked out a moment ago plus what came since, at the present rate.
    """
    if job["wh"] is None:
        return None, None, None
    if job["steady_rate"]:
        before, since_wh = {"cost": 0.0, "co2_g": 0.0}, job["wh"]
    elif job["costs"] and job["costs"]["wh"] is not None:
        before, since_wh = job["costs"], job["wh"] - job["costs"]["wh"]
    else:
        return None, None, None
    cost = plus(before["cost"], since_wh, rate.get("price"))
    return cost, rate.get("currency") if cost is not None else None, plus(before["co2_g"], since_wh, rate.get("g_co2"))


PHASE_OF_STATE = {
    "heating": "Heating",
    "printing": "Printing",
    "paused": "Paused",
    "attention": "Paused",
    "no_data": "No data",
}
PHASES = ("Heating", "Printing", "Paused", "Active (other)", "No data")


def phases(states):
    """Seconds and kWh per phase, in the order of PHASES; None while they are not known."""
    if states is None:
        return None
    sums = {}
    for part in states:
        total = sums.setdefault(PHASE_OF_STATE.get(part["state"], "Active (other)"), {"seconds": 0.0, "wh": None})
        total["seconds"] += part["seconds"]
        if part["wh"] is not None:
            total["wh"] = (total["wh"] or 0.0) + part["wh"]
    return [
        {"phase": name, "seconds": round(sums[name]["seconds"]), "energy_kwh": kwh(sums[name]["wh"])}
        for name in PHASES
        if name in sums
    ]


class Usual:
    """What this printer's newest finished prints took: sums over sums, so that a short print doesn't weigh like a long one."""

    def __init__(self, sums):
        self.jobs = sums.get("jobs") or 0
        self.job_kwh = ratio(kwh(sums.get("wh")), self.jobs)
        self.kwh_per_hour = ratio(sums.get("timed_wh"), sums.get("timed_s"), 3600 / 1000)
        self.kwh_per_g = ratio(sums.get("weighed_wh"), sums.get("weighed_g"), 1 / 1000)
        self._day_s = min(DAY_S, sums.get("day_s") or 0.0)

    def expected_day_kwh(self, idle_power_w):
        """What the last 24 hours should have taken: their printing hours as usual, the rest at idle power."""
        if idle_power_w is None or (self._day_s and self.kwh_per_hour is None):
            return None
        return (self.kwh_per_hour or 0.0) * self._day_s / 3600 + idle_power_w / 1000 * (DAY_S - self._day_s) / 3600


def situation(facts, factory, status, job, progress, details, analysis, usual, rate, now_ts):
    """What the tips look at."""
    part = (details or {}).get("object_dimensions_mm") or {}
    zone = ZoneInfo(factory["timezone"]) if factory else UTC
    warm_up = next(
        (phase["energy_kwh"] for phase in (analysis or {}).get("phases") or () if phase["phase"] == "Heating"), None
    )
    return tips.Situation(
        status=status,
        printing=status == "Printing" and job is not None,
        state_age_s=None if facts["state_since_ts"] is None else now_ts - facts["state_since_ts"],
        last_error=facts["state_text"],
        steady_w=None if printer_state.current_power_w(facts, now_ts) is None else facts["steady_w"],
        idle_power_w=facts["idle_power_w"],
        bed_c=facts["bed"],
        bed_target_c=facts["bed_target"],
        bed_mm=(facts["bed_width"], facts["bed_depth"]) if facts["bed_width"] and facts["bed_depth"] else None,
        part_mm=(part.get("x"), part.get("y")) if part else None,
        material=first(facts["material"], job["material"] if job else None),
        progress=progress,
        time_left_s=facts["time_left_s"],
        warm_up_kwh=warm_up,
        kwh_per_g=analysis["comparison"]["kwh_per_g"] if analysis else None,
        usual_kwh_per_g=usual.kwh_per_g,
        usual_job_kwh=usual.job_kwh,
        grams=(details or {}).get("estimated_material_g"),
        rates=tuple((factory or {}).get("rates") or ()),
        price_per_kwh=rate.get("price"),
        currency=first(rate.get("currency"), (factory or {}).get("currency")),
        hour_name=lambda ts: datetime.fromtimestamp(ts, zone).strftime("%H:%M"),
    )


def current_rate(factory):
    rates = (factory or {}).get("rates") or ()
    return rates[0] if rates else {}
