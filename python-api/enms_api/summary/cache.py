"""The live summary, shared by who polls it."""

import threading
import time

from werkzeug.datastructures import ETags

from enms_api.database import DatabaseAway
from enms_api.responses import not_modified, tagged

from . import dpp_simulator
from .answer import Writer


class SummaryCache:
    """Answers with the live summary; what brings nothing new is a 304.

    The tag is made of what the answer says, without the ages that only tick. While the set of visible transactions is the
    same, so is every row: then the tag of before still holds and the large statement is not even asked, until the next
    moment at which time alone changes something.

    Who asks within ``share_s`` seconds after an answer was made shares it, and in the second half of that time the next one
    is made beside the request: many pollers cost as much as one. ``Cache-Control: no-cache`` asks for one made anew.
    """

    def __init__(self, rows, database, share_s):
        self._rows = rows
        self._database = database
        self._writer = Writer()
        self._known = None  # (snapshot, tag, valid until)
        self._share_s = share_s
        self._shared = None  # (Answer, when it was begun, monotonic seconds)
        self._making = threading.Lock()

    def answer(self, if_none_match, anew=False):
        asked = time.monotonic()
        shared = self._shared
        if anew or shared is None or asked - shared[1] >= self._share_s:
            with self._making:
                if anew or self._shared is None or self._shared[1] < asked - self._share_s / 2:
                    return self._make(if_none_match)
                shared = self._shared  # made while this request waited
        elif asked - shared[1] >= self._share_s / 2 and not self._making.locked():
            threading.Thread(target=self._make_ahead, daemon=True).start()
        return tagged(shared[0], if_none_match)

    def _make_ahead(self):
        if self._making.acquire(blocking=False):
            try:
                self._make(ETags())
            except DatabaseAway:
                pass  # the next request that needs the database says so
            finally:
                self._making.release()

    def _make(self, if_none_match):
        begun = time.monotonic()
        snapshot = None
        if if_none_match:
            snapshot = self._database.fetch("snapshot")[0][0]
            known = self._known
            if known and known[0] == snapshot and time.time() < known[2] and if_none_match.contains_weak(known[1]):
                return not_modified(known[1])
        answer = self._writer.write(self._rows.fetch(), dpp_simulator.LIVE)
        self._shared = (answer, begun)
        if snapshot:
            # Taken before the rows were read, so a change in between can only make the tag look older than it is.
            self._known = (snapshot, answer.tag, answer.valid_until_ts)
        return tagged(answer, if_none_match)
