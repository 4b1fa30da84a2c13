"""What the functions used and asked in all twins of a run of the tests: `python tests/rights FOLDER`.

Each twin leaves a record in the folder (twin/src/records.rs), those of the fault matrix in its folder `matrix`. It
fails if

- a right that template.yaml gives was used by no function in any twin: remove it, or test what needs it;
- a function made a kind of request that no row of the fault matrix struck with a fault: give it a row in
  tests/twin/matrix/rows.rs. A kind is the function, the operation, the table or queue, the form of the keys and the
  expressions.
"""

import json
import pathlib
import sys

# Kinds that only a race leads to, which no scenario can hold still: what has to come between what.
RACES = {
    "ConnectFunction dynamodb GetItem local-LookupsTable c#": (
        "a post comes between the record of a connection and its count"
    ),
}
REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent


def read(folder: pathlib.Path) -> list[dict]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]


def name(right: dict) -> str:
    return f"{right['function']}: {right['action']} on {right['resource']}"


def rights(records: list[dict], template: str) -> tuple[set[str], set[str]]:
    """The rights that the template gives, and those of them that were used, also by twins of a changed copy of it.

    A twin whose functions asked for nothing, as in tests of a command, may have other parameters, and so other names.
    """
    ours = [record for record in records if record["template"] == template and record["requests"]]
    given = {name(right) for record in ours for right in record["rights"]}
    used = {name(right) for record in records for right in record["rights"] if right["used"]}
    return given, given & used


def kinds(records: list[dict], functions: set[str], counter: str) -> set[str]:
    """The kinds of requests that the counter has counted, in twins with no other functions than these."""
    ours = [record for record in records if set(record["functions"]) <= functions]
    return {request["kind"] for record in ours for request in record["requests"] if request[counter]}


def faults(tests: list[dict], matrix: list[dict], template: str) -> list[str]:
    """Prints what was counted, and returns what is wrong."""
    given, used = rights(tests + matrix, template)
    functions = {function for record in tests if record["template"] == template for function in record["functions"]}
    asked = kinds(tests + matrix, functions, "times") - RACES.keys()
    struck = kinds(matrix, functions, "struck")
    print(f"twins               {len(tests) + len(matrix):5}  of which {len(matrix)} of the matrix")
    print(f"rights              {len(given):5}  of {len(functions)} functions; used {len(used)}")
    print(f"kinds of requests   {len(asked):5}  struck by a row of the matrix {len(asked & struck)}")
    found = [f"never used: {right}" for right in sorted(given - used)]
    found += [f"no row of the matrix: {kind}" for kind in sorted(asked - struck)]
    if not given or not asked or not matrix:
        found.append("there is no record of the tests, or none of the matrix: run the whole step `tests` before")
    return found


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    found = faults(read(folder), read(folder / "matrix"), str(REPOSITORY / "template.yaml"))
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
