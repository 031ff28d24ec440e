"""What energy that nobody has measured would cost or emit: for hints, tips and made-up fleets.

The cost and the CO2 of measured energy come from the database alone (`device_energy_cost()` and `at_rate()`, see
docs/accounting.md): there every part of it has the rate of its time.
"""

from typing import overload


@overload
def estimated(kwh: float, per_kwh: float) -> float: ...
@overload
def estimated(kwh: float, per_kwh: None) -> None: ...
@overload
def estimated(kwh: float, per_kwh: float | None) -> float | None: ...
def estimated(kwh: float, per_kwh: float | None) -> float | None:
    """The money or g CO2 that so much energy would take at one rate; None without a rate."""
    return None if per_kwh is None else kwh * per_kwh
