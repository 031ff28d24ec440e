"""A plant in a database for the analysis tests, read as the role that the service has."""

import contextlib
import json
import uuid

import psycopg2
import pytest

from analysis.core.database import Database
from tests.plugin.database import Database as Migrated


class Plant(Migrated):
    """The database with the few more calls that these tests repeat; its connection is the superuser's."""

    def printer(self, name=None, **fields):
        """A printer; returns its id."""
        name = name or f"P-{uuid.uuid4().hex[:8]}"
        self.device(name, friendly_name=name, **fields)
        return name

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
def plant(migrated):
    """A plant without machines."""
    with migrated() as dsn, contextlib.closing(Plant(dsn)) as made:
        yield made


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
