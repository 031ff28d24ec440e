"""Brings a database to the current schema: ``python -m database.migrate`` or ``migrate(dsn)``.

* ``migrations/NNNN_*.sql`` run once each, in order, forward only; an applied file that was changed is an error.
* 0003 moves the time series of 0.1.0 aside; their rows are copied by series_copy.py, which goes on where it was
  interrupted.
* Everything derived (``functions/*.sql``, ``views.sql``, ``comments.sql``, ``roles.sql``, ``policies.sql`` and
  ``seed.sql``) is dropped and created again as a whole, in one transaction, when any of those files changed: no old
  overload or column can remain.
* The engine (``timescale`` or ``plain``) is decided at the first migration and stored in ``settings``; a migration that
  makes time series is followed by its part in ``engines/``.

An advisory lock keeps two runs apart. A superuser or the database's owner may run it; as superuser it creates the role
``enms_owner`` and makes it the owner of the database.
"""

import argparse
import contextlib
import functools
import hashlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import psycopg2
from psycopg2 import sql

from common.errors import EnmsError
from common.postgres import connection_settings

from . import series_copy
from .series_copy import MigrationError

Cursor = psycopg2.extensions.cursor

HERE = Path(__file__).resolve().parent
LOCK_KEY = 0x454E4D53  # "ENMS"
SERVICE_ROLES = {
    "enms_ingest": "ENMS_DB_INGEST_PASSWORD",
    "enms_api": "ENMS_DB_API_PASSWORD",
    "enms_grafana": "ENMS_DB_GRAFANA_PASSWORD",
}
# (connections, statement_timeout): one role can't take them all from the others. Services set shorter times themselves.
ROLE_LIMITS = {"enms_ingest": (24, "5min"), "enms_api": (20, "20s"), "enms_grafana": (12, "30s")}
# What an engine adds to the tables of a migration.
ENGINE_PARTS = {"0001_tables.sql": "{engine}.sql", "0003_plant.sql": "{engine}_series.sql"}
SETTING = "setting: "  # of every line about a variable that does not count; `./enms up` shows them
DERIVED_SINGLE_FILES = ("views.sql", "comments.sql", "roles.sql", "policies.sql", "seed.sql")


class Result(TypedDict):
    """What a migration did: the files that it applied, and whether everything derived was created again."""

    engine: str
    applied: list[str]
    derived: bool
    seconds: float


def dsn_from_environment(env: Mapping[str, str] = os.environ) -> str:
    """The owner's connection string: ENMS_DATABASE_URL, otherwise from the ENMS_DB_* variables.

    Raises EnmsError when a variable is missing.
    """
    return env.get("ENMS_DATABASE_URL") or psycopg2.extensions.make_dsn(**connection_settings("enms_owner", env))


def first_row(cursor: Cursor, statement: str, *values: object) -> tuple[Any, ...]:
    """Runs a statement that returns at least one row, and returns the first one."""
    cursor.execute(statement, values or None)
    row = cursor.fetchone()
    assert row is not None, statement
    return row


def checksum(*paths: Path) -> str:
    """SHA-256 over names and contents of the given files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def derived_files() -> list[Path]:
    """The files of everything that is dropped and created again, in the order in which they are applied."""
    return sorted((HERE / "functions").glob("*.sql")) + [HERE / name for name in DERIVED_SINGLE_FILES]


def migrate(dsn: str, env: Mapping[str, str] = os.environ, report: Callable[[str], object] | None = None) -> Result:
    """Migrates the database of ``dsn``.

    ``env`` gives passwords and the values of the seed (ENMS_FACTORY_NAME, ENMS_TIMEZONE, ENMS_CURRENCY,
    ENMS_PRICE_PER_KWH, ENMS_G_CO2_PER_KWH), and ENMS_DB_DIR, a folder on the disk of the server's data where that is
    this machine's. ``report`` is called with a line of text per step. Raises MigrationError or psycopg2.Error.
    """
    began = time.monotonic()
    say = report or (lambda line: None)
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
            try:
                engine, applied, derived = _migrate(cursor, env, say)
            finally:
                if not connection.closed:
                    connection.rollback()
                    cursor.execute("RESET ROLE")
                    cursor.execute("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))
    finally:
        connection.close()
    return {"engine": engine, "applied": applied, "derived": derived, "seconds": round(time.monotonic() - began, 3)}


def prepare(dsn: str, env: Mapping[str, str] = os.environ) -> None:
    """As superuser: sets roles, owner and defaults of an empty database, which a dump does not contain."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        _roles(cursor, env, True)
        (database,) = first_row(cursor, "SELECT current_database()")
        _hand_over(cursor, database)
        _set_defaults(cursor, database)


def _hand_over(cursor: Cursor, database: str) -> None:
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    if first_row(cursor, owner)[0] != "enms_owner":
        cursor.execute(sql.SQL("ALTER DATABASE {} OWNER TO enms_owner").format(sql.Identifier(database)))


def _set_defaults(cursor: Cursor, database: str) -> None:
    for setting in ("jit = off", "timezone = 'UTC'"):
        cursor.execute(sql.SQL("ALTER DATABASE {} SET " + setting).format(sql.Identifier(database)))


def _migrate(cursor: Cursor, env: Mapping[str, str], say: Callable[[str], object]) -> tuple[str, list[str], bool]:
    cursor.execute("SET client_min_messages = warning")
    is_superuser, database, user = first_row(
        cursor, "SELECT rolsuper, current_database(), current_user FROM pg_roles WHERE rolname = current_user"
    )
    _roles(cursor, env, is_superuser)
    available = _prepare_extension(cursor)
    if is_superuser and user != "enms_owner":
        _hand_over(cursor, database)
        cursor.execute("SET ROLE enms_owner")
    done: dict[str, str] = {}
    if first_row(cursor, "SELECT to_regclass('public.schema_migrations') IS NOT NULL")[0]:
        cursor.execute("SELECT name, checksum FROM schema_migrations")
        done = dict(cursor.fetchall())
    _refuse_unknown_zone(cursor, env)
    applied = _apply_migrations(cursor, done, available, database, env, say)
    if series_copy.pending(cursor):
        # Triggers and functions of before must not run meanwhile, and they depend on the old tables.
        _forget_derived(cursor)
        done.pop("derived", None)
        series_copy.run(cursor, say)
    derived = _apply_derived(cursor, done, env, say)
    _compare_settings(cursor, env, say)
    (engine,) = first_row(cursor, "SELECT value FROM settings WHERE name = 'engine'")
    return engine, applied, derived


def _roles(cursor: Cursor, env: Mapping[str, str], is_superuser: bool) -> None:
    """Creates missing roles and sets the passwords that are given (roles belong to the cluster, not the database)."""
    cursor.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'enms%'")
    existing = {name for (name,) in cursor.fetchall()}
    wanted = dict(SERVICE_ROLES)
    if is_superuser:
        wanted["enms_owner"] = "ENMS_DB_OWNER_PASSWORD"
    for role, variable in wanted.items():
        if role not in existing:
            try:
                cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            except (psycopg2.errors.DuplicateObject, psycopg2.errors.UniqueViolation):
                pass  # the migration of another database of this cluster was quicker
            except psycopg2.errors.InsufficientPrivilege as error:
                raise MigrationError(
                    f"the role {role} is missing and this user may not create it: "
                    "run the first migration as a superuser"
                ) from error
        if env.get(variable):
            try:
                cursor.execute(
                    sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(env[variable]))
                )
            except psycopg2.errors.InsufficientPrivilege:
                pass  # the owner may not set it; a superuser has done so before
            except psycopg2.errors.InternalError:
                pass  # "tuple concurrently updated": another run sets the same password at this time
    if is_superuser:
        _limit_roles(cursor)


def _limit_roles(cursor: Cursor) -> None:
    """Gives the service roles their limits, where they have others."""
    for role, (connections, timeout) in ROLE_LIMITS.items():
        found = first_row(cursor, "SELECT rolconnlimit, rolconfig FROM pg_roles WHERE rolname = %s", role)
        # Dashboards see every factory; a data source with a narrower scope has a role of its own.
        wanted = {"statement_timeout": timeout} | ({"enms.factories": "*"} if role == "enms_grafana" else {})
        if found[0] == connections and {f"{name}={value}" for name, value in wanted.items()} <= set(found[1] or []):
            continue
        with contextlib.suppress(psycopg2.errors.InternalError):  # another run does the same at this time
            alter = sql.SQL("ALTER ROLE {} ").format(sql.Identifier(role))
            cursor.execute(alter + sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(connections)))
            for name, value in wanted.items():
                cursor.execute(alter + sql.SQL(f"SET {name} = {{}}").format(sql.Literal(value)))


def _prepare_extension(cursor: Cursor) -> bool:
    """Whether TimescaleDB can be used here; creates the extension when this user may."""
    cursor.execute("SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'timescaledb'")
    row = cursor.fetchone()
    if row is None:
        return False
    if "timescaledb" not in first_row(cursor, "SHOW shared_preload_libraries")[0]:
        try:  # WASM servers have no preload setting; the library must be loaded in each session
            cursor.execute("LOAD 'timescaledb'")
        except psycopg2.Error:
            return False
    if not row[0]:
        try:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        except psycopg2.Error:
            return False
    return True


def _apply_migrations(
    cursor: Cursor,
    done: Mapping[str, str],
    timescale_available: bool,
    database: str,
    env: Mapping[str, str],
    say: Callable[[str], object],
) -> list[str]:
    applied = []
    files = sorted((HERE / "migrations").glob("[0-9][0-9][0-9][0-9]_*.sql"))
    unknown = set(done) - {"derived"} - {path.name for path in files}
    if unknown:
        raise MigrationError(
            f"the database knows migrations that this version has not: {', '.join(sorted(unknown))}; "
            "it was migrated by a newer version"
        )
    engine = "timescale" if timescale_available else "plain"
    if "0001_tables.sql" in done:
        (engine,) = first_row(cursor, "SELECT value FROM settings WHERE name = 'engine'")
        if "0003_plant.sql" not in done or series_copy.pending(cursor):
            series_copy.check_disk(cursor, env.get("ENMS_DB_DIR"), say)
    for path in files:
        digest = checksum(path)
        if path.name in done:
            if done[path.name] != digest:
                raise MigrationError(
                    f"the applied migration {path.name} was changed afterwards; restore it and put the "
                    "change into a new migration"
                )
            continue
        cursor.execute("BEGIN")
        try:
            cursor.execute(path.read_text())
            if path.name in ENGINE_PARTS:
                part = ENGINE_PARTS[path.name].format(engine=engine)
                cursor.execute((HERE / "engines" / part).read_text())
            if path.name.startswith("0001_"):
                cursor.execute(
                    "INSERT INTO settings VALUES ('engine', %s, %s)",
                    (engine, "database engine: timescale or plain; decided at the first migration"),
                )
                _set_defaults(cursor, database)
            cursor.execute("INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)", (path.name, digest))
            cursor.execute("COMMIT")
        except psycopg2.Error:
            cursor.execute("ROLLBACK")
            raise
        applied.append(path.name)
        say(f"applied {path.name}")
    return applied


DROP_DERIVED = """
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT c.oid::regclass AS name FROM pg_class c
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v'
                  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') LOOP
        EXECUTE format('DROP VIEW IF EXISTS %s CASCADE', item.name);
    END LOOP;
    FOR item IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                WHERE p.pronamespace = 'public'::regnamespace
                  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', item.name);
    END LOOP;
END $$;
"""


def _forget_derived(cursor: Cursor) -> None:
    """Drops everything derived; it is made again when nothing is on record about it."""
    cursor.execute("BEGIN")
    try:
        cursor.execute(DROP_DERIVED)
        cursor.execute("DELETE FROM schema_migrations WHERE name = 'derived'")
        cursor.execute("COMMIT")
    except psycopg2.Error:
        cursor.execute("ROLLBACK")
        raise


def _refuse_unknown_zone(cursor: Cursor, env: Mapping[str, str]) -> None:
    """Raises MigrationError when a variable or a factory names a time zone that does not exist.

    Before anything is changed: every day, tariff and chart would fail with it.
    """
    known = "SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = %s)"
    zone = env.get("ENMS_TIMEZONE")
    if zone and not first_row(cursor, known, zone)[0]:
        raise MigrationError(
            f"there is no time zone {zone}: set ENMS_TIMEZONE to an IANA name such as Europe/Berlin or America/New_York"
        )
    if first_row(cursor, "SELECT to_regclass('public.factories') IS NOT NULL")[0]:
        cursor.execute("SELECT slug, timezone FROM factories ORDER BY slug")
        for slug, zone in cursor.fetchall():
            if not first_row(cursor, known, zone)[0]:
                raise MigrationError(
                    f"the factory {slug} has the time zone {zone}, which does not exist: "
                    f"UPDATE factories SET timezone = 'Europe/Berlin' WHERE slug = '{slug}' (or another IANA name)"
                )


def _compare_settings(cursor: Cursor, env: Mapping[str, str], say: Callable[[str], object]) -> None:
    """Says which variables of the seed differ from the default factory: they count at the first start only."""
    slug, *stored = first_row(cursor, "SELECT slug, name, timezone, currency FROM factories WHERE is_default")
    for variable, value in zip(("ENMS_FACTORY_NAME", "ENMS_TIMEZONE", "ENMS_CURRENCY"), stored, strict=True):
        if env.get(variable, value) != value:
            say(
                f"{SETTING}{variable} is {env[variable]}, but the factory {slug} has {value}, which counts: "
                "the variable is for the first start"
            )


def _apply_derived(
    cursor: Cursor, done: Mapping[str, str], env: Mapping[str, str], say: Callable[[str], object]
) -> bool:
    files = derived_files()
    digest = checksum(*files)
    if done.get("derived") == digest:
        return False
    cursor.execute("BEGIN")
    try:
        seed = {
            "factory_name": env.get("ENMS_FACTORY_NAME", "Factory"),
            "timezone": env.get("ENMS_TIMEZONE", "Europe/Berlin"),
            "currency": env.get("ENMS_CURRENCY", "EUR"),
            "price_per_kwh": env.get("ENMS_PRICE_PER_KWH", "0.30"),
            "g_co2_per_kwh": env.get("ENMS_G_CO2_PER_KWH", "380"),
        }
        cursor.execute("SELECT 1 FROM currencies WHERE currency = %s", (seed["currency"],))
        if cursor.fetchone() is None:
            raise MigrationError(
                f"there is no currency {seed['currency']}: set ENMS_CURRENCY to an ISO 4217 code such as EUR or USD"
            )
        for name, value in seed.items():
            cursor.execute("SELECT set_config(%s, %s, true)", ("enms." + name, value))
        cursor.execute("SET LOCAL check_function_bodies = off")
        cursor.execute(DROP_DERIVED)
        for path in files:
            try:
                cursor.execute(path.read_text())
            except psycopg2.Error as error:
                raise MigrationError(f"{path.relative_to(HERE)}: {error}") from error
        cursor.execute(
            "INSERT INTO schema_migrations (name, checksum) VALUES ('derived', %s) "
            "ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, applied_at = now()",
            (digest,),
        )
        cursor.execute("COMMIT")
    except BaseException:
        if cursor.connection.closed == 0:
            cursor.execute("ROLLBACK")
        raise
    say("made functions, views, comments, grants and seed again")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m database.migrate", description="Migrates the ENMS database.")
    parser.add_argument("--dsn", help="connection string; default: from the ENMS_* environment variables")
    options = parser.parse_args(arguments)
    try:
        result = migrate(options.dsn or dsn_from_environment(), report=functools.partial(print, flush=True))
    except (EnmsError, psycopg2.Error) as error:
        print(f"migration failed: {error}".rstrip(), file=sys.stderr)
        return 1
    print(f"database is current: engine {result['engine']}, {result['seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
