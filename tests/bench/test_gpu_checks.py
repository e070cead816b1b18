"""The script of the GPU checks: what of it can run without a card, on small models."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flashdreams.engine.lines.execution import LineBackend
from flashdreams.infra.config import derive_config

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_checks.py"
SLUG = "self-forcing-tiny"
SMALL = dict(height=32, width=32)


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPT.parent))  # as for a script that is run
    spec = importlib.util.spec_from_file_location("gpu_checks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_checks"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_checks"], sys.modules["embedded_prompt"], sys.modules["gpu_parts"]
    sys.path.remove(str(SCRIPT.parent))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card, and the checks would run")
def test_without_a_card_it_says_so_in_a_line_and_is_content():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["No CUDA card here: nothing was checked."]


def test_graphs_are_checked_against_eager(script):
    checks = script.Checks()
    config = script.config_of(SLUG, "cpu", **SMALL)
    script.check_graphs(config, LineBackend(), checks, chunks=9)
    assert not checks.failed, checks.lines
    assert len(checks.lines) == 5
    assert "| replay equals eager | yes | bit for bit |" in checks.lines


def test_every_chunk_after_the_first_two_is_watched_for_waits(script):
    runner = script.config_of(SLUG, "cpu", **SMALL).setup()
    modes, seen, generate = [], [], runner.pipeline.generate

    def watched(index, rollout):
        seen.append((index, modes[-1] if modes else "default"))
        if index == 6:
            raise RuntimeError("the host waited\nsomewhere")
        return generate(index, rollout)

    runner.pipeline.generate = watched
    said = script.waits_of(runner.pipeline, runner.conditions(), 9, modes.append)
    assert said == "the host waited"
    assert [index for index, mode in seen if mode == "error"] == [2, 3, 4, 5, 6]
    assert modes == ["error", "default"]


def test_what_differs_is_found(script):
    a = torch.ones(4, dtype=torch.bfloat16)
    assert script.compared([a], [a.clone()]) == (True, "bit for bit")
    near = a.clone()
    near[0] += torch.finfo(a.dtype).eps
    passed, said = script.compared([near], [a])
    assert passed
    assert "1.00 units" in said
    passed, said = script.compared([a * 2], [a])
    assert not passed
    gone = a * torch.nan
    assert script.compared([near, gone], [a, a]) == (False, "not finite")
    assert sys.modules["gpu_parts"].distance(gone, a) == torch.inf


def test_kernels_are_compared_with_their_twins(script):
    checks = script.Checks()
    sizes = dict(tokens=24, heads=2, head_dim=16, dtype=torch.float32)
    script.check_kernels(torch.device("cpu"), LineBackend(), checks, **sizes, time=0.001)
    assert not checks.failed, checks.lines
    assert len(checks.lines) == 8


def test_what_is_timed_as_a_kernel_is_one(script, monkeypatch):
    parts, launched = sys.modules["gpu_parts"], []
    for module in (parts.norm_rope, parts.modulate, parts.pixels, parts.quantise_rows):
        monkeypatch.setattr(module, "runs_kernels", lambda *tensors, since=None: True)
        for name in [name for name in vars(module) if name.endswith("_kernel") and name != "_kernel"]:
            monkeypatch.setattr(module, name, lambda *args, name=name: launched.append(name))
    every = parts.kernels(torch.device("cpu"), 24, 2, 16, torch.float32)
    for count, (name, kernel, _) in enumerate(every, start=1):
        kernel()
        assert len(launched) == count, name
    assert len({*launched}) == 7


def test_every_backend_that_there_is_is_compared_with_float32(script, monkeypatch):
    checks = script.Checks()
    sizes = dict(queries=6, keys=12, heads=2, head_dim=16, time=0.001)
    script.check_attention(torch.device("cpu"), checks, **sizes)
    assert not checks.failed, checks.lines
    assert [line.split(" |")[0] for line in checks.lines] == ["| attention by sdpa", "| attention by masked"]
    monkeypatch.setattr(sys.modules["gpu_parts"], "distance", lambda ours, theirs: 0.1)
    script.check_attention(torch.device("cpu"), checks, **sizes)
    assert checks.failed


def test_a_failure_is_kept(script):
    checks = script.Checks()
    checks.note("first", True, "well")
    checks.note("second", False, "not well")
    assert checks.failed
    assert checks.lines[1] == "| second | NO | not well |"


def test_a_part_that_raises_is_a_failed_check(script):
    checks = script.Checks()
    assert checks.attempt("sum", lambda: 1 + 1) == 2
    assert not checks.failed
    assert checks.attempt("zero", lambda: 1 / 0) is None
    assert checks.failed
    assert checks.lines == ["| zero | NO | ZeroDivisionError: division by zero |"]


@pytest.mark.slow
def test_speed_is_measured_beside_the_floor(script):
    speeds = [script.measure_speed(title, SLUG, "cpu", 2, **SMALL) for title in script.WAYS]
    page = script.document("a card", script.Checks(), speeds)
    assert page.count("Full window:") == 3
    for _, figures in speeds:
        assert 0 < figures.sixth_floor <= figures.floor
        assert figures.sixth_period > figures.sixth_floor


def test_the_slug_has_the_fields_that_the_script_sets(script):
    config = script.config_of(script.SLUG, "cpu", quantise="fp8")
    assert config.pipeline.diffusion_model.transformer.weights == "random"
    assert config.pipeline.decoder.weights == "random"
    assert derive_config(config, total_blocks=3).pipeline == config.pipeline
