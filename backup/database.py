"""The database's part of a backup: a dump and its checks in one snapshot, and a restore that is proved before it takes over."""

import contextlib
import os
import subprocess
import time

import psycopg2
from psycopg2 import sql

from common.errors import EnmsError
from common.postgres import connection_settings, program
from database import migrate

# Rows of the registry are kept apart from the dump, so that its credentials can be left out.
REGISTRY = "devices"
# A column that the API may not read is a secret; the rule is kept by database/roles.sql and its tests.
REGISTRY_COLUMNS = """
SELECT attname, has_column_privilege('enms_api', attrelid, attnum, 'SELECT') FROM pg_attribute
WHERE attrelid = 'public.devices'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
# Our tables, and which are time series (they have a time in their key).
TABLES = """
SELECT c.relname, coalesce(min(a.attname) FILTER (WHERE a.attname IN ('timestamp', 'bucket')), '') FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
GROUP BY c.relname ORDER BY c.relname"""
SERVICES = ("enms-nodered", "enms-api")  # what writes and reads while the stack runs, by application_name


def dsn(env, role, database=None):
    """Connection string of a role from the ENMS_DB_* variables."""
    return psycopg2.extensions.make_dsn(**connection_settings(role, env, database))


@contextlib.contextmanager
def connected(target):
    """A connection that ends with the block; an absent database is a sentence."""
    try:
        connection = psycopg2.connect(target, connect_timeout=5, application_name="enms-backup")
    except psycopg2.OperationalError as error:
        raise EnmsError(
            f"The database can't be reached: {str(error).strip().splitlines()[-1]}",
            "Is the stack running? ./enms status",
        ) from error
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def snapshot(target):
    """A Snapshot of the database: one moment, however long it takes to read it and whatever is written meanwhile."""
    with connected(target) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            yield Snapshot(cursor)


class Snapshot:
    """What a backup reads of the database, over a cursor whose transaction sees one moment."""

    def __init__(self, cursor):
        self._cursor = cursor
        cursor.execute(REGISTRY_COLUMNS)
        columns = cursor.fetchall()
        self._open = [name for name, readable in columns if readable]
        self._secret = [name for name, readable in columns if not readable]

    def _one(self, statement):
        self._cursor.execute(statement)
        return self._cursor.fetchone()[0]

    def describe(self):
        """What a restore must know beforehand: {engine, postgresql, timescaledb, migrations, database_bytes}."""
        self._cursor.execute("SELECT name FROM schema_migrations WHERE name <> 'derived' ORDER BY name")
        migrations = [name for (name,) in self._cursor.fetchall()]
        return {
            "engine": self._one("SELECT value FROM settings WHERE name = 'engine'"),
            "migrations": migrations,
            "postgresql": self._one("SELECT split_part(current_setting('server_version'), ' ', 1)"),
            "timescaledb": self._one("SELECT max(extversion) FROM pg_extension WHERE extname = 'timescaledb'"),
            "database_bytes": self._one("SELECT pg_database_size(current_database())"),
        }

    def dump(self, source, target):
        """pg_dump of this moment in its custom format, without the rows of the registry; `source`: connection string."""
        name = self._one("SELECT pg_export_snapshot()")
        words = [
            program("pg_dump") or "pg_dump",
            "--format=custom",
            "--no-password",
            f"--snapshot={name}",
            f"--exclude-table-data=public.{REGISTRY}",
            "--lock-wait-timeout=60s",
        ]
        with subprocess.Popen(
            words,
            env=client_environment(source),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            while chunk := child.stdout.read(1 << 20):
                target.write(chunk)
            message = child.stderr.read().decode(errors="replace").strip()
        if child.returncode:
            raise EnmsError(
                f"pg_dump failed: {message.splitlines()[0] if message else child.returncode}",
                "./enms doctor looks for the usual causes.",
            )

    def registry(self, target):
        """The devices as CSV, without their credentials."""
        self._copy(self._open, sql.SQL("true"), target)

    def credentials(self, target):
        """The devices' credentials as CSV, where they have any."""
        self._copy(
            ["device_id", *self._secret],
            sql.SQL(" OR ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(c)) for c in self._secret),
            target,
        )

    def _copy(self, columns, condition, target):
        statement = sql.SQL(
            "COPY (SELECT {} FROM {} WHERE {} ORDER BY device_id) TO STDOUT (FORMAT csv, HEADER)"
        ).format(sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(REGISTRY), condition)
        self._cursor.copy_expert(statement, target)

    def checks(self):
        """What must read the same after a restore: [{name, sql, rows}].

        The statements travel with their answers, so that a later version asks an old database what was asked when it was saved.
        """
        self._cursor.execute(TABLES)
        statements = {
            "energy of each device and UTC day, from the readings": """
                SELECT device_id, (timestamp AT TIME ZONE 'UTC')::date AS day, count(*), sum(energy_delta_wh::numeric)
                FROM energy_data GROUP BY 1, 2 ORDER BY 1, 2""",
            "energy of each device and day, from the daily rollups": """
                SELECT device_id, bucket, sum(energy_wh::numeric) FROM energy_rollup_1day GROUP BY 1, 2 ORDER BY 1, 2""",
            "prints of each device, with energy, cost and CO2": """
                SELECT device_id, count(*), sum(session_energy_wh::numeric), sum(cost::numeric), sum(co2_g::numeric)
                FROM print_jobs GROUP BY 1 ORDER BY 1""",
        }
        for table, time_column in self._cursor.fetchall():
            if time_column:
                statements[f"rows of {table}"] = f"SELECT count(*), min({time_column}), max({time_column}) FROM {table}"
            else:  # small enough to compare every value; the sum does not depend on the order of the rows
                columns = ", ".join(self._open) if table == REGISTRY else "*"
                statements[f"content of {table}"] = (
                    f"SELECT count(*), sum(('x' || left(md5(t::text), 15))::bit(60)::int8::numeric) FROM (SELECT {columns} FROM {table}) t"
                )
        return [
            {"name": name, "sql": statement, "rows": answer(self._cursor, statement)}
            for name, statement in statements.items()
        ]


def answer(cursor, statement):
    """The rows of a statement as lists of texts."""
    cursor.execute(statement)
    return [[None if value is None else str(value) for value in row] for row in cursor.fetchall()]


def client_environment(target):
    """The environment of PostgreSQL's programs: whom to connect to, and nothing else."""
    parts = psycopg2.extensions.parse_dsn(target)
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "PGHOST": parts["host"],
        "PGPORT": parts["port"],
        "PGDATABASE": parts["dbname"],
        "PGUSER": parts["user"],
        "PGPASSWORD": parts["password"],
        "PGCONNECT_TIMEOUT": "5",
    }


def holds_data(env):
    """A sentence about what the stack's database holds; '' when it is as empty as after a first start (or not there yet)."""
    name = env.get("ENMS_DB_NAME", "enms")
    with connected(dsn(env, "postgres", "postgres")) as server:
        cursor = server.cursor()
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        if not cursor.fetchone():
            return ""
    with connected(dsn(env, "postgres")) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT to_regclass('public.devices') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return ""
        cursor.execute(
            "SELECT (SELECT count(*) FROM devices), (SELECT count(*) FROM meters), (SELECT count(*) FROM print_jobs)"
        )
        devices, meters, prints = cursor.fetchone()
    return f"{devices} devices, {meters} meters and {prints} prints" if devices or meters or prints else ""


def refuse_running_services(env):
    """Raises EnmsError while Node-RED or the API use the database."""
    with connected(dsn(env, "postgres", "postgres")) as server:
        cursor = server.cursor()
        cursor.execute(
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = %s AND application_name = ANY (%s) ORDER BY 1",
            (env.get("ENMS_DB_NAME", "enms"), list(SERVICES)),
        )
        busy = [name for (name,) in cursor.fetchall()]
    if busy:
        raise EnmsError(
            f"The database is in use by {' and '.join(busy)}.",
            "Stop them first: docker compose stop nodered python-api",
        )


def restore(env, manifest, dump, registry, credentials, checks, say):
    """Makes the database of an archive beside the present one, compares it, migrates it, and puts it in the present one's place.

    dump: path; registry, credentials (or None): files of CSV; checks: as Snapshot.checks() gave them. Until the last step the
    present database is as it was: whatever fails before leaves it so.
    """
    name = env.get("ENMS_DB_NAME", "enms")
    fresh = f"{name}_restoring"
    target = dsn(env, "postgres", fresh)
    with connected(dsn(env, "postgres", "postgres")) as server:
        server.autocommit = True
        cursor = server.cursor()
        _refuse_other_server(cursor, manifest)
        drop(cursor, fresh)
        cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(fresh)))
        try:
            migrate.prepare(target, env)
            _fill(target, manifest, dump, registry)
            say("compared", _compare(target, checks))
            result = migrate.migrate(target, env)
            if result["applied"]:
                say("migrated", f"brought up to date by {', '.join(result['applied'])}")
            _put_credentials(env, target, credentials, say)
            _take_over(cursor, name, fresh)
        except BaseException:
            drop(cursor, fresh)
            raise
        drop(cursor, _before(name))


def _refuse_other_server(cursor, manifest):
    cursor.execute("SHOW server_version_num")
    ours = int(cursor.fetchone()[0]) // 10000
    if ours < int(manifest["postgresql"].split(".")[0]):
        raise EnmsError(
            f"The backup is of PostgreSQL {manifest['postgresql']}, this server is version {ours}: a newer database can't be read by an older server.",
            "Restore it on a server of that version or a newer one.",
        )
    wanted = manifest["timescaledb"]
    if wanted:
        cursor.execute("SELECT version FROM pg_available_extension_versions WHERE name = 'timescaledb'")
        there = [version for (version,) in cursor.fetchall()]
        if wanted not in there:
            raise EnmsError(
                f"The backup needs TimescaleDB {wanted}; this server has {', '.join(sorted(there)) or 'none'}.",
                "Restore it on a server with that version, and update TimescaleDB afterwards.",
            )


def _fill(target, manifest, dump, registry):
    """Tables, rows and what depends on them; the registry's rows come before the foreign keys that point to them."""
    timescale = manifest["timescaledb"]
    if timescale:
        _run(
            target,
            sql.SQL("CREATE EXTENSION timescaledb VERSION {}").format(sql.Literal(timescale)),
            "SELECT timescaledb_pre_restore()",
        )
    _pg_restore(target, dump, "pre-data")
    _pg_restore(target, dump, "data")
    with connected(target) as connection, connection, connection.cursor() as cursor:
        _copy_in(cursor, REGISTRY, registry)
    _pg_restore(target, dump, "post-data")
    if timescale:
        _run(target, "SELECT timescaledb_post_restore()")
    _run(target, "ANALYZE")


def _run(target, *statements):
    with connected(target) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def _pg_restore(target, dump, section):
    # A hypertable's rows go through TimescaleDB's triggers of the restore mode, one connection at a time.
    done = subprocess.run(
        [
            program("pg_restore") or "pg_restore",
            "--no-password",
            "--exit-on-error",
            f"--section={section}",
            "--dbname=" + psycopg2.extensions.parse_dsn(target)["dbname"],
            str(dump),
        ],
        env=client_environment(target),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise EnmsError(
            f"pg_restore failed: {(done.stderr.strip().splitlines() or ['no message'])[0]}",
            "The present database was not touched.",
        )


def _copy_in(cursor, table, file):
    """Rows of a CSV file whose first line names the columns."""
    columns = file.readline().decode().strip().split(",")
    cursor.copy_expert(
        sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
        ),
        file,
    )
    return columns


def _compare(target, checks):
    """Asks what was asked when the backup was made; raises EnmsError at the first answer that differs."""
    with connected(target) as connection:
        connection.set_session(readonly=True)
        cursor = connection.cursor()
        cursor.execute("SET timezone = 'UTC'")
        for check in checks:
            found = answer(cursor, check["sql"])
            if found != check["rows"]:
                expected, got = next(
                    ((a, b) for a, b in zip(check["rows"], found) if a != b),
                    (f"{len(check['rows'])} rows", f"{len(found)} rows"),
                )
                raise EnmsError(
                    f"The restored database differs from the saved one: {check['name']}: {expected} was saved, {got} is there.",
                    "The present database was not touched. Use another backup, and keep this one for whoever looks into it.",
                )
    return f"{len(checks)} sums and checksums are those of the backup"


def _put_credentials(env, target, credentials, say):
    """Credentials from the archive; without them those that the present database has for the same devices stay."""
    with connected(target) as connection, connection, connection.cursor() as cursor:
        cursor.execute(REGISTRY_COLUMNS)
        secret = [name for name, readable in cursor.fetchall() if not readable]
        cursor.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE found ON COMMIT DROP AS SELECT device_id, {} FROM devices WHERE false"
            ).format(sql.SQL(", ").join(map(sql.Identifier, secret)))
        )
        if credentials is not None:
            _copy_in(cursor, "found", credentials)
        elif holds_data(env):
            with connected(dsn(env, "postgres")) as present:
                theirs = present.cursor()
                theirs.execute(REGISTRY_COLUMNS)
                columns = [
                    "device_id",
                    *sorted({name for name, readable in theirs.fetchall() if not readable} & set(secret)),
                ]
                theirs.execute(
                    sql.SQL("SELECT {} FROM devices").format(sql.SQL(", ").join(map(sql.Identifier, columns)))
                )
                for row in theirs.fetchall():
                    cursor.execute(
                        sql.SQL("INSERT INTO found ({}) VALUES ({})").format(
                            sql.SQL(", ").join(map(sql.Identifier, columns)),
                            sql.SQL(", ").join([sql.Placeholder()] * len(row)),
                        ),
                        row,
                    )
        cursor.execute(
            sql.SQL("UPDATE devices d SET {} FROM found f WHERE f.device_id = d.device_id AND ({})").format(
                sql.SQL(", ").join(sql.SQL("{0} = f.{0}").format(sql.Identifier(name)) for name in secret),
                sql.SQL(" OR ").join(sql.SQL("f.{} IS NOT NULL").format(sql.Identifier(name)) for name in secret),
            )
        )
        have = cursor.rowcount
        lacking = [
            name
            for (name,) in _all(
                cursor,
                sql.SQL(
                    "SELECT device_id FROM devices WHERE source IN ('prusalink', 'octoprint', 'simplyprint') AND {} ORDER BY 1"
                ).format(sql.SQL(" AND ").join(sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in secret)),
            )
        ]
    say(
        "credentials",
        f"of {have} devices, {'from the backup' if credentials is not None else 'from the stack as it was'}"
        + (f"; to be entered again: {', '.join(lacking[:10])}{' …' if len(lacking) > 10 else ''}" if lacking else ""),
    )


def _all(cursor, statement):
    cursor.execute(statement)
    return cursor.fetchall()


def _take_over(cursor, name, fresh):
    """Both renames in one transaction: at no moment is there no database of that name."""
    for last_try in (False,) * 20 + (True,):
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN (%s, %s) AND pid <> pg_backend_pid()",
            (name, fresh),
        )
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        present = cursor.fetchone()
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        try:
            cursor.execute("BEGIN")
            if present:
                cursor.execute(rename.format(sql.Identifier(name), sql.Identifier(_before(name))))
            cursor.execute(rename.format(sql.Identifier(fresh), sql.Identifier(name)))
            cursor.execute("COMMIT")
            return
        except psycopg2.errors.ObjectInUse:
            cursor.execute("ROLLBACK")
            if last_try:
                raise
            time.sleep(0.5)


def _before(name):
    return f"{name}_before_restore"


def drop(cursor, name):
    """Drops a database of the restore, whoever is still connected to it."""
    cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
