"""The live summary, shared by those who poll it."""

import threading
import time
from dataclasses import dataclass

from flask import Response
from werkzeug.datastructures import ETags

from enms_api.database import Database, DatabaseAway, DatabaseSlow
from enms_api.responses import not_modified, tagged

from . import dpp_simulator
from .answer import Answer, Writer
from .live import LiveRows


@dataclass(frozen=True, slots=True)
class _Shared:
    answer: Answer
    begun: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class _Known:
    snapshot: str
    tag: str
    valid_until_ts: float


class SummaryCache:
    """Answers with the live summary; what brings nothing new is a 304.

    The tag is made of what the answer says, without the ages that only tick. While the set of visible transactions is
    the same, so is every row: then the last tag still holds and the large statement is not even run, until time alone
    changes something.

    Requests within ``share_s`` seconds after an answer was made share it. In the second half of that time a request
    also starts a thread that makes the next one: many pollers cost as much as one. ``Cache-Control: no-cache`` asks for
    a new answer.
    """

    def __init__(self, rows: LiveRows, database: Database, share_s: float) -> None:
        self._rows = rows
        self._database = database
        self._writer = Writer()
        self._known: _Known | None = None
        self._share_s = share_s
        self._shared: _Shared | None = None
        self._making = threading.Lock()

    def answer(self, if_none_match: ETags, new: bool = False) -> Response:
        """The response to one request; ``new``: made for this request. Raises what the database raises."""
        asked = time.monotonic()
        shared = self._shared
        if new or shared is None or asked - shared.begun >= self._share_s:
            with self._making:
                shared = self._shared  # perhaps made while this request waited
                if new or shared is None or shared.begun < asked - self._share_s / 2:
                    return self._make(if_none_match)
        elif asked - shared.begun >= self._share_s / 2 and not self._making.locked():
            threading.Thread(target=self._make_ahead, daemon=True).start()
        return tagged(shared.answer.text, shared.answer.tag, if_none_match)

    def _make_ahead(self) -> None:
        if self._making.acquire(blocking=False):
            try:
                self._make(ETags())
            except (DatabaseAway, DatabaseSlow):
                pass  # the next request that needs the database says so
            finally:
                self._making.release()

    def _make(self, if_none_match: ETags) -> Response:
        begun = time.monotonic()
        snapshot = None
        if if_none_match:
            snapshot = self._database.fetch("snapshot")[0][0]
            known = self._known
            if (
                known
                and known.snapshot == snapshot
                and time.time() < known.valid_until_ts
                and if_none_match.contains_weak(known.tag)
            ):
                return not_modified(known.tag)
        answer = self._writer.write(self._rows.fetch(), dpp_simulator.LIVE)
        self._shared = _Shared(answer, begun)
        if snapshot:
            # Taken before the rows were read, so a change in between can only make the tag look older than it is.
            self._known = _Known(snapshot, answer.tag, answer.valid_until_ts)
        return tagged(answer.text, answer.tag, if_none_match)
