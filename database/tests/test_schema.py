"""What the schema promises: comments with units, roles without credentials, migrations that can be trusted."""

import contextlib
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from backup import database as backup_database
from common.errors import EnmsError
from database import migrate as migration
from tests.plugin.database import SEED, Database

SECRETS = ("api_key", "sp_api_key", "gcode_preview_api_key")


def test_every_table_and_column_has_a_comment(db):
    """Those of the series, too: a column of a series is described where people read it, in a view of that name."""
    missing = db.all("""
        SELECT c.relname, a.attname
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
          AND col_description(c.oid, a.attnum) IS NULL
        UNION ALL SELECT c.relname, a.attname
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'series'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND col_description(c.oid, a.attnum) IS NULL
          AND a.attname NOT LIKE '%_key' AND a.attname <> 'signal_id'   -- keys: the views have names instead
          AND NOT EXISTS (SELECT 1 FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
                          JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
                          JOIN pg_attribute o ON o.attrelid = v.oid AND o.attname = a.attname
                          WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = c.oid
                            AND col_description(v.oid, o.attnum) IS NOT NULL)
        UNION ALL SELECT c.relname, '(table)' FROM pg_class c
        WHERE c.relnamespace IN ('public'::regnamespace, 'series'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
          AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') IS NULL""")
    assert missing == []


def test_every_function_has_a_comment(db):
    assert (
        db.all(
            "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace "
            "AND obj_description(p.oid, 'pg_proc') IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
        )
        == []
    )


def as_role(db, role, statement, *values):
    db.all(f"SET ROLE {role}; SET enms.factories = '*'")
    try:
        return db.all(statement, *values)
    finally:
        db.all("RESET ROLE; RESET enms.factories")


@pytest.mark.parametrize("role", ["enms_api", "enms_grafana"])
def test_readers_see_no_credentials_and_write_nothing(db, at, role):
    guarded = f"guarded-{role}"
    meter = db.meter(device=guarded)
    db.device(guarded, source="prusalink", api_ip="127.0.0.1", api_key="k")
    db.ingest(meter, [(at(0), 0, 10), (at(600), 6, 10)])
    for statement in (
        *(f"SELECT {secret} FROM device_credentials" for secret in SECRETS),
        "SELECT devices_to_poll()",
        "SELECT jobs_to_enrich(1)",
        "SELECT * FROM audit_log",
        "DELETE FROM series.energy",
        "UPDATE series.energy_1day SET energy_wh = 0",
        "INSERT INTO series.signal (timestamp, device_key, value, signal_id) VALUES (now(), 1, 1, 1)",
        "INSERT INTO series.energy (timestamp, meter_key) VALUES (now(), 1)",
        "INSERT INTO device_kinds (device_kind, name) VALUES ('mine', 'Mine')",
        "SELECT ensure_months('energy', now(), now())",
        "SELECT drop_months('energy', now())",
        "INSERT INTO settings VALUES ('a', 'b', 'c')",
        "SELECT device_save('{\"device_id\":\"x\"}', 'x')",
        "SELECT record_rejects('{a}', '{b}', '{c}', '{d}')",
        "SELECT refresh_rollups()",
        "SELECT apply_retention()",
        "SELECT public_device(d) FROM devices d",
        "CREATE TABLE mine (a int)",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            as_role(db, role, statement)
    assert as_role(db, role, "SELECT device_energy(%s, %s, %s)", guarded, at(0), at(600)) == [(pytest.approx(6),)]
    assert as_role(db, role, "SELECT sum(energy_wh) FROM energy_readings_1min WHERE device_id = %s", guarded) == [
        (pytest.approx(6),)
    ]
    for statement in (
        "SELECT device_id, friendly_name, machine_id FROM devices",
        "SELECT * FROM energy_readings_1day",
        "SELECT * FROM device_latest",
        "SELECT * FROM series.energy WHERE meter_key = (SELECT meter_key('guarded'))",
        "SELECT * FROM series.signal",
        "SELECT * FROM series.energy_1day",
        "SELECT * FROM device_kinds, states, energy_types LIMIT 1",
        "SELECT * FROM alarms()",
        "SELECT engine()",
        "SELECT * FROM devices_energy(now() - interval '1 day', now())",
        "SELECT * FROM device_energy_cost('guarded', now() - interval '1 day', now())",
        "SELECT * FROM device_energy_detail('guarded', now() - interval '1 day', now())",
    ):
        as_role(db, role, statement)


COLUMNS = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1"""


def test_what_is_new_is_nobodys(migrated):
    """A table, a view, a series, and a column of every table, with the roles applied again. Before: everybody's."""
    with migrated() as dsn, contextlib.closing(Database(dsn)) as db:
        meter = db.meter(device="A")
        db.device("A", source="prusalink", api_ip="127.0.0.1", api_key="k")
        now = datetime.now(UTC)
        db.ingest(meter, [(now - timedelta(minutes=10 - i), 100.0 + i, 60.0) for i in range(10)])
        before = db.one("SELECT public_device(d) FROM devices d")
        db.all("SET ROLE enms_owner")
        tables = [name for (name,) in db.all(COLUMNS)]
        for table in tables:
            db.all(f"ALTER TABLE {table} ADD COLUMN later text DEFAULT 'secret'")
        db.all("CREATE TABLE later (a integer)")
        db.all("CREATE VIEW later_view AS SELECT * FROM devices")
        db.all("CREATE TABLE series.later (a integer)")
        db.all((migration.HERE / "roles.sql").read_text())
        db.all("RESET ROLE")
        for role in ("enms_api", "enms_grafana"):
            for table in tables:
                assert not db.one("SELECT has_column_privilege(%s, %s, 'later', 'SELECT')", role, table), (role, table)
        for role in ("enms_ingest", "enms_api", "enms_grafana"):
            for table in ("later", "later_view", "series.later"):
                for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                    assert not db.one("SELECT has_table_privilege(%s, %s, %s)", role, table, right), (role, table)
        assert as_role(db, "enms_ingest", "SELECT public_device(d) FROM devices d") == [(before,)]
        # what reads goes on reading
        for statement in (
            "SELECT * FROM device_energy_cost('A', now() - interval '1 hour', now())",
            "SELECT * FROM device_energy_detail('A', now() - interval '1 hour', now())",
            "SELECT * FROM energy_readings_1min",
            "SELECT * FROM alarms()",
            "SELECT * FROM cost_series('{A}', 'electricity', now() - interval '1 hour', now(), 900)",
            "SELECT * FROM energy_series('{A}', 'electricity', now() - interval '1 hour', now(), 0)",
            "SELECT * FROM state_series('{A}', now() - interval '1 hour', now())",
            "SELECT * FROM sub_meter_balance('A', now() - interval '1 hour', now())",
            "SELECT * FROM production_between('A', now() - interval '1 hour', now())",
            "SELECT * FROM device_power('A')",
        ):
            as_role(db, "enms_api", statement)
            as_role(db, "enms_grafana", statement)


def test_roles_have_limits(db):
    found = dict(db.all("SELECT rolname, (rolconnlimit, rolconfig)::text FROM pg_roles WHERE rolname LIKE 'enms\\_%%'"))
    for role, (connections, timeout) in migration.ROLE_LIMITS.items():
        assert str(connections) in found[role] and f"statement_timeout={timeout}" in found[role]


def test_ingest_writes_data_and_reads_credentials_but_changes_no_schema(db, at):
    meter = db.meter()
    as_role(
        db,
        "enms_ingest",
        'SELECT device_save(\'{"device_id":"by-ingest","source":"octoprint","api_key":"k"}\', \'operator\')',
    )
    as_role(db, "enms_ingest", "SELECT meter_assign(%s, 'by-ingest', 'main', NULL, 'operator')", meter)
    as_role(
        db,
        "enms_ingest",
        "SELECT ingest_readings(json_build_array(json_build_object('meter_id', 'new/switch:0', "
        "'protocol', 'shelly_gen2', "
        "'arrived', %s::timestamptz, 'power_watts', 1, 'energy_total_wh', 5, 'topic', 't')))",
        at(0),
    )
    as_role(
        db,
        "enms_ingest",
        "SELECT record_status(jsonb_build_array(jsonb_build_object('device_id', 'by-ingest', "
        "'timestamp', %s::timestamptz, 'state', 'idle')))",
        at(0),
    )
    for statement in (
        "SELECT refresh_rollups()",
        "SELECT refresh_phases()",
        "SELECT finalize_jobs()",
        "SELECT reap_devices()",
        "SELECT apply_retention()",
        "SELECT learn_reporting_intervals()",
        "SELECT api_key FROM device_credentials",
    ):
        as_role(db, "enms_ingest", statement)
    polled = {device["device_id"]: device for (device,) in as_role(db, "enms_ingest", "SELECT devices_to_poll()")}
    assert polled["by-ingest"]["api_key"] == "k"
    for statement in (
        "DROP TABLE series.energy",
        "DROP VIEW energy_data",
        "CREATE TABLE series.mine (a int)",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET actor = 'x'",
        "DELETE FROM states",
        "INSERT INTO device_kinds (device_kind, name) VALUES ('mine', 'Mine')",
        "UPDATE settings SET value = 'x'",
        "CREATE TABLE mine (a int)",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            as_role(db, "enms_ingest", statement)


def test_engine_and_seed(db):
    assert db.one("SELECT engine()") == db.engine
    assert db.one("SELECT timezone, currency FROM factories WHERE is_default") == ("Europe/Berlin", "EUR")
    assert db.one("SELECT count(*) FROM energy_tariffs WHERE price_per_kwh = 0.3 AND name = 'Flat tariff'") == 1


def test_hypertables_compression_and_chunkwise_retention(timescale, at):
    tables = {name for (name,) in timescale.all("SELECT hypertable_name FROM timescaledb_information.hypertables")}
    assert {"energy", "device_status", "environmental", "signal", "production", "energy_1min", "energy_1day"} <= tables
    assert not {"energy_data", "printer_status", "energy_rollup_1min"} & tables, "the tables of 0.1.0 are gone"
    meter = timescale.meter(device="chunked")
    old = at(0).replace(hour=0) - timedelta(days=65)  # its week ends before the month of 20 days ago
    hours = lambda n: old + timedelta(hours=n)
    timescale.ingest(meter, [(hours(n), float(n)) for n in range(24)])
    timescale.all(
        "SELECT compress_chunk(c) FROM show_chunks('series.energy', older_than => now() - interval '30 days') c"
    )
    assert timescale.ingest(meter, [(hours(5.5), 5.75)])["accepted"] == 1  # a late row into a compressed chunk
    assert timescale.one("SELECT energy_between(%s, %s, %s)", meter, hours(5), hours(5.5)) == pytest.approx(0.75)
    timescale.all("UPDATE settings SET value = '20 days' WHERE name = 'retention_raw'")
    try:
        answer = timescale.one("SELECT apply_retention()")
        assert answer["energy"] >= 1
        assert timescale.one("SELECT count(*) FROM energy_data WHERE meter_id = %s", meter) == 0
        assert timescale.one(
            "SELECT sum(energy_wh) FROM energy_readings_1hour WHERE meter_id = %s", meter
        ) == pytest.approx(23)
        assert timescale.ingest(meter, [(hours(6.5), 6.75)])["rejected"] == 1
    finally:
        timescale.all("UPDATE settings SET value = '6 months' WHERE name = 'retention_raw'")
        timescale.all("UPDATE settings SET value = '-infinity' WHERE name = 'frozen_before'")


def test_the_statements_of_a_backup_run_on_timescale(timescale, at):
    """The statements of its checks, and the way into TimescaleDB's restore mode and back.

    A whole restore needs pg_dump of the server's version.
    """
    meter = timescale.meter(device="checked")
    timescale.ingest(meter, [(at(600 * i), 10.0 + i, 60) for i in range(20)])
    with timescale.connection.cursor() as cursor:
        snapshot = backup_database.Snapshot(cursor)
        assert snapshot.describe()["engine"] == "timescale" and snapshot.describe()["timescaledb"]
        checks = snapshot.checks()
        counted = [row[2:] for check in checks[:1] for row in check["rows"] if row[0] == "checked"]  # per month
        assert [sum(map(float, column)) for column in zip(*counted)] == [20, 19]
        assert [backup_database.answer(cursor, check["sql"]) for check in checks] == [check["rows"] for check in checks]
        # pg_dump runs as the owner, and reads the extension's own tables as well
        assert (
            timescale.all(
                "SELECT c::regclass FROM pg_extension, unnest(extconfig) c WHERE extname = 'timescaledb' "
                "AND NOT has_table_privilege('enms_owner', c, 'SELECT')"
            )
            == []
        )
        for mode in ("timescaledb_pre_restore", "timescaledb_post_restore"):
            assert timescale.one(f"SELECT {mode}()") is True


def test_a_second_migration_does_nothing_and_is_quick(plain):
    began = time.monotonic()
    result = migration.migrate(plain.dsn, env=SEED)
    assert (result["applied"], result["derived"], result["engine"]) == ([], False, "plain")
    assert time.monotonic() - began < 1


def test_changed_files(tmp_path, monkeypatch, migrated):
    """Derived objects are created again and data kept; a changed applied migration is refused; a new one runs once."""
    with migrated() as dsn:
        copy = tmp_path / "database"
        shutil.copytree(migration.HERE, copy, ignore=shutil.ignore_patterns("tests", "__pycache__"))
        monkeypatch.setattr(migration, "HERE", copy)
        with (copy / "seed.sql").open("a") as file:
            file.write("\n-- changed\n")
        (copy / "migrations" / "9001_more.sql").write_text(
            "ALTER TABLE factories ADD COLUMN motto text; COMMENT ON COLUMN factories.motto IS 'x';"
        )
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(
            "UPDATE energy_tariffs SET price_per_kwh = 0.99; DELETE FROM carbon_factors; "
            "SELECT device_save('{\"device_id\":\"kept\"}', 't')"
        )
        result = migration.migrate(dsn, env=SEED)
        assert (result["applied"], result["derived"]) == (["9001_more.sql"], True)
        cursor.execute(
            "SELECT (SELECT count(*) FROM devices), (SELECT max(price_per_kwh) FROM energy_tariffs), "
            "(SELECT count(*) FROM carbon_factors), has_function_privilege('enms_api', 'engine()', 'EXECUTE')"
        )
        assert cursor.fetchone() == (1, 0.99, 0, True)
        (copy / "migrations" / "9001_more.sql").write_text("SELECT 1")
        with pytest.raises(migration.MigrationError, match="9001_more.sql was changed"):
            migration.migrate(dsn, env=SEED)
        (copy / "migrations" / "9001_more.sql").unlink()
        with pytest.raises(migration.MigrationError, match="newer version"):
            migration.migrate(dsn, env=SEED)
        connection.close()


def test_two_migrations_at_once_do_not_collide(server):
    admin = psycopg2.connect(server)
    admin.autocommit = True
    name = f"enms_test_race_{time.monotonic_ns()}"
    admin.cursor().execute(f"CREATE DATABASE {name}")
    try:
        results, dsn = [], psycopg2.extensions.make_dsn(server, dbname=name)
        threads = [
            threading.Thread(target=lambda: results.append(migration.migrate(dsn, env=SEED)["applied"]))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(len, results)) == [0, 0, len(list((migration.HERE / "migrations").glob("0*.sql")))]
    finally:
        admin.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.close()


def test_a_missing_password_is_a_sentence():
    with pytest.raises(EnmsError, match="ENMS_DB_OWNER_PASSWORD"):
        migration.dsn_from_environment({})
