"""The flows that operators edited: only what differs from the flows of the version is kept, so that a restore into a
newer version leaves that version's own flows in place.
"""

import hashlib
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from common import files as small_files
from common.files import ROOT

from . import archive

CHECKOUT = ROOT / "nodered/flows"
SEEDED = (
    ".seeded"  # in a folder other than CHECKOUT: {flow file: SHA-256 as it was shipped}, kept by nodered/storage.js
)
PREFIX = "flows/"


def folder(env: Mapping[str, str]) -> Path:
    """Where Node-RED reads and writes its flows: the checkout's own, unless ENMS_FLOWS_DIR says otherwise."""
    return Path(env.get("ENMS_FLOWS_DIR") or CHECKOUT).resolve()


def edited(env: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """(flow files that an operator made or changed, those that were removed), by name.

    Where that can't be found out, all count as changed.
    """
    place = folder(env)
    present = {path.name for path in place.glob("*.json")}
    if place == CHECKOUT:
        report = _git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", ".")
        changed = (
            present
            if report is None
            else {PurePosixPath(line[3:]).name for line in report.split("\0") if line.endswith(".json")}
        )
    else:
        seeded = small_files.read_json(place / SEEDED, {})
        changed = {
            name for name in present | set(seeded) if name not in present or seeded.get(name) != _digest(place / name)
        }
    return sorted(changed & present), sorted(changed - present)


def add(writer: archive.Writer, env: Mapping[str, str]) -> archive.SavedFlows:
    """Adds the changed ones to an archive; returns what the manifest needs of the flows."""
    changed, removed = edited(env)
    for name in changed:
        writer.add_file(PREFIX + name, folder(env) / name)
    return {"flows_removed": removed, "flows_whole": is_own(folder(env))}


def is_own(place: Path) -> bool:
    """True for a folder that somebody filled: it does not follow the versions."""
    return place != CHECKOUT and any(place.glob("*.json")) and not (place / SEEDED).exists()


def restore(
    path: str | Path, manifest: archive.Manifest, env: Mapping[str, str], say: Callable[[str, str], None]
) -> None:
    """Makes the flows those of the version with the archive's changes. What is replaced is kept aside: it may be
    somebody's work, too.
    """
    place = folder(env)
    place.mkdir(parents=True, exist_ok=True)
    aside = Path(env["ENMS_STATE_DIR"], time.strftime("replaced-flows-%Y%m%d-%H%M%S"))
    wanted = {
        name.removeprefix(PREFIX): archive.read(path, name) for name in manifest["members"] if name.startswith(PREFIX)
    }
    present = {path.name for path in place.glob("*.json")}
    whole = manifest["flows_whole"] and place != CHECKOUT
    removed = present - set(wanted) if whole else set(manifest["flows_removed"])
    now_changed, now_removed = edited(env)
    shipped_again = (set(now_changed) | set(now_removed)) - set(wanted) - removed
    written = {
        name for name, text in wanted.items() if not (place / name).exists() or (place / name).read_bytes() != text
    }
    for name in (written | removed | shipped_again) & present:
        aside.mkdir(parents=True, exist_ok=True)
        shutil.move(place / name, aside / name)
    for name in written:
        (place / name).write_bytes(wanted[name])
    if whole:
        (place / SEEDED).unlink(missing_ok=True)
    elif place == CHECKOUT:
        for name in shipped_again:
            _git("checkout", "-q", "HEAD", "--", name)
    else:
        # What is on record and not there stays away; what is not on record comes with the next start of Node-RED.
        seeded = small_files.read_json(place / SEEDED, {})
        kept = {name: digest for name, digest in seeded.items() if name not in shipped_again}
        small_files.write_json(place / SEEDED, {**kept, **dict.fromkeys(removed, "")})
    say(
        "flows",
        f"{len(wanted)} changed and {len(removed)} removed ones"
        + (f"; what was there is in {aside}" if aside.exists() else ""),
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git(*words: str) -> str | None:
    """What git prints in the flows' folder; None where that fails."""
    try:
        asked = subprocess.run(["git", *words], cwd=CHECKOUT, capture_output=True, text=True)
    except OSError:
        return None
    return asked.stdout if asked.returncode == 0 else None
