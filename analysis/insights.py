"""What the figures mean, in plain sentences with figures, and what could be saved."""

from .states import ACTIVE, COOLING, HEATING, IDLE, NO_DATA, PAUSED, PHASES, PRINTING

# A hint below this is not worth a person's time.
WORTH_KWH = 0.01
ABOVE_IDLE = 1.3
TOGETHER = "goes along with"
DRIVER_WORDS = {
    "nozzle_temp_actual": ("nozzle temperature", "°C", 10), "nozzle_temp_target": ("nozzle target", "°C", 10),
    "bed_temp_actual": ("bed temperature", "°C", 10), "bed_temp_target": ("bed target", "°C", 10),
    "z_height_mm": ("height of the print", "mm", 10), "speed_multiplier_percent": ("speed setting", "%", 10),
    "progress_percent": ("progress", "%", 10), "temperature_c": ("room temperature", "°C", 1), "humidity_pct": ("humidity", "%", 10),
    "is_printing": ("printing", "", 1),
}  # fmt: skip


def duration(seconds):
    """"3 d 4 h", "2 h 5 min" or "40 s"."""
    seconds = round(seconds)
    for big, small, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {big}" + (f" {rest} {small}" if rest else "")
    return f"{seconds} s"


def energy(wh):
    """"850 Wh" or "4.21 kWh"."""
    return f"{wh:.3g} Wh" if abs(wh) < 1000 else f"{wh / 1000:.3g} kWh" if abs(wh) < 1e6 else f"{wh / 1000:.0f} kWh"


def money(amount, currency):
    """"1.26 EUR"."""
    return f"{amount:.2f} {currency}"


def summary_sentence(name, sums, account, metrics):
    """The first line of the answer."""
    total_wh, seconds = sums.energy_wh.sum(), sums.seconds.sum()
    text = f"{name} used {energy(total_wh)} in {duration(seconds)}"
    if metrics["avg_power_overall"] is not None:
        text += f": {metrics['avg_power_overall']:.0f} W on average"
        if metrics["avg_power_active"] is not None:
            text += f", {metrics['avg_power_active']:.0f} W while at work"
    text += "."
    if account["cost"] is not None:
        text += f" That is {money(account['cost'], account['currency'])}"
        text += f" and {account['co2_g'] / 1000:.2g} kg CO2." if account["co2_g"] is not None else "."
    return text


def sentences(sums, dataset, correlation, regression, prediction):
    """Plain sentences about phases, drivers, model and data, most telling first."""
    return [*_phase_sentences(sums), *_driver_sentences(correlation, regression), *_model_sentences(prediction), *_data_sentences(sums, dataset)]


def _phase_sentences(sums):
    total_wh, total_s = sums.energy_wh.sum(), sums.seconds.sum()
    if total_wh <= 0:
        return []
    found = []
    for index in (PRINTING, HEATING, ACTIVE, IDLE, COOLING, PAUSED, NO_DATA):
        time, share = 100 * sums.seconds[index] / total_s, 100 * sums.energy_wh[index] / total_wh
        if max(time, share) >= 1:
            what = {NO_DATA: "Time without a known state", ACTIVE: "Other activity"}.get(index, PHASES[index])
            found.append((share, f"{what} took {time:.0f} % of the time and {share:.0f} % of the energy."))
    return [text for _, text in sorted(found, key=lambda item: -item[0])]


def _driver_sentences(correlation, regression):
    known = [(abs(values["pearson"]), name, values) for name, values in correlation.items() if values["pearson"] is not None and values["n"] >= 30]
    found = []
    if known:
        _, name, values = max(known)
        found.append(f"Of the chosen drivers, {_word(name)} goes along most closely with the power (r = {values['pearson']:.2f}, n = {values['n']}).")
    if regression["r_squared"] is not None:
        proven = [name for name in regression["drivers"] if regression["p_values"][name] < 0.05]
        if proven:
            strongest = max(proven, key=lambda name: abs(regression["coefficients"][name]) / max(regression["standard_errors"][name], 1e-12))
            _, unit, step = DRIVER_WORDS.get(strongest, (strongest, "", 1))
            watts, error = step * regression["coefficients"][strongest], step * regression["standard_errors"][strongest]
            what = f"{step} {unit} more in {_word(strongest)}" if unit else _word(strongest)
            found.append(f"With the other drivers held, {what} {TOGETHER} {watts:+.1f} W (± {1.96 * error:.1f}).")
        found.append(f"Together the chosen drivers explain {100 * regression['r_squared']:.0f} % of how the power varies.")
    return found


def _word(name):
    return DRIVER_WORDS.get(name, (name.replace("material=", "material "),))[0]


def _model_sentences(prediction):
    if not prediction.get("predicted_kwh") or not prediction.get("actual_kwh"):
        return []
    more = prediction["difference_percent"]
    if abs(more) < 3:
        return [f"The model expects {energy(1000 * prediction['predicted_kwh'])} for what the printer did: as it was, within {max(abs(more), 0.1):.1f} %."]
    return [f"The model expects {energy(1000 * prediction['predicted_kwh'])} for what the printer did; it drew {abs(more):.0f} % {'more' if more > 0 else 'less'}."]


def _data_sentences(sums, dataset):
    found = []
    if sums.by_power:
        found.append("No status is known of this device; active and idle are told apart by its power.")
    missing = sums.seconds.sum() - sums.known_s.sum()
    if missing > 0.02 * sums.seconds.sum():
        found.append(f"For {duration(missing)} no energy is known; it is missing in the sums, not zero.")
    if dataset.flags["jumps"]:
        found.append(f"{dataset.flags['jumps']} readings don't fit the meter's counter; their energy is unknown.")
    return found


def savings(sums, dataset, heatings, price, currency):
    """[{"id", "text", "kwh", "money", "currency"}]: what the range would have needed less, largest first."""
    found = []

    def add(name, wh, text):
        kwh = float(wh) / 1000
        if kwh >= WORTH_KWH:
            cost = kwh * price if price is not None else None
            worth = f"{kwh:.2f} kWh" + (f", {money(cost, currency)}" if cost is not None else "")
            found.append({"id": name, "text": f"{text} ({worth}).", "kwh": kwh, "money": cost, "currency": currency if cost is not None else None})

    rest_wh, rest_s = sums.energy_wh[IDLE] + sums.energy_wh[COOLING], sums.seconds[IDLE] + sums.seconds[COOLING]
    add("switch_off", rest_wh, f"It stood idle for {duration(rest_s)}: switched off in that time, it would have saved what it drew then")
    idle_w = dataset.device["idle_power_w"]
    if idle_w and sums.known_s[IDLE] > 0 and sums.energy_wh[IDLE] * 3600 / sums.known_s[IDLE] > ABOVE_IDLE * idle_w:
        add("idle_too_high", sums.energy_wh[IDLE] - idle_w * sums.known_s[IDLE] / 3600,
            f"While idle it drew {sums.energy_wh[IDLE] * 3600 / sums.known_s[IDLE]:.0f} W instead of {idle_w:.0f} W: look for a heater or a light that stays on")
    add("paused", sums.energy_wh[PAUSED], f"Waiting in pause or for attention for {duration(sums.seconds[PAUSED])} kept it hot")
    if heatings >= 2:
        add("batch", sums.energy_wh[HEATING] / heatings * (heatings // 2),
            f"It warmed up {heatings} times at {energy(sums.energy_wh[HEATING] / heatings)} each: printing two jobs back to back spares every second one")
    return sorted(found, key=lambda hint: -hint["kwh"])
