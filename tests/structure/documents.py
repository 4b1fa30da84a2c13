"""Markdown files against the repository: what they link to and name is there.

- A relative link leads to a file or folder, and its fragment to a heading.
- The text of a link to source code, if it is one name as code, is a word of that file: [`append`](../src/mailbox.rs).
- A path as code, `shared/wire/src/trail.rs`, is there. A placeholder in angle brackets stands for any name, and so does
  an asterisk: `functions/<name>/src/lib.rs`. Paths in a folder that git ignores may come and go.

Blocks of code are not read.
"""

import dataclasses
import pathlib
import re
import urllib.parse

LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
SPAN = re.compile(r"`([^`]+)`")
NAME = re.compile(r"`[\w.:]*?(\w+)(?:\(\))?`")
PATH = re.compile(r"[\w.<>*-]+(?:/[\w.<>*-]+)+/?")


@dataclasses.dataclass
class Line:
    number: int
    text: str


def prose(text: str) -> list[Line]:
    """The lines outside of fenced blocks."""
    lines, fence = [], None
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if fence is None and mark:
            fence = mark[1]
        elif fence is not None:
            if mark and mark[1].startswith(fence):
                fence = None
        else:
            lines.append(Line(number, line))
    return lines


def anchors(text: str) -> set[str]:
    """The fragments of the headings, as GitHub makes them."""
    found: set[str] = set()
    for line in prose(text):
        if heading := re.match(r"#{1,6}\s+(.*)", line.text):
            words = LINK.sub(lambda link: link[1], heading[1]).strip().lower()
            name = re.sub(r"[^\w\- ]", "", words.replace("`", "")).replace(" ", "-")
            number = 0
            while (fragment := f"{name}-{number}" if number else name) in found:
                number += 1
            found.add(fragment)
    return found


def faults(file: pathlib.Path, repository: pathlib.Path) -> list[str]:
    """What a Markdown file has wrong, each with its place."""
    text = file.read_text(encoding="utf-8")
    name = file.relative_to(repository)
    found = []
    for line in prose(text):
        wrong = [*wrong_links(line.text, file, text), *wrong_paths(line.text, file, repository)]
        found += [f"{name}:{line.number}: {fault}" for fault in wrong]
    return found


def wrong_links(line: str, file: pathlib.Path, text: str):
    for label, target in LINK.findall(line):
        parts = urllib.parse.urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        linked = file.parent / urllib.parse.unquote(parts.path) if parts.path else file
        if not linked.exists():
            yield f"no such file: {target}"
        elif parts.fragment and linked.suffix == ".md":
            if parts.fragment not in anchors(text if linked == file else linked.read_text(encoding="utf-8")):
                yield f"no such heading: {target}"
        elif linked.is_file() and linked.suffix != ".md" and (named := NAME.fullmatch(label)):
            if not re.search(rf"\b{named[1]}\b", linked.read_text(encoding="utf-8")):
                yield f"{target} has no word {named[1]}"


def wrong_paths(line: str, file: pathlib.Path, repository: pathlib.Path):
    for span in SPAN.findall(LINK.sub(lambda link: link[1], line)):
        folder = span.split("/", 1)[0]
        if not PATH.fullmatch(span) or not (repository / folder).is_dir() or folder in ignored(repository):
            continue
        if not is_there(span, repository) and not is_there(span, file.parent):
            yield f"no such path: {span}"


def ignored(repository: pathlib.Path) -> set[str]:
    """The folders at the top that git ignores."""
    file = repository / ".gitignore"
    return {line.strip("/") for line in file.read_text(encoding="utf-8").split()} if file.exists() else set()


def is_there(path: str, folder: pathlib.Path) -> bool:
    pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
    return next(folder.glob(pattern), None) is not None
