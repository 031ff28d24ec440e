"""Every printer has a plant: it grows with the energy of the work and wilts when more is used than expected.

stage   1 … stages of the species, in even steps from ``seed_kwh`` (1) to ``full_kwh`` (the last):
        stage = 1 + floor((kWh - seed_kwh) / (full_kwh - seed_kwh) · stages), kept within 1 … stages
health  0 (wilted) … 100 (thriving): 100 · (WILTED_RATIO - used / expected) / (WILTED_RATIO - 1), kept within 0 … 100;
        so 100 up to the expected energy, 50 at one and a half times, 0 from the double on.
        None when there is nothing to compare with.
"""

from collections.abc import Mapping

STAGES = {"generic_plant": 21, "corn": 8, "sunflower": 7, "tomato": 12}

SEED_KWH = 0.0  # default of the setting plant_seed_kwh
FULL_KWH = 0.4  # default of the setting plant_full_kwh
WILTED_RATIO = 2.0  # used / expected at which nothing is left of the health
MIN_EXPECTED_KWH = 0.005  # below this a comparison is noise of the meter's steps


def growth_range(settings: Mapping[str, str] | None) -> tuple[float, float]:
    """(seed_kwh, full_kwh) from the settings table; the defaults instead of a range that makes no sense."""
    try:
        seed = float((settings or {}).get("plant_seed_kwh", SEED_KWH))
        full = float((settings or {}).get("plant_full_kwh", FULL_KWH))
    except ValueError:
        return SEED_KWH, FULL_KWH
    return (seed, full) if 0 <= seed < full < float("inf") else (SEED_KWH, FULL_KWH)


def stage(plant_type: str, kwh: float | None, seed_kwh: float = SEED_KWH, full_kwh: float = FULL_KWH) -> int:
    """Stage of growth, 1 … STAGES[plant_type]; an unknown energy is a seed."""
    stages = STAGES[plant_type]
    if kwh is None:
        return 1
    grown = (kwh - seed_kwh) / (full_kwh - seed_kwh)
    return min(stages, 1 + int(max(0.0, grown) * stages))


def health(used_kwh: float | None, expected_kwh: float | None) -> int | None:
    """Health in percent, or None when one side is unknown or too small to compare."""
    if used_kwh is None or expected_kwh is None or expected_kwh < MIN_EXPECTED_KWH:
        return None
    percent = 100.0 * (WILTED_RATIO - used_kwh / expected_kwh) / (WILTED_RATIO - 1.0)
    return round(min(100.0, max(0.0, percent)))
