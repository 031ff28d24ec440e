"""Restores next to a present database: an older one is brought up to date, a doubtful one never takes over. (Plain
engine; what can be run of it on TimescaleDB is in database/tests/test_schema.py.)
"""

import contextlib
import shutil
import uuid
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from backup import archive, database
from common.errors import EnmsError
from database import migrate
from tests.plugin.database import SEED, Database

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def env(server):
    """The ENMS_ variables of a database that is dropped afterwards, whatever it is called by then."""
    parts = psycopg2.extensions.parse_dsn(server)
    name = f"backup_{uuid.uuid4().hex[:8]}"
    yield {
        "ENMS_DB_HOST": parts["host"],
        "ENMS_DB_PORT": parts["port"],
        "ENMS_DB_NAME": name,
        "ENMS_DB_OWNER_PASSWORD": "unused",
        "ENMS_DB_SUPERUSER_PASSWORD": parts["password"],
        **SEED,
    }
    with contextlib.closing(psycopg2.connect(server)) as admin:
        admin.autocommit = True
        cursor = admin.cursor()
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (name + "%",))
        for (found,) in cursor.fetchall():
            database.drop(cursor, found)


def made(env):
    """A migrated database with a device that has a key, a meter and three days of readings."""
    with contextlib.closing(psycopg2.connect(database.dsn(env, "postgres", "postgres"))) as admin:
        admin.autocommit = True
        admin.cursor().execute(f"CREATE DATABASE {env['ENMS_DB_NAME']}")
    migrate.migrate(database.dsn(env, "postgres"), env=env)
    db = Database(database.dsn(env, "postgres"), "plain")
    meter = db.meter(device="A")
    db.device("A", source="prusalink", api_key="KEY-of-A", friendly_name='Müller, "the big one"\nsecond line')
    db.device("B", source="none")
    db.ingest(meter, [(NOW - timedelta(days=3) + timedelta(minutes=10 * i), float(i), 60) for i in range(430)])
    db.one("SELECT refresh_rollups(10)")
    return db


class Saved:
    """The database's parts of a backup, as files."""

    def __init__(self, env, folder):
        self.folder = folder
        source = database.dsn(env, "postgres")  # the roles of the test server may have no password
        with database.snapshot(source) as snapshot:
            self.manifest = snapshot.describe()
            with open(folder / "dump", "wb") as file:
                snapshot.dump(source, file)
            with open(folder / "registry", "wb") as file:
                snapshot.registry(file)
            with open(folder / "credentials", "wb") as file:
                snapshot.credentials(file)
            self.checks = snapshot.checks()

    def restore(self, env, with_credentials=False, checks=None):
        said = {}
        with open(self.folder / "registry", "rb") as registry, open(self.folder / "credentials", "rb") as credentials:
            database.restore(
                env,
                self.manifest,
                self.folder / "dump",
                registry,
                credentials if with_credentials else None,
                self.checks if checks is None else checks,
                lambda step, text: said.update({step: text}),
            )
        return said


def test_an_older_backup_is_brought_up_to_date(env, tmp_path, monkeypatch):
    db = made(env)
    before = db.all("SELECT device_id, bucket, energy_wh FROM energy_readings_1day ORDER BY 1, 2")
    db.connection.close()
    saved = Saved(env, tmp_path)
    assert saved.manifest["migrations"][0] == "0001_tables.sql" and saved.manifest["engine"] == "plain"
    archive.refuse_newer("x", saved.manifest["migrations"], "older")
    newer = tmp_path / "newer"
    shutil.copytree(migrate.HERE, newer, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    (newer / "migrations/9000_later.sql").write_text("CREATE TABLE later (a integer)")
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "HERE", newer)
        said = saved.restore(env)
    assert "brought up to date by 9000_later.sql" in said["migrated"]
    again = Database(database.dsn(env, "postgres"), "plain")
    assert again.all("SELECT device_id, bucket, energy_wh FROM energy_readings_1day ORDER BY 1, 2") == before
    assert (
        again.one("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()") == "enms_owner"
    )
    assert (
        again.one("SHOW jit") == "off"
        and again.one("SELECT has_table_privilege('enms_api', 'device_credentials', 'SELECT')") is False
    )
    # it continues where it was: the next reading continues the counter
    meter = again.one("SELECT meter_id FROM meters")
    assert again.ingest(meter, [(NOW, 430.5, 60)])["accepted"] == 1
    assert again.one("SELECT energy_delta_wh FROM energy_data ORDER BY timestamp DESC LIMIT 1") == pytest.approx(1.5)
    # keys are not given again, and the months of a series came along
    keys = again.all("SELECT device_key FROM devices")
    again.device("C", source="none")
    assert again.all("SELECT device_key FROM devices WHERE device_id = 'C'")[0] not in keys
    assert again.one("SELECT count(*) FROM series.energy") == 431
    again.connection.close()


def test_a_series_is_one_check_and_its_months_are_none(env, tmp_path):
    db = made(env)
    months = db.one("SELECT count(*) FROM pg_inherits WHERE inhparent = 'series.energy'::regclass")
    db.connection.close()
    names = [check["name"] for check in Saved(env, tmp_path).checks]
    assert months and "rows of series.energy" in names and "rows of series.device_status" in names
    assert not [name for name in names if "_20" in name or "before" in name]
    assert "content of states" in names and "content of devices" in names


def test_what_differs_does_not_take_over(env, tmp_path):
    db = made(env)
    saved = Saved(env, tmp_path)
    db.all("UPDATE devices SET friendly_name = 'changed since' WHERE device_id = 'A'")
    other: list[list[str | None]] = [["1", "2"]]
    wrong: list[database.Check] = [
        {**check, "rows": other} if check["name"] == "content of meters" else check for check in saved.checks
    ]
    with pytest.raises(EnmsError, match="differs from the saved one: content of meters"):
        saved.restore(env, checks=wrong)
    (tmp_path / "dump").write_bytes((tmp_path / "dump").read_bytes()[:5000])
    with pytest.raises(EnmsError, match="pg_restore failed"):
        saved.restore(env)
    # the connection of before is still good, and nothing of the attempts is left
    assert db.one("SELECT friendly_name FROM devices WHERE device_id = 'A'") == "changed since"
    assert db.one("SELECT count(*) FROM pg_database WHERE datname LIKE current_database() || '_%'") == 0
    db.connection.close()


def test_credentials_by_choice_and_else_those_of_the_stack(env, tmp_path):
    db = made(env)
    saved = Saved(env, tmp_path)
    assert b"KEY-of-A" not in (tmp_path / "dump").read_bytes() + (tmp_path / "registry").read_bytes()
    assert b"KEY-of-A" in (tmp_path / "credentials").read_bytes()
    keys = lambda: Database(database.dsn(env, "postgres"), "plain").all(
        "SELECT device_id, api_key, friendly_name FROM devices LEFT JOIN device_credentials USING (device_id) "
        "ORDER BY 1"
    )
    name = 'Müller, "the big one"\nsecond line'
    db.device("A", api_key="KEY-since")
    db.connection.close()
    said = saved.restore(env)  # over the stack itself: its keys stay
    assert keys()[0] == ("A", "KEY-since", name) and "as it was" in said["credentials"]
    saved.restore(env, with_credentials=True)
    assert keys()[0] == ("A", "KEY-of-A", name)
    with contextlib.closing(psycopg2.connect(database.dsn(env, "postgres", "postgres"))) as admin:
        admin.autocommit = True
        database.drop(admin.cursor(), env["ENMS_DB_NAME"])
    said = saved.restore(env)  # into nothing: the key must be entered again
    assert keys()[0] == ("A", None, name) and said["credentials"].endswith("to be entered again: A")


def test_a_server_that_can_not_hold_it_is_a_sentence(env, tmp_path):
    made(env).connection.close()
    saved = Saved(env, tmp_path)
    saved.manifest["postgresql"] = "99.1"
    with pytest.raises(EnmsError, match="a newer database can't be read by an older server"):
        saved.restore(env)
    saved.manifest.update(postgresql="15.1", timescaledb="2.17.2")
    with pytest.raises(EnmsError, match="needs TimescaleDB 2.17.2; this server has none"):
        saved.restore(env)


def test_emptiness(env):
    assert database.holds_data(env) == ""  # not even there
    db = made(env)
    assert database.holds_data(env) == "2 devices, 1 meters and 0 prints"
    with database.connected(database.dsn(env, "postgres")) as connection:
        connection.cursor().execute("SET application_name = 'enms-nodered'")
        with pytest.raises(EnmsError, match="in use by enms-nodered"):
            database.refuse_running_services(env)
    database.refuse_running_services(env)
    db.all("DELETE FROM meter_assignments; DELETE FROM meters; DELETE FROM devices")
    assert database.holds_data(env) == ""  # as after a first start: the seed is no data
    db.connection.close()
