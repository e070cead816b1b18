"""What is done for one chunk, part by part. Each part reads and writes its slot alone."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from flashdreams.errors import InputError
from flashdreams.infra import state_tree
from flashdreams.infra.contract import checked_pixels, separate, with_state
from flashdreams.infra.decoder.base import Decoder, StreamingDecoder
from flashdreams.infra.diffusion.model.base import DiffusionModel
from flashdreams.infra.encoder.base import Encoder, StreamingEncoder
from flashdreams.infra.pipeline.execution import Run, Stage
from flashdreams.infra.pipeline.slots import DoubleBuffer, FixedPlaces, Size, Slot


class ChunkStages:
    """The parts of a chunk, over the components of one pipeline."""

    def __init__(self, encoder: Encoder | None, model: DiffusionModel, decoder: Decoder | None) -> None:
        self.encoder, self.model, self.decoder = encoder, model, decoder
        stage = partial(Stage, key=self._transformer_key, memory=_of_the_transformer)
        self.flow = stage("flow", self.run_flow)
        in_passes = None if model.scheduler.fits_one_graph else self.run_in_passes
        self.denoise = stage("denoise", self.run_denoise, in_passes=in_passes)
        self.write_context = stage("write_context", self.run_write_context)
        self.decode = Stage(
            "decode", self.run_decode, self._decoder_key, memory=_of_the_decoder, overlaps=True
        )

    def allocate(self, size: Size, dtype: torch.dtype, device: torch.device) -> Slot:
        """The memory of one rollout of ``size``."""
        batch, height, width = size
        compression = self.decoder.config.spatial_compression if self.decoder else 1
        transformer = self.model.transformer
        shape = transformer.latent_shape(height // compression, width // compression)
        draws = self.model.scheduler.draws
        return Slot(
            size=size,
            noise=torch.empty(draws, batch, *shape, dtype=dtype, device=device),
            latents=torch.zeros(batch, *shape, dtype=dtype, device=device),
            to_decode=torch.zeros(batch, *shape, dtype=dtype, device=device),
            timestep=torch.zeros(1, dtype=torch.float32, device=device),
            transformer=transformer.allocate_cache(batch, shape),
            encoder=DoubleBuffer(device),
            decoder=DoubleBuffer(device),
            controls=FixedPlaces(device),
        )

    def encode(self, slot: Slot, input: Any) -> Any:
        """Encode what steers a chunk, at an address that values of its kind always have.

        Raises:
            InputError: There is an input, and nothing to encode it.
        """
        encoder = self.encoder
        if encoder is None:
            if input is not None:
                raise InputError(
                    f"A chunk was given the input {input!r}.",
                    "This pipeline has no encoder: its chunks are not steered.",
                    "Call generate() without input, or set the pipeline's encoder.",
                )
            encoded = None
        elif isinstance(encoder, StreamingEncoder):
            encoded, state = with_state(encoder(input, slot.encoder.state), encoder)
            slot.encoder.stage(state)
        else:
            encoded = encoder(input)
        return slot.controls.put(encoded)

    def run_denoise(self, slot: Slot) -> None:
        """Noise to clean latents, all steps."""
        latents = self.model.generate(slot.transformer, slot.control, slot.noise.unbind(0))
        slot.latents.copy_(latents)

    def run_flow(self, slot: Slot) -> Tensor:
        """One pass: the flow of ``slot.latents`` at ``slot.timestep``."""
        return self.model.predict_flow(slot.latents, slot.timestep, slot.transformer, slot.control)

    def run_in_passes(self, slot: Slot, run: Run) -> None:
        """Noise to clean latents, each pass of the network run as the stage ``flow``."""

        def predict_flow(latents: Tensor, timestep: Tensor) -> Tensor:
            slot.latents.copy_(latents)
            slot.timestep.copy_(timestep)
            return cast(Tensor, run(self.flow, slot))

        slot.latents.copy_(self.model.denoise(slot.noise.unbind(0), predict_flow))

    def run_decode(self, slot: Slot) -> Tensor:
        """Latents ``to_decode`` to pixels ``[B, 3, T, H, W]`` in [-1, 1]; to themselves without a decoder."""
        decoder, latents = self.decoder, slot.to_decode
        if decoder is None:
            return latents.clone()
        if isinstance(decoder, StreamingDecoder):
            pixels, state = with_state(decoder(latents, slot.decoder.state), decoder)
            slot.decoder.stage(state)
        else:
            pixels = decoder(latents)
        return separate(checked_pixels(pixels, latents, decoder), latents)

    def run_write_context(self, slot: Slot) -> None:
        """Clean latents to keys and values that later chunks see."""
        self.model.write_context(slot.latents, slot.transformer, slot.control)

    def _transformer_key(self, slot: Slot) -> Hashable:
        """The transformer's own, and whatever plain values stand among what passes are given."""
        cache = slot.transformer
        plain = repr(state_tree.signature([slot.control, cache.context]))
        return self.model.transformer.graph_key(cache), plain

    def _decoder_key(self, slot: Slot) -> Hashable:
        """Whether there is a state; and whatever plain values stand in it."""
        state = slot.decoder.state
        return "first chunk" if state is None else "later chunks", repr(state_tree.signature(state))


def _of_the_transformer(slot: Slot) -> Any:
    return [slot.noise, slot.latents, slot.timestep, slot.transformer, slot.control]


def _of_the_decoder(slot: Slot) -> Any:
    return [slot.to_decode, slot.decoder.state, slot.decoder.staged]
