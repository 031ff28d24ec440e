"""`backup` and `restore`: the launcher's side, which stops and starts the stack; the package `backup` does the work."""

import os
import subprocess

from backup import archive
from common import files
from common.errors import EnmsError

from . import install, services, settings, up

# What a restore needs: the database, and the broker, which keeps for Node-RED what plugs report meanwhile.
PARTS = ("postgres", "mosquitto")


def backup(arguments):
    """Makes one archive of the running stack."""
    where = settings.paths()
    env = settings.recorded(where)
    if not up.running(where):
        raise EnmsError("The stack does not run, so its database can't be read.", "./enms up, then again.")
    return work(env, "write", arguments.file, *(["--with-secrets"] if arguments.with_secrets else []))


def restore(arguments):
    """Puts an archive in the place of what the stack holds, and starts it again."""
    path = os.path.abspath(arguments.file)
    manifest = archive.verify(path)
    archive.refuse_newer(path, manifest)
    replace = ["--replace"] if arguments.replace else []
    where = settings.paths()
    settings.prepare_run_dir(where)
    steps = up.Steps()
    with up.exclusive(where):
        record = up.running(where)
        if record and work(settings.recorded(where), "check", path, *replace):
            return 1
        # The database that is there, the new one beside it, and its dump.
        install.check_disk(where, 300 + (2 * manifest["database_bytes"] >> 20))
        up.stop(where, steps.say)
        env = up.prepare(where, steps)
        with up.launched(where, env, [services.BY_NAME[name] for name in PARTS], manifest["demo"], steps):
            code = work(env, "restore", path, *replace)
        up.stop(where, steps.say)
        if code == 0:
            # The past of the demo fleet is what the archive holds.
            files.write_json(where.demo_done, {"restored_from": path})
        if record or code == 0:
            up.start(where, manifest["demo"] if code == 0 else record["demo"], steps)
    return code


def work(env, *words):
    """Runs `python -m backup`; its messages go to the terminal."""
    return subprocess.run(
        [env["ENMS_PYTHON"], "-m", "backup", *words],
        env={**env, "PYTHONPATH": str(settings.ROOT), "PYTHONUNBUFFERED": "1"},
    ).returncode
