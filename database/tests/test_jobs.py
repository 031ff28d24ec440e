"""Printer statuses, the life of a job, and its energy (SPEC 4.5, 5)."""

import json
import uuid
from datetime import timedelta

import psycopg2
import pytest

JOB = "SELECT session_energy_wh, energy_final, energy_quality FROM print_jobs WHERE job_id = %s"


class Printer:
    """A printer with a meter that counts 1 Wh every 10 s, and short forms of record_status."""

    def __init__(self, db, at, name=None):
        self.db, self.at = db, at
        self.name = name or f"printer-{uuid.uuid4().hex[:6]}"
        self.meter = db.meter(device=self.name)

    def run(self, first, last):
        return self.db.ingest(self.meter, [(self.at(s), 1000 + s / 10, 360) for s in range(first, last + 1, 10)])

    def status(self, seconds, state, *actions, **fields):
        message = {
            "device_id": self.name,
            "timestamp": self.at(seconds).isoformat(),
            "state": state,
            "actions": actions,
            **fields,
        }
        return self.db.one("SELECT record_status(%s)", json.dumps([message]))

    def print(self, start, end, status="done"):
        job = str(uuid.uuid4())
        self.status(
            start,
            "printing",
            {
                "type": "open",
                "job": {"job_id": job, "filename": "part.gcode", "start_time": self.at(start).isoformat()},
            },
        )
        self.status(
            end, "finished", {"type": "close", "job_id": job, "end_time": self.at(end).isoformat(), "status": status}
        )
        return job

    def finalize(self, seconds):
        self.db.one("SELECT finalize_jobs(%s)", self.at(seconds))


@pytest.fixture
def printer(db, at):
    return Printer(db, at)


def test_energy_is_final_when_the_meter_passed_the_end(db, printer):
    printer.run(0, 100)
    job = printer.print(15, 115)
    printer.finalize(120)
    assert db.one(JOB, job)[:2] == (None, False)
    printer.run(110, 120)
    printer.finalize(121)
    energy, final, quality = db.one(JOB, job)
    assert (energy, final) == (pytest.approx(10), True)
    assert quality == {
        "method": "counter",
        "coverage_pct": 100.0,
        "gaps": 0,
        "resets": 0,
        "jumps": 0,
        "provisional": False,
        "estimated_end": False,
    }
    cost = db.one(
        "SELECT cost, currency, co2_g, cardinality(tariff_ids), cardinality(carbon_factor_ids), duration_seconds, "
        "start_energy_wh FROM print_jobs WHERE job_id = %s",
        job,
    )
    assert cost == (pytest.approx(0.003), "EUR", pytest.approx(3.8), 1, 1, 100, 1001)


def test_provisional_after_ten_minutes_of_silence_then_completed(db, printer):
    printer.run(0, 60)
    job = printer.print(0, 100)
    printer.finalize(699)
    assert db.one(JOB, job)[0] is None
    printer.finalize(701)
    energy, final, quality = db.one(JOB, job)
    assert (energy, final, quality["provisional"], quality["coverage_pct"]) == (6, False, True, 60.0)
    printer.run(700, 700)
    printer.finalize(702)
    energy, final, quality = db.one(JOB, job)
    assert (energy, final, quality["provisional"], quality["gaps"]) == (pytest.approx(10), True, False, 1)


def test_late_data_compute_the_job_again(db, printer):
    printer.run(0, 50)
    job = printer.print(20, 100)
    printer.run(300, 300)  # a gap across the end
    printer.finalize(301)
    assert db.one(JOB, job)[0] == pytest.approx(8)
    db.ingest(printer.meter, [(printer.at(100), 1006.0, 0)])  # the printer idled in the gap's rest
    assert db.one(JOB, job)[1] is False
    printer.finalize(302)
    assert db.one(JOB, job)[:2] == (pytest.approx(4), True)
    printer.finalize(303)
    assert db.one(JOB, job)[:2] == (pytest.approx(4), True)


def test_without_a_meter_the_energy_is_null_until_one_is_assigned(db, at):
    name = f"bare-{uuid.uuid4().hex[:6]}"
    db.device(name)
    printer = Printer.__new__(Printer)
    printer.db, printer.at, printer.name, printer.meter = db, at, name, db.meter()
    printer.run(0, 200)
    job = printer.print(50, 150)
    printer.finalize(151)
    energy, final, quality = db.one(JOB, job)
    assert (energy, final, quality["method"], quality["coverage_pct"]) == (None, True, "none", None)
    db.one("SELECT meter_assign(%s, %s, 'main', NULL, 'test')", printer.meter, name)
    printer.finalize(152)
    assert db.one(JOB, job)[:2] == (pytest.approx(10), True)


def test_replaying_statuses_changes_nothing(db, printer):
    job = str(uuid.uuid4())
    batch = [
        {
            "device_id": printer.name,
            "timestamp": printer.at(s).isoformat(),
            "state": state,
            "progress_percent": p,
            "actions": actions,
        }
        for s, state, p, actions in [
            (
                0,
                "printing",
                0,
                [
                    {
                        "type": "open",
                        "job": {
                            "job_id": job,
                            "filename": "a.gcode",
                            "source_job_id": "7",
                            "start_time": printer.at(0).isoformat(),
                        },
                    }
                ],
            ),
            (
                30,
                "paused",
                50,
                [{"type": "progress", "job_id": job, "status": "paused", "progress_percent": 50, "paused_seconds": 0}],
            ),
            (
                60,
                "printing",
                60,
                [
                    {
                        "type": "progress",
                        "job_id": job,
                        "status": "printing",
                        "progress_percent": 60,
                        "paused_seconds": 30,
                        "material": "PLA",
                    }
                ],
            ),
            (
                90,
                "finished",
                100,
                [
                    {
                        "type": "close",
                        "job_id": job,
                        "end_time": printer.at(90).isoformat(),
                        "status": "done",
                        "filament_used_g": 12.5,
                    }
                ],
            ),
        ]
    ]
    state = (
        "SELECT to_jsonb(j), to_jsonb(l), (SELECT count(*) FROM printer_status s WHERE s.device_id = j.device_id), "
        "(SELECT count(*) FROM print_jobs k WHERE k.device_id = j.device_id) "
        "FROM print_jobs j JOIN device_latest l USING (device_id) WHERE job_id = %s"
    )
    assert db.one("SELECT record_status(%s)", json.dumps(batch))["stored"] == 4
    first = db.one(state, job)
    assert db.one("SELECT record_status(%s)", json.dumps(batch)) == {
        "stored": 0,
        "repeated": 4,
        "rejected": 0,
        "jobs": [],
    }
    for part in batch:
        db.one("SELECT record_status(%s)", json.dumps([part]))
    assert db.one(state, job) == first
    row = first[0]
    assert (row["status"], row["paused_seconds"], row["material"], row["filament_used_g"], row["progress_percent"]) == (
        "done",
        30,
        "PLA",
        12.5,
        60,
    )


def test_start_never_moves_and_one_job_is_open(db, printer):
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    printer.status(
        0,
        "printing",
        {"type": "open", "job": {"job_id": first, "filename": "a", "start_time": printer.at(0).isoformat()}},
    )
    printer.status(
        30,
        "printing",
        {"type": "progress", "job_id": first, "start_time": printer.at(-500).isoformat(), "progress_percent": 3},
    )
    db.all("UPDATE print_jobs SET start_time = %s WHERE job_id = %s", printer.at(-900), first)
    assert db.one("SELECT start_time FROM print_jobs WHERE job_id = %s", first) == printer.at(0)
    printer.status(
        60,
        "printing",
        {"type": "open", "job": {"job_id": second, "filename": "b", "start_time": printer.at(55).isoformat()}},
    )
    assert db.all(
        "SELECT job_id::text, status, end_time, status_reason FROM print_jobs WHERE device_id = %s ORDER BY start_time",
        printer.name,
    ) == [(first, "unknown", printer.at(30), "another job began"), (second, "printing", None, None)]


def test_an_estimated_end_is_clipped_where_the_power_fell_to_idle(db, printer):
    db.device(printer.name, idle_power_w=10)
    db.ingest(printer.meter, [(printer.at(s), 1000 + s / 10, 300 if s < 200 else 9) for s in range(0, 600, 10)])
    job = str(uuid.uuid4())
    printer.status(
        0,
        "printing",
        {"type": "open", "job": {"job_id": job, "filename": "a", "start_time": printer.at(0).isoformat()}},
    )
    printer.status(
        400,
        "idle",
        {
            "type": "close",
            "job_id": job,
            "end_time": printer.at(350).isoformat(),
            "status": "unknown",
            "estimated": True,
        },
    )
    printer.finalize(601)
    assert db.one("SELECT end_time FROM print_jobs WHERE job_id = %s", job) == printer.at(200)
    assert db.one(JOB, job)[2]["estimated_end"] is True


def test_bad_statuses_do_not_stop_the_others(db, printer):
    good = {"device_id": printer.name, "timestamp": printer.at(0).isoformat(), "state": "idle", "fan_rpm": 5}
    batch = [
        {**good, "state": "dreaming"},
        {**good, "timestamp": "yesterday-ish"},
        {**good, "fan_rpm": "fast"},
        {**good, "timestamp": None},
        {**good, "device_id": "nobody"},
        {**good, "progress_percent": 180},
        {**good, "actions": [{"type": "open", "job": {"job_id": "no"}}]},
        good,
    ]
    counts = db.one("SELECT record_status(%s)", json.dumps(batch))
    assert (counts["stored"], counts["rejected"]) == (1, 7)


def test_latest_keeps_the_newest_status_and_the_change_of_state(db, printer):
    for seconds, state in [(0, "idle"), (60, "printing"), (30, "idle"), (90, "printing"), (45, "heating")]:
        printer.status(seconds, state)
    latest = db.one("SELECT state, state_since, status_at FROM device_latest WHERE device_id = %s", printer.name)
    assert latest == ("printing", printer.at(60), printer.at(90))
    printer.db.one(
        "SELECT record_status(%s)",
        json.dumps(
            [{"device_id": printer.name, "timestamp": printer.at(95).isoformat(), "state": None, "error": "401"}]
        ),
    )
    assert db.one("SELECT state, last_error FROM device_latest WHERE device_id = %s", printer.name) == (
        "printing",
        "401",
    )


def test_silence_makes_offline_and_a_day_ends_the_job(db, printer):
    db.device(printer.name, source="prusalink")
    job = str(uuid.uuid4())
    printer.status(
        0,
        "printing",
        {
            "type": "open",
            "job": {"job_id": job, "filename": "a", "start_time": printer.at(0).isoformat(), "time_left_seconds": 600},
        },
    )
    db.one("SELECT reap_devices(%s)", printer.at(299))
    assert db.one("SELECT state FROM device_latest WHERE device_id = %s", printer.name) == "printing"
    db.one("SELECT reap_devices(%s)", printer.at(301))
    assert db.one("SELECT state FROM device_latest WHERE device_id = %s", printer.name) == "offline"
    assert db.one("SELECT status FROM print_jobs WHERE job_id = %s", job) == "printing"
    db.one("SELECT reap_devices(%s)", printer.at(0) + timedelta(hours=25))
    assert db.one("SELECT status, end_time FROM print_jobs WHERE job_id = %s", job) == ("unknown", printer.at(600))


def test_devices_to_poll_has_all_that_a_poll_needs(db, printer):
    db.device(printer.name, source="octoprint", api_ip="127.0.0.1:5000", api_key="secret")
    job = str(uuid.uuid4())
    printer.status(
        0,
        "printing",
        {"type": "open", "job": {"job_id": job, "filename": "a", "start_time": printer.at(0).isoformat()}},
    )
    row = next(r for (r,) in db.all("SELECT devices_to_poll()") if r["device_id"] == printer.name)
    assert (row["api_key"], row["open_job"]["job_id"], row["latest"]["state"]) == ("secret", job, "printing")


def test_states_share_time_and_energy_of_an_hour(db, printer):
    printer.run(0, 3600)
    for seconds, state in [
        (0, "idle"),
        (240, "idle"),
        (480, "printing"),
        *((s, "printing") for s in range(720, 2400, 240)),
        (2400, "finished"),
    ]:
        printer.status(seconds, state)
    while db.one("SELECT refresh_phases(%s)", printer.at(7200))["remaining"]:
        pass
    rows = {
        state: (seconds, wh)
        for state, seconds, wh in db.all(
            "SELECT state, seconds, energy_wh FROM printer_phase_1hour WHERE device_id = %s AND bucket = %s",
            printer.name,
            printer.at(0),
        )
    }
    assert rows == {
        "idle": (480, pytest.approx(48)),
        "printing": (1920, pytest.approx(192)),
        "finished": (300, pytest.approx(30)),
        "no_data": (900, pytest.approx(90)),
    }


def test_job_constraints_hold(db, printer):
    with pytest.raises(psycopg2.errors.CheckViolation):
        db.all("INSERT INTO print_jobs (device_id, start_time, status) VALUES (%s, now(), 'done')", printer.name)
