"""Runs the family: reads prompts and images, and hands out the prompts that take over on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flashdreams.errors import InputError
from flashdreams.infra.runner.base import Capabilities, Runner
from flashdreams.infra.runner.steering import Steering, Text, Value
from flashdreams.io.images import read_image
from flashdreams.io.lora_file import split_scale
from flashdreams_wan.runner.checks import check_run
from flashdreams_wan.runner.config import WanRunnerConfig
from flashdreams_wan.runner.prompts import prompt_file, read_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from flashdreams.infra.pipeline.rollout import Rollout

_TAKES_OVER = "The fox leaps into deep water, and a school of silver fish scatters around it."


class WanRunner(Runner):
    """A video from a prompt, an image where the model takes one, and prompts that take over."""

    config: WanRunnerConfig

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """A causal model goes on as long as anyone likes and takes new prompts; a clip is one chunk."""
        pipeline = self.config.effective_pipeline
        is_causal = getattr(pipeline.diffusion_model.transformer, "is_causal", True)
        return Capabilities(
            prompts=True,
            past=is_causal,
            controls=is_causal and pipeline.encoder is not None,
            chunks=None if is_causal else 1,
        )

    def conditions(self) -> dict[str, Any]:
        """Prompt, negative prompt and first frame, and how long a clip it begins."""
        return self._conditions(read_prompt(self.config.prompt), self._first_frame)

    def control(self, index: int, last_chunk: Tensor | None) -> dict[str, str] | None:
        """The prompt that takes over at chunk ``index``, if one does."""
        return {"prompt": self._switches[index]} if index in self._switches else None

    def control_examples(self) -> Sequence[dict[str, str] | None]:
        """To go on as before, and a prompt that takes over; none for a clip."""
        return [None, {"prompt": _TAKES_OVER}] if self.capabilities.controls else []

    def steering(self) -> Steering:
        """Prompt and image that a video begins with, and for a causal model prompts that take over."""
        prompt = Text(name="prompt", example=read_prompt(self.config.prompt))
        new_prompt = Text(name="prompt", label="new prompt", example=_TAKES_OVER)
        takes_image = self._first_frame_becomes != "none"
        return Steering(
            texts=(new_prompt,) if self.capabilities.controls else (),
            prompt=prompt,
            image=takes_image,
            needs_image=takes_image and self.config.image is None,
        )

    def steered(self, values: Mapping[str, Value]) -> dict[str, Value] | None:
        """The prompt that takes over with a chunk, if a new one was given."""
        return {"prompt": values["prompt"]} if "prompt" in values else None

    def opening(
        self, *, seed: int, prompt: str | None = None, start: str | Tensor | None = None
    ) -> dict[str, Any]:
        """As every runner; with an image as ``start``, the config needs none."""
        words = read_prompt(self.config.prompt) if prompt is None else prompt
        return {**self._conditions(words, self._first_frame if start is None else start), "seed": seed}

    def begin_rollout(self) -> Rollout:
        """Begin, with every prompt that will take over remembered on disk: encoders are loaded once."""
        encoder: Any = self.pipeline.diffusion_model.transformer.context_encoder
        text = getattr(encoder.config, "text", None)
        if self._switches and getattr(text, "cache_embeddings", False):
            encoder.encode_prompts([read_prompt(self.config.prompt), *self._switches.values()])
        return super().begin_rollout()

    def record(self) -> dict[str, Any]:
        """The prompts as they were read, so that a reader need not have their files."""
        prompts = {0: read_prompt(self.config.prompt), **self._switches}
        negative = self.config.negative_prompt
        return {
            "prompts": prompts,
            **({} if negative is None else {"negative_prompt": read_prompt(negative)}),
        }

    def input_files(self) -> list[str]:
        """Files of prompts, of LoRA, and the weights that are files of the user's own."""
        config = self.config
        switched = (switch.partition(":")[2].strip() for switch in config.prompt_switches)
        texts = [config.prompt, config.negative_prompt or "", *switched]
        files = [str(path) for text in texts if (path := prompt_file(text)) is not None]
        return sorted({*files, *(str(split_scale(text)[0]) for text in config.lora)})

    def check(self) -> None:
        """Refuse what could not be run: prompts and images included. Nothing is built or written."""
        check_run(self.config)
        super().check()

    def _conditions(self, prompt: str, first_frame: Any) -> dict[str, Any]:
        given: dict[str, Any] = {"prompts": [prompt]}
        if self.config.negative_prompt is not None:
            self._check_guidance()
            given["negative_prompt"] = read_prompt(self.config.negative_prompt)
        if first_frame is not None:
            given["first_frame"] = first_frame
        if self._first_frame_becomes == "channels":
            chunk = self.config.effective_pipeline.diffusion_model.transformer.chunk
            given["latent_frames"] = chunk * self.config.total_blocks
        return given

    @cached_property
    def _switches(self) -> dict[int, str]:
        """Prompt by the chunk at which it takes over."""
        parts = (switch.partition(":") for switch in self.config.prompt_switches)
        return {int(chunk): read_prompt(text.strip()) for chunk, _, text in parts}

    @cached_property
    def _first_frame(self) -> Tensor | None:
        """Pixels ``[1, 3, 1, H, W]`` of the image, where the model takes one.

        Raises:
            InputError: The model needs an image and none is named, or takes none.
            ImageError: The image cannot be read.
        """
        pipeline = self.config.effective_pipeline
        takes_image = self._first_frame_becomes != "none"
        slug, image = self.config.runner_name, self.config.image
        if takes_image and image is None:
            raise InputError(
                f"{slug} was given no image.", "It begins with one.", "Name it with --image FILE."
            )
        if image is not None and not takes_image:
            raise InputError(
                f"{slug} was given the image {image}.",
                "It makes video from a prompt alone.",
                "Leave --image out, or take a slug with i2v in its name.",
            )
        return None if image is None else read_image(image, size=(pipeline.height, pipeline.width))

    @property
    def _first_frame_becomes(self) -> str:
        """What the context encoder makes of a first frame; "none" where it takes none."""
        encoder = self.config.effective_pipeline.diffusion_model.transformer.context_encoder
        return getattr(encoder, "first_frame", "none")

    def _check_guidance(self) -> None:
        if getattr(self.config.pipeline.diffusion_model.transformer, "guidance_scale", 1.0) == 1.0:
            raise InputError(
                f"{self.config.runner_name} was given a negative prompt, and its guidance_scale is 1.",
                "A negative prompt works through guidance, which a scale of 1 switches off.",
                "Leave --negative-prompt out, or set "
                "--pipeline.diffusion-model.transformer.guidance-scale to 5.",
            )
