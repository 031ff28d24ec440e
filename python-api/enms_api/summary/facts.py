"""The facts of a summary: live.py reads them by dpp_summary.sql, dpp_simulator.py makes them up, answer.py writes them.

Names end with their unit: ``_ts`` is in seconds since 1970, ``_s`` in seconds, ``_w`` in W, ``wh`` in Wh, ``_g`` in g.
Temperatures are in °C, progress is in %. None is unknown.
"""

from typing import Any, TypedDict


class Rate(TypedDict):
    """What a kWh costs and emits from an instant on."""

    from_ts: float
    price: float | None  # per kWh
    currency: str | None
    g_co2: float | None  # g per kWh


class Factory(TypedDict):
    """The factory of some printers."""

    factory_id: str
    name: str
    timezone: str
    currency: str
    rates: list[Rate]  # the present one and, where they vary, those of the full hours ahead


class PhasePart(TypedDict):
    """Time and energy of a running job in the states of one phase."""

    phase: str  # as the table states has it
    seconds: float
    wh: float | None


class Job(TypedDict):
    """The job that is running."""

    job_id: str
    filename: str | None
    start_ts: float
    paused_s: float
    progress: float | None
    time_left_s: float | None
    grams: float | None
    material: str | None
    nozzle_diameter: float | None  # mm
    preview_url: str | None
    thumbnail_url: str | None
    details: dict[str, Any] | None  # job_details of the G-code analysis
    wh: float | None
    cost: float | None  # of its energy so far; None while it is not known, and where a part has no rate
    currency: str | None
    co2_g: float | None
    phases: list[PhasePart] | None  # None while they are not known
    phases_ts: float | None  # when they were computed


class LastJob(TypedDict):
    """The job that ended last."""

    end_ts: float
    status: str
    duration_s: float
    wh: float | None
    grams: float | None
    cost: float | None
    currency: str | None
    co2_g: float | None


class PastJob(TypedDict):
    """A line of a printer's history."""

    filename: str | None
    session_energy_wh: float | None
    end_ts: float
    status: str
    thumbnail_url: str | None
    per_part_analysis: Any  # as the G-code analysis made it


class UsualSums(TypedDict):
    """Sums over the printer's last 10 ended jobs; the energies are of those that were done and measured."""

    jobs: int  # done and measured
    wh: float | None
    timed_wh: float | None  # of those with a duration
    timed_s: float | None
    weighed_wh: float | None  # of those with a weight
    weighed_g: float | None
    day_s: float | None  # time of all of them within the last 24 hours


class Facts(TypedDict):
    """One printer."""

    device_id: str
    friendly_name: str
    device_model: str | None
    size_category: str | None
    plant_type: str
    location: str | None
    bed_width: float | None  # mm
    bed_depth: float | None  # mm
    idle_power_w: float | None
    holds_s: float  # for how long a status says something about now
    factory_id: str
    status_ts: float | None  # the newest status; None before the first
    state: str | None
    state_class: str | None  # productive, ready, down, off; None where nobody knows
    state_text: str | None
    state_since_ts: float | None
    nozzle: float | None
    nozzle_target: float | None
    bed: float | None
    bed_target: float | None
    material: str | None
    filename: str | None
    progress: float | None
    time_left_s: float | None
    power_w: float | None  # the newest reading
    power_ts: float | None
    power_holds_s: float  # for how long a reading of power says something about now
    steady_w: float | None  # what it drew at least in the last two minutes, at rest
    wh_24h: float | None
    predicted_w: float | None
    job: Job | None
    last: LastJob | None
    usual: UsualSums
    history: list[PastJob]  # the last 5, newest first


class HistoryEntry(TypedDict):
    """A line of the fleet's history, as the answer shows it."""

    jobId: str
    deviceId: str
    printerName: str
    filename: str | None
    kwh: float | None
    cost: float | None
    currency: str | None
    co2g: float | None
    status: str
    startedAt: str
    completedAt: str
    energyQuality: dict[str, Any] | None
    thumbnailUrl: str | None
    pdfUrl: str | None


class Fleet(TypedDict):
    """Everything that a summary is written from."""

    now_ts: float
    settings: dict[str, str] | None  # of the plants, where they are set
    factories: list[Factory] | None
    printers: list[Facts]
    global_history: list[HistoryEntry]  # the newest 50
