"""`backup` and `restore`: the launcher's side, which stops and starts the stack; the package `backup` does the work."""

import argparse
import os

from backup import archive
from common import files
from common.errors import EnmsError

from . import install, modules, services, settings, up

# What a restore needs: the database, and the broker, which keeps for Node-RED what plugs report meanwhile.
PARTS = ("postgres", "mosquitto")


def backup(arguments: argparse.Namespace) -> int:
    """Makes one archive of the running stack."""
    where = settings.paths()
    env = settings.recorded(where)
    if not up.running(where):
        raise EnmsError("The stack does not run, so its database can't be read.", "./enms up, then again.")
    return modules.run(env, "backup", "write", arguments.file, *(["--with-secrets"] if arguments.with_secrets else []))


def restore(arguments: argparse.Namespace) -> int:
    """Puts an archive in place of what the stack has, and starts it again."""
    path = os.path.abspath(arguments.file)
    manifest = archive.verify(path)
    archive.refuse_newer(path, manifest["migrations"], manifest["version"])
    replace = ["--replace"] if arguments.replace else []
    where = settings.paths()
    settings.prepare_run_dir(where)
    steps = up.Steps()
    with up.exclusive(where):
        record = up.running(where)
        if record and modules.run(settings.recorded(where), "backup", "check", path, *replace):
            return 1
        # The database that is there, the new one next to it, and its dump.
        install.check_disk(where, 300 + (2 * manifest["database_bytes"] >> 20))
        up.stop(where, steps.say)
        env = up.prepare(where, steps)
        with up.launched(where, env, [services.BY_NAME[name] for name in PARTS], manifest["demo"], steps):
            code = modules.run(env, "backup", "restore", path, *replace)
        up.stop(where, steps.say)
        if code == 0:
            # The past of the demo fleet is what the archive has of it.
            files.write_json(where.demo_done, {"restored_from": path})
            up.start(where, manifest["demo"], steps)
        elif record:
            up.start(where, record["demo"], steps)
    return code
