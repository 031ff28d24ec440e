"""What Prometheus reads at /metrics: the API's requests, its database pool and its process.

One process serves all requests (gunicorn.conf.py), so one registry in memory has all of it; a restart begins at zero,
as Prometheus expects of counters.
"""

import time
from typing import Literal

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from .database import Database

METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
# Prometheus sees a restart by the fallen counter; a second series for each would only be in the way.
disable_created_metrics()
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The figures of one application; ``watch`` counts its requests and serves them."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Gauge(
            "enms_build_info", "Version of the API; the value is always 1.", ["version"], registry=self._registry
        ).labels(version).set(1)
        self._requests = Counter(
            "enms_http_requests",
            "Requests answered, by endpoint, method and status.",
            ["endpoint", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "enms_http_request_duration_seconds",
            "From the first byte of a request to the answer, by endpoint.",
            ["endpoint"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._query_seconds = Histogram(
            "enms_database_query_duration_seconds",
            "A statement with its rows, by statement.",
            ["statement"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._failures = Counter(
            "enms_database_failures",
            "Statements without an answer, by reason (away or slow).",
            ["reason"],
            registry=self._registry,
        )
        self._connections = Gauge(
            "enms_database_connections",
            "Open connections of the pool, by state (busy or idle).",
            ["state"],
            registry=self._registry,
        )

    def watch(self, app: Flask, database: Database) -> None:
        """Counts what ``app`` answers, watches ``database``, and adds GET /metrics."""
        for state in ("busy", "idle"):
            self._connections.labels(state).set_function(lambda state=state: database.connections()[state])
        for reason in ("away", "slow"):
            self._failures.labels(reason)
        database.observer = self

        @app.before_request
        def begin() -> None:
            g.begun = time.perf_counter()

        @app.after_request
        def count(response: Response) -> Response:
            # The rule and not the path: there are only so many of them, whatever people ask for.
            endpoint = request.url_rule.rule if request.url_rule else "none"
            method = request.method if request.method in METHODS else "other"
            self._requests.labels(endpoint, method, response.status_code).inc()
            self._seconds.labels(endpoint).observe(time.perf_counter() - g.begun)
            return response

        @app.get("/metrics")
        def metrics() -> Response:
            return Response(
                generate_latest(self._registry),
                headers={"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST},
            )

    def answered(self, statement: str, seconds: float) -> None:
        """Counts a statement that the database answered."""
        self._query_seconds.labels(statement).observe(seconds)

    def failed(self, reason: Literal["away", "slow"]) -> None:
        """Counts a statement that it did not answer."""
        self._failures.labels(reason).inc()
