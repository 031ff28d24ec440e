"""The worked examples of docs/accounting.md, run against the functions that they describe."""

import contextlib
import re
import uuid
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from common.files import ROOT

START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)  # within the raw rows kept
MISSING = {"–", "·", ""}


def worked_examples():
    """Each table of the page with a counter and an energy row: {row name: cells}, cells as text."""
    page = (ROOT / "docs" / "accounting.md").read_text()
    for block in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        rows = [
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in block.splitlines()
            if not line.startswith("|---")
        ]
        table = {row[0]: row[1:] for row in rows}
        if "counter, Wh" in table:
            yield table


@pytest.fixture(scope="module")
def cursor(migrated):
    with migrated({}) as dsn, contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        yield connection.cursor()


def meter(cursor):
    """The id of a new meter."""
    name = f"m-{uuid.uuid4().hex[:8]}"
    cursor.execute("SELECT register_meters(ARRAY[%s], ARRAY['shelly_gen2'])", (name,))
    return name


def ingest(cursor, name, times, powers, counters):
    cursor.execute(
        "SELECT ingest_energy(%s::text[], %s::timestamptz[], %s::float8[], %s::float8[])",
        ([name] * len(times), times, powers, counters),
    )


def test_the_page_has_examples():
    assert len(list(worked_examples())) >= 7


@pytest.mark.parametrize("table", list(worked_examples()), ids=lambda table: " ".join(table["counter, Wh"]))
def test_worked_example(cursor, table):
    name = meter(cursor)
    counters = [None if cell in MISSING else float(cell) for cell in table["counter, Wh"]]
    times = [START + timedelta(seconds=10 * i) for i in range(len(counters))]
    ingest(cursor, name, times, [None if c is not None else 50.0 for c in counters], counters)
    cursor.execute(
        "SELECT energy_delta_wh, coalesce(quality, '') FROM energy_data WHERE meter_id = %s ORDER BY timestamp", (name,)
    )
    rows = cursor.fetchall()
    expected = [None if cell in MISSING else pytest.approx(float(cell), abs=1e-9) for cell in table["energy, Wh"]]
    assert [row[0] for row in rows] == expected
    if "flag" in table:
        assert [row[1] for row in rows] == table["flag"]


@pytest.mark.parametrize("powers, expected", [([None, None], 4.0), ([20.0, 130.0], 8.125)], ids=["evenly", "by power"])
def test_an_interval_is_cut_where_a_print_begins(cursor, powers, expected):
    name = meter(cursor)
    begin = START + timedelta(minutes=6)
    rows = [(START, powers[0], 1000.0), (START + timedelta(minutes=10), None, 1010.0)]
    if powers[1] is not None:
        rows.insert(1, (begin, powers[1], None))
    ingest(cursor, name, *map(list, zip(*rows)))
    cursor.execute("SELECT energy_between(%s, %s, %s)", (name, begin, START + timedelta(minutes=10)))
    assert cursor.fetchone()[0] == pytest.approx(expected)
