"""``flashdreams bench``: what it measures, writes, compares and refuses. How fast is never asserted."""

import json

import pytest

from flashdreams.bench.document import comparison, people_table, rows_of
from flashdreams.bench.figures import Figures, Spread
from flashdreams.testing.toy import ToyTransformerConfig, toy_pipeline_config

TRANSFORMER = ToyTransformerConfig()
FULL = TRANSFORMER.window // TRANSFORMER.chunk


@pytest.fixture
def measured(command, tmp_path):
    """What a run of the command printed, and the document that it wrote."""
    page = tmp_path / "folder" / "toy.md"
    code, out, err = command("bench", "toy", "--chunks", "4", "--cold", "1", "--document", str(page))
    assert code == 0, err
    return out, page


def test_the_last_line_holds_every_figure_and_the_document_too(measured, command):
    out, page = measured
    figures = json.loads(out.splitlines()[-1])
    assert json.loads(page.read_text().splitlines()[-1]) == figures
    assert figures["slug"] == "toy"
    assert figures["command"] == f"flashdreams bench toy --chunks 4 --cold 1 --document {page}"
    assert figures["period"]["times"] == 4
    assert figures["paths"] == {"eager": 4}
    assert figures["size"]["window"] == TRANSFORMER.window
    assert len(figures["ttfc_cold"]) == 1 < len(figures["ttfc_warm"])
    # A process that imports torch first takes longer than a rollout of a pipeline that is loaded.
    assert figures["ttfc_cold"][0] > max(figures["ttfc_warm"]) > 0
    assert figures["period"]["p50"] <= figures["period"]["p90"] <= figures["period"]["p99"]
    frames = figures["size"]["frames_of_chunk"] / figures["frames_per_second"]
    assert figures["period"]["p50"] / 3 < frames < 3 * figures["period"]["p99"]
    assert {"generate", "denoise", "decode", "finalize"} <= figures["stages"].keys()
    assert figures["of_floor"] == pytest.approx(figures["floor"] / figures["period"]["p50"])
    assert 0 < figures["host_time_per_step"] < 1
    assert figures["versions"]["torch"]
    for words in ("chunk period, p50", "first chunk, cold", "share of the floor"):
        assert words in out
        assert words in page.read_text()

    again = ("--against", str(page), "--document", str(page))
    code, compared, err = command("bench", "toy", "--chunks", "2", "--cold", "0", *again)
    assert code == 0
    assert err == ""  # no terminal
    assert json.loads(page.read_text().splitlines()[-1])["command"].endswith(" ".join(again))
    row = next(line.split() for line in compared.splitlines() if line.startswith("chunk period p50, ms"))
    before, now, ratio = map(float, row[-3:])
    assert before == pytest.approx(figures["period"]["p50"] * 1000, abs=0.01)
    assert ratio == pytest.approx(now / before, rel=0.05)
    assert "first chunk, cold, ms" not in compared  # measured the first time alone


def test_a_model_that_makes_its_clip_at_once_is_measured_rollout_by_rollout(command):
    whole = ("--pipeline.diffusion-model.transformer.chunk", str(TRANSFORMER.window))
    code, out, err = command("bench", "toy", "--chunks", "2", "--cold", "0", "--json", *whole)
    assert code == 0, err
    figures = json.loads(out)
    assert figures["period"]["times"] == 2
    assert figures["sixth_period"] is None
    assert figures["config"]["pipeline"]["diffusion_model"]["transformer"]["chunk"] == TRANSFORMER.window


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("toy", "--chunks", "0"), "--chunks is '0'"),
        (("toy", "--cold", "some"), "--cold is 'some'"),
        (("toy", "--document", "toy.txt"), "It is written in Markdown"),
        (("toy", "--against", __file__), "ends with no figures"),
        (("own-way", "--cold", "0"), "a run() of its own"),
        ((), "No slug was given"),
    ],
)
def test_what_it_refuses(command, words, said):
    code, out, err = command("bench", *words)
    assert (code, out) == (2, "")
    assert said in err


BENCH = json.dumps({"benchmark": "bench", "slug": "toy"})


@pytest.mark.parametrize(
    "text",
    [
        "# My project\n",
        f"# My project\n\n{BENCH}\n",
        f"# racer, 2026-11-24\n\n{BENCH.replace('toy', 'racer')}\n",
        "",
    ],
)
def test_no_file_is_replaced_but_a_document_of_the_same_slug(command, tmp_path, monkeypatch, text):
    page = tmp_path / "README.md"
    page.write_text(text)
    monkeypatch.chdir(tmp_path)
    code, out, err = command("bench", "toy", "--document", "README.md")
    assert (code, out, page.read_text()) == (2, "", text)
    said = [line.removeprefix("error: ").strip() for line in err.splitlines()]
    assert said == [
        "README.md exists already, and is no document that `flashdreams bench toy` wrote.",
        "Only an earlier document of the same slug is replaced.",
        "Name another file, toy-bench.md for instance.",
    ]


def test_what_cannot_be_compared_with_is_not_advised_as_a_name(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("# My project\n")
    (tmp_path / "toy-bench.md").write_text("taken")
    for name, said in (
        ("README.md", "README.md ends with no figures"),
        ("absent.md", "absent.md cannot be read: No such file or directory."),
        (".", ". cannot be read: Is a directory."),
    ):
        code, out, err = command("bench", "toy", "--against", name)
        assert (code, out) == (2, "")
        assert said in err
        assert err.endswith("flashdreams bench toy --document toy-bench-2.md\n")


def test_at_a_terminal_it_says_what_it_does(command, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    code, _, err = command("bench", "toy", "--chunks", "1", "--cold", "2")
    assert code == 0
    assert "Starting a new process for the first chunk of toy, 2 times.\n" in err
    assert "Measuring toy in this process" in err


def figures_of(p50, p90, times):
    """Figures in which one chunk is one pixel frame made in one step."""
    size = {"width": 8, "height": 8, "dtype": "float32", "frames_of_chunk": 1, "steps": 1, "window": 1}
    return Figures(
        **dict(slug="toy", command="", date="2026-11-24", machine="cpu", versions={}, config={}, size=size),
        **dict(ttfc_cold=[], ttfc_warm=[], period=Spread(p50, p90, p90, 0.0, times), sixth_period=None),
        **dict(frames_per_second=1.0, real_time_factor=1.0, paths={}, peak_memory=1, graphs=0),
        **dict(seconds_compiling=0.0, host_time_per_step=None, floor=None, sixth_floor=None),
        stages={"chunk period": 2.0, "generate": 1.0},
    )


def test_the_table_says_what_is_of_few_times_and_what_of_the_profiled_run():
    text = people_table(figures_of(0.010, 0.011, 1))
    assert "1 pixel frame a chunk in 1 step\n" in text
    rows = {name.strip(): said for name, _, said in rows_of(figures_of(0.010, 0.011, 30))}
    assert rows["chunk period, p90"] == ""
    assert rows["chunk period, p99"] == "of 30 times only: near the slowest"
    assert "second run" in rows["profiled chunk period"]
    assert "chunk period" not in rows
    few = {name: said for name, _, said in rows_of(figures_of(0.010, 0.011, 10))}
    assert few["chunk period, p90"] == "of 10 times only: near the slowest"
    assert {said for name, _, said in rows_of(figures_of(1, 1, 100)) if name == "chunk period, p99"} == {""}


@pytest.mark.parametrize(("now", "is_chance"), [(0.0105, True), (0.0125, False), (0.0075, False)])
def test_a_difference_within_the_spread_of_a_run_is_said_to_be_one(now, is_chance):
    before = figures_of(0.010, 0.0112, 30).as_dict()
    text = comparison(before, figures_of(now, now + 0.0001, 30))
    assert ("may be chance" in text) == is_chance
    if is_chance:
        assert "differ by 500 us at p50, and within one of the runs by 1.2 ms from p50 to p90" in text


def test_a_cold_start_that_fails_says_how_to_try_it(command):
    code, _, err = command("bench", "toy", "--cold", "1", "--device", "cuda:99")
    assert code == 2
    assert "flashdreams bench toy --device cuda:99 --first-chunk" in err


def test_the_toy_has_a_first_chunk_that_is_not_at_full_window():
    assert FULL > 1
    assert toy_pipeline_config().decoder is not None
