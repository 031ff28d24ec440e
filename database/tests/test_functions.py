"""Every function is checked: columns and types, also of statements that no test runs.

PL/pgSQL by plpgsql_check, a superuser's tool that is in this test's database only. SQL by PostgreSQL itself: a
migration creates functions without looking at their bodies, because they name each other, so each is created again
here. The text of EXECUTE is checked by neither, and run by other tests.
"""

import contextlib

import psycopg2
import pytest

from tests.plugin.database import Database

IN_SQL = """
SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid)
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'public'::regnamespace AND l.lanname = 'sql'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1"""
FUNCTIONS = """
SELECT p.oid::regprocedure::text, coalesce(t.tgrelid::regclass::text, '0')
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang LEFT JOIN pg_trigger t ON t.tgfoid = p.oid
WHERE p.pronamespace = 'public'::regnamespace AND l.lanname = 'plpgsql'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1, 2"""
# It reads TimescaleDB's own catalog, which is missing here; test_retention.py runs it on that engine.
FOR_TIMESCALE = {"apply_compression()"}
CHECK = """
SELECT coalesce('line ' || lineno || ': ', '') || message || coalesce(' (' || detail || ')', '')
FROM plpgsql_check_function_tb(%s::regprocedure, %s::regclass, fatal_errors => false, performance_warnings => false)"""


@pytest.fixture(scope="module")
def checked(migrated):
    """A migrated database with the extension."""
    with migrated() as dsn, contextlib.closing(Database(dsn)) as db:
        db.all("CREATE EXTENSION plpgsql_check")
        yield db


def complaints(db):
    """{function: the complaints of plpgsql_check}, for functions with any."""
    found = {name: [text for (text,) in db.all(CHECK, name, table)] for name, table in db.all(FUNCTIONS)}
    return {name: texts for name, texts in found.items() if texts and name not in FOR_TIMESCALE}


def test_plpgsql_check_has_nothing_to_say(checked):
    assert len(checked.all(FUNCTIONS)) > 60
    assert complaints(checked) == {}


def refused_by_postgresql(db):
    """{function in SQL: why PostgreSQL refuses its body}, for functions with any fault."""
    found = {}
    for name, definition in db.all(IN_SQL):
        try:
            db.all(definition)
        except psycopg2.Error as error:
            found[name] = str(error).splitlines()[0]
    return found


def test_every_function_in_sql_is_accepted(db):
    assert len(db.all(IN_SQL)) > 40
    assert refused_by_postgresql(db) == {}


@pytest.mark.parametrize(
    "language, body, found_by",
    [
        ("plpgsql", "BEGIN RETURN (SELECT no_such_column FROM devices LIMIT 1); END", complaints),
        ("sql", "SELECT no_such_column FROM devices LIMIT 1", refused_by_postgresql),
    ],
)
def test_a_wrong_column_is_found(checked, language, body, found_by):
    checked.all("SET check_function_bodies = off")
    checked.all(f"CREATE FUNCTION with_a_wrong_column() RETURNS text LANGUAGE {language} AS $$ {body} $$")
    checked.all("SET check_function_bodies = on")
    try:
        assert "no_such_column" in str(found_by(checked)["with_a_wrong_column()"])
    finally:
        checked.all("DROP FUNCTION with_a_wrong_column()")
