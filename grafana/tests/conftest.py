"""A small plant on both engines, made through the accounting functions, and read as Grafana reads it."""

from contextlib import contextmanager

import pytest

from .plant import fill


@pytest.fixture(scope="session")
def filled():
    """The engines that have the plant already."""
    return set()


@contextmanager
def as_grafana(database, filled):
    """The database with data, its connection read-only and in the role of the data source."""
    if database.engine not in filled:
        fill(database)
        filled.add(database.engine)
    database.all("SET ROLE enms_grafana")
    database.all("SET default_transaction_read_only = on")
    yield database
    database.all("RESET default_transaction_read_only")
    database.all("RESET ROLE")


@pytest.fixture
def plant(db, filled):
    """The plant on each engine."""
    with as_grafana(db, filled) as database:
        yield database


@pytest.fixture
def plain_plant(plain, filled):
    """The plant on PostgreSQL alone, where an engine makes no difference."""
    with as_grafana(plain, filled) as database:
        yield database
