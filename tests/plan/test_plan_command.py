"""``flashdreams plan``: the tables for people, the document for programs."""

import json
import re
import subprocess
import sys

import pytest

from flashdreams.cli.plan_text import scaled
from flashdreams.plan import CARDS

NUMBER = (int, float)
WORK = dict.fromkeys(("flops", "moved", "float8_flops", "attention_flops"), int)
SCHEMA = {
    "slug": str,
    "size": {
        **dict.fromkeys(("height", "width", "batch_size", "chunk", "window", "steps"), int),
        **{"dtype": str, "first_frames": int, "frames": int, "fps": float},
    },
    "weights": [{"part": str, "parameters": int, "bytes": int, "transient": bool}],
    "memory": {
        **dict.fromkeys(("weights", "kv_cache", "context", "noise", "states", "pixels"), int),
        **dict.fromkeys(("transient", "heap", "runtime", "held", "peak", "total"), int),
        "busiest": str,
    },
    "passes": [{"name": str, "times": int, "first": WORK, "full": WORK, "activations": int, "peak": int}],
    "chunk": {"first": WORK, "full": WORK},
    "unplanned": [{"part": str, "reason": str}],
    "cards": [
        {
            "card": {
                **{"name": str, "flops": NUMBER, "bandwidth": NUMBER, "memory": int, "source": str},
                **{"kind": str, "measured_dtype": str, "float8_rate": float, "attention": type(None)},
            },
            **{"total": int, "fits": bool, "context_on_host": bool, "first_period": NUMBER},
            **{"period": NUMBER, "fps": NUMBER, "real_time": bool},
        }
    ],
}


def check(value, schema, where="plan"):
    if isinstance(schema, dict):
        assert {*value} == {*schema}, where
        for name, inner in schema.items():
            check(value[name], inner, f"{where}.{name}")
    elif isinstance(schema, list):
        for item in value:
            check(item, schema[0], where)
    else:
        assert isinstance(value, schema), where
        assert isinstance(value, bool) == (schema is bool), where


def test_json_is_one_document_of_this_shape(command):
    code, out, err = command("plan", "toy", "--json")
    assert (code, err) == (0, "")
    plan = json.loads(out)
    check(plan, SCHEMA)
    assert [each["card"]["name"] for each in plan["cards"]] == [*CARDS, "cpu"]
    assert plan["memory"]["total"] == sum(plan["memory"][name] for name in ("peak", "heap", "runtime"))


def test_text_names_parts_memory_work_and_cards(command):
    code, out, _ = command("plan", "toy", "--card", "H100", "--card", "4090")
    assert code == 0
    assert out.splitlines()[:2] == [
        "toy: 8 x 8 pixels, float32",
        "latent frames: chunk 2, window 6; a chunk makes 2 pixel frames in 2 denoising steps",
    ]
    rows = {line.split("  ")[0]: line.split() for line in out.splitlines() if line}
    assert rows["transformer"] == ["transformer", "4.77", "k", "18.6", "KiB"]
    assert rows["KV cache"][:4] == ["KV", "cache", "24.6", "KiB"]
    assert rows["denoising step"][2:8] == ["x", "2", "402", "k", "664", "k"]
    assert rows["a chunk"][2:6] == ["1.21", "M", "2", "M"]
    assert rows["H100"][1:3] == ["74.51", "GiB"]
    assert rows["RTX 4090"][2:4] == ["22.35", "GiB"]
    assert rows["RTX 4090"][-1] == "possible"
    assert "cpu" not in rows


def test_flags_of_the_slug_and_the_batch_are_planned(command):
    words = ("--pipeline.height", "16", "--pipeline.diffusion-model.transformer.window", "12")
    _, out, _ = command("plan", "toy", *words, "--batch", "3", "--card", "A100", "--json")
    plan = json.loads(out)
    size = {name: plan["size"][name] for name in ("height", "window", "batch_size")}
    assert size == {"height": 16, "window": 12, "batch_size": 3}
    _, out, _ = command("plan", "toy", "--batch", "3", "--card", "A100")
    assert "8 x 8 pixels, float32, 3 videos" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--card", "H101"), "There is no card 'H101' in the table."),
        (("--batch", "none"), "--batch is 'none'."),
        (("--batch", "0"), "--batch is '0'."),
        (("--pipeline.hieght", "8"), "--pipeline.hieght is no flag of `flashdreams plan toy`."),
    ],
)
def test_mistakes_are_told(command, words, message):
    code, out, err = command("plan", "toy", *words)
    assert (code, out) == (2, "")
    assert message in err


def test_help_needs_no_torch():
    program = (
        "import sys; from flashdreams.cli.main import main\n"
        "code = main(['plan', 'pocket-racer', '--help'])\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert re.search(r"--card NAME", done.stdout)


def test_numbers_are_short():
    assert [scaled(n) for n in (0, 950, 1420, 4.04e13, 2.8e16)] == ["0", "950", "1.42 k", "40.4 T", "28 P"]
