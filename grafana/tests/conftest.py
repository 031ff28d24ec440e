"""A small plant on both engines, made through the accounting functions, and read as Grafana reads it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.plugin.database import Database

from .plant import fill


@pytest.fixture(scope="session")
def filled() -> set[str]:
    """The engines that have the plant already."""
    return set()


@contextmanager
def as_grafana(database: Database, filled: set[str]) -> Iterator[Database]:
    """The database with the plant, its connection read-only and in the role of the data source."""
    if database.engine not in filled:
        fill(database)
        filled.add(database.engine)
    database.all("SET ROLE enms_grafana; SET enms.factories = '*'")
    database.all("SET default_transaction_read_only = on")
    yield database
    database.all("RESET default_transaction_read_only")
    database.all("RESET ROLE; RESET enms.factories")


@pytest.fixture
def plant(db: Database, filled: set[str]) -> Iterator[Database]:
    """The plant on each engine."""
    with as_grafana(db, filled) as database:
        yield database


@pytest.fixture
def plain_plant(plain: Database, filled: set[str]) -> Iterator[Database]:
    """The plant on PostgreSQL alone, where the engine makes no difference."""
    with as_grafana(plain, filled) as database:
        yield database
