"""Every analysis conforms to gcode/schema.json; the documentation's tables are those of the code."""

import io
import json
import re
from pathlib import Path

import pytest

from gcode import analyze, docs
from gcode.analyzer import SCHEMA
from gcode.dialects import FEATURES
from gcode.tests.support import DATA, DIALECTS, bgcode, cube

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
DOCUMENT = json.loads((Path(__file__).parents[1] / "schema.json").read_text())
PROGRAMS = {
    "cube": cube().encode(),
    "bgcode": bgcode(cube()),
    "one line": b"G1 X1\n",
    "settings alone": b"; layer_height = 0.2\n",
    "extrusion at one place": b"G1 E5\n",
    **{path.name: path.read_bytes() for path in sorted(DIALECTS.glob("*.gcode"))},
    **({path.name: path.read_bytes() for path in sorted(DATA.glob("*.gcode"))} if DATA.exists() else {}),
}


def test_schema_names_the_version_and_the_features():
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)
    assert DOCUMENT["$id"] == SCHEMA and DOCUMENT["properties"]["features"]["items"]["properties"]["feature"][
        "enum"
    ] == list(FEATURES)


@pytest.mark.parametrize("name", PROGRAMS)
def test_analysis_conforms(tmp_path, name):
    for pictures in ({}, {"thumbnail": tmp_path / "t.png", "preview": tmp_path / "p.bin"}):
        result = analyze(io.BytesIO(PROGRAMS[name]), **pictures)
        jsonschema.Draft202012Validator(DOCUMENT).validate(json.loads(json.dumps(result)))
        columns = [values for key, values in result["layers"].items() if key != "count"]
        assert all(len(column) == result["layers"]["count"] for column in columns)


def test_documentation_has_the_table_of_the_code():
    page = docs.PAGE.read_text()
    assert docs.table() in page, "docs/gcode.md is older than the code: run python -m gcode.docs"


def test_documentation_names_exactly_the_warnings_of_the_code():
    table = docs.PAGE.read_text().split("\n## Warnings\n")[1]
    codes = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    assert sorted(re.findall("`([a-z_]+)`", codes)) == docs.warnings()
