"""What Prometheus reads through the door: /metrics of the API and /metrics/ingest of Node-RED."""

import json
import re
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client.parser import text_string_to_metric_families

from common.files import ROOT
from tests.support.waiting import wait_for

PAGES = ("/metrics", "/metrics/ingest")
UNITS = ("seconds", "bytes", "info", "ratio")
LABELS = {"endpoint", "method", "status", "statement", "reason", "state", "version", "client", "node", "outcome"}
LABELS |= {"source", "le"}


def families(enms, page):
    """The metric families of a page; fails when Prometheus' own parser does."""
    answer = enms.get(page)
    kind = answer.headers["content-type"]
    assert answer.status == 200 and kind.startswith("text/plain;") and "version=" in kind
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(enms, page, name, **labels):
    """The sum of the samples of that name that carry these labels."""
    found = [sample for family in families(enms, page).values() for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


@pytest.fixture(scope="module")
def plug(enms):
    """publish(topic, payload) as a device, acknowledged by the broker."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="metrics-plug")
    client.username_pw_set(enms.settings["ENMS_MQTT_DEVICE_USER"], enms.settings["ENMS_MQTT_DEVICE_PASSWORD"])
    client.connect(enms.settings["ENMS_MQTT_HOST"], int(enms.settings["ENMS_MQTT_PORT"]))
    client.loop_start()
    yield lambda topic, payload: client.publish(topic, payload, qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("page", PAGES)
def test_names_and_units_follow_the_conventions(enms, page):
    """prometheus.io/docs/practices/naming: base units, _total for counters and nothing else, a help text for each."""
    enms.get("/api/jobs")
    for name, family in families(enms, page).items():
        assert family.documentation, name
        if name.startswith("enms_"):
            assert re.fullmatch(r"enms_[a-z][a-z0-9_]*", name)
            assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)(_|$)", name)
            assert not name.endswith("_total") or family.type == "counter", name
            if family.type == "histogram":
                assert name.endswith(UNITS), name
            for sample in family.samples:
                assert family.type != "counter" or sample.name == name + "_total"
                assert set(sample.labels) <= LABELS, sample


def test_messages_readings_batches_and_lag_rise(enms, plug):
    """Ten good readings and three messages that no parser takes."""
    page = "/metrics/ingest"
    names = ("enms_mqtt_messages_total", "enms_ingest_lag_seconds_count", "enms_batch_duration_seconds_count")
    before = {name: value(enms, page, name) for name in names}
    accepted = value(enms, page, "enms_readings_total", outcome="accepted")
    written = value(enms, page, "enms_rows_written_total", node="ingest_readings")
    rejected = value(enms, page, "enms_rejects_total")
    for number in range(10):
        plug(
            "metrics-plug/status/switch:0",
            json.dumps({"id": 0, "apower": 50, "aenergy": {"total": 100.0 + number / 100}}),
        )
    for number in range(3):
        plug("metrics-plug/status/switch:0", f"not JSON {number}")
    wait_for("the readings", lambda: value(enms, page, "enms_readings_total", outcome="accepted") >= accepted + 10, 10)
    wait_for("the rejects", lambda: value(enms, page, "enms_rejects_total") >= rejected + 3, 10)
    assert value(enms, page, "enms_mqtt_messages_total") >= before["enms_mqtt_messages_total"] + 13
    assert value(enms, page, "enms_rows_written_total", node="ingest_readings") >= written + 10
    assert value(enms, page, "enms_batch_duration_seconds_count") > before["enms_batch_duration_seconds_count"]
    lag = value(enms, page, "enms_ingest_lag_seconds_count")
    assert lag > before["enms_ingest_lag_seconds_count"]
    assert value(enms, page, "enms_ingest_lag_seconds_bucket", le="5") > 0
    assert value(enms, page, "enms_mqtt_connected", client="enms-shelly") == 1
    assert value(enms, page, "enms_database_up") == value(enms, page, "enms_flows_running") == 1
    assert value(enms, page, "nodejs_eventloop_lag_p99_seconds") >= 0
    wait_for("the journal to be released", lambda: value(enms, page, "enms_mqtt_journal_messages") == 0, 10)


def test_polls_and_python_calls_are_timed(enms):
    """A printer that is not there, and an analysis in the Python worker."""
    page = "/metrics/ingest"
    failed = lambda: (
        value(enms, page, "enms_poll_duration_seconds_count", source="octoprint")
        - value(enms, page, "enms_poll_duration_seconds_count", source="octoprint", outcome="ok")
    )
    calls = lambda: value(enms, page, "enms_python_call_duration_seconds_count")
    polls_before, calls_before = failed(), calls()
    enms.add_device(
        {
            "device_id": "metrics-printer",
            "friendly_name": "x",
            "source": "octoprint",
            "api_ip": "127.0.0.1:9",
            "api_key": "k",
            "data_interval_seconds": 2,
        }
    )
    try:
        wait_for("a failed poll", lambda: failed() > polls_before, 45)
        enms.change("POST", "/api/analyze", {"deviceId": "metrics-printer", "timeRange": "1h", "selectedDrivers": {}})
        assert calls() > calls_before
        assert value(enms, page, "enms_python_workers") >= 1 and value(enms, page, "enms_python_calls_waiting") == 0
    finally:
        enms.change("DELETE", "/api/devices/metrics-printer")


def test_requests_through_the_door_are_counted(enms):
    before = value(enms, "/metrics", "enms_http_requests_total", endpoint="/api/version", status="200")
    for _ in range(3):
        enms.get("/api/version")
    assert value(enms, "/metrics", "enms_http_requests_total", endpoint="/api/version", status="200") == before + 3
    assert value(enms, "/metrics", "process_start_time_seconds") < time.time()


def test_the_documented_metrics_are_those_that_are_there(enms):
    """docs/operations.md has a table of them; both pages are in the OpenAPI document."""
    table = set(re.findall(r"^\| `(enms_\w+)`", (ROOT / "docs/operations.md").read_text(), re.M))
    shown = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for page in PAGES
        for family in families(enms, page).values()
        if family.name.startswith("enms_")
    }
    assert shown == table
    assert set(PAGES) <= set(enms.get("/api/openapi.json").json()["paths"])


@pytest.mark.parametrize("page", PAGES)
def test_no_secret_is_shown(enms, page):
    secrets = json.loads((enms.run_dir / "secrets.json").read_text())
    text = enms.get(page).text
    assert not [name for name, secret in secrets.items() if secret in text]
