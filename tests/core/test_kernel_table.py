"""docs/kernels.md: what the kernels need of each card is what is committed, and nothing is spilled."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TABLE = json.loads((DOCS / "kernels.json").read_text())


def installed_triton():
    try:
        return version("triton")
    except PackageNotFoundError:
        return None


def cells():
    return [(row, card, needed) for row in TABLE["rows"] for card, needed in row["cards"].items()]


def test_no_kernel_spills_on_any_card():
    assert {card for _, card, _ in cells()} == {"sm_80", "sm_90", "sm_100", "sm_120"}
    assert [row["kernel"] for row, _, needed in cells() if needed["spilled_bytes"]] == []


def test_whole_rows_move_16_bytes_at_a_time():
    # All but the place of a token in the ring, which is one number.
    for row, card, needed in cells():
        if row["kernel"] not in ("pixels_to_bytes", "quantise_rows"):
            singles = row["kernel"] == "norm_rope_write"
            assert needed["moves"] - needed["moves_of_16_bytes"] == singles, (row["kernel"], card)


@pytest.mark.skipif(installed_triton() is None, reason="triton is not installed")
def test_halves_are_rounded_as_the_twin_rounds_them():
    # A quotient that is off by a unit in the last place moves a half, and the result by a sixteenth.
    script = (
        "import kernel_table as t; cases = t.kernel_cases('cpu', tokens=2, frames=1);"
        "case = next(case for case in cases if case.kernel == 'quantise_rows');"
        "print(t.compiled(case, 90).asm['ptx'])"
    )
    ptx = subprocess.run([sys.executable, "-c", script], cwd=DOCS, capture_output=True, text=True, check=True)
    assert "div.rn.f32" in ptx.stdout
    assert "div.full" not in ptx.stdout


def test_the_page_shows_the_figures():
    page = (DOCS / "kernels.md").read_text()
    for row in TABLE["rows"]:
        shown = [
            f"{n['registers']} / {n['shared_bytes']} / {n['spilled_bytes']}" for n in row["cards"].values()
        ]
        assert f"`{row['kernel']}` | {row['sizes']} | {row['dtype']}" in page
        assert " | ".join(shown) in page


@pytest.mark.skipif(installed_triton() != TABLE["triton"], reason=f"compiled by triton {TABLE['triton']}")
@pytest.mark.parametrize("cards", ["90", pytest.param("80 100 120", marks=pytest.mark.slow)])
def test_the_table_is_what_is_compiled_now(cards, tmp_path):
    done = subprocess.run(
        [sys.executable, str(DOCS / "kernel_table.py"), "--check", *cards.split()],
        env=os.environ | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
