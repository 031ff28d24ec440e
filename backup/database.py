"""The database's part of a backup: a dump and its checks in one snapshot, and a restore that is compared with them
before it takes over.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, TypedDict

import psycopg2
from psycopg2 import sql

from common.errors import EnmsError
from common.postgres import connection_settings, program
from database import migrate, series_copy

from .archive import SavedDatabase

# The rows of these are kept apart from the dump: credentials so that they can be left out, and the registry because
# until 0.2 they were columns of it.
REGISTRY, CREDENTIALS = "devices", "device_credentials"
SECRETS = ("api_key", "sp_api_key", "gcode_preview_api_key")
# Our tables, and which are time series (they have a time in their key); not the months of each.
TABLES = """
SELECT CASE WHEN n.nspname = 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END,
       coalesce(min(a.attname) FILTER (WHERE a.attname IN ('timestamp', 'bucket')), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname IN ('public', 'series') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
GROUP BY 1 ORDER BY 1"""
SERVICES = ("enms-nodered", "enms-api")  # what writes and reads while the stack runs, by application_name

Query = str | sql.Composable


class Sink(Protocol):
    """What bytes can be written to."""

    def write(self, data: bytes, /) -> object:
        """Takes some bytes."""


class Check(TypedDict):
    """A statement whose answer must be the same after a restore; `rows` are lists of texts, None for NULL."""

    name: str
    sql: str
    rows: list[list[str | None]]


def dsn(env: Mapping[str, str], role: str, database: str | None = None) -> str:
    """Connection string of a role from the ENMS_DB_* variables. Raises EnmsError when its password is not set."""
    return psycopg2.extensions.make_dsn(**connection_settings(role, env, database))


@contextlib.contextmanager
def connected(target: str) -> Iterator[psycopg2.extensions.connection]:
    """A connection that ends with the block; raises EnmsError when the database can't be reached."""
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
def snapshot(target: str) -> Iterator["Snapshot"]:
    """A Snapshot of the database: one instant, however long it takes to read it and whatever is written meanwhile."""
    with connected(target) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            yield Snapshot(cursor)


class Snapshot:
    """What a backup reads of the database, over a cursor whose transaction sees one instant."""

    def __init__(self, cursor: psycopg2.extensions.cursor) -> None:
        self._cursor = cursor

    def describe(self) -> SavedDatabase:
        """What a restore must know beforehand."""

        def one(statement: str) -> Any:
            return _rows(self._cursor, statement)[0][0]

        migrations = _rows(self._cursor, "SELECT name FROM schema_migrations WHERE name <> 'derived' ORDER BY name")
        return {
            "engine": one("SELECT value FROM settings WHERE name = 'engine'"),
            "migrations": [name for (name,) in migrations],
            "postgresql": one("SELECT split_part(current_setting('server_version'), ' ', 1)"),
            "timescaledb": one("SELECT max(extversion) FROM pg_extension WHERE extname = 'timescaledb'"),
            "database_bytes": one("SELECT pg_database_size(current_database())"),
        }

    def dump(self, source: str, target: Sink) -> None:
        """Writes pg_dump's custom format of this instant, without the rows of the registry; `source` is the connection
        string. Raises EnmsError when pg_dump fails.
        """
        name = _rows(self._cursor, "SELECT pg_export_snapshot()")[0][0]
        words = [
            program("pg_dump"),
            "--format=custom",
            "--no-password",
            f"--snapshot={name}",
            f"--exclude-table-data=public.{REGISTRY}",
            f"--exclude-table-data=public.{CREDENTIALS}",
            "--lock-wait-timeout=60s",
        ]
        with subprocess.Popen(
            words,
            env=client_environment(source),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            assert child.stdout and child.stderr
            while chunk := child.stdout.read(1 << 20):
                target.write(chunk)
            message = child.stderr.read().decode(errors="replace").strip()
        if child.returncode:
            raise EnmsError(
                f"pg_dump failed: {message.splitlines()[0] if message else child.returncode}",
                "./enms doctor looks for the usual causes.",
            )

    def registry(self, target: Sink) -> None:
        """Writes the devices as CSV."""
        self._copy(REGISTRY, target)

    def credentials(self, target: Sink) -> None:
        """Writes the devices' credentials as CSV, where they have any."""
        self._copy(CREDENTIALS, target)

    def _copy(self, table: str, target: Sink) -> None:
        statement = sql.SQL("COPY (SELECT * FROM {} ORDER BY device_id) TO STDOUT (FORMAT csv, HEADER)").format(
            sql.Identifier(table)
        )
        self._cursor.copy_expert(statement, target)

    def checks(self) -> list[Check]:
        """What must read the same after a restore.

        The statements travel with their answers, so that a later version asks an old database what was asked when it
        was saved.
        """
        statements = {
            "energy of each device and UTC day, from the readings": """
                SELECT device_id, (timestamp AT TIME ZONE 'UTC')::date AS day, count(*), sum(energy_delta_wh::numeric)
                FROM energy_data GROUP BY 1, 2 ORDER BY 1, 2""",
            "energy of each device and day, from the daily rollups": """
                SELECT device_id, bucket, sum(energy_wh::numeric)
                FROM series.energy_1day LEFT JOIN devices USING (device_key) GROUP BY 1, 2 ORDER BY 1, 2""",
            "prints of each device, with energy, cost and CO2": """
                SELECT device_id, count(*), sum(session_energy_wh::numeric), sum(cost::numeric), sum(co2_g::numeric)
                FROM print_jobs GROUP BY 1 ORDER BY 1""",
        }
        for table, time_column in _rows(self._cursor, TABLES):
            if time_column:
                statements[f"rows of {table}"] = f"SELECT count(*), min({time_column}), max({time_column}) FROM {table}"
            elif table != CREDENTIALS:
                # small enough to compare every value; the sum does not depend on the order of the rows
                statements[f"content of {table}"] = (
                    f"SELECT count(*), sum(('x' || left(md5(t::text), 15))::bit(60)::int8::numeric) FROM {table} t"
                )
        return [
            {"name": name, "sql": statement, "rows": answer(self._cursor, statement)}
            for name, statement in statements.items()
        ]


def answer(cursor: psycopg2.extensions.cursor, statement: str) -> list[list[str | None]]:
    """The rows of a statement as lists of texts, None for NULL."""
    return [[None if value is None else str(value) for value in row] for row in _rows(cursor, statement)]


def _rows(
    cursor: psycopg2.extensions.cursor, statement: Query, values: Sequence[object] | None = None
) -> list[tuple[Any, ...]]:
    cursor.execute(statement, values)
    return cursor.fetchall()


def _each(template: str, columns: Sequence[str], between: str = ", ") -> sql.Composed:
    """The template filled in with each column in turn."""
    return sql.SQL(between).join(sql.SQL(template).format(sql.Identifier(column)) for column in columns)


def client_environment(target: str) -> dict[str, str]:
    """The environment of PostgreSQL's programs: where to connect, and nothing else."""
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


def holds_data(env: Mapping[str, str]) -> str:
    """What is in the stack's database (`2 devices, 1 meters and 0 prints`); '' when it is as empty as after a first
    start, or not there yet.
    """
    name = env.get("ENMS_DB_NAME", "enms")
    with connected(dsn(env, "postgres", "postgres")) as server:
        if not _rows(server.cursor(), "SELECT 1 FROM pg_database WHERE datname = %s", (name,)):
            return ""
    with connected(dsn(env, "postgres")) as connection:
        cursor = connection.cursor()
        if not _rows(cursor, "SELECT to_regclass('public.devices') IS NOT NULL")[0][0]:
            return ""
        counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("devices", "meters", "print_jobs"))
        devices, meters, prints = _rows(cursor, f"SELECT {counts}")[0]
    return f"{devices} devices, {meters} meters and {prints} prints" if devices or meters or prints else ""


def refuse_running_services(env: Mapping[str, str]) -> None:
    """Raises EnmsError while Node-RED or the API use the database."""
    statement = """
        SELECT DISTINCT application_name FROM pg_stat_activity
        WHERE datname = %s AND application_name = ANY (%s) ORDER BY 1"""
    with connected(dsn(env, "postgres", "postgres")) as server:
        found = _rows(server.cursor(), statement, (env.get("ENMS_DB_NAME", "enms"), list(SERVICES)))
    busy = [name for (name,) in found]
    if busy:
        raise EnmsError(
            f"The database is in use by {' and '.join(busy)}.",
            "Stop them first: docker compose stop nodered python-api",
        )


def restore(
    env: Mapping[str, str],
    manifest: SavedDatabase,
    dump: Path,
    registry: IO[bytes],
    credentials: IO[bytes] | None,
    checks: Sequence[Check],
    say: Callable[[str, str], None],
) -> None:
    """Makes the database of an archive next to the present one, compares it, migrates it, and puts it in the present
    one's place.

    registry, credentials: CSV, as Snapshot wrote it; without credentials those of the present database are kept. Until
    the last step the present database is as it was: whatever fails before leaves it so. Raises EnmsError or
    psycopg2.Error.
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
            result = migrate.migrate(target, env, lambda line: _say_progress(line, say))
            if result["applied"]:
                say("migrated", f"brought up to date by {', '.join(result['applied'])}")
            say("credentials", _put_credentials(env, target, credentials))
            _take_over(cursor, name, fresh)
        except BaseException:
            drop(cursor, fresh)
            raise
        drop(cursor, _before(name))


def _say_progress(line: str, say: Callable[[str, str], None]) -> None:
    if line.startswith(series_copy.PREFIX):
        say("migrated", line)


def _refuse_other_server(cursor: psycopg2.extensions.cursor, manifest: SavedDatabase) -> None:
    """Raises EnmsError when the saved database can't be restored on this server."""
    ours = int(_rows(cursor, "SHOW server_version_num")[0][0]) // 10000
    if ours < int(manifest["postgresql"].split(".")[0]):
        raise EnmsError(
            f"The backup is of PostgreSQL {manifest['postgresql']}, this server is version {ours}: "
            "a newer database can't be read by an older server.",
            "Restore it on a server of that version or a newer one.",
        )
    wanted = manifest["timescaledb"]
    if wanted:
        found = _rows(cursor, "SELECT version FROM pg_available_extension_versions WHERE name = 'timescaledb'")
        there = sorted(version for (version,) in found)
        if wanted not in there:
            raise EnmsError(
                f"The backup needs TimescaleDB {wanted}; this server has {', '.join(there) or 'none'}.",
                "Restore it on a server with that version, and update TimescaleDB afterwards.",
            )


def _fill(target: str, manifest: SavedDatabase, dump: Path, registry: IO[bytes]) -> None:
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


def _run(target: str, *statements: Query) -> None:
    with connected(target) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def _pg_restore(target: str, dump: Path, section: str) -> None:
    # A hypertable's rows go through TimescaleDB's triggers of the restore mode, one connection at a time.
    name = psycopg2.extensions.parse_dsn(target)["dbname"]
    options = ["--no-password", "--exit-on-error", f"--section={section}", f"--dbname={name}"]
    done = subprocess.run(
        [program("pg_restore"), *options, str(dump)],
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


def _copy_in(cursor: psycopg2.extensions.cursor, table: str, file: IO[bytes]) -> None:
    """Rows of a CSV file whose first line names the columns."""
    columns = file.readline().decode().strip().split(",")
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(sql.Identifier(table), _each("{}", columns))
    cursor.copy_expert(statement, file)


def _compare(target: str, checks: Sequence[Check]) -> str:
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
                    f"The restored database differs from the saved one: {check['name']}: "
                    f"{expected} was saved, {got} is there.",
                    "The present database was not touched. "
                    "Use another backup, and keep this one for whoever looks into it.",
                )
    return f"{len(checks)} sums and checksums are those of the backup"


def _put_credentials(env: Mapping[str, str], target: str, credentials: IO[bytes] | None) -> str:
    """Puts credentials from the archive into `target`; without them those that the present database has for the same
    devices. Returns a sentence: how many devices have theirs, and which lack them.
    """
    with connected(target) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("CREATE TEMPORARY TABLE found ON COMMIT DROP AS SELECT device_id, {} FROM {} WHERE false").format(
                _each("{}", SECRETS), sql.Identifier(CREDENTIALS)
            )
        )
        if credentials is not None:
            _copy_in(cursor, "found", credentials)
        elif holds_data(env):
            _copy_present_credentials(env, cursor)
        cursor.execute(
            sql.SQL(
                "INSERT INTO {} (device_id, {}) SELECT device_id, {} FROM found JOIN devices USING (device_id)"
            ).format(sql.Identifier(CREDENTIALS), _each("{}", SECRETS), _each("found.{}", SECRETS))
        )
        have = cursor.rowcount
        without = sql.SQL(
            "SELECT device_id FROM devices LEFT JOIN {} c USING (device_id) "
            "WHERE source IN ('prusalink', 'octoprint', 'simplyprint') AND c.device_id IS NULL ORDER BY 1"
        ).format(sql.Identifier(CREDENTIALS))
        lacking = [name for (name,) in _rows(cursor, without)]
    return f"of {have} devices, {'from the backup' if credentials is not None else 'from the stack as it was'}" + (
        f"; to be entered again: {', '.join(lacking[:10])}{' …' if len(lacking) > 10 else ''}" if lacking else ""
    )


def _copy_present_credentials(env: Mapping[str, str], cursor: psycopg2.extensions.cursor) -> None:
    """Copies the credentials of the present database into the table `found`; 0.1 and 0.2 have them in the registry."""
    with connected(dsn(env, "postgres")) as present:
        theirs = present.cursor()
        theirs.execute("SELECT to_regclass(%s) IS NOT NULL", (f"public.{CREDENTIALS}",))
        table = CREDENTIALS if theirs.fetchone() == (True,) else REGISTRY
        rows = _rows(
            theirs,
            sql.SQL("SELECT device_id, {} FROM {} WHERE {}").format(
                _each("{}", SECRETS), sql.Identifier(table), _each("{} IS NOT NULL", SECRETS, " OR ")
            ),
        )
    for row in rows:
        cursor.execute("INSERT INTO found VALUES (%s, %s, %s, %s)", row)


def _take_over(cursor: psycopg2.extensions.cursor, name: str, fresh: str) -> None:
    """Both renames in one transaction: at no time is there no database of that name."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    for last_try in (False,) * 20 + (True,):
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname IN (%s, %s) AND pid <> pg_backend_pid()",
            (name, fresh),
        )
        present = _rows(cursor, "SELECT 1 FROM pg_database WHERE datname = %s", (name,))
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


def _before(name: str) -> str:
    return f"{name}_before_restore"


def drop(cursor: psycopg2.extensions.cursor, name: str) -> None:
    """Drops a database of the restore, whoever is still connected to it."""
    cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
