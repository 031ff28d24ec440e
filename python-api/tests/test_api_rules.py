"""Status, tips and plants: rules without a database."""

import json
from typing import Any

import pytest
from enms_api import printer_state
from enms_api.summary import dpp_simulator, plants, tips
from enms_api.summary.answer import Writer
from enms_api.summary.facts import Rate
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_760_000_000.0

SPEC_ORDER = [
    "offline",
    "error",
    "attention",
    "heating_long",
    "first_layer",
    "idle_power",
    "hot_bed_idle",
    "small_part",
    "material",
    "near_completion",
    "cooling",
    "better_hour",
    "above_usual",
    "idle",
    "default",
]


def mock_printers():
    for name in dpp_simulator.MOCKS:
        yield from json.loads(Writer().write(dpp_simulator.scenario_rows(name, NOW), name).text)["printers"]


def facts(**changes) -> Any:
    """The facts of an idle printer with some changes."""
    return {**dpp_simulator.MockPrinter().facts(1, NOW), **changes}


def test_tips_keep_the_order_of_the_specification():
    assert [rule.id for rule in tips.RULES] == SPEC_ORDER


@pytest.mark.parametrize("rule", SPEC_ORDER)
def test_every_tip_wins_in_some_scenario(rule):
    winners = [printer["tips"][0] for printer in mock_printers() if printer["tips"][0]["id"] == rule]
    assert winners
    assert all(tip["text"] and "None" not in tip["text"] for tip in winners)


def test_tips_are_ordered_and_the_first_is_the_tip_text():
    for printer in mock_printers():
        priorities = [tip["priority"] for tip in printer["tips"]]
        assert priorities == sorted(set(priorities))
        assert printer["tipText"] == printer["tips"][0]["text"]
        assert "default" not in [tip["id"] for tip in printer["tips"]] or len(printer["tips"]) == 1


def test_idle_power_saving_is_the_excess_of_a_day_in_energy_and_money():
    situation = tips.Situation(status="Idle", steady_w=46.0, idle_power_w=12.0, price_per_kwh=0.30, currency="EUR")
    assert tips.tips_for(situation)[0] == {
        "id": "idle_power",
        "priority": 6,
        "text": "Idle, but drawing 46 W where 12 W would do: switching off what is still on saves 0.82 kWh, 0.24 EUR a "
        "day.",
        "saving": {"kwhPerDay": 0.816, "moneyPerDay": 0.24, "currency": "EUR"},
    }


def test_a_saving_has_no_money_without_a_tariff():
    situation = tips.Situation(status="Idle", steady_w=46.0, idle_power_w=12.0)
    assert tips.tips_for(situation)[0]["saving"] == {"kwhPerDay": 0.816, "moneyPerDay": None, "currency": None}


def test_a_cleaner_hour_is_a_tip_when_the_price_is_flat():
    rates: list[Rate] = [
        {"from_ts": NOW + 3600 * hour, "price": 0.3, "currency": "EUR", "g_co2": 400.0 - 100 * (hour == 2)}
        for hour in range(24)
    ]
    situation = tips.Situation(status="Idle", rates=rates, hour_name=lambda ts: f"+{(ts - NOW) / 3600:.0f} h")
    tip = tips.tips_for(situation)[0]
    assert tip["id"] == "better_hour"
    assert (
        tip["text"]
        == "Electricity is cleaner from +2 h (300 instead of 400 g CO2 per kWh): queue the next print for then."
    )


@given(
    st.builds(
        tips.Situation,
        status=st.sampled_from(printer_state.STATUSES),
        printing=st.booleans(),
        **{
            name: st.none() | st.floats(0, 1e5)
            for name in (
                "state_age_s",
                "steady_w",
                "idle_power_w",
                "bed_target_c",
                "time_left_s",
                "warm_up_kwh",
                "kwh_per_g",
                "usual_kwh_per_g",
                "usual_job_kwh",
                "grams",
                "price_per_kwh",
            )
        },
        progress=st.none() | st.floats(0, 100),
        part_mm=st.none() | st.tuples(st.none() | st.floats(0, 500), st.none() | st.floats(0, 500)),
        bed_mm=st.none() | st.tuples(st.floats(1, 500), st.floats(1, 500)),
        material=st.none() | st.sampled_from(["PLA", "abs", "PC-CF", "PETG", ""]),
    )
)
def test_any_printer_gets_a_tip_and_no_saving_is_negative(situation):
    found = tips.tips_for(situation)
    assert found
    for tip in found:
        assert tip["saving"] is None or tip["saving"]["kwhPerDay"] >= 0


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"state": "printing"}, "Printing"),
        ({"state": "heating"}, "Heating"),
        ({"state": "paused"}, "Paused"),
        ({"state": "attention"}, "Attention"),
        ({"state": "error"}, "Error"),
        ({"state": "offline"}, "Offline"),
        ({"state": "unknown"}, "Unknown"),
        ({"state": "finished"}, "Completed"),
        ({"state": "ready"}, "Idle"),
        ({"state": "idle"}, "Idle"),
        ({"state": "idle", "nozzle": 90.0}, "Cooling"),
        ({"state": "cancelled", "bed": 55.0}, "Cooling"),
        ({"state": "idle", "bed": 60.0, "bed_target": 60.0}, "Idle"),
        ({"state": "idle", "last": {"status": "done", "end_ts": NOW - 60}}, "Completed"),
        ({"state": "idle", "last": {"status": "cancelled", "end_ts": NOW - 60}}, "Idle"),
        ({"state": "idle", "last": {"status": "done", "end_ts": NOW - 3600}}, "Idle"),
        ({"state": "printing", "status_ts": NOW - 299}, "Printing"),
        ({"state": "printing", "status_ts": NOW - 301}, "Offline"),
        ({"state": "printing", "status_ts": NOW - 5399, "holds_s": 5400.0}, "Printing"),
        ({"state": "printing", "status_ts": NOW - 5401, "holds_s": 5400.0}, "Offline"),
        ({"state": "laser_on", "state_class": "productive"}, "Printing"),
        ({"state": "airing", "state_class": "ready"}, "Idle"),
        ({"state": "jammed", "state_class": "down"}, "Error"),
        ({"state": "asleep", "state_class": "off"}, "Offline"),
        ({"state": "puzzled", "state_class": None}, "Unknown"),
        ({"state": None}, "Unknown"),
        ({"state": "printing", "status_ts": None}, "Offline"),
    ],
)
def test_status(changes, status):
    assert printer_state.current_status(facts(**changes), NOW) == status


def test_time_alone_changes_a_status_when_it_goes_stale():
    one = facts(state="printing", status_ts=NOW - 100, power_ts=NOW - 50)
    changes = printer_state.next_change_ts(one, NOW)
    assert changes == NOW + 200
    assert printer_state.current_status(one, changes) == "Printing"
    assert printer_state.current_status(one, changes + 0.001) == "Offline"


def test_power_holds_as_long_as_its_meters_let_expect():
    one = facts(status_ts=NOW, power_w=80.0, power_ts=NOW - 2600, power_holds_s=2700.0)
    assert printer_state.current_power_w(one, NOW) == 80.0
    assert printer_state.next_change_ts(one, NOW) == NOW + 100
    assert printer_state.current_power_w(one, NOW + 101) is None


def test_a_printer_keeps_its_text_only_while_nothing_changes():
    writer = Writer()

    def printers(now_ts, **changes):
        fleet: Any = dpp_simulator.scenario_rows("idle_fleet", NOW)
        fleet["now_ts"] = now_ts
        fleet["printers"][0].update(changes)
        return json.loads(writer.write(fleet, "idle_fleet").text)["printers"][0]

    first = printers(NOW)
    assert printers(NOW + 3) == {**first, "statusAgeSeconds": first["statusAgeSeconds"] + 3}
    assert printers(NOW + 3, power_w=99.0)["powerWatts"] == 99.0
    assert printers(NOW + 3) == {**first, "statusAgeSeconds": first["statusAgeSeconds"] + 3}
    assert printers(NOW + 293)["currentStatus"] == "Offline"


@pytest.mark.parametrize("species, stages", [("generic_plant", 21), ("corn", 8), ("sunflower", 7), ("tomato", 12)])
def test_every_species_grows_through_all_its_stages_in_even_steps(species, stages):
    steps = [plants.stage(species, plants.FULL_KWH * (number + 0.5) / stages) for number in range(stages)]
    assert steps == list(range(1, stages + 1))
    assert plants.stage(species, 0.0) == plants.stage(species, None) == 1
    assert plants.stage(species, 50.0) == stages


@given(st.sampled_from(list(plants.STAGES)), st.floats(0, 100), st.floats(0, 100), st.floats(0, 5), st.floats(0.01, 10))
def test_growth_never_goes_back_with_more_energy(species, one, other, seed, span):
    less, more = sorted((one, other))
    assert (
        1
        <= plants.stage(species, less, seed, seed + span)
        <= plants.stage(species, more, seed, seed + span)
        <= plants.STAGES[species]
    )


@pytest.mark.parametrize(
    "used, expected, health",
    [
        (0.5, 1.0, 100),
        (1.0, 1.0, 100),
        (1.5, 1.0, 50),
        (2.0, 1.0, 0),
        (9.0, 1.0, 0),
        (None, 1.0, None),
        (1.0, None, None),
        (0.1, 0.001, None),
    ],
)
def test_health_follows_efficiency(used, expected, health):
    assert plants.health(used, expected) == health


@pytest.mark.parametrize(
    "settings, growth",
    [
        (None, (0.0, 0.4)),
        ({"plant_full_kwh": "2.5"}, (0.0, 2.5)),
        ({"plant_seed_kwh": "0.1", "plant_full_kwh": "0.6"}, (0.1, 0.6)),
        ({"plant_seed_kwh": "3"}, (0.0, 0.4)),
        ({"plant_full_kwh": "much"}, (0.0, 0.4)),
        ({"plant_full_kwh": "nan"}, (0.0, 0.4)),
    ],
)
def test_growth_range_is_a_setting(settings, growth):
    assert plants.growth_range(settings) == growth


def test_the_defaults_of_the_plants_are_those_of_the_seed(fleet):
    """Before: full grown at 1 kWh here and at 0.4 kWh there."""
    stored = dict(fleet.all("SELECT name, value FROM settings WHERE name LIKE 'plant_%%'"))
    assert plants.growth_range(stored) == plants.growth_range(None) == (0.0, 0.4)
