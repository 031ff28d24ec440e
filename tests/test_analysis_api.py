"""POST /api/analyze and the Live Predictor as a client meets them: through the door, with workers that die."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import enms as stacks
from support.http import call
from support.waiting import wait_for


@pytest.fixture(scope="module")
def device(enms):
    """A machine with an hour of readings and no printer status."""
    name = f"analysed-{uuid.uuid4().hex[:6]}"
    enms.add_device({"device_id": name, "source": "none", "device_type": "pump", "shelly_id": name})
    enms.rows("""SELECT ingest_readings(array_agg(%s || '/switch:0'), array_agg(t), array_agg(NULL::timestamptz), array_agg(false), array_agg(100.0::float8),
                 array_agg(1000 + extract(epoch FROM t - now())::float8 / 36), array_agg(230.0::float8), array_agg(NULL::float8), array_agg(NULL::float8),
                 array_agg(NULL::float8), array_agg(NULL::float8), array_agg('shelly_gen2'::text), array_agg(%s || '/status/switch:0'))
                 FROM generate_series(now() - interval '1 hour', now(), interval '30 seconds') AS t""", name, name)
    yield name
    enms.change("DELETE", f"/api/devices/{name}")


def ask(enms, body, **more):
    return call("POST", enms.url + "/api/analyze", body, timeout=30, **more)


def workers(enms):
    return [pid for pid, command in stacks.children(enms.pid("nodered")) if "python_worker.py" in command]


def test_an_answer_with_its_tag_and_times(enms, device):
    answer = ask(enms, {"deviceId": device, "timeRange": "1h"})
    assert answer.status == 200, answer.text[:500]
    body = answer.json()
    assert body["success"] and set(body) == {"success", "error", "results", "timing"}
    assert body["results"]["new_metrics"]["total_kwh"] == pytest.approx(0.1, rel=0.02)
    assert "total_ms" in body["timing"]
    again = ask(enms, {"deviceId": device, "timeRange": "1h"}, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) in ((304, b""), (200, again.body))    # the minute may have changed in between
    assert again.status == 304 or again.headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize("body, status, words", [({"deviceId": "no such", "timeRange": "1h"}, 404, "no device"), ({}, 400, "deviceId"), ([], 400, "object"), (b"{", 400, "JSON"),
                                                 ({"deviceId": "x", "timeRange": "2y"}, 400, "timeRange")])
def test_bad_requests_get_a_sentence(enms, body, status, words):
    answer = ask(enms, body, headers={"Content-Type": "application/json"})
    assert (answer.status, words in answer.json()["error"]) == (status, True), answer.text


def at_once(number, one):
    """The answers of so many requests that run at the same time."""
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: one(), range(number)))


def test_twenty_at_once_are_all_answered(enms, device):
    answers = at_once(20, lambda: ask(enms, {"deviceId": device, "timeRange": "6h", "cache": False}))
    assert [a.status for a in answers] == [200] * 20


def test_more_than_the_queue_holds_is_told_to_come_again(enms, device, stack):
    """Past the door, which would slow the crowd: 200, or 503 with a sentence and when to come again."""
    url = f"http://127.0.0.1:{stack['ENMS_NODERED_PORT']}/api/analyze"
    answers = at_once(60, lambda: call("POST", url, {"deviceId": device, "timeRange": "6h", "cache": False}, timeout=30))
    assert {a.status for a in answers} <= {200, 503} and sum(a.status == 200 for a in answers) >= 40
    assert all("queue is full" in a.json()["error"] and a.headers["retry-after"] for a in answers if a.status == 503)


def test_a_worker_killed_in_mid_call_costs_no_answer(enms, device):
    """The call goes to another worker, or is answered 503 within 5 s."""
    answers = []
    asking = threading.Thread(target=lambda: [answers.append((time.monotonic(), ask(enms, {"deviceId": device, "timeRange": "1h", "cache": False}), time.monotonic())) for _ in range(20)])
    asking.start()
    for _ in range(6):
        for pid in workers(enms):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.2)
    asking.join()
    assert {answer.status for _, answer, _ in answers} <= {200, 503}
    assert answers[-1][1].status == 200 and max(end - begin for begin, _, end in answers) < 5


def test_no_model_is_no_error(enms):
    """The predictor goes on quietly: nothing is predicted and nothing is rejected."""
    before = enms.value("SELECT coalesce(sum(count), 0) FROM ingest_rejects WHERE source ILIKE '%predict%'")
    time.sleep(12)
    assert enms.value("SELECT coalesce(sum(count), 0) FROM ingest_rejects WHERE source ILIKE '%predict%'") == before == 0
    wait_for("the summary", lambda: enms.get("/api/dpp_summary").status == 200, 5)
