"""The reading HTTP API of ENMS: a Flask application under /api, served by gunicorn behind Nginx."""

import json
import os
import time

from flask import Flask, Response, request

from common.version import VERSION

from . import alarms, health, metrics, openapi, parameters
from .database import Database
from .openapi import page
from .openapi.reading import NOT_FOUND_JOB
from .parameters import BadRequest
from .responses import json_response, json_text, register_errors, tagged
from .summary import dpp_simulator
from .summary.answer import Writer
from .summary.cache import SummaryCache
from .summary.job import job_details
from .summary.live import LiveRows

SHARE_S = 1.0  # pollers of the summary share an answer for this long


def create_app(
    database: Database | None = None, nodered: health.NodeRed | None = None, share_s: float = SHARE_S
) -> Flask:
    """The application; the database and Node-RED are those of the environment by default.

    ``share_s``: how old (s) a summary may be that another request has caused; 0 makes a new one for each request.
    """
    app = Flask("enms", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    database = database or Database()
    nodered = nodered or health.NodeRed(health.nodered_url(os.environ))
    add_summary(app, SummaryCache(LiveRows(database), database, share_s))
    add_jobs(app, database)
    add_lists(app, database)
    add_health(app, database, nodered)
    add_documentation(app)
    app.after_request(harden)
    register_errors(app)
    metrics.Metrics(VERSION).watch(app, database)
    return app


def add_summary(app: Flask, live: SummaryCache) -> None:
    """The fleet: live, or a made-up one."""

    @app.get("/api/dpp_summary")
    def dpp_summary() -> Response:
        scenario = parameters.choice(request.args, "scenario", dpp_simulator.SCENARIOS) or dpp_simulator.LIVE
        if scenario == dpp_simulator.LIVE:
            return live.answer(request.if_none_match, new=bool(request.cache_control.no_cache))
        # A made-up fleet stands still for a minute, so that its polls bring nothing new as well.
        rows = dpp_simulator.scenario_rows(scenario, time.time() // 60 * 60)
        answer = Writer().write(rows, scenario)
        return tagged(answer.text, answer.tag, request.if_none_match)


def add_jobs(app: Flask, database: Database) -> None:
    """The print jobs and their passports."""

    @app.get("/api/jobs")
    def jobs() -> Response:
        arguments = request.args
        return json_text(
            database.fetch_json(
                "jobs",
                parameters.device_id(arguments),
                parameters.choice(arguments, "status", parameters.JOB_STATUSES),
                parameters.instant(arguments, "from"),
                parameters.instant(arguments, "to"),
                parameters.choice(arguments, "ended", ("true", "false")),
                parameters.words(arguments, "search"),
                parameters.choice(arguments, "sort", parameters.JOB_SORTS, "started"),
                1 if parameters.choice(arguments, "order", parameters.ORDERS, "desc") == "asc" else -1,
                parameters.limit(arguments),
                parameters.integer(arguments, "offset", 0, 0, parameters.MAX_OFFSET),
            )
        )

    @app.get("/api/jobs/<job_id>")
    def job(job_id: str) -> Response:
        known_id = parameters.job_id(job_id)
        if known_id is None:
            raise BadRequest("A job id looks like 123e4567-e89b-42d3-a456-426614174000.")
        found = database.fetch("job", known_id)
        if not found:
            return json_response({"error": NOT_FOUND_JOB}, 404)
        passport = json.loads(found[0][0])
        passport["job_details"] = job_details(passport["job_details"], None)
        return json_response(passport)


def add_lists(app: Flask, database: Database) -> None:
    """What is short enough to be answered whole."""

    @app.get("/api/factories")
    def factories() -> Response:
        return json_text(database.fetch_json("factories"))

    @app.get("/api/alarms")
    def current_alarms() -> Response:
        return json_response({"alarms": alarms.current(database)})

    @app.get("/api/rejects")
    def rejects() -> Response:
        return json_text('{"rejects":' + database.fetch_json("rejects", parameters.limit(request.args)) + "}")


def add_health(app: Flask, database: Database, nodered: health.NodeRed) -> None:
    """How the stack is, and which version of it this is."""

    @app.get("/api/health")
    def report_health() -> Response:
        return json_response(*health.report(database, nodered, grafana=bool(os.environ.get("ENMS_GRAFANA_URL"))))

    @app.get("/api/version")
    def version() -> Response:
        return json_response({"name": "enms", "version": VERSION})


def add_documentation(app: Flask) -> None:
    """The OpenAPI document, for programs and for people."""
    document = openapi.description(VERSION)
    docs_page = page.html(document)

    @app.get("/api/openapi.json")
    def describe() -> Response:
        return json_response(document)

    @app.get("/api/docs")
    def show_docs() -> Response:
        return Response(docs_page, headers={"Cache-Control": "no-cache"}, mimetype="text/html")

    @app.get(page.STYLESHEET)
    def docs_stylesheet() -> Response:
        return Response(page.STYLE, headers={"Cache-Control": "no-cache"}, mimetype="text/css")


def harden(response: Response) -> Response:
    """Headers that hold where the API is reached without Nginx, which sets more of them."""
    response.headers.setdefault("Content-Security-Policy", "default-src 'self'; frame-ancestors 'self'")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
