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
from .summary import answer as summary
from .summary import dpp_simulator
from .summary.cache import SummaryCache

SHARE_S = 1.0  # pollers of the summary share an answer for this long


def create_app(database=None, nodered=None, share_s=SHARE_S):
    """The application; ``database`` is a database.Database and ``nodered`` a health.NodeRed, from the environment by default.

    ``share_s``: how old (s) a summary may be that another request has caused; 0 makes each answer anew.
    """
    app = Flask("enms", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    database = database or Database()
    nodered = nodered or health.NodeRed(nodered_url(os.environ))
    document = openapi.description(VERSION)
    docs_page = page.html(document)
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
                parameters.choice(asked, "status", parameters.JOB_STATUSES),
                parameters.instant(asked, "from"),
                parameters.instant(asked, "to"),
                parameters.choice(asked, "ended", ("true", "false")),
                parameters.words(asked, "search"),
                parameters.choice(asked, "sort", parameters.JOB_SORTS, "started"),
                1 if parameters.choice(asked, "order", parameters.ORDERS, "desc") == "asc" else -1,
                parameters.limit(asked),
                parameters.integer(asked, "offset", 0, 0, parameters.MAX_OFFSET),
            )
        )

    @app.get("/api/jobs/<job_id>")
    def job(job_id):
        job_id = parameters.job_id(job_id)
        if job_id is None:
            raise BadRequest("A job id looks like 123e4567-e89b-42d3-a456-426614174000.")
        found = database.fetch("job", job_id)
        if not found:
            return json_response({"error": NOT_FOUND_JOB}, 404)
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

    @app.get(page.STYLESHEET)
    def docs_stylesheet():
        return Response(page.STYLE, headers={"Cache-Control": "no-cache"}, mimetype="text/css")

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
