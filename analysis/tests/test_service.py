"""What Node-RED gets: the whole answers of analyze(), predict_all() and ping(), errors included."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import numpy as np
import psycopg2
import pytest

from analysis.core.database import Database
from analysis.features import Categories
from analysis.request import DRIVERS

RESULTS = {
    "summary",
    "new_metrics",
    "phase_analysis",
    "correlation",
    "regression",
    "ml_prediction_summary",
    "ml_evaluation_metrics",
    "ml_feature_importance",
    "ml_top_drivers",
    "insights",
    "savings",
    "series",
    "data_quality",
    "grafanaUrls",
}


@pytest.fixture
def printer(plant, at):
    """Two hours: heating, printing, cooling, idle."""
    device = plant.printer(device_model="MK4", idle_power_w=5)
    meter = plant.meter(device=device)
    watts = lambda s: 250 if s < 300 else 90 if s < 4000 else 10
    counter, rows = 100.0, []
    for s in range(0, 7201, 10):
        counter += watts(s) / 360
        rows.append((at(s), counter, watts(s) + (s % 50) / 10))
    plant.ingest(meter, rows)
    rows = []
    for s in range(0, 7200, 30):
        heating, hot, printing = s < 300, s < 4000, 300 <= s < 4000
        nozzle = 25 + s * 0.6 if heating else 215 if hot else max(25, 215 - (s - 4000) / 5)
        values = {
            "nozzle_temp_actual": nozzle,
            "nozzle_temp_target": 215 if hot else 0,
            "bed_temp_actual": 25 + s / 10 if heating else 60 if hot else 30,
            "bed_temp_target": 60 if hot else 0,
            "is_printing": printing,
            "material": "PLA",
            "progress_percent": (s - 300) / 37 if printing else None,
        }
        rows.append((at(s), "heating" if heating else "printing" if printing else "finished", values))
    plant.statuses(device, rows)
    return device


def ask(service, device, at, start=0, end=7200, **more):
    return service.analyze(
        {"deviceId": device, "from": at(start).isoformat(), "to": at(end).isoformat(), "cache": False, **more}
    )


def test_whole_answer(service, printer, at):
    answer = ask(
        service,
        printer,
        at,
        selectedDrivers={
            "nozzle_temp_actual": True,
            "bed_temp_target": True,
            "is_printing": True,
            "material": True,
            "z_height_mm": False,
        },
    )
    assert (answer["success"], answer["error"], answer["status"]) == (True, None, 200)
    assert set(answer["results"]) == RESULTS
    assert set(answer["timing"]) == {
        "database_ms",
        "dataset_ms",
        "phases_ms",
        "statistics_ms",
        "model_ms",
        "insights_ms",
        "total_ms",
    }
    results = answer["results"]
    json.dumps(results, allow_nan=False)
    phases = results["phase_analysis"]
    assert phases["Heating"]["duration_minutes"] == pytest.approx(5)
    assert phases["Cooling"]["duration_minutes"] > 5
    assert phases["Heating"]["avg_power"] == pytest.approx(250, rel=0.05)
    assert results["new_metrics"]["phase_analysis"] == phases
    assert set(results["regression"]["drivers"]) <= {"nozzle_temp_actual", "bed_temp_target", "is_printing"}
    assert results["regression"]["reference_material"] == "PLA"
    assert results["correlation"]["bed_temp_target"]["pearson"] > 0.5
    assert any(text.startswith("Heating took 4 % of the time and ") for text in results["insights"])
    assert results["savings"] == []  # 9 Wh at rest and one warm-up are not worth a hint
    assert results["data_quality"]["oldest_status_age_s"] <= 30
    assert results["data_quality"]["coverage_percent"] == pytest.approx(100)
    assert results["grafanaUrls"] is None


def test_series_is_short_and_keeps_the_mean(service, printer, at):
    series = ask(service, printer, at)["results"]["series"]
    assert (
        len(series["timestamps"]) == len(series["actual"]) == len(series["predicted"]) == len(series["phase"]) <= 1_000
    )
    assert set(series["phase"]) == {"Heating", "Printing", "Cooling", "Idle"}
    assert series["predicted"] == [None] * len(series["actual"])
    assert series["timestamps"] == sorted(series["timestamps"])


def test_all_drivers_by_default_and_none_when_none_is_chosen(service, printer, at):
    whole = ask(service, printer, at)["results"]
    assert {"bed_temp_actual", "progress_percent"} <= set(whole["correlation"])
    assert "progress_percent" not in whole["regression"]["drivers"] and whole["regression"]["n_samples"] == 720
    chosen = ask(service, printer, at, selectedDrivers={"progress_percent": True})["results"]["regression"]
    assert chosen["drivers"] == ["progress_percent"] and chosen["n_samples"] < 400
    nothing = ask(service, printer, at, selectedDrivers={})["results"]
    assert nothing["correlation"] == {} and nothing["regression"]["drivers"] == []


def test_unknown_device_is_404(service):
    answer = service.analyze({"deviceId": "nobody", "timeRange": "1h"})
    assert (answer["status"], answer["success"], answer["results"]) == (404, False, None)
    assert "nobody" in answer["error"]


X = {"deviceId": "x"}
SOME_DAY = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        X,
        {"deviceId": 7, "timeRange": "1h"},
        {"deviceId": "a\0b", "timeRange": "1h"},
        {"deviceId": "x" * 65, "timeRange": "1h"},
        {"deviceId": "\ud800", "timeRange": "1h"},
        {"deviceId": {"a": {}}, "timeRange": "1h"},
        {**X, "timeRange": "2h"},
        {**X, "timeRange": ["1h"]},
        {**X, "timeRange": float("nan")},
        {**X, "timeRange": "1h", "to": SOME_DAY},
        {**X, "from": SOME_DAY},
        {**X, "from": "2026-01-02T00:00:00Z", "to": SOME_DAY},
        {**X, "from": "2026-01-01T00:00:00", "to": "2026-01-02T00:00:00"},
        {**X, "from": "yesterday", "to": "now"},
        {**X, "from": "2999-01-01T00:00:00Z", "to": "2999-01-02T00:00:00Z"},
        {**X, "from": "0001-01-01T00:00:00+14:00", "to": SOME_DAY},
        {**X, "from": 1, "to": 2},
        {**X, "from": "\ud800", "to": SOME_DAY},
        {**X, "timeRange": "1h", "selectedDrivers": ["material"]},
        {**X, "timeRange": "1h", "selectedDrivers": {"colour": True}},
        {**X, "timeRange": "1h", "selectedDrivers": {"material": "yes"}},
        {**X, "timeRange": "1h", "selectedDrivers": {"\ud800": True}},
    ],
)
def test_bad_requests_are_answered_with_a_sentence(service, body):
    answer = service.analyze(body)
    assert (answer["status"], answer["success"]) == (400, False)
    assert answer["error"][0].isalpha() and answer["error"].rstrip().endswith((".", "}", "Z.")), answer["error"]


@pytest.mark.parametrize("time_range", ["1h", "6h", "24h", "7d", "30d", "all"])
def test_a_device_without_data_has_an_empty_answer_that_says_so(plant, service, time_range):
    device = plant.printer()
    answer = service.analyze({"deviceId": device, "timeRange": time_range})
    assert (answer["status"], answer["success"]) == (200, True)
    results = answer["results"]
    assert set(results) == RESULTS
    assert results["summary"]["empty"] is True and results["summary"]["total_kwh"] is None
    assert "No reading" in results["summary"]["text"]
    assert results["phase_analysis"]["No data"]["duration_percent"] == pytest.approx(100)
    assert results["series"]["timestamps"] == []
    json.dumps(results, allow_nan=False)


def test_without_a_model_the_rest_is_answered(service, printer, at):
    summary = ask(service, printer, at)["results"]["ml_prediction_summary"]
    assert summary == {"available": False, "note": "No model has been trained yet: ./enms train makes one."}


def test_a_plug_that_always_reports_the_same_power_has_an_answer(plant, service, at):
    """The mean of 7.3 repeated is not exactly 7.3: its correlations failed."""
    device = plant.printer(device_model="MK4")
    plant.ingest(plant.meter(device=device), [(at(s), 100 + s * 7.3 / 3600, 7.3) for s in range(0, 7201, 10)])
    plant.statuses(device, [(at(s), "idle", {"nozzle_temp_actual": 20 + s / 7200}) for s in range(0, 7200, 30)])
    results = ask(service, device, at)["results"]
    assert results["summary"]["avg_power_w"] == pytest.approx(7.3, rel=1e-3)
    assert results["correlation"]["nozzle_temp_actual"]["pearson"] is None
    regression = results["regression"]
    assert regression["r_squared"] is None and regression["p_values"] == {"nozzle_temp_actual": None}
    assert "hardly varied" in " ".join(results["insights"])
    json.dumps(results, allow_nan=False)


def test_what_a_model_expects_is_weighted_by_time_not_by_readings(plant, service, at, monkeypatch):
    """A plug reports each ten seconds while it works and each minute while not."""
    device = plant.printer(device_model="MK4")
    meter, times = plant.meter(device=device), [*range(0, 1800, 10), *range(1800, 7201, 60)]
    plant.ingest(
        meter,
        [
            (at(s), 100 + (min(s, 1800) * 100 + max(s - 1800, 0) * 10) / 3600, 100.0 if s < 1800 else 10.0)
            for s in times
        ],
    )
    plant.statuses(device, [(at(s), "printing" if s < 1800 else "idle") for s in range(0, 7200, 30)])

    class Exact:
        version, kind, card, categories, features = "exact", "linear", {}, Categories(), ("state_printing",)

        def predict(self, known):
            return np.where(known.ordered(self.features)[:, 0] == 1, 100.0, 10.0)

    class Models:
        def of(self, device_model):
            return Exact(), None

        def version(self):
            return "exact"

    monkeypatch.setattr(service.kept, "models", Models())
    summary = ask(service, device, at)["results"]["ml_prediction_summary"]
    assert summary["predicted_kwh"] == pytest.approx(summary["actual_kwh"], rel=5e-3) and summary[
        "actual_kwh"
    ] == pytest.approx(0.065)
    assert summary["mean_predicted_w"] == pytest.approx(summary["mean_actual_w"], rel=5e-3)


def test_etag_answers_304_until_something_new_is_known(plant, service, printer, at):
    request = {"deviceId": printer, "from": at(0).isoformat(), "to": at(7200).isoformat()}
    for _ in range(2):  # a minute may end in between
        first, again = service.analyze(request), service.analyze(request)
        if again["cached"]:
            break
    assert again["cached"] and again["results"] == first["results"]
    assert service.analyze({**request, "ifNoneMatch": first["etag"]})["status"] == 304
    assert service.analyze({**request, "selectedDrivers": {}, "ifNoneMatch": first["etag"]})["status"] == 200
    meter = plant.one("SELECT meter_id FROM meter_assignments WHERE device_id = %s", printer)
    plant.ingest(meter, [(at(7300), 5000, 10.0)])
    assert service.analyze({**request, "ifNoneMatch": first["etag"]})["status"] == 200


def test_database_away_is_503(service, monkeypatch):
    nowhere = {"host": "127.0.0.1", "port": "1", "dbname": "enms", "user": "enms_api"}
    monkeypatch.setattr(service.kept, "database", Database(nowhere))
    answer = service.analyze({"deviceId": "x", "timeRange": "1h"})
    assert (answer["status"], answer["results"]) == (503, None) and "not reachable" in answer["error"]
    assert "not reachable" in service.predict_all()["error"]


def test_an_attempt_that_takes_too_long_costs_only_itself(plant, database, value_in):
    with database.snapshot() as snapshot, psycopg2.connect(plant.dsn) as changing:
        usual = value_in(snapshot, "current_setting('statement_timeout')")
        changing.cursor().execute("LOCK TABLE devices")  # whoever reads it waits
        assert snapshot.rows_within(0.05, "training_devices", device_model="none such") is None
        changing.rollback()
        assert snapshot.rows_within(5, "training_devices", device_model="none such") == []
        assert value_in(snapshot, "current_setting('statement_timeout')") == usual


def test_a_lost_connection_is_made_again(plant, service, printer, at, database):
    assert ask(service, printer, at)["status"] == 200
    plant.all(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'enms-analysis' AND datname = current_database()"
    )
    assert ask(service, printer, at)["status"] == 200


def test_a_server_that_hangs_is_left_for_a_new_connection(plant, service, printer, at):
    assert ask(service, printer, at)["status"] == 200
    pid = plant.one(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'enms-analysis' AND datname = current_database()"
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert ask(service, printer, at)["status"] == 200
        assert time.monotonic() - begun < 5
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_role_of_the_service_is_enough(service, printer, at, database, value_in):
    with database.snapshot() as snapshot:
        assert value_in(snapshot, "current_user::text") == "enms_api"
    assert ask(service, printer, at)["status"] == 200


def test_grafana_link_names_device_and_range(service, printer, at, monkeypatch):
    monkeypatch.setenv("ENMS_GRAFANA_URL", "http://127.0.0.1:3000")
    url = ask(service, printer, at)["results"]["grafanaUrls"]["machine"]
    assert f"var-device={printer}" in url and f"from={int(at(0).timestamp() * 1000)}" in url


def test_warm_ups_are_counted(plant, service, at):
    device = plant.printer(device_model="MK4")
    plant.ingest(plant.meter(device=device), [(at(s), 100 + s / 9, 400.0) for s in range(0, 7201, 10)])
    plant.statuses(device, [(at(s), "heating" if s % 1800 < 300 else "printing") for s in range(0, 7200, 30)])
    results = ask(service, device, at)["results"]
    batch = next(hint for hint in results["savings"] if hint["id"] == "batch")
    assert "4 times" in batch["text"] and batch["kwh"] == pytest.approx(
        results["phase_analysis"]["Heating"]["energy_kwh"] / 2
    )
    assert batch["money"] == pytest.approx(0.3 * batch["kwh"])


def test_a_preheated_printer_is_active_and_a_hot_one_cools(plant, service, at):
    device = plant.printer()
    plant.ingest(plant.meter(device=device), [(at(s), 100 + s / 36, 100.0) for s in range(0, 3601, 10)])
    plant.statuses(
        device,
        [
            (
                at(s),
                "idle",
                {"nozzle_temp_actual": 180, "nozzle_temp_target": 180 if s < 1200 else 0} if s < 2400 else {},
            )
            for s in range(0, 3600, 30)
        ],
    )
    phases = ask(service, device, at, end=3600)["results"]["phase_analysis"]
    assert [phases[name]["duration_minutes"] for name in ("Active", "Cooling", "Idle")] == pytest.approx([20, 20, 20])


def test_ping_imports_nothing_heavy():
    heavy = "numpy psycopg2 scipy sklearn xgboost pandas joblib"
    code = (
        "import sys; from analysis import service; "
        "assert service.ping() == service.ping({'any': 'payload'}) == {'ok': True}; "
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_driver_names_are_those_of_the_specification():
    assert set(DRIVERS) == {
        "nozzle_temp_actual",
        "bed_temp_actual",
        "nozzle_temp_target",
        "bed_temp_target",
        "is_printing",
        "z_height_mm",
        "speed_multiplier_percent",
        "progress_percent",
        "temperature_c",
        "humidity_pct",
        "material",
    }


def test_a_range_into_the_future_ends_now(service, printer, at):
    answer = service.analyze(
        {"deviceId": printer, "from": at(0).isoformat(), "to": (at(0) + timedelta(days=400)).isoformat()}
    )
    assert answer["results"]["summary"]["to"] < (at(0) + timedelta(days=2)).isoformat()
