"""Migrated databases for tests, on each engine that a test asks for.

`plain` is PostgreSQL in the run's private server, `timescale` a WASM PostgreSQL with TimescaleDB, made of npm packages.
"""

import contextlib
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest

from common.files import ROOT
from database.migrate import migrate

from .cluster import private_cluster
from .session import WORKER

TIMESCALE_SERVER = ROOT / "database/tests/timescale/server.mjs"
SEED = {"ENMS_TIMEZONE": "Europe/Berlin"}

Migrated = Callable[..., contextlib.AbstractContextManager[str]]


class Database:
    """One connection to a migrated database, with the few calls that tests repeat."""

    def __init__(self, dsn: str, engine: str = "plain") -> None:
        self.dsn, self.engine = dsn, engine
        self.connection = psycopg2.connect(dsn)
        self.connection.autocommit = True

    def close(self) -> None:
        """Ends the connection."""
        self.connection.close()

    def all(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a statement; none of one that returns no rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: object) -> Any:
        """The first row of a statement, or its only column."""
        row = self.all(statement, *values)[0]
        return row[0] if len(row) == 1 else row

    def device(self, name: str, **fields: object) -> dict[str, Any]:
        """Adds a device, or changes fields of one that is there; returns what the registry has of it."""
        return self.one("SELECT device_save(%s, 'test')", json.dumps({"device_id": name, **fields}))

    def meter(
        self, name: str | None = None, device: str | None = None, since: datetime | None = None, **parameters: object
    ) -> str:
        """Adds a meter, as the main one of a device (added if need be) since a time; returns its id."""
        name = name or f"m-{uuid.uuid4().hex[:8]}"
        self.one("SELECT register_meters(ARRAY[%s], ARRAY['shelly_gen2'])", name)
        for column, value in parameters.items():
            self.all(f"UPDATE meters SET {column} = %s WHERE meter_id = %s", value, name)
        if device:
            self.device(device)
            self.one("SELECT meter_assign(%s, %s, 'main', %s, 'test')", name, device, since)
        return name

    def ingest(self, meter: str, rows: Sequence[tuple[Any, ...]], fast: bool = True) -> Any:
        """Accounts rows of (time, counter in Wh or None[, power in W]) of one meter; returns what the function did."""
        rows = [(*row, None)[:3] for row in rows]
        return self.one(
            "SELECT ingest_energy(%s, %s::timestamptz[], %s::float8[], %s::float8[], p_fast => %s)",
            [meter] * len(rows),
            [row[0] for row in rows],
            [row[2] for row in rows],
            [row[1] for row in rows],
            fast,
        )

    def readings(self, records: Iterable[Mapping[str, object]]) -> Any:
        """Accounts readings as the parsers make them; returns what the function did."""
        return self.one("SELECT ingest_readings(%s)", json.dumps(list(records), default=datetime.isoformat))

    def refused(self, statement: str, *values: object) -> str:
        """The sentence with which a statement refuses bad input of a person."""
        with pytest.raises(psycopg2.DataError) as caught:
            self.one(statement, *values)
        assert caught.value.pgcode == "22023"
        sentence = caught.value.diag.message_primary
        assert sentence
        return sentence

    def factory(self, slug: str, zone: str, currency: str = "EUR") -> str:
        """Adds a factory; returns its id."""
        return self.one(
            "INSERT INTO factories (slug, name, timezone, currency) VALUES (%s, %s, %s, %s) RETURNING factory_id",
            slug,
            slug,
            zone,
            currency,
        )

    def refresh(self, *meters: str) -> None:
        """Makes the stored rollups current, of these meters or of all."""
        while self.one("SELECT refresh_rollups(60, %s)", list(meters) or None)["remaining"]:
            pass

    def rows(self, meter: str) -> list[tuple[Any, ...]]:
        """What is stored of a meter, in time order."""
        return self.all(
            "SELECT timestamp, power_watts, energy_total_wh, energy_delta_wh, interval_start, quality, base_wh, "
            "base_at, alt_wh, alt_at, device_id, voltage FROM energy_data WHERE meter_id = %s ORDER BY timestamp",
            meter,
        )

    def deltas(self, meter: str) -> list[tuple[Any, ...]]:
        """[(delta in Wh, quality)] of a meter, in time order."""
        return self.all(
            "SELECT energy_delta_wh, quality FROM energy_data WHERE meter_id = %s ORDER BY timestamp", meter
        )


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The connection string of the superuser of a private server, started when the first test needs one."""
    run = Path(os.environ["ENMS_RUN_DIR"])
    with private_cluster(run / f"postgres-{WORKER}", run / f"postgres-{WORKER}.log") as dsn:
        yield dsn


@pytest.fixture(scope="session")
def migrated(server: str) -> Migrated:
    """migrated(env): a context with the connection string of a new database.

    It is migrated with these variables, and dropped at the end.
    """

    @contextlib.contextmanager
    def new(env: dict[str, str] = SEED) -> Iterator[str]:
        name = f"enms_test_{uuid.uuid4().hex[:10]}"
        with contextlib.closing(psycopg2.connect(server)) as admin:
            admin.autocommit = True
            with admin.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {name}")
                try:
                    dsn = psycopg2.extensions.make_dsn(server, dbname=name)
                    migrate(dsn, env=env)
                    yield dsn
                finally:
                    cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    return new


@contextlib.contextmanager
def wasm_server() -> Iterator[str]:
    """The connection string of an empty database with TimescaleDB, in a server of its own that takes one connection."""
    process = subprocess.Popen(
        [os.environ["ENMS_NODE"], str(TIMESCALE_SERVER)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        if not line.startswith("port "):
            pytest.fail(f"the WASM server did not start: {line}")
        dsn = f"postgresql://postgres:postgres@127.0.0.1:{int(line.split()[1])}/postgres?sslmode=disable"
        yield dsn
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def timescale_server() -> Iterator[Database]:
    """A migrated database on the TimescaleDB engine, in a server of its own."""
    with wasm_server() as dsn:
        assert migrate(dsn, env=SEED)["engine"] == "timescale"
        with contextlib.closing(Database(dsn, "timescale")) as database:
            yield database


@contextlib.contextmanager
def plain_server(migrated: Migrated) -> Iterator[Database]:
    """A migrated database on the plain engine, in the run's private server."""
    with migrated() as dsn, contextlib.closing(Database(dsn, "plain")) as database:
        yield database


@pytest.fixture(scope="session")
def folder_databases(migrated: Migrated) -> Iterator[Callable[[Path, str], Database]]:
    """folder_databases(folder, engine): the database that the tests of a folder share, made when first asked for.

    It can't be a fixture of scope "package": pytest gives such a fixture of a plugin to the whole session, and a
    worker that runs files of two folders would mix them.
    """
    made: dict[tuple[Path, str], Database] = {}
    with contextlib.ExitStack() as stack:

        def of(folder: Path, engine: str) -> Database:
            if (folder, engine) not in made:
                new = timescale_server() if engine == "timescale" else plain_server(migrated)
                made[folder, engine] = stack.enter_context(new)
            return made[folder, engine]

        yield of


@pytest.fixture
def plain(request: pytest.FixtureRequest, folder_databases: Callable[[Path, str], Database]) -> Database:
    """A database on the plain engine, for all tests of a folder."""
    return folder_databases(request.path.parent, "plain")


@pytest.fixture
def timescale(request: pytest.FixtureRequest, folder_databases: Callable[[Path, str], Database]) -> Database:
    """A database on the TimescaleDB engine, for all tests of a folder."""
    return folder_databases(request.path.parent, "timescale")


@pytest.fixture(params=["plain", pytest.param("timescale", marks=pytest.mark.timescale)])
def db(request: pytest.FixtureRequest) -> Database:
    """The same tests on both engines."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def at() -> Callable[[float], datetime]:
    """at(s): the time s seconds after a whole hour some hours ago."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=8)
    return lambda seconds: begin + timedelta(seconds=seconds)
