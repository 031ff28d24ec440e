"""How the API answers: JSON, entity tags, and errors that say what is wrong without showing what is inside."""

import json
from typing import Any

from flask import Flask, Response
from werkzeug.datastructures import ETags
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from .database import DatabaseAway, DatabaseSlow
from .parameters import BadRequest

RETRY_AFTER_S = 2
SENTENCES = {
    404: "There is nothing at this address; /api/docs lists what there is.",
    405: "This address can only be read.",
    413: "The request is too large.",
}


def dumps(value: Any) -> str:
    """Compact JSON; a number that JSON doesn't know is a fault."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def tagged(text: str, tag: str, if_none_match: ETags) -> Response:
    """A JSON text with its weak tag; 304 for a client that has it."""
    if if_none_match.contains_weak(tag):
        return not_modified(tag)
    response = json_text(text)
    response.set_etag(tag, weak=True)
    return response


def not_modified(tag: str) -> Response:
    """304: the client has what that tag stands for."""
    response = Response(status=304, headers={"Cache-Control": "no-cache"})
    response.set_etag(tag, weak=True)
    return response


def json_response(value: Any, status: int = 200, **headers: str) -> Response:
    """Compact JSON that is always asked for again."""
    return json_text(dumps(value), status, **headers)


def json_text(text: str, status: int = 200, **headers: str) -> Response:
    """The same from a JSON text, for example one that the database made."""
    return Response(text, status, {"Cache-Control": "no-cache", **headers}, mimetype="application/json")


def register_errors(app: Flask) -> None:
    """Makes every failure {"error": sentence}; what went wrong inside is for the log alone."""

    @app.errorhandler(BadRequest)
    def bad_request(error: BadRequest) -> Response:
        return json_response({"error": str(error)}, 400)

    @app.errorhandler(DatabaseAway)
    def database_away(error: DatabaseAway) -> Response:
        app.logger.warning("database away: %s", error.__cause__)
        return unavailable("The database is not reachable at the moment; it is asked again with the next request.")

    @app.errorhandler(DatabaseSlow)
    def database_slow(error: DatabaseSlow) -> Response:
        app.logger.warning("database slow: %s", error.__cause__)
        return unavailable("The database took too long to answer; please try again.")

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        response = json_response({"error": SENTENCES.get(status, error.name + ".")}, status)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        app.logger.exception("unexpected failure")
        return json_response({"error": "Something went wrong here; the log of the API tells what."}, 500)


def unavailable(sentence: str) -> Response:
    """503 that says when to ask again."""
    return json_response({"error": sentence}, 503, **{"Retry-After": str(RETRY_AFTER_S)})
