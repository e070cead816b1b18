"""Promises about what a chunk is: its shape, its frames, its dtype, its values."""

from __future__ import annotations

import torch
from torch import Tensor

from flashdreams.testing.contract import broken, skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import Subject, difference

_SLACK = 1e-2
"""How far pixels may lie beyond [-1, 1]: bfloat16 has steps of 2**-8 just below 1."""


class FramePromises(PipelinePromises):
    """Chunks are what the config says, and the caller's to keep."""

    def test_chunks_have_the_size_that_the_config_says(self) -> None:
        """``[B, 3, T, height, width]``, or latents where there is no decoder."""
        with self.trial() as subject:
            config = subject.pipeline.config
            channels = 3 if config.decoder else config.diffusion_model.transformer.latent_channels
            for index, chunk in enumerate(subject.expected(subject.short)):
                right = (1, channels, config.height, config.width)
                if chunk.dim() != 5 or (*chunk.shape[:2], *chunk.shape[3:]) != right:
                    broken(
                        f"Chunk {index} is {list(chunk.shape)}.",
                        f"Its config promises [1, {channels}, T, {config.height}, {config.width}].",
                        "Correct what the decoder's forward returns, or height and width of the config.",
                    )

    def test_the_first_chunk_has_the_frames_that_the_config_says(self) -> None:
        """Those of its latent frames, of which the first may give fewer: the decoder's ``first_frames``."""
        with self.trial() as subject:
            _check_frames(subject, 0)

    def test_later_chunks_have_the_frames_that_the_config_says(self) -> None:
        """``chunk * temporal_compression``."""
        with self.trial() as subject:
            subject.needs_chunks(2)
            for index in range(1, subject.short):
                _check_frames(subject, index)

    def test_pixels_have_the_dtype_of_the_config(self) -> None:
        """Pixels are in the model's dtype until they leave the device."""
        with self.trial() as subject:
            pipeline = subject.pipeline
            for index, chunk in enumerate(subject.expected(subject.short)):
                if chunk.dtype != pipeline.dtype:
                    broken(
                        f"Chunk {index} is {chunk.dtype}.",
                        f"The config's dtype is {pipeline.config.dtype}.",
                        "Make new tensors like given ones (latents.new_zeros, .to(latents)); end with that.",
                    )

    def test_pixels_are_finite(self) -> None:
        """No NaN and no infinity."""
        with self.trial() as subject:
            for index, chunk in enumerate(subject.expected(subject.short)):
                bad = (~torch.isfinite(chunk)).sum().item()
                if bad:
                    broken(
                        f"Chunk {index} has {bad} values that are no numbers.",
                        "Every value is finite.",
                        "Look for what was never filled (torch.empty), divided by zero, or overflowed.",
                    )

    def test_pixels_lie_between_minus_one_and_one(self) -> None:
        """What is outside would be cut off when it becomes uint8."""
        with self.trial() as subject:
            if subject.pipeline.decoder is None:
                skip("Without a decoder there are latents, which may have any size.")
            for index, chunk in enumerate(subject.expected(subject.short)):
                largest = chunk.abs().max().item()
                if largest > 1 + _SLACK:
                    broken(
                        f"Chunk {index} has pixels as large as {largest:.3g}.",
                        "Pixels lie in [-1, 1].",
                        "End the decoder with clamp(-1, 1) or tanh; map [0, 1] to [-1, 1].",
                    )

    def test_a_chunk_is_never_overwritten(self) -> None:
        """A chunk that was returned is the caller's, whatever is made after it."""
        with self.trial() as subject:
            pipeline, rollout = subject.pipeline, subject.begin()
            kept: list[tuple[Tensor, Tensor]] = []
            for index in range(subject.at_most(4)):
                chunk = pipeline.generate(index, rollout, input=subject.controls[0])
                kept.append((chunk, chunk.clone()))
                pipeline.finalize(index, rollout)
            for index, (chunk, before) in enumerate(kept):
                if difference(before, chunk):
                    broken(
                        f"Chunk {index} has other pixels now than when it was returned.",
                        "A returned chunk is never written to again.",
                        "Return new memory from the decoder, and no view of its state or of a buffer.",
                    )


def _check_frames(subject: Subject, index: int) -> None:
    __tracebackhide__ = True
    config = subject.pipeline.config
    decoder, latent_frames = config.decoder, config.diffusion_model.transformer.chunk
    each, first = (decoder.temporal_compression, decoder.first_frames) if decoder else (1, 1)
    right = latent_frames * each - (each - first) * (index == 0)
    frames = subject.expected(index + 1)[index].shape[2]
    if frames != right:
        broken(
            f"Chunk {index} has {frames} frames.",
            f"Its {latent_frames} latent frames give {right}: {each} each"
            + (f", and the first of a video {first}." if first != each else "."),
            "Correct what the decoder returns, or temporal_compression and first_frames of its config.",
        )
