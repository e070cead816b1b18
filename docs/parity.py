"""Write docs/models/parity.md from what the tests measured, as ``nox -s parity`` does.

    pytest flashdreams-plugins --junitxml report.xml && python docs/parity.py report.xml

The tests record their errors as properties of the report. Each row of the table is the worst of its cases.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

PAGE = Path(__file__).parent / "models/parity.md"

HEAD = """\
# Parity

<!-- Written by docs/parity.py from a report of the tests: nox -s parity -->

The largest absolute difference over all cases of a row, on random weights at tiny sizes. Where there is a
peer, both are compared with the same model in float64 (for bfloat16, in float32), and a test holds ours to at
most twice the peer's. "Published code" is that of the model's authors; its inputs and outputs are golden
files, read where `FLASHDREAMS_ORACLES` names their folder.

| what | cases | ours | peer's |
|---|---|---|---|
"""

Case = tuple[str, float, float | None]


def rows(report: Path) -> dict[str, list[Case]]:
    """Cases by the title of their row, in the order of the report."""
    found: dict[str, list[Case]] = defaultdict(list)
    for node in ElementTree.parse(report).iter("property"):
        if node.get("name") == "parity":
            title, ours, theirs = json.loads(node.get("value") or "")
            found[title].append((title, ours, theirs))
    return found


def line(title: str, cases: list[Case]) -> str:
    """A row of the table."""
    ours = max(case[1] for case in cases)
    peers = [case[2] for case in cases if case[2] is not None]
    return f"| {title} | {len(cases)} | {figure(ours)} | {figure(max(peers)) if peers else ''} |"


def figure(error: float) -> str:
    """An error as people read it."""
    return "0" if error == 0 else f"{error:.1e}"


def main() -> int:
    """Write the page; the exit code is 1 where the report holds no figures."""
    found = rows(Path(sys.argv[1]))
    if not found:
        print(f"{sys.argv[1]} holds no figures of parity.", file=sys.stderr)
        return 1
    PAGE.write_text(HEAD + "\n".join(line(*item) for item in sorted(found.items())) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
