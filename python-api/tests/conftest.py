"""A migrated database of its own for the API's tests, and the application over it as role enms_api."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from enms_api import app as application
from enms_api import database as db
from enms_api import health
from flask import Flask
from flask.testing import FlaskClient
from psycopg2.extensions import parse_dsn

from tests.plugin.database import Database as Migrated

PASSWORD = "for-tests-only"
SECRETS = {
    "api_key": "KEY-that-must-not-appear",
    "sp_api_key": "SPKEY-that-must-not-appear",
    "gcode_preview_api_key": "GKEY-that-must-not-appear",
    "api_ip": "198.51.100.77",
    "gcode_preview_host": "198.51.100.78",
}


class NoNodeRed(health.NodeRed):
    """Node-RED is not started for these tests."""

    def __init__(self) -> None:
        super().__init__("")

    def health(self) -> None:
        return None


class Fleet(Migrated):
    """Writes what ingest would have written; the accounting goes through the project's own SQL functions."""

    def clear(self) -> None:
        """Empties the fleet; the factory and its flat tariff remain."""
        self.all(
            "TRUNCATE devices, meters, meter_assignments, print_jobs, meter_state, device_latest, rollup_dirty, "
            "ingest_rejects, series.energy, series.device_status, series.energy_1min, series.energy_15min, "
            "series.energy_1hour, series.energy_1day, series.prediction CASCADE"
        )
        self.all("DELETE FROM energy_tariffs WHERE name <> 'Flat tariff'")
        self.all("DELETE FROM factories WHERE NOT is_default")

    def device(self, device_id: str, **columns: object) -> None:
        """A printer, unless its columns say otherwise."""
        secrets = {
            name: columns.pop(name) for name in ("api_key", "sp_api_key", "gcode_preview_api_key") if name in columns
        }
        columns = {"friendly_name": device_id, "source": "prusalink", **columns}
        names = ", ".join(columns)
        marks = ", ".join(["%s"] * len(columns))
        self.all(
            f"INSERT INTO devices (device_id, factory_id, {names}) SELECT %s, default_factory(), {marks}",
            device_id,
            *columns.values(),
        )
        if secrets:
            self.all(
                f"INSERT INTO device_credentials (device_id, {', '.join(secrets)}) "
                f"VALUES (%s, {', '.join(['%s'] * len(secrets))})",
                device_id,
                *secrets.values(),
            )
        self.all("INSERT INTO device_latest (device_id) VALUES (%s)", device_id)

    def meter(self, device_id: str, meter_id: str | None = None) -> str:
        """A main meter that has always been the device's; returns its id."""
        meter_id = meter_id or f"plug-{device_id}/switch:0"
        self.all("SELECT register_meters(ARRAY[%s], ARRAY['shelly_gen2'])", meter_id)
        self.all(
            "INSERT INTO meter_assignments (meter_id, device_id, valid_from) VALUES (%s, %s, '-infinity')",
            meter_id,
            device_id,
        )
        return meter_id

    def readings(
        self,
        meter_id: str,
        start: datetime,
        end: datetime,
        watts: float,
        every_s: float = 60,
        counter_wh: float = 1000.0,
    ) -> float:
        """A steady load from start to end; returns the counter at the end (Wh)."""
        times, counters = [], []
        at = start
        while at <= end:
            times.append(at)
            counters.append(counter_wh + watts * (at - start).total_seconds() / 3600)
            at += timedelta(seconds=every_s)
        self.all(
            "SELECT ingest_energy(%s::text[], %s::timestamptz[], %s::float8[], %s::float8[])",
            [meter_id] * len(times),
            times,
            [float(watts)] * len(times),
            counters,
        )
        return counters[-1]

    def powers(self, meter_id: str, start: datetime, end: datetime, watts: float, every_s: int) -> None:
        """Readings of power alone, as plugs send them when only the load changed."""
        times = [start + timedelta(seconds=second) for second in range(0, int((end - start).total_seconds()), every_s)]
        self.all(
            "SELECT ingest_energy(%s::text[], %s::timestamptz[], %s::float8[], %s::float8[])",
            [meter_id] * len(times),
            times,
            [float(watts + 40 * (number % 3)) for number in range(len(times))],
            [None] * len(times),
        )

    def status(self, device_id: str, at: datetime, state: str, **columns: object) -> None:
        """A status row, and device_latest as the newest."""
        columns = {"state_text": state.upper(), **columns}
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        self.all("SELECT ensure_months('device_status', %s, %s)", at, at)
        self.all(
            f"INSERT INTO series.device_status (device_key, timestamp, state_key, {names}) "
            f"SELECT device_key(%s), %s, state_key, {marks} FROM states WHERE state = %s",
            device_id,
            at,
            *columns.values(),
            state,
        )
        columns = {"state": state, **columns}
        updates = ", ".join(f"{name} = %s" for name in columns)
        self.all(
            f"UPDATE device_latest SET status_at = %s, state_since = coalesce(state_since, %s), {updates} "
            "WHERE device_id = %s",
            at,
            at,
            *columns.values(),
            device_id,
        )

    def job(self, device_id: str, start: datetime, **columns: object) -> str:
        """A print that runs, unless its columns say that it ended; returns its id."""
        columns = {"status": "printing", "filename": "part.gcode", **columns}
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        return self.all(
            f"INSERT INTO print_jobs (device_id, start_time, {names}) VALUES (%s, %s, {marks}) RETURNING job_id::text",
            device_id,
            start,
            *columns.values(),
        )[0][0]


@pytest.fixture(scope="session")
def credentials() -> dict[str, str]:
    """Columns of a device that no answer may show, with values to look for."""
    return SECRETS


@pytest.fixture(scope="session")
def no_nodered() -> health.NodeRed:
    """What the application asks instead of Node-RED."""
    return NoNodeRed()


@pytest.fixture(scope="session")
def api_database(migrated: Callable[..., contextlib.AbstractContextManager[str]]) -> Iterator[str]:
    """The connection string of the superuser in a database of its own."""
    with migrated({"ENMS_DB_API_PASSWORD": PASSWORD, "ENMS_TIMEZONE": "Europe/Berlin"}) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def api_settings(api_database: str) -> db.Settings:
    """What the API connects with."""
    known = parse_dsn(api_database)
    return db.settings_from_environment(
        {
            "ENMS_DB_HOST": known["host"],
            "ENMS_DB_PORT": known["port"],
            "ENMS_DB_NAME": known["dbname"],
            "ENMS_DB_API_PASSWORD": PASSWORD,
        }
    )


@pytest.fixture
def database(api_settings: db.Settings) -> Iterator[db.Database]:
    """What the API reads through."""
    made = db.Database(api_settings)
    yield made
    made.close()


@pytest.fixture(scope="session")
def api(api_settings: db.Settings) -> Iterator[Flask]:
    """The application over that database."""
    database = db.Database(api_settings)
    yield application.create_app(database, NoNodeRed(), share_s=0)
    database.close()


@pytest.fixture()
def client(api_settings: db.Settings) -> Iterator[FlaskClient]:
    """A client of an application without memory of earlier tests."""
    database = db.Database(api_settings)
    yield application.create_app(database, NoNodeRed(), share_s=0).test_client()
    database.close()


@pytest.fixture()
def fleet(api_database: str) -> Iterator[Fleet]:
    """An empty fleet to fill."""
    with contextlib.closing(Fleet(api_database)) as made:
        made.clear()
        yield made


@pytest.fixture()
def now() -> datetime:
    """The present time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
