"""When a backup is due, what is kept, and which flows count as edited."""

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backup import archive, flows, schedule

BERLIN = ZoneInfo("Europe/Berlin")


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "now, last, due",
    [
        ("2026-01-10T12:00", None, True),  # the first one
        ("2026-01-10T01:59", "2026-01-09T02:00", False),  # 3:00 in Berlin is 2:00 UTC
        ("2026-01-10T02:00", "2026-01-09T02:00", True),
        ("2026-01-10T09:00", "2026-01-10T02:01", False),
        ("2026-01-10T09:00", "2026-01-08T02:01", True),  # the machine was off at night
        ("2026-07-10T01:00", "2026-07-09T01:00", True),  # in summer 3:00 is 1:00 UTC
        ("2026-07-10T00:59", "2026-07-09T01:00", False),
        ("2026-03-29T01:30", "2026-03-28T02:00", True),  # the night on which clocks go forward
        ("2026-10-25T02:00", "2026-10-24T01:00", True),  # … and back
    ],
)
def test_due(now, last, due):
    assert schedule.is_due(utc(now), utc(last) if last else None, 3, BERLIN) is due


def test_old_ones_go_and_the_newest_stays(tmp_path):
    now = utc("2026-03-01T03:00")
    for days in (0, 1, 29, 30, 31, 400):
        (tmp_path / (now - timedelta(days=days)).strftime(schedule.NAME)).write_text("")
    (tmp_path / "before-the-move.zip").write_text("")  # somebody's own
    assert [path.name for path in schedule.expired(tmp_path, now, 30)] == [
        "enms-20250125T030000Z.zip",
        "enms-20260129T030000Z.zip",
    ]
    later = now + timedelta(days=365)
    assert (tmp_path / now.strftime(schedule.NAME)) not in schedule.expired(tmp_path, later, 30)
    assert schedule.newest(tmp_path) == now


@pytest.fixture
def stack(tmp_path):
    """Flows in a folder of their own, as the containers have them: two as shipped, one edited, one removed, one new."""
    folder = tmp_path / "flows"
    folder.mkdir()
    seeded = {}
    for name in ("010-a.json", "020-b.json", "030-edited.json", "040-removed.json"):
        (folder / name).write_text(f'[{{"id": "{name}"}}]')
        seeded[name] = flows._digest(folder / name)
    (folder / flows.SEEDED).write_text(json.dumps(seeded))
    (folder / "030-edited.json").write_text("[1]")
    (folder / "040-removed.json").unlink()
    (folder / "050-new.json").write_text("[2]")
    (tmp_path / "state").mkdir()
    return {"ENMS_FLOWS_DIR": str(folder), "ENMS_STATE_DIR": str(tmp_path / "state")}


def saved_flows(env, path):
    with archive.Writer(path) as writer:
        writer.finish({"migrations": [], "version": "x", **flows.add(writer, env)})
    return archive.verify(path)


def test_edited_flows_come_back_and_the_versions_own_stay(stack, tmp_path):
    manifest = saved_flows(stack, tmp_path / "x.zip")
    assert set(manifest["members"]) == {"flows/030-edited.json", "flows/050-new.json"} and manifest[
        "flows_removed"
    ] == ["040-removed.json"]

    # Another stack, of a newer version, where somebody changed another flow meanwhile.
    folder = tmp_path / "flows"
    newer = {"010-a.json": "[10]", "020-b.json": "[20]", "030-edited.json": "[30]", "040-removed.json": "[40]"}
    (folder / "050-new.json").unlink()
    for name, text in newer.items():
        (folder / name).write_text(text)
    (folder / flows.SEEDED).write_text(json.dumps({name: flows._digest(folder / name) for name in newer}))
    (folder / "020-b.json").write_text("[mine]")
    said = []
    flows.restore(tmp_path / "x.zip", manifest, stack, lambda *words: said.append(words))
    assert {path.name: path.read_text() for path in folder.glob("*.json")} == {
        "010-a.json": "[10]",
        "030-edited.json": "[1]",
        "050-new.json": "[2]",
    }
    seeded = json.loads((folder / flows.SEEDED).read_text())
    assert "040-removed.json" in seeded and "020-b.json" not in seeded  # stays away; comes with the next start
    aside = next((tmp_path / "state").glob("replaced-flows-*"))
    assert (aside / "020-b.json").read_text() == "[mine]" and (aside / "030-edited.json").read_text() == "[30]"
    assert str(aside) in said[0][1]


def test_a_folder_of_somebodys_own_comes_back_whole(stack, tmp_path):
    """No record of what was shipped: it follows no version, before and after."""
    folder = tmp_path / "flows"
    (folder / flows.SEEDED).unlink()
    before = {path.name: path.read_text() for path in folder.iterdir()}
    manifest = saved_flows(stack, tmp_path / "x.zip")
    for path in folder.iterdir():
        path.unlink()
    (folder / "010-shipped.json").write_text("[]")
    (folder / flows.SEEDED).write_text(json.dumps({"010-shipped.json": flows._digest(folder / "010-shipped.json")}))
    flows.restore(tmp_path / "x.zip", manifest, stack, lambda *_: None)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


@pytest.mark.skipif(not shutil.which("git"), reason="git is not on this machine")
def test_edited_flows_of_a_checkout_are_what_git_says(tmp_path, monkeypatch):
    folder = tmp_path / "checkout" / "flows"
    folder.mkdir(parents=True)
    for name in ("010-a.json", "020-b.json", "030-c.json"):
        (folder / name).write_text("[]")
    git = lambda *words: subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=folder.parent, check=True, capture_output=True
    )
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "x")
    monkeypatch.setattr(flows, "CHECKOUT", folder)
    (tmp_path / "state").mkdir()
    env = {"ENMS_STATE_DIR": str(tmp_path / "state"), "ENMS_FLOWS_DIR": str(folder)}
    assert flows.edited(env) == ([], [])
    (folder / "010-a.json").write_text("[1]")
    (folder / "020-b.json").unlink()
    manifest = saved_flows(env, tmp_path / "x.zip")
    git("checkout", "-q", ".")
    (folder / "030-c.json").write_text("[later]")
    flows.restore(tmp_path / "x.zip", manifest, env, lambda *_: None)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"010-a.json": "[1]", "030-c.json": "[]"}
