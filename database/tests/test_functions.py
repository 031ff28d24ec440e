"""Every PL/pgSQL function through plpgsql_check: columns, types and variables, also of statements that no test runs.

The extension is a superuser's tool and is in this test's database only. Functions in SQL are checked by PostgreSQL when
they are created; the text of EXECUTE is checked by neither, and run by other tests.
"""

import contextlib

import pytest

from tests.plugin.database import Database

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


def test_a_wrong_column_is_found(checked):
    checked.all(
        "CREATE FUNCTION with_a_wrong_column() RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN (SELECT no_such_column FROM devices LIMIT 1); END $$"
    )
    assert list(complaints(checked)) == ["with_a_wrong_column()"]
    checked.all("DROP FUNCTION with_a_wrong_column()")
