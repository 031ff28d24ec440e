"""The unit tests of the JavaScript parts, run by Node's own test runner: a pytest item per file, a subtest per test.

In an editor `node --test nodered/lib/jobs.test.js` does the same.
"""

import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.files import ROOT

FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("nodered", "frontend")
    for path in (ROOT / folder).rglob("*.test.js")
    if "node_modules" not in path.parts
)


def cases(element: ET.Element, above: str = "") -> Iterator[tuple[str, ET.Element]]:
    """(full name, element) of every test below an element of the JUnit report."""
    for child in element:
        name = f"{above} > {child.get('name')}" if above else child.get("name", "")
        if child.tag == "testcase":
            yield name, child
        elif child.tag == "testsuite":
            yield from cases(child, name)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_node_unit(path: Path, server: str, subtests: pytest.Subtests) -> None:
    """Every test of the file passes."""
    done = subprocess.run(
        [os.environ["ENMS_NODE"], "--test", "--test-timeout=120000", "--test-reporter=junit", str(path)],
        cwd=ROOT,
        env={**os.environ, "ENMS_TEST_PG": server},
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=280,
    )
    found = list(cases(ET.fromstring(done.stdout)))
    for name, case in found:
        with subtests.test(name):
            skipped = case.find("skipped")
            if skipped is not None:
                pytest.skip(skipped.get("message") or "skipped")
            failure = case.find("failure")
            assert failure is None, f"{failure.get('message')}\n{failure.text}"
    assert found and (done.returncode == 0 or any(case.find("failure") is not None for _, case in found)), done.stderr
