"""Self-Forcing's slugs: the published schedule, and the tiny one as people run it."""

import av
import numpy as np
import pytest

from flashdreams.cli.main import main
from flashdreams.infra.config import derive_config
from flashdreams_self_forcing.config import (
    SELF_FORCING,
    SELF_FORCING_SINK,
    SELF_FORCING_TAEHV,
    SELF_FORCING_TINY,
)

TINY = ("run", "self-forcing-tiny", "--device", "cpu", "--progress", "off", "--height", "32", "--width", "48")


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Runs a command in this process, in an empty folder with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path / "cache"))

    def run(*argv):
        code = main(argv)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def latents(path):
    """Latents ``[1, C, T, H, W]`` of all chunks."""
    with np.load(path) as chunks:
        return np.concatenate([chunks[name] for name in sorted(chunks) if name.startswith("chunk-")], axis=2)


def test_the_schedule_is_the_published_one():
    scheduler = SELF_FORCING.pipeline.diffusion_model.scheduler.setup()
    published = [1000, 750, 500, 250]
    warped = [1000 * 5 * (t / 1000) / (1 + 4 * (t / 1000)) for t in published]
    assert scheduler.timesteps.tolist() == pytest.approx(warped, abs=1e-6 * 1000)
    assert [1000 * sigma for sigma in scheduler.sigmas[:-1]] == pytest.approx(
        [1000, 937.5, 2500 / 3, 625], abs=1e-6
    )


def test_published_settings():
    for runner in (SELF_FORCING, SELF_FORCING_TAEHV, SELF_FORCING_SINK):
        pipeline, transformer = runner.pipeline, runner.pipeline.diffusion_model.transformer
        assert (transformer.chunk, transformer.window, transformer.layers) == (3, 21, 30)
        assert (transformer.guidance_scale, transformer.context_noise) == (1.0, 0.0)
        assert (pipeline.height, pipeline.width, runner.fps, pipeline.dtype) == (480, 832, 16.0, "bfloat16")
        assert runner.runner_name == pipeline.name
    sink = SELF_FORCING_SINK.pipeline.diffusion_model.transformer
    assert (sink.sink, sink.rope_positions) == (3, "window")


def test_the_tiny_slug_makes_a_moving_colourful_video_of_81_frames(cli, tmp_path):
    assert cli(*TINY, "--scale", "1", "--output", "a.mp4")[0] == 0
    with av.open(str(tmp_path / "a.mp4")) as container:
        video = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)]).astype(float)
    assert video.shape == (81, 32, 48, 3)
    assert video.std() > 10
    assert np.abs(np.diff(video, axis=0)).mean() > 1


def test_a_prompt_takes_over_on_the_way(cli, tmp_path):
    switch = ("--prompt-switches", "2:a whale", "--total-blocks", "4")
    assert cli(*TINY, "--total-blocks", "4", "--output", "plain.npz")[0] == 0
    assert cli(*TINY, *switch, "--output", "switched.npz")[0] == 0
    plain, switched = (latents(tmp_path / f"{name}.npz") for name in ("plain", "switched"))
    before, after = np.abs(plain - switched)[:, :, :6].max(), np.abs(plain - switched)[:, :, 6:].max()
    assert before == 0
    assert after > 1e-3
    assert cli("run", "--config", "switched.npz.run.yaml", "--output", "again.npz")[0] == 0
    assert np.array_equal(switched, latents(tmp_path / "again.npz"))


def test_guidance_asks_for_a_negative_prompt_before_anything_is_built(cli):
    guided = ("--pipeline.diffusion-model.transformer.guidance-scale", "5", "--print-config")
    code, said = cli(*TINY, *guided)
    assert (code, "guidance_scale is 5.0, without a negative prompt" in said) == (2, True), said
    assert cli(*TINY, *guided, "--negative-prompt", "")[0] == 0


def test_a_rollout_without_end_stays_in_its_range():
    config = derive_config(
        SELF_FORCING_TINY.pipeline,
        diffusion_model=dict(transformer=dict(window=9, sink=3, rope_positions="window")),
        height=32,
        width=48,
    )
    pipeline = config.setup()
    with pipeline.initialize_cache(prompts="a fox") as rollout:
        spread = [chunk.std().item() for chunk in pipeline.stream(rollout, [None] * 40)]
    assert np.isfinite(spread).all()
    assert max(spread[20:]) < 2 * max(spread[:5])


@pytest.mark.parametrize("remembered", [True, False])
def test_prompts_are_embedded_ahead_only_where_they_are_remembered(remembered, tmp_path, monkeypatch):
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path / "cache"))
    config = derive_config(
        SELF_FORCING_TINY,
        height=32,
        width=48,
        device="cpu",
        prompt_switches=["1:a whale"],
        pipeline=dict(
            diffusion_model=dict(
                transformer=dict(context_encoder=dict(text=dict(cache_embeddings=remembered)))
            )
        ),
    )
    with config.setup().begin_rollout():
        cached = list((tmp_path / "cache" / "embeddings").rglob("*.safetensors"))
    assert len(cached) == (2 if remembered else 0)
