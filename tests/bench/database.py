"""The bench's connections to the database."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg2
import psycopg2.extensions


@contextlib.contextmanager
def cursor_of(dsn: str) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor on a connection of its own, where every statement is a transaction."""
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        yield connection.cursor()


def first(
    cursor: psycopg2.extensions.cursor, statement: str, values: Sequence[Any] | Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    """The first row of a statement. Raises LookupError when there is none."""
    cursor.execute(statement, values)
    row = cursor.fetchone()
    if row is None:
        raise LookupError(f"no row: {statement}")
    return row
