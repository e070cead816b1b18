"""Wan 2.1 as a transformer of FlashDreams: chunk by chunk over a KV cache, or a whole clip at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from flashdreams.core.kv_cache import KVCache
from flashdreams.errors import ControlError, InputError, OutOfOrderError
from flashdreams.infra.diffusion.transformer.base import Transformer, TransformerCache
from flashdreams.io.build import build_module
from flashdreams_wan.dit.attend import OverCache, WithinChunk, rotations
from flashdreams_wan.dit.blocks import Attend
from flashdreams_wan.dit.cache import WanCache, allocate_cache, write
from flashdreams_wan.dit.config import WanTransformerConfig
from flashdreams_wan.dit.context import checked_context
from flashdreams_wan.dit.layouts import LAYOUTS
from flashdreams_wan.dit.network import WanDiT
from flashdreams_wan.dit.precision import cast, exact
from flashdreams_wan.dit.prompt_switch import chunks_in_sight, read_switch
from flashdreams_wan.dit.random_weights import initialise


class WanTransformer(Transformer):
    """Predicts the flow of a chunk from the chunks in its window, a prompt, and maybe an image."""

    config: WanTransformerConfig
    network: WanDiT

    def __init__(self, config: WanTransformerConfig) -> None:
        super().__init__(config)
        self.network = build_module(
            partial(WanDiT, config),
            config.weights,
            layouts=LAYOUTS,
            initialise=partial(initialise, seed=config.weights_seed),
            lora=config.lora,
        )

    def allocate_cache(self, batch_size: int, latent_shape: tuple[int, int, int, int]) -> WanCache:
        """Memory for one rollout: the past, what the blocks read in prompt and image, clean latents."""
        return allocate_cache(self.config, batch_size, latent_shape, self.network.patch_embedding.weight)

    def begin_rollout(self, cache: TransformerCache, context: Any) -> None:
        """Forget the last rollout, and read prompt and image once for all passes of this one.

        Raises:
            InputError: The transformer needs a condition that was not given.
            FieldValueError: The context encoder's sizes are not the transformer's.
        """
        wan, network = _wan(cache), self.network
        super().begin_rollout(wan, checked_context(context, self.config, wan))
        wan.backup.drop()
        wan.is_switching = False
        videos = len(wan.new_text)
        write(wan.text, 0, network.text_keys_values(wan.context["text"]))
        if self.config.is_guided:
            write(wan.text, videos, network.text_keys_values(wan.context["negative"]))
        if wan.image is not None:
            for row in range(0, wan.image[0].shape[1], videos):
                write(wan.image, row, network.image_keys_values(wan.context["image"]))

    def take_control(self, cache: TransformerCache, index: int, control: Any) -> None:
        """Let a new prompt take over with chunk ``index``, or take back one that was to.

        Args:
            cache: What the rollout remembers.
            index: The chunk.
            control: ``{"prompts": ["..."], "recache": True, False or None}``, or None for no new prompt.

        Raises:
            ControlError: The control is something else.
        """
        wan = _wan(cache)
        switch = read_switch(control, len(wan.new_text), self.config.recache)
        text = None if switch is None else self._encode(switch.prompts)
        self._take_back(wan)
        if switch is None or text is None:
            return
        wan.is_switching = True
        wan.new_text.copy_(text)
        write(wan.text, 0, self.network.text_keys_values(wan.new_text))
        if switch.recache and index and wan.past is not None and wan.clean is not None:
            wan.backup.keep(wan.past)
            self._replay(wan, wan.past, wan.clean, index)

    def given_chunk(self, cache: TransformerCache, index: int) -> Tensor | None:
        """Latents of a chunk that the video starts from; see the base class."""
        given: Tensor | None = _wan(cache).context.get("given")
        first = index * self.config.chunk
        if given is None or first >= given.shape[2]:
            return None
        return given.narrow(2, first, self.config.chunk)

    def begin_chunk(self, cache: TransformerCache, index: int) -> None:
        """Point the cache at chunk ``index``.

        Raises:
            OutOfOrderError: The model makes a whole clip at once, and this is not its first chunk.
            InputError: The condition's channels end before this chunk.
        """
        wan, past, config = _wan(cache), cache.past, self.config
        if index and past is None:
            raise OutOfOrderError(
                f"Chunk {index} was begun.",
                f"This model makes {config.chunk} latent frames at once: chunk 0 is the whole clip.",
                "Begin another rollout, or take a causal model; on the command line --total-blocks 1.",
            )
        super().begin_chunk(wan, index)
        clip = torch.arange(config.chunk, device=wan.turns.device)
        frames = clip if past is None else past.query_positions
        wan.turns.copy_(rotations(frames, *wan.grid, config.head_width))
        if past is not None and wan.key_turns is not None:
            wan.key_turns.copy_(rotations(past.key_positions, *wan.grid, config.head_width))
        if wan.condition is not None:
            wan.condition.copy_(_condition_of(wan, index))

    def predict_flow(
        self, latents: Tensor, timestep: Tensor, cache: TransformerCache, control: Any
    ) -> Tensor:
        """Predict the flow of a chunk; see the base class."""
        return self._flow(latents, timestep, _wan(cache), None)

    def write_context(self, latents: Tensor, cache: TransformerCache, control: Any) -> None:
        """Write the keys and values of the clean chunk, where later chunks will look at them."""
        if self.config.is_causal:
            super().write_context(latents, cache, control)

    def remember_chunk(self, latents: Tensor, cache: TransformerCache) -> None:
        """Keep the clean chunk for as long as it is in sight; the prompt it was made under is final."""
        wan, past = _wan(cache), cache.past
        if past is not None and wan.clean is not None:
            wan.clean.index_copy_(2, _frames_of(past), latents.to(wan.clean.dtype))
        if wan.is_switching:
            wan.context["text"].copy_(wan.new_text)
            wan.is_switching = False
            wan.backup.drop()

    def _flow(self, latents: Tensor, timestep: Tensor, wan: WanCache, places: Tensor | None) -> Tensor:
        """Flow of a chunk that sees the past, or only those places of it."""
        inputs = cast(latents, wan.new_text.dtype)
        if wan.condition is not None:
            inputs = torch.cat([inputs, wan.condition], dim=1)
        if self.config.is_guided:
            inputs = torch.cat([inputs, inputs])
        flow = self.network(inputs, timestep, wan.text, wan.image, self._attends(wan, places))
        if self.config.is_guided:
            toward, away = flow.to(exact(flow.dtype)).chunk(2)
            flow = away + self.config.guidance_scale * (toward - away)  # Ho and Salimans 2022
        return cast(flow, latents.dtype)

    def _attends(self, wan: WanCache, places: Tensor | None) -> list[Attend]:
        backend = self.config.attention_backend
        if wan.past is None:
            return [WithinChunk(wan.turns, backend)] * self.config.layers
        layers = wan.past.layers
        return [OverCache(layer, wan.turns, wan.key_turns, backend, places) for layer in layers]

    def _encode(self, prompts: list[str]) -> Tensor:
        encode = getattr(self.context_encoder, "encode_prompts", None)
        if encode is None:
            raise ControlError(
                f"The control holds the prompts {prompts!r}.",
                "This transformer's context encoder has no encode_prompts().",
                "Set context_encoder to WanContextEncoderConfig(), or give no new prompts.",
            )
        return encode(prompts)

    def _take_back(self, wan: WanCache) -> None:
        """Let the rollout be as it was before a prompt that is not final took over."""
        if not wan.is_switching:
            return
        if wan.past is not None:
            wan.backup.undo(wan.past)
        write(wan.text, 0, self.network.text_keys_values(wan.context["text"]))
        wan.is_switching = False

    def _replay(self, wan: WanCache, past: KVCache, clean: Tensor, index: int) -> None:
        """Write the chunks that ``index`` will see once more, in order of time, under the new prompt.

        Each sees those that were written again before it, and no others: elsewhere in the ring are chunks
        after it, and those that nobody will see again.
        """
        config, places = self.config, list[Tensor]()
        for chunk in chunks_in_sight(index, chunk=config.chunk, window=config.window, sink=config.sink):
            self.begin_chunk(wan, chunk)
            places.append(past.write_index.clone())
            latents = clean.index_select(2, _frames_of(past))
            timestep = torch.full((1,), config.context_noise, device=latents.device)
            self._flow(latents, timestep, wan, torch.cat(places))


def _wan(cache: TransformerCache) -> WanCache:
    if not isinstance(cache, WanCache):
        raise TypeError(f"WanTransformer needs the cache that it allocated, not {type(cache).__name__}.")
    return cache


def _frames_of(past: KVCache) -> Tensor:
    """Where the current chunk's latent frames are in the cache, int64 ``[chunk]``."""
    return past.write_index[:: past.frame_tokens] // past.frame_tokens


def _condition_of(wan: WanCache, index: int) -> Tensor:
    """The condition's channels of a chunk."""
    condition: Tensor = wan.context["condition"]
    chunk = 0 if wan.condition is None else wan.condition.shape[2]
    if condition.shape[2] < (index + 1) * chunk:
        raise InputError(
            f"The condition holds {condition.shape[2]} latent frames, and chunk {index} was begun.",
            f"With chunks of {chunk} latent frames it holds {(index + 1) * chunk} or more.",
            "Give latent_frames when the rollout begins, or make fewer chunks.",
        )
    return condition.narrow(2, index * chunk, chunk)
