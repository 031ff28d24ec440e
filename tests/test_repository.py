"""What must be true of the repository itself, so that it can be given away: nothing private in it, nothing undocumented."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from common.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
LOCKS = [
    "requirements/runtime.txt",
    "requirements/test.txt",
    "tests/support/octoprint-requirements.txt",
    "package-lock.json",
    "nodered/package-lock.json",
    "frontend/package-lock.json",
]
# What each folder may import of the others; a folder stands above all that it imports, so there is no circle.
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
    """Nothing points into somebody's home or working directory; `/home/pi` is where every Moonraker lives."""
    home = re.compile(r"(?<![\w.])/(root|work|home/(?!pi/)[a-z]\w*|Users/\w+|opt/wheels)/")
    found = {
        name: home.search(text)[0]
        for name, text in TEXTS.items()
        if name != "tests/test_repository.py" and home.search(text)
    }
    assert not found


def test_no_secret():
    """No private key, no token of a known form, no password with a value."""
    patterns = re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bglpat-[\w-]{20}\b|\bxox[abp]-[\w-]{10,}"
        r"|^ENMS_\w*(PASSWORD|SECRET_KEY)=(?!\s*$|\s*#)\S{6,}",
        re.M,
    )
    found = {
        name: patterns.search(text)[0][:40]
        for name, text in TEXTS.items()
        if name != "tests/test_repository.py" and patterns.search(text)
    }
    assert not found


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
    """Whatever reads an ENMS_ variable, `.env.example` says what it is; and it documents nothing that nobody reads."""
    example = set(re.findall(r"^#?\s?(ENMS_[A-Z0-9_]+)=", TEXTS[".env.example"], re.M)) | set(
        re.findall(r"\bENMS_[A-Z0-9_]+", TEXTS[".env.example"])
    )
    used = set()
    for name, text in TEXTS.items():
        if (
            name.endswith((".py", ".js", ".conf", ".acl", ".yml", ".sh"))
            or name in ("enms",)
            or name.endswith("Dockerfile")
        ):
            if ("tests/" not in name or "tests/bench/" in name) and ".test." not in name:
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
