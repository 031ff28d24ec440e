"""Gaps of ten minutes, which no test can wait for: a morning of history comes in through `./enms import`, which uses
the same accounting functions.

The true power is a formula here, so the true energy of any interval is exact: 8 W idle, and in a print 300 W for five
minutes, then 120 W.
"""

import csv
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.support.enms import LEVELS

DEVICE = "import-printer"
METER = "import-plug/switch:0"
IDLE_W, HEATING_W, PRINTING_W, HEATING_MIN = 8.0, 300.0, 120.0, 5.0
EVERY_S = 10
MINUTES = 240
# name: (begin, end) in minutes; gaps: the plug sent nothing in these minutes
PRINTS = {"gap-within.gcode": (10, 70), "gap-across-end.gcode": (90, 120), "whole.gcode": (150, 200)}
GAPS = ((30, 40), (115, 125))
# The edges of a print fall between two readings.
EDGE_WH = (HEATING_W - IDLE_W) * EVERY_S / 3600


def watts(minute: float) -> float:
    """True power at a minute of the morning."""
    for begin, end in PRINTS.values():
        if begin <= minute < end:
            return HEATING_W if minute < begin + HEATING_MIN else PRINTING_W
    return IDLE_W


def true_wh(begin: float, end: float) -> float:
    """True energy between two minutes, exact: the power is constant between the edges."""
    edges = sorted(
        {begin, end, *(e for b, stop in PRINTS.values() for e in (b, b + HEATING_MIN, stop) if begin < e < end)}
    )
    return sum(watts(a) * (b - a) / 60 for a, b in pairwise(edges))


@pytest.fixture(scope="module")
def morning(enms, tmp_path_factory):
    """Imports readings in three files (one shuffled, one in order that overlaps it, and that one again), then the jobs.

    Yields the start of minute 0.
    """
    start = (datetime.now(UTC) - timedelta(days=2)).replace(hour=5, minute=0, second=0, microsecond=0)
    folder = tmp_path_factory.mktemp("morning")
    enms.add_device(
        {
            "device_id": DEVICE,
            "device_type": "printer",
            "friendly_name": "Imported",
            "source": "none",
            "shelly_id": "import-plug",
        }
    )
    rows = []
    for i in range(0, MINUTES * 60 + 1, EVERY_S):
        minute = i / 60
        if not any(begin < minute < end for begin, end in GAPS):
            rows.append(
                [
                    METER,
                    (start + timedelta(seconds=i)).isoformat(),
                    watts(minute),
                    round(70_000 + true_wh(0, minute), 3),
                ]
            )
    first, second = rows[: len(rows) * 2 // 3], rows[len(rows) // 3 :]
    random.Random(3).shuffle(second)
    jobs = [
        [DEVICE, name, (start + timedelta(minutes=b)).isoformat(), (start + timedelta(minutes=e)).isoformat(), "done"]
        for name, (b, e) in PRINTS.items()
    ]
    for name, header, content in (
        ("shuffled", ["meter_id", "timestamp", "power_watts", "energy_total_wh"], second),
        ("first", ["meter_id", "timestamp", "power_watts", "energy_total_wh"], first),
        ("again", ["meter_id", "timestamp", "power_watts", "energy_total_wh"], first),
        ("jobs", ["device_id", "filename", "start_time", "end_time", "status"], jobs),
        ("jobs-again", ["device_id", "filename", "start_time", "end_time", "status"], jobs),
    ):
        path = folder / f"{name}.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *content])
        enms.launch("import", str(path))
    enms.rows("SELECT finalize_jobs()")
    yield start
    enms.change("DELETE", f"/api/devices/{DEVICE}")


def job(enms, filename: str) -> dict:
    [found] = enms.rows("SELECT * FROM print_jobs WHERE device_id = %s AND filename = %s", DEVICE, filename)
    return found


def test_ten_minutes_of_silence_within_a_print_cost_nothing(morning, enms):
    """The counter knows the sum; the coverage says how much was seen."""
    found = job(enms, "gap-within.gcode")
    assert found["session_energy_wh"] == pytest.approx(true_wh(*PRINTS["gap-within.gcode"]), abs=EDGE_WH)
    assert found["energy_quality"]["gaps"] == 1
    assert found["energy_quality"]["coverage_pct"] == pytest.approx(100 * 50 / 60, abs=1)


def test_ten_minutes_across_the_end_are_shared_and_flagged(morning, enms):
    """When the energy of the gap flowed is unknown: the print gets a share by time, and its coverage shows it.

    The rest stays with the printer.
    """
    found = job(enms, "gap-across-end.gcode")
    begin, end = PRINTS["gap-across-end.gcode"]
    gap_wh = true_wh(115, 125)
    assert found["energy_quality"]["gaps"] == 1 and found["energy_quality"]["coverage_pct"] == pytest.approx(
        100 * 25 / 30, abs=1
    )
    assert found["session_energy_wh"] == pytest.approx(true_wh(begin, 115) + gap_wh / 2, abs=EDGE_WH)
    whole = enms.value(
        "SELECT device_energy(%s, %s, %s)", DEVICE, morning + timedelta(minutes=begin), morning + timedelta(minutes=140)
    )
    after = enms.value(
        "SELECT device_energy(%s, %s, %s)", DEVICE, morning + timedelta(minutes=end), morning + timedelta(minutes=140)
    )
    assert found["session_energy_wh"] + after == pytest.approx(whole, abs=1e-9)
    assert whole == pytest.approx(true_wh(begin, 140), abs=EDGE_WH)


def test_gaps_of_other_prints_change_nothing(morning, enms):
    """Full coverage, no flag."""
    found = job(enms, "whole.gcode")
    assert found["session_energy_wh"] == pytest.approx(true_wh(*PRINTS["whole.gcode"]), abs=EDGE_WH)
    assert found["energy_quality"]["gaps"] == 0 and found["energy_quality"]["coverage_pct"] == 100


def test_repeated_and_shuffled_files_change_nothing(morning, enms):
    """One row a reading, Σ deltas = counter difference, three prints."""
    expected = MINUTES * 60 // EVERY_S + 1 - sum((end - begin) * 60 // EVERY_S - 1 for begin, end in GAPS)
    found = enms.rows("SELECT count(*) AS n, sum(energy_delta_wh) AS wh FROM energy_data WHERE meter_id = %s", METER)[0]
    assert found["n"] == expected
    assert found["wh"] == pytest.approx(true_wh(0, MINUTES), abs=0.002)
    assert enms.value("SELECT count(*) FROM print_jobs WHERE device_id = %s", DEVICE) == len(PRINTS)


def test_rollups_of_the_morning_sum_to_its_deltas(morning, enms):
    """At each level, before and after the rollups are stored; and an hour with a gap has the energy of the counter."""
    deltas = enms.value("SELECT sum(energy_delta_wh) FROM energy_data WHERE meter_id = %s", METER)
    for _ in range(2):
        for level in LEVELS:
            assert enms.value(
                f"SELECT sum(energy_wh) FROM energy_readings_{level} WHERE meter_id = %s", METER
            ) == pytest.approx(deltas, abs=1e-6), level
        enms.rows("SELECT refresh_rollups()")
    hours = [
        row["energy_wh"]
        for row in enms.rows("SELECT energy_wh FROM energy_readings_1hour WHERE meter_id = %s ORDER BY bucket", METER)
    ]
    assert hours[0] == pytest.approx(true_wh(0, 60), abs=EDGE_WH)
