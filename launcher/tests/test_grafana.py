"""The stack's own Grafana: found, started with its settings, reached through the door.

A stand-in takes the place of the program, which no package registry has.
"""

import json
import os
import re
import sys

import pytest
import yaml

from common.errors import EnmsError
from launcher import grafana, probes, services, settings

# Answers as Grafana's health check does, with how it was started.
STAND_IN = f"""#!{sys.executable}
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({{"argv": sys.argv, "env": dict(os.environ), "path": self.path}}).encode()
        self.send_response(200 if self.path.startswith("/grafana/") else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

HTTPServer((os.environ["ENMS_GRAFANA_LISTEN"], int(os.environ["ENMS_GRAFANA_PORT"])), Answer).serve_forever()
"""


@pytest.fixture
def archive(tmp_path):
    """An unpacked archive of Grafana, as far as the launcher looks."""
    for folder in ("bin", "conf"):
        (tmp_path / "grafana-12" / folder).mkdir(parents=True)
    (tmp_path / "grafana-12/conf/defaults.ini").write_text("")
    for name in ("grafana", "grafana-server"):
        (tmp_path / "grafana-12/bin" / name).write_text(STAND_IN)
        (tmp_path / "grafana-12/bin" / name).chmod(0o755)
    return tmp_path / "grafana-12"


def stack(tmp_path, **environ):
    """The settings of a start with these variables."""
    where = settings.Paths(tmp_path / "run", os.environ.get("ENMS_ENV_DIR"))
    settings.prepare_run_dir(where)
    return settings.build(where, {"PATH": os.environ["PATH"], "ENMS_HTTP_PORT": "0", **environ}, tmp_path)


def test_without_one_nothing_is_started_or_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(grafana, "PACKAGED_PATH", "")
    env = stack(tmp_path, PATH=str(tmp_path))
    assert (env["ENMS_GRAFANA_BIN"], env["ENMS_GRAFANA_URL"]) == ("", "")
    assert "grafana" not in [service.name for service in services.wanted(env, demo=True, history=True)]
    assert services.grafana_upstream(env) == "127.0.0.1:9"


def test_an_external_one_is_passed_on_even_where_a_program_is(tmp_path, archive):
    env = stack(tmp_path, PATH=f"{archive}/bin", ENMS_GRAFANA_URL="http://grafana.example:3000/")
    assert env["ENMS_GRAFANA_BIN"] == "" and services.grafana_upstream(env) == "grafana.example:3000"


def test_a_program_that_cannot_be_started_is_a_sentence(tmp_path):
    with pytest.raises(EnmsError, match="ENMS_GRAFANA_BIN is /nowhere/grafana"):
        stack(tmp_path, ENMS_GRAFANA_BIN="/nowhere/grafana")
    alone = tmp_path / "grafana"
    alone.write_text("#!/bin/sh\n")
    alone.chmod(0o755)
    with pytest.raises(EnmsError, match="conf/defaults.ini"):
        stack(tmp_path, ENMS_GRAFANA_BIN=str(alone))


@pytest.mark.parametrize("how", ["on the path", "named", "by its older name"])
def test_it_is_started_with_its_settings_and_reached_through_the_door(tmp_path, archive, start, env, how):
    found = {
        "on the path": {"PATH": f"{archive}/bin:{os.environ['PATH']}"},
        "named": {"ENMS_GRAFANA_BIN": f"{archive}/bin/grafana"},
        "by its older name": {"ENMS_GRAFANA_BIN": f"{archive}/bin/grafana-server"},
    }[how]
    made = stack(tmp_path, **found)
    assert "grafana" in [service.name for service in services.wanted(made, demo=False, history=False)]
    start("grafana", **made)
    start("nginx", **made)
    status, answer, headers = probes.request("GET", f"{made['ENMS_HTTP_URL']}/grafana/api/health")
    assert status == 200 and "frame-ancestors 'self'" in headers["Content-Security-Policy"]
    wanted = ["--homepath", str(archive), "--config", str(settings.ROOT / "grafana/grafana.ini")]
    assert answer["argv"][1:] == (wanted if how == "by its older name" else ["server", *wanted])
    seen = answer["env"]
    assert (
        seen["ENMS_DB_GRAFANA_PASSWORD"] == made["ENMS_DB_GRAFANA_PASSWORD"]
        and seen["ENMS_EDITOR_PASSWORD"] == made["ENMS_EDITOR_PASSWORD"]
    )
    assert not {"ENMS_DB_OWNER_PASSWORD", "ENMS_DB_INGEST_PASSWORD", "ENMS_DB_API_PASSWORD", "ENMS_DATABASE_URL"} & set(
        seen
    )
    assert (tmp_path / "run/state/grafana").stat().st_mode & 0o777 == 0o700


def test_every_variable_of_its_settings_is_given(env):
    """What grafana.ini and the provisioning files read from the environment is there, natively and in the container."""
    texts = [
        path.read_text()
        for path in [settings.ROOT / "grafana/grafana.ini", *(settings.ROOT / "grafana/provisioning").rglob("*.yaml")]
    ]
    asked = set(re.findall(r"\$(?:__env)?\{(\w+)\}", "\n".join(texts)))
    assert asked and asked <= set(services.environment(services.BY_NAME["grafana"], env))
    compose = yaml.safe_load((settings.ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    assert asked <= set(compose["environment"]) and "ports" not in compose and compose["profiles"] == ["monitoring"]
    assert json.dumps(compose).count(":ro") == 3
