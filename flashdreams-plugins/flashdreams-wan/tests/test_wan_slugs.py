"""The family's slugs: published settings, the tiny one as people run it, and what it refuses."""

import av
import numpy as np
import pytest
from PIL import Image

from flashdreams.cli.main import main
from flashdreams.infra.config import derive_config
from flashdreams_wan.config import WAN_I2V_14B_480P, WAN_T2V_1_3B, WAN_T2V_14B, WAN_TINY_T2V

PUBLISHED = {
    "wan2.1-t2v-1.3b": (WAN_T2V_1_3B, dict(width=1536, layers=30, heads=12, guidance_scale=6.0), (50, 5.0)),
    "wan2.1-t2v-14b": (WAN_T2V_14B, dict(width=5120, layers=40, heads=40, guidance_scale=5.0), (50, 5.0)),
    "wan2.1-i2v-14b-480p": (WAN_I2V_14B_480P, dict(condition_channels=20, image_width=1280), (40, 3.0)),
}
TINY = ("run", "wan-tiny-t2v", "--device", "cpu", "--progress", "off")
SMALL = (
    "--height",
    "32",
    "--width",
    "48",
    "--scale",
    "1",
    "--pipeline.diffusion-model.scheduler.num-inference-steps",
    "2",
)


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


def frames(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def latents(path):
    """Latents ``[1, C, T, H, W]`` of all chunks."""
    with np.load(path) as chunks:
        return np.concatenate([chunks[name] for name in sorted(chunks) if name.startswith("chunk-")], axis=2)


@pytest.mark.parametrize("slug", PUBLISHED)
def test_published_settings(slug):
    runner, fields, (steps, shift) = PUBLISHED[slug]
    pipeline, model = runner.pipeline, runner.pipeline.diffusion_model
    assert {name: getattr(model.transformer, name) for name in fields} == fields
    assert (model.scheduler.num_inference_steps, model.scheduler.shift) == (steps, shift)
    assert model.transformer.chunk == model.transformer.window == 21
    assert (pipeline.height, pipeline.width, pipeline.dtype, runner.fps) == (480, 832, "bfloat16", 16.0)
    negative = "镜头晃动，色调艳丽" if "i2v" in slug else "色调艳丽"  # noqa: RUF001
    assert model.transformer.context_encoder.negative_prompt.startswith(negative)
    assert runner.runner_name == slug


def test_the_tiny_slug_makes_a_moving_colourful_video(cli, tmp_path):
    code, _ = cli(*TINY, *SMALL, "--output", "a.mp4")
    assert code == 0
    video = frames(tmp_path / "a.mp4").astype(float)
    assert video.shape == (33, 32, 48, 3)
    assert video.std() > 10
    assert np.abs(np.diff(video, axis=0)).mean() > 1


def test_prompt_negative_prompt_and_guidance_matter(cli, tmp_path):
    (tmp_path / "fox.txt").write_text("a fox\n")
    variants = {
        "base": ("--prompt", "a fox"),
        "file": ("--prompt", "@fox.txt"),
        "other": ("--prompt", "a whale"),
        "negative": ("--prompt", "a fox", "--negative-prompt", "snow"),
        "unguided": ("--prompt", "a fox", "--pipeline.diffusion-model.transformer.guidance-scale", "1"),
    }
    for name, flags in variants.items():
        assert cli(*TINY, *SMALL, *flags, "--output", f"{name}.npz")[0] == 0
    videos = {name: latents(tmp_path / f"{name}.npz") for name in variants}
    assert np.array_equal(videos["base"], videos["file"])
    for name in ("other", "negative", "unguided"):
        assert np.abs(videos["base"] - videos[name]).max() > 1e-3, name


def test_size_checkpoint_and_lora_reach_the_pipeline(tmp_path):
    runner = derive_config(
        WAN_T2V_1_3B, height=320, checkpoint=tmp_path / "mine.pt", lora=["a.safetensors:0.5"]
    )
    pipeline = runner.effective_pipeline
    transformer = pipeline.diffusion_model.transformer
    assert (pipeline.height, pipeline.width) == (320, 832)
    assert (transformer.weights, transformer.lora) == (str(tmp_path / "mine.pt"), ["a.safetensors:0.5"])
    assert WAN_TINY_T2V.effective_pipeline == WAN_TINY_T2V.pipeline


CAUSAL = ("--pipeline.diffusion-model.transformer.chunk", "3")
REFUSED = {
    "an image that nobody looks at": (("--image", "a.png"), "makes video from a prompt alone"),
    "a prompt file that is not there": (("--prompt", "@none.txt"), "The prompt '@none.txt' cannot be read"),
    "a prompt file of bytes": (("--prompt", "@a.png"), "no UTF-8 text"),
    "a size of no whole latents": (("--height", "100"), "100"),
    "a size of no whole patches": (("--height", "120", "--width", "200"), "both are multiples of 16"),
    "a second chunk of a whole clip": (("--total-blocks", "2"), "9 latent frames at once"),
    "new prompts that nobody takes": (
        ("--prompt-switches", "1:rain", "--total-blocks", "2", *CAUSAL, "--pipeline.encoder", "None"),
        "the pipeline has no encoder",
    ),
    "two prompts for a chunk": (
        ("--prompt-switches", "1:rain", "1:snow", "--total-blocks", "2", *CAUSAL),
        "Two prompts take over at chunk 1",
    ),
    "a LoRA that is not there": (("--lora", "none.safetensors"), "The LoRA none.safetensors"),
    "a checkpoint that is not there": (("--checkpoint", "none.safetensors"), "none.safetensors"),
    "a switch without chunk": (("--prompt-switches", "rain"), "It reads CHUNK:TEXT"),
    "a switch after the end": (("--prompt-switches", "9:rain"), "this run has no other"),
    "a negative prompt without guidance": (
        ("--negative-prompt", "x", "--pipeline.diffusion-model.transformer.guidance-scale", "1"),
        "guidance_scale is 1",
    ),
}


FOUND_BY_LOADING = ("a checkpoint that is not there",)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_run_is_refused_and_nothing_is_left_behind(case, cli, tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    flags, message = REFUSED[case]
    only_checked = () if case in FOUND_BY_LOADING else ("--print-config",)
    code, said = cli(*TINY, *flags, *only_checked, "--output", "x.mp4")
    assert (code, "Traceback" in said) == (2, False), said
    assert message in said
    assert not list(tmp_path.glob("x*"))


def test_the_image_begins_a_clip_of_the_length_asked_for(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    clip = dict(diffusion_model=dict(transformer=dict(chunk=5, window=5)))
    runner = derive_config(WAN_I2V_14B_480P, pipeline=clip, image=tmp_path / "a.png", height=32, width=48)
    given = runner.setup().conditions()
    assert (given["latent_frames"], given["first_frame"].shape) == (5, (1, 3, 1, 32, 48))


def test_the_record_holds_prompts_as_they_were_read(tmp_path):
    (tmp_path / "snow.txt").write_text("snow\n")
    runner = derive_config(WAN_TINY_T2V, prompt="a fox", negative_prompt=f"@{tmp_path / 'snow.txt'}")
    assert runner.setup().record() == {"prompts": {0: "a fox"}, "negative_prompt": "snow"}
