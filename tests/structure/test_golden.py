"""A released golden file is closed; the newest version's files are open until it is released."""

import pathlib
import subprocess
import tempfile
import unittest

import golden


class Released(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.write("tests/golden/1/app.json", "{}\n")
        self.git("init", "--quiet")
        self.git("add", ".")
        self.git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "release")
        self.write("tests/rollback/commit", self.git("rev-parse", "HEAD"))

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def test_a_new_version_may_be_written(self):
        self.write("tests/golden/2/app.json", '{"new": 1}\n')
        self.assertEqual(golden.faults(self.folder), [])

    def test_a_closed_file_is_not_changed_removed_or_joined_by_another(self):
        self.write("tests/golden/1/app.json", '{"changed": 1}\n')
        self.write("tests/golden/1/device.json", "{}\n")
        changed, joined = golden.faults(self.folder)
        self.assertTrue(changed.startswith("tests/golden/1/app.json: differs"), changed)
        self.assertTrue(joined.startswith("tests/golden/1/device.json: is not in"), joined)
        (self.folder / "tests/golden/1/app.json").unlink()
        self.assertEqual(len(golden.faults(self.folder)), 2)

    def test_a_commit_that_is_not_there_is_a_fault_but_in_a_clone_without_its_history(self):
        self.write("tests/golden/1/app.json", '{"changed": 1}\n')
        for commit in ("0" * 40, ""):
            self.write("tests/rollback/commit", commit)
            self.assertEqual(golden.faults(self.folder), [f"tests/rollback/commit: there is no commit {commit!r}"])
        (self.folder / ".git/shallow").write_text(self.git("rev-parse", "HEAD"), encoding="utf-8")
        self.assertEqual(golden.faults(self.folder), [])


if __name__ == "__main__":
    unittest.main()
