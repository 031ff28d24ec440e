"""States of a printer (as statuses.sql numbers them) and the phases into which the analysis sorts time and energy."""

import numpy as np

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
# Phases in which the machine is wanted to do something.
AT_WORK = (HEATING, PRINTING, PAUSED, ACTIVE)

PHASE_OF_STATE = {
    "heating": HEATING, "printing": PRINTING, "paused": PAUSED, "attention": PAUSED,
    "idle": IDLE, "ready": IDLE, "finished": IDLE, "cancelled": IDLE,
    "error": ACTIVE,
    # Nobody knows what a printer does that doesn't answer or says something we don't understand.
    "offline": NO_DATA, "unknown": NO_DATA,
}  # fmt: skip
# The same limits as in the summary: above, an unheated printer is still cooling.
HOT_NOZZLE_C, HOT_BED_C = 50.0, 40.0

_PHASES = np.array([PHASE_OF_STATE[state] for state in STATES], np.int8)


def phases_of_statuses(statuses):
    """The phase (index into PHASES) of each status row; arrays as statuses.sql gives them."""
    phase = _PHASES[statuses["state"]]
    resting = phase == IDLE
    nozzle_on, bed_on = statuses["nozzle_temp_target"] > 0, statuses["bed_temp_target"] > 0
    hot = ((statuses["nozzle_temp_actual"] > HOT_NOZZLE_C) & ~nozzle_on) | (
        (statuses["bed_temp_actual"] > HOT_BED_C) & ~bed_on
    )
    # A heater that somebody switched on by hand is neither a print nor rest.
    phase = np.where(resting & (nozzle_on | bed_on), ACTIVE, phase)
    return np.where(resting & hot & ~nozzle_on & ~bed_on, COOLING, phase).astype(np.int8)
