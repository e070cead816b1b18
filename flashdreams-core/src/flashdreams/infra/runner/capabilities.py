"""What a slug promises of its videos. No torch here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What the videos of a slug depend on, and how exactly: declared by its runner, held to by the tests.

    The conformance kit (:mod:`flashdreams.testing`) skips what is declared absent, and says so.
    """

    seeds: bool = True
    """Another seed makes another video."""
    past: bool = True
    """A chunk depends on the chunks before it."""
    prompts: bool = False
    """Another prompt makes another video."""
    controls: bool = False
    """Another control makes another chunk; the runner's ``control_examples`` gives some."""
    chunks: int | None = None
    """Chunks that a video may have; None for as many as anyone likes."""
    batch: bool = True
    """Several videos can be made side by side."""
    batch_tolerance: float = 1e-4
    """Largest difference, in pixels within [-1, 1], of a video made in a batch from the same one made alone:
    products of other sizes are added up in another order."""
    decode_tolerance: float = 1e-4
    """Largest difference, in pixels within [-1, 1], of decoding chunk by chunk from decoding as a whole."""
    graphs: bool = True
    """CUDA graphs can hold its stages: nothing moves in memory, and the host waits for nothing."""
