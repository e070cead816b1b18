"""``flashdreams bench``: what it measures, writes, compares and refuses. How fast is never asserted."""

import json

import pytest

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
    assert figures["command"] == "flashdreams bench toy --chunks 4 --cold 1"
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

    code, compared, _ = command("bench", "toy", "--chunks", "2", "--cold", "0", "--against", str(page))
    assert code == 0
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


def test_a_cold_start_that_fails_says_how_to_try_it(command):
    code, _, err = command("bench", "toy", "--cold", "1", "--device", "cuda:99")
    assert code == 2
    assert "flashdreams bench toy --device cuda:99 --first-chunk" in err


def test_the_toy_has_a_first_chunk_that_is_not_at_full_window():
    assert FULL > 1
    assert toy_pipeline_config().decoder is not None
