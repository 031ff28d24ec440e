"""What must be true of the repository itself, so that it can be published: nothing private, nothing undocumented."""

import ast
import json
import re
import subprocess

import pytest

from common.files import ROOT
from common.version import VERSION

LOCKS = [
    "requirements/runtime.txt",
    "requirements/test.txt",
    "tests/support/octoprint-requirements.txt",
    "package-lock.json",
    "nodered/package-lock.json",
    "frontend/package-lock.json",
]
# What each folder may import of the others; a folder is above all that it imports, so that there is no circle.
HOUSE = {
    "common": set(),
    "gcode": set(),
    "grafana": set(),
    "database": {"common"},
    "analysis": {"common"},
    "simulator": {"common"},
    "python-api": {"common"},
    "backup": {"common", "database"},
    "launcher": {"common", "backup", "analysis"},
}


def tracked() -> dict[str, bytes]:
    """Every file of the checkout that git would ship."""
    names = (
        subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
        )
        .stdout.decode()
        .split("\0")
    )
    return {name: (ROOT / name).read_bytes() for name in names if name and (ROOT / name).is_file()}


FILES = tracked()
TEXTS = {name: body.decode("utf-8", "replace") for name, body in FILES.items() if b"\0" not in body[:4096]}


def found(pattern: re.Pattern[str]) -> dict[str, str]:
    """{file: the beginning of what matches} of every text but this one."""
    matches = {name: pattern.search(text) for name, text in TEXTS.items() if name != "tests/test_repository.py"}
    return {name: match[0][:40] for name, match in matches.items() if match}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_files_name_no_registry(name):
    """They pin by hash and leave the choice of the registry to the machine."""
    text = TEXTS[name]
    assert not re.search(r"^--(index-url|extra-index-url|find-links|trusted-host)", text, re.M)
    assert '"resolved"' not in text
    if name.endswith(".txt"):
        pins = re.findall(r"^[a-z0-9][\w.\-\[\]]*==\S+", text, re.M | re.I)
        assert pins and text.count("--hash=sha256:") >= len(pins)
    else:
        packages = json.loads(text)["packages"]
        assert [
            path
            for path, p in packages.items()
            if path and not (p.get("integrity") or p.get("link") or p.get("inBundle"))
        ] == []


def test_no_path_of_a_machine():
    """Nothing points into a person's home or working directory; `/home/pi` is where every Moonraker lives."""
    home = re.compile(r"(?<![\w.])/(root|work|home/(?!pi/)[a-z]\w*|Users/\w+|opt/wheels)/")
    assert found(home) == {}


def test_no_secret():
    """No private key, no token of a known form, no password with a value."""
    patterns = re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
        r"|\bglpat-[\w-]{20}\b|\bxox[abp]-[\w-]{10,}"
        r"|^ENMS_\w*(PASSWORD|SECRET_KEY)=(?!\s*$|\s*#)\S{6,}",
        re.M,
    )
    assert found(patterns) == {}


def test_no_big_and_no_generated_file():
    """Nobody commits a run directory, a cache or a dump."""
    assert not [
        name
        for name in FILES
        if re.search(r"(^|/)(\.run|node_modules|__pycache__|\.hypothesis)(/|$)|\.(pyc|log|sqlite3?)$", name)
    ]
    assert {name: len(body) for name, body in FILES.items() if len(body) > 2_000_000} == {
        name: len(FILES[name]) for name in ("tests/upgrade/enms-0.1.0.zip",)
    }


@pytest.mark.parametrize("folder", HOUSE)
def test_no_folder_reaches_up_or_round(folder):
    """Imports between folders are those of HOUSE. Tests may use what they test, but no other folder's tests."""
    packages = {"enms_api" if name == "python-api" else name for name in HOUSE}
    own = "enms_api" if folder == "python-api" else folder
    for path in (ROOT / folder).rglob("*.py"):
        modules = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module)
        if "tests" in path.relative_to(ROOT).parts:
            assert not {name for name in modules if re.match(rf"(?!{own}\b)\w+\.tests\b", name)}, path
        else:
            assert {name.split(".")[0] for name in modules} & packages <= HOUSE[folder] | {own}, path


def test_one_version():
    """The packages of Node-RED and of the app carry the version of the Python parts, and the changelog knows it."""
    for name in ("nodered/package.json", "frontend/package.json"):
        assert json.loads(TEXTS[name])["version"] == VERSION, name
    assert re.search(rf"^## {re.escape(VERSION)}\b", TEXTS["CHANGELOG.md"], re.M)


def test_every_variable_is_documented():
    """`.env.example` describes every ENMS_ variable that something reads, and no other."""
    example = set(re.findall(r"^#?\s?(ENMS_[A-Z0-9_]+)=", TEXTS[".env.example"], re.M)) | set(
        re.findall(r"\bENMS_[A-Z0-9_]+", TEXTS[".env.example"])
    )
    used = set()
    for name, text in TEXTS.items():
        is_code = name == "enms" or name.endswith((".py", ".js", ".conf", ".acl", ".yml", ".sh", "Dockerfile"))
        is_test = ("tests/" in name and "tests/bench/" not in name) or ".test." in name
        if is_code and not is_test:
            used |= set(re.findall(r"\bENMS_[A-Z0-9_]+[A-Z0-9]\b", text)) - {"ENMS_NAME"}
    prefixes = {"ENMS_DB", "ENMS_MQTT", "ENMS_NGINX"}
    rendered = {
        v
        for v in used
        if v.startswith(
            ("ENMS_NGINX_", "ENMS_MQTT_LISTEN", "ENMS_MQTT_DATA_DIR", "ENMS_MQTT_CONFIG_DIR", "ENMS_MQTT_UNIX_USER")
        )
    }
    internal = rendered | {v for v in used if v.endswith("_UPSTREAM")} | {"ENMS_FRONTEND_DIR"} | prefixes
    assert used - internal - example == set()
    assert example - used == set()
