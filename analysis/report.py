"""`results` of the answer: data set, phases, statistics, model and sentences put together."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from . import explain, features, insights, money, phases
from .clock import Clock
from .core import series, statistics
from .core.columns import Columns
from .core.database import Snapshot
from .core.states import HEATING, NO_DATA
from .core.times import US, instant, iso, micros
from .dataset import CLIMATE, Dataset, build, device_of
from .models import Model, Models
from .phases import PhaseSums
from .request import DRIVERS, Request

OFTEN_UNKNOWN = 0.1
# Tariffs that change by the hour over years take long to apply; the answer does not wait for them.
COST_S = 2
# The dashboard of one machine, with its variable.
GRAFANA_DASHBOARD = "/grafana/d/enms-machine/machine?var-device={device}&from={start}&to={end}"


def make(snapshot: Snapshot, request: Request, models: Models, clock: Clock) -> dict[str, Any]:
    """The results for a checked request; `clock` is told when a step is done. Raises UnknownDevice.

    docs/analysis.md describes each figure.
    """
    device = device_of(snapshot, request.device_id)
    dataset = build(snapshot, device, micros(request.start) if request.start else None, micros(request.end))
    span = {"from": instant(dataset.start), "to": instant(dataset.end)}
    cost = snapshot.rows_within(COST_S, "cost", device=device.device_id, **span)
    clock.lap("dataset_ms", snapshot.seconds)

    sums = phases.split(dataset)
    metrics = phases.metrics(sums)
    account = money.account(cost[0]) if cost else money.Account()
    row_phases = phases.phase_of_rows(dataset, sums)
    clock.lap("phases_ms")

    columns, notes = driver_columns(dataset, request.drivers)
    if cost is None:
        notes.append("The tariffs of so long a range could not be applied in time: cost and CO2 are missing.")
    correlation = correlations(dataset, columns)
    regression = regress(dataset, columns, notes, everywhere=request.drivers is None)
    clock.lap("statistics_ms")

    prediction = predict(dataset, models, sums)
    clock.lap("model_ms")

    empty = bool(not len(dataset.rows["at"]) and sums.known_s.sum() == 0)
    told = [] if empty else insights.sentences(sums, dataset, correlation, regression.fit, prediction.summary)
    results = {
        "summary": summary(dataset, request, sums, metrics, account, empty),
        "new_metrics": metrics,
        "phase_analysis": metrics["phase_analysis"],
        "correlation": {name: asdict(one) for name, one in correlation.items()},
        "regression": regression.in_answer(),
        "ml_prediction_summary": prediction.summary,
        "ml_evaluation_metrics": prediction.evaluation,
        "ml_feature_importance": prediction.importance,
        "ml_top_drivers": prediction.top_drivers,
        "insights": told,
        "savings": insights.savings(
            sums, device.idle_power_w, warm_ups(dataset), account.price_per_kwh, account.currency
        ),
        "series": series.thin(dataset.rows["at"], dataset.rows["power_w"], prediction.watts, row_phases),
        "data_quality": quality(dataset, sums, notes),
        "grafanaUrls": grafana_urls(dataset),
    }
    clock.lap("insights_ms")
    return results


def summary(
    dataset: Dataset,
    request: Request,
    sums: PhaseSums,
    metrics: phases.Metrics,
    account: money.Account,
    empty: bool,
) -> dict[str, Any]:
    """`summary` of the answer; `empty`: nothing is known of the range."""
    device, name = dataset.device, dataset.device.friendly_name
    start, end = iso(instant(dataset.start)), iso(instant(dataset.end))
    if empty:
        text = f"No reading of {name} is known between {start} and {end}."
    else:
        text = insights.summary_sentence(name, sums, account, metrics)
    return {
        "deviceId": device.device_id,
        "friendlyName": name,
        "deviceModel": device.device_model,
        "deviceType": device.device_type,
        "timeRange": request.time_range,
        "from": start,
        "to": end,
        "total_kwh": metrics["total_kwh"],
        "cost": account.cost,
        "currency": account.currency,
        "co2_g": account.co2_g,
        "avg_power_w": metrics["avg_power_overall"],
        "peak_power_w": _peak(dataset.rows["power_w"]),
        "empty": empty,
        "text": text,
    }


def driver_columns(dataset: Dataset, wanted: Sequence[str] | None) -> tuple[Columns, list[str]]:
    """A column over the rows for each driver, and notes; material becomes a column for each material that occurs.

    `wanted`: None for all drivers that have values.
    """
    columns, notes = {}, []
    for name in wanted if wanted is not None else DRIVERS:
        if name == "material":
            found = {f"material={text}": column for text, column in material_columns(dataset).items()}
        elif name == "is_printing":
            values = dataset.status_values(name)
            found = {name: np.where(values < 0, np.nan, values)}
        else:
            found = {name: dataset.rows[name] if name in CLIMATE else dataset.status_values(name)}
        found = {key: values for key, values in found.items() if not np.all(np.isnan(values))}
        if not found and wanted is not None:
            notes.append(f"{name} has no values in this range.")
        columns.update(found)
    return columns, notes


def material_columns(dataset: Dataset) -> Columns:
    """{material: 1 where it was loaded, 0 where another or none, NaN without a status}, the most frequent first."""
    found = dataset.rows["status"]
    if not len(dataset.statuses["at"]):
        return {}
    codes = np.where(found >= 0, dataset.statuses["material"][found], 0)
    known = sorted(dataset.materials.items(), key=lambda item: -np.count_nonzero(codes == item[0]))
    return {name: np.where(found >= 0, (codes == code).astype(float), np.nan) for code, name in known}


def correlations(dataset: Dataset, columns: Columns) -> dict[str, statistics.Correlation]:
    """{driver: its correlation with the power}."""
    power = statistics.CorrelationsWith(dataset.rows["power_w"])
    return {name: power.of(column.astype(float)) for name, column in columns.items()}


@dataclass(frozen=True, slots=True)
class Regression:
    """The regression of the power on the drivers, and the material with which the others are compared."""

    fit: statistics.LeastSquares
    reference_material: str | None

    def in_answer(self) -> dict[str, Any]:
        """`regression` of the answer; an unknown p is None."""
        p_values = {name: None if isnan(p) else p for name, p in self.fit.p_values.items()}
        return {**asdict(self.fit), "p_values": p_values, "reference_material": self.reference_material}


def regress(dataset: Dataset, columns: Columns, notes: list[str], everywhere: bool) -> Regression:
    """Least squares of the power on the drivers over the rows in which all are known; adds to the notes.

    `everywhere`: nobody chose the drivers, so those that are unknown in many rows (the height of a print while none
    runs) stay out, because they would narrow the regression to the other rows.
    """
    columns = dict(columns)
    if everywhere and len(dataset.rows["at"]):
        unknown = [name for name, column in columns.items() if np.isnan(column).mean() > OFTEN_UNKNOWN]
        columns = {name: column for name, column in columns.items() if name not in unknown}
        if unknown:
            notes.append(
                f"Left out of the regression, because often unknown in this range: {insights.listed(unknown)}. "
                "Choose a driver to look at the rows that know it."
            )
    materials = [name for name in columns if name.startswith("material=")]
    reference = materials[0] if materials else None
    if reference:
        # The most frequent material is what the others are compared with.
        del columns[reference]
    power = dataset.rows["power_w"]
    known = ~np.isnan(power)
    for column in columns.values():
        known &= ~np.isnan(column)
    at = dataset.rows["at"][known]
    step = float(np.median(np.diff(at))) / US if len(at) > 1 else 0.0
    fit = statistics.ols(
        power[known],
        {name: column[known].astype(float) for name, column in columns.items()},
        statistics.newey_west_lag(len(at), step),
    )
    for reason in dict.fromkeys(fit.dropped.values()):
        left_out = [name for name, why in fit.dropped.items() if why == reason]
        notes.append(f"Left out of the regression, because {reason}: {insights.listed(left_out)}.")
    if columns and len(at) < len(power):
        scarce = max(columns, key=lambda name: np.count_nonzero(np.isnan(columns[name])))
        notes.append(
            f"The regression uses {len(at)} of {len(power)} rows: "
            f"those in which all drivers are known ({scarce} is missing most)."
        )
    return Regression(fit, reference.removeprefix("material=") if reference else None)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model makes of the range: the `ml_…` parts of the answer.

    `watts`: the prediction at each row, NaN where there is none; None without a model.
    """

    summary: dict[str, Any]
    watts: NDArray[np.float64] | None = None
    evaluation: dict[str, Any] | None = None
    importance: Sequence[explain.Importance] = field(default_factory=list)
    top_drivers: Sequence[explain.TopDriver] = field(default_factory=list)


def predict(dataset: Dataset, models: Models, sums: PhaseSums) -> Prediction:
    """The Prediction by the device's model; without one its summary has a note that says why."""

    def without(note: str | None) -> Prediction:
        return Prediction({"available": False, "note": note})

    power = dataset.rows["power_w"]
    rows = np.flatnonzero((dataset.rows["status"] >= 0) & ~np.isnan(power))
    if dataset.device.device_type != "printer":
        return without("The power model describes printers; this device is not one.")
    model, problem = models.of(dataset.device.device_model)
    if model is None:
        return without(problem)
    if not len(rows):
        return without("No reading with a status that still held: nothing to predict from.")
    chosen = explain.spread(rows, explain.PREDICTED_ROWS)
    known = features.of_dataset(dataset, model.categories, chosen)
    known = features.Features(model.features, known.ordered(model.features))
    predicted, actual = model.predict(known), power[chosen]
    watts = np.full(len(power), np.nan)
    watts[chosen] = predicted
    mean_w = float(np.average(predicted, weights=seconds_of_rows(dataset, chosen)))
    part = explain.spread(np.arange(len(chosen)), explain.PERMUTED_ROWS)
    few = explain.spread(np.arange(len(chosen)), explain.EXPLAINED_ROWS)
    return Prediction(
        summary={
            **_facts(model, problem),
            **_expected(sums, mean_w),
            "n": len(chosen),
        },
        watts=watts,
        evaluation={**asdict(explain.evaluation(actual, predicted)), "trained": model.card.get("metrics")},
        importance=explain.permutation_importance(model, known.of_rows(part), actual[part]),
        top_drivers=explain.top_drivers(model, known.of_rows(few)),
    )


def _facts(model: Model, problem: str | None) -> dict[str, Any]:
    """Which model it is."""
    return {
        "available": True,
        "note": problem,
        "model_version": model.version,
        "model_type": model.kind,
        "trained_at": model.card.get("trained_at"),
        "device_model": model.card.get("device_model"),
    }


def _expected(sums: PhaseSums, mean_w: float) -> dict[str, Any]:
    """Mean power and energy, expected and measured, over the time with a status and known energy."""
    with_status = np.arange(len(sums.seconds)) != NO_DATA
    seconds, actual_kwh = float(sums.known_s[with_status].sum()), float(sums.energy_wh[with_status].sum() / 1000)
    predicted_kwh = mean_w * seconds / 3.6e6
    return {
        "mean_predicted_w": mean_w,
        "mean_actual_w": phases.mean_power_w(1000 * actual_kwh, seconds),
        "predicted_kwh": predicted_kwh,
        "actual_kwh": actual_kwh,
        "difference_percent": 100 * (actual_kwh - predicted_kwh) / predicted_kwh if predicted_kwh > 0 else None,
    }


def seconds_of_rows(dataset: Dataset, chosen: NDArray[np.integer]) -> NDArray[np.float64]:
    """For how many seconds each of the chosen rows (ascending) stands: a plug reports more often while it works.

    That is the time until the next chosen row, as far as energy and status are known.
    """
    seconds = np.diff(dataset.line.known_s_until(np.append(dataset.rows["at"], dataset.end)))
    seconds[dataset.rows["status"] < 0] = 0
    seconds = np.add.reduceat(seconds, chosen)
    return seconds if seconds.sum() > 0 else np.ones(len(chosen))


def warm_ups(dataset: Dataset) -> int:
    """How many times heating began in the range."""
    heating = dataset.statuses["phase"] == HEATING
    inside = dataset.statuses["at"] >= dataset.start
    return int(
        np.count_nonzero(heating[1:] & ~heating[:-1] & inside[1:])
        + (len(heating) > 0 and bool(heating[0] and inside[0]))
    )


def quality(dataset: Dataset, sums: PhaseSums, notes: list[str]) -> dict[str, Any]:
    """`data_quality` of the answer, with these notes and its own before them."""
    edges = np.array([dataset.start, dataset.end])
    seconds = (dataset.end - dataset.start) / US
    covered, silent = np.diff(dataset.line.covered_s_until(edges))[0], np.diff(dataset.line.gap_s_until(edges))[0]
    rows, found = dataset.rows, dataset.rows["status"]
    with_status = found >= 0
    ages = (rows["at"][with_status] - dataset.statuses["at"][found[with_status]]) / US
    newest = max((meter.last_reading for meter in dataset.meters if meter.last_reading is not None), default=None)
    if not dataset.meters:
        notes = ["No electricity meter is assigned to this device.", *notes]
    if dataset.resolution_s:
        mean_of = insights.duration(dataset.resolution_s)
        notes = [f"The range is long: one row is the mean of {mean_of}, from the stored rollups.", *notes]
    if sums.by_power:
        notes = ["No status is known; phases are told apart by power.", *notes]
    return {
        "rows": len(rows["at"]),
        "row_seconds": dataset.resolution_s or None,
        "coverage_percent": 100 * covered / seconds,
        "covered_minutes": covered / 60,
        "gap_minutes": silent / 60,
        "unknown_minutes": (seconds - sums.known_s.sum()) / 60,
        **dataset.flags,
        "statuses": int(np.count_nonzero(dataset.statuses["at"] >= dataset.start)),
        "rows_without_status": int(np.count_nonzero(~with_status)),
        "rows_without_climate": int(np.count_nonzero(np.isnan(rows["temperature_c"]))),
        "oldest_status_age_s": float(ages.max()) if len(ages) else None,
        "newest_reading": iso(instant(int(newest * US))) if newest is not None else None,
        "notes": notes,
    }


def grafana_urls(dataset: Dataset) -> Mapping[str, str] | None:
    """{"machine": URL} for the device and range, None when there is no Grafana."""
    if not os.environ.get("ENMS_GRAFANA_URL"):
        return None
    device = quote(dataset.device.device_id, safe="")
    start, end = dataset.start // 1000, dataset.end // 1000
    return {"machine": GRAFANA_DASHBOARD.format(device=device, start=start, end=end)}


def _peak(power: NDArray[np.float64]) -> float | None:
    known = power[~np.isnan(power)]
    return float(known.max()) if len(known) else None
