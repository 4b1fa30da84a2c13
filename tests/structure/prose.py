"""Lines and words: no line of a text file is wider than COLUMNS, and comments and documents do without some words.

- A character of Chinese, Japanese or Korean counts as two columns.
- A row of a Markdown table may be wider, and so may a line that is one URL: neither can be wrapped.
- WORDS are looked for in comments and docstrings, in Markdown outside of blocks of code, and in the YAML documents
  below docs/. Code between backticks is not read.
- Text files are those of SUFFIXES, and scripts that begin with `#!`. Vendored files do not count.
"""

import io
import pathlib
import re
import tokenize
import unicodedata

import documents
from documents import Line

COLUMNS = 120
SUFFIXES = (".rs", ".ts", ".js", ".mjs", ".py", ".sh", ".yaml", ".yml", ".toml", ".md")

# Words that hide the actor or are no engineer's, and what to write instead.
WORDS = {
    "told": "report, return, show, log, receive",
    "nobody": "name the actor: no device, no worker, no client",
    "somebody": "name the actor",
    "whoever": "name the actor",
    "lately": "recently, or say since when",
    "anew": "again, or leave it out",
}
WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)

# Folders that are not mended yet.
EXEMPTED = ()

SPAN = re.compile(r"`[^`\n]*`")
URL = re.compile(r"\W*\w+://\S+")
RUST = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | r(?P<hashes>\#*)".*?"(?P=hashes)
      | "(?:[^"\\]|\\.)*"
      | '(?:[^'\\\n]|\\.)'""",
    re.VERBOSE | re.DOTALL,
)
SCRIPT = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | "(?:[^"\\\n]|\\.)*"
      | '(?:[^'\\\n]|\\.)*'
      | `(?:[^`\\]|\\.)*`""",
    re.VERBOSE | re.DOTALL,
)
HASH = re.compile(r"(?:^|(?<=\s))(?P<comment>\#[^\n]*)", re.MULTILINE)
LANGUAGES = {".rs": RUST, ".ts": SCRIPT, ".js": SCRIPT, ".mjs": SCRIPT}


def is_text(file: pathlib.Path) -> bool:
    if file.suffix:
        return file.name.endswith(SUFFIXES)
    with file.open("rb") as opened:
        return opened.read(2) == b"#!"


def faults(file: pathlib.Path, repository: pathlib.Path, exempted: tuple[str, ...] = EXEMPTED) -> list[str]:
    """The wide lines and the unwanted words of a file, each with its place."""
    name = str(file.relative_to(repository))
    if name.startswith(exempted):
        return []
    text = file.read_text(encoding="utf-8")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if (width := columns(line)) > COLUMNS and not may_be_wide(line, file):
            found.append(f"{name}:{number}: {width} columns, the limit is {COLUMNS}")
    for line in prose(name, text):
        for word in WORD.findall(SPAN.sub("", line.text)):
            found.append(f"{name}:{line.number}: the word {word}; {WORDS[word.lower()]}")
    return found


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def may_be_wide(line: str, file: pathlib.Path) -> bool:
    is_row = file.suffix == ".md" and line.lstrip().startswith("|")
    return is_row or URL.fullmatch(line) is not None


def prose(name: str, text: str) -> list[Line]:
    """The lines of a document, or the comments of anything else."""
    path = pathlib.PurePath(name)
    if path.suffix == ".md":
        return documents.prose(text)
    if path.suffix in (".yaml", ".yml") and path.parts[0] == "docs":
        return [Line(number, line) for number, line in enumerate(text.splitlines(), 1)]
    if path.suffix == ".py":
        return _python(text)
    found = []
    for match in LANGUAGES.get(path.suffix, HASH).finditer(text):
        if match["comment"]:
            found += _lines(text.count("\n", 0, match.start("comment")) + 1, match["comment"])
    return found


def _python(text: str) -> list[Line]:
    """Comments and docstrings: texts that begin a statement."""
    found, begins = [], True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or token.type == tokenize.STRING and begins:
            found += _lines(token.start[0], token.string)
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    return found


def _lines(first: int, text: str) -> list[Line]:
    return [Line(number, line) for number, line in enumerate(text.splitlines(), first)]
