"""The Devices API as programs see it: every address is described, and every answer is as described."""

import json
import re

import jsonschema
import pytest

from common.files import ROOT
from tests.support.http import call

DEVICE = {
    "device_id": "described-1",
    "friendly_name": "Described",
    "source": "prusalink",
    "api_ip": "127.0.0.1:9",
    "api_key": "a-key-of-a-test",
    "shelly_id": "described-plug",
}


@pytest.fixture(scope="module")
def described(enms):
    return enms.get("/api/openapi.json").json()


@pytest.fixture
def conforms(enms, described):
    """conforms(answer, method, path): returns the body; fails when it or its status is not as described."""

    def check(answer, method: str, path: str):
        found = described["paths"][path][method]["responses"].get(str(answer.status))
        assert found, f"{method} {path} answered {answer.status}, which is not described: {answer.text[:200]}"
        body = answer.json()
        jsonschema.validate(
            body, {**found["content"]["application/json"]["schema"], "components": described["components"]}
        )
        return body

    return check


def test_every_address_of_the_flows_is_described(described):
    flows = [node for path in (ROOT / "nodered/flows").glob("*.json") for node in json.loads(path.read_text())]
    served = {
        (node["method"], "/api" + re.sub(r":(\w+)", r"{\1}", node["url"]))
        for node in flows
        if node["type"] == "http in"
    }
    assert len(served) > 12
    assert served <= {(method, path) for path, methods in described["paths"].items() for method in methods}


def test_reading_needs_no_login_and_is_as_described(enms, conforms):
    for path in ("/api/devices", "/api/meters", "/api/session"):
        conforms(enms.get(path), "get", path)
    assert conforms(enms.get("/api/session"), "get", "/api/session") == {"user": None}


def test_the_life_of_a_device_is_as_described(enms, conforms):
    try:
        stored = conforms(enms.change("POST", "/api/devices", DEVICE), "post", "/api/devices")
        assert stored["has_api_key"] and DEVICE["api_key"] not in json.dumps(stored)
        refused = conforms(enms.change("POST", "/api/devices", DEVICE), "post", "/api/devices")
        assert refused["error"].startswith("There is already a device")
        patched = enms.change("PATCH", "/api/devices/described-1", {"notes": "by the door"})
        assert conforms(patched, "patch", "/api/devices/{id}")["notes"] == "by the door"
        tested = conforms(
            enms.change("POST", "/api/devices/test", {"deviceId": "described-1"}), "post", "/api/devices/test"
        )
        assert tested["ok"] is False and "described-plug" in tested["plug"]
        conforms(enms.get("/api/devices"), "get", "/api/devices")
    finally:
        assert conforms(enms.change("DELETE", "/api/devices/described-1"), "delete", "/api/devices/{id}")["removed"]


@pytest.mark.parametrize(
    "method, address, path, body",
    [
        ("POST", "/api/devices", "/api/devices", {"device_id": "bad id"}),
        ("POST", "/api/devices", "/api/devices", {"device_id": "x", "bed_width": "wide"}),
        ("PATCH", "/api/devices/nobody", "/api/devices/{id}", {"notes": ""}),
        ("DELETE", "/api/devices/nobody", "/api/devices/{id}", None),
        ("POST", "/api/devices/test", "/api/devices/test", {"deviceId": "nobody"}),
        ("POST", "/api/meters/assign", "/api/meters/assign", {"meterId": "nobody", "deviceId": None}),
        ("POST", "/api/meters/assign", "/api/meters/assign", {}),
        ("POST", "/api/jobs/00000000-0000-0000-0000-000000000000/enrich", "/api/jobs/{id}/enrich", None),
        ("POST", "/api/jobs/none/enrich", "/api/jobs/{id}/enrich", None),
    ],
)
def test_refusals_are_sentences_as_described(enms, conforms, method, address, path, body):
    answer = enms.change(method, address, body)
    assert 400 <= answer.status < 500 and len(conforms(answer, method.lower(), path)["error"]) > 10
    assert conforms(call(method, enms.url + address, body), method.lower(), path)["error"] == "Log in first."


def test_logging_in_is_as_described(enms, conforms):
    user, password = enms.editor
    answer = call("POST", enms.url + "/api/login", {"user": user, "password": password})
    session = conforms(answer, "post", "/api/login")
    cookie = answer.headers["set-cookie"].partition(";")[0]
    again = conforms(call("GET", enms.url + "/api/session", headers={"Cookie": cookie}), "get", "/api/session")
    assert again["csrf_token"] == session["csrf_token"] and again["user"] == user
    conforms(call("POST", enms.url + "/api/login", {"user": user}), "post", "/api/login")
    conforms(call("POST", enms.url + "/api/logout", headers={"Cookie": cookie}), "post", "/api/logout")
