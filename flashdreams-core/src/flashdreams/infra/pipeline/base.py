"""The streaming pipeline: encode the control, denoise the chunk, decode it, remember it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from flashdreams.infra import state_tree
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.config.placement import placing
from flashdreams.infra.contract import built, like_noise
from flashdreams.infra.decoder.base import Decoder
from flashdreams.infra.diffusion.model.base import DiffusionModel
from flashdreams.infra.encoder.base import Encoder
from flashdreams.infra.pipeline.checks import (
    check_channels,
    check_may_move,
    check_ours,
    check_same_config,
    check_seed,
    initial_state,
    prompt_per_member,
)
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.pipeline.execution import Execution, Warming
from flashdreams.infra.pipeline.noise import NoiseSource, fill_noise, philox_noise
from flashdreams.infra.pipeline.observers import Observers, unobserved
from flashdreams.infra.pipeline.rollout import PendingChunk, Rollout, Snapshot
from flashdreams.infra.pipeline.slots import Size, Slot, SlotPool
from flashdreams.infra.pipeline.stages import ChunkStages

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
        check_channels(config)
        self.dtype = getattr(torch, config.dtype)
        self.observers = Observers()
        self.slots = SlotPool(config.slots, self._allocate_slot)
        self.execution = Execution()
        with placing(dtype=config.dtype):
            self.encoder = built(config.encoder, Encoder, "encoder") if config.encoder else None
            self.diffusion_model = built(config.diffusion_model, DiffusionModel, "diffusion_model")
            self.decoder = built(config.decoder, Decoder, "decoder") if config.decoder else None
        self.stages = ChunkStages(self.encoder, self.diffusion_model, self.decoder)
        for part in (self.encoder, self.diffusion_model.transformer, self.decoder):
            if part is not None:
                part.to(self.dtype)
        self.eval().requires_grad_(False)
        self.register_buffer("_anchor", torch.empty(0, dtype=self.dtype), persistent=False)

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
            prompts=prompt_per_member(prompts, text, batch_size),
            first_frame=first_frame,
            height=height,
            width=width,
            batch_size=batch_size,
            inputs={**inputs, **(transformer_context or {})},
        )
        rollout = self._open_rollout((batch_size, height, width), check_seed(seed), noise)
        try:
            slot, transformer = rollout.slot, self.diffusion_model.transformer
            with self.execution.work(after_all=True):
                slot.encoder.begin(initial_state(self.encoder, encoder_context))
                self._begin_decoder(slot, initial_state(self.decoder, decoder_context))
                transformer.begin_rollout(slot.transformer, transformer.encode_context(conditions))
            self.execution.catch_up()
            return rollout.announce()
        except BaseException:
            rollout.close()
            raise

    @torch.no_grad()
    def generate(self, autoregressive_index: int, cache: Rollout, input: Any = None) -> Tensor:
        """Make chunk ``autoregressive_index``: pixels ``[B, 3, T, H, W]`` in [-1, 1], or latents.

        May be repeated until :meth:`finalize` commits the chunk. The returned tensor is the caller's.

        Raises:
            OutOfOrderError: It is not this chunk's turn.
            ClosedRolloutError: The rollout was closed.
            RolloutError: The rollout belongs to another pipeline.
            InputError: There is an input, and nothing to encode it.
        """
        check_ours(cache, self)
        cache.check_generate(autoregressive_index)
        cache.path = self.execution.begin_chunk(cache, autoregressive_index)
        with self.execution.work(input):
            given = self.prepare(autoregressive_index, cache, input)
            chunk, latents = self._made(cache.slot, given)
        cache.pending = PendingChunk(autoregressive_index, latents)
        self.execution.catch_up([chunk, latents])
        self.observers.chunk_generated(cache, autoregressive_index, chunk)
        return chunk

    def prepare(self, index: int, rollout: Rollout, input: Any) -> Tensor | None:
        """Lay out in the slot what a chunk is made from: what steers it, and its noise.

        Returns:
            Clean latents of a chunk that is given, and not made: ``[B, C, T, H, W]``.
        """
        slot, transformer = rollout.slot, self.diffusion_model.transformer
        control = self.stages.encode(slot, input)
        rollout.pending = None
        slot.control = transformer.take_control(slot.transformer, index, control)
        transformer.begin_chunk(slot.transformer, index)
        given = transformer.given_chunk(slot.transformer, index)
        if given is None:
            fill_noise(slot.noise, rollout.noise_source, rollout.seed, index)
        return given

    def _made(self, slot: Slot, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pixels and clean latents of a chunk, both the caller's to keep."""
        execution, stages = self.execution, self.stages
        if given is None:
            execution.run(stages.denoise, slot)
        else:
            slot.latents.copy_(like_noise(given, slot.noise[0], self.diffusion_model.transformer))
        latents = slot.latents.clone()
        execution.rejoin()
        slot.to_decode.copy_(latents)
        with execution.aside():
            return cast(Tensor, execution.run(stages.decode, slot)), latents

    @torch.no_grad()
    def finalize(self, autoregressive_index: int, cache: Rollout) -> None:
        """Commit chunk ``autoregressive_index``: later chunks will see it.

        May be repeated after a failure, wherever it failed: what is done is not done twice.

        Raises:
            OutOfOrderError: That chunk was not just generated.
            ClosedRolloutError: The rollout was closed.
            RolloutError: The rollout belongs to another pipeline.
        """
        check_ours(cache, self)
        slot, pending = cache.slot, cache.take_pending(autoregressive_index)
        transformer, execution = self.diffusion_model.transformer, self.execution
        with execution.work():
            if not pending.written:
                transformer.begin_chunk(slot.transformer, autoregressive_index)
                execution.run(self.stages.write_context, slot)
                pending.written = True
            transformer.remember_chunk(slot.latents, slot.transformer)
            slot.encoder.commit()
            with execution.aside():
                slot.decoder.commit()
        cache.advance()
        self.execution.chunk_final(cache, autoregressive_index)

    def stream(self, cache: Rollout, controls: Iterable[Any]) -> Iterator[Tensor]:
        """Make one chunk per control, finalizing each after it was shown."""
        for index, control in enumerate(controls, start=cache.next_index):
            yield self.generate(index, cache, input=control)
            self.finalize(index, cache)

    def warmup(self, **given: Any) -> list[Any]:
        """Make ready what chunks will need, before the first is asked for: graphs, where there are any.

        Observers are told nothing of it.

        Args:
            **given: Examples of what rollouts will be given, as :class:`Warming` names them.
        """
        with unobserved(self):
            return self.execution.warm_up(self, Warming(**given))

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> Rollout:
        """A rollout that goes on from ``snapshot``.

        Raises:
            SnapshotError: The snapshot was taken from a pipeline of another config.
            NoFreeSlotError: As many rollouts are alive as the pipeline has slots.
        """
        check_same_config(snapshot.config, self.config)
        rollout = self._open_rollout(snapshot.size, snapshot.seed, snapshot.noise_source)
        try:
            slot = rollout.slot
            with self.execution.work(after_all=True):
                slot.transformer = state_tree.restored(slot.transformer, snapshot.transformer, self.device)
                slot.encoder.begin(snapshot.encoder)
                self._begin_decoder(slot, snapshot.decoder)
            self.execution.catch_up()
            rollout.next_index = snapshot.next_index
            return rollout.announce()
        except BaseException:
            rollout.close()
            raise

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes."""
        return self._anchor.device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move to another device; memory that waits for rollouts is dropped, since it lies on the old one."""
        check_may_move(self.slots.lent, self.dtype, fn(self._anchor).dtype)
        self.execution.forget()
        self.slots.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _begin_decoder(self, slot: Slot, state: Any) -> None:
        with self.execution.aside():
            slot.decoder.begin(state)
        self.execution.rejoin()  # only then may the memory of the state be used again

    def _open_rollout(self, size: Size, seed: int, noise: NoiseSource) -> Rollout:
        self.execution.catch_up()  # a slot of another size may be dropped for this one
        return Rollout(self, self.slots.lease(size), seed, noise)

    def _allocate_slot(self, size: Size) -> Slot:
        return self.stages.allocate(size, self.dtype, self.device)
