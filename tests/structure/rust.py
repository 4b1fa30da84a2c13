"""The modules of a Rust crate, and which of them name which.

What counts:

- A module is every `mod` of a crate, at any level, in a file or inline. What only tests compile (`#[cfg(test)]`) is
  left out: a test may use everything.
- A module imports another if a path in it names that module or something in it: in a `use`, however nested, in code, in
  a macro, or in an attribute (`#[serde(with = "crate::a")]`). The edge goes from the module in which the path stands to
  the deepest module that the path names.
- A re-export is followed: if `lib.rs` has `pub use mailbox::Entry`, `crate::Entry` names the module `mailbox`. So a
  child cannot hide behind its parent that it imports from a sibling.
- Siblings are compared: an edge from a::b::c to a::d::e is one from a::b to a::d. A circle is one of siblings. A
  folder's own file and its children are one thing: what a child takes from its parent, and the parent from the child,
  is no circle if the parent itself declares it.
"""

import dataclasses
import pathlib
import re

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<block>/\*)
      | (?P<raw>(?:b|c)?r(?P<hashes>\#*)"(?:.*?)"(?P=hashes))
      | (?P<string>[bc]?"(?:[^"\\]|\\.)*")
      | (?P<char>b?'(?:[^'\\]|\\u\{[^}]*\}|\\x..|\\.)')
      | (?P<lifetime>'[A-Za-z_]\w*)
      | (?P<name>(?:r\#)?[A-Za-z_]\w*)
      | (?P<number>\d\w*)
      | (?P<sign>::|.)""",
    re.VERBOSE | re.DOTALL,
)
DECLARES = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
OPENS, CLOSES = {"(": ")", "[": "]", "{": "}"}, {")", "]", "}"}
PATH_IN_ATTRIBUTE = re.compile(r'"(?:crate|self|super)(?:::\w+)+"')


@dataclasses.dataclass(frozen=True)
class Token:
    kind: str
    text: str
    line: int


@dataclasses.dataclass(frozen=True)
class Path:
    """A path as it is written, and its place."""

    segments: tuple[str, ...]
    place: str


class Module:
    """What a module declares, binds to a name, and names."""

    def __init__(self, name: str, parent: "Module | None", folder: pathlib.Path):
        self.name = name
        self.parent = parent
        # The folder in which the files of its children are looked up.
        self.folder = folder
        self.children: dict[str, Module] = {}
        self.declared: set[str] = set()
        self.bound: dict[str, list[tuple[str, ...]]] = {}
        self.globs: list[tuple[str, ...]] = []
        self.paths: list[Path] = []
        self.words: dict[str, str] = {}
        if parent is not None:
            parent.children[name] = self

    @property
    def way(self) -> tuple[str, ...]:
        return () if self.parent is None else (*self.parent.way, self.name)

    @property
    def root(self) -> "Module":
        return self if self.parent is None else self.parent.root

    def all(self):
        yield self
        for child in self.children.values():
            yield from child.all()


def tokens(source: str) -> list[Token]:
    found, at, line = [], 0, 1
    while at < len(source):
        match = TOKEN.match(source, at)
        end = _end_of_block_comment(source, at) if match.lastgroup == "block" or match["block"] else match.end()
        kind = next(kind for kind in match.re.groupindex if kind != "hashes" and match[kind] is not None)
        if kind not in ("space", "block"):
            found.append(Token(kind, match[0], line))
        line += source.count("\n", at, end)
        at = end
    return found


def _end_of_block_comment(source: str, at: int) -> int:
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(source, at):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    return len(source)


def crate(root: pathlib.Path, shown: pathlib.Path) -> Module:
    """The modules of the crate whose root file is `root`; places are given relative to `shown`."""
    module = Module("crate", None, root.resolve().parent)
    _Reader(root.resolve(), shown.resolve(), module).read()
    return module


class _Reader:
    """Reads one file into its module."""

    def __init__(self, file: pathlib.Path, shown: pathlib.Path, module: Module):
        self.file = file
        self.shown = shown
        self.module = module
        self.tokens = tokens(file.read_text(encoding="utf-8"))
        self.at = 0

    def read(self) -> None:
        while self.at < len(self.tokens):
            self.items(self.module)

    def peek(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.tokens[at].text if at < len(self.tokens) else ""

    def place(self) -> str:
        token = self.tokens[min(self.at, len(self.tokens) - 1)]
        return f"{self.file.relative_to(self.shown)}:{token.line}"

    def items(self, module: Module) -> None:
        """Reads until the bracket closes in which the module stands, or to the end."""
        depth, attributes = 0, []
        while self.at < len(self.tokens):
            text = self.peek()
            if text == "#" and (self.peek(1) == "[" or self.peek(1) == "!" and self.peek(2) == "["):
                attributes.append(self.attribute(module))
                continue
            if depth == 0 and any(_is_for_tests(attribute) for attribute in attributes):
                self.skip_item()
            elif text == "}" and depth == 0:
                self.at += 1
                return
            elif text == "mod" and self.peek(2) in (";", "{"):
                self.child(module, attributes)
            elif text == "use" and self.peek(1) != "<":
                self.at += 1
                self.use(module, ())
            else:
                depth += (text in OPENS) - (text in CLOSES)
                self.code(module)
            attributes = []

    def attribute(self, module: Module) -> str:
        begin, place = self.at, self.place()
        while self.peek() != "[":
            self.at += 1
        self.skip_bracket()
        text = "".join(token.text for token in self.tokens[begin : self.at])
        for path in PATH_IN_ATTRIBUTE.findall(text):
            module.paths.append(Path(tuple(path.strip('"').split("::")), place))
        return text

    def skip_bracket(self) -> None:
        """Goes behind the bracket that the next token opens."""
        depth = 0
        while self.at < len(self.tokens):
            depth += (self.peek() in OPENS) - (self.peek() in CLOSES)
            self.at += 1
            if depth == 0:
                return

    def skip_item(self) -> None:
        while self.at < len(self.tokens):
            if self.peek() == ";":
                self.at += 1
                return
            is_body = self.peek() == "{"
            if self.peek() in OPENS:
                self.skip_bracket()
            else:
                self.at += 1
            # `use a::{b, c};` ends with its semicolon.
            if is_body and self.peek() != ";":
                return

    def child(self, module: Module, attributes: list[str]) -> None:
        name, opens = _plain(self.peek(1)), self.peek(2)
        self.at += 3
        if opens == "{":
            self.items(Module(name, module, module.folder / name))
            return
        given = [found for text in attributes for found in re.findall(r'path="([^"]+)"', text)]
        candidates = [self.file.parent / path for path in given]
        candidates += [module.folder / f"{name}.rs", module.folder / name / "mod.rs"]
        file = next((candidate for candidate in candidates if candidate.is_file()), None)
        if file is None:
            raise FileNotFoundError(f"{self.file}: no file for `mod {name}`")
        folder = file.parent if file.name == "mod.rs" or given else file.parent / name
        _Reader(file, self.shown, Module(name, module, folder)).read()

    def use(self, module: Module, before: tuple[str, ...]) -> None:
        """One tree of a `use`, up to the comma, bracket or semicolon that ends it; a semicolon is taken too."""
        segments, place = before, self.place()
        while self.peek() not in (";", ",", "}", ""):
            text = self.peek()
            self.at += 1
            if text == "{":
                while self.peek() not in ("}", ""):
                    self.use(module, segments)
                    if self.peek() == ",":
                        self.at += 1
                self.at += 1
                break
            if text == "*":
                module.globs.append(segments)
                module.paths.append(Path(segments, place))
                break
            if text != "::":
                segments = (*segments, _plain(text))
            if self.peek() in (";", ",", "}", "as", ""):
                self.bind(module, segments, place)
                break
        if self.peek() == ";":
            self.at += 1

    def bind(self, module: Module, segments: tuple[str, ...], place: str) -> None:
        if segments[-1] == "self":
            segments = segments[:-1]
        name = segments[-1]
        if self.peek() == "as":
            name = _plain(self.peek(1))
            self.at += 2
        module.bound.setdefault(name, []).append(segments)
        module.paths.append(Path(segments, place))

    def code(self, module: Module) -> None:
        """One token of code, or the whole path that it begins."""
        token, place = self.tokens[self.at], self.place()
        self.at += 1
        if token.kind != "name":
            # `::a::b` begins with the name of a crate.
            if token.text == "::":
                while self.peek() == "::" or self.at < len(self.tokens) and self.tokens[self.at].kind == "name":
                    self.at += 1
            return
        module.words.setdefault(_plain(token.text), place)
        if token.text in DECLARES or token.text == "macro_rules":
            ahead = 1 if self.peek() in ("!", "mut") else 0
            if self.at + ahead < len(self.tokens) and self.tokens[self.at + ahead].kind == "name":
                module.declared.add(_plain(self.peek(ahead)))
            return
        segments = [_plain(token.text)]
        while self.peek() == "::" and self.at + 1 < len(self.tokens) and self.tokens[self.at + 1].kind == "name":
            segments.append(_plain(self.peek(1)))
            self.at += 2
        if len(segments) > 1:
            module.paths.append(Path(tuple(segments), place))


def _plain(name: str) -> str:
    return name.removeprefix("r#")


def _is_for_tests(attribute: str) -> bool:
    return re.match(r"#\[cfg\((test|all\(test,.*)\)", attribute) is not None


def _resolve(module: Module, segments: tuple[str, ...], seen: frozenset = frozenset()) -> tuple[Module, bool] | None:
    """The deepest module that a path in `module` names, and whether the path ends there; none outside the crate."""
    if (id(module), segments) in seen:
        return None
    seen |= {(id(module), segments)}
    at, rest = module, list(segments)
    if rest and rest[0] == "crate":
        at, rest = module.root, rest[1:]
    elif rest and rest[0] in ("self", "super"):
        while rest and rest[0] in ("self", "super"):
            at = at.parent if rest[0] == "super" else at
            rest = rest[1:]
            if at is None:
                return None
    elif rest and not (rest[0] in at.children or rest[0] in at.bound):
        return None
    while rest:
        name, rest = rest[0], rest[1:]
        if name in at.children:
            at = at.children[name]
            continue
        found = _look_up(at, name, seen)
        if found is None:
            return at, False
        at, is_module = found
        if not is_module:
            return at, False
    return at, True


def _look_up(module: Module, name: str, seen: frozenset) -> tuple[Module, bool] | None:
    """What a name means in a module that has no child of that name."""
    for segments in module.bound.get(name, ()):
        if (found := _resolve(module, segments, seen)) is not None:
            return found
    if name in module.declared:
        return module, False
    for segments in module.globs:
        found = _resolve(module, segments, seen)
        if found is None or (id(found[0]), name) in seen:
            continue
        if name in found[0].children:
            return found[0].children[name], True
        if (deeper := _look_up(found[0], name, seen | {(id(found[0]), name)})) is not None:
            return deeper
    return None


def imports(root: Module) -> dict[tuple[Module, Module], list[str]]:
    """Which module names which other one, and the places."""
    found: dict[tuple[Module, Module], list[str]] = {}
    for module in root.all():
        # What a glob brings along counts if it is used.
        for word, place in module.words.items():
            is_own = word in module.declared or word in module.bound or word in module.children
            if module.globs and not is_own and (hit := _look_up(module, word, frozenset())) is not None:
                found.setdefault((module, hit[0]), []).append(place)
        for path in module.paths:
            if (hit := _resolve(module, path.segments)) is not None:
                found.setdefault((module, hit[0]), []).append(path.place)
    return found


def siblings(root: Module) -> dict[tuple[str, ...], dict[str, dict[str, list[str]]]]:
    """For each module with children: which child imports which other one, and the places."""
    levels: dict[tuple[str, ...], dict[str, dict[str, list[str]]]] = {}
    for (importer, imported), places in imports(root).items():
        one, other = importer.way, imported.way
        common = 0
        while common < min(len(one), len(other)) and one[common] == other[common]:
            common += 1
        if common < min(len(one), len(other)):
            level = levels.setdefault(one[:common], {})
            level.setdefault(one[common], {}).setdefault(other[common], []).extend(places)
            level.setdefault(other[common], {})
    return levels
