"""Two factories in two time zones, four printers and a compressor, ten hours: small, but with something for every panel
to show.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.plugin.database import Database

HOURS = 10
# (minutes, state, W): the printers' round of three hours
ROUND = (
    (20, "idle", 9.0),
    (10, "heating", 220.0),
    (100, "printing", 95.0),
    (10, "paused", 40.0),
    (20, "printing", 92.0),
    (20, "finished", 12.0),
)
PRINTERS = {
    "MK4-1": ("Prusa MK4 one", 0),
    "MK4-2": ("Prusa MK4 two", 40),
    "MINI-1": ("Prusa Mini", 90),
    "VORON-1": ("Voron", 130),
}
ENDS = ("done", "done", "error", "cancelled")


def state_at(minute: int) -> tuple[str, float]:
    """(state, W) at a minute of a printer's own clock."""
    passed = minute % 180
    for length, state, watts in ROUND:
        if passed < length:
            return state, watts
        passed -= length
    raise AssertionError(minute)


def fill(db: Database) -> None:
    """Writes the plant, up to about now."""
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    start = end - timedelta(hours=HOURS)
    db.all("INSERT INTO factories (slug, name, timezone, currency) VALUES ('annex', 'Annex', 'Asia/Kolkata', 'EUR')")
    db.all(
        "INSERT INTO energy_tariffs (factory_id, name, price_per_kwh, currency)"
        " SELECT factory_id, 'Annex flat', 0.28, 'EUR' FROM factories WHERE slug = 'annex'"
    )
    for device, (name, shift) in PRINTERS.items():
        db.device(
            device,
            friendly_name=name,
            device_model="MK4" if "MK4" in device else "Other",
            location="Hall",
            source="prusalink",
            idle_power_w=8,
            rated_power_w=300,
        )
        readings(
            db, f"plug-{device}/switch:0", device, start, end, lambda minute, shift=shift: state_at(minute + shift)[1]
        )
        statuses(db, device, start, end, shift)
        jobs(db, device, start, end, shift)
    db.device("COMP-1", friendly_name="Compressor", device_type="compressor", source="none", rated_power_w=5000)
    db.all(
        "UPDATE devices SET factory_id = (SELECT factory_id FROM factories WHERE slug = 'annex')"
        " WHERE device_id IN ('COMP-1', 'VORON-1')"
    )
    readings(db, "em-COMP-1/em:0", "COMP-1", start, end, lambda minute: 3200.0 if minute % 30 < 20 else 400.0)
    runs = [
        {
            "device_id": "COMP-1",
            "timestamp": (start + timedelta(minutes=minute)).isoformat(),
            "state": "running" if minute % 30 < 20 else "standby",
        }
        for minute in range(0, HOURS * 60, 5)
    ]
    db.one("SELECT record_status_rows(%s)", json.dumps(runs))
    db.one("SELECT register_meters(ARRAY['air-1'], ARRAY['factory'], ARRAY['compressed_air'])")
    readings(db, "air-1", "COMP-1", start, end, lambda minute: 900.0)
    # A sub meter is never added; a meter of nobody waits for an owner.
    readings(db, "sub-MK4-1/switch:0", "MK4-1", start, end, lambda minute: 20.0, role="sub")
    readings(db, "stray/switch:0", None, end - timedelta(minutes=30), end, lambda minute: 5.0)
    # Readings at odd times: a counter that was reset, and three in a row that do not fit.
    db.ingest("plug-MINI-1/switch:0", [(end + timedelta(seconds=1), 3.0, 9.0)])
    db.ingest("stray/switch:0", [(end + timedelta(seconds=s), 9e6 * s, 5.0) for s in (1, 2, 3)])
    moments = [start + timedelta(minutes=5 * i) for i in range(HOURS * 12 + 1)]
    n = len(moments)
    db.one(
        "SELECT record_environment(%s, %s::timestamptz[], %s, %s::float8[], %s::float8[], %s::float8[], %s)",
        ["Hall"] * n,
        moments,
        [None] * n,
        [22.0] * n,
        [41.0] * n,
        [1013.0] * n,
        ["DHT22"] * n,
    )
    three = {"mpu6050_accelerometer": (0.1, 0.2, 9.8), "mpu6050_gyroscope": (0.01, 0.02, 0.03)}
    for kind, (x, y, z) in three.items():
        db.one(
            "SELECT record_sensor(%s, %s, %s::timestamptz[], %s, %s::float8[], %s::float8[], %s::float8[])",
            kind,
            ["hub-1"] * n,
            moments,
            ["MK4-1"] * n,
            [x] * n,
            [y] * n,
            [z] * n,
        )
    db.one(
        "SELECT record_sensor('max6675_temperature', %s, %s::timestamptz[], %s, %s::float8[])",
        ["probe-1"] * n,
        moments,
        ["MK4-1"] * n,
        [61.0] * n,
    )
    db.one(
        f"SELECT record_smartplug(%s, %s::timestamptz[], {', '.join(['%s::float8[]'] * 7)})",
        ["plug-MK4-1/switch:0"] * n,
        moments,
        [90.0] * n,
        [5.0] * n,
        [230.0] * n,
        [0.4] * n,
        [0.95] * n,
        [95.0] * n,
        [20.0] * n,
    )
    db.one(
        "SELECT record_predictions(%s, %s::timestamptz[], %s::float8[], %s)",
        ["MK4-1"] * n,
        moments,
        [88.0] * n,
        ["v1"] * n,
    )
    db.one(
        "SELECT record_rejects(ARRAY['shelly', 'shelly'], ARRAY['x/status', 'y/status'], ARRAY['{}', '{}'],"
        " ARRAY['no power and no counter', 'time is in the future'])"
    )
    db.all("CALL run_rollups()")
    while db.one("SELECT refresh_phases(%s, 1e6)", end)["remaining"]:
        pass
    db.one("SELECT finalize_jobs(%s)", end + timedelta(hours=1))
    # As on a living system: a plug that sends its own time, a printer that once did not answer, and rows after the last
    # rollup.
    at = end + timedelta(seconds=20)
    reading = {
        "meter_id": "stray/switch:0",
        "protocol": "shelly_gen2",
        "arrived": at.isoformat(),
        "device_time": (at - timedelta(seconds=3)).isoformat(),
        "topic": "stray/status/switch:0",
        "power_watts": 5.0,
    }
    db.one("SELECT ingest_readings(%s)", json.dumps([reading]))
    db.one("SELECT learn_reporting_intervals()")
    db.one(
        "SELECT record_status(%s)",
        json.dumps(
            [{"device_id": "MINI-1", "timestamp": at.isoformat(), "state": None, "error": "no answer within 5 s"}]
        ),
    )
    readings(db, "plug-MK4-1/switch:0", None, end, end + timedelta(seconds=30), lambda minute: 95.0, begin=9000.0)


def readings(
    db: Database,
    meter: str,
    device: str | None,
    start: datetime,
    end: datetime,
    watts: Callable[[int], float],
    role: str = "main",
    begin: float = 1000.0,
) -> None:
    """A reading each 30 s with counter, power and details; a hole of a quarter of an hour after four hours.

    `watts` is the power at a minute since the start, `begin` the counter's first value (Wh).
    """
    db.one("SELECT register_meters(ARRAY[%s], ARRAY['shelly_gen2'])", meter)
    if device:
        db.one("SELECT meter_assign(%s, %s, %s, NULL, 'test')", meter, device, role)
    rows, counter, at = [], begin, start
    while at <= end:
        minute = (at - start).total_seconds() / 60
        power = watts(int(minute))
        counter += power * 30 / 3600
        if not 240 <= minute < 255:
            rows.append((at, power, counter))
        at += timedelta(seconds=30)
    for part in (rows[i : i + 300] for i in range(0, len(rows), 300)):  # the WASM server dies of long messages
        n = len(part)
        db.one(
            f"SELECT ingest_energy(%s, %s::timestamptz[], {', '.join(['%s::float8[]'] * 7)})",
            [meter] * n,
            *[[row[i] for row in part] for i in range(3)],
            [230.0] * n,
            [row[1] / 230 for row in part],
            [0.97] * n,
            [50.0] * n,
            [31.0] * n,
        )


def statuses(db: Database, device: str, start: datetime, end: datetime, shift: int) -> None:
    """A status each two minutes; the last one is live."""
    rows, at = [], start
    while at <= end:
        state, _ = state_at(int((at - start).total_seconds() // 60) + shift)
        hot = state in ("heating", "printing", "paused")
        rows.append(
            {
                "device_id": device,
                "timestamp": at.isoformat(),
                "state": state,
                "is_printing": state == "printing",
                "nozzle_temp_actual": 215 if hot else 25,
                "nozzle_temp_target": 215 if hot else 0,
                "bed_temp_actual": 60 if hot else 24,
                "bed_temp_target": 60 if hot else 0,
                "z_height_mm": 12 if hot else 0,
                "speed_multiplier_percent": 100,
                "fan_rpm": 4000 if hot else 0,
                "material": "PLA",
                "progress_percent": 40 if hot else None,
                "time_left_seconds": 1800 if hot else None,
                "filename": "bracket.gcode" if hot else None,
            }
        )
        at += timedelta(minutes=2)
    for part in (rows[i : i + 100] for i in range(0, len(rows), 100)):
        db.one("SELECT record_status_rows(%s)", json.dumps(part))


def jobs(db: Database, device: str, start: datetime, end: datetime, shift: int) -> None:
    """A print per round that ended, and the one that runs."""
    first = 20 - shift % 180
    for number, begin in enumerate(range(first, HOURS * 60, 180)):
        if begin < 0:
            continue
        began, ended = start + timedelta(minutes=begin), start + timedelta(minutes=begin + 140)
        job: dict[str, Any] = {
            "device_id": device,
            "source_job_id": str(number),
            "filename": f"bracket-{number}.gcode",
            "material": ("PLA", "PETG")[number % 2],
            "filament_used_g": 21.5 + number,
        }
        if ended <= end:
            status = ENDS[(number + list(PRINTERS).index(device)) % len(ENDS)]
            db.one(
                "SELECT import_job(%s)",
                json.dumps(
                    {
                        **job,
                        "start_time": began.isoformat(),
                        "end_time": ended.isoformat(),
                        "status": status,
                        "status_reason": None if status == "done" else "nozzle clogged",
                    }
                ),
            )
        else:
            state, _ = state_at(int((end - start).total_seconds() // 60) + shift)
            db.one(
                "SELECT record_status(%s)",
                json.dumps(
                    [
                        {
                            "device_id": device,
                            "timestamp": (end + timedelta(seconds=5)).isoformat(),
                            "state": state,
                            "filename": job["filename"],
                            "material": job["material"],
                            "progress_percent": 55,
                            "time_left_seconds": 1700,
                            "nozzle_temp_actual": 214,
                            "bed_temp_actual": 60,
                            "actions": [
                                {
                                    "type": "open",
                                    "job_id": f"00000000-0000-0000-0000-{list(PRINTERS).index(device):012d}",
                                    "job": {**job, "start_time": began.isoformat(), "status": "printing"},
                                }
                            ],
                        }
                    ]
                ),
            )
