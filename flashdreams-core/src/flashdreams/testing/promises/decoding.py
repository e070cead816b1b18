"""A promise about decoders: seams between chunks do not show."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import torch

from flashdreams.infra.contract import with_state
from flashdreams.infra.decoder.base import Decoder, StreamingDecoder
from flashdreams.testing.contract import skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import LONG, same


class DecodingPromises(PipelinePromises):
    """A video is decoded chunk by chunk as it would be as a whole."""

    def test_decoding_chunk_by_chunk_equals_decoding_the_whole(self) -> None:
        """Within the tolerance that is declared."""
        with self.trial() as subject:
            decoder = subject.pipeline.decoder
            if decoder is None:
                skip("It has no decoder.")
            subject.needs_chunks(2)
            chunks = subject.at_most(LONG)
            pixels = subject.expected(chunks)
            whole = _decoded(decoder, torch.cat(subject.expected_latents(chunks), dim=2))
            ends = list(accumulate(chunk.shape[2] for chunk in pixels))
            same(
                [whole[:, :, begin:end] for begin, end in pairwise([0, *ends])],
                pixels,
                "a video decoded chunk by chunk, beside the same decoded as a whole,",
                "A seam between chunks does not show: both are the same within decode_tolerance.",
                "Return as state all frames that the decoder looks back at, and begin the next with them.",
                subject.capabilities.decode_tolerance,
            )


@torch.no_grad()
def _decoded(decoder: Decoder, latents: torch.Tensor) -> Any:
    """Pixels of a whole video, ``[B, 3, T, H, W]``."""
    if isinstance(decoder, StreamingDecoder):
        return with_state(decoder(latents, decoder.initialize_state()), decoder)[0]
    return decoder(latents)
