"""The running job in the answer: ``job_details`` and ``detailed_analysis_data``."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from .facts import Facts, Job, PhasePart
from .figures import difference_percent, first, iso, kwh, money, ratio, rounded
from .usual import Usual

PROJECT_FROM_PERCENT = 5.0  # below this progress a projection is a guess
COMPARE_FROM_S = 600.0  # a shorter run is mostly warm-up and can't be compared with whole prints

OTHER = "Active (other)"  # a phase of states that is not shown by itself
PHASES = ("Heating", "Printing", "Paused", OTHER, "No data")


class JobDetails(TypedDict):
    """What the G-code says of a print, by the names of the G-code analysis."""

    object_name: str | None
    infill_density_percent: float | None
    layer_height_mm: float | None
    supports_enabled: bool | None
    nozzle_diameter_mm: float | None
    object_dimensions_mm: dict[str, float | None] | None  # by axis: x, y, z
    estimated_material_g: float | None
    slicer_profile_name: str | None
    estimated_print_time_s: float | None


class Phase(TypedDict):
    """Time and energy of a job in one phase."""

    phase: str
    seconds: int
    energy_kwh: float | None


class Comparison(TypedDict):
    """The job against the printer's usual ones."""

    jobs: int
    kwh_per_hour: float | None
    usual_kwh_per_hour: float | None
    kwh_per_hour_difference_percent: float | None
    kwh_per_g: float | None
    usual_kwh_per_g: float | None
    kwh_per_g_difference_percent: float | None


class JobAnalysis(TypedDict):
    """What the job took so far and will take, in phases and compared."""

    jobId: str
    started_at: str
    elapsed_seconds: int
    paused_seconds: int
    energy_kwh: float | None
    projected_total_kwh: float | None
    cost: float | None
    currency: str | None
    co2_g: float | None
    projected_cost: float | None
    projected_co2_g: float | None
    phases: list[Phase] | None
    phases_until: str | None
    comparison: Comparison


def job_details(analysed: Mapping[str, Any] | None, nozzle_diameter_mm: float | None) -> JobDetails | None:
    """The fields of the G-code analysis that are shown; None while there is none."""
    if not analysed:
        return None
    return {
        "object_name": analysed.get("object_name"),
        "infill_density_percent": analysed.get("infill_density_percent"),
        "layer_height_mm": analysed.get("layer_height_mm"),
        "supports_enabled": analysed.get("supports_enabled"),
        "nozzle_diameter_mm": first(analysed.get("nozzle_diameter_mm"), nozzle_diameter_mm),
        "object_dimensions_mm": analysed.get("object_dimensions_mm"),
        "estimated_material_g": analysed.get("estimated_material_g"),
        "slicer_profile_name": analysed.get("slicer_profile_name"),
        "estimated_print_time_s": analysed.get("estimated_print_time_s"),
    }


def job_analysis(
    facts: Facts, job: Job, progress: float | None, details: JobDetails | None, usual: Usual, now_ts: float
) -> JobAnalysis:
    """The analysis of a running job. Its time ends at the newest status, so that it doesn't tick by itself."""
    job_kwh = kwh(job["wh"])
    seen_ts = max(job["start_ts"], min(now_ts, facts["status_ts"] or job["start_ts"]))
    elapsed_s = seen_ts - job["start_ts"]
    share = progress / 100 if progress is not None and progress >= PROJECT_FROM_PERCENT else None
    projected_kwh = rounded(ratio(job_kwh, share), 4)
    active_h = (elapsed_s - job["paused_s"]) / 3600
    per_hour = ratio(job_kwh, active_h) if elapsed_s >= COMPARE_FROM_S and active_h > 0 else None
    grams = first(details["estimated_material_g"] if details else None, ratio(job["grams"], share))
    per_gram = ratio(projected_kwh, grams)
    return {
        "jobId": job["job_id"],
        "started_at": iso(job["start_ts"]),
        "elapsed_seconds": round(elapsed_s),
        "paused_seconds": round(job["paused_s"]),
        "energy_kwh": job_kwh,
        "projected_total_kwh": projected_kwh,
        "cost": money(job["cost"]),
        "currency": job["currency"],
        "co2_g": rounded(job["co2_g"], 1),
        "projected_cost": money(ratio(job["cost"], share)),
        "projected_co2_g": rounded(ratio(job["co2_g"], share), 1),
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


def phases(parts: Sequence[PhasePart] | None) -> list[Phase] | None:
    """Time and energy per phase, in the order of PHASES; None while they are not known."""
    if parts is None:
        return None
    seconds: dict[str, float] = {}
    wh: dict[str, float] = {}  # without a phase whose energy is not known
    for part in parts:
        name = part["phase"] if part["phase"] in PHASES else OTHER
        seconds[name] = seconds.get(name, 0.0) + part["seconds"]
        if part["wh"] is not None:
            wh[name] = wh.get(name, 0.0) + part["wh"]
    return [
        {"phase": name, "seconds": round(seconds[name]), "energy_kwh": kwh(wh.get(name))}
        for name in PHASES
        if name in seconds
    ]
