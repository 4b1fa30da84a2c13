"""Sizes: of functions, files and stores."""

import dataclasses
import pathlib
import re

import lizard

from rust import CLOSES, OPENS, Token, tokens


class Unreadable(Exception):
    """A file that lizard fails at."""


@dataclasses.dataclass(frozen=True)
class Function:
    place: str
    name: str
    lines: int
    complexity: int


def functions(files: list[pathlib.Path], shown: pathlib.Path) -> list[Function]:
    """Every function, with the lines from its head to its end and lizard's count of cyclomatic complexity.

    Raises Unreadable if lizard fails at a file, because its functions could not be checked.
    """
    found = []
    for file in files:
        name = str(file.relative_to(shown))
        try:
            analysis = lizard.analyze_file.analyze_source_code(name, file.read_text(encoding="utf-8"))
        except Exception as error:
            raise Unreadable(f"{name}: lizard {lizard.version} cannot read this file: {error!r}") from error
        for function in analysis.function_list:
            lines = function.end_line - function.start_line + 1
            place = f"{name}:{function.start_line}"
            found.append(Function(place, function.name, lines, function.cyclomatic_complexity))
    return found


def is_test(path: str) -> bool:
    """Whether a file holds tests by its folder or its name."""
    *folders, name = pathlib.PurePath(path).parts
    is_named = name == "tests.rs" or name.endswith(("_tests.rs", ".test.ts", ".test.js", ".test.mjs"))
    return is_named or "tests" in folders


def public_methods(sources: list[str]) -> dict[str, int]:
    """The public structs of a crate, each with the number of `pub fn` in its inherent `impl`s."""
    structs, counts = set(), {}
    for source in sources:
        read = tokens(source)
        for at, token in enumerate(read):
            if token.text == "struct" and at > 0 and read[at - 1].text == "pub":
                structs.add(read[at + 1].text)
            if token.text == "impl" and (block := _inherent(read, at)) is not None:
                name, begin = block
                counts[name] = counts.get(name, 0) + _public_functions(read, begin)
    return {name: counts.get(name, 0) for name in structs}


def _inherent(read: list[Token], at: int) -> tuple[str, int] | None:
    """The type of an `impl` that begins here, and the begin of its body; nothing if it is of a trait."""
    at, angle, name = at + 1, 0, None
    while at < len(read) and read[at].text != "{":
        text = read[at].text
        if angle == 0 and text in ("for", ";", ")"):
            return None
        angle += (text == "<") - (text == ">" and read[at - 1].text not in ("-", "="))
        if angle == 0 and name is None and read[at].kind == "name":
            name = text
        at += 1
    return (name, at) if name is not None else None


def _public_functions(read: list[Token], begin: int) -> int:
    depth, count = 0, 0
    for at in range(begin, len(read)):
        depth += (read[at].text in OPENS) - (read[at].text in CLOSES)
        if depth == 0:
            break
        if depth == 1 and read[at].text == "pub" and read[at + 1].text != "(":
            ahead = [token.text for token in read[at + 1 : at + 5]]
            head = ahead[: ahead.index("fn")] if "fn" in ahead else ["none"]
            count += all(re.fullmatch(r"async|const|unsafe", word) for word in head)
    return count
