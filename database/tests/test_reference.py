"""docs/schema.md against the database: it is generated from it, and leaves out nothing that others use."""

import contextlib
import re
from pathlib import Path

from database import reference
from tests.plugin.database import Database

ROOT = Path(__file__).resolve().parents[2]
# What other parts send to the database: statements in files of their own and in code.
CALLERS = (
    "python-api/**/*.sql",
    "python-api/**/*.py",
    "analysis/**/*.sql",
    "analysis/**/*.py",
    "nodered/flows/*.json",
    "nodered/lib/**/*.js",
    "nodered/nodes/*.js",
    "grafana/boards/*.py",
    "grafana/*.py",
    "launcher/**/*.py",
    "backup/*.py",
    "database/importer.py",
    "docs/[!s]*.md",
    "README.md",
)


def test_the_page_agrees_with_the_database(migrated):
    """A database of its own: other tests add kinds and states."""
    with migrated() as dsn, contextlib.closing(Database(dsn)) as db, db.connection.cursor() as cursor:
        assert reference.page(cursor) == reference.PAGE.read_text(), (
            "docs/schema.md is older than the database; with a stack of this checkout running: "
            "env $(./enms env) .run/env/python/bin/python -m database.reference"
        )


def test_every_table_and_view_has_its_place(plain):
    there = {
        name
        for (name,) in plain.all(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
        )
    }
    assert set(reference.described(*reference.TABLES)) | set(reference.INTERNAL_TABLES) == there


def test_every_unique_index_has_a_comment(plain):
    """Their rules are on the page as sentences."""
    assert [
        table
        for table in reference.described(*reference.TABLES)
        if None in reference.Catalog(plain.connection.cursor()).unique_indexes(table)
    ] == []


def test_every_function_that_others_call_is_described(plain):
    there = {
        name
        for (name,) in plain.all(
            "SELECT DISTINCT proname FROM pg_proc p "
            "WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype"
        )
    }
    listed = reference.described(*reference.FUNCTIONS)
    assert set(listed) <= there and len(set(listed)) == len(listed)
    texts = {path: path.read_text() for pattern in CALLERS for path in ROOT.glob(pattern) if ".test." not in path.name}
    called = {
        name
        for name in there - set(listed)
        for path, text in texts.items()
        if re.search(rf"(?:SELECT|FROM|JOIN|LATERAL|CALL|PERFORM|,|\()\s*{name}\s*\(", text)
        and f"def {name}(" not in text
        and f"function {name}(" not in text
    }
    assert called == set()
