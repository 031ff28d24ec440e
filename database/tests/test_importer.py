"""CSV import: repeatable, tolerant of bad lines, with sentences that help."""

import csv
import io
import json
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from database.importer import ImportProblem, import_file, main


@pytest.fixture
def write(tmp_path):
    def make(text, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return make


def table(header, rows, delimiter=","):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([header, *rows])
    return out.getvalue()


def test_readings_twice_give_the_same_rows(plain, at, write):
    plain.device("imported")
    path = write(
        table(
            ["device_id", "timestamp", "power_watts", "energy_total_wh", "voltage"],
            [["imported", at(10 * i).isoformat(), 36, 100 + i / 10, 230] for i in range(500)],
        )
    )
    report = import_file(plain.dsn, path)
    assert (report.kind, report.lines, report.accepted, report.repeated, report.bad) == ("readings", 500, 500, 0, 0)
    rows = plain.rows("import/imported")
    report = import_file(plain.dsn, path)
    assert (report.accepted, report.repeated) == (0, 500) and plain.rows("import/imported") == rows
    assert plain.one("SELECT sum(energy_wh) FROM energy_rollup_1day WHERE device_id = 'imported'") == pytest.approx(
        49.9
    )  # already refreshed


def test_history_before_live_rows_joins_them(plain, at, write):
    meter = plain.meter(device="joined")
    plain.ingest(meter, [(at(5000), 600), (at(5010), 601)])
    path = write(
        table(
            ["device_id", "timestamp", "energy_total_wh"],
            [["joined", at(10 * i).isoformat(), 100 + i] for i in range(500)],
        )
    )
    assert import_file(plain.dsn, path).accepted == 500
    assert plain.one("SELECT sum(energy_delta_wh) FROM energy_data WHERE meter_id = %s", meter) == 501
    assert plain.one("SELECT first_seen FROM meters WHERE meter_id = %s", meter) == at(0)


def test_no_later_print_waits_for_a_meter_from_a_file(plain, at, write):
    """An old meter's counter has a meter of its own; what the new plug counts afterwards is complete and final."""
    meter = plain.meter(device="replaced")
    path = write(
        table(
            ["device_id", "meter_id", "timestamp", "energy_total_wh"],
            [["replaced", "old-meter", at(10 * i).isoformat(), 100 + i] for i in range(11)],
        )
    )
    assert import_file(plain.dsn, path).accepted == 11
    plain.ingest(meter, [(at(10_000 + 10 * i), 184_000 + i) for i in range(21)])
    job = json.dumps(
        {
            "device_id": "replaced",
            "filename": "x.gcode",
            "start_time": at(10_000).isoformat(),
            "end_time": at(10_100).isoformat(),
            "status": "done",
        }
    )
    assert plain.one("SELECT import_job(%s)", job)
    plain.one("SELECT finalize_jobs(%s)", at(10_200))
    energy, final, quality = plain.one(
        "SELECT session_energy_wh, energy_final, energy_quality FROM print_jobs WHERE device_id = 'replaced'"
    )
    assert (energy, final, quality["coverage_pct"], quality["provisional"]) == (pytest.approx(10), True, 100, False)
    assert plain.one("SELECT device_energy('replaced', %s, %s)", at(0), at(20_000)) == pytest.approx(
        30
    )  # each meter's own, nothing between them


def test_bad_lines_are_numbered_and_do_not_stop_the_others(plain, at, write):
    plain.device("tolerant")
    good = lambda s: f"tolerant,{at(s).isoformat()},5,{100 + s}"
    lines = [
        "device_id,timestamp,power_watts,energy_total_wh",
        good(0),
        "tolerant,yesterday,1,2",
        f"tolerant,{at(5).isoformat()},five,2",
        good(10),
        f'tolerant,"{at(7).isoformat()},1,2',
        "tolerant,1,2",
        f"stranger,{at(8).isoformat()},1,2",
        f"tolerant,{at(9).isoformat()},nan,2",
        "",
        good(20),
        f"tolerant,{(at(0) + timedelta(days=2)).isoformat()},1,2",
        good(30).replace("tolerant", '"tolerant"'),
    ]
    report = import_file(plain.dsn, write("\n".join(lines)))
    assert (report.accepted, report.bad) == (4, 7)
    text = report.text()
    assert (
        "1 × unknown device stranger: add it first" in text
        and "timestamp is not an ISO 8601 time (line 3)" in text
        and "power_watts is not a number (line 4)" in text
    )
    assert plain.one("SELECT sum(count) FROM ingest_rejects WHERE source = 'import' AND topic = 'data.csv'") == 5


def test_semicolons_decimal_commas_bom_and_local_time(plain, at, write):
    plain.device("lokal")
    local = at(0).astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None).isoformat(sep=" ")
    path = write(b"\xef\xbb\xbf" + f'Device_ID;timestamp;"energy_total_wh"\r\n"lokal";{local};1000,5\r\n'.encode())
    assert import_file(plain.dsn, path).accepted == 1
    assert plain.one("SELECT timestamp, energy_total_wh FROM energy_data WHERE meter_id = 'import/lokal'") == (
        at(0),
        1000.5,
    )


def test_meter_ids_and_their_devices(plain, at, write):
    plain.device("by-meter")
    path = write(
        table(
            ["meter_id", "device_id", "timestamp", "energy_total_wh"],
            [["hist/switch:0", "by-meter", at(0).isoformat(), 1], ["free/switch:0", "", at(0).isoformat(), 1]],
        )
    )
    assert import_file(plain.dsn, path).accepted == 2
    assert dict(
        plain.all("SELECT meter_id, device_id FROM energy_data WHERE meter_id IN ('hist/switch:0', 'free/switch:0')")
    ) == {"hist/switch:0": "by-meter", "free/switch:0": None}
    assert plain.one("SELECT protocol FROM meters WHERE meter_id = 'hist/switch:0'") == "shelly_gen2"


def test_a_device_with_several_meters_needs_meter_id(plain, at, write):
    for _ in range(2):
        plain.meter(device="several")
    report = import_file(
        plain.dsn, write(table(["device_id", "timestamp", "power_watts"], [["several", at(0).isoformat(), 1]]))
    )
    assert report.bad == 1 and "several main meters" in report.text()


def test_statuses_and_jobs(plain, at, write):
    meter = plain.meter(device="historic")
    plain.ingest(meter, [(at(60 * i), float(i), 60) for i in range(121)])
    statuses = write(
        table(
            ["device_id", "timestamp", "state", "nozzle_temp_actual", "is_printing", "filename"],
            [
                [
                    "historic",
                    at(60 * i).isoformat(),
                    "printing" if i < 60 else "idle",
                    215.5,
                    "true" if i < 60 else "false",
                    "a.gcode",
                ]
                for i in range(120)
            ]
            + [["historic", at(1).isoformat(), "dreaming", 1, "true", ""]],
        )
    )
    report = import_file(plain.dsn, statuses)
    assert (report.accepted, report.bad) == (120, 1) and import_file(plain.dsn, statuses).repeated == 120
    assert plain.one(
        "SELECT energy_wh FROM printer_phase_1hour WHERE device_id = 'historic' AND state = 'printing' AND bucket = %s",
        at(0),
    ) == pytest.approx(60)
    jobs = write(
        table(
            ["device_id", "filename", "start_time", "end_time", "status", "filament_used_g"],
            [
                ["historic", "a.gcode", at(0).isoformat(), at(3600).isoformat(), "done", 12],
                ["historic", "b", at(0).isoformat(), "", "done", ""],
                ["historic", "c", at(4000).isoformat(), at(3900).isoformat(), "done", ""],
                ["historic", "d", at(0).isoformat(), at(10).isoformat(), "printing", ""],
            ],
        )
    )
    report = import_file(plain.dsn, jobs)
    assert (report.accepted, report.bad) == (1, 3) and import_file(plain.dsn, jobs).repeated == 1
    assert plain.one("SELECT session_energy_wh, energy_final, cost FROM print_jobs WHERE device_id = 'historic'") == (
        pytest.approx(60),
        True,
        pytest.approx(0.018),
    )


def test_a_print_that_still_runs_continues_live(plain, at, write):
    plain.device("late", source="prusalink")
    path = write(
        table(
            [
                "device_id",
                "filename",
                "source_job_id",
                "start_time",
                "end_time",
                "status",
                "last_seen",
                "paused_seconds",
            ],
            [
                ["late", "a.gcode", "7", at(0).isoformat(), "", "printing", at(600).isoformat(), 60],
                ["late", "b.gcode", "8", at(5).isoformat(), "", "paused", "", ""],
                ["late", "c.gcode", "9", at(0).isoformat(), "", "done", "", ""],
                ["late", "d.gcode", "9", at(9).isoformat(), "", "printing", at(8).isoformat(), ""],
            ],
        )
    )
    report = import_file(plain.dsn, path)
    assert (report.accepted, report.repeated, report.bad) == (1, 1, 2), "one print at a time"
    job, seen = plain.one("SELECT job_id, last_seen FROM print_jobs WHERE device_id = 'late'")
    assert seen == at(600)
    polled = plain.one("SELECT p -> 'open_job' FROM devices_to_poll() p WHERE p ->> 'device_id' = 'late'")
    assert (polled["job_id"], polled["print_elapsed_s"]) == (str(job), 540)
    assert import_file(plain.dsn, path).accepted == 0


@pytest.mark.parametrize(
    "text, part",
    [
        ("", "empty"),
        ("a,b\n1,2\n", "no known kind"),
        ("device_id,timestamp,timestamp,power_watts\n", "twice"),
        ("device_id,timestamp,state,colour\n", "no column colour"),
        ("device_id,start_time,end_time,status,cost\n", "column cost"),
    ],
)
def test_files_that_are_no_import(plain, write, text, part):
    with pytest.raises(ImportProblem, match=part):
        import_file(plain.dsn, write(text))


def test_command_line(plain, at, write, capsys):
    plain.device("typed")
    path = write(table(["device_id", "timestamp", "power_watts"], [["typed", at(0).isoformat(), 1]]))
    assert main([str(path), "--dsn", plain.dsn]) == 0
    assert "1 new, 0 known already, 0 refused" in capsys.readouterr().out
    assert main(["/nowhere.csv", "--dsn", plain.dsn]) == 1
    assert "not imported" in capsys.readouterr().err
