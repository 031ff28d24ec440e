"""A migrated PostgreSQL database for the analysis tests, read as the role that the service has.

ENMS_TEST_PG names a private server's superuser.
"""

import json
import os
import uuid
from datetime import datetime, timedelta, timezone

import psycopg2
import pytest

from analysis.database import Database
from database.migrate import migrate

SERVER = os.environ.get("ENMS_TEST_PG", "postgresql://postgres@127.0.0.1:54330/postgres")


class Plant:
    """The database with the few calls that tests repeat; `dsn` is the superuser's."""

    def __init__(self, dsn):
        self.dsn = dsn
        self.connection = psycopg2.connect(dsn)
        self.connection.autocommit = True

    def all(self, statement, *values):
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else None

    def one(self, statement, *values):
        row = self.all(statement, *values)[0]
        return row[0] if len(row) == 1 else row

    def device(self, name=None, **fields):
        """A printer; returns its id."""
        name = name or f"P-{uuid.uuid4().hex[:8]}"
        self.one("SELECT device_save(%s, 'test')", json.dumps({"device_id": name, "friendly_name": name, **fields}))
        return name

    def meter(self, device, since=None, **parameters):
        """A main meter of the device; returns its id."""
        name = f"m-{uuid.uuid4().hex[:8]}/switch:0"
        self.one("SELECT register_meters(ARRAY[%s], ARRAY['shelly_gen2'])", name)
        for column, value in parameters.items():
            self.all(f"UPDATE meters SET {column} = %s WHERE meter_id = %s", value, name)
        self.one("SELECT meter_assign(%s, %s, 'main', %s, 'test')", name, device, since)
        return name

    def readings(self, meter, rows):
        """(time, counter Wh or None, power W or None) rows through the accounting."""
        rows = [(*row, None)[:3] for row in rows]
        self.one(
            "SELECT ingest_energy(%s, %s::timestamptz[], %s::float8[], %s::float8[])",
            [meter] * len(rows),
            [row[0] for row in rows],
            [row[2] for row in rows],
            [row[1] for row in rows],
        )

    def statuses(self, device, rows):
        """(time, state, {column: value}) rows."""
        self.one(
            "SELECT record_status_rows(%s)",
            json.dumps(
                [
                    {"device_id": device, "timestamp": at.isoformat(), "state": state, **values}
                    for at, state, values in ((*row, {})[:3] for row in rows)
                ]
            ),
        )

    def climate(self, place, rows):
        """(time, °C or None, % or None) rows."""
        self.one(
            "SELECT record_environment(%s, %s::timestamptz[], %s, %s::float8[], %s::float8[], %s::float8[], %s)",
            [place] * len(rows),
            [row[0] for row in rows],
            [None] * len(rows),
            [row[1] for row in rows],
            [row[2] for row in rows],
            [None] * len(rows),
            ["test"] * len(rows),
        )


@pytest.fixture(scope="session")
def plant():
    name = f"enms_test_{uuid.uuid4().hex[:10]}"
    server = psycopg2.connect(SERVER)
    server.autocommit = True
    server.cursor().execute(f"CREATE DATABASE {name}")
    try:
        dsn = psycopg2.extensions.make_dsn(SERVER, dbname=name)
        migrate(dsn, env={"ENMS_TIMEZONE": "Europe/Berlin"})
        made = Plant(dsn)
        yield made
        made.connection.close()
    finally:
        server.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.close()


@pytest.fixture(scope="session")
def database(plant):
    """The connection that the service uses, with the rights of enms_api."""
    made = Database(psycopg2.extensions.parse_dsn(plant.dsn), options="-c role=enms_api")
    yield made
    made.close()


@pytest.fixture
def service(plant, database, tmp_path, monkeypatch):
    """analysis.service on the test database, with its own folder for models."""
    from analysis import service

    service.reset()
    monkeypatch.setenv("ENMS_STATE_DIR", str(tmp_path))
    monkeypatch.setitem(service._state, "database", database)
    yield service
    service._state.pop("database", None)
    service.reset()


@pytest.fixture
def at():
    """at(s): a moment s seconds after a whole hour some hours ago."""
    begin = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(hours=8)
    return lambda seconds: begin + timedelta(seconds=seconds)
