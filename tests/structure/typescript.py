"""Which file of TypeScript or JavaScript imports which: types count, as they do in Rust."""

import pathlib
import re

COMMENT = re.compile(r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|//[^\n]*|/\*.*?\*/""", re.DOTALL)
IMPORT = re.compile(
    r"""^\s*(?:import|export)\b[^;"'`=(]*?\bfrom\s*["'](?P<from>\.[^"']*)["']
      | ^\s*import\s*["'](?P<bare>\.[^"']*)["']
      | \bimport\(\s*["'](?P<dynamic>\.[^"']*)["']""",
    re.VERBOSE | re.MULTILINE,
)


def imports(files: list[pathlib.Path], shown: pathlib.Path) -> dict[str, dict[str, list[str]]]:
    """For each file the files that it imports, and the places."""
    known = {file.resolve() for file in files}
    edges: dict[str, dict[str, list[str]]] = {}
    for file in files:
        importer = str(file.relative_to(shown))
        edges[importer] = {}
        source = COMMENT.sub(_blank, file.read_text(encoding="utf-8"))
        for match in IMPORT.finditer(source):
            path = match["from"] or match["bare"] or match["dynamic"]
            if (target := _target(file, path, known)) is not None:
                begin = match.start(match.lastgroup)
                place = f"{importer}:{source.count(chr(10), 0, begin) + 1}"
                edges[importer].setdefault(str(target.relative_to(shown.resolve())), []).append(place)
    return edges


def _blank(match: re.Match) -> str:
    """A text stays; a comment leaves its line ends."""
    return match[1] if match[1] is not None else "\n" * match[0].count("\n")


def _target(file: pathlib.Path, path: str, known: set[pathlib.Path]) -> pathlib.Path | None:
    target = (file.parent / path).resolve()
    # TypeScript names the file that it will be.
    source = target.with_suffix(".ts") if target.suffix == ".js" else target.with_name(f"{target.name}.ts")
    candidates = [target, source]
    return next((candidate for candidate in candidates if candidate in known), None)
