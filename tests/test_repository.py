"""What must be true of the repository itself, so that it can be given away: nothing private in it, nothing undocumented."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOWS = ROOT / "nodered" / "flows"
LOCKS = ["requirements/runtime.txt", "requirements/test.txt", "tests/support/octoprint-requirements.txt", "nodered/package-lock.json"]
# Node types that belong to the editor and not to a flow of messages.
CONFIGURATION = {"tab", "subflow", "group", "comment"}


def tracked() -> dict[str, bytes]:
    """Every file of the checkout that git would ship."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
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
        assert [path for path, p in packages.items() if path and not (p.get("integrity") or p.get("link") or p.get("inBundle"))] == []


def test_no_path_of_a_machine():
    """Nothing points into somebody's home or working directory; `/home/pi` is where every Moonraker lives."""
    home = re.compile(r"(?<![\w.])/(root|work|home/(?!pi/)[a-z]\w*|Users/\w+|opt/wheels)/")
    found = {name: home.search(text)[0] for name, text in TEXTS.items() if name != "tests/test_repository.py" and home.search(text)}
    assert not found


def test_no_secret():
    """No private key, no token of a known form, no password with a value."""
    patterns = re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bglpat-[\w-]{20}\b|\bxox[abp]-[\w-]{10,}"
        r"|^ENMS_\w*(PASSWORD|SECRET_KEY)=(?!\s*$|\s*#)\S{6,}", re.M)
    found = {name: patterns.search(text)[0][:40] for name, text in TEXTS.items() if name != "tests/test_repository.py" and patterns.search(text)}
    assert not found


def test_no_big_and_no_generated_file():
    """Nobody commits a run directory, a cache or a dump."""
    assert not [name for name in FILES if re.search(r"(^|/)(\.run|node_modules|__pycache__|\.hypothesis)(/|$)|\.(pyc|log|sqlite3?)$", name)]
    assert {name: len(body) for name, body in FILES.items() if len(body) > 2_000_000} == {}


def test_every_variable_is_documented():
    """Whatever reads an ENMS_ variable, `.env.example` says what it is; and it documents nothing that nobody reads."""
    example = set(re.findall(r"^#?\s?(ENMS_[A-Z0-9_]+)=", TEXTS[".env.example"], re.M)) | set(re.findall(r"\bENMS_[A-Z0-9_]+", TEXTS[".env.example"]))
    used = set()
    for name, text in TEXTS.items():
        if name.endswith((".py", ".js", ".conf", ".acl", ".yml", ".sh")) or name in ("enms",) or name.endswith("Dockerfile"):
            if ("tests/" not in name or "tests/bench/" in name) and ".test." not in name:
                used |= set(re.findall(r"\bENMS_[A-Z0-9_]+[A-Z0-9]\b", text)) - {"ENMS_NAME"}
    prefixes = {"ENMS_DB", "ENMS_MQTT", "ENMS_NGINX"}
    rendered = {v for v in used if v.startswith(("ENMS_NGINX_", "ENMS_MQTT_LISTEN", "ENMS_MQTT_DATA_DIR", "ENMS_MQTT_CONFIG_DIR", "ENMS_MQTT_UNIX_USER"))}
    internal = rendered | {v for v in used if v.endswith("_UPSTREAM")} | {"ENMS_FRONTEND_DIR"} | prefixes
    assert used - internal - example == set()
    assert example - used == set()


# ---------------------------------------------------------------------- flows

def flow_files() -> list[Path]:
    return sorted(FLOWS.rglob("*.json"))


def nodes() -> list[dict]:
    """All nodes of all stored flows."""
    found = []
    for path in flow_files():
        content = json.loads(path.read_text())
        found += content if isinstance(content, list) else content.get("nodes", content.get("flows", []))
    return found


def test_the_tabs_are_those_of_the_specification():
    """Tabs and subflows by their names."""
    names = {n.get("label") or n.get("name") for n in nodes() if n["type"] in ("tab", "subflow")}
    assert names >= {"Master Ingestion", "Ingest Shelly MQTT", "Ingest Tasmota", "ESP Sensors", "Job Energy", "Final Energy", "Devices API", "Housekeeping"}


def test_every_node_has_a_name():
    """Also groups and links; a label counts."""
    assert [n["id"] + " " + n["type"] for n in nodes() if not (n.get("name") or n.get("label") or n.get("info"))] == []


def test_every_tab_says_what_it_does_and_catches_its_errors():
    """A comment and a catch node on each tab, and every message node in a group."""
    every = nodes()
    for tab in [n for n in every if n["type"] == "tab"]:
        inside = [n for n in every if n.get("z") == tab["id"]]
        kinds = {n["type"] for n in inside}
        assert {"comment", "catch", "group"} <= kinds, tab["label"]
        assert any(len(n.get("info", "") or n.get("name", "")) > 40 for n in inside if n["type"] == "comment"), tab["label"]
        assert [n["name"] for n in inside if n["type"] not in CONFIGURATION and not n.get("g")] == [], tab["label"]


def test_nothing_is_unconnected():
    """Every node that sends is wired, every node that receives is reached."""
    every = nodes()
    reached = {target for n in every for port in n.get("wires", []) for target in port}
    reached |= {target["id"] for n in every if n["type"] == "subflow" for port in n.get("in", []) for target in port.get("wires", [])}
    reached |= {target for n in every if n["type"].startswith("link") for target in n.get("links", [])}
    sources = CONFIGURATION | {"inject", "catch", "status", "complete", "http in", "link in", "mqtt-ingest", "websocket in"}
    alone = [f"{n['type']} {n.get('name')}" for n in every
             if n.get("z") and n["type"] not in sources and not n["type"].startswith("subflow:") and "wires" in n and n["id"] not in reached]
    assert alone == []
    ids = {n["id"] for n in every}
    assert {target for target in reached if target not in ids} == set()


def test_flows_hold_no_credentials_and_no_hosts():
    """Only environment variables."""
    text = "\n".join(path.read_text() for path in flow_files())
    assert not re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b|localhost|https?://(?!\$\{)(?!nodered\.org)[a-z0-9.]+", text)
    assert not re.search(r'"(password|apikey|api_key|secret|token|credentials)"\s*:\s*"[^"$]+"', text, re.I)


def test_function_nodes_call_the_library():
    """Logic lives in nodered/lib with its tests: a function node has a few lines."""
    long = {n["name"]: n["func"].count("\n") + 1 for n in nodes() if n["type"] == "function" and n["func"].count("\n") + 1 > 12}
    assert long == {}


def test_nrlint_passes():
    """The linter of Node-RED over the flows as Node-RED would load them."""
    modules = Path(os.environ["NODE_PATH"])
    nrlint = modules / "nrlint" / "bin" / "nrlint.js"
    if not nrlint.exists():
        pytest.fail(f"nrlint is not among the npm packages ({nrlint.parent.parent})")
    merged = Path(os.environ["ENMS_RUN_DIR"]) / "flows-to-lint.json"
    merged.write_text(json.dumps(nodes()))
    config = ROOT / "nodered" / ".nrlintrc.js"
    done = subprocess.run([os.environ["ENMS_NODE"], nrlint, *(["--config", config] if config.exists() else []), merged], text=True, capture_output=True, timeout=60)
    assert done.returncode == 0 and "error" not in done.stdout.lower().replace("0 errors", ""), done.stdout[-4000:] + done.stderr[-2000:]
