"""What the pages show is true: code blocks run, and print what stands below them.

After its language, the fence of a block may say more, which neither GitHub nor the site shows:

- ``needs: gpu`` (``network``, ``hours``, ``environment``): it is not run here. All of these stand in NEEDS.
- ``file: NAME.py``: the block is a piece of that file, which later blocks of the page find. A block whose
  first line is ``# NAME.py`` is that file.
- ``source: PATH``: the block is quoted from that file of the repository.

A block of text directly below a block of code is what that prints, where ``...`` stands for anything.
"""

import ast
import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import textwrap
import types
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "flashdreams-core/*.md", "flashdreams-plugins/*/*.md")
    for path in ROOT.glob(pattern)
    if "_build" not in path.parts and (path.name == "README.md" or "examples" not in path.parts)
)

PUBLISHED = (
    *("causal-forcing-wan2.1-i2v-1.3b-framewise", "causal-forcing-wan2.1-t2v-1.3b-chunkwise"),
    *("causal-forcing-wan2.1-t2v-1.3b-framewise", "self-forcing-wan2.1-t2v-1.3b"),
    *("self-forcing-wan2.1-t2v-1.3b-sink", "self-forcing-wan2.1-t2v-1.3b-taehv"),
    *("wan2.1-i2v-14b-480p", "wan2.1-t2v-1.3b", "wan2.1-t2v-14b"),
)
NEEDS = {
    "README.md": "environment environment environment environment",
    "docs/benchmarks/cpu-2026-11-24.md": "hours hours",
    "docs/benchmarks/engine-cpu-2026-11-24.md": "hours hours",
    "docs/benchmarks/pocket-racer-cpu-2026-11-24.md": "hours",
    "docs/benchmarks/self-forcing-tiny-cpu-2026-11-24.md": "hours",
    "docs/benchmarks/wan-cpu-2026-11-24.md": "hours hours hours",
    "docs/benchmarks/serve-four-clients-cpu-2026-11-29.md": "hours",
    "docs/benchmarks/serve-one-client-cpu-2026-11-29.md": "hours",
    "docs/benchmarks/serve-webrtc-cpu-2026-11-29.md": "hours",
    "docs/gpu-checks.md": "gpu gpu",
    "docs/howto/publish.md": "environment environment",
    "docs/models/pocket-racer-training.md": "hours",
    **{f"docs/models/{slug}.md": "gpu" for slug in PUBLISHED},
    "docs/plugins/model.md": "environment",
    "docs/quantisation.md": "gpu",
    "docs/quickstart.md": "environment environment environment",
    "docs/serve.md": " ".join(["environment"] * 7),
    "flashdreams-core/README.md": "environment",
    "flashdreams-plugins/flashdreams-causal-forcing/README.md": "gpu",
    "flashdreams-plugins/flashdreams-pocket/README.md": "environment environment",
    "flashdreams-plugins/flashdreams-self-forcing/README.md": "gpu",
    "flashdreams-plugins/flashdreams-serve/README.md": "environment environment environment",
    "flashdreams-plugins/flashdreams-taehv/README.md": "environment gpu",
    "flashdreams-plugins/flashdreams-wan/README.md": "gpu",
}
"""Everything that is not run, page by page in its order, and what it would need."""

ELSEWHERE = {
    "docs/tutorial.md": "tests/test_tutorial.py",
    "docs/examples/flashdreams-night-drive/README.md": "tests/test_examples.py",
    "docs/examples/flashdreams-scope/README.md": "tests/test_examples.py",
}
"""Pages that another test runs from top to bottom, in an environment of its own, and which."""
QUOTING = ["docs/concepts.md", "docs/reference/testing.md"]
"""Pages that quote the code, and so hold Python that is compared and not run."""

CODE, PRINTED = ("python", "sh"), ("text", "yaml", "json")
LANGUAGES = {*CODE, *PRINTED, "toml", "nginx", "{toctree}", "{include}"}
MARK = re.compile(r"(needs|file|append|source): (\S+)")
CHANGES = re.compile(r"\b(pip|uv|plugins) (un)?install (?!.*--dry-run)|\buv (sync|run|add)|\bnox\b")
PROGRAM = re.compile(r"(\w+=\S+ )*(\S*/)?(flashdreams(-run)?|python3?|pip|nox|uv|pytest|hf|git|export|cd) ")


@dataclass
class Block:
    """A block of code, or of what is printed."""

    page: str
    line: int
    language: str
    code: str
    marks: dict = field(default_factory=dict)
    printed: str | None = None

    @property
    def runs(self):
        is_ours = self.page not in ELSEWHERE and self.language in CODE
        return is_ours and not self.marks.keys() & {"needs", "source"}

    def __str__(self):
        return f"{self.page}:{self.line}"


def tokens(page):
    return MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8"))


def blocks(page):
    """The fenced blocks of a page; each block of code has what is printed directly below it."""
    found = []
    for above, token in pairwise([None, *tokens(page)]):
        if token.type != "fence":
            continue
        language, _, rest = token.info.strip().partition(" ")
        block = Block(page, token.map[0] + 1, language, token.content, dict(MARK.findall(rest)))
        found.append(block)
        is_below = above is not None and above.type == "fence" and len(found) > 1
        if is_below and language in PRINTED and found[-2].language in CODE:
            found[-2].printed = token.content
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def pages_with(language):
    return sorted({block.page for block in ALL if block.language == language and block.runs})


class Page:
    """Runs the blocks of a page, one after the other, as somebody would who reads it in a new folder."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.module = types.ModuleType("my_package")
        monkeypatch.setitem(sys.modules, "my_package", self.module)
        monkeypatch.chdir(folder)
        self.variables = folder / ".variables"
        self.environment = os.environ | {
            "COLUMNS": "80",
            "NO_COLOR": "1",
            "FLASHDREAMS_CACHE": str(folder / ".cache"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        (folder / ".venv").mkdir()
        (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)

    def run(self, block):
        printed = (self.python if block.language == "python" else self.shell)(block)
        if block.printed is not None:
            check(block, printed)

    def python(self, block):
        whole = re.match(r"# ([\w./-]+\.py)\n", block.code)
        if whole or "file" in block.marks:
            path = Path(whole[1] if whole else block.marks["file"])
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w" if whole else "a") as file:
                file.write(block.code)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block.code, str(block), "exec"), vars(self.module))
        return printed.getvalue()

    def shell(self, block):
        # What one block exports, and where it goes, holds for the next one.
        before = f". {self.variables}" if self.variables.exists() else ":"
        after = f"{{ export -p; echo cd $PWD; }} > {self.variables}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{before}\n{block.code}\n{after}"],
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout


def check(block, printed):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    want = "\n".join(map(str.rstrip, block.printed.strip().splitlines()))
    assert doctest.OutputChecker().check_output(want, printed.strip(), flags), f"{block} prints\n{printed}"


@pytest.fixture
def reader(tmp_path, monkeypatch):
    return Page(tmp_path, monkeypatch)


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_blocks_run_one_after_the_other(page, reader):
    for block in blocks(page):
        if block.runs and block.language == "python":
            reader.run(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("sh"))
def test_a_page_runs_from_top_to_bottom(page, reader):
    for block in blocks(page):
        if block.runs:
            reader.run(block)


def test_what_is_not_run_is_in_the_table():
    found = {}
    for block in ALL:
        if "needs" in block.marks and block.page not in ELSEWHERE:
            found.setdefault(block.page, []).append(block.marks["needs"])
    assert {page: " ".join(needs) for page, needs in found.items()} == NEEDS
    assert {need for needs in found.values() for need in needs} <= {"gpu", "network", "hours", "environment"}


def test_a_page_that_is_run_elsewhere_is_named_there():
    for page, test in ELSEWHERE.items():
        assert page in PAGES
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


def test_no_block_that_is_run_changes_the_environment():
    assert CHANGES.search("python -m pip install x")
    assert [str(block) for block in ALL if block.runs and CHANGES.search(block.code)] == []


def test_every_block_says_what_it_is():
    assert [str(block) for block in ALL if block.language not in LANGUAGES] == []
    for page in PAGES:
        for token in tokens(page):
            if token.type == "fence" and not token.info.startswith("{"):
                assert MARK.sub("", token.info).strip() in LANGUAGES, (
                    f"{page}:{token.map[0] + 1} {token.info}"
                )


@pytest.mark.parametrize("page", PAGES)
def test_no_code_hides_in_a_block_that_is_not_run(page):
    hiding = [token.content for token in tokens(page) if token.type == "code_block"]
    hiding += [block.code for block in blocks(page) if block.language == "text"]
    assert [code for code in hiding if PROGRAM.match(code) or is_python(code)] == []


def is_python(code):
    try:
        statements = ast.parse(textwrap.dedent(code)).body
    except SyntaxError:
        return False
    return not all(isinstance(statement, ast.Expr) for statement in statements)


def test_few_pages_quote():
    assert sorted({block.page for block in ALL if "source" in block.marks}) == QUOTING


@pytest.mark.parametrize("block", [b for b in ALL if "source" in b.marks], ids=str)
def test_a_quotation_is_what_the_code_says(block):
    source = (ROOT / block.marks["source"]).read_text(encoding="utf-8")
    quoted = block.code.strip().splitlines()
    lines = source.splitlines()
    windows = (lines[i : i + len(quoted)] for i in range(len(lines)))
    assert quoted in [textwrap.dedent("\n".join(window)).splitlines() for window in windows]


def test_every_relative_link_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_the_readme_names_the_command_that_ci_runs():
    command = (ROOT / ".ci/run").read_text().splitlines()[-1]
    assert command in [block.code for block in blocks("README.md") if block.language == "sh"][3]
