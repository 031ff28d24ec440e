"""What Node-RED calls: analyze(), predict_all(), model_card(), ping(). A worker keeps its database and loaded models.

Heavy imports happen inside the calls that need them, so that a worker that only answers cheap calls stays small.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from .clock import Clock
from .core import errors

if TYPE_CHECKING:
    from .core.database import Database, Row, Snapshot
    from .models import Models
    from .predictor import Predictions
    from .request import Request

# Part of every ETag: raised when the answer's form or formulas change.
ANSWER_VERSION = 1
CACHED_ANSWERS = 32


class Answer(TypedDict):
    """The answer of POST /api/analyze without its timing; README.md describes it."""

    success: bool
    error: str | None
    results: dict[str, Any] | None
    status: int
    etag: str | None
    cached: bool


class Kept:
    """What a worker keeps from one call to the next: each is made when it is first needed."""

    def __init__(self) -> None:
        self.database: Database | None = None
        self.models: Models | None = None
        self.answers: OrderedDict[str, dict[str, Any]] = OrderedDict()


kept = Kept()


def ping(_payload: object = None) -> dict[str, bool]:
    """Returns {"ok": True} and imports nothing; a worker always passes a payload, which is ignored."""
    return {"ok": True}


def analyze(request: Any) -> dict[str, Any]:
    """The answer of POST /api/analyze; see README.md for its form. Raises only what is a fault of ours."""
    from . import request as requests

    clock = Clock()
    try:
        wanted = requests.parse(request)
        with _database().snapshot() as snapshot:
            answer = _answer(snapshot, wanted, request, clock)
    except errors.AnalysisError as error:
        answer = Answer(success=False, error=str(error), results=None, status=error.status, etag=None, cached=False)
    return {**answer, "timing": clock.milliseconds()}


def predict_all(_payload: object = None) -> "Predictions":
    """Expected power of every active printer with a fresh status; see README.md for the form."""
    from . import predictor

    try:
        with _database().snapshot() as snapshot:
            return predictor.predict(snapshot, _models())
    except errors.AnalysisError as error:
        return {"rows": [], "count": 0, "skipped": 0, "oldest_status_s": None, "note": None, "error": str(error)}


def model_card(request: Mapping[str, Any]) -> dict[str, Any]:
    """{"status", "page", "card", "error"} of the model in use for `request["deviceModel"]`, None for the fleet's.

    `page` is HTML.
    """
    from . import model_card as cards

    device_model = request.get("deviceModel")
    model, note = _models().of(device_model if isinstance(device_model, str) else None)
    if model is None:
        return {"status": 404, "page": cards.empty_page(note or ""), "card": None, "error": note}
    return {"status": 200, "page": cards.page(model.card), "card": model.card, "error": None}


def reset() -> None:
    """Forgets the connection, the models and the cache: for tests, and after the environment changed."""
    if kept.database:
        kept.database.close()
    kept.database = kept.models = None
    kept.answers.clear()


def _answer(snapshot: "Snapshot", wanted: "Request", request: Mapping[str, Any], clock: Clock) -> Answer:
    from . import report

    newest = snapshot.row("newest", device=wanted.device_id)
    if newest is None:
        raise errors.UnknownDevice(wanted.device_id)
    etag = _etag(wanted, newest)
    known = str(request.get("ifNoneMatch") or "").split(",")
    if etag in [tag.strip().removeprefix("W/") for tag in known]:
        return Answer(success=True, error=None, results=None, status=304, etag=etag, cached=True)
    may_keep = request.get("cache", True) is not False
    results = kept.answers.get(etag) if may_keep else None
    cached = results is not None
    if results is None:
        results = report.make(snapshot, wanted, _models(), clock)
        if may_keep:
            kept.answers[etag] = results
            while len(kept.answers) > CACHED_ANSWERS:
                kept.answers.popitem(last=False)
    return Answer(success=True, error=None, results=results, status=200, etag=etag, cached=cached)


def _etag(wanted: "Request", newest: "Row") -> str:
    # A relative range moves on even when nothing new arrives, and a late row may leave no trace here after its rollup.
    minute = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M")
    grafana = os.environ.get("ENMS_GRAFANA_URL", "")
    known = repr((ANSWER_VERSION, wanted.key(), sorted(newest.items()), minute, _models().version(), grafana))
    return f'"{hashlib.sha256(known.encode()).hexdigest()[:24]}"'


def _database() -> "Database":
    from .core.database import Database

    kept.database = kept.database or Database()
    return kept.database


def _models() -> "Models":
    from .models import Models

    kept.models = kept.models or Models()
    return kept.models
