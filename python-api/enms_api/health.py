"""How each part of the stack is, as GET /api/health shows it."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from .database import Database, DatabaseAway, DatabaseSlow

NODERED_TIMEOUT_S = 2
NODERED_KEEP_S = 3  # many requests cost Node-RED one
NODERED_RETRY_S = 0.5  # it may just be starting

Part = dict[str, Any]  # "status" and what else is known of a part


def nodered_url(environ: Mapping[str, str]) -> str:
    """Where Node-RED reports its health, from the ENMS_NODERED_* variables."""
    host, port = environ.get("ENMS_NODERED_HOST", "127.0.0.1"), environ.get("ENMS_NODERED_PORT", "1880")
    return f"http://{host}:{port}/api/nodered/health"


class NodeRed:
    """Asks Node-RED how it is; it knows the broker, too."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._answer: dict[str, Any] | None = None
        self._at = float("-inf")

    def health(self) -> dict[str, Any] | None:
        """Its own answer, or None when it doesn't answer."""
        with self._lock:
            if time.monotonic() - self._at > (NODERED_RETRY_S if self._answer is None else NODERED_KEEP_S):
                self._answer, self._at = self._ask(), time.monotonic()
            return self._answer

    def _ask(self) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(self._url, timeout=NODERED_TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:  # a 503 says what is wrong, too
            try:
                return json.load(error)
            except ValueError:
                return None
        except (OSError, ValueError):
            return None


def report(database: Database, nodered: NodeRed, grafana: bool) -> tuple[dict[str, Any], int]:
    """(the answer, the HTTP status); ``grafana``: one is set up.

    503 when the API can't do its work, 200 otherwise, also while a part stands still.
    """
    parts = {**database_parts(database), **nodered_parts(nodered.health())}
    working = parts["database"]["status"] == "ok"
    calm = all(part["status"] in ("ok", "waiting") for part in parts.values())
    status = "unavailable" if not working else "ok" if calm else "degraded"
    return {"status": status, "parts": parts, "grafana": grafana}, 200 if working else 503


def database_parts(database: Database) -> dict[str, Part]:
    """The database, and by what is in it the ingest and the printers."""
    started = time.perf_counter()
    try:
        facts = json.loads(database.fetch_json("health"))
    except (DatabaseAway, DatabaseSlow) as error:
        return {
            "database": {"status": "down", "problem": str(error)},
            "ingest": {"status": "unknown", "lastReadingAgeSeconds": None},
            "printers": {"status": "unknown", "lastStatusAgeSeconds": None},
        }
    milliseconds = round(1000 * (time.perf_counter() - started), 1)
    return {
        "database": {"status": "ok", "engine": facts["engine"], "milliseconds": milliseconds},
        "ingest": {
            "status": freshness(facts["lastReadingHolds"]),
            "lastReadingAgeSeconds": facts["lastReadingAgeSeconds"],
        },
        "printers": {
            "status": freshness(facts["lastStatusHolds"]),
            "lastStatusAgeSeconds": facts["lastStatusAgeSeconds"],
        },
    }


def nodered_parts(answer: Mapping[str, Any] | None) -> dict[str, Part]:
    """Node-RED and, as it sees it, the broker."""
    if answer is None:
        return {
            "nodered": {"status": "down", "problem": "Node-RED does not answer."},
            "broker": {"status": "unknown"},
        }
    flows = answer.get("flows")
    return {
        "nodered": {
            "status": "ok" if flows == "started" else "down",
            "flows": flows,
            "spooledRows": (answer.get("spool") or {}).get("spooled_rows"),
        },
        "broker": {"status": "ok" if answer.get("mqtt") == "connected" else "down"},
    }


def freshness(holds: bool | None) -> str:
    """waiting: nothing has come yet; stale: what came last says nothing about now any more."""
    if holds is None:
        return "waiting"
    return "ok" if holds else "stale"
