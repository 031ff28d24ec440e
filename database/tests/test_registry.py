"""Changes that a person makes: devices, meters, what may be written, and the sentences about what may not."""

import json

import psycopg2
import pytest


def test_add_change_and_audit_without_secrets(db):
    answer = db.device("R1", friendly_name="Rita", source="prusalink", api_key="top-secret", bed_width=250, notes="  ")
    assert (answer["created"], answer["has_api_key"], answer["notes"]) == (True, True, None) and "api_key" not in answer
    machine = answer["machine_id"]
    answer = db.device("R1", friendly_name="Rita II")
    assert (
        answer["created"],
        answer["friendly_name"],
        answer["bed_width"],
        answer["has_api_key"],
        answer["machine_id"],
    ) == (False, "Rita II", 250, True, machine)
    db.device("R1", sp_api_key="other-secret", api_key=None)
    assert db.one("SELECT api_key, sp_api_key FROM device_credentials WHERE device_id = 'R1'") == (None, "other-secret")
    log = db.all("SELECT action, before, after, actor FROM audit_log WHERE object = 'R1' ORDER BY audit_id")
    assert [row[0] for row in log] == ["device.add", "device.change", "device.change"] and log[0][3] == "test"
    assert "secret" not in json.dumps([row[1:3] for row in log])


@pytest.mark.parametrize(
    "fields, part",
    [
        ({"device_id": ""}, "device_id is needed"),
        ({"device_id": "a b"}, "device_id is needed"),
        ({"device_id": "../x"}, "device_id is needed"),
        ({"colour": "red"}, 'no field "colour"'),
        ({"source": "telnet"}, "source telnet is not allowed"),
        ({"bed_width": -1}, "bed_width -1 is not allowed"),
        ({"bed_width": "wide"}, "wrong type"),
        ({"data_interval_seconds": 0}, "from 1 to 3,600"),
        ({"data_interval_seconds": 1, "source": "prusalink"}, "every 2 seconds at most"),
        ({"friendly_name": None}, "friendly_name must not be empty"),
        ({"notes": {"a": 1}}, "single value"),
        ({"notes": "x" * 2001}, "longer than 2,000"),
        ({"factory_id": "00000000-0000-0000-0000-000000000000"}, "no known factory"),
        ({"machine_id": "00000000-0000-0000-0000-000000000000"}, "machine_id"),
        ({"is_active": "perhaps"}, "wrong type"),
    ],
)
def test_bad_input_is_a_sentence(db, fields, part):
    if not db.one("SELECT count(*) FROM devices WHERE device_id = 'R2'"):
        db.device("R2")
    assert part in db.refused("SELECT device_save(%s, 'test')", json.dumps({"device_id": "R2", **fields}))


def test_create_and_update_know_what_exists(db):
    db.one("SELECT device_save('{\"device_id\":\"R3\"}', 'test', 'upsert')")
    with pytest.raises(psycopg2.errors.UniqueViolation, match="already a device R3"):
        db.one("SELECT device_save('{\"device_id\":\"R3\"}', 'test', 'create')")
    with pytest.raises(psycopg2.errors.NoDataFound, match="no device R99"):
        db.one("SELECT device_save('{\"device_id\":\"R99\"}', 'test', 'update')")


def assignments(db, meter):
    return db.all(
        "SELECT device_id, valid_from > '-infinity', valid_to = 'infinity' FROM meter_assignments "
        "WHERE meter_id = %s ORDER BY valid_from",
        meter,
    )


def test_a_plug_brings_its_channels_and_the_exact_name_wins(db):
    db.device("whole-plug", shelly_id="plugA")
    db.device("one-channel", shelly_id="plugA/switch:1")
    for channel in ("plugA/switch:0", "plugA/switch:1", "plugA/x/switch:2"):
        db.meter(channel)
    assert assignments(db, "plugA/switch:0") == [("whole-plug", False, True)]
    assert assignments(db, "plugA/switch:1") == [("one-channel", False, True)]
    assert assignments(db, "plugA/x/switch:2") == []
    assert "already belongs to device whole-plug" in db.refused(
        'SELECT device_save(\'{"device_id":"third","shelly_id":"plugA"}\', \'test\')'
    )


def test_setting_shelly_id_assigns_what_was_measured_before(db, at):
    db.meter("plugB/pm1:0")
    db.ingest("plugB/pm1:0", [(at(0), 0), (at(600), 6)])
    db.device("late-comer", shelly_id="plugB")
    assert db.one("SELECT device_energy('late-comer', %s, %s)", at(0), at(600)) == pytest.approx(6)
    assert db.one("SELECT count(*) FROM energy_data WHERE device_id = 'late-comer'") == 2
    # a new plug: the old assignment ends, the past stays
    db.meter("plugC/pm1:0")
    db.device("late-comer", shelly_id="plugC")
    assert assignments(db, "plugB/pm1:0") == [("late-comer", False, False)]
    assert assignments(db, "plugC/pm1:0") == [("late-comer", False, True)]
    assert db.one("SELECT device_energy('late-comer', %s, %s)", at(0), at(600)) == pytest.approx(6)


def test_assignments_never_overlap(db):
    meter = db.meter(device="owner")
    with pytest.raises(psycopg2.errors.ExclusionViolation):
        db.all(
            "INSERT INTO meter_assignments (meter_id, device_id, valid_from) VALUES (%s, 'owner', '2026-01-01')", meter
        )


def test_meter_assign_checks_its_input(db):
    meter = db.meter()
    db.device("R4")
    assert "no meter nix" in db.refused("SELECT meter_assign('nix', 'R4', 'main', NULL, 'test')")
    assert "no device nix" in db.refused("SELECT meter_assign(%s, 'nix', 'main', NULL, 'test')", meter)
    assert "role is main" in db.refused("SELECT meter_assign(%s, 'R4', 'third', NULL, 'test')", meter)
    assert "future" in db.refused("SELECT meter_assign(%s, 'R4', 'main', now() + interval '1 day', 'test')", meter)
    assert db.one("SELECT meter_assign(%s, 'R4', 'main', NULL, 'test')", meter)["from"] is None
    db.one("SELECT meter_assign(%s, NULL, NULL, NULL, 'test')", meter)
    assert assignments(db, meter) == [("R4", False, False)]


def test_remove_deletes_only_what_has_no_data(db, at):
    db.device("empty")
    assert db.one("SELECT device_remove('empty', 'test')")["removed"] is True
    assert db.one("SELECT count(*) FROM devices WHERE device_id = 'empty'") == 0
    meter = db.meter(device="used")
    db.ingest(meter, [(at(0), 1)])
    answer = db.one("SELECT device_remove('used', 'test')")
    assert (answer["removed"], answer["deactivated"]) == (False, True) and "deactivated" in answer["message"]
    assert db.one("SELECT is_active FROM devices WHERE device_id = 'used'") is False
    with pytest.raises(psycopg2.errors.NoDataFound):
        db.one("SELECT device_remove('empty', 'test')")


def test_a_flood_of_rejects_is_counted_and_bounded(plain):
    plain.all("DELETE FROM ingest_rejects")
    for _ in range(3):
        plain.one(
            "SELECT record_rejects(%s, %s, %s, %s)", ["mqtt"] * 500, ["t"] * 500, ["x" * 10000] * 500, ["broken"] * 500
        )
    assert plain.all("SELECT count, length(payload) FROM ingest_rejects") == [(1500, 4096)]
    for part in range(5):
        topics = [f"topic-{part}-{n}" for n in range(800)]
        plain.one("SELECT record_rejects(%s, %s, %s, %s)", ["mqtt"] * 800, topics, ["p"] * 800, ["broken"] * 800)
    rows, total = plain.one("SELECT count(*), sum(count) FROM ingest_rejects")
    assert rows < 2000 and total == 1500 + 4000
    plain.all("DELETE FROM ingest_rejects")


def test_sensors_of_a_hub_keep_the_device_on_which_it_is_mounted(db, at):
    carrier = db.device("carries-a-hub", mqtt_topic="esp32/lab/west")["device_id"]
    for hub, expected in (("lab/west", carrier), ("lab", None)):
        for kind in ("mpu6050_accelerometer", "mpu6050_gyroscope", "max6675_temperature"):
            sensor = f"{hub}/{kind.partition('_')[0]}"
            assert (
                db.one(
                    "SELECT record_sensor(%s, ARRAY[%s], ARRAY[%s::timestamptz], ARRAY[NULL::text], ARRAY[1.0], "
                    "ARRAY[1.0], ARRAY[1.0])",
                    kind,
                    sensor,
                    at(0),
                )
                == 1
            )
            assert db.one(f"SELECT device_id FROM {kind}_data WHERE sensor_id = %s", sensor) == expected
        db.one(
            "SELECT record_environment(ARRAY[%s], ARRAY[%s::timestamptz], ARRAY[NULL::text], ARRAY[20.0], "
            "ARRAY[NULL::float8], ARRAY[NULL::float8], ARRAY['dht22'])",
            hub,
            at(0),
        )
        assert db.one("SELECT device_id FROM environment_data WHERE location_id = %s", hub) == expected


def test_sensor_rows_repeat_without_doubling(db, at):
    call = (
        "SELECT record_sensor('mpu6050_accelerometer', ARRAY['hub'], ARRAY[%s::timestamptz], ARRAY[NULL::text], "
        "ARRAY[0.1], ARRAY[0.2], ARRAY[9.8], ARRAY[30.0])"
    )
    assert [db.one(call, at(0)), db.one(call, at(0))] == [1, 0]
    assert (
        db.one(
            "SELECT record_sensor('mpu6050_gyroscope', ARRAY['hub'], ARRAY[%s::timestamptz], ARRAY[NULL::text], "
            "ARRAY[0.1], ARRAY[0.2], ARRAY[0.3])",
            at(0),
        )
        == 1
    )
    assert (
        db.one(
            "SELECT record_sensor('max6675_temperature', ARRAY['hub'], ARRAY[%s::timestamptz], ARRAY[NULL::text], "
            "ARRAY['nan'::float8])",
            at(0),
        )
        == 0
    )
    assert "unknown kind" in db.refused(
        "SELECT record_sensor('sonar', ARRAY['hub'], ARRAY[%s::timestamptz], ARRAY[NULL::text], ARRAY[1.0])", at(0)
    )
    env = (
        "SELECT record_environment(ARRAY['hall'], ARRAY[%s::timestamptz], ARRAY[NULL::text], ARRAY[%s::float8], "
        "ARRAY[%s::float8], ARRAY[NULL::float8], ARRAY['dht22'])"
    )
    db.one(env, at(0), 21.5, None)
    db.one(env, at(0), None, 40.0)
    assert db.one("SELECT temperature_c, humidity_pct FROM environment_data WHERE location_id = 'hall'") == (21.5, 40.0)
    plug = (
        "SELECT record_smartplug(ARRAY['m'], ARRAY[%s::timestamptz], ARRAY[122.0], ARRAY[0.904], ARRAY[243.0], "
        "ARRAY[0.521], ARRAY[0.97], ARRAY[126.0], ARRAY[33.0])"
    )
    assert [db.one(plug, at(0)), db.one(plug, at(0))] == [1, 0]
    db.device("predicted")
    predict = (
        "SELECT record_predictions(ARRAY['predicted', 'nobody'], ARRAY[%s, %s]::timestamptz[], ARRAY[100.0, 1.0], "
        "ARRAY['v1', 'v1'])"
    )
    assert db.one(predict, at(0), at(0)) == 1
