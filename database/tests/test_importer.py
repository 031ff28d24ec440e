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
    assert plain.one("SELECT sum(energy_wh) FROM energy_readings_1day WHERE device_id = 'imported'") == pytest.approx(
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


def test_local_time_is_that_of_the_factory_of_the_device(plain, at, write):
    """Three factories in one file: by the device of the line, of the meter's assignment, and the default one."""
    for name, zone in (("file-york", "America/New_York"), ("file-nepal", "Asia/Kathmandu")):
        plain.all("INSERT INTO factories (slug, name, timezone, currency) VALUES (%s, %s, %s, 'EUR')", name, name, zone)
        factory = str(plain.one("SELECT factory_id FROM factories WHERE slug = %s", name))
        plain.device(f"dev-{name}", factory_id=factory)
    plain.meter("file-plug/switch:0", device="dev-file-nepal")

    def local(zone):
        return at(0).astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat()

    readings = table(
        ["device_id", "meter_id", "timestamp", "power_watts"],
        [
            ["dev-file-york", "", local("America/New_York"), 1],
            ["", "file-plug/switch:0", local("Asia/Kathmandu"), 1],
            ["", "file-nobodys", local("Europe/Berlin"), 1],
            ["dev-file-york", "", at(60).isoformat(), 1],
        ],
    )
    assert import_file(plain.dsn, write(readings)).accepted == 4
    meters = ["import/dev-file-york", "file-plug/switch:0", "file-nobodys"]
    times = plain.all("SELECT timestamp FROM energy_data WHERE meter_id = ANY (%s)", meters)
    assert sorted(times) == [(at(0),)] * 3 + [(at(60),)]
    status = table(["timestamp", "state", "device_id"], [[local("Asia/Kathmandu"), "idle", "dev-file-nepal"]])
    assert import_file(plain.dsn, write(status)).accepted == 1
    assert plain.one("SELECT timestamp FROM device_status WHERE device_id = 'dev-file-nepal'") == at(0)
    job = table(
        ["start_time", "end_time", "device_id", "filename", "status"],
        [[local("America/New_York"), at(60).isoformat(), "dev-file-york", "x", "done"]],
    )
    assert import_file(plain.dsn, write(job)).accepted == 1
    assert plain.one("SELECT start_time FROM print_jobs WHERE device_id = 'dev-file-york'") == at(0)


QUARTER = 900


def test_energy_of_intervals(plain, at, write):
    """A quarter-hourly meter of which the third of five is missing: what was told, and a gap."""
    plain.device("press", device_type="injection_molding")
    path = write(
        table(
            ["device_id", "meter_id", "timestamp", "energy_wh", "interval_s"],
            [["press", "press/electricity", at(QUARTER * i).isoformat(), 10_000, QUARTER] for i in (1, 2, 4, 5)],
        )
    )
    report = import_file(plain.dsn, path)
    assert (report.accepted, report.bad) == (4, 0), report.text()
    assert plain.one("SELECT reading_kind FROM meters WHERE meter_id = 'press/electricity'") == "interval"
    energy = "SELECT device_energy('press', %s, %s)"
    assert plain.one(energy, at(0), at(5 * QUARTER)) == pytest.approx(40_000)
    assert plain.one(energy, at(3 * QUARTER), at(4 * QUARTER)) == pytest.approx(10_000), "the gap is before it"
    again = import_file(plain.dsn, path)
    assert (again.accepted, again.repeated) == (0, 4)
    assert plain.one(energy, at(0), at(5 * QUARTER)) == pytest.approx(40_000)


def test_a_device_alone_with_intervals_gets_a_meter_of_intervals(plain, at, write):
    plain.device("boiler-1", device_type="boiler")
    rows = [["boiler-1", at(QUARTER * i).isoformat(), 500] for i in range(1, 5)]
    report = import_file(plain.dsn, write(table(["device_id", "timestamp", "energy_wh"], rows)))
    assert (report.accepted, report.bad) == (4, 0), report.text()
    kind = "SELECT reading_kind FROM meters WHERE meter_id = 'import/boiler-1'"
    assert plain.one(kind) == "interval"
    assert plain.one("SELECT device_energy('boiler-1', %s, %s)", at(QUARTER), at(4 * QUARTER)) == pytest.approx(1500)


def test_a_counter_is_no_interval(plain, at, write):
    plain.meter("counts/switch:0", device="counts")
    header = ["device_id", "meter_id", "timestamp", "energy_wh", "energy_total_wh"]
    rows = [
        ["counts", "", at(0).isoformat(), 5, ""],
        ["counts", "", at(10).isoformat(), 5, 100],
        ["counts", "told-both", at(10).isoformat(), 5, 100],
        ["counts", "tells-spans", at(10).isoformat(), 5, ""],
        ["counts", "tells-spans", at(20).isoformat(), "", 100],
    ]
    report = import_file(plain.dsn, write(table(header, rows)))
    assert (report.accepted, report.bad) == (3, 2)
    text = report.text()
    assert "meter counts/switch:0 counts: give energy_total_wh" in text and "(line 2)" in text
    assert "meter tells-spans reports intervals: give energy_wh" in text and "(line 6)" in text
    kinds = "SELECT meter_id, reading_kind FROM meters WHERE meter_id IN ('told-both', 'tells-spans')"
    assert dict(plain.all(kinds)) == {"told-both": "counter", "tells-spans": "interval"}


def test_states_and_kinds_are_rows(plain, at, write):
    """A kind and a state that nobody knew are imported as soon as they are there."""
    plain.all("INSERT INTO device_kinds (device_kind, name) VALUES ('lathe', 'Lathe') ON CONFLICT DO NOTHING")
    plain.device("lathe-1", device_type="lathe")
    path = write(
        table(
            ["device_id", "timestamp", "state", "state_text"],
            [
                ["lathe-1", at(0).isoformat(), "running", "AUTO"],
                ["lathe-1", at(60).isoformat(), "warming", ""],
                ["lathe-1", at(120).isoformat(), "fault", "E12"],
            ],
        )
    )
    report = import_file(plain.dsn, path)
    assert (report.accepted, report.bad) == (2, 1)
    assert "there is no state warming: use one of offline, idle" in report.text()
    plain.all("INSERT INTO states (state_key, state, name, class) VALUES (700, 'warming', 'Warming up', 'ready')")
    try:
        report = import_file(plain.dsn, path)
        assert (report.accepted, report.repeated, report.bad) == (1, 2, 0)
        stored = "SELECT state, class, state_text FROM device_status WHERE device_id = 'lathe-1' ORDER BY timestamp"
        assert plain.all(stored) == [
            ("running", "productive", "AUTO"),
            ("warming", "ready", None),
            ("fault", "down", "E12"),
        ]
    finally:
        plain.all("DELETE FROM series.device_status WHERE state_key = 700; DELETE FROM states WHERE state_key = 700")


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
