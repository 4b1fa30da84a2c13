"""Runs the sample of docs/protocol.md over docs/vectors.json: it opens what opens, and refuses what must be refused."""

import json
import pathlib
import sys

docs = pathlib.Path(__file__).resolve().parents[4] / "docs"
section = (docs / "protocol.md").read_text(encoding="utf-8").split("\n## Sealed frames\n")[1].split("\n## ")[0]
sample: dict = {}
exec(section.split("```python\n")[1].split("```")[0], sample)

vectors = json.loads((docs / "vectors.json").read_text(encoding="utf-8"))
for frame in vectors["frames"]:
    if frame["opened"] == "":
        continue  # jwcrypto takes an empty plaintext for a failure, and no frame is empty.
    try:
        seen = sample["open_frame"](frame["sealed"], vectors["registration"]["keys"]["content"])
    except Exception:  # Whatever the library raises, the frame is refused.
        seen = None
    if seen != frame["opened"]:
        sys.exit(f"{frame['name']}: {seen!r}")
print(f"{len(vectors['frames'])} frames")
