"""What causal convolutions look back at, from one latent frame to the next."""

from __future__ import annotations

from collections import deque

from torch import Tensor

State = tuple[Tensor, ...]
"""Frames ``[B, depth, H, W, C]`` that each causal convolution looks back at, in the order they are met."""


class Past:
    """Hands every causal convolution the frames before the present ones, and keeps the last of these.

    Convolutions ask in the same order each time, and each calls :meth:`window` and then :meth:`keep`.

    Args:
        state: What an earlier one left behind; None at the beginning of a video, before which there is
            nothing but zeros.
        is_own: Whether nobody else holds the state, so that what is kept may take the place of what was
            looked back at. At high resolutions a state is larger than all else in memory.
    """

    def __init__(self, state: State | None, *, is_own: bool = False) -> None:
        self.is_first = state is None
        self.is_own = is_own
        self.before = deque(state or ())
        """What convolutions will look back at, the next one first."""
        self.kept: list[Tensor] = []
        """What they will look back at in the next latent frame."""

    @property
    def state(self) -> State:
        """The state to go on from, before anything is taken."""
        return tuple(self.before)

    def advanced(self) -> Past:
        """The past of the next latent frame. This one must not be used again."""
        return Past(tuple(self.kept), is_own=True)

    def window(self, present: Tensor, depth: int = 2) -> Tensor:
        """Room for ``present`` behind the ``depth`` frames before it, which are filled in.

        Args:
            present: Frames ``[B, T, H, W, C]``; only their shape matters here.
            depth: Frames that the convolution looks back at.

        Returns:
            ``[B, depth + T, H, W, C]``, to be filled from ``depth`` on and given to :meth:`keep`.
        """
        batch, frames, *rest = present.shape
        window = present.new_empty(batch, depth + frames, *rest)
        window[:, :depth] = 0 if self.is_first else self._looked_back_at()
        return window

    def keep(self, window: Tensor, depth: int = 2) -> None:
        """Remember the last ``depth`` frames of a window for the next time."""
        frames = window[:, -depth:]
        if self.is_first:
            self.kept.append(frames.clone())
        else:
            old = self.before.popleft()
            self.kept.append(old.copy_(frames) if self.is_own else frames.clone())

    def _looked_back_at(self) -> Tensor:
        return self.before[0]
