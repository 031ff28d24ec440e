"""GET /api/dpp_summary over a real database: whole answers and the rules of null."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from enms_api import database as db
from enms_api import openapi
from enms_api.summary import dpp_simulator, live
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SEED = {
    "object_name": "part",
    "infill_density_percent": 15,
    "layer_height_mm": 0.2,
    "supports_enabled": False,
    "nozzle_diameter_mm": 0.4,
    "object_dimensions_mm": {"x": 150, "y": 120, "z": 20},
    "estimated_material_g": 60,
    "slicer_profile_name": "0.20mm SPEED",
    "estimated_print_time_s": 7200,
}


PER_PART = [{"name": "box.stl", "energy_wh": 60.0}, {"name": "lid.stl", "energy_wh": 40.0}]
ABOVE_USUAL = (
    "This print takes 220 % more energy per gram than usual here: look for a draught, a high bed temperature or a slow "
    "profile."
)


def summary_of(client, path="/api/dpp_summary"):
    answer = client.get(path)
    assert answer.status_code == 200, answer.data
    document = openapi.description("test")
    jsonschema.validate(
        answer.json,
        {**document["components"]["schemas"]["Summary"], "components": document["components"]},
        cls=jsonschema.Draft202012Validator,
    )
    return answer.json


def printer_of(client):
    return summary_of(client)["printers"][0]


@pytest.mark.parametrize("scenario", dpp_simulator.SCENARIOS)
def test_every_scenario_conforms(client, fleet, scenario):
    answer = summary_of(client, f"/api/dpp_summary?scenario={scenario}")
    assert answer["scenario"] == scenario
    assert bool(answer["printers"]) == (scenario not in ("live", "empty"))


def test_an_empty_fleet(client, fleet):
    answer = summary_of(client)
    assert (answer["printers"], answer["globalHistory"]) == ([], [])


def test_a_printer_that_never_spoke_is_offline_and_null(client, fleet):
    fleet.device("A", friendly_name="Printer A")
    assert printer_of(client) == {
        "deviceId": "A",
        "friendlyName": "Printer A",
        "model": None,
        "sizeCategory": None,
        "location": None,
        "plant_type": "generic_plant",
        "plantStage": 1,
        "plantStages": 21,
        "plantHealth": None,
        "bedWidth": None,
        "bedDepth": None,
        "currentStatus": "Offline",
        "isPrintingNow": False,
        "statusAgeSeconds": None,
        "currentNozzleTemp": None,
        "targetNozzleTemp": None,
        "currentBedTemp": None,
        "targetBedTemp": None,
        "currentMaterial": None,
        "powerWatts": None,
        "predictedPowerWatts": None,
        "kwhLast24h": None,
        "lastJobKwh": None,
        "printTimeSeconds": None,
        "lastJobFilamentGrams": None,
        "lastJobCost": None,
        "lastJobCurrency": None,
        "lastJobCo2Grams": None,
        "lastJobPerPartAnalysis": None,
        "jobFilename": None,
        "jobProgressPercent": None,
        "jobTimeLeftSeconds": None,
        "jobKwhConsumed": None,
        "gcodePreviewUrl": None,
        "thumbnailUrl": None,
        "job_details": None,
        "detailed_analysis_data": None,
        "history": [],
        "tipText": "The printer is offline: check its power and network, unless it rests on purpose.",
        "tips": [
            {
                "id": "offline",
                "priority": 1,
                "text": "The printer is offline: check its power and network, unless it rests on purpose.",
                "saving": None,
            }
        ],
    }


def test_a_running_print(client, fleet, now, credentials):
    fleet.device(
        "A",
        friendly_name="Printer A",
        device_model="MK4",
        printer_size_category="medium",
        plant_type="corn",
        location="Hall",
        bed_width=250,
        bed_depth=210,
        idle_power_w=10,
        **credentials,
    )
    meter = fleet.meter("A")
    start = now - timedelta(hours=2)
    fleet.readings(meter, now - timedelta(hours=6), now, 120)
    fleet.job(
        "A",
        now - timedelta(hours=5),
        filename="earlier.gcode",
        end_time=now - timedelta(hours=4),
        status="done",
        duration_seconds=3600,
        session_energy_wh=100,
        filament_used_g=40,
        cost=0.03,
        currency="EUR",
        co2_g=38,
        per_part_analysis=json.dumps(PER_PART),
        energy_final=True,
        energy_quality=json.dumps({"coverage_percent": 100}),
    )
    job_id = fleet.job(
        "A",
        start,
        filename="big part.gcode",
        material="PLA",
        gcode_analysis_data=json.dumps({"job_details": SEED, "warnings": []}),
        nozzle_diameter=0.4,
        preview_url="/files/preview.bin",
    )
    fleet.status("A", start, "heating")
    for minutes in range(10, 120, 2):
        fleet.status("A", start + timedelta(minutes=minutes - 5), "heating" if minutes <= 20 else "printing")
    fleet.status(
        "A",
        now - timedelta(seconds=20),
        "printing",
        nozzle_temp_actual=215.5,
        nozzle_temp_target=215,
        bed_temp_actual=60,
        bed_temp_target=60,
        material="PLA",
        filename="big part.gcode",
        progress_percent=50,
        time_left_seconds=7200,
    )
    answer = summary_of(client)
    printer = answer["printers"][0]
    assert 20 <= printer.pop("statusAgeSeconds") <= 25
    analysis = printer.pop("detailed_analysis_data")
    assert printer.pop("plantHealth") == 80  # 120 W where 100 Wh in an hour is usual
    assert printer == {
        "deviceId": "A",
        "friendlyName": "Printer A",
        "model": "MK4",
        "sizeCategory": "medium",
        "location": "Hall",
        "plant_type": "corn",
        "plantStage": 5,
        "plantStages": 8,
        "bedWidth": 250,
        "bedDepth": 210,
        "currentStatus": "Printing",
        "isPrintingNow": True,
        "currentNozzleTemp": 215.5,
        "targetNozzleTemp": 215,
        "currentBedTemp": 60,
        "targetBedTemp": 60,
        "currentMaterial": "PLA",
        "powerWatts": 120,
        "predictedPowerWatts": None,
        "kwhLast24h": 0.72,
        "lastJobKwh": 0.1,
        "printTimeSeconds": 3600,
        "lastJobFilamentGrams": 40,
        "lastJobCost": 0.03,
        "lastJobCurrency": "EUR",
        "lastJobCo2Grams": 38,
        "lastJobPerPartAnalysis": PER_PART,
        "jobFilename": "big part.gcode",
        "jobProgressPercent": 50,
        "jobTimeLeftSeconds": 7200,
        "jobKwhConsumed": 0.24,
        "gcodePreviewUrl": "/files/preview.bin",
        "thumbnailUrl": None,
        "job_details": SEED,
        "history": [
            {
                "filename": "earlier.gcode",
                "session_energy_wh": 100,
                "end_time": f"{now - timedelta(hours=4):%Y-%m-%dT%H:%M:%SZ}",
                "status": "done",
                "thumbnail_url": None,
                "per_part_analysis": PER_PART,
            }
        ],
        "tipText": ABOVE_USUAL,
        "tips": [
            {
                "id": "above_usual",
                "priority": 13,
                "text": ABOVE_USUAL,
                "saving": {"kwhPerDay": 0.33, "moneyPerDay": 0.1, "currency": "EUR"},
            }
        ],
    }
    phases = {phase["phase"]: phase for phase in analysis.pop("phases")}
    assert sum(phase["energy_kwh"] for phase in phases.values()) == pytest.approx(0.24, abs=0.001)
    assert phases["Heating"]["seconds"] == pytest.approx(17 * 60, abs=1)
    assert phases["Heating"]["energy_kwh"] == pytest.approx(0.034, abs=0.001)
    assert abs(sum(phase["seconds"] for phase in phases.values()) - 7200) <= 5
    analysis.pop("phases_until")
    assert analysis == {
        "jobId": job_id,
        "started_at": start.isoformat().replace("+00:00", "Z"),
        "elapsed_seconds": 7180,
        "paused_seconds": 0,
        "energy_kwh": 0.24,
        "projected_total_kwh": 0.48,
        "cost": 0.072,
        "currency": "EUR",
        "co2_g": 91.2,
        "projected_cost": 0.144,
        "projected_co2_g": 182.4,
        "comparison": {
            "jobs": 1,
            "kwh_per_hour": 0.1203,
            "usual_kwh_per_hour": 0.1,
            "kwh_per_hour_difference_percent": 20.3,
            "kwh_per_g": 0.008,
            "usual_kwh_per_g": 0.0025,
            "kwh_per_g_difference_percent": 220.0,
        },
    }
    assert [{name: value for name, value in entry.items() if name != "jobId"} for entry in answer["globalHistory"]] == [
        {
            "deviceId": "A",
            "printerName": "Printer A",
            "filename": "earlier.gcode",
            "kwh": 0.1,
            "cost": 0.03,
            "currency": "EUR",
            "co2g": 38,
            "status": "done",
            "startedAt": (now - timedelta(hours=5)).isoformat(),
            "completedAt": (now - timedelta(hours=4)).isoformat(),
            "energyQuality": {"coverage_percent": 100},
            "thumbnailUrl": None,
            "pdfUrl": None,
        }
    ]


def test_the_energy_of_a_running_print_rises_with_its_meter(client, fleet, now):
    fleet.device("A")
    meter = fleet.meter("A")
    fleet.job("A", now - timedelta(minutes=30))
    fleet.status("A", now - timedelta(minutes=1), "printing")
    counter = fleet.readings(meter, now - timedelta(minutes=30), now - timedelta(minutes=10), 300)
    assert printer_of(client)["jobKwhConsumed"] == 0.1
    fleet.readings(meter, now - timedelta(minutes=10), now - timedelta(minutes=4), 300, counter_wh=counter)
    assert printer_of(client)["jobKwhConsumed"] == 0.13


def test_energies_are_those_of_the_accounting(client, fleet, now):
    """The statement sums rollups for all printers at once; it agrees with device_energy(), whatever is rolled up."""
    start = now - timedelta(hours=30)
    for number, device in enumerate(("Fresh", "Late", "Moved", "Several", "Stored", "Silent")):
        fleet.device(device)
        meter = fleet.meter(device)
        fleet.readings(
            meter,
            start + timedelta(seconds=7 * number),
            now - timedelta(seconds=5),
            80 + 13 * number,
            every_s=97 + 10 * number,
        )
        fleet.job(device, now - timedelta(hours=2, minutes=7, seconds=23 + number))
        fleet.status(device, now, "printing")
    for device in ("Fresh", "Stored"):
        fleet.powers(f"plug-{device}/switch:0", now - timedelta(hours=3), now - timedelta(seconds=10), 20, every_s=31)
    fleet.readings(fleet.meter("Several", "second"), start, now, 45, every_s=301)
    fleet.all("INSERT INTO meters (meter_id, protocol) VALUES ('part', 'tasmota')")
    fleet.all(
        "INSERT INTO meter_assignments (meter_id, device_id, role, valid_from) "
        "VALUES ('part', 'Several', 'sub', '-infinity')"
    )
    fleet.all(
        "SELECT meter_assign('plug-Moved/switch:0', 'Silent', 'main', %s, 'test')",
        now - timedelta(minutes=63, seconds=11),
    )

    def agree():
        for printer in summary_of(client)["printers"]:
            day, job = fleet.all(
                "SELECT device_energy(%s, date_trunc('minute', now()) - interval '24 hours', now()), "
                "device_energy(%s, start_time, now()) FROM print_jobs WHERE device_id = %s",
                *[printer["deviceId"]] * 3,
            )[0]
            assert printer["kwhLast24h"] == pytest.approx(day / 1000, abs=0.0002), printer["deviceId"]
            assert printer["jobKwhConsumed"] == pytest.approx(job / 1000, abs=0.0002), printer["deviceId"]

    agree()
    for _ in range(20):
        fleet.all("SELECT refresh_rollups()")
    agree()
    for minutes in (0, 70, 200):  # late rows after the rollups were made
        fleet.readings(
            "plug-Late/switch:0",
            now - timedelta(minutes=minutes + 20),
            now - timedelta(minutes=minutes),
            7,
            every_s=41,
            counter_wh=1000 + 93 * 29,
        )
    fleet.readings("plug-Fresh/switch:0", now - timedelta(seconds=4), now, 80, every_s=2, counter_wh=1000 + 80 * 30)
    agree()


def test_stale_values_are_not_shown_as_live(client, fleet, now):
    fleet.device("A")
    fleet.job("A", now - timedelta(hours=1), filename="going.gcode", progress_percent=40, time_left_seconds=900)
    fleet.status(
        "A",
        now - timedelta(minutes=6),
        "printing",
        nozzle_temp_actual=215,
        bed_temp_actual=60,
        nozzle_temp_target=215,
        bed_temp_target=60,
        progress_percent=40,
        time_left_seconds=900,
        material="PLA",
    )
    fleet.all("UPDATE device_latest SET power_watts = 99, power_at = now() - interval '6 minutes'")
    printer = printer_of(client)
    assert {
        name: printer[name]
        for name in (
            "currentStatus",
            "isPrintingNow",
            "currentNozzleTemp",
            "targetNozzleTemp",
            "currentBedTemp",
            "targetBedTemp",
            "powerWatts",
            "jobProgressPercent",
            "jobTimeLeftSeconds",
            "currentMaterial",
            "jobFilename",
        )
    } == {
        "currentStatus": "Offline",
        "isPrintingNow": False,
        "currentNozzleTemp": None,
        "targetNozzleTemp": None,
        "currentBedTemp": None,
        "targetBedTemp": None,
        "powerWatts": None,
        "jobProgressPercent": None,
        "jobTimeLeftSeconds": None,
        "currentMaterial": None,
        "jobFilename": "going.gcode",
    }
    assert 355 <= printer["statusAgeSeconds"] <= 370


def test_a_printer_that_begins_to_heat_is_not_blamed_for_its_idle_power(client, fleet, now):
    """Its plug reports more often than it is polled: the tip needs two minutes of that power."""
    tips = {}
    for name, high_s in (("Begins-1", 20), ("Forgotten-1", 600)):
        fleet.device(name, idle_power_w=8)
        meter = fleet.meter(name)
        counter = fleet.readings(
            meter, now - timedelta(minutes=30), now - timedelta(seconds=high_s + 5), 8.0, every_s=10
        )
        fleet.readings(meter, now - timedelta(seconds=high_s), now, 180.0, every_s=10, counter_wh=counter)
        fleet.status(name, now - timedelta(seconds=25), "idle")
    for printer in client.get("/api/dpp_summary").json["printers"]:
        assert printer["powerWatts"] == 180
        tips[printer["deviceId"]] = [tip["id"] for tip in printer["tips"]]
    assert "idle_power" not in tips["Begins-1"] and tips["Forgotten-1"][0] == "idle_power"


def test_no_projection_below_a_sensible_progress(client, fleet, now):
    fleet.device("A")
    meter = fleet.meter("A")
    fleet.readings(meter, now - timedelta(minutes=10), now, 100)
    fleet.job("A", now - timedelta(minutes=10))
    fleet.status("A", now, "printing", progress_percent=4.9)
    assert printer_of(client)["detailed_analysis_data"]["projected_total_kwh"] is None


def test_a_print_without_a_meter_has_no_energy(client, fleet, now):
    fleet.device("A")
    fleet.job("A", now - timedelta(hours=3), end_time=now - timedelta(hours=2), status="done")
    fleet.job("A", now - timedelta(hours=1))
    fleet.status("A", now, "printing", progress_percent=50)
    answer = summary_of(client)
    printer, entry = answer["printers"][0], answer["globalHistory"][0]
    assert [printer[name] for name in ("jobKwhConsumed", "kwhLast24h", "lastJobKwh")] == [None] * 3
    assert [
        printer["detailed_analysis_data"][name] for name in ("energy_kwh", "cost", "co2_g", "projected_total_kwh")
    ] == [None] * 4
    assert [entry[name] for name in ("kwh", "cost", "co2g")] == [None] * 3


def test_only_active_printers_are_in_it(client, fleet):
    fleet.device("P")
    fleet.device("C", device_type="compressor")
    fleet.device("Old", is_active=False)
    assert [printer["deviceId"] for printer in summary_of(client)["printers"]] == ["P"]


def test_history_has_the_last_5_and_the_global_one_the_newest_50(client, fleet, now):
    fleet.device("A")
    fleet.device("B")
    for number in range(60):
        end = now - timedelta(hours=number)
        fleet.job(
            "A" if number % 2 else "B",
            end - timedelta(minutes=40),
            filename=f"{number}.gcode",
            end_time=end,
            status="done",
        )
    answer = summary_of(client)
    histories = {
        printer["deviceId"]: [entry["filename"] for entry in printer["history"]] for printer in answer["printers"]
    }
    assert histories == {
        "A": [f"{number}.gcode" for number in (1, 3, 5, 7, 9)],
        "B": [f"{number}.gcode" for number in (0, 2, 4, 6, 8)],
    }
    assert [entry["filename"] for entry in answer["globalHistory"]] == [f"{number}.gcode" for number in range(50)]


def test_the_price_of_a_print_is_that_of_its_hours(client, fleet, now):
    fleet.device("A")
    meter = fleet.meter("A")
    turn = now.replace(minute=now.minute // 15 * 15, second=0) - timedelta(hours=1)
    fleet.all(
        "INSERT INTO energy_tariffs (factory_id, name, priority, price_per_kwh, currency, valid_from) "
        "SELECT factory_id, 'Dear', 1, 0.60, 'EUR', %s FROM factories LIMIT 1",
        turn,
    )
    fleet.readings(meter, turn - timedelta(hours=1), turn + timedelta(hours=1), 100)
    fleet.job("A", turn - timedelta(hours=1))
    fleet.status("A", now, "printing")
    analysis = printer_of(client)["detailed_analysis_data"]
    assert (analysis["energy_kwh"], analysis["cost"]) == (0.2, 0.09)


def test_a_print_of_many_states_has_phases_that_sum_to_it(client, fleet, now):
    fleet.device("A")
    meter = fleet.meter("A")
    start = now - timedelta(minutes=40)
    fleet.readings(meter, start, now, 60)
    fleet.job("A", start)
    for minute, state in enumerate(
        ["heating"] * 5 + ["printing"] * 10 + ["paused"] * 5 + ["printing"] * 4 + ["attention"] * 6
    ):
        fleet.status("A", start + timedelta(minutes=minute), state)
    fleet.status("A", now - timedelta(seconds=10), "printing")
    found = {
        phase["phase"]: (phase["seconds"], phase["energy_kwh"])
        for phase in printer_of(client)["detailed_analysis_data"]["phases"]
    }
    assert sum(seconds for seconds, _ in found.values()) == pytest.approx(2400, abs=4)
    assert {
        name: pytest.approx(figures, abs=12)
        for name, figures in {
            "Heating": (300, 0.005),
            "Printing": (850, 0.014),
            "Paused": (900, 0.0155),
            "No data": (350, 0.006),
        }.items()
    } == found
    assert sum(kwh for _, kwh in found.values()) == pytest.approx(0.04, abs=0.0003)


def test_phases_of_a_running_print_are_kept_between_answers(client, fleet, now):
    for device in "ABCD":
        fleet.device(device)
        fleet.job(device, now - timedelta(minutes=5))
        fleet.status(device, now, "printing")
    for _ in range(3):
        assert all(printer["detailed_analysis_data"]["phases"] for printer in summary_of(client)["printers"])
    fleet.device("E")
    fleet.job("E", now - timedelta(minutes=3))
    fleet.status("E", now, "printing")
    assert summary_of(client)["printers"][4]["detailed_analysis_data"]["phases"]


def test_markup_and_odd_names_go_through_unchanged(client, fleet, now):
    name = '<img src=x onerror=alert(1)> "Ümläut" \U0001f5a8'
    fleet.device("A", friendly_name=name)
    fleet.job("A", now - timedelta(minutes=5), filename="../../etc/passwd'; DROP TABLE devices; --")
    fleet.status("A", now, "printing")
    printer = printer_of(client)
    assert (printer["friendlyName"], printer["jobFilename"]) == (name, "../../etc/passwd'; DROP TABLE devices; --")


def test_a_printer_that_is_asked_each_half_hour_is_live_for_three_of_them(client, fleet, now):
    """Its plug reports each quarter of an hour, so its power holds for three quarters."""
    ages = {"live": (5000, 2600), "gone": (5500, 2800)}
    for name, (status_s, power_s) in ages.items():
        fleet.device(name, data_interval_seconds=1800)
        meter = fleet.meter(name)
        fleet.all("UPDATE meters SET reporting_interval_s = 900 WHERE meter_id = %s", meter)
        fleet.readings(meter, now - timedelta(hours=3), now - timedelta(seconds=power_s), 75, every_s=100)
        fleet.status(name, now - timedelta(seconds=status_s), "printing", nozzle_temp_actual=215)
    printers = {printer["deviceId"]: printer for printer in summary_of(client)["printers"]}
    shown = {
        name: (printer["currentStatus"], printer["currentNozzleTemp"], printer["powerWatts"])
        for name, printer in printers.items()
    }
    assert shown == {"live": ("Printing", 215, 75), "gone": ("Offline", None, None)}
    silent = [
        alarm["object"] for alarm in client.get("/api/alarms").json["alarms"] if alarm["kind"] == "printer_silent"
    ]
    assert silent == ["gone"]


def test_a_state_that_is_added_shows_by_its_class_and_phase(client, fleet, now):
    fleet.all(
        "INSERT INTO states (state_key, state, name, class, phase) VALUES"
        " (80, 'purging', 'Purging', 'productive', 'Heating'), (81, 'jammed', 'Jammed', 'down', 'Active')"
        " ON CONFLICT DO NOTHING"
    )
    for name, state in (("P", "purging"), ("J", "jammed")):
        fleet.device(name)
        fleet.readings(fleet.meter(name), now - timedelta(minutes=10), now, 120)
        fleet.job(name, now - timedelta(minutes=9))
        fleet.status(name, now - timedelta(minutes=9), "printing")
        fleet.status(name, now - timedelta(minutes=4), state)
    printers = {printer["deviceId"]: printer for printer in summary_of(client)["printers"]}
    assert {name: printer["currentStatus"] for name, printer in printers.items()} == {"P": "Printing", "J": "Error"}
    phases = {name: {} for name in printers}
    for name, printer in printers.items():
        phases[name] = {p["phase"]: p["seconds"] for p in printer["detailed_analysis_data"]["phases"]}
    assert phases["P"] == pytest.approx({"Printing": 300, "Heating": 240}, abs=5)
    assert phases["J"] == pytest.approx({"Printing": 300, "Active (other)": 240}, abs=5)
    errors = [alarm["object"] for alarm in client.get("/api/alarms").json["alarms"] if alarm["kind"] == "printer_error"]
    assert errors == ["J"]


def test_tips_go_by_the_clock_of_the_printers_own_factory(client, fleet, now):
    """In each of them a kWh is cheaper from a full hour of its own on."""
    wanted = {}
    for zone in ("Europe/Berlin", "America/New_York", "Asia/Kathmandu"):
        hour = (now.astimezone(ZoneInfo(zone)).hour + 2) % 24
        slug = zone.split("/")[1].lower().replace("_", "-")
        fleet.all("INSERT INTO factories (slug, name, timezone, currency) VALUES (%s, %s, %s, 'EUR')", slug, slug, zone)
        for priority, price, times in (
            (0, 0.4, ("00:00", "24:00")),
            (1, 0.1, (f"{hour:02}:00", f"{(hour + 3) % 24:02}:00")),
        ):
            fleet.all(
                "INSERT INTO energy_tariffs (factory_id, name, priority, price_per_kwh, currency, time_from, time_to)"
                " SELECT factory_id, 'x', %s, %s, 'EUR', %s, %s FROM factories WHERE slug = %s",
                priority,
                price,
                *times,
                slug,
            )
        fleet.device(slug)
        fleet.all(
            "UPDATE devices SET factory_id = (SELECT factory_id FROM factories WHERE slug = %s) WHERE device_id = %s",
            slug,
            slug,
        )
        fleet.status(slug, now, "idle")
        wanted[slug] = f"Electricity is cheaper from {hour:02}:00 "
    found = {printer["deviceId"]: printer["tips"] for printer in summary_of(client)["printers"]}
    for slug, text in wanted.items():
        assert any(tip["text"].startswith(text) for tip in found[slug]), (slug, found[slug])


def test_a_dryer_counts_to_the_printer_but_not_to_its_prints(client, fleet, now):
    fleet.device("A")
    start = now - timedelta(hours=2)
    fleet.readings(fleet.meter("A"), start, now, 100)
    fleet.readings(fleet.meter("A", "dryer"), start, now, 50)
    fleet.all("UPDATE meter_assignments SET role = 'dryer', counts_to_job = false WHERE meter_id = 'dryer'")
    job_id = fleet.job("A", now - timedelta(hours=1))
    fleet.status("A", now - timedelta(hours=1), "printing")
    fleet.status("A", now, "printing")
    printer = printer_of(client)
    analysis = printer["detailed_analysis_data"]
    assert (printer["kwhLast24h"], printer["jobKwhConsumed"], printer["powerWatts"]) == (0.3, 0.1, 150)
    assert sum(phase["energy_kwh"] for phase in analysis["phases"]) == pytest.approx(0.1, abs=0.0005)
    assert (analysis["cost"], client.get(f"/api/jobs/{job_id}").json["kwh"]) == (0.03, 0.1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_cost_of_a_running_print_is_that_of_the_accounting(fleet, database, data):
    """Whatever its factory's tariffs and factors: at once, and with energy that came after its cost was computed."""
    fleet.clear()
    # The cost of what came since the last answer is at the present rate: both moments lie within a quarter of an hour.
    now = datetime.now(UTC)
    now = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) - timedelta(seconds=1)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    fleet.all(
        "INSERT INTO factories (slug, name, timezone, currency, carbon_region)"
        " VALUES ('other', 'Other', %s, 'EUR', 'X')",
        data.draw(st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu"])),
    )
    fleet.all("DELETE FROM carbon_factors WHERE region = 'X'")
    if data.draw(st.booleans()):
        profile = data.draw(st.none() | st.lists(st.integers(0, 900), min_size=24, max_size=24))
        fleet.all(
            "INSERT INTO carbon_factors (region, energy_type, g_co2_per_kwh, source, hourly_profile)"
            " VALUES ('X', 'electricity', 400, 'test', %s)",
            profile,
        )
    for priority in range(data.draw(st.integers(0, 3))):
        whole = data.draw(st.sampled_from([True, True, False]))
        quarters = (
            (0, 96) if whole else sorted(data.draw(st.lists(st.integers(0, 95), min_size=2, max_size=2, unique=True)))
        )
        fleet.all(
            "INSERT INTO energy_tariffs"
            " (factory_id, name, priority, price_per_kwh, currency, time_from, time_to, valid_from)"
            " SELECT factory_id, %s, %s, %s, %s, %s, %s, %s FROM factories WHERE slug = 'other'",
            f"t{priority}",
            priority,
            data.draw(st.floats(0, 1)),
            data.draw(st.sampled_from(["EUR", "EUR", "EUR", "CHF"])),
            *(f"{quarter // 4:02}:{quarter % 4 * 15:02}" for quarter in quarters),
            data.draw(st.sampled_from(["-infinity", day - timedelta(hours=5), now - timedelta(hours=2)])),
        )
    fleet.device("A")
    fleet.all("UPDATE devices SET factory_id = (SELECT factory_id FROM factories WHERE slug = 'other')")
    meter = fleet.meter("A")
    counter = fleet.readings(meter, now - timedelta(hours=9), now - timedelta(seconds=60), 150)
    if data.draw(st.booleans()):
        fleet.all("SELECT refresh_rollups()")
    fleet.job("A", now - timedelta(minutes=data.draw(st.integers(2, 500))))
    fleet.status("A", now - timedelta(seconds=60), "printing")

    def check(moment, known):
        ids = "{" + ",".join(json.loads(costs)["job_id"] for costs in known) + "}"
        [row] = database.fetch_dicts("dpp_summary", moment, ids, None, "[" + ",".join(known) + "]")
        wanted = fleet.all(
            "SELECT c.energy_wh, c.cost, c.currency, c.co2_g FROM print_jobs j"
            " CROSS JOIN LATERAL device_energy_cost(j.device_id, j.start_time, %s, 'electricity', true) c",
            moment,
        )[0]
        job = live.job_of(row)
        found = {"wh": job["wh"], "cost": job["cost"], "currency": job["currency"], "co2_g": job["co2_g"]}
        for (name, value), other in zip(found.items(), wanted):
            assert value == (other if isinstance(other, str) or other is None else pytest.approx(other)), name
        return [row["job_costs"]] if row["job_costs"] else []

    known = check(now - timedelta(seconds=60), [])
    fleet.readings(meter, now - timedelta(seconds=50), now, 150, every_s=10, counter_wh=counter + 1)
    check(now, known)


def test_one_statement_answers(client, fleet, now, monkeypatch):
    fleet.device("A")
    fleet.status("A", now, "idle")
    asked = []
    run = db._Connection.run
    monkeypatch.setattr(
        db._Connection,
        "run",
        lambda self, statement, parameters: asked.append(statement) or run(self, statement, parameters),
    )
    summary_of(client)
    assert asked == ["dpp_summary"]
