"""The live predictor: what every active printer should draw now, from its newest status."""

import math
from datetime import timedelta

import numpy as np

from .core.energy import US
from .core.states import STATES
from .dataset import EPOCH, rates
from .features import MEASURED, build

DEVICE_COLUMNS = ("rated_power_w", "idle_power_w", "bed_width", "bed_depth", "device_model")


def predict(snapshot, models):
    """{"rows", "count", "skipped", "oldest_status_s", "note", "error"} for all printers with a status of the last five minutes."""
    printers = snapshot.rows("latest")
    by_model, note = {}, None
    for printer in printers:
        model, problem = models.of(printer["device_model"])
        note = note or problem
        if model:
            by_model.setdefault(id(model), (model, []))[1].append(printer)
    rows = [row for model, members in by_model.values() for row in _rows(model, members)]
    if not printers:
        note = "No active printer has a status of the last five minutes."
    return {
        "rows": sorted(rows, key=lambda row: row["device_id"]),
        "count": len(rows),
        "skipped": len(printers) - len(rows),
        "oldest_status_s": max((printer["now"] - printer["at"] for printer in printers), default=None),
        "note": note,
        "error": None,
    }


def _rows(model, printers):
    statuses = {name: np.array([_number(p.get(name)) for p in printers]) for name in MEASURED}
    for part in ("nozzle", "bed"):
        statuses[f"{part}_rate"] = np.array([_rate(p, f"before_{part}", f"{part}_temp_actual") for p in printers])
    statuses["state"] = np.array([STATES.index(p["state"]) for p in printers])
    features = build(
        statuses,
        [p["material"] for p in printers],
        np.array([_number(p["temperature_c"]) for p in printers]),
        {name: [p[name] for p in printers] for name in DEVICE_COLUMNS},
        model.categories,
    )
    watts = model.predict(features)
    return [
        {"device_id": printer["device_id"],
         "timestamp": (EPOCH + timedelta(seconds=printer["now"])).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
         "predicted_power_watts": round(float(value), 2), "model_version": model.version}
        for printer, value in zip(printers, watts)
    ]  # fmt: skip


def _number(value):
    return math.nan if value is None else float(value)


def _rate(printer, before, now):
    """The same rate as the data set's: °C per minute since the status before."""
    if printer["before_at"] is None:
        return math.nan
    at = np.array([int(printer["before_at"] * US), int(printer["at"] * US)])
    return float(rates(at, np.array([_number(printer[before]), _number(printer[now])], np.float32))[1])
