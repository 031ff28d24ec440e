"""The reading HTTP API of ENMS: a Flask application under /api, served by gunicorn behind Nginx."""

import json
import os
import threading
import time
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.datastructures import ETags
from werkzeug.exceptions import HTTPException

import alarms
import analysis_openapi
import devices_openapi
import docs
import dpp_simulator
import health
import metrics
import openapi
import parameters
import summary
from db import Database, DatabaseAway, DatabaseSlow
from launcher import VERSION
from parameters import BadRequest

RETRY_AFTER_S = 2
SHARE_S = 1.0  # pollers of the summary share an answer for this long
SENTENCES = {
    404: "There is nothing at this address; /api/docs lists what there is.",
    405: "This address can only be read.",
    413: "The request is too large.",
}


def create_app(database=None, nodered=None, share_s=SHARE_S):
    """The application; ``database`` is a db.Database and ``nodered`` a health.NodeRed, from the environment by default.

    ``share_s``: how old (s) a summary may be that another request has caused; 0 makes each answer anew.
    """
    app = Flask("enms", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    database = database or Database()
    nodered = nodered or health.NodeRed(nodered_url(os.environ))
    document = openapi.description(VERSION, [devices_openapi, analysis_openapi])
    docs_page, docs_style = docs.page(document), (Path(__file__).parent / "docs.css").read_text(encoding="utf-8")
    live = SummaryCache(dpp_simulator.LiveRows(database), database, share_s)

    @app.get("/api/dpp_summary")
    def dpp_summary():
        scenario = parameters.choice(request.args, "scenario", dpp_simulator.SCENARIOS, dpp_simulator.LIVE)
        if scenario == dpp_simulator.LIVE:
            return live.answer(request.if_none_match, anew=bool(request.cache_control.no_cache))
        # A made-up fleet stands still for a minute, so that its polls bring nothing new as well.
        rows = dpp_simulator.scenario_rows(scenario, time.time() // 60 * 60)
        return tagged(summary.Writer().write(rows, scenario), request.if_none_match)

    @app.get("/api/jobs")
    def jobs():
        asked = request.args
        return json_text(
            database.fetch_json(
                "jobs",
                parameters.device_id(asked),
                parameters.choice(asked, "status", openapi.JOB_STATUSES),
                parameters.instant(asked, "from"),
                parameters.instant(asked, "to"),
                parameters.choice(asked, "ended", ("true", "false")),
                parameters.words(asked, "search"),
                parameters.choice(asked, "sort", openapi.JOB_SORTS, "started"),
                1 if parameters.choice(asked, "order", openapi.ORDERS, "desc") == "asc" else -1,
                parameters.limit(asked),
                parameters.integer(asked, "offset", 0, 0, openapi.MAX_OFFSET),
            )
        )

    @app.get("/api/jobs/<job_id>")
    def job(job_id):
        job_id = parameters.job_id(job_id)
        if job_id is None:
            raise BadRequest("A job id looks like 123e4567-e89b-42d3-a456-426614174000.")
        found = database.fetch("job", job_id)
        if not found:
            return json_response({"error": openapi.NOT_FOUND_JOB}, 404)
        passport = json.loads(found[0][0])
        passport["job_details"] = summary.job_details(passport["job_details"], None)
        return json_response(passport)

    @app.get("/api/factories")
    def factories():
        return json_text(database.fetch_json("factories"))

    @app.get("/api/alarms")
    def current_alarms():
        return json_response({"alarms": alarms.current(database)})

    @app.get("/api/rejects")
    def rejects():
        return json_text('{"rejects":' + database.fetch_json("rejects", parameters.limit(request.args)) + "}")

    @app.get("/api/health")
    def report_health():
        return json_response(*health.report(database, nodered, grafana=bool(os.environ.get("ENMS_GRAFANA_URL"))))

    @app.get("/api/version")
    def version():
        return json_response({"name": "enms", "version": VERSION})

    @app.get("/api/openapi.json")
    def describe():
        return json_response(document)

    @app.get("/api/docs")
    def show_docs():
        return Response(docs_page, headers={"Cache-Control": "no-cache"}, mimetype="text/html")

    @app.get(docs.STYLESHEET)
    def docs_stylesheet():
        return Response(docs_style, headers={"Cache-Control": "no-cache"}, mimetype="text/css")

    @app.after_request
    def harden(response):
        # Nginx says more; these hold where the API is reached without it.
        response.headers.setdefault("Content-Security-Policy", "default-src 'self'; frame-ancestors 'self'")
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response

    register_errors(app)
    metrics.Metrics(VERSION).watch(app, database)
    return app


def nodered_url(environ):
    host, port = environ.get("ENMS_NODERED_HOST", "127.0.0.1"), environ.get("ENMS_NODERED_PORT", "1880")
    return f"http://{host}:{port}/api/nodered/health"


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
        self._writer = summary.Writer()
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


def tagged(answer, if_none_match):
    if if_none_match.contains_weak(answer.tag):
        return not_modified(answer.tag)
    response = json_text(answer.text)
    response.set_etag(answer.tag, weak=True)
    return response


def not_modified(tag):
    response = Response(status=304, headers={"Cache-Control": "no-cache"})
    response.set_etag(tag, weak=True)
    return response


def json_response(value, status=200, **headers):
    """Compact JSON that is always asked for again."""
    return json_text(summary.dumps(value), status, **headers)


def json_text(text, status=200, **headers):
    """The same from JSON that the database made."""
    return Response(text, status, {"Cache-Control": "no-cache", **headers}, mimetype="application/json")


def register_errors(app):
    """Every failure is {"error": sentence}; what went wrong inside is for the log alone."""

    @app.errorhandler(BadRequest)
    def bad_request(error):
        return json_response({"error": str(error)}, 400)

    @app.errorhandler(DatabaseAway)
    def database_away(error):
        app.logger.warning("database away: %s", error.__cause__)
        return unavailable("The database is not reachable at the moment; it is asked again with the next request.")

    @app.errorhandler(DatabaseSlow)
    def database_slow(error):
        app.logger.warning("database slow: %s", error.__cause__)
        return unavailable("The database took too long to answer; please try again.")

    @app.errorhandler(HTTPException)
    def http(error):
        sentence = SENTENCES.get(error.code, error.name + ".")
        response = json_response({"error": sentence}, error.code)
        if error.code == 405 and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.errorhandler(Exception)
    def fault(error):
        app.logger.exception("unexpected failure")
        return json_response({"error": "Something went wrong here; the log of the API tells what."}, 500)


def unavailable(sentence):
    return json_response({"error": sentence}, 503, **{"Retry-After": str(RETRY_AFTER_S)})


app = create_app()
