"""A reader sees the factories of its scope: in the registry, and of the series what the registry leads to."""

import contextlib
import json
import uuid
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

READERS = ("enms_api", "enms_grafana")
GUARDED = (
    "locations",
    "factories",
    "devices",
    "energy_tariffs",
    "meter_assignments",
    "device_latest",
    "print_jobs",
    "signals",
    "meters",
    "meter_state",
    "virtual_meter_parts",
    "meter_replacements",
    "meter_factors",
    "meter_corrections",
)


@contextlib.contextmanager
def reading(db, scope, role="enms_api"):
    """A transaction of a reader with that scope, None for none."""
    db.all(f"RESET enms.factories; SET ROLE {role}; BEGIN")
    try:
        if scope is not None:
            db.one("SELECT set_config('enms.factories', %s, true)", scope)
        yield
    finally:
        db.all("ROLLBACK; RESET ROLE")


@pytest.fixture
def plants(db):
    """Two factories: {slug: (id, device, meter)}, each device with 10 Wh, a print, a signal and a factor."""
    now, found = datetime.now(UTC).replace(microsecond=0), {}
    for place, zone in (("a", "Asia/Tokyo"), ("b", "Europe/Berlin")):
        slug = f"{place}-{uuid.uuid4().hex[:8]}"
        factory = db.factory(slug, zone)
        db.device(slug, factory_id=factory, source="octoprint", api_ip="127.0.0.1:1", api_key="k")
        meter = db.meter(device=slug)
        db.ingest(meter, [(now - timedelta(minutes=11 - i), 100.0 + i, 60.0) for i in range(11)])
        db.one("SELECT virtual_meter_save(%s, jsonb_build_object(%s, 1), 'test')", f"{slug}/v", meter)
        db.one("SELECT meter_assign(%s, %s, 'sub', NULL, 'test')", f"{slug}/v", slug)
        db.one("SELECT meter_factor_save(%s, %s, 1, 'test')", meter, now - timedelta(minutes=1))
        db.all(
            "INSERT INTO energy_tariffs (factory_id, name, price_per_kwh, currency) VALUES (%s, 'flat', 1, 'EUR')",
            factory,
        )
        db.all(
            "INSERT INTO print_jobs (device_id, filename, start_time, status) VALUES (%s, 'x', now(), 'printing')", slug
        )
        db.all("INSERT INTO signals (device_id, signal_id, name) VALUES (%s, 1, 'x')", slug)
        climate = [
            {
                "timestamp": now.isoformat(),
                "location_id": name,
                "device_id": device,
                "indoor_temp_c": 21,
                "source": "test",
            }
            for name, device in ((slug, slug), (f"hall-{slug}", None))
        ]
        assert db.one("SELECT record_environmental(%s)", json.dumps(climate))
        found[place] = (factory, slug, meter)
    return found


def views(db):
    return [
        name
        for (name,) in db.all(
            "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace "
            "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = oid AND d.deptype = 'e')"
        )
    ]


@pytest.mark.parametrize("role", READERS)
def test_without_a_scope_nothing_is_seen(db, plants, role):
    for scope in (None, "", str(uuid.uuid4())):
        with reading(db, scope, role):
            for relation in (*GUARDED, "ingest_rejects", "sensors", "rollup_dirty", *views(db)):
                assert db.one(f"SELECT count(*) FROM {relation}") == 0, (relation, scope)


@pytest.mark.parametrize("role", READERS)
def test_a_scope_sees_its_own(db, plants, role):
    for place, other in (("a", "b"), ("b", "a")):
        factory, device, meter = plants[place]
        with reading(db, factory, role):
            assert db.all("SELECT device_id FROM devices") == [(device,)]
            assert {name for (name,) in db.all("SELECT meter_id FROM meters")} == {meter, f"{device}/v"}
            for relation in GUARDED:
                assert db.one(f"SELECT count(*) FROM {relation}") in (0, 1, 2), relation
            assert db.all("SELECT DISTINCT device_id FROM energy_data WHERE device_id IS NOT NULL") == [(device,)]
            assert db.all("SELECT DISTINCT device_id FROM energy_readings_1min") == [(device,)]
            assert db.all("SELECT location_id FROM environment_data") == [(device,)], "a room is nobody's"
            whole = "SELECT device_energy(%s, now() - interval '1 hour', now())"
            assert db.one(whole, device) == pytest.approx(10) and db.one(whole, plants[other][1]) is None
            cost = "SELECT cost FROM device_energy_cost(%s, now() - interval '1 hour', now())"
            assert db.one(cost, device) == pytest.approx(0.01) and db.one(cost, plants[other][1]) is None
            assert db.one("SELECT energy_between(%s, now() - interval '1 hour', now())", plants[other][2]) is None
    both = ",".join(plants[place][0] for place in plants)
    with reading(db, both, role):
        assert db.one("SELECT count(*) FROM devices") == 2
    with reading(db, "*", role):
        assert db.one("SELECT count(*) FROM devices") >= 2


def test_a_scope_that_is_none_is_an_error_and_not_everything(db, plants):
    for scope in ("x", "* ", "*,*", "'; SET ROLE postgres"):
        with reading(db, scope), pytest.raises(psycopg2.errors.InvalidTextRepresentation):
            db.one("SELECT count(*) FROM devices")


def test_ingest_sees_and_writes_everything(db, plants):
    db.all("SET ROLE enms_ingest")
    try:
        assert db.one("SELECT count(*) FROM devices WHERE device_id = ANY (%s)", [p[1] for p in plants.values()]) == 2
        db.device(plants["a"][1], notes="written")
    finally:
        db.all("RESET ROLE")


def test_every_table_that_names_a_factory_or_a_device_is_guarded(db):
    """Also one that is made later: its columns say whose rows they are."""
    open_to_all = db.all(
        """SELECT DISTINCT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relrowsecurity
             AND a.attname IN ('factory_id', 'device_id', 'meter_id')
             AND has_any_column_privilege('enms_api', c.oid, 'SELECT')"""
    )
    assert open_to_all == []
    assert (
        db.all(
            "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace "
            "AND NOT coalesce('security_invoker=true' = ANY (reloptions), false) "
            "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = oid AND d.deptype = 'e')"
        )
        == []
    )
