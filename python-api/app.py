"""The reading HTTP API of ENMS: a Flask application under /api, served by gunicorn behind Nginx."""

import hashlib
import json
import time

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

import dpp_simulator
import summary
from db import Database, DatabaseAway, DatabaseSlow

VERSION = "0.1.0"
RETRY_AFTER_S = 2


class BadRequest(Exception):
    """Input that can't be answered; the sentence says what would do."""


def create_app(database=None):
    """The application; ``database`` is a db.Database, from the environment by default."""
    app = Flask("enms", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    database = database or Database()
    live = SummaryCache(dpp_simulator.LiveRows(database), database)

    @app.get("/api/dpp_summary")
    def dpp_summary():
        scenario = request.args.get("scenario", dpp_simulator.LIVE)
        if scenario not in dpp_simulator.SCENARIOS:
            raise BadRequest(f"There is no such scenario; known are: {', '.join(dpp_simulator.SCENARIOS)}.")
        if scenario == dpp_simulator.LIVE:
            return live.answer(request.if_none_match)
        rows = dpp_simulator.scenario_rows(scenario, time.time())
        answer, _ = summary.build(rows, scenario)
        return tagged(answer, etag_of(answer), request.if_none_match)

    register_errors(app)
    return app


class SummaryCache:
    """Answers with the live summary; what brings nothing new is a 304.

    The tag is made of what the answer says, without the ages that only tick. While the set of visible transactions is the
    same, so is every row: then the tag of before still holds and the large statement is not even asked, until the next
    moment at which time alone changes something.
    """

    def __init__(self, rows, database):
        self._rows = rows
        self._database = database
        self._known = None  # (snapshot, tag, valid until)

    def answer(self, if_none_match):
        snapshot = None
        if if_none_match:
            snapshot = self._database.fetch("snapshot")[0][0]
            known = self._known
            if known and known[0] == snapshot and time.time() < known[2] and if_none_match.contains_weak(known[1]):
                return not_modified(known[1])
        rows = self._rows.fetch()
        answer, valid_until = summary.build(rows, dpp_simulator.LIVE)
        tag = etag_of(answer)
        if snapshot:
            # Taken before the rows were read, so a later change can only make it look newer than it is.
            self._known = (snapshot, tag, valid_until)
        return tagged(answer, tag, if_none_match)


def etag_of(answer):
    """A weak tag: equal answers, but for their ages, have equal tags."""
    lasting = {**answer, "generatedAt": None, "printers": [{**one, "statusAgeSeconds": None} for one in answer["printers"]]}
    return hashlib.blake2b(json.dumps(lasting, separators=(",", ":")).encode(), digest_size=12).hexdigest()


def tagged(answer, tag, if_none_match):
    if if_none_match.contains_weak(tag):
        return not_modified(tag)
    response = json_response(answer)
    response.set_etag(tag, weak=True)
    return response


def not_modified(tag):
    response = Response(status=304, headers={"Cache-Control": "no-cache"})
    response.set_etag(tag, weak=True)
    return response


def json_response(value, status=200, **headers):
    """Compact JSON that is always asked for again."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
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
        response = json_response({"error": error.description}, error.code)
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
