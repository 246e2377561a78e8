"""The project's documents, read: their links, the commands in their blocks, and what stands in code marks.

The Markdown parser is the one that rich brings along.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "configs" / "README.md", ROOT / "cluster" / "README.md"]
)
WALKED = [
    ROOT / name
    for name in (
        "README.md", "docs/your-data.md", "docs/search.md", "docs/registry.md", "docs/evaluation.md",
        "docs/serving.md", "docs/pipeline.md", "docs/cluster.md",
    )
]  # fmt: skip
"""Those whose commands `make walk` types, in the order in which one leads to the other."""
SHELLS = ("", "bash", "console", "sh")
_OPERATORS = set("|&;<>()")


@dataclass(frozen=True)
class Found:
    """A text of a document and where it stands."""

    document: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}: {self.text}"


@cache
def _tokens(document: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(document.read_text("utf-8"))


def _inline(document: Path) -> Iterator[tuple[int, Token]]:
    line = 0
    for token in _tokens(document):
        line = token.map[0] + 1 if token.map else line
        for child in token.children or []:
            yield line, child


def links(document: Path) -> Iterator[Found]:
    """Where its links and pictures lead, but for those to other hosts."""
    for line, token in _inline(document):
        target = token.attrs.get("href") or token.attrs.get("src")
        if isinstance(target, str) and not re.match(r"[a-z]+:", target):
            yield Found(document, line, target)


@cache
def anchors(document: Path) -> set[str]:
    """The names that GitHub gives to its headings."""
    found: set[str] = set()
    tokens = _tokens(document)
    for head, text in pairwise(tokens):
        if head.type == "heading_open":
            plain = "".join(each.content for each in text.children or [])
            name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            count = sum(known == name or known.rpartition("-")[0] == name for known in found)
            found.add(f"{name}-{count}" if name in found else name)
    return found


def code_marks(document: Path) -> Iterator[Found]:
    """What stands between single backticks."""
    for line, token in _inline(document):
        if token.type == "code_inline":
            yield Found(document, line, token.content)


def rows(document: Path) -> Iterator[tuple[int, list[list[str]]]]:
    """Each row of its tables: the code marks of each cell."""
    cells: list[list[str]] = []
    for token in _tokens(document):
        if token.type == "tr_open":
            cells, line = [], token.map[0] + 1 if token.map else 0
        elif token.type == "inline" and token.level and cells is not None:
            cells.append([each.content for each in token.children or [] if each.type == "code_inline"])
        elif token.type == "tr_close":
            yield line, cells


def blocks(document: Path, language: str) -> Iterator[Found]:
    """Its blocks of code in ``language``."""
    for token in _tokens(document):
        if token.type == "fence" and token.info.strip() == language and token.map:
            yield Found(document, token.map[0] + 2, token.content)


def commands(document: Path) -> Iterator[tuple[Found, list[str]]]:
    """The commands of its shell blocks, as words; an output that follows `$ ` lines is none."""
    for language in SHELLS:
        for found in blocks(document, language):
            yield from _commands(document, found.line, found.text)


def said_of(found: Found) -> str:
    """What is said of a command in its comment (`# needs a GPU`) or before its block (`<!-- needs a cloud account -->`,
    `<!-- run by tests/… -->`): what it needs that a laptop lacks, or where it is run.
    """
    lines = found.document.read_text("utf-8").splitlines()
    fence = next(number for number in range(found.line - 2, -1, -1) if lines[number].lstrip().startswith("```"))
    said = [*re.findall(r"<!-- (.*) -->", lines[fence - 1]), *re.findall(r"\s# (.*)", lines[found.line - 1])]
    return next((text for text in said if re.search(r"\b(needs|run by) ", text)), "")


def _commands(document: Path, first: int, block: str) -> Iterator[tuple[Found, list[str]]]:
    prompted = any(line.startswith("$ ") for line in block.splitlines())
    joined = re.sub(r"\\\n", lambda _: " \x00", block)  # the mark keeps count of the lines
    number = first
    for line in joined.splitlines():
        if not prompted or line.startswith("$ "):
            text = line.removeprefix("$ ").replace("\x00", "")
            for words in split_words(text):
                yield Found(document, number, " ".join(words)), words
        number += 1 + line.count("\x00")


def split_words(text: str) -> list[list[str]]:
    """A line's simple commands, without comments, pipes and variables set before them."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        words = list(lexer)
    except ValueError:  # a quotation that ends on another line, or prose
        return []
    parts: list[list[str]] = [[]]
    for word in words:
        if word and set(word) <= _OPERATORS:
            parts.append([])
        else:
            parts[-1].append(word)
    return [cut for part in parts if (cut := _without_variables(part))]


def _without_variables(words: list[str]) -> list[str]:
    while words and (words[0] == "export" or re.match(r"[A-Z_][A-Z0-9_]*=", words[0])):
        words = words[1:]
    return words
