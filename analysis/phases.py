"""Time and energy of a range by phase. The phases exclude each other; their sums are the range's time and energy."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from .core.energy import Segments
from .core.states import ACTIVE, AT_WORK, IDLE, NO_DATA, PHASES
from .core.times import US
from .dataset import Dataset

# Without a status, a machine is active above this multiple of its idle power, or this share of its usual maximum.
ACTIVE_ABOVE_IDLE, ACTIVE_ABOVE_PEAK = 1.5, 0.2


@dataclass(frozen=True, slots=True)
class PhaseSums:
    """Per phase (index into PHASES): seconds, Wh, and the seconds whose energy is known.

    `by_power`: no status is known of the device; the phases were told apart by its power.
    """

    seconds: NDArray[np.float64]
    energy_wh: NDArray[np.float64]
    known_s: NDArray[np.float64]
    by_power: bool


class PhaseMetrics(TypedDict):
    """A phase in the answer; see docs/analysis.md."""

    duration_minutes: float
    duration_percent: float
    energy_kwh: float
    energy_percent: float | None
    avg_power: float | None


class Metrics(TypedDict):
    """`new_metrics` of the answer; see docs/analysis.md."""

    total_kwh: float | None
    avg_power_overall: float | None
    avg_power_active: float | None
    phase_analysis: dict[str, PhaseMetrics]


def split(dataset: Dataset) -> PhaseSums:
    """The PhaseSums of the data set's range."""
    by_power = (
        not len(dataset.statuses["at"])
        and not dataset.frozen
        and (dataset.device.device_type != "printer" or dataset.device.source == "none")
    )
    begin, finish, phase = _spans_by_power(dataset) if by_power else _spans_by_status(dataset)
    line, size = dataset.line, len(PHASES)
    # Without any span bincount forgets that it sums floats.
    seconds, energy, known = (
        np.bincount(phase, amounts, size).astype(float)
        for amounts in (
            (finish - begin) / US,
            line.wh_until(finish) - line.wh_until(begin),
            line.known_s_until(finish) - line.known_s_until(begin),
        )
    )
    for index, (frozen_s, frozen_wh) in dataset.frozen.items():
        seconds[index] += frozen_s
        energy[index] += frozen_wh
        known[index] += frozen_s
    # The part of the range that no span covers is without a known state.
    edges = np.array([dataset.start, dataset.end])
    for sums, whole in (
        (seconds, (dataset.end - dataset.start) / US),
        (energy, np.diff(line.wh_until(edges))[0]),
        (known, np.diff(line.known_s_until(edges))[0]),
    ):
        rest = whole - sums.sum()
        # Less than that is rounding, and nothing should not show as −0.000000001.
        sums[NO_DATA] += rest if abs(rest) > 1e-9 * max(whole, 1.0) else 0.0
    return PhaseSums(seconds, energy, known, by_power)


def _spans_by_status(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Begin, end (µs) and phase for which each status holds inside the range."""
    at = dataset.statuses["at"]
    if not len(at):
        return at, at, np.empty(0, np.int64)
    until = np.minimum(np.append(at[1:], dataset.end), at + dataset.device.holds_us)
    # Statuses that are still there don't count again in what the stored hours cover.
    first, last = dataset.frozen_span
    begin = np.concatenate([np.maximum(at, dataset.start), np.maximum(at, last)])
    finish = np.concatenate([np.minimum(until, first), np.minimum(until, dataset.end)])
    inside = finish > begin
    return begin[inside], finish[inside], np.tile(dataset.statuses["phase"], 2)[inside].astype(np.int64)


def _spans_by_power(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    segments = dataset.line.segments
    known = _shaped(segments)
    return segments.start[known], segments.end[known], _phase_by_power(dataset, segments.power_w[known])


def _shaped(segments: Segments) -> NDArray[np.bool_]:
    return ~np.isnan(segments.power_w) & ~segments.gap


def _phase_by_power(dataset: Dataset, power: NDArray[np.float64]) -> NDArray[np.int64]:
    segments, idle_w = dataset.line.segments, dataset.device.idle_power_w
    if idle_w:
        limit = ACTIVE_ABOVE_IDLE * idle_w
    else:
        known = segments.power_w[_shaped(segments)]
        limit = ACTIVE_ABOVE_PEAK * float(np.percentile(known, 99)) if len(known) else 0.0
    return np.where(np.isnan(power), NO_DATA, np.where(power > limit, ACTIVE, IDLE))


def metrics(sums: PhaseSums) -> Metrics:
    """Averages are energy ÷ time whose energy is known, None where there is none."""
    total_wh, total_s = sums.energy_wh.sum(), sums.seconds.sum()
    work = list(AT_WORK)
    phases: dict[str, PhaseMetrics] = {}
    for index, name in enumerate(PHASES):
        phases[name] = {
            "duration_minutes": sums.seconds[index] / 60,
            "duration_percent": 100 * sums.seconds[index] / total_s,
            "energy_kwh": sums.energy_wh[index] / 1000,
            "energy_percent": 100 * sums.energy_wh[index] / total_wh if total_wh > 0 else None,
            "avg_power": mean_power_w(sums.energy_wh[index], sums.known_s[index]),
        }
    known = sums.known_s.sum() > 0
    return {
        "total_kwh": total_wh / 1000 if known else None,
        "avg_power_overall": mean_power_w(total_wh, sums.known_s.sum()),
        "avg_power_active": mean_power_w(sums.energy_wh[work].sum(), sums.known_s[work].sum()),
        "phase_analysis": phases,
    }


def mean_power_w(energy_wh: float, seconds: float) -> float | None:
    """W, or None when no time is known."""
    return float(energy_wh * 3600 / seconds) if seconds > 1e-3 else None


def phase_of_rows(dataset: Dataset, sums: PhaseSums) -> NDArray[np.int8]:
    """The phase (index) at each row of the data set, told apart as in its PhaseSums."""
    if sums.by_power:
        return _phase_by_power(dataset, dataset.rows["power_w"]).astype(np.int8)
    found = dataset.rows["status"]
    if not len(dataset.statuses["at"]):
        return np.full(len(found), NO_DATA, np.int8)
    return np.where(found >= 0, dataset.statuses["phase"][found], NO_DATA).astype(np.int8)
