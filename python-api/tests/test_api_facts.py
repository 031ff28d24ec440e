"""The types of the summary: database and mock scenarios return what facts.py declares, the answer is as described."""

import json
from collections.abc import Iterator
from datetime import timedelta
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from enms_api import openapi
from enms_api.summary import answer, dpp_simulator, job, live, tips
from enms_api.summary.facts import Fleet

NOW = 1_760_000_000.0


def differences(value: Any, kind: Any, where: str = "fleet") -> Iterator[str]:
    """What in a value is not as its type says."""
    if is_typeddict(kind):
        hints = get_type_hints(kind)
        yield from (f"{where} has no {name}" for name in hints.keys() - value.keys())
        yield from (f"{where} has {name} as well" for name in value.keys() - hints.keys())
        for name in hints.keys() & value.keys():
            yield from differences(value[name], hints[name], f"{where}.{name}")
    elif get_origin(kind) is list:
        for one in value:
            yield from differences(one, get_args(kind)[0], f"{where}[]")
    elif get_origin(kind) is UnionType:
        [known] = set(get_args(kind)) - {NoneType}
        if value is not None:
            yield from differences(value, known, where)
    elif kind is not Any:
        plain = (int, float) if kind is float else get_origin(kind) or kind
        if not isinstance(value, plain) or (kind is not bool and isinstance(value, bool)):
            yield f"{where} is {value!r} and no {kind}"


@pytest.fixture
def busy(fleet, now):
    """A printer with everything that can be known of one, and one of which nothing is known."""
    fleet.device(
        "A",
        friendly_name="A",
        device_model="MK4",
        printer_size_category="medium",
        location="Hall",
        bed_width=250,
        bed_depth=210,
        idle_power_w=8,
    )
    fleet.device("B", friendly_name="B")
    fleet.readings(fleet.meter("A"), now - timedelta(hours=6), now, 100)
    fleet.all(
        "INSERT INTO energy_tariffs (factory_id, name, priority, price_per_kwh, currency, valid_from) "
        "SELECT factory_id, 'Dear', 1, 0.60, 'EUR', %s FROM factories LIMIT 1",
        now - timedelta(hours=1),
    )
    fleet.job(
        "A",
        now - timedelta(hours=5),
        end_time=now - timedelta(hours=4),
        status="done",
        session_energy_wh=100,
        filament_used_g=40,
        cost=0.03,
        currency="EUR",
        co2_g=38,
        thumbnail_url="/files/a.png",
        per_part_analysis=json.dumps([{"part": "a", "share": 1.0}]),
        energy_quality=json.dumps({"coverage_percent": 100}),
        dpp_pdf_url="/files/a.pdf",
    )
    fleet.job(
        "A",
        now - timedelta(hours=2),
        filament_used_g=20,
        material="PLA",
        nozzle_diameter=0.4,
        progress_percent=50,
        time_left_seconds=7200,
        preview_url="/files/a.bin",
        thumbnail_url="/files/a.png",
        gcode_analysis_data=json.dumps({"job_details": {"object_name": "part"}}),
    )
    fleet.status(
        "A",
        now - timedelta(seconds=20),
        "printing",
        nozzle_temp_actual=215.5,
        nozzle_temp_target=215,
        bed_temp_actual=60,
        bed_temp_target=60,
        material="PLA",
        filename="part.gcode",
        progress_percent=50,
        time_left_seconds=7200,
    )
    fleet.all("SELECT record_predictions(ARRAY['A'], ARRAY[now()], ARRAY[95.5::float8], ARRAY['v1'])")
    return fleet


def test_the_database_returns_the_facts(busy, database):
    fleet = live.LiveRows(database).fetch()
    assert list(differences(fleet, Fleet)) == []
    known, unknown = fleet["printers"]
    assert [name for name, value in known.items() if value is None] == ["steady_w"]  # of a printer at rest
    assert known["job"] and None not in known["job"].values()
    assert unknown["job"] is unknown["last"] is unknown["status_ts"] is None
    assert fleet["factories"] and fleet["global_history"]


def test_every_column_of_the_statement_is_read(busy, database):
    read = set()

    class Row(dict):
        def __getitem__(self, name):
            read.add(name)
            return super().__getitem__(name)

    rows = database.fetch_dicts("dpp_summary", None, "{}", None, None)
    live.facts_of(Row(rows[0]))
    assert read | {"fleet", "job_costs"} == set(rows[0])


def test_what_nothing_has_changed_is_equal(busy, database):
    """Otherwise the answer's texts would be written again and again."""
    rows = live.LiveRows(database)
    first = rows.fetch()["printers"]
    assert rows.fetch()["printers"] == first


@pytest.mark.parametrize("name", dpp_simulator.MOCKS)
def test_mock_scenarios_have_the_same_facts(name):
    assert list(differences(dpp_simulator.scenario_rows(name, NOW), Fleet)) == []


@pytest.mark.parametrize(
    "kind, name",
    [
        (answer.Printer, "Printer"),
        (answer.PastPrint, "PastPrint"),
        (job.JobDetails, "JobDetails"),
        (job.JobAnalysis, "JobAnalysis"),
        (tips.Tip, "Tip"),
    ],
)
def test_the_types_of_the_answer_have_the_keys_of_the_description(kind, name):
    described = set(openapi.description("test")["components"]["schemas"][name]["properties"])
    assert set(get_type_hints(kind)) == described - {"statusAgeSeconds"}
