"""The nginx configuration, in a real nginx before stub services."""

import http.client
import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from common.errors import EnmsError
from launcher import probes, services, settings
from launcher.doctor import stack
from launcher.doctor.finding import OK, WARNING
from launcher.settings import Paths


class StubServer(ThreadingHTTPServer):
    """Stands for one of the services behind nginx."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        super().__init__(("127.0.0.1", port), Stub)


class Stub(BaseHTTPRequestHandler):
    """Answers with what it was asked, and with headers that must not get out."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        assert isinstance(self.server, StubServer)
        if self.path.endswith("/refused"):
            self.reply(503, {"error": "mine"})
        else:
            upgrade = self.headers.get("Upgrade")
            self.reply(200, {"service": self.server.name, "path": self.path, "upgrade": upgrade, "long": "x" * 3000})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def do_PATCH(self):
        self.do_POST()

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Access-Control-Allow-Origin", "*"),
            ("X-Powered-By", "Express"),
            ("ETag", '"1"'),
            ("Connection", "close"),
        ):
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def door(env, start):
    """door(method, path) → (status, headers, text), through nginx with stubs behind it."""
    stubs = []
    for name, variable in (
        ("nodered", "ENMS_NODERED_PORT"),
        ("api", "ENMS_API_PORT"),
        ("grafana", "ENMS_GRAFANA_PORT"),
    ):
        server = StubServer(name, int(env[variable]))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        stubs.append(server)
    start("nginx", ENMS_GRAFANA_URL=f"http://127.0.0.1:{env['ENMS_GRAFANA_PORT']}")

    def ask(method, path, body=None, **headers):
        link = http.client.HTTPConnection("127.0.0.1", int(env["ENMS_HTTP_PORT"]), timeout=10)
        try:
            link.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read().decode(errors="replace")
        except BrokenPipeError:  # the answer came before the whole body was sent
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read().decode(errors="replace")
        finally:
            link.close()

    ask.stubs = stubs
    yield ask
    for server in stubs:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "method, path, service",
    [
        ("GET", "/api/devices", "nodered"),
        ("PATCH", "/api/devices/A-1", "nodered"),
        ("POST", "/api/devices/test", "nodered"),
        ("GET", "/api/meters", "nodered"),
        ("POST", "/api/meters/assign", "nodered"),
        ("POST", "/api/login", "nodered"),
        ("POST", "/api/logout", "nodered"),
        ("GET", "/api/session", "nodered"),
        ("POST", "/api/analyze", "nodered"),
        ("GET", "/nodered/", "nodered"),
        ("GET", "/nodered/flows", "nodered"),
        ("GET", "/grafana/", "grafana"),
        ("POST", "/grafana/api/ds/query", "grafana"),
        ("POST", "/grafana/login", "grafana"),
        ("GET", "/api/dpp_summary", "api"),
        ("GET", "/api/health", "api"),
        ("GET", "/api/devicesX", "api"),
        ("GET", "/api/openapi.json", "api"),
        ("GET", "/metrics", "api"),
    ],
)
def test_routes(door, method, path, service):
    status, headers, text = door(method, path)
    assert status == 200 and json.loads(text)["service"] == service and json.loads(text)["path"] == path
    assert headers["Access-Control-Allow-Origin"] is None and headers["X-Powered-By"] is None
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"] and headers.get_all("X-Frame-Options") == [
        "SAMEORIGIN"
    ]
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
    assert ("default-src 'self'" in headers["Content-Security-Policy"]) is not path.startswith(
        ("/nodered/", "/grafana/")
    )


def test_the_figures_of_the_ingest_come_from_node_red(door):
    _, _, text = door("GET", "/metrics/ingest")
    assert json.loads(text)["service"] == "nodered" and json.loads(text)["path"] == "/api/nodered/metrics"
    assert door("GET", "/metrics/other")[0] == 404


def test_pages_have_a_strict_policy_and_hidden_files_stay_hidden(door, env):
    pages = Paths(env["ENMS_RUN_DIR"], env["ENMS_ENV_DIR"]).pages
    if not pages.exists():  # an installed environment has the built app there
        pages.mkdir(parents=True)
        (pages / "index.html").write_text("<!doctype html><title>page</title>")
    status, headers, _ = door("GET", "/")
    assert status == 200
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert door("GET", "/.env")[0] == 404 and door("GET", "/../secrets.json")[0] in (400, 404)
    assert door("GET", "/none")[0] == 404


@pytest.mark.parametrize("path", ["/nodered/comms", "/grafana/api/live/ws"])
def test_websockets_pass(door, path):
    _, _, text = door("GET", path, Upgrade="websocket", Connection="Upgrade")
    assert json.loads(text)["upgrade"] == "websocket"


def test_answers_are_compressed_and_keep_their_etag(door):
    _, headers, _ = door("GET", "/api/dpp_summary", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip" and headers["ETag"] == 'W/"1"'


def test_errors_are_sentences(door):
    status, _, text = door("POST", "/api/devices", b"x" * 1_100_000)
    assert status == 413 and "too large" in json.loads(text)["error"]
    assert door("POST", "/nodered/flows", b"x" * 1_100_000)[0] == 200
    status, _, text = door("GET", "/api/refused")
    assert status == 503 and json.loads(text) == {"error": "mine"}
    for server in door.stubs:
        server.shutdown()
        server.server_close()
    for path in ("/api/dpp_summary", "/api/devices", "/nodered/", "/grafana/"):
        status, headers, text = door("GET", path)
        assert status == 502 and "not running" in json.loads(text)["error"] and headers["Retry-After"], path


@pytest.mark.parametrize("path", ["/api/login", "/grafana/login"])
def test_a_flood_from_one_address_is_slowed(door, path):
    answers = [door("POST", path)[0] for _ in range(16)]
    assert answers[:10] == [200] * 10 and 429 in answers
    _, _, text = next(answer for answer in (door("POST", path) for _ in range(5)) if answer[0] == 429)
    assert "Too many requests" in json.loads(text)["error"]
    assert door("GET", "/api/dpp_summary")[0] == 200


def test_nothing_is_written_elsewhere(door, env):
    """`nginx` as root leaves a root-owned error log in Debian's place unless its options name another."""
    before = {
        path: os.stat(path).st_mtime for path in ("/var/log/nginx", "/var/log/nginx/error.log") if os.path.exists(path)
    }
    door("GET", "/")
    time.sleep(0.1)
    assert {path: os.stat(path).st_mtime for path in before} == before
    assert services.where(env).log("nginx-access").read_text().count("\n") >= 1


def certificate(place, days):
    """A self-made certificate and its key."""
    cert, key = str(place / f"cert-{days}.pem"), str(place / f"key-{days}.pem")
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days)]
    subprocess.run(
        ["openssl", "req", "-x509", *options, "-subj", "/CN=enms.test", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.mark.parametrize("days, level, words", [(365, OK, "holds for 36"), (5, WARNING, "ends in")])
def test_https_with_the_operators_certificate(start, env, tmp_path, days, level, words):
    """The one port speaks https, our own commands reach it, and the doctor knows until when the certificate is good."""
    cert, key = certificate(tmp_path, days)
    more = {
        "ENMS_TLS_CERT": cert,
        "ENMS_TLS_KEY": key,
        "ENMS_HTTP_URL": env["ENMS_HTTP_URL"].replace("http:", "https:"),
    }
    start("nginx", **more)
    status, answer, _ = probes.request("GET", more["ENMS_HTTP_URL"] + "/api/version")
    assert status == 502 and "not running" in answer["error"]
    found = list(stack.door({**env, **more}))
    assert [finding.level for finding in found] == [level] and words in found[0].text


def test_a_door_to_the_network_without_https_is_reported(env):
    assert list(stack.door(env)) == []
    assert next(stack.door({**env, "ENMS_BIND": "0.0.0.0"})).level == WARNING


def test_https_settings_are_checked(tmp_path):
    cert, key = certificate(tmp_path, 2)
    _, other = certificate(tmp_path, 3)
    good = settings.configured({"ENMS_TLS_CERT": cert, "ENMS_TLS_KEY": key}, tmp_path)
    assert (good["ENMS_TLS_CERT"], good["ENMS_TLS_KEY"]) == (cert, key)
    for wrong, words in (
        ({"ENMS_TLS_CERT": cert}, "ENMS_TLS_KEY is not set"),
        ({"ENMS_TLS_CERT": cert, "ENMS_TLS_KEY": "none.pem"}, "There is no"),
        ({"ENMS_TLS_CERT": cert, "ENMS_TLS_KEY": other}, "no certificate with its key"),
        ({"ENMS_TLS_CERT": key, "ENMS_TLS_KEY": key}, "no certificate with its key"),
    ):
        with pytest.raises(EnmsError, match=words):
            settings.configured(wrong, tmp_path)
