"""The documentation against the tree: whatever a page names is there.

What a page shows as printed is made again by test_life.py.
"""

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest
from enms_api import openapi

from common.files import ROOT
from launcher import cli
from tests.support.markdown import pages
from tests.support.printed import difference
from tests.support.reader import BLOCKS, PROVOKED, special

EACH = pytest.mark.parametrize("page", pages().values(), ids=pages().keys())
SOURCE = (".py", ".js", ".mjs", ".c", ".sql", ".sh", ".css", ".md", ".ini", ".acl")
FOREIGN = {"GCodeWriter.py"}  # Cura's
# Words in capitals, <words> and an ellipsis stand for what the reader puts there.
PLACEHOLDER = re.compile(r"[A-Z][A-Z_.-]*|<[^>]*>|…")


@cache
def tree() -> set[str]:
    """Files and folders that git would ship."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.splitlines()
    return {str(path) for name in names for path in (Path(name), *Path(name).parents)} - {"."}


@EACH
def test_links_lead_somewhere(page):
    """Relative links and images exist, and so do the headings that they name."""
    wrong = []
    for line, target in page.links:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        named = Path(page.name).parent / path if path else Path(page.name)
        name = str((ROOT / named).resolve().relative_to(ROOT))
        if name not in tree():
            wrong.append(f"line {line}: there is no {target}")
        elif anchor and anchor not in pages()[name].anchors:
            wrong.append(f"line {line}: {name} has no heading #{anchor}")
    assert not wrong, "\n".join(wrong)


class Wrong(Exception):
    """The complaint of the launcher's parser about a command."""


def parse(words: list[str], monkeypatch) -> None:
    """Gives the words after ./enms to the launcher's own parser. Raises Wrong with its complaint."""

    def complain(_parser, message):
        raise Wrong(message)

    monkeypatch.setattr(cli.argparse.ArgumentParser, "error", complain)
    monkeypatch.setattr(cli.argparse.ArgumentParser, "exit", lambda *_: None)  # --help
    arguments, rest = cli.parser().parse_known_args(words)
    if rest and arguments.command not in ("test", "bench", "train"):
        raise Wrong(f"unknown: {' '.join(rest)}")


def commands(text: str) -> list[str]:
    """Every `./enms …` in it, to the end of the command; lines that end with a backslash continue."""
    text = re.sub(r"\\\n\s*", " ", text)
    return [
        found.strip()
        for found in re.findall(r"(?<![\w/.])\./enms(?: (?:\"[^\"]*\"|'[^']*'|[^;&|)#\n\"'])*|$|(?=[;)]))", text, re.M)
    ]


@EACH
def test_commands_are_those_of_the_launcher(page, monkeypatch):
    """In code blocks as they are, in a line of text also without what is required (`./enms device`)."""
    wrong = []
    for line, text, whole in [
        *((block.line, block.text, True) for block in page.blocks if not block.printed),
        *((line, text, False) for line, text in page.code),
    ]:
        for command in commands(text):
            words = shlex.split(command)[1:]
            try:
                if words:
                    parse([word if word != "…" else "x" for word in words], monkeypatch)
            except Wrong as error:
                unfinished = not whole and "the following arguments are required" in str(error)
                placeholder = re.search(r"invalid int value: '(.*)'", str(error))
                if not unfinished and not (placeholder and PLACEHOLDER.fullmatch(placeholder[1])):
                    wrong.append(f"line {line}: {command}: {error}")
    assert not wrong, "\n".join(wrong)


@EACH
def test_variables_are_documented(page):
    example = set(re.findall(r"\bENMS_[A-Z0-9_]+", (ROOT / ".env.example").read_text()))
    named = set(re.findall(r"\bENMS_[A-Z0-9_]*[A-Z0-9]\b(?!_|…|\*)", page.text))
    assert named - example == set()


def is_there(name: str, page) -> bool | None:
    """Whether a path of ours exists, as seen from the root, from the page or (a bare source file) anywhere.

    None when it is not one of ours.
    """
    first = name.split("/")[0]
    folder = str(Path(page.name).parent)
    candidates = [name] + ([f"{folder}/{name}"] if folder != "." else [])
    ours = [
        base
        for base in candidates
        if ("/" in base and base.split("/")[0] in tree()) and (base == name or f"{folder}/{first}" in tree())
    ]
    if "/" not in name:
        if not name.endswith(SOURCE):
            return None
        return any(path == name or path.endswith("/" + name) for path in tree())
    if not ours:
        return None
    pattern = [
        re.compile(
            re.sub(r"<[^>]*>|NNNN\w*|…", "*", base)
            .rstrip("/")
            .replace(".", r"\.")
            .replace("**", ".*")
            .replace("*", "[^/]*")
        )
        for base in ours
    ]
    return any(each.fullmatch(path) for each in pattern for path in tree())


@EACH
def test_paths_are_there(page):
    """Files and folders in backticks. Paths of the run directory, a printer or the reader's machine are not ours."""
    missing = [
        f"line {line}: {text}"
        for line, text in page.code
        if re.fullmatch(r"[\w.*<>…-]+(/[\w.*<>…-]+)*/?", text) and text not in FOREIGN and is_there(text, page) is False
    ]
    assert not missing, "\n".join(missing)


@cache
def addresses() -> dict[str, set[str]]:
    """{path with {} for what varies: methods} of the OpenAPI document."""
    document = openapi.description("0")
    return {
        re.sub(r"\{\w+\}", "{}", path): {method.upper() for method in operations}
        for path, operations in document["paths"].items()
    }


@EACH
def test_addresses_are_described(page):
    """Every /api/… is in the OpenAPI document, with the method before it. A prefix ends with … or /."""
    wrong = []
    for method, path in re.findall(
        r"(?:\b(GET|POST|PUT|PATCH|DELETE) )?(?<![\w/])(?:http://[\w.:-]+)?(/api/[\w/{}<>.…-]*)", page.text
    ):
        plain = re.sub(r"\{\w+\}|<\w+>|[0-9a-f]{8}-[0-9a-f-]{27}", "{}", path).rstrip(".")
        if plain.endswith(("/", "…")):
            known = [operations for address, operations in addresses().items() if address.startswith(plain.rstrip("…"))]
        else:
            known = [
                operations
                for address, operations in addresses().items()
                if re.fullmatch(re.escape(address).replace(r"\{\}", r"[^/]+"), plain)
            ]
        if not known or (method and not any(method in operations for operations in known)):
            wrong.append(f"{method} {path}".strip())
    assert not wrong, "\n".join(wrong)


@EACH
def test_names_of_ours_are_known(page):
    """`enms_…` is a metric of the table in operations.md (which another test checks), a database role or the cookie."""
    metrics = set(re.findall(r"^\| `(enms_\w+)`", pages()["docs/operations.md"].text, re.M))
    known = {"enms_owner", "enms_ingest", "enms_api", "enms_grafana", "enms_session"} | metrics
    named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\benms_[a-z][a-z0-9_]*", page.text)}
    assert named - known == set()


def test_every_special_way_to_make_a_printed_block_is_used():
    assert set(map(special, BLOCKS)) - {None} == set(PROVOKED.values())


def test_a_wrong_line_in_a_printed_block_is_found():
    """Other words, a missing and an added line; numbers, times and what an ellipsis stands for are no difference."""
    shown = [
        "total   12 prints, 3.4 kWh",
        "…",
        '  "status": "done",',
        "end at 2026-11-26T17:43:06Z",
        '{"jobs": [{"kwh": 1.5}]}',
    ]
    real = [
        "total   7 prints, 0.9 kWh",
        "one",
        "two",
        '  "status": null',
        "end at 2027-01-01T00:00:00.5Z",
        '{"jobs": [{"kwh": null}, {"kwh": 2}]}',
    ]
    assert difference(shown, real) == ""
    for place, other in (
        (0, "total 7 jobs, 0.9 kWh"),
        (3, '  "state": null'),
        (4, "end"),
        (5, '{"jobs": [{"wh": 1}]}'),
        (5, '{"prints": []}'),
    ):
        assert difference(shown, [*real[:place], other, *real[place + 1 :]])
    assert difference(shown, real[:-1]) and difference(shown, [*real, "more"])
