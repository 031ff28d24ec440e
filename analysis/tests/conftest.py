"""A plant in a database for the analysis tests, read as the role that the service has."""

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg2
import pytest

from analysis.core.database import Database, Snapshot
from analysis.core.times import micros
from analysis.dataset import Dataset, build, device_of
from tests.plugin.database import Database as Migrated


class Plant(Migrated):
    """The database with the few more calls that these tests repeat; its connection is the superuser's."""

    def printer(self, name: str | None = None, **fields: object) -> str:
        """A printer; returns its id."""
        name = name or f"P-{uuid.uuid4().hex[:8]}"
        self.device(name, friendly_name=name, **fields)
        return name

    def statuses(
        self, device: str, rows: Sequence[tuple[datetime, str] | tuple[datetime, str, dict[str, Any]]]
    ) -> None:
        """Records rows of (time, state[, {column: value}])."""
        values = [
            {"device_id": device, "timestamp": row[0].isoformat(), "state": row[1], **(row[2] if len(row) > 2 else {})}
            for row in rows
        ]
        self.one("SELECT record_status_rows(%s)", json.dumps(values))

    def climate(self, place: str, rows: Sequence[tuple[datetime, float | None, float | None]]) -> None:
        """Records rows of (time, °C or None, % or None)."""
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
def plant(migrated: Callable[..., contextlib.AbstractContextManager[str]]) -> Iterator[Plant]:
    """A plant without machines."""
    with migrated() as dsn, contextlib.closing(Plant(dsn)) as made:
        yield made


@pytest.fixture(scope="session")
def database(plant: Plant) -> Iterator[Database]:
    """The connection that the service uses, with the rights of enms_api."""
    made = Database(psycopg2.extensions.parse_dsn(plant.dsn), options="-c role=enms_api")
    yield made
    made.close()


@pytest.fixture
def dataset_of(database: Database) -> Callable[[str, datetime, datetime], Dataset]:
    """The data set of a device in a range."""

    def built(device: str, start: datetime, end: datetime) -> Dataset:
        with database.snapshot() as snapshot:
            return build(snapshot, device_of(snapshot, device), micros(start), micros(end))

    return built


@pytest.fixture
def value_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Snapshot, str], Any]:
    """The value of an SQL expression in a snapshot's transaction."""

    def value(snapshot: Snapshot, expression: str) -> Any:
        query = uuid.uuid4().hex
        (tmp_path / f"{query}.sql").write_text(f"SELECT {expression} AS value\n")
        with monkeypatch.context() as patch:
            patch.setattr("analysis.core.database.QUERIES", tmp_path)
            ((value,),) = (row.values() for row in snapshot.rows(query))
        return value

    return value


@pytest.fixture
def service(plant: Plant, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """analysis.service on the test database, with its own folder for models."""
    from analysis import service

    service.reset()
    monkeypatch.setenv("ENMS_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(service.kept, "database", database)
    yield service
    service.kept.database = None  # so that it stays open for the next test
    service.reset()
