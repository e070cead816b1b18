"""The tutorial, done as it says, in an environment that holds core and pocket-racer from their wheels."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/tutorial.md"
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALLS_WHAT_IS_THERE = (
    "pip install -c constraints.txt flashdreams-core/ flashdreams-plugins/flashdreams-pocket/"
)


def steps():
    """Language, mark, text and number of each block of the page."""
    text = PAGE.read_text()
    for found in FENCE.finditer(text):
        mark = re.search(r"(file|append): (\S+)", found[2])
        yield found[1], mark and mark.groups(), found[3], text.count("\n", 0, found.start()) + 1


def pattern(printed):
    """What a block of text says, as an expression: ``...`` stands for anything, spaces for any spaces."""
    pieces = [r"\s+".join(map(re.escape, piece.split())) for piece in printed.split("...")]
    return r"\s*.*?\s*".join(pieces)


def test_blocks_of_text_are_matched_as_they_say():
    assert re.fullmatch(pattern("a ...\nb 2"), "a x\ny\nb  2", re.DOTALL)
    assert not re.fullmatch(pattern("a ...\nb 2"), "a x\nb 3", re.DOTALL)


def test_the_step_that_is_left_out_is_the_first():
    assert [INSTALLS_WHAT_IS_THERE in text for _, _, text, _ in steps()].index(True) == 0


@pytest.mark.slow
def test_every_block_does_what_the_tutorial_says(racer_environment, tmp_path):
    folder, printed = tmp_path, ""
    for language, mark, text, line in steps():
        if language == "python":
            kind, name = mark
            before = f"{(folder / name).read_text()}\n\n" if kind == "append" else ""
            (folder / name).write_text(before + text)
        elif language == "text":
            assert re.fullmatch(pattern(text), printed.strip(), re.DOTALL), f"line {line} was\n{printed}"
        elif INSTALLS_WHAT_IS_THERE not in text:
            printed = racer_environment.shell(text, folder)
            folder = folder / "flashdreams-sketch" if text.startswith("cd ") else folder
    made = {path.name for path in tmp_path.glob("*.gif") if path.stat().st_size}
    assert made >= {"sketch-demo.gif", "random.gif", "sketched.gif", "guided-3.gif"}
