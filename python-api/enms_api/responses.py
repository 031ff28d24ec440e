"""How the API answers: JSON, entity tags, and errors that say what is wrong without telling what is inside."""

import json

from flask import Response
from werkzeug.exceptions import HTTPException

from .database import DatabaseAway, DatabaseSlow
from .parameters import BadRequest

RETRY_AFTER_S = 2
SENTENCES = {
    404: "There is nothing at this address; /api/docs lists what there is.",
    405: "This address can only be read.",
    413: "The request is too large.",
}


def dumps(value):
    """Compact JSON; a number that JSON doesn't know is a fault."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


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
    return json_text(dumps(value), status, **headers)


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
