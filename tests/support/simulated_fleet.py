"""A fleet made for one test of a stack: a simulator with its own printers and plugs, and a timeline for them."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .enms import Enms
from .simulator import Simulator
from .waiting import wait_for


class SimulatedFleet(Simulator):
    """A running simulator next to a stack, whose broker it uses."""

    def __init__(self, enms: Enms, directory: Path, declaration: Mapping[str, Any]) -> None:
        broker = {name: value for name, value in enms.settings.items() if name.startswith("ENMS_MQTT_")}
        super().__init__(directory, declaration, broker)
        self.enms = enms

    def register(self) -> None:
        """Adds every printer with its plug through the Devices API."""
        for device in self.devices.values():
            self.enms.add_device(device)

    def remove(self) -> None:
        """Removes the printers from the registry, so that nobody polls what is gone."""
        for device_id in self.devices:
            self.enms.change("DELETE", f"/api/devices/{device_id}")

    def wait_seen(self, timeout: float = 40, without: tuple[str, ...] = ()) -> None:
        """Waits until the stack has a status of every printer and a reading of every plug.

        Those `without` a plug, or not registered, are not waited for.
        """
        names = [name for name in self.devices if name not in without]
        wait_for(
            "a status of every printer",
            lambda: (
                self.enms.value(
                    """SELECT count(*) FROM device_latest
                       WHERE device_id = ANY(%s) AND state NOT IN ('offline', 'unknown')""",
                    names,
                )
                == len(names)
            ),
            timeout,
        )
        wait_for(
            "a reading of every plug",
            lambda: (
                self.enms.value(
                    """SELECT count(DISTINCT a.device_id) FROM meter_assignments a JOIN meter_state s USING (meter_id)
                       WHERE a.device_id = ANY(%s) AND s.base_wh IS NOT NULL""",
                    names,
                )
                == len(names)
            ),
            timeout,
        )


@contextmanager
def simulated_fleet(enms: Enms, directory: Path, declaration: Mapping[str, Any]) -> Iterator[SimulatedFleet]:
    """A SimulatedFleet that runs; at the end its printers are removed from the stack, and it is stopped."""
    fleet = SimulatedFleet(enms, directory, declaration)
    try:
        fleet.start()
        yield fleet
        fleet.remove()
    finally:
        fleet.stop()


class Event(NamedTuple):
    """Something to do so many seconds after the start of a timeline."""

    second: float
    what: str
    do: Callable[[], object]


class Timeline:
    """Things to do at their seconds after the start; run one after the other in one thread."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def at(self, second: float, what: str, do: Callable[[], object]) -> None:
        """Plans `do()` for that second."""
        self.events.append(Event(second, what, do))

    def run(self) -> None:
        """Does everything in its order. Raises AssertionError with the name of the event that failed."""
        begin = time.monotonic()
        for second, what, do in sorted(self.events, key=lambda event: event.second):
            time.sleep(max(0.0, begin + second - time.monotonic()))
            try:
                do()
            except Exception as error:
                raise AssertionError(f"at {second} s, {what}: {error}") from error
