"""What a printer's facts mean: its status in the words of the API, and how long that is true."""

from .summary.facts import Facts

COMPLETED_FOR_S = 15 * 60  # an idle printer counts as Completed for this long after a finished print
HOT_NOZZLE_C = 50.0  # above: still cooling, when nothing heats it
HOT_BED_C = 40.0

STATUS_OF_STATE = {
    "offline": "Offline",
    "idle": "Idle",
    "ready": "Idle",
    "heating": "Heating",
    "printing": "Printing",
    "paused": "Paused",
    "attention": "Attention",
    "finished": "Completed",
    "cancelled": "Idle",
    "error": "Error",
    "unknown": "Unknown",
}
# Of any other state, as somebody may add one.
STATUS_OF_CLASS = {"productive": "Printing", "ready": "Idle", "down": "Error", "off": "Offline"}
STATUSES = tuple(dict.fromkeys([*STATUS_OF_STATE.values(), "Cooling"]))
ACTIVE = ("Printing", "Heating", "Paused", "Attention")


def status_age_s(facts: Facts, now_ts: float) -> int | None:
    """Whole seconds since the newest status, None before the first."""
    return None if facts["status_ts"] is None else max(0, round(now_ts - facts["status_ts"]))


def current_status(facts: Facts, now_ts: float) -> str:
    """One of STATUSES."""
    if facts["status_ts"] is None or now_ts - facts["status_ts"] > facts["holds_s"]:
        return "Offline"
    status = STATUS_OF_STATE.get(facts["state"] or "unknown") or STATUS_OF_CLASS.get(
        facts["state_class"] or "", "Unknown"
    )
    if status == "Idle":
        if is_cooling(facts):
            return "Cooling"
        if completed_until_ts(facts) > now_ts:
            return "Completed"
    return status


def is_cooling(facts: Facts) -> bool:
    """Whether it is hot and nothing heats it."""
    return any(
        actual is not None and actual > limit and not target
        for actual, target, limit in (
            (facts["nozzle"], facts["nozzle_target"], HOT_NOZZLE_C),
            (facts["bed"], facts["bed_target"], HOT_BED_C),
        )
    )


def completed_until_ts(facts: Facts) -> float:
    """When the last print, if it was done, stops counting as just completed."""
    last = facts["last"]
    return last["end_ts"] + COMPLETED_FOR_S if last and last["status"] == "done" else 0.0


def current_power_w(facts: Facts, now_ts: float) -> float | None:
    """The newest power reading, or None when it is stale."""
    if facts["power_ts"] is None or now_ts - facts["power_ts"] > facts["power_holds_s"]:
        return None
    return facts["power_w"]


def next_change_ts(facts: Facts, now_ts: float) -> float:
    """When time alone, without a new row, next changes what these functions return; infinity if never."""
    changes = [completed_until_ts(facts)]
    if facts["status_ts"] is not None:
        changes.append(facts["status_ts"] + facts["holds_s"])
    if facts["power_ts"] is not None:
        changes.append(facts["power_ts"] + facts["power_holds_s"])
    return min((change for change in changes if change > now_ts), default=float("inf"))
