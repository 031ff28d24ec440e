"""The archive file: whole or refused, and never a way to write outside."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup import archive
from common.errors import EnmsError
from common.files import ROOT

MANIFEST = {"migrations": ["0001_tables.sql"], "version": "0.1.0"}


@pytest.fixture
def saved(tmp_path):
    """A small archive: (path, {member: bytes})."""
    path = tmp_path / "good.zip"
    parts = {
        "database.dump": os.urandom(3_000_000),
        "registry/devices.csv": b"device_id\r\nA\r\n" * 500,
        "models/mk4 x/best_model.json": b"{}",
        "empty": b"",
    }
    with archive.Writer(path) as writer:
        for name, data in parts.items():
            writer.add(name, data)
        writer.finish(MANIFEST)
    return path, parts


def test_what_is_written_reads_the_same(saved, tmp_path):
    path, parts = saved
    manifest = archive.verify(path)
    assert manifest["members"].keys() == parts.keys() and manifest["version"] == "0.1.0"
    for name, data in parts.items():
        assert archive.read(path, name) == data
    archive.extract(path, "database.dump", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == parts["database.dump"]
    assert path.stat().st_mode & 0o077 == 0 and (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_nothing_of_that_name_until_it_is_whole(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(b"the backup of yesterday")
    with pytest.raises(OSError):
        with archive.Writer(path) as writer:
            writer.add("a", b"1")
            raise OSError("the disk is full")
    assert [file.name for file in tmp_path.iterdir()] == ["x.zip"] and path.read_bytes() == b"the backup of yesterday"


def test_two_writers_of_one_file(tmp_path):
    with archive.Writer(tmp_path / "x.zip"):
        with pytest.raises(EnmsError, match="Another backup is just being written"):
            archive.Writer(tmp_path / "x.zip").__enter__()
        archive.remove_leftovers(tmp_path)
        assert archive.partial_of(tmp_path / "x.zip").exists()


def test_what_a_killed_backup_left_is_removed(tmp_path):
    script = (
        "import os, sys\nfrom backup import archive\n"
        "archive.Writer(sys.argv[1]).__enter__().add('a', b'1')\nos._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "x.zip")], cwd=ROOT)
    assert archive.partial_of(tmp_path / "x.zip").exists()
    archive.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cut_file_is_refused_wherever_it_was_cut(saved):
    path, _ = saved
    whole = path.read_bytes()
    for length in (5, 1000, 1_500_000, 3_000_500, len(whole) - 200, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(EnmsError, match="is damaged: it was cut, its end is missing"):
            archive.verify(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused_or_without_effect(saved, place, bit):
    """Some bits of the container mean nothing (dates, attributes); all others are noticed, and what is read is what was
    written.
    """
    path, parts = saved
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[int(place * len(whole))] ^= 1 << bit
    path.write_bytes(spoilt)
    try:
        archive.verify(path)
        assert {name: archive.read(path, name) for name in parts} == parts
    except EnmsError as error:
        assert "damaged" in str(error) or "not a backup" in str(error) or "no backup to trust" in str(error)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "content, sentence",
    [(b"", "is not a backup of ENMS"), (b"%PDF-1.4 something", "is not a backup of ENMS"), (None, "There is no file")],
)
def test_another_file_is_refused(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "other").write_bytes(content)
    with pytest.raises(EnmsError, match=sentence):
        archive.verify(tmp_path / "other")


def test_another_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as other:
        other.writestr("holiday.jpg", b"1")
    with pytest.raises(EnmsError, match="is a ZIP file, but not a backup"):
        archive.verify(tmp_path / "x.zip")


def forged(path, names, **more):
    """An archive with a right seal and these members."""
    members = {name: {"bytes": 1, "sha256": hashlib.sha256(b"1").hexdigest()} for name in names}
    text = json.dumps({"format": 1, **MANIFEST, "members": members, **more}).encode()
    with zipfile.ZipFile(path, "w") as archive_file:
        for name in names:
            archive_file.writestr(name, b"1")
        archive_file.writestr(archive.MANIFEST, text)
        archive_file.writestr(archive.SEAL, hashlib.sha256(text).hexdigest())


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/cron.d/evil", "models/../../evil", "models//x", "..", "a\\..\\b", "./x"]
)
def test_a_member_that_would_leave_its_folder_is_refused(tmp_path, name):
    forged(tmp_path / "x.zip", ["database.dump", name])
    with pytest.raises(EnmsError, match="would be written outside"):
        archive.verify(tmp_path / "x.zip")
    assert [file.name for file in tmp_path.iterdir()] == ["x.zip"]


def test_members_without_an_entry_in_the_manifest_are_refused(tmp_path):
    forged(tmp_path / "x.zip", ["database.dump"])
    with zipfile.ZipFile(tmp_path / "x.zip", "a") as more:
        more.writestr("models/unlisted.joblib", b"1")
    with pytest.raises(EnmsError, match="manifest and content differ"):
        archive.verify(tmp_path / "x.zip")


def test_a_newer_format_and_a_newer_schema_are_refused(tmp_path):
    forged(tmp_path / "x.zip", ["database.dump"], format=2)
    with pytest.raises(EnmsError, match="newer version of ENMS"):
        archive.verify(tmp_path / "x.zip")
    with pytest.raises(EnmsError, match="0099_future.sql, which this version"):
        archive.refuse_newer("x.zip", ["0001_tables.sql", "0099_future.sql"], "0.1.0")
    archive.refuse_newer("x.zip", ["0001_tables.sql"], "0.1.0")
