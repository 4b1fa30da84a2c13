"""Wide lines and unwanted words are found, and nothing else."""

import pathlib
import tempfile
import unittest

import prose


class Prose(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()

    def plant(self, name: str, text: str) -> pathlib.Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def faults(self, name: str, text: str) -> list[str]:
        return prose.faults(self.plant(name, text), self.folder, exempted=("later/",))

    def test_a_wide_line_is_found_in_every_kind_of_file(self):
        wide = ("word " * 30).strip()
        kinds = {
            "a.rs": f"fn f() {{}} // {wide}",
            "a.ts": f'export const text = "{wide}";',
            "a.js": f"// {wide}",
            "a.mjs": f"// {wide}",
            "a.py": f"# {wide}",
            "a.sh": f"# {wide}",
            "run": f"#!/bin/sh {wide}",
            "a.yaml": f"text: {wide}",
            "a.toml": f'text = "{wide}"',
            "a.md": f"```\n{wide}\n```",
            "b.md": wide,
        }
        for name, text in kinds.items():
            with self.subTest(name):
                self.assertTrue(prose.is_text(self.plant(name, text)))
                (fault,) = self.faults(name, text)
                self.assertRegex(fault, rf"^{name}:\d: 1\d\d columns, the limit is 120$")

    def test_columns_are_counted_as_a_terminal_has_them(self):
        for text in ("a" * 120, "é" * 120, "…" * 120, "消" * 60):
            with self.subTest(text):
                self.assertEqual(self.faults("a.md", text), [])
        for text in ("a" * 121, "é" * 121, "消" * 60 + "a"):
            with self.subTest(text):
                self.assertEqual(self.faults("a.md", f"\n{text}"), ["a.md:2: 121 columns, the limit is 120"])
        self.assertEqual(self.faults("a.md", "消息" * 100), ["a.md:1: 400 columns, the limit is 120"])

    def test_what_cannot_be_wrapped_may_be_wide(self):
        url = f"https://example.com/{'a' * 120}"
        for name, text in (
            ("a.md", f"| {'word ' * 30} |"),
            ("a.md", url),
            ("a.md", f"- <{url}>"),
            ("a.rs", f"/// {url}"),
            ("a.py", f"# {url}"),
        ):
            with self.subTest(text):
                self.assertEqual(self.faults(name, text), [])
        for name, text in (("a.rs", f"// | {'word ' * 30} |"), ("a.md", f"See {url}")):
            with self.subTest(text):
                self.assertEqual(len(self.faults(name, text)), 1)

    def test_unwanted_words_are_found_in_comments_and_documents(self):
        for name, text in (
            ("a.rs", "/// Nobody.\n"),
            ("a.rs", "fn f() {} // nobody"),
            ("a.rs", "/* one\n * nobody */"),
            ("a.rs", "fn f<'a>(x: &'a str) -> char { '\"' } // nobody"),
            ("a.ts", '/** Nobody. */ export const text = "a";'),
            ("a.js", "const text = `// a`; // nobody"),
            ("a.py", '"""Nobody."""\n'),
            ("a.py", 'def f():\n    """One.\n\n    Nobody."""\n'),
            ("a.py", "x = 1  # nobody\n"),
            ("a.sh", "echo # nobody\n"),
            ("run", "#!/bin/sh\n# nobody\n"),
            ("a.yaml", "a: b # nobody\n"),
            ("a.toml", "# nobody\n"),
            ("a.md", "Reaches **nobody**."),
            ("docs/a.yaml", "description: Reaches nobody.\n"),
        ):
            with self.subTest(text):
                (fault,) = self.faults(name, text)
                self.assertRegex(fault, r"^[\w./]+:\d: the word [Nn]obody; name the actor: no device")

    def test_each_word_is_found_with_its_place_and_what_to_write(self):
        found = self.faults("a.md", "# A\n\nTold, and told\nlately.\n")
        told = "report, return, show, log, receive"
        self.assertEqual(
            found,
            [
                f"a.md:3: the word Told; {told}",
                f"a.md:3: the word told; {told}",
                "a.md:4: the word lately; recently, or say since when",
            ],
        )

    def test_code_is_not_prose(self):
        for name, text in (
            ("a.rs", 'const TEXT: &str = "nobody";'),
            ("a.rs", 'const TEXT: &str = r#"a " // nobody"#;'),
            ("a.rs", 'const URL: &str = "https://nobody";'),
            ("a.rs", "// The field `nobody`, and nobody_else."),
            ("a.ts", "const text = `// nobody`;"),
            ("a.js", "const text = '// nobody';"),
            ("a.py", 'x = "nobody"\n'),
            ("a.py", 'f(\n    """nobody""",\n)\n'),
            ("a.yaml", "user: nobody\n"),
            ("a.md", "```sh\nchown nobody\n```"),
            ("a.md", "`chown nobody`"),
        ):
            with self.subTest(text):
                self.assertEqual(self.faults(name, text), [])

    def test_exempted_folders_and_other_files_are_left_out(self):
        self.assertEqual(self.faults("later/a.rs", f"// nobody {'a' * 120}"), [])
        self.assertEqual(len(self.faults("sooner/later/a.rs", f"// nobody {'a' * 120}")), 2)
        for name in ("a.json", "a.lock", "a.html", "LICENSE"):
            with self.subTest(name):
                self.assertFalse(prose.is_text(self.plant(name, "nobody")))


if __name__ == "__main__":
    unittest.main()
