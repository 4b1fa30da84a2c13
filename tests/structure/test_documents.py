"""What is wrong with a document is found, and nothing else."""

import pathlib
import tempfile
import unittest

import documents


class Documents(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.plant("src/a.rs", "pub fn append() {}\n")
        self.plant("docs/other.md", "# One\n\n## A `b` [c](d)!\n\n## One\n\n```\n# No heading\n```\n")

    def plant(self, name: str, text: str) -> pathlib.Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def faults(self, text: str) -> list[str]:
        return documents.faults(self.plant("docs/page.md", f"# Page\n\n{text}\n"), self.folder)

    def test_links_lead_somewhere(self):
        for text in (
            "[a](other.md), [b](other.md#one), [c](other.md#a-b-c), [d](other.md#one-1), [e](#page), [f](../src)",
            "[a](https://example.com/no), [b](mailto:a@example.com)",
            "[`append`](../src/a.rs), [`Log::append`](../src/a.rs), [`append()`](../src/a.rs), [a.rs](../src/a.rs)",
            "```\n[a](no.md) `src/no.rs`\n```",
        ):
            with self.subTest(text):
                self.assertEqual(self.faults(text), [])
        wrong = {
            "[a](no.md)": "docs/page.md:3: no such file: no.md",
            "[a](other.md#two)": "docs/page.md:3: no such heading: other.md#two",
            "[a](other.md#no-heading)": "docs/page.md:3: no such heading: other.md#no-heading",
            "[a](#one)": "docs/page.md:3: no such heading: #one",
            "[`appen`](../src/a.rs)": "docs/page.md:3: ../src/a.rs has no word appen",
            "| [a](no.md) |": "docs/page.md:3: no such file: no.md",
        }
        for text, fault in wrong.items():
            with self.subTest(text):
                self.assertEqual(self.faults(text), [fault])

    def test_paths_are_there(self):
        right = "`src/a.rs`, `src/<name>.rs`, `src/*.rs`, `docs/`, `docs/page.md`"
        self.assertEqual(self.faults(f"{right}, `a/b`, `GET /src/no`, `src`, `no/src/a.rs`"), [])
        for path in ("src/b.rs", "src/<name>.ts", "src/a/", "docs/b.md"):
            with self.subTest(path):
                self.assertEqual(self.faults(f"`{path}`"), [f"docs/page.md:3: no such path: {path}"])

    def test_what_git_ignores_may_be_missing(self):
        self.plant(".gitignore", "/.state\n")
        self.plant(".state/kept", "")
        self.assertEqual(self.faults("`.state/gone`"), [])


if __name__ == "__main__":
    unittest.main()
