"""The other files of a stack that belong to a backup: the editor's library, models, pictures of prints, the demo
fleet's state, secrets.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from common import files

from . import archive

SECRETS = "secrets/settings.json"
# Typed into plugs and browsers, or the key of what is encrypted; the new stack has its own other passwords.
KEPT_SECRETS = ("ENMS_MQTT_DEVICE_PASSWORD", "ENMS_EDITOR_PASSWORD", "ENMS_SECRET_KEY")
# What operators typed into nodes; Node-RED encrypts it with ENMS_SECRET_KEY.
FLOW_CREDENTIALS = "secrets/flow-credentials.json"
# The counters of the emulated meters, so that they continue where they were.
SIMULATOR = "demo/simulator.json"


def state_of(env: Mapping[str, str]) -> Path:
    """The state folder of a stack."""
    return Path(env["ENMS_STATE_DIR"])


def folders(env: Mapping[str, str]) -> dict[str, Path]:
    """{member prefix: folder} of what is kept and replaced as a whole."""
    state = state_of(env)
    return {"models": state / "models", "pictures": state / "gcode/public", "library": state / "nodered/lib"}


def single_files(env: Mapping[str, str]) -> dict[str, Path]:
    """{member: file} of single files that may be there."""
    state = state_of(env)
    return {SIMULATOR: state / "simulator/state.json", FLOW_CREDENTIALS: state / "nodered/credentials.json"}


def has_demo(env: Mapping[str, str]) -> bool:
    """True when the stack runs the emulated fleet (natively; in the containers that is a profile)."""
    return files.read_json(Path(env["ENMS_RUN_DIR"], "plan.json"), {}).get("demo", False)


def contents(folder: Path) -> list[Path]:
    """Files below a folder, relative; none when it isn't there. Half-written ones are left out."""
    return sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and not path.name.endswith((".part", ".new"))
    )


def add(writer: archive.Writer, env: Mapping[str, str], with_secrets: bool) -> None:
    """Adds the files to an archive."""
    for prefix, folder in folders(env).items():
        for name in contents(folder):
            try:
                writer.add_file(f"{prefix}/{name.as_posix()}", folder / name)
            except FileNotFoundError:
                continue  # an old picture that was cleaned away just now
    wanted = {SIMULATOR: has_demo(env), FLOW_CREDENTIALS: with_secrets}
    for member, path in single_files(env).items():
        if path.exists() and wanted[member]:
            writer.add_file(member, path)
    if with_secrets:
        writer.add(SECRETS, json.dumps({name: env[name] for name in KEPT_SECRETS if env.get(name)}, indent=1).encode())


def size(env: Mapping[str, str]) -> int:
    """Bytes of the folders."""
    return sum((folder / name).stat().st_size for folder in folders(env).values() for name in contents(folder))


def restore(
    path: str | Path, manifest: archive.Manifest, env: Mapping[str, str], say: Callable[[str, str], None]
) -> None:
    """Puts the files of an archive in their places; folders are afterwards as they were saved."""
    members = manifest["members"]
    for prefix, folder in folders(env).items():
        wanted = {PurePosixPath(name).relative_to(prefix) for name in members if name.startswith(prefix + "/")}
        for name in contents(folder):
            if PurePosixPath(name) not in wanted:
                (folder / name).unlink()
        for name in sorted(wanted):
            _place(path, f"{prefix}/{name}", folder / name, 0o644)
        say(prefix, f"{len(wanted)} files")
    for member, target in single_files(env).items():
        if member in members:
            _place(path, member, target, 0o600)


def _place(path: str | Path, member: str, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    archive.extract(path, member, part)
    os.chmod(part, mode)
    os.replace(part, target)


def restore_secrets(
    path: str | Path, manifest: archive.Manifest, env: Mapping[str, str], say: Callable[[str, str], None]
) -> None:
    """Gives the settings' secrets of an archive to the launcher; in the containers, whose secrets are in .env, a person
    must.
    """
    if SECRETS not in manifest["members"]:
        return
    values = json.loads(archive.read(path, SECRETS))
    kept = Path(env["ENMS_RUN_DIR"], "secrets.json")
    known = files.read_json(kept)
    if known is None:
        say(
            "secrets",
            f"put these into .env and start again: {', '.join(values)} (unzip -p {path} {SECRETS} shows them)",
        )
    else:
        files.write_json(kept, {**known, **values}, 0o600)
        say("secrets", f"{', '.join(values)} are those of the backup")
