"""The figures of a database that no upgrade may change, read through the views and functions of the present version."""

from datetime import datetime
from typing import Any

from tests.plugin.database import Database

ZONE = "Europe/Berlin"


def device_days(db: Database) -> dict[str, Any]:
    """{device: {energy type: {day of the factory: Wh}}} over all meters of the device."""
    days: dict[str, Any] = {}
    for device, carrier, day, wh in db.all(
        "SELECT coalesce(device_id, ''), energy_type, (bucket AT TIME ZONE %s)::date::text, "
        "sum(energy_wh ORDER BY meter_id) FROM energy_readings_1day GROUP BY 1, 2, 3",
        ZONE,
    ):
        days.setdefault(device, {}).setdefault(carrier, {})[day] = wh
    return days


def device_hours(db: Database) -> dict[str, Any]:
    """{device: {energy type: {energy_wh, rows}}} of all hours."""
    hours: dict[str, Any] = {}
    for device, carrier, rows, wh in db.all(
        "SELECT coalesce(device_id, ''), energy_type, count(*), sum(energy_wh ORDER BY meter_id, bucket) "
        "FROM energy_readings_1hour GROUP BY 1, 2"
    ):
        hours.setdefault(device, {})[carrier] = {"energy_wh": wh, "rows": rows}
    return hours


def meters(db: Database) -> dict[str, Any]:
    """{meter: {rows, sum_energy_delta_wh, last_counter_wh}}."""
    return {
        meter: {"rows": rows, "sum_energy_delta_wh": wh, "last_counter_wh": counter}
        for meter, rows, wh, counter in db.all(
            # What an interval meter told stands in a column of its own since 0003.
            "SELECT m.meter_id, e.rows, e.wh, coalesce(k.energy_total_wh, k.interval_wh) "
            "FROM meters m JOIN meter_state s USING (meter_id) "
            "LEFT JOIN energy_data k ON k.meter_id = m.meter_id AND k.timestamp = s.last_counter_at "
            "CROSS JOIN LATERAL (SELECT count(*) AS rows, sum(d.energy_delta_wh ORDER BY d.timestamp) AS wh "
            "FROM energy_data d WHERE d.meter_id = m.meter_id) e"
        )
    }


def flags(db: Database) -> dict[str, dict[str, int]]:
    """{meter: {flags of a reading, '' for none: number of readings}}."""
    found: dict[str, dict[str, int]] = {}
    for meter, quality, count in db.all(
        "SELECT meter_id, coalesce(quality, ''), count(*) FROM energy_data GROUP BY 1, 2"
    ):
        found.setdefault(meter, {})[quality] = count
    return found


def state_seconds(db: Database, begin: datetime, end: datetime) -> dict[str, Any]:
    """{device: {state: seconds}} in [begin, end)."""
    states: dict[str, Any] = {}
    for device, state, seconds in db.all(
        "SELECT d.device_id, s.state, sum(extract(epoch FROM s.t1 - s.t0))::float8 FROM devices d "
        "CROSS JOIN LATERAL device_states(d.device_id, %s, %s) s WHERE d.source <> 'none' GROUP BY 1, 2",
        begin,
        end,
    ):
        states.setdefault(device, {})[state] = seconds
    return states


def energy(db: Database, asked: dict[str, Any]) -> dict[str, Any]:
    """Energy of a device in a window, with its quality."""
    window = (asked["device"], asked["from"], asked["to"], asked["energy_type"])
    names = ("energy_wh", "coverage_s", "gap_s", "gaps", "resets", "jumps", "backs")
    detail = ", ".join(names[1:])
    row = db.one(
        f"SELECT device_energy(%s, %s, %s, %s), {detail} FROM device_energy_detail(%s, %s, %s, %s)", *window, *window
    )
    return dict(zip(names, row, strict=True))


def cost(db: Database, asked: dict[str, Any]) -> dict[str, Any]:
    """Energy, cost and CO2 of a device in a window."""
    names = ("energy_wh", "cost", "currency", "co2_g")
    row = db.one(
        f"SELECT {', '.join(names)} FROM device_energy_cost(%s, %s, %s, %s)",
        asked["device"],
        asked["from"],
        asked["to"],
        asked["energy_type"],
    )
    return dict(zip(names, row, strict=True))
