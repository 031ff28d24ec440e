"""States of a printer (as statuses.sql numbers them) and the phases into which the analysis sorts time and energy."""

import numpy as np
from numpy.typing import NDArray

from .columns import Columns

STATES = (
    "offline",
    "idle",
    "ready",
    "heating",
    "printing",
    "paused",
    "attention",
    "finished",
    "cancelled",
    "error",
    "unknown",
)
PHASES = ("Heating", "Printing", "Paused", "Cooling", "Idle", "Active", "No data")
HEATING, PRINTING, PAUSED, COOLING, IDLE, ACTIVE, NO_DATA = range(len(PHASES))
AT_WORK = (HEATING, PRINTING, PAUSED, ACTIVE)  # phases in which somebody needs the machine

PHASE_OF_STATE = {
    "heating": HEATING, "printing": PRINTING, "paused": PAUSED, "attention": PAUSED,
    "idle": IDLE, "ready": IDLE, "finished": IDLE, "cancelled": IDLE,
    "error": ACTIVE,
    # Nobody knows what a printer does that doesn't answer or reports a state that we don't know.
    "offline": NO_DATA, "unknown": NO_DATA,
}  # fmt: skip
# The same limits as in the summary: above them, an unheated printer is still cooling.
HOT_NOZZLE_C, HOT_BED_C = 50.0, 40.0

_PHASES = np.array([PHASE_OF_STATE[state] for state in STATES], np.int8)


def phases_of_statuses(statuses: Columns) -> NDArray[np.int8]:
    """The phase (index into PHASES) of each status row.

    Needs the columns `state` (index into STATES), `nozzle_temp_actual`, `nozzle_temp_target`, `bed_temp_actual` and
    `bed_temp_target` (°C). A temperature or target that is NaN counts as cold and off.
    """
    phase = _PHASES[statuses["state"]]
    resting = phase == IDLE
    nozzle_on, bed_on = statuses["nozzle_temp_target"] > 0, statuses["bed_temp_target"] > 0
    hot = ((statuses["nozzle_temp_actual"] > HOT_NOZZLE_C) & ~nozzle_on) | (
        (statuses["bed_temp_actual"] > HOT_BED_C) & ~bed_on
    )
    # A heater that somebody switched on by hand is neither a print nor rest.
    phase = np.where(resting & (nozzle_on | bed_on), ACTIVE, phase)
    return np.where(resting & hot & ~nozzle_on & ~bed_on, COOLING, phase).astype(np.int8)
