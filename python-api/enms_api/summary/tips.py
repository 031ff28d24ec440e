"""Smart tips: rules as data, evaluated for each printer, most important first.

A rule is an id and three functions of a ``Situation``: the condition and, called only when it is true, the text and
what following the tip would save (None where no honest figure exists).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from common.estimate import estimated

from .facts import Rate

HEATING_LONG_S = 15 * 60  # heating without printing for longer is a question worth asking
FIRST_LAYER_PERCENT = 5.0
NEAR_COMPLETION_PERCENT = 95.0
IDLE_POWER_MARGIN_W = 5.0  # above the printer's idle power, so that a meter's noise gives no tip
HOT_IDLE_BED_C = 40.0
SMALL_PART_SHARE = 0.15  # footprint of the part / area of the bed
ABOVE_USUAL_SHARE = 0.15  # more energy per gram than usual by this
BETTER_HOUR_SHARE = 0.10  # a later hour must be cheaper or cleaner by this
KNOWN_WARM_UP_KWH = 0.005  # from here on it shows in hundredths of a kWh

# A heated bed loses about this much to the room, by convection and radiation from its upper side.
BED_LOSS_W_PER_M2_K = 12.0
ROOM_C = 22.0
DEFAULT_BED_MM = (250.0, 210.0)
COOL_MATERIAL_BED_C = 60.0  # what PLA asks for
HOT_MATERIALS = ("ABS", "ASA", "PC", "PA", "NYLON", "HIPS", "PP")
HOURS_A_DAY = 24.0


@dataclass(frozen=True)
class Situation:
    """What the rules look at; None is unknown. Money is in ``currency``."""

    status: str
    printing: bool = False
    state_age_s: float | None = None
    last_error: str | None = None
    # What it drew at least in the last two minutes: a printer that begins to heat is not idle any more.
    steady_w: float | None = None
    idle_power_w: float | None = None
    bed_target_c: float | None = None
    bed_mm: tuple[float, float] | None = None  # width, depth
    part_mm: tuple[float | None, float | None] | None = None  # x, y
    material: str | None = None
    progress: float | None = None  # percent
    time_left_s: float | None = None
    warm_up_kwh: float | None = None  # what this job took to heat up
    kwh_per_g: float | None = None
    usual_kwh_per_g: float | None = None
    usual_job_kwh: float | None = None
    grams: float | None = None
    rates: Sequence[Rate] = ()  # of the coming hours, the current one first
    price_per_kwh: float | None = None
    currency: str | None = None
    hour_name: Callable[[float], str] = str  # of a from_ts in the factory's own time, "14:00"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a tip would save: energy (kWh a day), or money alone for a print at another hour."""

    kwh: float
    money: float | None = None  # None: that of the energy


@dataclass(frozen=True)
class Rule:
    """One tip: when it applies, what it says and what it saves."""

    id: str
    applies: Callable[[Situation], bool]
    text: Callable[[Situation], str]
    saving: Callable[[Situation], Estimate | None] = lambda s: None


class Saving(TypedDict):
    """An estimate in the answer; the money is None without a tariff."""

    kwhPerDay: float
    moneyPerDay: float | None
    currency: str | None


class Tip(TypedDict):
    """A tip in the answer; priority 1 is the most important."""

    id: str
    priority: int
    text: str
    saving: Saving | None


@dataclass(frozen=True, slots=True)
class BetterHour:
    """A coming hour in which a kWh costs or emits less."""

    from_ts: float
    now: float  # price or g CO2 of a kWh
    then: float


def idle(s: Situation) -> bool:
    """Whether there is nothing to print."""
    return s.status in ("Idle", "Completed", "Cooling")


def idle_excess_w(s: Situation) -> float:
    """Watts above the idle power of an idle printer; 0 when unknown or within the margin."""
    if s.status not in ("Idle", "Completed") or s.steady_w is None or s.idle_power_w is None:
        return 0.0
    excess = s.steady_w - s.idle_power_w
    return excess if excess > IDLE_POWER_MARGIN_W else 0.0


def bed_loss_w(s: Situation, cool_c: float = ROOM_C) -> float:
    """Watts that keeping the bed at its target takes more than keeping it at ``cool_c``; 0 without a target."""
    width, depth = s.bed_mm or DEFAULT_BED_MM
    return BED_LOSS_W_PER_M2_K * width * depth / 1e6 * max(0.0, (s.bed_target_c or 0.0) - cool_c)


def part_share(s: Situation) -> float:
    """Footprint of the part as a share of the bed; 1 when unknown."""
    if not s.part_mm or not s.bed_mm or s.part_mm[0] is None or s.part_mm[1] is None:
        return 1.0
    return s.part_mm[0] * s.part_mm[1] / (s.bed_mm[0] * s.bed_mm[1]) or 1.0


def hot_material(s: Situation) -> str | None:
    """The material, when it is one that needs a hot bed."""
    name = (s.material or "").upper()
    return next(
        (hot for hot in HOT_MATERIALS if name == hot or name.startswith((hot + "-", hot + " ", hot + "+"))), None
    )


def above_usual_share(s: Situation) -> float:
    """How much more energy per gram than usual; 0 when unknown."""
    return s.kwh_per_g / s.usual_kwh_per_g - 1.0 if s.kwh_per_g and s.usual_kwh_per_g else 0.0


def better_hour(s: Situation, quantity: Literal["price", "g_co2"]) -> BetterHour | None:
    """The coming hour that is best by ``quantity``, when it is clearly better than this one; None otherwise."""
    now = s.rates[0][quantity] if s.rates else None
    known = [(value, rate["from_ts"]) for rate in s.rates if (value := rate[quantity]) is not None]
    if now is None or len(known) < 2:
        return None
    then, from_ts = min(known)  # the earliest of equal ones
    return BetterHour(from_ts, now, then) if then < now * (1 - BETTER_HOUR_SHARE) else None


def better_hour_text(s: Situation) -> str:
    """The sentence about a cheaper hour or, when there is none, about a cleaner one."""
    if cheaper := better_hour(s, "price"):
        return (
            f"Electricity is cheaper from {s.hour_name(cheaper.from_ts)} ({cheaper.then:.2f} instead of "
            f"{cheaper.now:.2f} {s.currency or ''} per kWh): queue the next print for then."
        )
    cleaner = better_hour(s, "g_co2")
    assert cleaner  # the rule's condition
    return (
        f"Electricity is cleaner from {s.hour_name(cleaner.from_ts)} ({cleaner.then:.0f} instead of "
        f"{cleaner.now:.0f} g CO2 per kWh): queue the next print for then."
    )


def better_hour_saving(s: Situation) -> Estimate | None:
    """The money that a usual print saves in a cheaper hour."""
    cheaper = better_hour(s, "price")
    if not cheaper or s.usual_job_kwh is None:
        return None
    return Estimate(0.0, estimated(s.usual_job_kwh, cheaper.now - cheaper.then))


def warm_up_saving(s: Situation) -> Estimate | None:
    """The warm-up that a further part on the same bed doesn't need."""
    return Estimate(s.warm_up_kwh) if s.warm_up_kwh is not None and s.warm_up_kwh >= KNOWN_WARM_UP_KWH else None


def material_saving(s: Situation) -> Estimate | None:
    """A day of printing at this bed temperature against one at PLA's."""
    excess = bed_loss_w(s, COOL_MATERIAL_BED_C)
    return per_day(excess) if excess > 0 else None


def above_usual_saving(s: Situation) -> Estimate | None:
    """What this print takes more than a usual one."""
    if not s.kwh_per_g or not s.usual_kwh_per_g or not s.grams:
        return None
    return Estimate((s.kwh_per_g - s.usual_kwh_per_g) * s.grams)


def per_day(watts: float) -> Estimate:
    """A day without these watts."""
    return Estimate(watts * HOURS_A_DAY / 1000.0)


def a_day(s: Situation, watts: float) -> str:
    """The energy and, with a tariff, the money of these watts, to end a sentence: "0.72 kWh, 0.22 EUR a day"."""
    kwh = per_day(watts).kwh
    cost = estimated(kwh, s.price_per_kwh)
    money = f", {cost:.2f} {s.currency or ''}".rstrip() if cost is not None else ""
    return f"{kwh:.2f} kWh{money} a day"


def minutes(seconds: float | None) -> int:
    """Whole minutes of a time that is known."""
    return round((seconds or 0.0) / 60)


RULES = (
    Rule(
        "offline",
        lambda s: s.status == "Offline",
        lambda s: "The printer is offline: check its power and network, unless it rests on purpose.",
    ),
    Rule(
        "error",
        lambda s: s.status == "Error",
        lambda s: (
            "The printer reports an error"
            + (f": {s.last_error}" if s.last_error else "")
            + ". Look at it before the next print."
        ),
    ),
    Rule(
        "attention",
        lambda s: s.status == "Attention",
        lambda s: "The printer waits for somebody: it keeps its heat, and so draws power, until it is attended to.",
    ),
    Rule(
        "heating_long",
        lambda s: s.status == "Heating" and s.state_age_s is not None and s.state_age_s > HEATING_LONG_S,
        lambda s: (
            f"Heating for {minutes(s.state_age_s)} minutes without printing: start the print or switch the heaters off."
        ),
        lambda s: None if s.bed_target_c is None else per_day(bed_loss_w(s)),
    ),
    Rule(
        "first_layer",
        lambda s: s.printing and s.progress is not None and 0 < s.progress < FIRST_LAYER_PERCENT,
        lambda s: "First layer: a look now saves the energy of a failed print.",
    ),
    Rule(
        "idle_power",
        lambda s: idle_excess_w(s) > 0,
        lambda s: (
            f"Idle, but drawing {s.steady_w:.0f} W where {s.idle_power_w:.0f} W would do: switching off what is still "
            f"on saves {a_day(s, idle_excess_w(s))}."
        ),
        lambda s: per_day(idle_excess_w(s)),
    ),
    Rule(
        "hot_bed_idle",
        lambda s: s.status in ("Idle", "Completed") and s.bed_target_c is not None and s.bed_target_c > HOT_IDLE_BED_C,
        lambda s: (
            f"The bed is kept at {s.bed_target_c:.0f} °C with nothing to print: switching it off saves about "
            f"{a_day(s, bed_loss_w(s))}."
        ),
        lambda s: per_day(bed_loss_w(s)),
    ),
    Rule(
        "small_part",
        lambda s: s.printing and part_share(s) < SMALL_PART_SHARE,
        lambda s: (
            f"The part covers {100 * part_share(s):.0f} % of the bed: printing several at once shares one warm-up"
            + (f" of {s.warm_up_kwh:.2f} kWh." if warm_up_saving(s) else ".")
        ),
        warm_up_saving,
    ),
    Rule(
        "material",
        lambda s: s.printing and hot_material(s) is not None,
        lambda s: (
            f"{hot_material(s)} needs a hot bed: where the part allows it, PLA or PETG takes less energy"
            + (f", about {a_day(s, bed_loss_w(s, COOL_MATERIAL_BED_C))} of printing." if material_saving(s) else ".")
        ),
        material_saving,
    ),
    Rule(
        "near_completion",
        lambda s: s.printing and s.progress is not None and s.progress >= NEAR_COMPLETION_PERCENT,
        lambda s: (
            "Nearly done"
            + (f", about {max(1, minutes(s.time_left_s))} min left" if s.time_left_s is not None else "")
            + ": have the next print ready and use the heat that is there."
        ),
    ),
    Rule(
        "cooling",
        lambda s: s.status == "Cooling",
        lambda s: "Cooling down: starting the next print now saves part of its warm-up.",
    ),
    Rule(
        "better_hour",
        lambda s: idle(s) and bool(better_hour(s, "price") or better_hour(s, "g_co2")),
        better_hour_text,
        better_hour_saving,
    ),
    Rule(
        "above_usual",
        lambda s: s.printing and above_usual_share(s) > ABOVE_USUAL_SHARE,
        lambda s: (
            f"This print takes {100 * above_usual_share(s):.0f} % more energy per gram than usual here: look for a "
            "draught, a high bed temperature or a slow profile."
        ),
        above_usual_saving,
    ),
    Rule(
        "idle",
        idle,
        lambda s: (
            f"Nothing to print: switched off, the printer would save {a_day(s, s.steady_w)}."
            if s.steady_w
            else "Nothing to print: switched off, the printer draws nothing."
        ),
        lambda s: per_day(s.steady_w) if s.steady_w else None,
    ),
    Rule("default", lambda s: True, lambda s: "All well: nothing to improve at the moment."),
)


def tips_for(situation: Situation) -> list[Tip]:
    """All tips that apply, most important first; never none."""
    found: list[Tip] = []
    for priority, rule in enumerate(RULES, start=1):
        if rule.id == "default" and found:
            break
        if rule.applies(situation):
            found.append(
                {
                    "id": rule.id,
                    "priority": priority,
                    "text": rule.text(situation),
                    "saving": _saving(situation, rule.saving(situation)),
                }
            )
    return found


def _saving(s: Situation, estimate: Estimate | None) -> Saving | None:
    if estimate is None:
        return None
    money = estimate.money
    if money is None:
        money = estimated(estimate.kwh, s.price_per_kwh)
    return {
        "kwhPerDay": round(estimate.kwh, 3),
        "moneyPerDay": None if money is None else round(money, 2),
        "currency": s.currency,
    }
