"""How each part of the stack is, as GET /api/health tells it."""

import json
import threading
import time
import urllib.error
import urllib.request

from .database import DatabaseAway, DatabaseSlow

FRESH_S = 300  # readings and statuses that are older mean that something stands still
NODERED_TIMEOUT_S = 2
NODERED_KEEP_S = 3  # many who ask cost Node-RED one question
NODERED_RETRY_S = 0.5  # it may just be starting


class NodeRed:
    """Asks Node-RED how it is; it knows the broker, too."""

    def __init__(self, url):
        self._url = url
        self._lock = threading.Lock()
        self._answer, self._at = None, float("-inf")

    def health(self):
        """Its own answer as a dict, or None when it doesn't answer."""
        with self._lock:
            if time.monotonic() - self._at > (NODERED_RETRY_S if self._answer is None else NODERED_KEEP_S):
                self._answer, self._at = self._ask(), time.monotonic()
            return self._answer

    def _ask(self):
        try:
            with urllib.request.urlopen(self._url, timeout=NODERED_TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:  # a 503 tells what is wrong, too
            try:
                return json.load(error)
            except ValueError:
                return None
        except (OSError, ValueError):
            return None


def report(database, nodered, grafana):
    """(the answer, the HTTP status); ``grafana`` says whether one is set up.

    503 when the API can't do its work, 200 otherwise, also while a part stands still.
    """
    parts, working = {}, True
    started = time.perf_counter()
    try:
        facts = json.loads(database.fetch_json("health"))
        parts["database"] = {
            "status": "ok",
            "engine": facts["engine"],
            "milliseconds": round(1000 * (time.perf_counter() - started), 1),
        }
        parts["ingest"] = {
            "status": freshness(facts["lastReadingAgeSeconds"]),
            "lastReadingAgeSeconds": facts["lastReadingAgeSeconds"],
        }
        parts["printers"] = {
            "status": freshness(facts["lastStatusAgeSeconds"]),
            "lastStatusAgeSeconds": facts["lastStatusAgeSeconds"],
        }
    except (DatabaseAway, DatabaseSlow) as error:
        working = False
        parts["database"] = {"status": "down", "problem": str(error)}
        parts["ingest"] = {"status": "unknown", "lastReadingAgeSeconds": None}
        parts["printers"] = {"status": "unknown", "lastStatusAgeSeconds": None}
    answer = nodered.health()
    if answer is None:
        parts["nodered"] = {"status": "down", "problem": "Node-RED does not answer."}
        parts["broker"] = {"status": "unknown"}
    else:
        flows = answer.get("flows")
        parts["nodered"] = {
            "status": "ok" if flows == "started" else "down",
            "flows": flows,
            "spooledRows": (answer.get("spool") or {}).get("spooled_rows"),
        }
        parts["broker"] = {"status": "ok" if answer.get("mqtt") == "connected" else "down"}
    calm = all(part["status"] in ("ok", "waiting") for part in parts.values())
    status = "unavailable" if not working else "ok" if calm else "degraded"
    return {"status": status, "parts": parts, "grafana": grafana}, 200 if working else 503


def freshness(age_s):
    """waiting: nothing has come yet; stale: nothing has come for long."""
    if age_s is None:
        return "waiting"
    return "ok" if age_s <= FRESH_S else "stale"
