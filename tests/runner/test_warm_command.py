"""``flashdreams warm``: what it makes ready, what it lists, and the faults that it finds."""

import json
from dataclasses import dataclass

import pytest

from flashdreams.cli.main import main
from flashdreams.cli.stand_ins import _least_recorded
from flashdreams.infra.config import derive_config
from flashdreams.io.lock import references_in
from flashdreams.plugins.registry import installed_registry
from flashdreams.testing.toy import ToyTransformer, ToyTransformerConfig


class Waiting(ToyTransformer):
    """Asks the device for a value."""

    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control) * timestep.item()


class Hoarding(ToyTransformer):
    """Keeps something of every chunk."""

    def remember_chunk(self, latents, cache):
        cache.hoard = [*getattr(cache, "hoard", []), latents.clone()]


@pytest.fixture
def warm(toys, capsys, monkeypatch):
    """Runs the command for a slug of toys, its transformer replaced."""

    def run(*words, transformer=ToyTransformer):
        config = derive_config(toys.TOY, runner_name="faulty")
        config.pipeline.diffusion_model.transformer._target = transformer
        monkeypatch.setattr(toys, "FAULTY", config, raising=False)
        monkeypatch.setenv("FLASHDREAMS_RUNNER_CONFIGS", "faulty=runner_toys:FAULTY")
        code = main(["warm", "faulty", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_graphs_of_a_slug_are_listed(warm):
    code, out, _ = warm("--check")
    lines = out.splitlines()
    assert code == 0
    assert [line.split(":")[0] for line in lines[:8]] == [
        *(f"{stage} 8x8 {n} tokens in sight" for n in (96, 64, 32) for stage in ("denoise", "write_context")),
        *("decode 8x8 later chunks", "decode 8x8 first chunk"),
    ]
    assert lines[8].startswith("MiB are what the recording kept")
    assert lines[9].startswith("8 graphs recorded and replayed in ")
    assert lines[10:] == ["No problems found."]


def test_the_list_for_programs(warm):
    code, out, _ = warm("--check", "--json")
    document = json.loads(out)
    assert (code, document["slug"], document["problems"], len(document["made"])) == (0, "faulty", [], 8)
    assert document["made"][0].keys() == {"stage", "size", "kind", "bytes", "seconds"}


def test_a_stage_that_cannot_be_captured_is_an_error_with_remedies(warm):
    code, _, err = warm("--check", transformer=Waiting)
    assert code == 2
    assert "aten._local_scalar_dense.default at" in err
    assert "test_warm_command.py:" in err
    assert "4. Run without graphs" in err


def test_what_else_is_wrong_is_listed(warm):
    code, out, _ = warm("--check", transformer=Hoarding)
    assert code == 1
    assert "Memory made by aten.clone.default at" in out
    assert out.endswith("\n1 problem found.\n")


def test_on_a_cpu_the_check_is_pointed_out(warm):
    code, out, err = warm()
    assert code == 0
    assert "flashdreams warm faulty --check" in err
    assert "nothing to make ready" in out


def test_rollouts_are_counted(warm):
    assert warm("--slots", "0")[0] == 2


@pytest.mark.parametrize("words", [("--slots", "0"), ("--slots", "0", "--check"), ("--slots", "two")])
def test_a_wrong_number_of_rollouts_is_told(warm, words):
    code, _, err = warm(*words)
    assert code == 2
    assert "It counts rollouts, 1 or more." in err


@dataclass(kw_only=True)
class FetchingConfig(ToyTransformerConfig):
    """A toy whose weights, and a tokenizer where one is named, are fetched."""

    weights: str = "random"
    tokenizer: str = ""

    def weight_references(self):
        return references_in(self.weights, self.tokenizer)


@pytest.fixture
def fetching(warm, toys, monkeypatch):
    """Runs the command for a slug with weights of a lock file; what is random is seen by the transformer."""
    seen = []

    class Drawn(ToyTransformer):
        def __init__(self, config, *args, **kwargs):
            seen.append(config.weights)
            super().__init__(config, *args, **kwargs)

    def run(*words, **fields):
        transformer = FetchingConfig(_target=Drawn, weights="flashdreams_wan:t2v-1.3b", **fields)
        config = derive_config(toys.TOY, runner_name="published")
        config = derive_config(config, pipeline=dict(diffusion_model=dict(transformer=transformer)))
        monkeypatch.setattr(toys, "PUBLISHED", config, raising=False)
        slugs = "published=runner_toys:PUBLISHED,toy-tiny=runner_toys:PUBLISHED"
        monkeypatch.setenv("FLASHDREAMS_RUNNER_CONFIGS", slugs)
        installed_registry.cache_clear()
        return main(["warm", "published", *words]), seen

    return run


def test_weights_that_would_be_fetched_are_random(fetching, capsys):
    code, seen = fetching("--check")
    out, err = capsys.readouterr()
    assert (code, {*seen}) == (0, {"random"})
    assert (
        "random weights stand in for those to be fetched: pipeline.diffusion_model.transformer.weights."
        in (err.lower())
    )
    assert out.endswith("No problems found.\n")


def test_files_that_nothing_stands_in_for_are_named_with_what_to_check_instead(
    fetching, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    code, seen = fetching("--check", tokenizer="flashdreams_wan:tokenizer")
    what, right, step = capsys.readouterr().err.splitlines()
    assert (code, seen) == (2, [])
    assert "--pipeline.diffusion-model.transformer.tokenizer flashdreams_wan:tokenizer" in what
    assert "random" in right
    assert "flashdreams warm " in step
    assert "tiny --check" in step


def test_what_the_memory_cannot_hold_is_not_begun(fetching, capsys):
    size = ("--pipeline.height", "32768", "--pipeline.width", "32768")
    code, _ = fetching("--check", *size)
    what, _, step = capsys.readouterr().err.splitlines()
    assert code == 2
    assert "needs" in what
    assert "free" in what
    assert "--force" not in step
    assert "tiny --check" in step


def test_recordings_that_the_memory_cannot_hold_are_not_begun(fetching, capsys, monkeypatch):
    monkeypatch.setattr("flashdreams.cli.stand_ins._least_recorded", lambda config: 2**60)
    code, _ = fetching("--check")
    assert code == 2
    assert "GiB at least to be recorded" in capsys.readouterr().err


def test_what_is_said_to_be_recorded_at_least_is_no_more_than_what_is(warm, toys):
    _, out, _ = warm("--check", "--json")
    kept = sum(each["bytes"] for each in json.loads(out)["made"])
    assert 0 <= _least_recorded(toys.TOY) <= kept


def test_at_a_terminal_the_check_says_what_it_does(warm, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert "Recording the graphs of faulty on the CPU" in warm("--check")[2]
