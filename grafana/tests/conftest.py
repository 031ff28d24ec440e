"""A small plant on both engines, made through the accounting functions, and read as Grafana reads it."""

import pytest

# The engines are made as for the tests of the database; each folder has its own databases.
from database.tests.conftest import at, db, plain, pytest_configure, timescale  # noqa: F401

from .plant import fill


@pytest.fixture(scope="session")
def filled():
    """{engine: the plant's newest moment}, filled at first use."""
    return {}


@pytest.fixture
def plant(db, filled):  # noqa: F811
    """(database, newest moment) with data, its connection read-only and in the role of the data source."""
    if db.engine not in filled:
        filled[db.engine] = fill(db)
    db.all("SET ROLE enms_grafana")
    db.all("SET default_transaction_read_only = on")
    yield db, filled[db.engine]
    db.all("RESET default_transaction_read_only")
    db.all("RESET ROLE")
