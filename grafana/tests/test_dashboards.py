"""The committed files: as the generator makes them, of Grafana's types, consistent with each other and with the app."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from grafana.__main__ import files

from .test_queries import BOARDS, HERE, PANELS, RULES, panels

ROOT = HERE.parent
SCHEMA = Path(__file__).parent / "schema"
BY_UID = {board["uid"]: board for board in BOARDS.values()}


def test_files_are_what_the_generator_makes():
    """Change the code, run `python -m grafana`, commit both."""
    made = files()
    assert {name: (HERE / name).read_text() for name in made} == made
    assert {f"dashboards/{path.name}" for path in (HERE / "dashboards").iterdir()} == {
        name for name in made if name.startswith("dashboards/")
    }


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """check({name: dashboard}) -> the type checker's complaints, '' when there are none."""
    modules = HERE.parent / "node_modules"
    place = tmp_path_factory.mktemp("types")
    (place / "node_modules").symlink_to(modules)
    (place / "checked.ts").write_text((SCHEMA / "checked.ts").read_text())

    def complaints(boards):
        for name, board in boards.items():
            (place / f"{name}.ts").write_text(
                f"import type {{ Checked }} from './checked';\nexport const board: Checked = {json.dumps(board)};\n"
            )
        done = subprocess.run(
            [
                os.environ["ENMS_NODE"],
                str(modules / "typescript/bin/tsc"),
                "--noEmit",
                "--strict",
                "--skipLibCheck",
                "--module",
                "esnext",
                "--moduleResolution",
                "bundler",
                "--types",
                "",
                *(f"{name}.ts" for name in boards),
            ],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.stdout + done.stderr

    return complaints


def test_dashboards_are_of_the_published_types(check):
    assert check(BOARDS) == ""


@pytest.mark.parametrize(
    "right, wrong",
    [
        ('"graphMode"', '"grafMode"'),
        ('"drawStyle": "bars"', '"drawStyle": "bar"'),
        ('"custom.width"', '"custom.widht"'),
        ('"unit"', '"units"'),
    ],
)
def test_the_types_are_strict(check, right, wrong):
    """A name or a value that Grafana would overlook is found."""
    text = json.dumps(BOARDS["fleet"])
    assert right in text and "error TS" in check({"wrong": json.loads(text.replace(right, wrong, 1))})


def test_the_types_are_those_of_the_image():
    image = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["image"]
    packages = json.loads((HERE.parent / "package.json").read_text())["devDependencies"]
    assert image.split(":")[1] == packages["@grafana/schema"]


@pytest.mark.parametrize("name", BOARDS)
def test_layout(name):
    """Numbers are unique, panels lie within the grid and on no other, and each says what its numbers mean."""
    board = BOARDS[name]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    for panel in panels(board):
        assert len(panel["description"]) > 10 and panel["title"], panel["title"]
    assert board["panels"][1]["type"] == "stat", "numbers first"


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_is_used(name):
    board = BOARDS[name]
    text = " ".join(
        [panel["targets"][0]["rawSql"] for panel in panels(board)]
        + [variable["query"] for variable in board["templating"]["list"]]
    )
    assert {variable["name"] for variable in board["templating"]["list"]} == set(
        re.findall(r"\$\{(\w+):sqlstring\}", text)
    )


@pytest.mark.parametrize("board, panel", PANELS)
def test_charts_follow_the_range(board, panel):
    if panel["type"] in ("timeseries", "state-timeline", "barchart", "piechart", "histogram", "xychart", "bargauge"):
        assert re.search(r"\$__time(Filter|From|To)\(", panel["targets"][0]["rawSql"])


def links():
    """{(dashboard, address)} of every address that a dashboard leads to."""
    return {
        (name, json.loads(f'"{url}"'))
        for name, board in BOARDS.items()
        for url in re.findall(r'"url": "((?:[^"\\]|\\.)*)"', json.dumps(board))
    }


@pytest.mark.parametrize("url", [pytest.param(url, id=f"{name} {url[:60]}") for name, url in sorted(links())])
def test_links_lead_somewhere(url):
    """To a dashboard and its variables, to a view of the app and the parameters that it reads, or to the editor."""
    if found := re.match(r"/d/([\w-]+)/\w+\?(.*)", url):
        known = {variable["name"] for variable in BY_UID[found[1]]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", found[2])) <= known
    elif found := re.match(r"(?:\.\./)+#/(\w+)(?:\?(.*))?$", url):
        routes = (ROOT / "frontend/src/shell/routes.js").read_text()
        assert re.search(rf"^  {found[1]}: ", routes, re.M)
        pages = "\n".join(path.read_text() for path in (ROOT / "frontend/src").rglob("*.js"))
        for parameter in re.findall(r"(?:^|&)(\w+)=", found[2] or ""):
            assert f"get('{parameter}')" in pages
    else:
        assert re.fullmatch(r"(?:\.\./)+nodered/", url)


def test_the_link_of_an_analysis_leads_to_the_machines_dashboard():
    from analysis.report import GRAFANA_DASHBOARD

    [uid] = re.findall(r"/grafana/d/([\w-]+)/", GRAFANA_DASHBOARD)
    assert set(re.findall(r"var-(\w+)=", GRAFANA_DASHBOARD)) <= {
        variable["name"] for variable in BY_UID[uid]["templating"]["list"]
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_alert_rules_point_at_panels(rule):
    panel = next(panel for panel in BY_UID[rule["dashboardUid"]]["panels"] if panel["id"] == rule["panelId"])
    assert panel["type"] != "row"
    assert [step["refId"] for step in rule["data"]] == ["A", "B", "C"] and rule["condition"] == "C"
    assert rule["data"][1]["model"]["expression"] == "A" and rule["data"][2]["model"]["expression"] == "B"


def test_provisioned_files_name_what_is_there():
    source = yaml.safe_load((HERE / "provisioning/datasources/enms.yaml").read_text())["datasources"][0]
    used = {
        (panel["datasource"]["type"], panel["datasource"]["uid"])
        for board in BOARDS.values()
        for panel in panels(board)
    }
    assert used == {(source["type"], source["uid"])} and source["user"] == "enms_grafana" and not source["editable"]
    provider = yaml.safe_load((HERE / "provisioning/dashboards/enms.yaml").read_text())["providers"][0]
    assert (
        provider["options"]["path"] == "${ENMS_GRAFANA_DIR}/dashboards"
        and provider["folder"]
        == json.loads((HERE / "provisioning/alerting/rules.json").read_text())["groups"][0]["folder"]
    )
