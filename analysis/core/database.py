"""A worker's kept, read-only connections to PostgreSQL, and range scans that arrive as numpy columns.

Time series come by COPY BINARY: every field of a query has a fixed width (NULL is sent as NaN, infinity or -1, see the
queries), so the whole answer is one structured array without an object per row. A second connection fetches in
parallel, as one row of arrays: dearer for the server, but it leaves the interpreter to the first.

A query is a file `analysis/sql/<name>.sql` with `%(name)s` parameters. Lines `-- columns: name kind, …` name the
columns of one that is read with `Snapshot.columns`; kinds are the keys of WIDTHS.
"""

import io
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import psycopg2.extensions
from numpy.typing import NDArray

from common.postgres import EVERY_FACTORY, connection_settings

from .columns import Columns
from .errors import AnalysisError, DatabaseAway
from .times import NO_TIME

Row = dict[str, Any]  # a row of a statement
Layout = tuple[tuple[str, str], ...]  # (column, kind) …

CONNECT_TIMEOUT_S = 2
ALIVE_WITHIN_S = 2
STATEMENT_TIMEOUT_MS = 20_000
# Range scans need the index's order; the planner would rather collect pages and sort on disk.
SESSION = (
    f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c jit=off -c timezone=UTC "
    "-c enable_bitmapscan=off -c random_page_cost=1.1 -c work_mem=16MB"
)
SCOPE = f"SET LOCAL enms.factories = '{EVERY_FACTORY}'"  # of each transaction
QUERIES = Path(__file__).resolve().parent.parent / "sql"

EPOCH_US = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000-01-01
HEADER_BYTES = 19
TRAILER = b"\xff\xff"
WIDTHS = {"time": ">i8", "float8": ">f8", "float4": ">f4", "int4": ">i4", "int2": ">i2"}
# OIDs: an array carries the type of its elements.
TYPES = {"time": 1184, "float8": 701, "float4": 700, "int4": 23, "int2": 21}
# Of a binary array: dimensions, whether an element is NULL, type, number of elements, index of the first.
ARRAY_HEADER = struct.Struct(">iiIii")


class Database:
    """Two connections, the second for what is fetched in parallel; at most one snapshot at a time.

    `settings` are libpq keywords (default: role enms_api, from the ENMS_DB_* variables), `options` more of libpq's
    `options`. Connections are made at the first use.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, options: str = "") -> None:
        settings = settings or connection_settings("enms_api")
        self._first, self._second = (_Kept(settings, f"{SESSION} {options}") for _ in range(2))
        self._parallel = ThreadPoolExecutor(1, "enms-analysis-parallel")

    @contextmanager
    def snapshot(self) -> Iterator["Snapshot"]:
        """A read-only transaction in which every query sees the same data.

        Raises DatabaseAway when there is no connection or it breaks.
        """
        try:
            connection = self._first.connected()
        except psycopg2.OperationalError as error:
            raise DatabaseAway("The database is not reachable at the moment.") from error
        try:
            with connection.cursor() as cursor:
                yield Snapshot(cursor, self._fetch_in_parallel)
            connection.rollback()
        except AnalysisError:
            connection.rollback()
            raise
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            self.close()
            slow = isinstance(error, psycopg2.errors.QueryCanceled)
            raise DatabaseAway(
                "The database took too long to answer." if slow else "The database is not reachable at the moment."
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the connections; the next use makes new ones."""
        self._first.close()
        self._parallel.submit(self._second.close)  # by the thread that uses it

    def _fetch_in_parallel(self, snapshot: str, statement: str) -> Future[memoryview]:
        """What COPY of the statement sends, in the transaction of an exported snapshot."""
        return self._parallel.submit(self._fetch, snapshot, statement)

    def _fetch(self, snapshot: str, statement: str) -> memoryview:
        answer = io.BytesIO()
        try:
            connection = self._second.connected()
            connection.rollback()  # the check whether it is alive began a transaction
            with connection.cursor() as cursor:
                cursor.execute(f"SET TRANSACTION SNAPSHOT %s; {SCOPE}", (snapshot,))
                cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT binary)", answer)
            connection.rollback()
        except BaseException:
            self._second.close()
            raise
        return answer.getbuffer()


class _Kept:
    """A connection that is made at the first use and again after it died."""

    def __init__(self, settings: Mapping[str, Any], options: str) -> None:
        self._settings, self._options = settings, options
        self._connection: psycopg2.extensions.connection | None = None

    def close(self) -> None:
        """Ends it; the next use makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connected(self) -> psycopg2.extensions.connection:
        """A connection that was alive just now, in a transaction."""
        if self._connection is not None:
            try:
                # An idle connection may have died: try it before a transaction relies on it. A server that hangs
                # never answers.
                alarm = threading.Timer(ALIVE_WITHIN_S, _cut, [self._connection.fileno()])
                alarm.start()
                try:
                    with self._connection.cursor() as cursor:
                        cursor.execute(SCOPE)
                finally:
                    alarm.cancel()
                return self._connection
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self.close()
        self._connection = psycopg2.connect(
            **self._settings,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="enms-analysis",
            keepalives_idle=5,
            tcp_user_timeout=4_000,
            options=self._options,
        )
        self._connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with self._connection.cursor() as cursor:
            cursor.execute(SCOPE)
        return self._connection


def _cut(descriptor: int) -> None:
    """Ends a connection from this side, so that the thread that waits for it gets an error."""
    with socket.socket(fileno=os.dup(descriptor)) as line:
        line.shutdown(socket.SHUT_RDWR)


class Snapshot:
    """Queries of one transaction, each by its name. Parameters that a query doesn't use are ignored.

    `seconds` is the time spent waiting for the database. A query that fails raises psycopg2's error; leaving
    `Database.snapshot` with it raises DatabaseAway when the connection broke or the query took too long.
    """

    def __init__(self, cursor: psycopg2.extensions.cursor, parallel: Callable[[str, str], Future[memoryview]]) -> None:
        self._cursor, self._parallel = cursor, parallel
        self.seconds = 0.0

    def rows(self, query: str, **parameters: object) -> list[Row]:
        """All rows as dictionaries."""
        begun = time.perf_counter()
        try:
            self._cursor.execute(query_text(query), parameters)
        finally:
            self.seconds += time.perf_counter() - begun
        names = [column.name for column in self._cursor.description or ()]
        return [dict(zip(names, row)) for row in self._cursor.fetchall()]

    def row(self, query: str, **parameters: object) -> Row | None:
        """The first row as a dictionary, or None."""
        found = self.rows(query, **parameters)
        return found[0] if found else None

    def rows_within(self, seconds: float, query: str, **parameters: object) -> list[Row] | None:
        """rows(), or None when the database takes longer; for what an answer can do without."""
        self._cursor.execute(f"SAVEPOINT attempt; SET LOCAL statement_timeout = {int(1000 * seconds)}")
        try:
            found = self.rows(query, **parameters)
        except psycopg2.errors.QueryCanceled:
            self._cursor.execute("ROLLBACK TO SAVEPOINT attempt")
            return None
        self._cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}; RELEASE SAVEPOINT attempt")
        return found

    def columns(self, query: str, **parameters: object) -> Columns:
        """{column: array} of all rows, in the query's order; n rows give arrays of shape (n,).

        Times are int64 microseconds since 1970 (NULL: NO_TIME), float8 and float4 are float64 and float32 (NULL: NaN).
        Raises ValueError when a column is NULL or of another type than its query says.
        """
        text, layout = query_text(query), query_layout(query)
        answer = io.BytesIO()
        begun = time.perf_counter()
        statement = self._cursor.mogrify(text, parameters).decode()
        self._cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT binary)", answer)
        self.seconds += time.perf_counter() - begun
        return decode(answer.getbuffer(), layout)

    def columns_in_parallel(self, query: str, **parameters: object) -> Callable[[], Columns]:
        """Starts columns() on the other connection, which sees the same data; returns a function that waits for it."""
        layout = query_layout(query)
        names = [name for name, _ in layout]
        statement = self._cursor.mogrify(query_text(query), parameters).decode()
        self._cursor.execute("SELECT pg_export_snapshot()")
        ((exported,),) = self._cursor.fetchall()
        arriving = self._parallel(
            exported,
            f"SELECT {', '.join(f'array_agg({name})' for name in names)} FROM ({statement}) AS q ({', '.join(names)})",
        )

        def columns() -> Columns:
            begun = time.perf_counter()
            try:
                return decode_arrays(arriving.result(), layout)
            finally:
                self.seconds += time.perf_counter() - begun

        return columns


def decode(data: memoryview | bytes, layout: Layout) -> Columns:
    """The columns of a binary COPY whose rows all have the same width.

    Raises ValueError when they are not as `layout` says.
    """
    fields = [("count", ">i2")]
    for name, kind in layout:
        fields += [(f"{name} length", ">i4"), (name, WIDTHS[kind])]
    row = np.dtype(fields)
    count, rest = divmod(len(data) - HEADER_BYTES - len(TRAILER), row.itemsize)
    table = np.frombuffer(data, row, count=max(count, 0), offset=HEADER_BYTES)
    if rest or any(np.any(table[f"{name} length"] != row[name].itemsize) for name, _ in layout):
        raise ValueError("a column of the query is NULL or has another type than its layout says")
    return {name: _native(table[name], kind) for name, kind in layout}


def decode_arrays(data: memoryview | bytes, layout: Layout) -> Columns:
    """The columns of a binary COPY of one row with an array for each of them; a NULL array is an empty column.

    Raises ValueError when they are not as `layout` says.
    """
    columns, place = {}, HEADER_BYTES + 2  # the number of fields
    for name, kind in layout:
        size = int.from_bytes(data[place : place + 4], "big", signed=True)
        array, place = data[place + 4 : place + 4 + max(size, 0)], place + 4 + max(size, 0)
        dimensions, has_null, element, count, _ = (
            ARRAY_HEADER.unpack_from(array) if len(array) else (1, 0, TYPES[kind], 0, 1)
        )
        if dimensions > 1 or has_null or element != TYPES[kind]:
            raise ValueError(f"column {name} of the query is NULL or has another type than its layout says")
        values = (
            np.frombuffer(array, [("length", ">i4"), ("value", WIDTHS[kind])], count, ARRAY_HEADER.size)
            if count
            else np.empty(0, [("value", WIDTHS[kind])])
        )
        columns[name] = _native(values["value"], kind)
    return columns


def _native(column: NDArray[Any], kind: str) -> NDArray[Any]:
    values = column.astype(column.dtype.newbyteorder("="))
    if kind == "time":
        values[values != NO_TIME] += EPOCH_US
    return values


@cache
def query_text(query: str) -> str:
    """The statement of analysis/sql/<query>.sql without its ending semicolon."""
    return (QUERIES / f"{query}.sql").read_text(encoding="utf-8").rstrip().rstrip(";")


@cache
def query_layout(query: str) -> Layout:
    """((column, kind), …) from the lines `-- columns: name kind, …` of a query file."""
    declared = re.findall(r"^-- columns: (.+)$", query_text(query), re.M)
    pairs = (item.split() for item in ", ".join(declared).split(", "))
    return tuple((name, kind) for name, kind in pairs)
