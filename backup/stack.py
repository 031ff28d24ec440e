"""A backup of a whole stack, and back: `write`, `check`, `restore`."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from common.errors import EnmsError
from common.version import of_checkout

from . import archive, database, files, flows, record

MB = 1 << 20
DUMP, REGISTRY, CREDENTIALS, CHECKS = "database.dump", "registry/devices.csv", "secrets/devices.csv", "checks.json"


def write(env: Mapping[str, str], path: str | Path, with_secrets: bool) -> None:
    """Makes one archive of the running stack. Raises EnmsError, psycopg2.Error or OSError."""
    began = time.monotonic()
    path = Path(path).absolute()
    if not path.parent.is_dir():
        raise EnmsError(f"There is no folder {path.parent}.", f"mkdir -p {path.parent}")
    source = database.dsn(env, "enms_owner")
    with database.snapshot(source) as snapshot:
        known = snapshot.describe()
        # Dumps are compressed, so half of the database is more than enough.
        refuse_full_disk(path.parent, known["database_bytes"] // 2 + files.size(env))
        with archive.Writer(path) as writer:
            with writer.member(DUMP) as member:
                snapshot.dump(source, member)
            with writer.member(REGISTRY) as member:
                snapshot.registry(member)
            if with_secrets:
                with writer.member(CREDENTIALS) as member:
                    snapshot.credentials(member)
            writer.add(CHECKS, json.dumps(snapshot.checks()).encode())
            files.add(writer, env, with_secrets)
            writer.finish(
                {
                    **known,
                    **flows.add(writer, env),
                    "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "version": of_checkout(),
                    "secrets": with_secrets,
                    "demo": files.has_demo(env),
                }
            )
    record.good(env, path, time.monotonic() - began)


def refuse_full_disk(folder: Path, needed: int) -> None:
    """Raises EnmsError when an archive of `needed` bytes might not fit."""
    free = shutil.disk_usage(folder).free
    if free < needed + 100 * MB:
        raise EnmsError(
            f"Only {free // MB} MB are free in {folder}; the backup may need {needed // MB + 100} MB.",
            "Free some space, or write it to another disk.",
        )


def check(env: Mapping[str, str], path: str | Path, replace: bool) -> archive.Manifest:
    """Verifies the archive and that it may be restored here; touches nothing. Returns its manifest, or raises
    EnmsError.
    """
    manifest = archive.verify(path)
    archive.refuse_newer(path, manifest["migrations"], manifest["version"])
    held = database.holds_data(env)
    if held and not replace:
        raise EnmsError(
            f"This stack holds {held}; a restore would replace them.",
            "If that is wanted: --replace (a backup of what is there first?)",
        )
    return manifest


def restore(env: Mapping[str, str], path: str | Path, replace: bool, say: Callable[[str, str], None]) -> None:
    """Restores the archive; the database first, which replaces the present one only when all of it is right.

    Raises EnmsError, psycopg2.Error or OSError.
    """
    manifest = check(env, path, replace)
    database.refuse_running_services(env)
    say("verified", f"{len(manifest['members'])} parts, made at {manifest['made_at']} by version {manifest['version']}")
    checks = json.loads(archive.read(path, CHECKS))
    for left in files.state_of(env).glob("restore-*"):  # of a restore that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix="restore-", dir=files.state_of(env)) as place:
        parts = {
            name: Path(place, name.replace("/", "-"))
            for name in (DUMP, REGISTRY, CREDENTIALS)
            if name in manifest["members"]
        }
        for name, part in parts.items():
            archive.extract(path, name, part)
        with open(parts[REGISTRY], "rb") as registry, open(parts.get(CREDENTIALS, os.devnull), "rb") as credentials:
            database.restore(
                env, manifest, parts[DUMP], registry, credentials if manifest["secrets"] else None, checks, say
            )
    say("database", "restored")
    flows.restore(path, manifest, env, say)
    files.restore(path, manifest, env, say)
    files.restore_secrets(path, manifest, env, say)
