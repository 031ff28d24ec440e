"""What is known from the G-code of a print, and what follows from it once the print has ended."""

import json
import uuid

import psycopg2
import pytest

ANALYSIS = {"filament": {"total_g": 20.0, "total_mm": 6000.0}, "job_details": {"object_name": "cube"}}
PARTS = [{"name": "a", "energy_share": 0.75}, {"name": "b", "energy_share": 0.25}]
COLUMNS = "filament_used_g, material, gcode_status, thumbnail_url, preview_url"


@pytest.fixture
def job(db):
    """Makes a print that began that many seconds ago; `more` are fields of its open action."""

    def make(ago=10, source="prusalink", **more):
        device, number = f"g-{uuid.uuid4().hex[:6]}", str(uuid.uuid4())
        db.one(
            "SELECT device_save(%s, 'test')",
            json.dumps({"device_id": device, "source": source, "api_ip": "printer", "api_key": "hidden"}),
        )
        began = db.one("SELECT now() - make_interval(secs => %s)", ago).isoformat()
        status(
            db,
            device,
            began,
            "printing",
            {"type": "open", "job": {"job_id": number, "filename": "a.gcode", "start_time": began, **more}},
        )
        return device, number

    return make


def status(db, device, at, state, action):
    return db.one(
        "SELECT record_status(%s)",
        json.dumps([{"device_id": device, "timestamp": at, "state": state, "actions": [action]}]),
    )


def end(db, device, number, how="done", **more):
    now = db.one("SELECT now()").isoformat()
    status(db, device, now, "finished", {"type": "close", "job_id": number, "end_time": now, "status": how, **more})


def record(db, number, **result):
    return db.one(
        "SELECT record_gcode(%s)",
        json.dumps(
            [
                {
                    "job_id": number,
                    "status": "done",
                    "analysis": ANALYSIS,
                    "parts": PARTS,
                    "material": "PLA",
                    "thumbnail_url": f"/files/gcode/{number}.png",
                    "preview_url": None,
                    **result,
                }
            ]
        ),
    )


def wanted(db, days=1.0):
    return {row[0]["job_id"]: row[0] for row in db.all("SELECT jobs_to_enrich(%s, 1000)", days)}


def test_the_list_has_what_lacks_its_file_until_it_is_recorded_or_requested_again(db, job):
    _, running = job(download_ref="/usb/A.GCO")
    _, nameless = job(ago=20)
    _, old = job(ago=3 * 86400, download_ref="/usb/OLD.GCO")
    found = wanted(db)
    assert found[running]["device"]["api_key"] == "hidden" and found[running]["download_ref"] == "/usb/A.GCO"
    assert nameless not in found, "its printer may still name it"
    assert old not in found and old in wanted(db, 7)
    assert record(db, running) == 1
    assert running not in wanted(db)
    for number in (running, old):
        db.one("SELECT request_gcode(%s)", number)
        assert number in wanted(db)
    with pytest.raises(psycopg2.Error) as refused:
        db.one("SELECT request_gcode(%s)", str(uuid.uuid4()))
    assert refused.value.pgcode == "P0002"


def test_what_the_source_reported_stays(db, job):
    device, number = job(material="PETG", filament_used_g=7.5)
    record(db, number)
    record(db, number, status="The printer no longer has the file.", analysis=None, parts=None, thumbnail_url=None)
    end(db, device, number)
    assert db.one(f"SELECT {COLUMNS} FROM print_jobs WHERE job_id = %s", number) == (
        7.5,
        "PETG",
        "The printer no longer has the file.",
        f"/files/gcode/{number}.png",
        None,
    )


@pytest.mark.parametrize(
    "how, more, grams",
    [
        ("done", {}, 20),
        ("cancelled", {"progress_percent": 25}, 5),
        ("cancelled", {"filament_used_mm": 1500}, 5),
        ("done", {"filament_used_mm": 6600}, 22),
        ("unknown", {}, None),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_grams_of_an_ended_print(db, job, how, more, grams, late):
    device, number = job()
    if not late:
        record(db, number)
        assert db.one("SELECT filament_used_g FROM print_jobs WHERE job_id = %s", number) is None, (
            "a running print has not used the whole file"
        )
    end(db, device, number, how, **more)
    if late:
        record(db, number)
    assert db.one("SELECT filament_used_g FROM print_jobs WHERE job_id = %s", number) == (
        None if grams is None else pytest.approx(grams)
    )


def test_parts_share_the_energy_of_the_print(db, job):
    device, number = job()
    record(db, number)
    end(db, device, number)
    db.all("UPDATE print_jobs SET session_energy_wh = 100 WHERE job_id = %s", number)
    parts = db.one("SELECT per_part_analysis FROM print_jobs WHERE job_id = %s", number)
    assert [(part["name"], part["energy_wh"]) for part in parts] == [("a", 75), ("b", 25)]


def test_a_removed_picture_leaves_its_prints(db, job):
    _, number = job()
    record(db, number)
    assert db.one("SELECT forget_gcode(%s)", [f"/files/gcode/{number}.png", "/files/gcode/other.png"]) == 1
    assert db.one("SELECT thumbnail_url FROM print_jobs WHERE job_id = %s", number) is None
