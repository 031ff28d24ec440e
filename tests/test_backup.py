"""Backup, wipe, restore on a real stack: what comes back is what was there; what is no good backup changes nothing."""

import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import enms as stacks
from tests.support.meter_publisher import MeterPublisher
from tests.support.waiting import wait_for

RUN = Path(os.environ["ENMS_RUN_DIR"])
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
FLOW = "060-housekeeping.json"
STORED = "SELECT count(*) FROM energy_data WHERE meter_id LIKE 'busy-%%'"
# Everything that must come back, by our own words and not by those of the backup.
BOOKS = {
    "energy per device and day": """
        SELECT device_id, bucket, round(sum(energy_wh)::numeric, 6)
        FROM energy_readings_1day GROUP BY 1, 2 ORDER BY 1, 2
    """,
    "deltas": """
        SELECT meter_id, count(*), round(sum(energy_delta_wh)::numeric, 6) FROM energy_data GROUP BY 1 ORDER BY 1
    """,
    "jobs": """
        SELECT job_id, device_id, filename, start_time, end_time, status, session_energy_wh, cost, co2_g, energy_final
        FROM print_jobs ORDER BY 1
    """,
    "devices": """
        SELECT device_id, machine_id, friendly_name, source, api_ip, shelly_id, notes FROM devices ORDER BY 1
    """,
    "meters": "SELECT meter_id, protocol, energy_type, max_power_w FROM meters ORDER BY 1",
    "assignments": """
        SELECT meter_id, device_id, role, valid_from::text, valid_to::text FROM meter_assignments ORDER BY 1, 4
    """,
    "tariffs": """
        SELECT name, price_per_kwh, weekdays, time_from::text, time_to::text FROM energy_tariffs ORDER BY 1
    """,
    "factors": "SELECT region, g_co2_per_kwh FROM carbon_factors ORDER BY 1",
    "settings": "SELECT name, value FROM settings ORDER BY 1",
    "statuses": """
        SELECT device_id, count(*), min(timestamp), max(timestamp) FROM printer_status GROUP BY 1 ORDER BY 1
    """,
}


def books(stack) -> dict[str, Any]:
    """What the account of a stack consists of."""
    return {name: stack.rows(sql) for name, sql in BOOKS.items()}


def files(stack) -> dict[str, bytes]:
    """{path: bytes} of flows, models, pictures and library."""
    found = {}
    for folder in ("flows", "state/models", "state/gcode/public", "state/nodered/lib"):
        base = stack.run_dir / folder
        found.update(
            {
                f"{folder}/{path.relative_to(base)}": path.read_bytes()
                for path in sorted(base.rglob("[!.]*"))
                if path.is_file()
            }
        )
    return found


def fill(stack) -> None:
    """Gives it two printers with three days of history and prints, a tariff for the night, an edited flow, a model and
    a picture.
    """
    stack.add_device(
        {
            "device_id": "Mk4",
            "friendly_name": "Der große",
            "source": "prusalink",
            "api_ip": "127.0.0.1:9",
            "api_key": "KEY-of-the-Mk4",
            "shelly_id": "plug-mk4",
            "data_interval_seconds": 3600,
        }
    )
    stack.add_device({"device_id": "Voron", "friendly_name": "Voron", "source": "none", "shelly_id": "plug-voron"})
    for number, plug in enumerate(("plug-mk4", "plug-voron")):
        meter, begin = f"{plug}/switch:0", NOW - timedelta(days=3)
        stack.value("SELECT register_meters(ARRAY[%s], ARRAY['shelly_gen2'])", meter)
        times = [begin + timedelta(minutes=5 * i) for i in range(860)]
        stack.value(
            "SELECT ingest_energy(%s, %s::timestamptz[], %s::float8[], %s::float8[])",
            [meter] * 860,
            times,
            [60.0 + number] * 860,
            [100.0 + (5 + number) * i for i in range(860)],
        )
    for number in range(6):
        start = NOW - timedelta(hours=60 - 9 * number)
        stack.value(
            "SELECT import_job(%s)",
            json.dumps(
                {
                    "device_id": ("Mk4", "Voron")[number % 2],
                    "source_job_id": str(number),
                    "filename": f"Größe {number}.gcode",
                    "start_time": start.isoformat(),
                    "end_time": (start + timedelta(hours=2)).isoformat(),
                    "status": "done",
                    "filament_used_g": 12.5,
                    "material": "PETG",
                }
            ),
        )
    stack.rows(
        """INSERT INTO energy_tariffs (factory_id, name, priority, price_per_kwh, currency, time_from, time_to)
           SELECT factory_id, 'Night', 5, 0.19, 'EUR', '22:00', '06:00' FROM factories"""
    )
    stack.value("SELECT finalize_jobs()")
    stack.value("SELECT refresh_rollups(10)")
    flow = stack.run_dir / "flows" / FLOW
    flow.write_text(flow.read_text().replace("every 15 seconds", "every 20 seconds"))
    for name, content in (
        ("state/models/best_model.joblib", b"model"),
        ("state/models/mk4-0123ab/best_model.json", b"{}"),
        (f"state/gcode/public/{'ab' * 32}.png", b"picture"),
        ("state/nodered/lib/flows/mine.json", b"[]"),
    ):
        path = stack.run_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@dataclass
class Kept:
    """A stack, two backups of it, and what was in it when they were made.

    `loaded` was made with secrets and while 20 plugs sent 300 messages a second, `calm` afterwards. `during` is the
    number of rows before and after `loaded`.
    """

    stack: stacks.Enms
    loaded: Path
    calm: Path
    during: tuple[int, int]
    password: str
    books: dict[str, Any]
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def kept():
    """A filled stack with two backups."""
    run_dir = RUN / "backup"
    stack = stacks.start(
        run_dir, "--no-demo", ENMS_FLOWS_DIR=str(run_dir / "flows"), ENMS_BACKUP_DIR=str(run_dir / "backups")
    )
    loaded, calm = run_dir / "loaded.zip", run_dir / "calm.zip"
    try:
        fill(stack)
        stack.rows("UPDATE meters SET max_power_w = 1e6")
        publisher = MeterPublisher(stack.settings, "busy", meters=20, rate=300)
        publisher.start()
        wait_for("the plugs' readings", lambda: stack.value(STORED) > 200, 20)
        wait_for("the first scheduled backup", lambda: list((run_dir / "backups").glob("enms-*.zip")), 20)
        before = stack.value(STORED)
        stack.launch("backup", str(loaded), "--with-secrets")
        during = (before, stack.value(STORED))
        publisher.stop()
        wait_for("all readings", lambda: stack.value(STORED) == len(publisher.accepted), 20)
        stack.launch("backup", str(calm))
        password = stack.settings["ENMS_MQTT_DEVICE_PASSWORD"]
        yield Kept(stack, loaded, calm, during, password, books(stack), files(stack))
    finally:
        stack.launch("down", check=False)


def test_the_archive_has_no_secret_unless_asked_for(kept):
    """In none of its members: the dump is searched as it unpacks."""
    words = [
        b"KEY-of-the-Mk4",
        *(kept.stack.settings[name].encode() for name in ("ENMS_EDITOR_PASSWORD", "ENMS_MQTT_DEVICE_PASSWORD")),
    ]
    secrets = json.loads((kept.stack.run_dir / "secrets.json").read_text())
    words += [value.encode() for value in secrets.values()]

    def found(path):
        with zipfile.ZipFile(path) as archive:
            archive.extract("database.dump", kept.stack.run_dir / "look")
            texts = [archive.read(name) for name in archive.namelist() if name != "database.dump"]
        done = subprocess.run(
            [shutil.which("pg_restore") or "pg_restore", "-f", "-", kept.stack.run_dir / "look/database.dump"],
            capture_output=True,
        )
        assert done.returncode == 0 and b"Gr\xc3\xb6\xc3\x9fe" in done.stdout
        return [word for word in words if any(word in text for text in (*texts, done.stdout))]

    assert found(kept.calm) == []
    assert set(found(kept.loaded)) == {
        b"KEY-of-the-Mk4",
        *(secrets[name].encode() for name in ("ENMS_EDITOR_PASSWORD", "ENMS_MQTT_DEVICE_PASSWORD", "ENMS_SECRET_KEY")),
    }


def test_a_scheduled_backup_was_made_and_is_shown(kept):
    """The first one is made at the first start; `status` and `doctor` show how old the last good one is."""
    scheduled = list((kept.stack.run_dir / "backups").glob("enms-*.zip"))
    assert len(scheduled) == 1
    state = kept.stack.status()
    assert state["services"]["backup"]["health"] == "ok" and "port" not in state["services"]["backup"]
    assert state["backup"]["file"] == str(kept.calm) and state["backup"]["error"] is None
    assert 0 <= state["backup"]["age_seconds"] < 120
    assert f"ago: {kept.calm}" in kept.stack.launch("status").stdout
    assert [
        line
        for line in kept.stack.launch("doctor", check=False).stdout.splitlines()
        if line.startswith("ok") and " backup " in line
    ]


def no_end(text: bytes) -> bytes:
    """The first half."""
    return text[: len(text) // 2]


def other_byte(text: bytes) -> bytes:
    """The same with one bit changed."""
    middle = len(text) // 3
    return text[:middle] + bytes([text[middle] ^ 1]) + text[middle + 1 :]


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (no_end, "it was cut"),
        (other_byte, "is damaged"),
        (lambda text: b"something else", "is not a backup of ENMS"),
        (lambda text: text, "This stack holds 2 devices, 22 meters and 6 prints"),
    ],
    ids=["cut", "damaged", "another file", "without --replace"],
)
def test_what_is_refused_touches_nothing(kept, spoil, sentence):
    path = kept.stack.run_dir / "spoilt.zip"
    path.write_bytes(spoil(kept.calm.read_bytes()))
    supervisor = (kept.stack.run_dir / "supervisor.json").read_text()
    options = [] if "holds" in sentence else ["--replace"]
    done = kept.stack.launch("restore", str(path), *options, check=False)
    assert done.returncode == 1 and sentence in done.stderr
    assert "WHAT TO DO" in done.stderr and "Traceback" not in done.stderr
    assert (kept.stack.run_dir / "supervisor.json").read_text() == supervisor
    assert kept.stack.status()["healthy"] and books(kept.stack) == kept.books and files(kept.stack) == kept.files


def test_backup_wipe_restore_gives_the_same_books_and_files(kept):
    """As on a new machine: nothing is left but the archive and the environments."""
    stack = kept.stack
    stack.launch("down")
    for path in stack.run_dir.iterdir():
        if path.suffix != ".zip":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert files(stack) == {}
    done = stack.launch("restore", str(kept.calm))
    stack = kept.stack = stacks.Enms(stack.run_dir, stack.env)
    assert "to be entered again: Mk4" in done.stdout and "ENMS  " in done.stdout
    assert books(stack) == kept.books
    assert files(stack) == kept.files
    assert stack.status()["healthy"]
    assert stack.value("SELECT api_key FROM device_credentials WHERE device_id = 'Mk4'") is None
    # It continues to work: a meter's counter grows, and the API answers with the old prints.
    known = stack.value(STORED)
    counter = stack.value("SELECT max(energy_total_wh) FROM energy_data WHERE meter_id = 'busy-000/switch:0'")
    publisher = MeterPublisher(stack.settings, "busy", meters=1, rate=20, start_wh=counter + 0.1)
    publisher.start()
    wait_for("a reading of today", lambda: len(publisher.accepted) > 5, 10)
    publisher.stop()
    wait_for("all readings", lambda: stack.value(STORED) == known + len(publisher.accepted), 20)
    assert stack.get("/api/jobs").json()["total"] == 6


def test_a_backup_under_load_is_of_one_instant(kept):
    """Accounts balance to the row, although rows were written all the time.

    What was in Node-RED's journal when the stack was stopped comes in again: a second of the test before.
    """
    before, after = kept.during
    assert after - before > 100, "nothing was written while the backup was made"
    # As after an upgrade that is taken back: this version would refuse the present database, and restores an older one.
    kept.stack.rows("INSERT INTO schema_migrations VALUES ('9999_future.sql', '', now())")
    kept.stack.launch("restore", str(kept.loaded), "--replace")
    stack = kept.stack = stacks.Enms(kept.stack.run_dir, kept.stack.env)
    rows = stack.value(STORED)
    assert before <= rows <= after
    unbalanced = stack.rows(
        """SELECT meter_id FROM energy_data GROUP BY 1
           HAVING abs(sum(energy_delta_wh) - (max(energy_total_wh) - min(energy_total_wh))) > 1e-6"""
    )
    assert unbalanced == []
    torn = stack.rows(
        """SELECT s.meter_id
           FROM meter_state s JOIN meters m USING (meter_id)
           CROSS JOIN LATERAL (SELECT max(timestamp) AS newest, max(energy_total_wh) AS counter
                               FROM energy_data e WHERE e.meter_id = s.meter_id) e
           WHERE (s.last_at, s.base_wh) IS DISTINCT FROM (e.newest, e.counter)"""
    )
    assert torn == []
    [sums] = stack.rows(
        """SELECT (SELECT sum(energy_delta_wh) FROM energy_data) AS deltas,
                  (SELECT sum(energy_wh) FROM energy_readings_1day) AS days"""
    )
    assert sums["days"] == pytest.approx(sums["deltas"], rel=1e-9)
    wrong_jobs = stack.rows(
        """SELECT job_id FROM print_jobs
           WHERE energy_final AND abs(session_energy_wh - device_energy(device_id, start_time, end_time)) > 1e-6"""
    )
    assert wrong_jobs == []
    assert stack.value("SELECT count(*) FROM print_jobs WHERE energy_final") == 6


def test_secrets_come_back_when_they_were_asked_for(kept):
    """With the archive of the test before: the wiped stack had made new ones."""
    assert kept.stack.value("SELECT api_key FROM device_credentials WHERE device_id = 'Mk4'") == "KEY-of-the-Mk4"
    assert kept.stack.settings["ENMS_MQTT_DEVICE_PASSWORD"] == kept.password
    publisher = MeterPublisher(
        {**kept.stack.settings, "ENMS_MQTT_DEVICE_PASSWORD": kept.password}, "old-plug", meters=1, rate=10
    )
    publisher.start()
    wait_for("the plug with its old password", lambda: len(publisher.accepted) > 2, 10)
    publisher.stop()
