"""How the API behaves as a server: tags, bad input, secrets, a database that goes away and comes back."""

import contextlib
import json
import random
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import schemathesis
from enms_api import app as application
from enms_api import database as db
from enms_api import health
from enms_api.openapi import reading
from enms_api.summary import dpp_simulator
from enms_api.summary.cache import SummaryCache
from enms_api.summary.live import LiveRows
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable


@pytest.fixture()
def populated(fleet, now, credentials):
    fleet.device("A", **credentials)
    meter = fleet.meter("A")
    fleet.readings(meter, now - timedelta(hours=1), now, 90)
    fleet.status("A", now, "printing", progress_percent=30)
    fleet.job("A", now - timedelta(minutes=40))
    fleet.job("A", now - timedelta(hours=3), end_time=now - timedelta(hours=2), status="done", session_energy_wh=80)
    fleet.all("SELECT register_meters(ARRAY['stray'], ARRAY['tasmota'])")
    fleet.all(
        "SELECT record_rejects(ARRAY['shelly'], ARRAY['x/status/switch:0'], "
        "ARRAY['{\"key\":\"KEY-that-must-not-appear\"}'], ARRAY['not a number'])"
    )
    return fleet


def test_the_same_again_is_a_304(client, populated):
    first = client.get("/api/dpp_summary")
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    for _ in range(3):
        again = client.get("/api/dpp_summary", headers={"If-None-Match": tag})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)


def test_pollers_share_an_answer_until_it_is_old_or_one_asks_for_news(api_settings, populated, no_nodered):
    asked = []

    class Watched(db.Database):
        def fetch_dicts(self, statement, *parameters):
            asked.append(statement)
            return super().fetch_dicts(statement, *parameters)

    database = Watched(api_settings)
    client = application.create_app(database, no_nodered, share_s=60).test_client()
    first = client.get("/api/dpp_summary")
    assert client.get("/api/dpp_summary").data == first.data
    assert client.get("/api/dpp_summary", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert len(asked) == 1
    assert client.get("/api/dpp_summary", headers={"Cache-Control": "no-cache"}).status_code == 200
    assert len(asked) == 2
    database.close()


def test_a_summary_that_can_not_be_made_ahead_is_left_to_the_next_request():
    class Slow(LiveRows):
        def fetch(self):
            raise db.DatabaseSlow

    database = db.Database({"host": "nowhere"})
    cache = SummaryCache(Slow(database), database, share_s=1)
    cache._make_ahead()
    assert not cache._making.locked()


def test_news_end_a_304(client, populated, now):
    tag = client.get("/api/dpp_summary").headers["ETag"]
    assert client.get("/api/dpp_summary", headers={"If-None-Match": tag}).status_code == 304
    assert client.get("/api/dpp_summary", headers={"If-None-Match": tag}).status_code == 304
    populated.status("A", now + timedelta(seconds=1), "printing", progress_percent=31)
    news = client.get("/api/dpp_summary", headers={"If-None-Match": tag})
    assert news.status_code == 200
    assert news.json["printers"][0]["jobProgressPercent"] == 31
    assert news.headers["ETag"] != tag


def test_a_change_that_was_not_committed_when_the_tag_was_made_is_not_missed(client, populated, api_database):
    import psycopg2

    connection = psycopg2.connect(api_database)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE device_latest SET progress_percent = 77")
        tag = client.get("/api/dpp_summary").headers["ETag"]
        assert client.get("/api/dpp_summary", headers={"If-None-Match": tag}).status_code == 304
        connection.commit()
    assert (
        client.get("/api/dpp_summary", headers={"If-None-Match": tag}).json["printers"][0]["jobProgressPercent"] == 77
    )
    connection.close()


def test_a_printer_goes_offline_though_no_row_changes(client, populated, now):
    populated.all("UPDATE device_latest SET status_at = now() - interval '298.5 seconds'")
    tag = client.get("/api/dpp_summary").headers["ETag"]
    client.get("/api/dpp_summary", headers={"If-None-Match": tag})
    time.sleep(2)
    assert (
        client.get("/api/dpp_summary", headers={"If-None-Match": tag}).json["printers"][0]["currentStatus"] == "Offline"
    )


def test_a_mock_scenario_has_its_own_tag(client, fleet):
    tags = {client.get(f"/api/dpp_summary?scenario={name}").headers["ETag"] for name in dpp_simulator.SCENARIOS}
    assert len(tags) == len(dpp_simulator.SCENARIOS)


def test_an_unknown_scenario_is_answered_with_the_list(client):
    answer = client.get("/api/dpp_summary?scenario=party")
    assert answer.status_code == 400
    assert all(name in answer.json["error"] for name in dpp_simulator.SCENARIOS)


@pytest.mark.parametrize(
    "path, status, words",
    [
        ("/api/jobs?limit=0", 400, "limit must be a whole number from 1 to 200."),
        ("/api/jobs?limit=1e2", 400, "limit must be a whole number"),
        ("/api/jobs?limit=", 400, "limit must be a whole number"),
        ("/api/jobs?offset=-1", 400, "offset must be a whole number from 0 to 1000000."),
        ("/api/jobs?status=lost", 400, "There is no status of that name; known are: printing"),
        ("/api/jobs?sort=size", 400, "There is no sort of that name; known are: started"),
        ("/api/jobs?ended=yes", 400, "There is no ended of that name; known are: true, false."),
        ("/api/jobs?search=%00", 400, "search must be at most 200 characters of text."),
        ("/api/jobs?deviceId=%00", 400, "deviceId must be 1 to 64 letters"),
        ("/api/jobs?deviceId=A'%20OR%201=1--", 400, "deviceId must be 1 to 64 letters"),
        ("/api/jobs?from=yesterday", 400, "from must be an instant like"),
        ("/api/jobs?to=0001-01-01T00:00:00%2B23:00", 400, "to must be an instant like"),
        ("/api/jobs/1", 400, "A job id looks like"),
        ("/api/jobs/00000000-0000-4000-8000-000000000000", 404, "There is no such job."),
        ("/api/nothing", 404, "There is nothing at this address; /api/docs lists what there is."),
        ("/api/rejects?limit=9999", 400, "limit must be"),
    ],
)
def test_bad_requests_get_a_sentence(client, populated, path, status, words):
    answer = client.get(path)
    assert answer.status_code == status
    assert list(answer.json) == ["error"]
    assert words in answer.json["error"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_changed_here(client, method):
    answer = getattr(client, method)("/api/jobs")
    assert (answer.status_code, answer.json) == (405, {"error": "This address can only be read."})
    assert "GET" in answer.headers["Allow"]


def test_jobs_come_in_pages_and_by_filter(client, populated, now):
    for number in range(5):
        populated.job(
            "A",
            now - timedelta(days=1, hours=number),
            end_time=now - timedelta(days=1, hours=number) + timedelta(minutes=9),
            status="cancelled",
            filename=f"{number}.gcode",
        )
    page = client.get("/api/jobs?status=cancelled&limit=2&offset=1").json
    assert page["total"] == 5
    assert [job["filename"] for job in page["jobs"]] == ["1.gcode", "2.gcode"]
    start = (now - timedelta(days=1, hours=3)).isoformat()
    assert client.get("/api/jobs", query_string={"to": start}).json["total"] == 1
    nothing = {"measured": 0, "kwh": None, "cost": None, "currency": None, "co2g": None}
    assert client.get("/api/jobs?deviceId=B").json == {"total": 0, "totals": nothing, "jobs": []}


def test_jobs_are_searched_sorted_and_summed_over_all_pages(client, fleet, now):
    fleet.device("A", friendly_name="Left one")
    fleet.device("B", friendly_name="right one")
    for hours, (device, name, wh, cost) in enumerate(
        [("A", "Gear.gcode", 30, 0.01), ("B", "vase.gcode", 90, 0.03), ("A", "a%_\\.gcode", None, None)], start=1
    ):
        start = now - timedelta(hours=hours)
        fleet.job(
            device,
            start,
            end_time=start + timedelta(minutes=10 * hours),
            status="done",
            filename=name,
            session_energy_wh=wh,
            cost=cost,
            currency="EUR" if cost else None,
            co2_g=wh,
        )
    fleet.job("B", now, filename="running.gcode")

    def files(**asked):
        return [job["filename"] for job in client.get("/api/jobs", query_string=asked).json["jobs"]]

    assert files() == ["running.gcode", "Gear.gcode", "vase.gcode", "a%_\\.gcode"]
    assert files(ended="false") == ["running.gcode"]
    assert files(ended="true", sort="energy") == ["vase.gcode", "Gear.gcode", "a%_\\.gcode"]
    assert files(ended="true", sort="energy", order="asc") == ["Gear.gcode", "vase.gcode", "a%_\\.gcode"]
    assert files(ended="true", sort="duration", order="asc") == ["Gear.gcode", "vase.gcode", "a%_\\.gcode"]
    assert files(ended="true", sort="file", order="asc") == ["a%_\\.gcode", "Gear.gcode", "vase.gcode"]
    assert files(ended="true", sort="file") == ["vase.gcode", "Gear.gcode", "a%_\\.gcode"]
    assert files(ended="true", sort="printer", order="asc") == ["Gear.gcode", "a%_\\.gcode", "vase.gcode"]
    assert files(search="LEFT") == ["Gear.gcode", "a%_\\.gcode"]
    assert files(search="%_\\") == ["a%_\\.gcode"]
    assert files(search="") == files()
    page = client.get("/api/jobs?ended=true&limit=1&sort=energy").json
    assert (page["total"], len(page["jobs"])) == (3, 1)
    assert page["totals"] == {"measured": 2, "kwh": 0.12, "cost": 0.04, "currency": "EUR", "co2g": 120.0}
    fleet.all("UPDATE print_jobs SET currency = 'CHF' WHERE filename = 'vase.gcode'")
    assert client.get("/api/jobs").json["totals"]["cost"] is None


def test_a_factory_has_its_clock_and_money(client):
    [factory] = client.get("/api/factories").json["factories"]
    assert (factory["slug"], factory["timezone"], factory["currency"]) == ("main", "Europe/Berlin", "EUR")
    assert factory["isDefault"] is True


def test_one_factory_is_the_default_whatever_its_name(client, fleet):
    fleet.all(
        "INSERT INTO factories (slug, name, timezone, currency) VALUES ('aachen', 'Aachen', 'America/New_York', 'USD')"
    )
    defaults = {factory["slug"]: factory["isDefault"] for factory in client.get("/api/factories").json["factories"]}
    assert defaults == {"aachen": False, "main": True}


def test_the_passport_of_a_running_print_has_its_energy_until_now(client, populated):
    job_id = client.get("/api/jobs?status=printing").json["jobs"][0]["jobId"]
    passport = client.get(f"/api/jobs/{job_id}").json
    assert (passport["kwh"], passport["cost"], passport["co2g"], passport["energyFinal"]) == (0.06, 0.018, 22.8, False)


def test_alarms_say_what_is_the_matter(client, populated):
    populated.device("Quiet", friendly_name="Quiet one")
    found = {alarm["kind"]: alarm["text"] for alarm in client.get("/api/alarms").json["alarms"]}
    assert found == {
        "printer_silent": "Quiet one has not answered.",
        "meter_unassigned": "The meter stray belongs to no device yet.",
        "rejects": "Messages of shelly were refused within the last hour (1); the devices page tells why.",
    }


def test_alarms_are_about_what_does_not_hold_any_more(client, fleet, now):
    """A meter that reports every two hours, and one that is typed or computed, is not silent after one."""
    fleet.device("A", source="none")
    for meter, interval_s, kind, protocol in (
        ("plug", 10, "counter", "shelly_gen2"),
        ("rare", 7200, "counter", "shelly_gen2"),
        ("typed", None, "counter", "manual"),
        ("sum", None, "virtual", "virtual"),
    ):
        fleet.meter("A", meter)
        fleet.all(
            "UPDATE meters SET reporting_interval_s = %s, reading_kind = %s, protocol = %s, last_seen = %s"
            " WHERE meter_id = %s",
            interval_s,
            kind,
            protocol,
            now - timedelta(hours=5),
            meter,
        )
    fleet.all("SELECT register_meters(ARRAY['part'], ARRAY['shelly_gen2'])")
    fleet.all("INSERT INTO virtual_meter_parts (meter_id, part_id, factor) VALUES ('sum', 'part', 1)")
    assert [(alarm["kind"], alarm["object"]) for alarm in client.get("/api/alarms").json["alarms"]] == [
        ("meter_silent", "plug")
    ]


@pytest.mark.parametrize(
    "state, kind",
    [
        ("error", "printer_error"),
        ("fault", "printer_error"),
        ("attention", "printer_attention"),
        ("maintenance", None),
        ("standby", None),
    ],
)
def test_a_machine_that_is_down_is_an_alarm_of_any_kind_of_machine(client, fleet, now, state, kind):
    fleet.device("C", device_type="compressor", source="mqtt", data_interval_seconds=1800)
    fleet.status("C", now - timedelta(minutes=80), state)
    assert [alarm["kind"] for alarm in client.get("/api/alarms").json["alarms"]] == [kind] * (kind is not None)


def test_no_credential_appears_anywhere(client, populated, credentials):
    job_id = client.get("/api/jobs").json["jobs"][0]["jobId"]
    for rule in client.application.url_map.iter_rules():
        body = client.get(rule.rule.replace("<job_id>", job_id)).get_data(as_text=True)
        assert not [secret for secret in credentials.values() if secret in body], rule.rule
        described = rule.rule in ("/api/openapi.json", "/api/docs")  # names what goes in
        assert described or not re.search(r'"(sp_)?api_?key"|password', body, re.IGNORECASE), rule.rule


def test_the_role_of_the_api_can_neither_write_nor_read_credentials(api_settings, populated):
    import psycopg2

    connection = psycopg2.connect(**api_settings)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET enms.factories = '*'")
        for statement in ("SELECT api_key FROM device_credentials", "SELECT devices_to_poll()"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
        cursor.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("DELETE FROM print_jobs")
    connection.close()


def test_pooled_connections_serve_each_its_own_scope(database, fleet):
    """10,000 reads of two scopes and of none in parallel, over the same few connections."""
    for slug in "ab":
        fleet.all(
            "INSERT INTO factories (slug, name, timezone, currency) VALUES (%s, %s, 'Europe/Berlin', 'EUR')", slug, slug
        )
    ids = dict(fleet.all("SELECT slug, factory_id::text FROM factories"))
    scopes = {ids["a"]: ["a"], ids["b"]: ["b"], f"{ids['a']},{ids['b']}": ["a", "b"], "": [], "*": ["a", "b", "main"]}

    def read(seed):
        chance, seen = random.Random(seed), 0
        for _ in range(1250):
            scope = chance.choice(list(scopes))
            token = db.factories.set(scope)
            found = json.loads(database.fetch_json("factories"))["factories"]
            db.factories.reset(token)
            seen += [factory["slug"] for factory in found] == scopes[scope]
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(read, range(8))) == 10_000
    assert database.connections()["idle"] <= 8


def test_every_route_is_described(api):
    routes = {
        re.sub(r"<(?:\w+:)?(\w+)>", lambda found: "{jobId}" if found[1] == "job_id" else found[0], rule.rule)
        for rule in api.url_map.iter_rules()
    }
    assert routes - {"/api/docs.css"} == set(reading.PATHS)


def test_the_docs_page_needs_nothing_from_elsewhere(api):
    page = api.test_client().get("/api/docs")
    text = page.get_data(as_text=True)
    assert not re.search(r"<script|style=|https?://|\son\w+=", text)
    assert all(f"<code>{path}</code>" in text for path in reading.PATHS)
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def test_health_reports_each_part(client, populated):
    answer = client.get("/api/health")
    assert answer.status_code == 200
    parts = answer.json["parts"]
    assert answer.json["status"] == "degraded"  # Node-RED is not started here
    assert {name: part["status"] for name, part in parts.items()} == {
        "database": "ok",
        "ingest": "ok",
        "printers": "ok",
        "nodered": "down",
        "broker": "unknown",
    }
    assert 0 <= parts["ingest"]["lastReadingAgeSeconds"] < 60


def test_health_follows_what_the_machines_let_expect(client, fleet, now):
    """A plant whose only meter reports each quarter of an hour stands still after three of them."""
    fleet.device("A", data_interval_seconds=1800)
    meter = fleet.meter("A")
    fleet.readings(meter, now - timedelta(hours=2), now - timedelta(minutes=30), 90, every_s=900)
    fleet.all("UPDATE meters SET reporting_interval_s = 900")
    fleet.status("A", now - timedelta(minutes=80), "printing")

    def shown():
        parts = client.get("/api/health").json["parts"]
        return {name: parts[name]["status"] for name in ("ingest", "printers")}

    assert shown() == {"ingest": "ok", "printers": "ok"}
    fleet.all("UPDATE meters SET reporting_interval_s = 300")
    fleet.all("UPDATE devices SET data_interval_seconds = 30")
    assert shown() == {"ingest": "stale", "printers": "stale"}


def test_no_list_of_rows_is_closed(client):
    """A kind, a source, an energy type or a state that a site adds is as described."""
    schemas = client.get("/api/openapi.json").json["components"]["schemas"]
    fields = {
        **schemas["DeviceNow"]["properties"],
        "energy_type": schemas["Meter"]["properties"]["energy_type"],
    }
    for name in ("device_type", "source", "state", "energy_type"):
        assert "enum" not in fields[name] and re.search(fields[name]["pattern"], "laser_cutter2"), name
    assert schemas["Assignment"]["properties"]["role"]["enum"] == ["main", "dryer", "accessory", "sub"]
    assert fields["data_interval_seconds"]["minimum"] == 1


class Doorway:
    """A TCP port that leads to the database, or doesn't."""

    def __init__(self, host, port):
        self._target = (host, int(port))
        self._open = []
        self.port = 0  # any, at first
        self.up()

    def up(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self):
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open = []

    def _accept(self, listener):
        while True:
            try:
                inside, _ = listener.accept()
            except OSError:
                return
            outside = socket.create_connection(self._target)
            self._open += [inside, outside]
            for source, sink in ((inside, outside), (outside, inside)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass


def test_a_database_that_goes_away_is_a_503_and_comes_back_by_itself(api_settings, populated, no_nodered):
    door = Doorway(api_settings["host"], api_settings["port"])
    database = db.Database({**api_settings, "host": "127.0.0.1", "port": door.port})
    client = application.create_app(database, no_nodered, share_s=0).test_client()
    assert client.get("/api/dpp_summary").status_code == 200
    door.down()
    for path in ("/api/dpp_summary", "/api/jobs", "/api/alarms", "/api/rejects"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert answer.json == {
            "error": "The database is not reachable at the moment; it is asked again with the next request."
        }
    answer = client.get("/api/health")
    health: Any = answer.json
    assert answer.status_code == 503
    assert (health["status"], health["parts"]["database"]["status"]) == ("unavailable", "down")
    assert client.get("/api/dpp_summary?scenario=busy_fleet").status_code == 200
    door.up()
    assert client.get("/api/dpp_summary").status_code == 200
    door.down()
    door.up()  # a restart between two requests: the kept connection is broken, the answer is not
    assert client.get("/api/dpp_summary").status_code == 200
    door.down()
    database.close()


def test_a_statement_that_takes_too_long_is_a_503(api_settings, populated, monkeypatch, no_nodered):
    options = api_settings["options"].replace(f"statement_timeout={db.STATEMENT_TIMEOUT_MS}", "statement_timeout=200")
    database = db.Database({**api_settings, "options": options})
    monkeypatch.setattr(db, "statement_text", lambda statement: "SELECT pg_sleep(5)")
    answer = application.create_app(database, no_nodered, share_s=0).test_client().get("/api/alarms")
    assert (answer.status_code, answer.json) == (
        503,
        {"error": "The database took too long to answer; please try again."},
    )


def test_a_fault_of_ours_shows_no_internals(api_settings, monkeypatch, no_nodered):
    client = application.create_app(db.Database(api_settings), no_nodered, share_s=0).test_client()
    monkeypatch.setattr(db, "statement_text", lambda statement: "SELECT secret FROM nowhere")
    answer = client.get("/api/rejects")
    assert (answer.status_code, answer.json) == (
        500,
        {"error": "Something went wrong here; the log of the API tells what."},
    )


# Strategies may throw away many inputs, and are slow under load.
UNCHECKED = (HealthCheck.filter_too_much, HealthCheck.too_slow)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize("path", reading.PATHS)
def test_whatever_is_asked_conforms_to_the_description(api, populated, path, mode):
    described = schemathesis.openapi.from_wsgi("/api/openapi.json", api)

    @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=UNCHECKED)
    @given(described[path]["GET"].as_strategy(generation_mode=mode))
    def ask(case):
        case.call_and_validate()

    try:
        ask()
    except Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE  # nothing in it could be wrong


def test_a_node_red_that_was_starting_is_found_soon():
    """A missing answer is kept for a shorter time than an answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    nodered = health.NodeRed(f"http://127.0.0.1:{port}/")
    assert nodered.health() is None

    class Started(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"flows": "started"}')

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", port), Started) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        time.sleep(health.NODERED_RETRY_S + 0.1)
        assert nodered.health() == {"flows": "started"}
        server.shutdown()
