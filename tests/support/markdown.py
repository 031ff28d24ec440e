"""The repository's Markdown as the tests look at it: headings, links, inline code, and code blocks with those that show
real output.
"""

import re
import subprocess
from dataclasses import dataclass, field
from functools import cache

from common.files import ROOT

PRINTED = "<!-- printed -->"


@dataclass
class Block:
    """A fenced code block.

    `printed`: the page marks this as real output, of the last block before it without that mark (`command`). `file`:
    the block is the content of that file, because the line before it ends with the file's name and a colon.
    """

    page: str
    line: int
    language: str
    lines: list[str]
    printed: bool = False
    command: str = ""
    file: str = ""

    @property
    def text(self) -> str:
        """Its lines as one text."""
        return "\n".join(self.lines)


@dataclass
class Page:
    """A Markdown file: its path below the root, and what is in it with line numbers."""

    name: str
    text: str
    prose: str = ""  # the text without its code blocks; line numbers are kept
    blocks: list[Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        prose: list[str] = []
        block: Block | None = None  # the one that the line is in
        printed, command, text_before = False, "", ""
        for number, line in enumerate(self.text.splitlines(), 1):
            fence = line.strip().startswith("```")
            if block is None and not fence:
                printed = line.strip() == PRINTED or (printed and not line.strip())
                text_before = line.strip() or text_before
                prose.append(line)
                continue
            prose.append("")
            if block is None:
                named = re.search(r"`([\w-]+\.\w+)`:$", text_before)
                block = Block(
                    self.name,
                    number,
                    line.strip().strip("`"),
                    [],
                    printed,
                    command if printed else "",
                    named[1] if named and not printed else "",
                )
            elif fence:
                self.blocks.append(block)
                command = command if block.printed else block.text
                block, printed, text_before = None, False, ""
            else:
                block.lines.append(line)
        assert block is None, f"{self.name}: a code block is not closed"
        self.prose = "\n".join(prose)

    @property
    def anchors(self) -> set[str]:
        """What a link may name after #, made as the usual renderers do."""
        found: set[str] = set()
        for title in re.findall(r"^#{1,6} (.+?)\s*$", self.prose, re.M):
            plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower()
            slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            found.add(
                slug if slug not in found else next(f"{slug}-{n}" for n in range(1, 99) if f"{slug}-{n}" not in found)
            )
        return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', self.prose))

    @property
    def links(self) -> list[tuple[int, str]]:
        """(line, target) of every link and image."""
        return [
            (number, target)
            for number, line in enumerate(self.prose.splitlines(), 1)
            for target in re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", re.sub(r"`[^`]*`", "", line))
        ]

    @property
    def code(self) -> list[tuple[int, str]]:
        """(line, text) of every piece of inline code; one over several lines counts as part of its first."""
        return [
            (self.prose.count("\n", 0, found.start()) + 1, " ".join(found[1].split()))
            for found in re.finditer(r"`([^`]+)`", self.prose)
        ]


@cache
def pages() -> dict[str, Page]:
    """Every Markdown file that git would ship, by its path."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split()
    return {name: Page(name, (ROOT / name).read_text()) for name in names if (ROOT / name).is_file()}
