"""What a run of the family refuses before gigabytes of weights are fetched and loaded."""

from __future__ import annotations

from flashdreams.errors import InputError, OutOfOrderError
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.io.lora_file import open_lora, split_scale
from flashdreams_wan.runner.config import WanRunnerConfig


def check_run(config: WanRunnerConfig) -> None:
    """Refuse chunks, new prompts and LoRA files that would break the run off on its way.

    Raises:
        FlashDreamsError: Something that the user can put right. Nothing is built.
    """
    pipeline = config.effective_pipeline
    _check_chunks(pipeline, config.total_blocks)
    if config.prompt_switches and pipeline.encoder is None:
        raise InputError(
            f"Prompt switches are {config.prompt_switches}, and the pipeline has no encoder.",
            "New prompts come through the pipeline's encoder.",
            "Leave --prompt-switches out, or --pipeline.encoder as the slug has it.",
        )
    _check_negative_prompt(pipeline, config.negative_prompt)
    for lora in getattr(pipeline.diffusion_model.transformer, "lora", ()):
        open_lora(split_scale(lora)[0])


def _check_negative_prompt(pipeline: StreamInferencePipelineConfig, given: str | None) -> None:
    """Guidance has a negative prompt to lead away from."""
    transformer = pipeline.diffusion_model.transformer
    own = getattr(transformer.context_encoder, "negative_prompt", "")  # another encoder sees to its own
    if getattr(transformer, "is_guided", False) and given is None and own is None:
        raise InputError(
            f"guidance_scale is {getattr(transformer, 'guidance_scale', None)}, without a negative prompt.",
            "Guidance leads away from a negative prompt, which may be empty.",
            'Give --negative-prompt "", for instance, or leave guidance_scale at 1.',
        )


def _check_chunks(pipeline: StreamInferencePipelineConfig, chunks: int) -> None:
    """A model that makes the whole clip at once makes one chunk."""
    transformer = pipeline.diffusion_model.transformer
    if chunks > 1 and not getattr(transformer, "is_causal", True):
        raise OutOfOrderError(
            f"{chunks} chunks were asked for.",
            f"This model makes {transformer.chunk} latent frames at once, and no more.",
            "Set --total-blocks 1, or take a causal model: its window is larger than its chunk.",
        )
