"""GET /metrics: Prometheus can read it, its counters count what happens, and nobody can make it grow."""

import threading

import pytest
from enms_api import app as application
from enms_api import database as db
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture()
def watched(api_settings, no_nodered):
    """A client of an application of its own, whose counters begin at zero, and its database."""
    database = db.Database(api_settings)
    yield application.create_app(database, no_nodered, share_s=0).test_client(), database
    database.close()


def samples(client):
    """{(name, labels as sorted pairs): value} of all figures."""
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.content_type.startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(client, name, **labels):
    return samples(client).get((name, tuple(sorted(labels.items()))), 0)


def test_requests_are_counted_by_endpoint_and_status(watched, fleet):
    client, _ = watched
    for path in (
        "/api/jobs",
        "/api/jobs",
        "/api/jobs?limit=0",
        "/api/jobs/00000000-0000-4000-8000-000000000000",
        "/nowhere/1",
        "/nowhere/2",
    ):
        client.get(path)
    client.post("/api/jobs")
    found = samples(client)
    count = lambda endpoint, method, status: found[
        ("enms_http_requests_total", (("endpoint", endpoint), ("method", method), ("status", status)))
    ]
    assert count("/api/jobs", "GET", "200") == 2 and count("/api/jobs", "GET", "400") == 1
    assert count("/api/jobs/<job_id>", "GET", "404") == 1
    assert count("none", "GET", "404") == 2 and count("none", "POST", "405") == 1
    assert found[("enms_http_request_duration_seconds_count", (("endpoint", "/api/jobs"),))] == 3
    assert 0 < found[("enms_http_request_duration_seconds_sum", (("endpoint", "/api/jobs"),))] < 30
    assert found[("enms_database_query_duration_seconds_count", (("statement", "jobs"),))] == 2
    assert found[("enms_build_info", (("version", application.VERSION),))] == 1
    assert found[("process_resident_memory_bytes", ())] > 1e7


def test_no_request_can_make_it_grow(watched):
    client, _ = watched
    before = len(samples(client))
    for number in range(300):
        client.open(f"/api/jobs/x{number}?a={number}", method=("GET", "PROPFIND", f"M{number}")[number % 3])
    assert len(samples(client)) - before < 60


def test_the_pool_reports_what_is_busy(watched):
    client, database = watched
    client.get("/api/jobs")
    assert (
        value(client, "enms_database_connections", state="idle") == 1
        and value(client, "enms_database_connections", state="busy") == 0
    )
    with database._connection():
        assert value(client, "enms_database_connections", state="busy") == 1
    both = threading.Barrier(2)

    def hold():
        with database._connection():
            both.wait(5)

    threads = [threading.Thread(target=hold) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.connections() == {"busy": 0, "idle": 2}


def test_a_database_that_is_away_is_counted(api_settings, no_nodered):
    database = db.Database({**api_settings, "port": "1", "connect_timeout": 1})
    client = application.create_app(database, no_nodered, share_s=0).test_client()
    assert value(client, "enms_database_failures_total", reason="away") == 0
    assert client.get("/api/jobs").status_code == 503
    assert value(client, "enms_database_failures_total", reason="away") == 1
    assert database.connections() == {"busy": 0, "idle": 0}
