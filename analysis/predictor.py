"""The live predictor: what every active printer should draw now, from its newest status."""

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypedDict

import numpy as np

from .core.database import Row, Snapshot
from .core.states import States
from .core.times import EPOCH, US, iso
from .dataset import heating_rates, states_of
from .features import DEVICE_COLUMNS, MEASURED, build
from .models import Model, Models


class Prediction(TypedDict):
    """What a printer should draw at a time (ISO 8601)."""

    device_id: str
    timestamp: str
    predicted_power_watts: float
    model_version: str


class Predictions(TypedDict):
    """The answer for all printers; README.md describes it."""

    rows: list[Prediction]
    count: int
    skipped: int
    oldest_status_s: float | None
    note: str | None
    error: str | None


def predict(snapshot: Snapshot, models: Models) -> Predictions:
    """The Predictions for all active printers with a status that still holds."""
    states = states_of(snapshot)
    printers = snapshot.rows("latest")
    by_model: dict[int, tuple[Model, list[Row]]] = {}
    note = None
    for printer in printers:
        model, problem = models.of(printer["device_model"])
        note = note or problem
        if model:
            by_model.setdefault(id(model), (model, []))[1].append(printer)
    rows = [row for model, members in by_model.values() for row in _rows(model, members, states)]
    if not printers:
        note = "No active printer has a status that still holds."
    return {
        "rows": sorted(rows, key=lambda row: row["device_id"]),
        "count": len(rows),
        "skipped": len(printers) - len(rows),
        "oldest_status_s": max((printer["now"] - printer["at"] for printer in printers), default=None),
        "note": note,
        "error": None,
    }


def _rows(model: Model, printers: Sequence[Row], states: States) -> list[Prediction]:
    statuses = {name: np.array([_number(p.get(name)) for p in printers]) for name in MEASURED}
    for part in ("nozzle", "bed"):
        statuses[f"{part}_rate"] = np.array([_rate(p, f"before_{part}", f"{part}_temp_actual") for p in printers])
    statuses["state"] = states.places(np.array([p["state_key"] for p in printers]))
    features = build(
        statuses,
        [p["material"] for p in printers],
        np.array([_number(p["temperature_c"]) for p in printers]),
        {name: [p[name] for p in printers] for name in DEVICE_COLUMNS},
        model.categories,
        states,
    )
    watts = model.predict(features)
    return [
        {
            "device_id": printer["device_id"],
            "timestamp": iso(EPOCH + timedelta(seconds=printer["now"])),
            "predicted_power_watts": round(float(value), 2),
            "model_version": model.version,
        }
        for printer, value in zip(printers, watts)
    ]


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _rate(printer: Row, before: str, now: str) -> float:
    """The same rate as the data set's: °C per minute since the status before."""
    if printer["before_at"] is None:
        return math.nan
    at = np.array([int(printer["before_at"] * US), int(printer["at"] * US)])
    temperature = np.array([_number(printer[before]), _number(printer[now])], np.float32)
    return float(heating_rates(at, temperature, round(printer["holds_s"] * US))[1])
