"""Smart tips: rules as data, evaluated for each printer, most important first.

A rule is (id, condition, text, saving). All three functions take a ``Situation``; ``saving`` gives what following the tip would
save in kWh a day, or in money alone for a shifted start, and is None where no honest figure exists.
"""

from collections.abc import Callable
from dataclasses import dataclass

HEATING_LONG_S = 15 * 60  # heating without printing for longer is a question worth asking
FIRST_LAYER_PERCENT = 5.0
NEAR_COMPLETION_PERCENT = 95.0
IDLE_POWER_MARGIN_W = 5.0  # above the printer's idle power, so that a meter's noise gives no tip
HOT_IDLE_BED_C = 40.0
SMALL_PART_SHARE = 0.15  # footprint of the part / area of the bed
ABOVE_USUAL_SHARE = 0.15  # more energy per gram than usual by this
BETTER_HOUR_SHARE = 0.10  # a later hour must be cheaper or cleaner by this

# A heated bed loses about this much to the room, by convection and radiation from its upper side.
BED_LOSS_W_PER_M2_K = 12.0
ROOM_C = 22.0
DEFAULT_BED_MM = (250.0, 210.0)
COOL_MATERIAL_BED_C = 60.0  # what PLA asks for
HOT_MATERIALS = ("ABS", "ASA", "PC", "PA", "NYLON", "HIPS", "PP")
HOURS_A_DAY = 24.0


@dataclass(frozen=True)
class Situation:
    """What the rules look at; None is unknown. Money is in ``currency``, ``rates`` are the coming hours."""

    status: str
    printing: bool = False
    state_age_s: float | None = None
    last_error: str | None = None
    steady_w: float | None = (
        None  # what it drew at least, over the last two minutes: a printer that begins to heat is not idle any more
    )
    idle_power_w: float | None = None
    bed_c: float | None = None
    bed_target_c: float | None = None
    bed_mm: tuple | None = None  # (width, depth)
    part_mm: tuple | None = None  # (x, y)
    material: str | None = None
    progress: float | None = None  # percent
    time_left_s: float | None = None
    warm_up_kwh: float | None = None  # what this job took to heat up
    kwh_per_g: float | None = None
    usual_kwh_per_g: float | None = None
    usual_job_kwh: float | None = None
    grams: float | None = None
    rates: tuple = ()  # dicts from_ts, price, currency, g_co2: the current hour first
    price_per_kwh: float | None = None
    currency: str | None = None
    hour_name: Callable = str  # a from_ts in the factory's own time, "14:00"


@dataclass(frozen=True)
class Rule:
    id: str
    applies: Callable
    text: Callable
    saving: Callable = lambda s: None


def idle(s):
    return s.status in ("Idle", "Completed", "Cooling")


def idle_excess_w(s):
    """Watts above the idle power of an idle printer; None when unknown or within the margin."""
    if s.status not in ("Idle", "Completed") or s.steady_w is None or s.idle_power_w is None:
        return None
    excess = s.steady_w - s.idle_power_w
    return excess if excess > IDLE_POWER_MARGIN_W else None


def bed_loss_w(bed_mm, bed_c, cool_c=ROOM_C):
    """Watts that holding the bed at ``bed_c`` takes more than holding it at ``cool_c``."""
    width, depth = bed_mm or DEFAULT_BED_MM
    return BED_LOSS_W_PER_M2_K * width * depth / 1e6 * max(0.0, bed_c - cool_c)


def part_share(s):
    """Footprint of the part as a share of the bed, or None."""
    if not s.part_mm or not s.bed_mm or None in s.part_mm or None in s.bed_mm:
        return None
    return s.part_mm[0] * s.part_mm[1] / (s.bed_mm[0] * s.bed_mm[1])


def known_warm_up(s):
    """Whether the warm-up took enough to be told in hundredths of a kWh."""
    return s.warm_up_kwh is not None and s.warm_up_kwh >= 0.005


def hot_material(s):
    name = (s.material or "").upper()
    return next(
        (hot for hot in HOT_MATERIALS if name == hot or name.startswith((hot + "-", hot + " ", hot + "+"))), None
    )


def above_usual_share(s):
    if not s.kwh_per_g or not s.usual_kwh_per_g:
        return None
    return s.kwh_per_g / s.usual_kwh_per_g - 1.0


def better_hour(s, quantity):
    """The coming hour that is best by ``price`` or ``g_co2``, when it is clearly better than this one; None otherwise."""
    known = [rate for rate in s.rates if rate.get(quantity) is not None]
    if len(known) < 2 or known[0] is not s.rates[0]:
        return None
    best = min(known, key=lambda rate: rate[quantity])
    return best if best[quantity] < known[0][quantity] * (1 - BETTER_HOUR_SHARE) else None


def better_hour_text(s):
    cheaper, cleaner = better_hour(s, "price"), better_hour(s, "g_co2")
    if cheaper:
        return (
            f"Electricity is cheaper from {s.hour_name(cheaper['from_ts'])} ({cheaper['price']:.2f} instead of "
            f"{s.rates[0]['price']:.2f} {s.currency or ''} per kWh): queue the next print for then."
        )
    return (
        f"Electricity is cleaner from {s.hour_name(cleaner['from_ts'])} ({cleaner['g_co2']:.0f} instead of "
        f"{s.rates[0]['g_co2']:.0f} g CO2 per kWh): queue the next print for then."
    )


def better_hour_saving(s):
    cheaper = better_hour(s, "price")
    if not cheaper or s.usual_job_kwh is None:
        return None
    return {"kwh": 0.0, "money": (s.rates[0]["price"] - cheaper["price"]) * s.usual_job_kwh}


def per_day(watts):
    return {"kwh": watts * HOURS_A_DAY / 1000.0}


def with_money(s, kwh):
    """ " (0.72 kWh a day)" or with the money, for the end of a sentence."""
    money = f", {kwh * s.price_per_kwh:.2f} {s.currency or ''}".rstrip() if s.price_per_kwh is not None else ""
    return f"{kwh:.2f} kWh{money} a day"


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
            f"Heating for {s.state_age_s / 60:.0f} minutes without printing: start the print or switch the heaters off."
        ),
        lambda s: None if s.bed_target_c is None else per_day(bed_loss_w(s.bed_mm, s.bed_target_c)),
    ),
    Rule(
        "first_layer",
        lambda s: s.printing and s.progress is not None and 0 < s.progress < FIRST_LAYER_PERCENT,
        lambda s: "First layer: a look now saves the energy of a failed print.",
    ),
    Rule(
        "idle_power",
        lambda s: idle_excess_w(s) is not None,
        lambda s: (
            f"Idle, but drawing {s.steady_w:.0f} W where {s.idle_power_w:.0f} W would do: switching off what is still on saves "
            f"{with_money(s, per_day(idle_excess_w(s))['kwh'])}."
        ),
        lambda s: per_day(idle_excess_w(s)),
    ),
    Rule(
        "hot_bed_idle",
        lambda s: s.status in ("Idle", "Completed") and bool(s.bed_target_c) and s.bed_target_c > HOT_IDLE_BED_C,
        lambda s: (
            f"The bed is kept at {s.bed_target_c:.0f} °C with nothing to print: switching it off saves about "
            f"{with_money(s, per_day(bed_loss_w(s.bed_mm, s.bed_target_c))['kwh'])}."
        ),
        lambda s: per_day(bed_loss_w(s.bed_mm, s.bed_target_c)),
    ),
    Rule(
        "small_part",
        lambda s: s.printing and (part_share(s) or 1.0) < SMALL_PART_SHARE,
        lambda s: (
            f"The part covers {100 * part_share(s):.0f} % of the bed: printing several at once shares one warm-up"
            + (f" of {s.warm_up_kwh:.2f} kWh." if known_warm_up(s) else ".")
        ),
        lambda s: {"kwh": s.warm_up_kwh} if known_warm_up(s) else None,
    ),
    Rule(
        "material",
        lambda s: s.printing and hot_material(s) is not None,
        lambda s: (
            f"{hot_material(s)} needs a hot bed: where the part allows it, PLA or PETG takes less energy"
            + (f", about {with_money(s, material_saving(s)['kwh'])} of printing." if material_saving(s) else ".")
        ),
        lambda s: material_saving(s),
    ),
    Rule(
        "near_completion",
        lambda s: s.printing and s.progress is not None and s.progress >= NEAR_COMPLETION_PERCENT,
        lambda s: (
            "Nearly done"
            + (f", about {max(1, round(s.time_left_s / 60))} min left" if s.time_left_s is not None else "")
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
        lambda s: s.printing and (above_usual_share(s) or 0.0) > ABOVE_USUAL_SHARE,
        lambda s: (
            f"This print takes {100 * above_usual_share(s):.0f} % more energy per gram than usual here: look for a draught, "
            "a high bed temperature or a slow profile."
        ),
        lambda s: {"kwh": (s.kwh_per_g - s.usual_kwh_per_g) * s.grams} if s.grams else None,
    ),
    Rule(
        "idle",
        lambda s: idle(s),
        lambda s: (
            "Nothing to print: switched off, the printer draws nothing."
            if not s.steady_w
            else f"Nothing to print: switched off, the printer would save {with_money(s, per_day(s.steady_w)['kwh'])}."
        ),
        lambda s: per_day(s.steady_w) if s.steady_w else None,
    ),
    Rule("default", lambda s: True, lambda s: "All well: nothing to improve at the moment."),
)


def material_saving(s):
    """A day of printing at this bed temperature against one at PLA's."""
    if s.bed_target_c is None or s.bed_target_c <= COOL_MATERIAL_BED_C:
        return None
    return per_day(bed_loss_w(s.bed_mm, s.bed_target_c, COOL_MATERIAL_BED_C))


def tips_for(situation):
    """All tips that apply, most important first: dicts of id, priority (1 is highest), text and saving."""
    found = []
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


def _saving(s, saving):
    """{kwhPerDay, moneyPerDay, currency} of a rule's estimate; the money is None without a tariff."""
    if saving is None:
        return None
    money = saving.get("money")
    if money is None and s.price_per_kwh is not None:
        money = saving["kwh"] * s.price_per_kwh
    return {
        "kwhPerDay": round(saving["kwh"], 3),
        "moneyPerDay": None if money is None else round(money, 2),
        "currency": s.currency,
    }
