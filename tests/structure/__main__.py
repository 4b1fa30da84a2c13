"""The structure of the code, and its limits: `python tests/structure` from anywhere.

It fails, and names the place, the figure and the limit, if

- modules of one Rust crate import each other in a circle (what a module is, and what counts: rust.py), or files of
  TypeScript or JavaScript do, or crates do, dependencies of tests among them;
- a function has more lines than LINES_OF_FUNCTION, from its head to its end, or is more complex than COMPLEXITY by
  lizard's count, tests among them;
- a file has more lines than LINES_OF_FILE; files of tests may;
- a public struct of the store has more public methods than METHODS;
- a Markdown file links to or names something that is not there: documents.py;
- a line of a text file is too wide, or a comment or a document has an unwanted word: prose.py;
- a golden file of a version that is released has changed: golden.py.
"""

import json
import pathlib
import subprocess
import sys

import documents
import golden
import graph
import measure
import prose
import rust
import typescript

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
LINES_OF_FUNCTION = 100
COMPLEXITY = 25
LINES_OF_FILE = 500
METHODS = 14


def files() -> list[pathlib.Path]:
    """The files of the project, except vendored ones."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    found = [REPOSITORY / name for name in sorted(set(listed.split("\0")))]
    return [file for file in found if file.is_file() and "vendor" not in file.parts]


def sources(*suffixes: str) -> list[pathlib.Path]:
    return [file for file in files() if file.name.endswith(suffixes)]


def metadata() -> list[dict]:
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--offline"]
    return json.loads(subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True).stdout)["packages"]


def circles_of(what: str, edges: dict[str, dict[str, list[str]]]) -> list[str]:
    faults = []
    for together, circle in graph.circles(edges):
        others = f", one of those among {', '.join(together)}" if len(together) >= len(circle) else ""
        steps = [
            f"    {one} imports {other}: {', '.join(sorted(set(edges[one][other])))}"
            for one, other in zip(circle, circle[1:])
        ]
        faults.append("\n".join([f"{what}: a circle, {' -> '.join(circle)}{others}", *steps]))
    return faults


def circles_of_modules(packages: list[dict]) -> tuple[list[str], int]:
    faults, count = [], 0
    for package in packages:
        for target in package["targets"]:
            root = rust.crate(pathlib.Path(target["src_path"]), REPOSITORY)
            count += sum(1 for _ in root.all())
            for level, edges in rust.siblings(root).items():
                faults += circles_of(f"{package['name']}, modules of {'::'.join(('crate', *level))}", edges)
    return faults, count


def circles_of_crates(packages: list[dict]) -> list[str]:
    ours = {package["name"] for package in packages}
    edges = {
        package["name"]: {
            dependency["name"]: [f"{dependency['kind'] or 'normal'} dependency"]
            for dependency in package["dependencies"]
            if dependency["name"] in ours
        }
        for package in packages
    }
    return circles_of("crates", edges)


def too_large(figure: int, limit: int, what: str) -> list[str]:
    return [f"{what}: {figure}, the limit is {limit}"] if figure > limit else []


def main() -> int:
    packages = metadata()
    scripts = sources(".ts", ".js", ".mjs")
    faults, modules = circles_of_modules(packages)
    faults += circles_of_crates(packages)
    faults += circles_of("files", typescript.imports(scripts, REPOSITORY))

    functions = measure.functions(sources(".rs") + scripts, REPOSITORY)
    for function in functions:
        faults += too_large(function.lines, LINES_OF_FUNCTION, f"{function.place}: lines of {function.name}")
        faults += too_large(function.complexity, COMPLEXITY, f"{function.place}: complexity of {function.name}")

    lines = {}
    for file in sources(".rs", ".ts", ".js", ".mjs"):
        name = str(file.relative_to(REPOSITORY))
        if not measure.is_test(name):
            lines[name] = len(file.read_text(encoding="utf-8").splitlines())
            faults += too_large(lines[name], LINES_OF_FILE, f"{name}: lines")

    store = [file.read_text(encoding="utf-8") for file in sources(".rs") if "shared/store/src" in str(file)]
    methods = measure.public_methods(store)
    for name, count in sorted(methods.items()):
        faults += too_large(count, METHODS, f"shared/store: public methods of {name}")

    pages = sources(".md")
    for page in pages:
        faults += documents.faults(page, REPOSITORY)

    faults += golden.faults(REPOSITORY)

    texts = [file for file in files() if prose.is_text(file)]
    for text in texts:
        faults += prose.faults(text, REPOSITORY)

    report(packages, modules, scripts, functions, lines, methods, pages, texts)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        print(f"{len(faults)} faults", file=sys.stderr)
    return 1 if faults else 0


def report(packages, modules, scripts, functions, lines, methods, pages, texts) -> None:
    """Prints what is nearest to each limit."""
    longest = max(functions, key=lambda function: function.lines)
    complex_ = max(functions, key=lambda function: function.complexity)
    largest, broadest = max(lines, key=lines.get), max(methods, key=methods.get)
    crates = f"in {len(packages)} crates; {len(scripts)} files of TypeScript and JavaScript"
    print(f"modules             {modules:5}  {crates}")
    print(f"longest function    {longest.lines:5}  of {LINES_OF_FUNCTION}: {longest.name}, {longest.place}")
    print(f"highest complexity  {complex_.complexity:5}  of {COMPLEXITY}: {complex_.name}, {complex_.place}")
    print(f"largest file        {lines[largest]:5}  of {LINES_OF_FILE}: {largest}")
    print(f"broadest store      {methods[broadest]:5}  of {METHODS} methods: {broadest}")
    print(f"pages               {len(pages):5}  with what they link to and name")
    exempted = f", without {len(prose.EXEMPTED)} folders that are not mended yet" if prose.EXEMPTED else ""
    print(f"text files          {len(texts):5}  of at most {prose.COLUMNS} columns{exempted}")


if __name__ == "__main__":
    sys.exit(main())
