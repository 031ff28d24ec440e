"""Kept, read-only connections to PostgreSQL as role enms_api.

A statement is prepared once per connection. A connection that died is replaced without anybody noticing (everything
here only reads, so a repeated statement does no harm); when there is no database at all, ``DatabaseAway`` is raised
within ``CONNECT_TIMEOUT_S`` and the next request tries again.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, Protocol

import psycopg2
import psycopg2.extras

from common.postgres import EVERY_FACTORY, connection_settings

CONNECT_TIMEOUT_S = 2
STATEMENT_TIMEOUT_MS = 5_000
MAX_IDLE = 8
# Read at the start: a file that an update replaces must not meet the older code of a process that still runs.
STATEMENTS = {
    path.stem: path.read_text(encoding="utf-8").rstrip().rstrip(";") for path in Path(__file__).parent.rglob("*.sql")
}

# What the statements of a request see (database/functions/12_scope.sql); today's login sees everything.
factories: ContextVar[str] = ContextVar("factories", default=EVERY_FACTORY)

Settings = Mapping[str, Any]  # libpq keywords
Row = tuple[Any, ...]


class DatabaseAway(Exception):
    """The database can't be reached now; it is worth asking again in a second or two."""


class DatabaseSlow(Exception):
    """The database answered too late and the statement was cancelled."""


class Observer(Protocol):
    """Hears of every statement."""

    def answered(self, statement: str, seconds: float) -> None:
        """The statement returned its rows."""

    def failed(self, reason: Literal["away", "slow"]) -> None:
        """A statement had no answer."""


def settings_from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """libpq keywords from the ENMS_DB_* variables. Raises EnmsError when the password is not set."""
    options = " ".join(
        f"-c {name}={value}"
        for name, value in {
            "statement_timeout": STATEMENT_TIMEOUT_MS,
            "default_transaction_read_only": "on",
            "jit": "off",
            "timezone": "UTC",
            # The same plan for every fleet: planning this large a statement costs more than running it.
            "plan_cache_mode": "force_generic_plan",
        }.items()
    )
    return {
        **connection_settings("enms_api", environ),
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "enms-api",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 4_000,
        "options": options,
    }


class Database:
    """A small pool of connections; safe from any thread. ``observer``, when set, hears of every statement."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or settings_from_environment()
        self._idle: list[_Connection] = []
        self._busy = 0
        self._lock = threading.Lock()
        self.observer: Observer | None = None

    def connections(self) -> dict[str, int]:
        """{"busy": number, "idle": number} of open connections."""
        with self._lock:
            return {"busy": self._busy, "idle": len(self._idle)}

    def fetch(self, statement: str, *parameters: Any) -> list[Row]:
        """Runs ``<statement>.sql`` with positional parameters and returns all rows, as tuples. JSON stays text.

        Raises DatabaseAway or DatabaseSlow; anything else is a fault of ours and goes up as it is.
        """
        return self._run(statement, parameters)[1]

    def fetch_dicts(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """The same with every row as a dict by column name."""
        names, rows = self._run(statement, parameters)
        return [dict(zip(names, row)) for row in rows]

    def fetch_json(self, statement: str, *parameters: Any) -> str:
        """The text of a statement whose answer is one JSON value."""
        return self.fetch(statement, *parameters)[0][0]

    def _run(self, statement: str, parameters: Row) -> tuple[list[str], list[Row]]:
        begun = time.perf_counter()
        try:
            answer = self._try(statement, parameters)
        except (DatabaseAway, DatabaseSlow) as error:
            if self.observer:
                self.observer.failed("slow" if isinstance(error, DatabaseSlow) else "away")
            raise
        if self.observer:
            self.observer.answered(statement, time.perf_counter() - begun)
        return answer

    def _try(self, statement: str, parameters: Row, again: bool = True) -> tuple[list[str], list[Row]]:
        try:
            with self._connection() as connection:
                return connection.run(statement, parameters)
        except psycopg2.errors.QueryCanceled as error:
            raise DatabaseSlow("The database took too long to answer.") from error
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            self.close()
            if not again or _refused(error):
                raise DatabaseAway("The database is not reachable at the moment.") from error
        return self._try(statement, parameters, again=False)

    def close(self) -> None:
        """Closes what is idle; connections in use are closed by the thread that finds them broken."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _connection(self) -> "Iterator[_Connection]":
        with self._lock:
            connection = self._idle.pop() if self._idle else None
            self._busy += 1
        keep = False
        try:
            connection = connection or _Connection(self._settings)
            yield connection
            keep = True
        finally:
            with self._lock:
                self._busy -= 1
                keep = keep and len(self._idle) < MAX_IDLE
                if keep and connection:
                    self._idle.append(connection)
            if connection and not keep:
                connection.close()


class _Connection:
    """One session and the statements that it has prepared."""

    def __init__(self, settings: Settings) -> None:
        self._session = psycopg2.connect(**settings)
        self._session.autocommit = True
        # One JSON text is parsed once, by us, and not by psycopg2 as well.
        psycopg2.extras.register_default_json(self._session, loads=str)
        self._prepared: set[str] = set()

    def run(self, statement: str, parameters: Row) -> tuple[list[str], list[Row]]:
        with self._session.cursor() as cursor:
            if statement not in self._prepared:
                cursor.execute(f"PREPARE {statement} AS {statement_text(statement)}")
                self._prepared.add(statement)
            marks = ", ".join(["%s"] * len(parameters))
            # One message is one transaction: the scope ends with it.
            cursor.execute(
                f"SET LOCAL enms.factories = %s; EXECUTE {statement}" + (f"({marks})" if marks else ""),
                (factories.get(), *parameters),
            )
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def close(self) -> None:
        self._session.close()


def statement_text(statement: str) -> str:
    """The SQL of ``<statement>.sql``, without the ending semicolon."""
    return STATEMENTS[statement]


def _refused(error: psycopg2.Error) -> bool:
    """Whether a second try at once is useless: there was never a connection, or the server turned us away."""
    return (
        error.pgcode is None
        and "server closed the connection" not in str(error)
        and ("connection to server" in str(error) or "timeout expired" in str(error))
    )
