"""States of devices, which are rows of a table, and the phases into which the analysis sorts time and energy."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .columns import Columns

PHASES = ("Heating", "Printing", "Paused", "Cooling", "Idle", "Active", "No data")
HEATING, PRINTING, PAUSED, COOLING, IDLE, ACTIVE, NO_DATA = range(len(PHASES))
AT_WORK = (HEATING, PRINTING, PAUSED, ACTIVE)  # phases in which somebody needs the machine
IN_PRINT = (HEATING, PRINTING, PAUSED)
# The same limits as in the summary: above them, an unheated printer is still cooling.
HOT_NOZZLE_C, HOT_BED_C = 50.0, 40.0

StateRow = tuple[int, str, str | None, str]  # state_key, state, class, phase


class States:
    """The states that there are: a column `state` of an analysis has places in `names`.

    A key that no row has is at the place behind the last one: nobody knows what the device does then. `phase` (index
    into PHASES), `off` and `trouble` (it is down, or nobody knows) are by place.
    """

    def __init__(self, rows: Iterable[StateRow]) -> None:
        known = sorted(rows, key=lambda row: row[0])
        self._keys = np.array([key for key, *_ in known], np.int64)
        self.names = tuple(name for _, name, _, _ in known)
        self.phase = np.array([phase_of_name(phase) for *_, phase in known] + [NO_DATA], np.int8)
        self.off = np.array([kind == "off" for _, _, kind, _ in known] + [False], bool)
        down = np.array([kind in ("down", None) for _, _, kind, _ in known] + [True], bool)
        self.trouble = down & np.isin(self.phase, (ACTIVE, NO_DATA))

    def places(self, keys: NDArray[np.integer]) -> NDArray[np.int64]:
        """The places of these keys, which are those of the table."""
        found = np.searchsorted(self._keys, keys)
        inside = np.minimum(found, max(len(self._keys) - 1, 0))
        known = (
            (found < len(self._keys)) & (self._keys[inside] == keys) if len(self._keys) else np.zeros(len(keys), bool)
        )
        return np.where(known, found, len(self.names))


def phase_of_name(name: str) -> int:
    """The phase of that name; what the analysis has no name for is activity."""
    return PHASES.index(name) if name in PHASES else ACTIVE


def phases_of_statuses(statuses: Columns, states: States) -> NDArray[np.int8]:
    """The phase (index into PHASES) of each status row.

    Needs the columns `state` (places in `states`), `nozzle_temp_actual`, `nozzle_temp_target`, `bed_temp_actual` and
    `bed_temp_target` (°C). A temperature or target that is NaN counts as cold and off.
    """
    phase = states.phase[statuses["state"]]
    resting = phase == IDLE
    nozzle_on, bed_on = statuses["nozzle_temp_target"] > 0, statuses["bed_temp_target"] > 0
    hot = ((statuses["nozzle_temp_actual"] > HOT_NOZZLE_C) & ~nozzle_on) | (
        (statuses["bed_temp_actual"] > HOT_BED_C) & ~bed_on
    )
    # A heater that somebody switched on by hand is neither a print nor rest.
    phase = np.where(resting & (nozzle_on | bed_on), ACTIVE, phase)
    return np.where(resting & hot & ~nozzle_on & ~bed_on, COOLING, phase).astype(np.int8)
