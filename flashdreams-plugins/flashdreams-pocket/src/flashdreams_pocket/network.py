"""The world model: a causal diffusion transformer that predicts the next frame's latents.

One network serves two passes. Training runs many frames at once under a mask; a rollout runs
one frame over a KV cache. All they differ in is the callable `attend` that the network is
given: it receives a layer's rotated queries, keys and values and returns what was attended.

A frame is 4x4 tokens of 2x2 latents. Timestep and controls of a frame act through a
modulation that is computed once per pass and shared by all layers, each of which adds an
offset of its own (adaLN-single, PixArt-alpha). Queries and keys are normalised (RMSNorm) and
rotated in three dimensions (RoPE); the MLP is a squared ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from flashdreams.core.patchify import patchify, unpatchify
from flashdreams.core.rope import Split, apply_rope, rope_angles

PATCH = 2
PATCHES = (1, PATCH, PATCH)
GRID = 4  # tokens in the height and in the width of a frame
FRAME_TOKENS = GRID * GRID
ROPE_THETA = 100.0
CONTROLS = 3

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q, k, v), each `[B, L, heads, head_dim]`, to what the queries read in a layer, of q's shape."""


class RacerDiT(nn.Module):
    """Noisy latents of frames, with timesteps and controls, to their clean latents."""

    def __init__(
        self, *, latent_channels: int = 8, width: int = 256, layers: int = 6, heads: int = 4
    ) -> None:
        super().__init__()
        self.latent_channels, self.heads, self.width = latent_channels, heads, width
        self.head_dim = width // heads
        self.embed = nn.Linear(2 * latent_channels * PATCH**2, width)
        self.time = nn.Sequential(nn.Linear(128, width), nn.SiLU(), nn.Linear(width, width))
        self.control = nn.Sequential(nn.Linear(7 * CONTROLS, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.head_scale = nn.Parameter(torch.zeros(2, width))
        self.head = nn.Linear(width, latent_channels * PATCH**2)
        self._initialise()

    def _initialise(self) -> None:
        """Every residual branch starts at nothing, and so does the change from the previous frame."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.5 / math.sqrt(module.in_features))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Block):
                nn.init.zeros_(module.out.weight)
                nn.init.zeros_(module.down.weight)
                nn.init.ones_(module.offset[2])
                nn.init.ones_(module.offset[5])
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.head.weight)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        controls: Tensor,
        previous: Tensor,
        positions: Tensor,
        attends: Sequence[Attend],
    ) -> Tensor:
        """Predicts clean latents.

        Args:
            latents: `[B, C, T, 8, 8]`, noisy (or clean: then the pass is for keys and values).
            timesteps: `[B, T]` in [0, 1000], the noise of each frame.
            controls: `[B, T, 3]`: steer in [-1, 1], gas and brake in [0, 1]; those that led to
                each frame.
            previous: clean latents of the frame before each, as `latents`; zeros where none.
            positions: int64 `[T]`, frame numbers; only their differences matter.
            attends: attention of each layer, see `Attend`.

        Returns:
            Clean latents, as `latents`.
        """
        tokens = self.embed(patchify(torch.cat([latents, previous], dim=1), PATCHES))
        rotation = rope_angles(
            positions, GRID, GRID, head_dim=self.head_dim, split=_axes(self.head_dim), theta=ROPE_THETA
        )
        condition = self.time(_time_features(timesteps, tokens.dtype))
        condition = F.silu(condition + self.control(_control_features(controls)))
        modulation = rearrange(self.modulation(condition), "b t (m d) -> m b t 1 d", m=6)
        for block, attend in zip(self.blocks, attends, strict=True):
            tokens = block(tokens, modulation, rotation, attend)
        tokens = F.rms_norm(tokens, (self.width,)) * (1 + self.head_scale[0]) + self.head_scale[1]
        change = unpatchify(self.head(tokens), (latents.shape[2], GRID, GRID), PATCHES)
        return previous + change


class Block(nn.Module):
    """Attention and MLP, each behind a modulated norm and a gate."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.query_gain = nn.Parameter(torch.ones(width // heads))
        self.key_gain = nn.Parameter(torch.ones(width // heads))
        self.offset = nn.Parameter(torch.zeros(6, width))

    def forward(
        self, tokens: Tensor, modulation: Tensor, rotation: tuple[Tensor, Tensor], attend: Attend
    ) -> Tensor:
        """Tokens `[B, T * 16, width]` under modulation `[6, B, T, 1, width]`, to the same shape."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation + self.offset[:, None, None, None]
        q, k, v = self._heads(_modulated(tokens, scale1, shift1), rotation)
        tokens = _gated(tokens, self.out(attend(q, k, v).flatten(2)), gate1)
        hidden = F.relu(self.up(_modulated(tokens, scale2, shift2))).square()
        return _gated(tokens, self.down(hidden), gate2)

    def _heads(self, tokens: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised, rotated queries and keys, which are treated as one, and values."""
        qk, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).split((2, 1), dim=2)
        gain = torch.stack([self.query_gain, self.key_gain])[:, None]
        qk = (F.rms_norm(qk, qk.shape[-1:]) * gain).flatten(2, 3)
        q, k = apply_rope(qk, *rotation).to(v.dtype).unflatten(2, (2, self.heads)).unbind(2)
        return q, k, v.squeeze(2)


def _axes(head_dim: int) -> Split:
    """Channels that turn with time (a quarter), height and width (half of the rest each)."""
    time = head_dim // 8 * 2
    space = (head_dim - time) // 4 * 2
    return time, space, space


def _time_features(timesteps: Tensor, dtype: torch.dtype) -> Tensor:
    """Sinusoids of `[B, T]` in [0, 1000], `[B, T, 128]`."""
    rates = torch.exp(torch.arange(64, device=timesteps.device) * (-math.log(10000) / 64))
    angles = timesteps.float()[..., None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1).to(dtype)


def _control_features(controls: Tensor) -> Tensor:
    """The controls and their sinusoids, `[B, T, 21]`: a little brake is not no brake."""
    angles = torch.cat([controls * (math.pi * 2**k) for k in range(3)], dim=-1)
    return torch.cat([controls, angles.sin(), angles.cos()], dim=-1)


def _modulated(tokens: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    frames = F.rms_norm(tokens, tokens.shape[-1:]).unflatten(1, (-1, FRAME_TOKENS))
    return torch.addcmul(shift, frames, 1 + scale).flatten(1, 2)


def _gated(tokens: Tensor, change: Tensor, gate: Tensor) -> Tensor:
    frames, change = (t.unflatten(1, (-1, FRAME_TOKENS)) for t in (tokens, change))
    return torch.addcmul(frames, change, gate).flatten(1, 2)
