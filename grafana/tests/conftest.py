"""A small plant on both engines, made through the accounting functions, and read as Grafana reads it."""

import pytest

# The engines are made as for the tests of the database; each folder has its own databases.
from database.tests.conftest import at, db, plain, pytest_configure, timescale  # noqa: F401

from .plant import fill


@pytest.fixture(scope="session")
def filled():
    """The engines that have the plant already."""
    return set()


@pytest.fixture
def plant(db, filled):  # noqa: F811
    """The database with data, its connection read-only and in the role of the data source."""
    if db.engine not in filled:
        fill(db)
        filled.add(db.engine)
    db.all("SET ROLE enms_grafana")
    db.all("SET default_transaction_read_only = on")
    yield db
    db.all("RESET default_transaction_read_only")
    db.all("RESET ROLE")
