"""What a decoder promises: pixels of the size it says, and one video however its latents come in."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from flashdreams.errors import ComponentError
from flashdreams.infra import state_tree
from flashdreams.infra.contract import checked_pixels
from flashdreams.infra.decoder.base import Decoder, StreamingDecoder
from flashdreams.testing.component_contract import ComponentContract, KeepsToItself
from flashdreams.testing.component_tools import Call, distance, in_chunks, normal, plainly, waits_on_gpu
from flashdreams.testing.contract import broken, skip
from flashdreams.testing.graph_readiness import GraphRecorder


class DecoderBasics(ComponentContract):
    """What is wrong here makes everything else wrong."""

    kind: ClassVar[str] = "decoder"
    base = Decoder
    latent_channels: ClassVar[int | None] = None
    """Channels of the latents; None takes the config's field ``latent_channels``."""
    latent_size: ClassVar[tuple[int, int]] = (4, 4)
    """Height and width in latents."""
    chunks: ClassVar[tuple[int, ...]] = (2, 2, 2)
    """Latent frames of each chunk, three of one length or more."""

    def latents(
        self, *, batch: int = 1, seed: int = 0, dtype: str = "float32", device: str = "cpu"
    ) -> Tensor:
        """Latents of a whole clip, ``[B, C, T, H, W]``."""
        config = self.make_config()
        channels = self.latent_channels or getattr(config, "latent_channels", None)
        if not channels:
            broken(
                f"{type(config).__name__} has no field latent_channels.",
                "The contract makes up latents, [B, C, T, H, W].",
                "Set latent_channels of this contract.",
            )
        shape = (batch, channels, sum(self.chunks), *self.latent_size)
        return normal(*shape, seed=seed, dtype=dtype, device=device)

    def exercise(
        self, part: Any, *, seed: int = 0, dtype: str = "float32", device: str = "cpu", call: Call = plainly
    ) -> Any:
        """A clip, chunk by chunk."""
        return in_chunks(
            part,
            torch.split(self.latents(seed=seed, dtype=dtype, device=device), list(self.chunks), dim=2),
            call,
        )

    def test_pixels_have_the_size_and_range_that_the_config_says(self) -> None:
        """``[B, 3, T, H, W]`` in [-1, 1]."""
        latents = self.latents(batch=2)
        for chunk, pixels in zip(
            torch.split(latents, list(self.chunks), 2), self._pixels(latents), strict=True
        ):
            try:
                checked_pixels(pixels, chunk, self.part)
            except ComponentError as error:
                broken(error.what, error.right, error.next)
            low, high = pixels.min().item(), pixels.max().item()
            if not -1 <= low <= high <= 1:
                broken(
                    f"Pixels of {self.name} go from {low:.4g} to {high:.4g}.",
                    "Pixels are finite and within [-1, 1].",
                    "End the forward with .clamp(-1, 1), or with tanh.",
                )

    def test_chunks_have_as_many_frames_as_the_config_says(self) -> None:
        """``temporal_compression`` for each latent frame, ``first_frames`` for the first of a video."""
        config = self.part.config
        for index, pixels in enumerate(self._pixels(self.latents())):
            latents, frames = self.chunks[index], pixels.shape[2]
            first = config.first_frames if index == 0 else config.temporal_compression
            expected = first + config.temporal_compression * (latents - 1)
            if frames != expected:
                broken(
                    f"Chunk {index} of {self.name} has {frames} pixel frames, of {latents} latent frames.",
                    f"Its config says {expected}: temporal_compression is {config.temporal_compression}, and "
                    f"first_frames {config.first_frames}.",
                    "Correct these in the config, or what the forward leaves out: frames before the "
                    "beginning of a video, in its first chunk only.",
                )

    def _pixels(self, latents: Tensor) -> list[Tensor]:
        return in_chunks(self.part, torch.split(latents, list(self.chunks), dim=2))[0]


class DecoderContract(KeepsToItself, DecoderBasics):
    """A decoder, alone: ``class TestMyDecoder(DecoderContract): component = "my-decoder"``."""

    tolerance: ClassVar[float] = 1e-4
    """Largest difference, in pixels within [-1, 1], of decoding in chunks or in a batch from decoding the
    whole or one alone: products of other sizes are added up in another order."""

    def test_pixels_have_the_dtype_of_latents(self) -> None:
        """Whatever the pipeline's is."""
        for dtype in self.dtypes:
            part = self.set_up().to(getattr(torch, dtype))
            pixels = self.exercise(part, dtype=dtype)[0][0]
            if pixels.dtype != getattr(torch, dtype):
                broken(
                    f"{self.name} cast to {dtype} makes pixels in {pixels.dtype}.",
                    "Pixels are in the dtype of the latents, the pipeline's.",
                    "Compute in float32 where you like, and end with .to(latents.dtype).",
                )

    def test_other_latents_make_other_pixels(self) -> None:
        """It looks at what it decodes."""
        one, other = (torch.cat(self._pixels(self.latents(seed=seed)), 2) for seed in (0, 1))
        if distance(one, other) <= self.tolerance:
            broken(
                f"{self.name} makes the same pixels of other latents.",
                "A decoder shows what is in the latents.",
                "Look for weights that are all zero, and for an activation that has run into its limits.",
            )

    def test_the_state_keeps_its_shape(self) -> None:
        """After each chunk of one length it is a tree of the same tensors."""
        states = self._states()
        try:
            shapes = [state_tree.signature(state) for state in states]
        except TypeError as error:
            broken(str(error), "A state can be copied, kept and restored.", "Put tensors into it.")
        later = [index for index, shape in enumerate(shapes) if shape != shapes[0]]
        if later:
            broken(
                f"The state of {self.name} is {_short(shapes[0])} after chunk 0, and "
                f"{_short(shapes[later[0]])} after chunk {later[0]}.",
                "It has the same structure, shapes and plain values after every chunk: memory does not grow, "
                "and one graph serves all chunks.",
                "Keep the last frames only, x[:, :, -n:].clone(), not torch.cat of all; count in a tensor, "
                "not in a Python int.",
            )

    def test_later_latents_change_no_earlier_pixels(self) -> None:
        """Causal: what has been shown stays as it was."""
        latents = self.latents()
        changed = latents.clone()
        changed[:, :, -1] += 1
        one, other = (in_chunks(self.part, [clip])[0][0] for clip in (latents, changed))
        before = one.shape[2] - self.part.config.temporal_compression
        apart = distance(one[:, :, :before], other[:, :, :before])
        if apart > self.tolerance:
            broken(
                f"Pixels of {self.name} change by {apart:.3g} with a latent frame that comes after them.",
                "A decoder that streams looks back, never ahead.",
                "Pad convolutions in time on the past side only, and take no mean or norm over time.",
            )

    def test_decoding_in_chunks_is_decoding_the_whole(self) -> None:
        """No seam between chunks."""
        latents = self.latents()
        (whole,), _ = in_chunks(self.part, [latents])
        for counts in (list(self.chunks), [1] * sum(self.chunks)):
            pixels, _ = in_chunks(self.part, torch.split(latents, counts, dim=2))
            apart = distance(torch.cat(pixels, dim=2), whole)
            if apart > self.tolerance:
                broken(
                    f"{self.name} in chunks of {counts[0]} is {apart:.3g} from the whole clip at once.",
                    f"They are one video, to {self.tolerance} (the tolerance of this contract).",
                    "Carry what convolutions look back at in the state, as many frames as their kernel is "
                    "long in time less one; take no mean or norm over the frames of a chunk.",
                )

    def test_videos_of_a_batch_do_not_see_each_other(self) -> None:
        """Each is what it is alone."""
        latents = self.latents(batch=2)
        together = torch.cat(self._pixels(latents), dim=2)
        for member in range(2):
            alone = torch.cat(self._pixels(latents[member : member + 1]), dim=2)
            apart = distance(together[member : member + 1], alone)
            if apart > self.tolerance:
                broken(
                    f"Video {member} of a batch is {apart:.3g} from the same one decoded alone by "
                    f"{self.name}.",
                    f"Videos of a batch are independent, to {self.tolerance} (the tolerance of this "
                    "contract).",
                    "Take no mean, norm or maximum over the batch: batch norm belongs into its eval form.",
                )

    def test_a_gpu_would_not_wait_for_the_host(self) -> None:
        """No value is fetched on the way."""
        waits = waits_on_gpu(self.part, lambda part: self.exercise(part, device="cuda"))
        if waits:
            broken(
                f"{self.name} makes the host wait for {waits[0]}.",
                "A forward fetches no value from the device: the GPU would idle, and no graph could hold it.",
                "Leave .item(), .tolist(), .cpu() and `if tensor:` out of it; take torch.where and shapes.",
            )

    def test_later_chunks_are_the_same_work(self) -> None:
        """So that a CUDA graph can be replayed for each."""
        if not isinstance(self.part, StreamingDecoder):
            skip("a decoder without state does the same for every chunk")
        place = self._chunk(0).clone()
        _, (state,) = in_chunks(self.part, [place])
        works = []
        for index in (1, 2):
            place.copy_(self._chunk(index))
            with torch.no_grad(), GraphRecorder() as recorder:
                _, after = self.part(place, state)
            works.append(recorder.operators)
            state = state_tree.updated(state, after)
        other = next((a for a, b in zip(*works, strict=False) if a != b), None)
        if works[0] != works[1]:
            broken(
                f"{self.name} does other work in the chunk after: {str(other or works[0][-1])[:160]}.",
                "Later chunks run the same operators, at the same addresses and with the same numbers.",
                "Read what changes from the state's tensors: no Python counter, no list that grows, no "
                "tensor that is made once and kept.",
            )

    def _states(self) -> list[Any]:
        return in_chunks(self.part, torch.split(self.latents(), list(self.chunks), dim=2))[1]

    def _chunk(self, index: int) -> Tensor:
        return torch.split(self.latents(), list(self.chunks), dim=2)[index]


def _short(shape: Any) -> str:
    text = str(shape)
    return text if len(text) <= 120 else f"{text[:120]}..."
