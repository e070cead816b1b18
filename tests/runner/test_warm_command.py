"""``flashdreams warm``: what it makes ready, what it lists, and the faults that it finds."""

import json

import pytest

from flashdreams.cli.main import main
from flashdreams.infra.config import derive_config
from flashdreams.testing.toy import ToyTransformer


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
        *("denoise 8x8 96", "write_context 8x8 96", "denoise 8x8 64", "write_context 8x8 64"),
        *("denoise 8x8 32", "write_context 8x8 32", "decode 8x8 later chunks", "decode 8x8 first chunk"),
    ]
    assert lines[8].startswith("8 made ready in ")


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
