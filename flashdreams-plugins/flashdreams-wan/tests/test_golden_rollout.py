"""A whole Self-Forcing rollout against the published implementation: all latents, and all pixels."""

import json

import pytest
import torch
from safetensors.torch import load_file

from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.infra.pipeline import StreamInferencePipelineConfig
from flashdreams_wan.dit.config import WanTransformerConfig
from flashdreams_wan.vae.config import WanVAEDecoderConfig


class Golden:
    """One golden rollout: its config, its weights, and what went in and came out."""

    def __init__(self, folder, dtype):
        self.folder, self.dtype = folder, dtype
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors = load_file(folder / "io.safetensors")
        self.latents = self.tensors["latents"].transpose(1, 2)
        self.steps = len(self.config["args"]["denoising_step_list"])
        self.chunk = self.config["args"]["num_frame_per_block"]

    def noise(self, seed, chunk, draw, member, shape):
        """The published draws: the initial noise, then a fresh draw before each further step."""
        if draw == 0:
            frames = self.tensors["noise"][0, chunk * self.chunk : (chunk + 1) * self.chunk]
        else:
            renoise = self.tensors[f"renoise.{chunk * (self.steps - 1) + draw - 1:03d}"]
            frames = renoise.reshape(-1, *self.tensors["noise"].shape[2:])
        return frames.transpose(0, 1).float().reshape(shape)

    def pipeline(self):
        model = self.config["model"]
        transformer = WanTransformerConfig(
            context_encoder=GivenTextConfig(),
            width=model["dim"],
            mlp_width=model["ffn_dim"],
            layers=model["num_layers"],
            heads=model["num_heads"],
            frequency_width=model["freq_dim"],
            text_width=model["text_dim"],
            text_tokens=model["text_len"],
            chunk=self.chunk,
            window=21,
            weights=str(self.folder / "model.safetensors"),
        )
        config = StreamInferencePipelineConfig(
            name="golden",
            diffusion_model=DiffusionModelConfig(
                transformer=transformer,
                scheduler=FlowMatchSchedulerConfig(
                    denoising_timesteps=[float(t) for t in self.config["args"]["denoising_step_list"]]
                ),
            ),
            decoder=WanVAEDecoderConfig(base_width=8, weights=str(self.folder / "vae.safetensors")),
            height=64,
            width=96,
            dtype=self.dtype,
        )
        return config.setup()

    def rollout(self):
        """Our latents ``[B, C, T, H, W]`` and pixels in [0, 1] ``[B, T, 3, H, W]``."""
        pipeline = self.pipeline()
        latents, pixels = [], []
        inputs = {"text": self.tensors["prompt_embeds"]}
        with pipeline.initialize_cache(noise=self.noise, **{"embedded": inputs["text"]}) as rollout:
            for index in range(self.latents.shape[2] // self.chunk):
                pixels.append(pipeline.generate(index, rollout))
                latents.append(rollout.pending.latents)
                pipeline.finalize(index, rollout)
        frames = torch.cat(pixels, dim=2).transpose(1, 2)
        return torch.cat(latents, dim=2), (frames + 1) / 2


class GivenTextConfig(EncoderConfig):
    """Takes a prompt that is embedded already."""

    def __init__(self):
        self._target = GivenText


class GivenText(Encoder):
    """Hands the embedded prompt on."""

    takes = frozenset({"embedded"})

    def forward(self, conditions):
        return {"text": conditions.inputs["embedded"]}


def difference(ours, theirs):
    return (ours.float() - theirs.float()).abs().max().item()


def test_a_rollout_equals_the_published_one(oracles, parity):
    golden = Golden(oracles / "sf_tiny", "float32")
    latents, pixels = golden.rollout()
    errors = difference(latents, golden.latents), difference(pixels, golden.tensors["video"])
    parity("a rollout of three chunks, latents, against Self-Forcing's published code", errors[0])
    parity("the same rollout, pixels in [0, 1]", errors[1])
    assert max(errors) < 1e-4


def test_the_error_of_bfloat16_is_at_most_twice_the_published_ones(oracles, parity):
    half, full = Golden(oracles / "sf_tiny_bf16", "bfloat16"), Golden(oracles / "sf_tiny", "float32")
    latents, pixels = half.rollout()
    video = full.tensors["video"]
    errors = difference(latents, full.latents), difference(pixels, video)
    theirs = difference(half.latents, full.latents), difference(half.tensors["video"], video)
    parity("a rollout in bfloat16, latents, beside the published code's", errors[0], theirs[0])
    parity("the same rollout in bfloat16, pixels in [0, 1]", errors[1], theirs[1])
    assert min(theirs) > 1e-3, "the two golden rollouts differ by their dtype"
    assert errors[0] < 2 * theirs[0]
    assert errors[1] < 2 * theirs[1]


@pytest.mark.parametrize("index", range(3))
def test_the_draws_are_given_in_the_published_order(oracles, index):
    golden = Golden(oracles / "sf_tiny", "float32")
    noisy = golden.tensors[f"call.{index * 5 + 1:03d}.noisy"]
    clean = golden.tensors[f"call.{index * 5:03d}.x0"]
    sigma = 0.9375
    shape = (16, 3, *golden.tensors["noise"].shape[3:])
    renoised = (1 - sigma) * clean + sigma * golden.noise(0, index, 1, 0, shape).transpose(0, 1)[None]
    assert difference(renoised, noisy) < 1e-5
