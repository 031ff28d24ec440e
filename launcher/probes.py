"""Readiness: each probe asks the service the question that its users ask. '' means ready, otherwise what is missing."""

import base64
import http.client
import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from typing import Any

from common.postgres import connection_settings, program

OWN_CERTIFICATE = ssl.create_default_context()
OWN_CERTIFICATE.check_hostname = False
OWN_CERTIFICATE.verify_mode = ssl.CERT_NONE


def sql(
    env: Mapping[str, str],
    statement: str = "SELECT 1",
    role: str = "enms_owner",
    database: str | None = None,
    timeout: float = 5,
) -> str:
    """Runs a statement with psql as a database role; returns its output (unaligned, tuples only).

    Raises RuntimeError with psql's message.
    """
    known = connection_settings(role, env, database)
    options = ["-X", "-At", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-c", statement]
    target = ["-h", known["host"], "-p", known["port"], "-U", known["user"], "-d", known["dbname"]]
    try:
        done = subprocess.run(
            [program("psql"), *options, *target],
            env={"PATH": env["PATH"], "PGPASSWORD": known["password"], "PGCONNECT_TIMEOUT": "3", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no answer within {timeout} s") from error
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "psql failed")
    return done.stdout.strip()


def database(env: Mapping[str, str]) -> str:
    """A real statement as superuser: it also succeeds before the application's own roles exist."""
    try:
        sql(env, role="postgres", database="postgres")
    except RuntimeError as error:
        return str(error)
    return ""


def mqtt(env: Mapping[str, str], timeout: float = 2) -> str:
    """A real MQTT 3.1.1 CONNECT with the ingest user; ready when the broker accepts it."""

    def field(text: str) -> bytes:
        return len(text.encode()).to_bytes(2, "big") + text.encode()

    body = (
        field("MQTT")
        + bytes([4, 0xC2, 0, 10])
        + field("enms-launcher-probe")
        + field(env["ENMS_MQTT_INGEST_USER"])
        + field(env["ENMS_MQTT_INGEST_PASSWORD"])
    )
    try:
        with socket.create_connection((env["ENMS_MQTT_HOST"], int(env["ENMS_MQTT_PORT"])), timeout) as link:
            link.sendall(bytes([0x10, len(body)]) + body)
            answer = link.recv(4)
            link.sendall(b"\xe0\x00")
    except OSError as error:
        return str(error)
    if answer[:1] != b"\x20" or len(answer) < 4:
        return "the answer is not MQTT"
    return "" if answer[3] == 0 else f"the broker refuses the connection (code {answer[3]})"


def http_get(url: str, accept: Callable[[int], bool], timeout: float = 3) -> str:
    """One GET; ready when `accept(status)`."""
    try:
        status, _, _ = request("GET", url, timeout=timeout)
    except OSError as error:
        return str(error)
    return "" if accept(status) else f"answers {status}"


def request(
    method: str,
    url: str,
    body: object = None,
    user: str | None = None,
    password: str | None = None,
    timeout: float = 30,
) -> tuple[int, Any, Message]:
    """An HTTP exchange: (status, parsed JSON or text, headers).

    HTTP errors are returned, network errors raised as OSError.
    """
    headers = {"Accept": "application/json"}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    if user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    # Never through a proxy: the stack is on this machine, and its certificate is for the name by which others call it.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=OWN_CERTIFICATE)
    )
    try:
        with opener.open(urllib.request.Request(url, data, headers, method=method), timeout=timeout) as answer:
            status, content, info = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        status, content, info = error.code, error.read(), error.headers
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from error
    except (http.client.HTTPException, ssl.SSLError) as error:
        raise OSError(f"not HTTP: {error}") from error
    text = content.decode(errors="replace")
    try:
        return status, json.loads(text), info
    except ValueError:
        return status, text, info
