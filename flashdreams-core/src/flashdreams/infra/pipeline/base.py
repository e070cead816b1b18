"""The streaming pipeline: encode the control, denoise the chunk, decode it, remember it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from flashdreams.errors import InputError, SnapshotError
from flashdreams.infra import state_tree
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.decoder.base import Decoder, StreamingDecoder
from flashdreams.infra.diffusion.model.base import DiffusionModel
from flashdreams.infra.encoder.base import Encoder, StreamingEncoder
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.pipeline.noise import NoiseSource, philox_noise
from flashdreams.infra.pipeline.observers import Observers
from flashdreams.infra.pipeline.rollout import PendingChunk, Rollout, Snapshot
from flashdreams.infra.pipeline.slots import Size, Slot, SlotPool

__all__ = ["StreamInferencePipeline", "StreamInferencePipelineConfig"]


class StreamInferencePipeline(nn.Module):
    """Makes video chunk by chunk, each chunk steered while it is made.

    One pipeline serves many rollouts at once: weights are shared, and whatever a rollout changes lives
    in its own slot.
    """

    config: StreamInferencePipelineConfig
    encoder: Encoder | None
    diffusion_model: DiffusionModel
    decoder: Decoder | None
    _anchor: Tensor
    """Nothing, on the device where the pipeline computes."""

    def __init__(self, config: StreamInferencePipelineConfig) -> None:
        super().__init__()
        self.config = config = copy.deepcopy(config)
        self.encoder = config.encoder.setup() if config.encoder else None
        self.diffusion_model = config.diffusion_model.setup()
        self.decoder = config.decoder.setup() if config.decoder else None
        self.dtype = getattr(torch, config.dtype)
        for part in (self.encoder, self.diffusion_model.transformer, self.decoder):
            if part is not None:
                part.to(self.dtype)
        self.eval().requires_grad_(False)
        self.register_buffer("_anchor", torch.empty(0), persistent=False)
        self.slots = SlotPool(config.slots, self._allocate_slot)
        self.observers = Observers()

    @torch.no_grad()
    def initialize_cache(
        self,
        *,
        prompts: str | list[str] | None = None,
        first_frame: Any = None,
        height: int | None = None,
        width: int | None = None,
        batch_size: int = 1,
        seed: int = 0,
        text: str | list[str] | None = None,
        noise: NoiseSource = philox_noise,
        encoder_context: Mapping[str, Any] | None = None,
        transformer_context: Mapping[str, Any] | None = None,
        decoder_context: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> Rollout:
        """Begin a rollout.

        Args:
            prompts: One prompt, or one per batch member.
            first_frame: What the video starts from, as the model documents.
            height: Height in pixels; the config's where None.
            width: Width in pixels; the config's where None.
            batch_size: Videos made side by side.
            seed: Seed of the noise.
            text: Another name of ``prompts``.
            noise: Where noise comes from.
            encoder_context: Passed to the encoder's ``initialize_state``.
            transformer_context: Further conditions, beside ``inputs``.
            decoder_context: Passed to the decoder's ``initialize_state``.
            **inputs: Further conditions that the model documents.

        Raises:
            InputError: A condition that the model does not take, or prompts that do not match the batch.
            FieldValueError: A size that the decoder cannot produce.
            NoFreeSlotError: As many rollouts are alive as the pipeline has slots.
        """
        height, width = height or self.config.height, width or self.config.width
        self.config.check_size(height, width)
        conditions = Conditions(
            prompts=_prompt_per_member(prompts if text is None else text, batch_size),
            first_frame=first_frame,
            height=height,
            width=width,
            batch_size=batch_size,
            inputs={**inputs, **(transformer_context or {})},
        )
        transformer = self.diffusion_model.transformer
        context = transformer.encode_context(conditions)
        rollout = self._open_rollout((batch_size, height, width), seed, noise)
        try:
            slot = rollout.slot
            slot.encoder.begin(_initial_state(self.encoder, encoder_context))
            slot.decoder.begin(_initial_state(self.decoder, decoder_context))
            transformer.begin_rollout(slot.transformer, context)
        except BaseException:
            rollout.close()
            raise
        self.observers.rollout_started(rollout)
        return rollout

    @torch.no_grad()
    def generate(self, autoregressive_index: int, cache: Rollout, input: Any = None) -> Tensor:
        """Make chunk ``autoregressive_index``: pixels ``[B, 3, T, H, W]`` in [-1, 1], or latents.

        May be repeated until :meth:`finalize` commits the chunk. The returned tensor is the caller's.

        Raises:
            OutOfOrderError: It is not this chunk's turn.
            ClosedRolloutError: The rollout was closed.
            InputError: There is an input, and nothing to encode it.
        """
        cache.check_generate(autoregressive_index)
        slot, cache.pending = cache.slot, None
        control = self._encode(slot, input)
        self.diffusion_model.transformer.begin_chunk(slot.transformer, autoregressive_index)
        noise = self._draw_noise(cache, autoregressive_index)
        latents = self.diffusion_model.generate(slot.transformer, control, noise)
        chunk = self._decode(slot, latents)
        cache.pending = PendingChunk(autoregressive_index, latents)
        self.observers.chunk_generated(cache, autoregressive_index, chunk)
        return chunk

    @torch.no_grad()
    def finalize(self, autoregressive_index: int, cache: Rollout) -> None:
        """Commit chunk ``autoregressive_index``: later chunks will see it.

        Raises:
            OutOfOrderError: That chunk was not just generated.
            ClosedRolloutError: The rollout was closed.
        """
        slot = cache.slot
        pending = cache.take_pending(autoregressive_index)
        self.diffusion_model.transformer.begin_chunk(slot.transformer, autoregressive_index)
        self.diffusion_model.finalize(pending.latents, slot.transformer, slot.control)
        slot.encoder.commit()
        slot.decoder.commit()
        cache.commit()

    def stream(self, cache: Rollout, controls: Iterable[Any]) -> Iterator[Tensor]:
        """Make one chunk per control, finalizing each after it was shown."""
        for index, control in enumerate(controls, start=cache.next_index):
            yield self.generate(index, cache, input=control)
            self.finalize(index, cache)

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> Rollout:
        """A rollout that goes on from ``snapshot``.

        Raises:
            SnapshotError: The snapshot was taken from a pipeline of another shape.
            NoFreeSlotError: As many rollouts are alive as the pipeline has slots.
        """
        rollout = self._open_rollout(snapshot.size, snapshot.seed, snapshot.noise_source)
        slot = rollout.slot
        try:
            state_tree.restore_dataclass(slot.transformer, snapshot.transformer, self.device)
            slot.encoder.begin(snapshot.encoder)
            slot.decoder.begin(state_tree.map_tensors(lambda t: t.to(self.device), snapshot.decoder))
        except SnapshotError:
            rollout.close()
            raise
        except (RuntimeError, KeyError, AttributeError) as error:
            rollout.close()
            raise SnapshotError(
                f"The snapshot does not fit this pipeline: {error}.",
                "A snapshot goes back to a pipeline of the same config.",
                "Set the pipeline up from the config that the snapshot was taken with.",
            ) from error
        rollout.next_index = snapshot.next_index
        return rollout

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes."""
        return self._anchor.device

    def _open_rollout(self, size: Size, seed: int, noise: NoiseSource) -> Rollout:
        return Rollout(self, self.slots.lease(size), seed, noise)

    def _allocate_slot(self, size: Size) -> Slot:
        batch, height, width = size
        compression = self.config.decoder.spatial_compression if self.config.decoder else 1
        transformer = self.diffusion_model.transformer
        shape = transformer.latent_shape(height // compression, width // compression)
        draws = self.diffusion_model.scheduler.draws
        noise = torch.empty(draws, batch, *shape, dtype=self.dtype, device=self.device)
        return Slot(size=size, noise=noise, transformer=transformer.allocate_cache(batch, shape))

    def _draw_noise(self, rollout: Rollout, index: int) -> tuple[Tensor, ...]:
        noise = rollout.slot.noise
        for draw in range(noise.shape[0]):
            for member in range(noise.shape[1]):
                drawn = rollout.noise_source(rollout.seed, index, draw, member, tuple(noise.shape[2:]))
                noise[draw, member].copy_(drawn)
        return noise.unbind(0)

    def _encode(self, slot: Slot, input: Any) -> Any:
        encoder = self.encoder
        if encoder is None:
            if input is not None:
                raise InputError(
                    f"A chunk was given the input {input!r}.",
                    "This pipeline has no encoder: its chunks are not steered.",
                    "Call generate() without input, or set the pipeline's encoder.",
                )
            return None
        if isinstance(encoder, StreamingEncoder):
            encoded, state = encoder(input, slot.encoder.state)
            slot.encoder.stage(state)
        else:
            encoded = encoder(input)
        slot.control = state_tree.updated(slot.control, encoded, self.device)
        return slot.control

    def _decode(self, slot: Slot, latents: Tensor) -> Tensor:
        decoder = self.decoder
        if decoder is None:
            return latents.clone()
        if isinstance(decoder, StreamingDecoder):
            pixels, state = decoder(latents, slot.decoder.state)
            slot.decoder.stage(state)
        else:
            pixels = decoder(latents)
        return cast(Tensor, pixels)


def _prompt_per_member(prompts: str | list[str] | None, batch_size: int) -> list[str] | None:
    if prompts is None:
        return None
    prompts = [prompts] * batch_size if isinstance(prompts, str) else list(prompts)
    if len(prompts) == 1:
        prompts = prompts * batch_size
    if len(prompts) != batch_size:
        raise InputError(
            f"{len(prompts)} prompts were given for a batch of {batch_size}.",
            "Every video of the batch has one prompt, or all share one.",
            f"Give 1 or {batch_size} prompts, or set batch_size to {len(prompts)}.",
        )
    return prompts


def _initial_state(component: nn.Module | None, context: Mapping[str, Any] | None) -> Any:
    if isinstance(component, (StreamingEncoder, StreamingDecoder)):
        return component.initialize_state(**(context or {}))
    if context:
        raise InputError(
            f"A context with {', '.join(context)} was given.",
            "Only a streaming encoder or decoder takes one.",
            "Leave it out.",
        )
    return None
