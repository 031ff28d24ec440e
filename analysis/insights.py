"""What the figures mean, in plain sentences with figures, and what could be saved."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from common.estimate import estimated

from .core.states import ACTIVE, COOLING, HEATING, IDLE, NO_DATA, PAUSED, PHASES, PRINTING
from .core.statistics import Correlation, LeastSquares
from .dataset import Dataset
from .money import Account
from .phases import Metrics, PhaseSums

# A hint below this is not worth a person's time.
WORTH_KWH = 0.05
ABOVE_IDLE = 1.3
# A coefficient means little by itself when the other drivers carry the same information, or all of them explain hardly
# anything.
MAX_VIF, MIN_R_SQUARED = 10, 0.1
# Power that varies less than this share of its mean needs no explanation.
STEADY = 0.05
CERTAIN_P = 0.05
MIN_ROWS = 30
# Words for a driver, its unit, and the step of it that a sentence is about.
DRIVER_WORDS = {
    "nozzle_temp_actual": ("the nozzle's temperature", "°C", 10),
    "nozzle_temp_target": ("the nozzle's target", "°C", 10),
    "bed_temp_actual": ("the bed's temperature", "°C", 10),
    "bed_temp_target": ("the bed's target", "°C", 10),
    "z_height_mm": ("the height of the print", "mm", 10),
    "speed_multiplier_percent": ("the speed setting", "%", 10),
    "progress_percent": ("the progress", "%", 10),
    "temperature_c": ("the room's temperature", "°C", 1),
    "humidity_pct": ("the humidity", "%", 10),
    "is_printing": ("printing", "", 1),
}


class Hint(TypedDict):
    """What the range would have needed less, in the answer."""

    id: str
    text: str
    kwh: float
    money: float | None
    currency: str | None


def duration(seconds: float) -> str:
    """A time as "3 d 4 h", "2 h 5 min" or "40 s"."""
    seconds = round(seconds)
    for big, small, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {big}" + (f" {rest} {small}" if rest else "")
    return f"{seconds} s"


def digits(value: float, count: int) -> str:
    """The value with `count` significant digits, never as a power of ten: 1234, 12.3, 0.0012."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, count - 1 - math.floor(math.log10(abs(value))))}f}"


def energy(wh: float) -> str:
    """An energy as "850 Wh" or "4.21 kWh"."""
    return f"{digits(wh, 3)} Wh" if abs(wh) < 999.5 else f"{digits(wh / 1000, 3)} kWh"


def money(amount: float, currency: str | None) -> str:
    """A price as "1.26 EUR" or "0.004 EUR"."""
    return f"{amount:.2f} {currency}" if abs(amount) >= 0.095 else f"{digits(amount, 1)} {currency}"


def mass(grams: float) -> str:
    """A mass as "4.8 kg" or "27 g"."""
    return f"{digits(grams / 1000, 2)} kg" if grams >= 995 else f"{digits(grams, 2)} g"


def percent(share: float) -> str:
    """A share of a hundred as "63 %" or "0.4 %"."""
    return f"{share:.0f} %" if share >= 0.95 else f"{digits(share, 1)} %"


def listed(names: Sequence[str]) -> str:
    """Names as "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def summary_sentence(name: str, sums: PhaseSums, account: Account, metrics: Metrics) -> str:
    """The first line of the answer."""
    total_wh, seconds = sums.energy_wh.sum(), sums.seconds.sum()
    text = f"{name} used {energy(total_wh)} in {duration(seconds)}"
    if metrics["avg_power_overall"] is not None:
        text += f": {metrics['avg_power_overall']:.0f} W on average"
        if metrics["avg_power_active"] is not None:
            text += f", {metrics['avg_power_active']:.0f} W while at work"
    worth = [money(account.cost, account.currency)] if account.cost is not None else []
    worth += [f"{mass(account.co2_g)} CO2"] if account.co2_g is not None else []
    return text + "." + (f" That is {' and '.join(worth)}." if worth else "")


def sentences(
    sums: PhaseSums,
    dataset: Dataset,
    correlation: Mapping[str, Correlation],
    regression: LeastSquares,
    prediction: Mapping[str, Any],
) -> list[str]:
    """Plain sentences about phases, drivers, model and data, most telling first.

    `prediction` is `ml_prediction_summary` of the answer.
    """
    return [
        *phase_sentences(sums),
        *driver_sentences(dataset.rows["power_w"], correlation, regression),
        *_model_sentences(prediction),
        *_data_sentences(sums, dataset),
    ]


def phase_sentences(sums: PhaseSums) -> list[str]:
    """The share of each phase in time and energy, largest energy first."""
    total_wh, total_s = sums.energy_wh.sum(), sums.seconds.sum()
    if total_wh <= 0:
        return []
    found = []
    # What a machine does that is no printer has no other name.
    active = "Other activity" if sums.seconds[[PRINTING, HEATING]].any() else "Activity"
    for index in (PRINTING, HEATING, ACTIVE, IDLE, COOLING, PAUSED, NO_DATA):
        time, share = 100 * sums.seconds[index] / total_s, 100 * sums.energy_wh[index] / total_wh
        # Time whose state and energy are both unknown is in the sentences about the data.
        if max(time, share) >= 1 and sums.known_s[index] > 0.01 * sums.seconds[index]:
            what = {NO_DATA: "Time without a known state", ACTIVE: active}.get(index, PHASES[index])
            found.append((share, f"{what} took {percent(time)} of the time and {percent(share)} of the energy."))
    return [text for _, text in sorted(found, key=lambda item: -item[0])]


def driver_sentences(
    power: NDArray[np.float64], correlation: Mapping[str, Correlation], regression: LeastSquares
) -> list[str]:
    """What moves with the power (W of each row): the closest driver, all together, and the surest coefficient."""
    known = power[~np.isnan(power)]
    if len(known) < MIN_ROWS or not correlation:
        return []
    mean, spread = float(known.mean()), float(known.std())
    if spread <= STEADY * mean:
        return [
            f"The power hardly varied ({digits(mean, 3)} ± {digits(spread, 1)} W), "
            "so there is little for drivers to explain."
        ]
    found = []
    certain = [
        (abs(one.pearson), one.pearson, name, one.n, one.n_effective)
        for name, one in correlation.items()
        if one.pearson is not None and one.p_effective is not None and one.p_effective < CERTAIN_P
    ]
    if certain:
        _, r, name, n, n_effective = max(certain, key=lambda item: item[0])
        found.append(
            f"Of the drivers, {_word(name)} goes along most closely with the power "
            f"(r = {r:.2f} over {n} rows that are worth {n_effective:.0f} independent ones)."
        )
    else:
        found.append("None of the drivers goes along with the power more than chance would have it.")
    if regression.r_squared is not None:
        found.append(f"Together the drivers explain {percent(100 * regression.r_squared)} of how the power varies.")
        if regression.r_squared >= MIN_R_SQUARED:
            found += _coefficient_sentence(regression, spread)
    return found


def _coefficient_sentence(regression: LeastSquares, spread: float) -> list[str]:
    strength = {
        name: abs(regression.coefficients[name]) / max(regression.standard_errors[name], 1e-12)
        for name in regression.drivers
    }
    told = {}
    for name in regression.drivers:
        _, unit, step = DRIVER_WORDS.get(name, (name, "", 1))
        watts = step * regression.coefficients[name]
        if regression.p_values[name] < CERTAIN_P and regression.vif[name] <= MAX_VIF and abs(watts) >= STEADY * spread:
            what = f"{step} {unit} more of {_word(name)}" if unit else _word(name)
            held = "With the other drivers held, " if len(regression.drivers) > 1 else "By itself, "
            margin = 1.96 * step * regression.standard_errors[name]
            told[name] = f"{held}{what} goes along with {watts:+.1f} W (± {margin:.1f})."
    if told:
        return [told[max(told, key=lambda name: strength[name])]]
    worst = max(regression.drivers, key=lambda name: regression.vif[name])
    if regression.vif[worst] > MAX_VIF:
        return [
            f"The drivers tell much the same (VIF {regression.vif[worst]:.0f} for {_word(worst)}), "
            "so what each adds by itself can't be told: choose fewer."
        ]
    return []


def _word(name: str) -> str:
    return DRIVER_WORDS.get(name, (name.replace("material=", "the material "),))[0]


def _model_sentences(prediction: Mapping[str, Any]) -> list[str]:
    if not prediction.get("predicted_kwh") or not prediction.get("actual_kwh"):
        return []
    more = prediction["difference_percent"]
    verdict = f"{abs(more):.0f} % {'more' if more > 0 else 'less'}" if abs(more) >= 3 else "as usual"
    return [
        f"For what the printer did, the model expects {energy(1000 * prediction['predicted_kwh'])}; "
        f"it drew {energy(1000 * prediction['actual_kwh'])}: {verdict}."
    ]


def _data_sentences(sums: PhaseSums, dataset: Dataset) -> list[str]:
    found = []
    if sums.by_power:
        found.append("No status is known of this device; active and idle are told apart by its power.")
    missing = sums.seconds.sum() - sums.known_s.sum()
    if missing > 0.02 * sums.seconds.sum():
        found.append(f"For {duration(missing)} no energy is known; it is missing in the sums, not zero.")
    if dataset.flags["jumps"]:
        found.append(f"{dataset.flags['jumps']} readings don't fit the meter's counter; their energy is unknown.")
    return found


def savings(
    sums: PhaseSums, idle_power_w: float | None, heatings: int, price: float | None, currency: str | None
) -> list[Hint]:
    """Hints of at least WORTH_KWH, largest first.

    `idle_power_w` is what the device should draw while idle, `heatings` how often it warmed up, `price` per kWh.
    """
    found: list[Hint] = []
    for name, wh, text in _possible_savings(sums, idle_power_w, heatings):
        kwh = float(wh) / 1000
        if kwh < WORTH_KWH:
            continue
        cost = estimated(kwh, price)
        worth = f"{digits(kwh, 2)} kWh" + (f", {money(cost, currency)}" if cost is not None else "")
        found.append(
            {
                "id": name,
                "text": f"{text} ({worth}).",
                "kwh": kwh,
                "money": cost,
                "currency": currency if cost is not None else None,
            }
        )
    return sorted(found, key=lambda hint: -hint["kwh"])


def _possible_savings(sums: PhaseSums, idle_power_w: float | None, heatings: int) -> Iterator[tuple[str, float, str]]:
    """(id, Wh, sentence without its end) of each hint that applies."""
    rest_wh, rest_s = sums.energy_wh[IDLE] + sums.energy_wh[COOLING], sums.seconds[IDLE] + sums.seconds[COOLING]
    yield (
        "switch_off",
        rest_wh,
        f"It stood idle for {duration(rest_s)}: switched off in that time, it would have saved what it drew then",
    )
    if idle_power_w and sums.known_s[IDLE] > 0:
        idle_w = sums.energy_wh[IDLE] * 3600 / sums.known_s[IDLE]
        if idle_w > ABOVE_IDLE * idle_power_w:
            yield (
                "idle_too_high",
                sums.energy_wh[IDLE] - idle_power_w * sums.known_s[IDLE] / 3600,
                f"While idle it drew {idle_w:.0f} W instead of {idle_power_w:.0f} W: "
                "look for a heater or a light that stays on",
            )
    yield (
        "paused",
        sums.energy_wh[PAUSED],
        f"Waiting in pause or for attention for {duration(sums.seconds[PAUSED])} kept it hot",
    )
    if heatings >= 2:
        each_wh = sums.energy_wh[HEATING] / heatings
        yield (
            "batch",
            each_wh * (heatings // 2),
            f"It warmed up {heatings} times at {energy(each_wh)} each: "
            "printing two jobs back to back spares every second one",
        )
