"""What the bench says of stored rows (`./enms bench --only storage`), and the fleet on which it measures."""

from datetime import UTC, datetime, timedelta

import pytest

from database.migrate import migrate
from tests.bench import fleet_data
from tests.bench.database import cursor_of, first
from tests.bench.storage import row_size
from tests.plugin.database import SEED, wasm_server

ROWS = """
SELECT ingest_energy(array_agg('m' || i %% 10), array_agg(%s::timestamptz + i / 10 * interval '10 s'),
                     array_agg(100 + sin(i)), array_agg(1000.0 + i / 10 * 0.3), array_agg(230.0), array_agg(0.5))
FROM generate_series(1, 40000) i
"""


def sizes(dsn):
    return {row.name: row.value for row in row_size({"ENMS_DATABASE_URL": dsn})}


def test_bytes_of_a_row_in_partitions(migrated):
    """The fleet of the bench balances, and each of its rows has a size."""
    with migrated() as dsn:
        fleet_data.generate(dsn, 2, 1)
        with cursor_of(dsn) as cursor:
            rows, energy = first(cursor, "SELECT count(*), sum(energy_delta_wh) FROM energy_data")
            assert first(cursor, "SELECT sum(base_wh - 1000) FROM meter_state")[0] == pytest.approx(energy)
            assert first(cursor, "SELECT sum(energy_wh) FROM energy_readings_1day")[0] == pytest.approx(energy)
        assert rows == 2 * 8641
        found = sizes(dsn)
        assert found["energy row, both"] == pytest.approx(found["energy row, table"] + found["energy row, index"])
        assert 60 < found["energy row, table"] < 160 and 20 < found["energy row, index"] < 100


@pytest.mark.timescale
def test_bytes_of_a_row_in_chunks():
    """A hypertable's parent is empty: what counts are its chunks, loose and compressed."""
    with wasm_server() as dsn:
        migrate(dsn, env=SEED)
        with cursor_of(dsn) as cursor:
            meters = [f"m{i}" for i in range(10)]
            cursor.execute("SELECT register_meters(%s, %s)", (meters, ["shelly_gen2"] * 10))
            cursor.execute(ROWS, (datetime.now(UTC) - timedelta(days=20),))
        found = sizes(dsn)
        assert 60 < found["energy row, table"] < 160 and 20 < found["energy row, index"] < 100
        assert 1 < found["energy row, compressed, both"] < found["energy row, both"] / 3
