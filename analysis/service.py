"""What Node-RED calls: analyze(), predict_all(), ping(). One kept database connection and the loaded models per worker.

Heavy imports happen inside the calls that need them, so that a worker that only answers cheap calls stays small.
"""

import hashlib
import os
import time
from collections import OrderedDict
from datetime import UTC, datetime, timezone

from .core import errors

# Part of every ETag: raised when the answer's form or formulas change.
ANSWER_VERSION = 1
CACHED_ANSWERS = 32

_state = {}
_answers = OrderedDict()


def ping(_payload=None):
    """{"ok": True}; nothing is imported or asked. (A worker always hands a payload over.)"""
    return {"ok": True}


def analyze(request):
    """The answer of POST /api/analyze; see analysis/README.md for its form. Raises only what is a fault of ours."""
    from . import request as requests

    clock = _Clock()
    try:
        wanted = requests.parse(request)
        with _database().snapshot() as snapshot:
            answer = _answer(snapshot, wanted, request, clock)
    except errors.AnalysisError as error:
        answer = {
            "success": False,
            "error": str(error),
            "results": None,
            "status": error.status,
            "etag": None,
            "cached": False,
        }
    return {**answer, "timing": clock.milliseconds()}


def predict_all(_payload=None):
    """Expected power of every active printer with a fresh status; see analysis/README.md for the form."""
    from . import predictor

    try:
        with _database().snapshot() as snapshot:
            return predictor.predict(snapshot, _models())
    except errors.AnalysisError as error:
        return {"rows": [], "count": 0, "skipped": 0, "oldest_status_s": None, "note": None, "error": str(error)}


def model_card(request):
    """{"status", "page", "card", "error"} of the model that speaks for `request["deviceModel"]`, None for the fleet's; `page` is HTML."""
    from . import model_card as cards

    device_model = request.get("deviceModel")
    model, note = _models().of(device_model if isinstance(device_model, str) else None)
    if model is None:
        return {"status": 404, "page": cards.empty_page(note), "card": None, "error": note}
    return {"status": 200, "page": cards.page(model.card), "card": model.card, "error": None}


def reset():
    """Forgets the connection, the models and the cache: for tests, and after the environment changed."""
    if "database" in _state:
        _state["database"].close()
    _state.clear()
    _answers.clear()


def _answer(snapshot, wanted, request, clock):
    from . import report

    newest = snapshot.row("newest", device=wanted.device_id)
    if newest is None:
        raise errors.UnknownDevice(f"There is no device {wanted.device_id}.")
    etag = _etag(wanted, newest)
    if request.get("ifNoneMatch") and etag in [
        tag.strip().removeprefix("W/") for tag in str(request["ifNoneMatch"]).split(",")
    ]:
        return {"success": True, "error": None, "results": None, "status": 304, "etag": etag, "cached": True}
    kept = request.get("cache", True) is not False
    results = _answers.get(etag) if kept else None
    cached = results is not None
    if not cached:
        results = report.make(snapshot, wanted, _models(), clock)
        if kept:
            _answers[etag] = results
            while len(_answers) > CACHED_ANSWERS:
                _answers.popitem(last=False)
    return {"success": True, "error": None, "results": results, "status": 200, "etag": etag, "cached": cached}


def _etag(wanted, newest):
    # A relative range moves on even when nothing new arrives, and a late row may leave no trace here once it is rolled up.
    minute = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M")
    known = repr(
        (
            ANSWER_VERSION,
            wanted.key(),
            sorted(newest.items()),
            minute,
            _models().version(),
            os.environ.get("ENMS_GRAFANA_URL", ""),
        )
    )
    return f'"{hashlib.sha256(known.encode()).hexdigest()[:24]}"'


def _database():
    from .core.database import Database

    if "database" not in _state:
        _state["database"] = Database()
    return _state["database"]


def _models():
    from .models import Models

    if "models" not in _state:
        _state["models"] = Models()
    return _state["models"]


class _Clock:
    """Milliseconds per step; `lap(name)` ends a step."""

    STEPS = ("database_ms", "dataset_ms", "phases_ms", "statistics_ms", "model_ms", "insights_ms")

    def __init__(self):
        self._begun = self._last = time.perf_counter()
        self._steps = dict.fromkeys(self.STEPS, 0.0)

    def lap(self, step, of_that_database_s=0.0):
        """Adds the time since the last lap to `step`, the part spent waiting for the database to database_ms."""
        now = time.perf_counter()
        self._steps[step] += 1000 * (now - self._last - of_that_database_s)
        self._steps["database_ms"] += 1000 * of_that_database_s
        self._last = now

    def milliseconds(self):
        """{step: ms, "total_ms": ms}, a tenth exact."""
        steps = {name: round(value, 1) for name, value in self._steps.items()}
        return {**steps, "total_ms": round(1000 * (time.perf_counter() - self._begun), 1)}
