"""An installation of 0.1.0 comes into this version with every figure as it was."""

import contextlib
import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from backup import archive, database, stack
from tests.plugin.database import SEED, Database

from . import figures

ARCHIVE = Path(__file__).with_name("enms-0.1.0.zip")
FACTS = json.loads(Path(__file__).with_name("facts.json").read_text())
# Windows of which this version says something else about coverage, and why: README.md. All of them are of electricity.
LATER = {
    ("PrusaMK4-1", "2026-10-31T22:13:07.500000Z", "2026-11-01T03:17:41Z"): {"coverage_s": 18221.0},
    ("Ender3-1", "2026-11-08T10:29:41Z", "2026-11-08T10:33:17Z"): {"coverage_s": 121.0},
    ("Boiler-1", "2026-11-03T00:00:00Z", "2026-11-03T00:00:20Z"): {"coverage_s": 5.0},
    ("Boiler-1", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"): {"coverage_s": 0.0},
    ("Ender3-1", "2026-11-01T00:00:00Z", "2026-11-15T00:00:00Z"): {"coverage_s": 1209405.0},
    ("Resin.MQTT_5", "2026-11-01T00:00:00Z", "2026-11-15T00:00:00Z"): {"coverage_s": 278080.0, "gap_s": 134071.0},
    ("Compressor-1", "2026-11-01T00:00:00Z", "2026-11-15T00:00:00Z"): {"coverage_s": 863700.0},
    ("Boiler-1", "2026-11-01T00:00:00Z", "2026-11-15T00:00:00Z"): {"coverage_s": 344700.0},
    ("Alt-MK3S", "2026-11-01T00:00:00Z", "2026-11-15T00:00:00Z"): {"coverage_s": 86100.0},
}


@pytest.fixture(scope="module")
def upgraded(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The archive's database, restored and brought up to date."""
    parts, place = psycopg2.extensions.parse_dsn(server), tmp_path_factory.mktemp("upgrade")
    env = {
        "ENMS_DB_HOST": parts["host"],
        "ENMS_DB_PORT": parts["port"],
        "ENMS_DB_NAME": f"upgrade_{uuid.uuid4().hex[:8]}",
        "ENMS_DB_SUPERUSER_PASSWORD": parts["password"],
        **SEED,
    }
    manifest = archive.verify(ARCHIVE)
    for name in (stack.DUMP, stack.REGISTRY):
        archive.extract(ARCHIVE, name, place / name.replace("/", "-"))
    checks = json.loads(archive.read(ARCHIVE, stack.CHECKS))
    with open(place / stack.REGISTRY.replace("/", "-"), "rb") as registry:
        database.restore(env, manifest, place / stack.DUMP, registry, None, checks, lambda *_: None)
    with contextlib.closing(Database(database.dsn(env, "postgres"))) as db:
        yield db
    with contextlib.closing(psycopg2.connect(server)) as admin:
        admin.autocommit = True
        database.drop(admin.cursor(), env["ENMS_DB_NAME"])


def same(found: Any, known: Any) -> None:
    """Compares figure by figure; floats by a billionth, because sums may be added in another order."""
    if isinstance(known, dict):
        assert found.keys() == known.keys()
        for key in known:
            same(found[key], known[key])
    else:
        assert found == (pytest.approx(known, rel=1e-9) if isinstance(known, float) else known)


def test_the_archive_holds_no_secret():
    assert not [name for name in archive.verify(ARCHIVE)["members"] if name.startswith("secrets/")]


def test_energy_of_each_day_and_of_all_hours(upgraded):
    same(figures.device_days(upgraded), FACTS["device_days"])
    same(figures.device_hours(upgraded), FACTS["device_hours"])


def test_what_each_meter_measured(upgraded):
    found = figures.meters(upgraded)
    same(found, {meter: {name: known[name] for name in found[meter]} for meter, known in FACTS["meters"].items()})
    same(figures.flags(upgraded), FACTS["quality"]["by_meter"])


def test_states(upgraded):
    begin, end = (datetime.fromisoformat(FACTS["about"][name]) for name in ("frozen_before", "end"))
    same(figures.state_seconds(upgraded, begin, end), FACTS["state_seconds"])


@pytest.mark.parametrize("asked", FACTS["device_energy"], ids=lambda asked: f"{asked['device']} {asked['from']}")
def test_energy_of_a_window(upgraded, asked):
    found = figures.energy(upgraded, asked)
    window = (asked["device"], asked["from"], asked["to"])
    later = LATER.get(window, {}) if asked["energy_type"] == "electricity" else {}
    same(found, {name: asked[name] for name in found} | later)


@pytest.mark.parametrize("asked", FACTS["device_cost"], ids=lambda asked: f"{asked['device']} {asked['from']}")
def test_cost_of_a_window(upgraded, asked):
    found = figures.cost(upgraded, asked)
    same(found, {name: asked[name] for name in found})


def test_days_stay_when_they_are_made_again(upgraded):
    """The two factories have zones of different names, so that all days are made again after the upgrade; also the one
    of which only rollups are left.
    """
    assert upgraded.one("SELECT count(*) FROM rollup_dirty WHERE step = 86400") > 10
    upgraded.one("SELECT refresh_rollups(100)")
    assert upgraded.one("SELECT count(*) FROM rollup_dirty") == 0
    same(figures.device_days(upgraded), FACTS["device_days"])
    same(figures.device_hours(upgraded), FACTS["device_hours"])
