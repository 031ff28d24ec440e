"""Many rows of a meter that the planner's statistics do not know yet: no statement may take quadratic time."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from tests.plugin.database import Database

ROWS = 20_000
BEGIN = datetime.now(UTC) - timedelta(days=6)


def time_of(i):
    """Of reading i: 25 s after the one before it, and 70 s at every hundredth."""
    return BEGIN + timedelta(seconds=25 * i + 45 * (i // 100))


@pytest.fixture(scope="module")
def stale(migrated):
    """A database whose statistics were collected before the 20,000 rows of the meter `new` arrived."""
    with migrated() as dsn, contextlib.closing(Database(dsn)) as db:
        # six days may lie in two months
        db.one("SELECT ensure_months('energy', %s, %s)", time_of(0), time_of(ROWS))
        for (month,) in db.all(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'series.energy'::regclass"
        ):
            db.all(f"ALTER TABLE {month} SET (autovacuum_enabled = off)")
        db.meter("old", device="first")
        db.ingest("old", [(time_of(i), 100.0 + i) for i in range(50)])
        db.ingest("old", [(time_of(ROWS - 50 + i), 9000.0 + i) for i in range(50)])
        db.all("ANALYZE series.energy")
        db.meter("new", device="first")
        db.ingest("new", [(time_of(i), 100.0 + i / 10, 36.0) for i in range(ROWS)])
        # Each test takes less than a second; with nested loops it took minutes.
        db.all("SET statement_timeout = '20s'")
        yield db


def test_gap_flags_after_a_new_interval(stale):
    gaps = "SELECT count(*) FROM energy_data WHERE meter_id = 'new' AND has_flag(quality, 'gap')"
    assert stale.one(gaps) == ROWS // 100 - 1, "more than 60 s, as long as the interval is unknown"
    assert stale.one("SELECT learn_reporting_intervals(ARRAY['new'])") == 1
    assert stale.one(gaps) == 0


def test_rows_after_a_new_assignment(stale):
    stale.device("second")
    stale.one("SELECT meter_assign('new', 'second', 'main', %s, 'test')", time_of(ROWS // 2))
    assert stale.all("SELECT device_id, count(*) FROM energy_data WHERE meter_id = 'new' GROUP BY 1 ORDER BY 1") == [
        ("first", ROWS // 2),
        ("second", ROWS // 2),
    ]
