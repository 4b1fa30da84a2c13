"""The golden files of versions that are released stay as they were: docs/decisions/shapes.md."""

import pathlib
import subprocess

FOLDER = "tests/golden"
COMMIT = "tests/rollback/commit"


def faults(repository: pathlib.Path) -> list[str]:
    """What differs from the last release, whose commit a file names, in the folders of versions that it has."""
    commit = (repository / COMMIT).read_text(encoding="utf-8").strip()
    listed = git(repository, "ls-tree", "-r", "-z", commit, f"{FOLDER}/")
    if listed is None:
        # A clone without its history has nothing to compare with.
        is_shallow = git(repository, "rev-parse", "--is-shallow-repository")
        return [] if (is_shallow or "").strip() == "true" else [f"{COMMIT}: there is no commit {commit!r}"]
    released = dict(reversed(line.split("\t", 1)) for line in listed.split("\0") if line)
    versions = {pathlib.PurePosixPath(name).parent for name in released}
    found = []
    for name, entry in released.items():
        is_same = (repository / name).is_file() and git(repository, "hash-object", name).strip() == entry.split()[2]
        found += [] if is_same else [f"{name}: differs from the release that closed its version"]
    for version in versions:
        present = {path.relative_to(repository).as_posix() for path in (repository / version).glob("*")}
        joined = sorted(present - released.keys())
        found += [f"{name}: is not in the release that closed its version" for name in joined]
    return found


def git(repository: pathlib.Path, *arguments: str) -> str | None:
    run = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True)
    return run.stdout if run.returncode == 0 else None
