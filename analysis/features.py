"""The one feature builder: training, live prediction and analysis all see a printer through it.

A row of features describes one instant: what the printer's status reports, how fast it heats, the room, and which
machine it is. A model knows its features by name; the order of columns is fixed here and checked by the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .core.states import HEATING, IDLE, IN_PRINT, PAUSED, PRINTING, States

if TYPE_CHECKING:
    from .dataset import Dataset

ROOM_C = 22.0  # where no climate is measured

# The values that a status row brings as they are.
MEASURED = (
    "nozzle_temp_actual",
    "nozzle_temp_target",
    "bed_temp_actual",
    "bed_temp_target",
    "z_height_mm",
    "speed_multiplier_percent",
    "fan_rpm",
    "progress_percent",
    "nozzle_rate",
    "bed_rate",
)
# A state counts by its phase, so that one that is added has its feature; one that is trouble has STATE_ERROR.
STATE_PHASES = {"state_heating": HEATING, "state_printing": PRINTING, "state_paused": PAUSED, "state_resting": IDLE}
STATE_ERROR = "state_error"
STATE_FEATURES = (*STATE_PHASES, STATE_ERROR)
# At rest some printers report the last print's, some nothing: a model must not learn how a protocol reports rest.
OF_PRINT = ("z_height_mm", "progress_percent")
# What is known of the machine itself.
DEVICE_NUMBERS = ("rated_power_w", "idle_power_w", "bed_width", "bed_depth")
DEVICE_COLUMNS = (*DEVICE_NUMBERS, "device_model")
DEVICE_FEATURES = ("rated_power_w", "idle_power_w", "bed_area_cm2")

GROUPS = {
    "nozzle temperature": ("nozzle_temp_actual", "nozzle_temp_target", "nozzle_missing_c", "nozzle_rate"),
    "bed temperature": ("bed_temp_actual", "bed_temp_target", "bed_missing_c", "bed_rate", "bed_above_room_c"),
    "state": STATE_FEATURES,
    "progress and height": ("progress_percent", "z_height_mm"),
    "speed": ("speed_multiplier_percent",),
    "fan": ("fan_rpm",),
    "room temperature": ("temperature_c",),
}


@dataclass(frozen=True, slots=True)
class Categories:
    """Materials and printer models that a feature set tells apart; anything else is none of them."""

    materials: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Features:
    """Named columns: `values` is float32 of shape (rows, names), NaN unknown."""

    names: tuple[str, ...]
    values: NDArray[np.float32]

    def ordered(self, names: Sequence[str]) -> NDArray[np.float32]:
        """The columns `names`, in that order; raises ValueError when one is missing."""
        if tuple(names) == self.names:
            return self.values
        missing = sorted(set(names) - set(self.names))
        if missing:
            raise ValueError(f"the model was trained on other features: {', '.join(missing[:5])}")
        place = {name: column for column, name in enumerate(self.names)}
        return self.values[:, [place[name] for name in names]]

    def of_rows(self, rows: NDArray[np.integer]) -> "Features":
        """The same features of some rows."""
        return Features(self.names, self.values[rows])


def names(categories: Categories) -> tuple[str, ...]:
    """All feature names in their order."""
    return (
        *MEASURED,
        "nozzle_missing_c",
        "bed_missing_c",
        "bed_above_room_c",
        "temperature_c",
        *STATE_FEATURES,
        *DEVICE_FEATURES,
        *(f"material={name}" for name in categories.materials),
        *(f"model={name}" for name in categories.models),
    )


def group_of(name: str) -> str:
    """The group that a feature belongs to, for importance."""
    for group, members in GROUPS.items():
        if name in members:
            return group
    return "material" if name.startswith("material=") else "printer"


def build(
    statuses: Mapping[str, NDArray[Any]],
    materials: Sequence[str | None] | NDArray[np.object_],
    climate_c: NDArray[np.float64],
    devices: Mapping[str, Any],
    categories: Categories,
    states: States,
) -> Features:
    """Features of n instants; NaN or None is unknown.

    statuses: the columns MEASURED and `state` (places in `states`), shape (n,). materials: n names. climate_c: °C of
    the room, shape (n,). devices: for each of DEVICE_COLUMNS one value for all, or n of them (W, mm, a name).
    """
    n = len(statuses["state"])
    values = np.full((n, len(names(categories))), np.nan, np.float32)
    column = {name: values[:, place] for place, name in enumerate(names(categories))}
    state = np.asarray(statuses["state"])
    phase = states.phase[state]
    in_print = np.isin(phase, IN_PRINT)
    for name in MEASURED:
        column[name][:] = np.where(in_print, statuses[name], np.nan) if name in OF_PRINT else statuses[name]
    room = np.where(np.isnan(climate_c), ROOM_C, climate_c)
    for part in ("nozzle", "bed"):
        # A heater that is off misses nothing, whatever it was set to before.
        missing = np.asarray(statuses[f"{part}_temp_target"]) - np.asarray(statuses[f"{part}_temp_actual"])
        column[f"{part}_missing_c"][:] = np.maximum(missing, 0)
    column["bed_above_room_c"][:] = (
        np.where(np.asarray(statuses["bed_temp_target"]) > 0, statuses["bed_temp_target"], room) - room
    )
    column["temperature_c"][:] = climate_c
    for name, wanted in STATE_PHASES.items():
        column[name][:] = phase == wanted
    column[STATE_ERROR][:] = states.trouble[state]
    column["rated_power_w"][:] = _number(devices["rated_power_w"])
    column["idle_power_w"][:] = _number(devices["idle_power_w"])
    column["bed_area_cm2"][:] = _number(devices["bed_width"]) * _number(devices["bed_depth"]) / 100
    materials = np.asarray(materials, object)
    for name in categories.materials:
        column[f"material={name}"][:] = materials == name
    model = np.asarray(devices["device_model"], object)
    for name in categories.models:
        column[f"model={name}"][:] = model == name
    return Features(names(categories), values)


def _number(value: Any) -> Any:
    """A number, or an array of the numbers in a sequence; None is NaN."""
    if isinstance(value, (list, tuple)):
        return np.asarray([np.nan if item is None else item for item in value], float)
    return np.nan if value is None else value


def of_dataset(dataset: "Dataset", categories: Categories, rows: NDArray[np.integer]) -> Features:
    """Features of some of the data set's rows (indices into them), each of which must have a status."""
    found = dataset.rows["status"][rows]
    return build(
        {name: dataset.statuses[name][found] for name in (*MEASURED, "state")},
        material_of_rows(dataset, rows),
        dataset.rows["temperature_c"][rows],
        {name: getattr(dataset.device, name) for name in DEVICE_COLUMNS},
        categories,
        dataset.states,
    )


def material_of_rows(dataset: "Dataset", rows: NDArray[np.integer]) -> NDArray[np.object_]:
    """The loaded material at some of the data set's rows, each of which must have a status; None is unknown."""
    codes = dataset.statuses["material"][dataset.rows["status"][rows]]
    materials = np.full(len(rows), None, object)
    for code, name in dataset.materials.items():
        materials[codes == code] = name
    return materials
