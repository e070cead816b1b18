"""What the judges drive: anything that dreams frames, and the plainest such thing.

The evaluation knows only `Dreamer`, so it judges this loop and a product's pipeline alike.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from flashdreams_pocket.autoencoder import FrameDecoder, FrameEncoder
from flashdreams_pocket.network import RacerDiT
from flashdreams_pocket.train.latents import part_of
from flashdreams_pocket.train.parallel import load_checkpoint
from flashdreams_pocket.train.train_autoencoder import to_pixels
from flashdreams_pocket.train.train_world_model import WINDOW

FINE_TIMESTEPS, FINE_CONTEXT_NOISE = (1000, 900, 750, 500), 130.0
FAST_TIMESTEPS, FAST_CONTEXT_NOISE = (1000, 750), 80.0


class Dreamer(Protocol):
    """B dreams that run in step."""

    def start(self, clips: np.ndarray, actions: np.ndarray, seed: int = 0) -> None:
        """Begins anew after clips uint8 `[B, T, 64, 64, 3]` and the actions `[B, T, 3]` behind them."""

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Next frames under actions `[B, 3]`, uint8 `[B, 64, 64, 3]`."""

    def reconstruct(self, pixels: Tensor) -> Tensor:
        """Pixels `[N, 3, 64, 64]` encoded and decoded: the ceiling of what can be dreamt."""


class NetworkDreamer:
    """The three modules in a plain loop over a growing list of keys and values."""

    def __init__(
        self,
        encoder: FrameEncoder,
        decoder: FrameDecoder,
        dit: RacerDiT,
        timesteps: tuple[float, ...] = FAST_TIMESTEPS,
        context_noise: float = FAST_CONTEXT_NOISE,
        window: int = WINDOW,
    ) -> None:
        self.encoder, self.decoder, self.dit = encoder.eval(), decoder.eval(), dit.eval()
        self.timesteps, self.window = timesteps, window
        self.context_noise = context_noise  # timestep at which clean frames are written

    @classmethod
    def from_run(cls, run: Path, **options) -> NetworkDreamer:
        """From the checkpoints of a training that may still be going on."""
        encoder, decoder, dit = FrameEncoder(), FrameDecoder(), RacerDiT()
        autoencoder = load_checkpoint(run / "autoencoder.pt")["average"]
        encoder.load_state_dict(part_of(autoencoder, "encoder"))
        decoder.load_state_dict(part_of(autoencoder, "decoder"))
        dit.load_state_dict(load_checkpoint(run / "world_model.pt")["average"])
        return cls(encoder, decoder, dit, **options)

    @torch.no_grad()
    def reconstruct(self, pixels: Tensor) -> Tensor:
        """Pixels `[N, 3, 64, 64]` encoded and decoded: the ceiling of what can be dreamt."""
        decoded: Tensor = self.decoder(self.encoder(pixels))
        return decoded

    @torch.no_grad()
    def start(self, clips: np.ndarray, actions: np.ndarray, seed: int = 0) -> None:
        """See `Dreamer`."""
        self.generator = torch.Generator().manual_seed(seed)
        self.past: list[list[tuple[Tensor, Tensor]]] = [[] for _ in self.dit.blocks]
        self.position = 0
        batch, length = clips.shape[:2]
        latents = self.encoder(to_pixels(torch.from_numpy(clips.reshape(-1, *clips.shape[2:]).copy())))
        latents = latents.unflatten(0, (batch, length)).transpose(1, 2)
        self.previous = torch.zeros_like(latents[:, :, :1])
        for index in range(length):
            self._commit(latents[:, :, index : index + 1], _controls(actions[:, index]))

    @torch.no_grad()
    def step(self, actions: np.ndarray) -> np.ndarray:
        """See `Dreamer`."""
        controls = _controls(actions)
        clean = self.previous
        for timestep in self.timesteps:
            level, noise = timestep / 1000, torch.randn(clean.shape, generator=self.generator)
            noisy = (1 - level) * clean + level * noise
            clean = self._predict(noisy, timestep, controls, keep=False)
        self._commit(clean, controls)
        pixels = self.decoder(clean[:, :, 0])
        return to_frames(pixels)

    def _commit(self, clean: Tensor, controls: Tensor) -> None:
        self._predict(clean, self.context_noise, controls, keep=True)
        self.previous = clean
        self.position += 1

    def _predict(self, latents: Tensor, timestep: float, controls: Tensor, keep: bool) -> Tensor:
        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            past = self.past[layer]
            keys = torch.cat([key for key, _ in past] + [k], dim=1)
            values = torch.cat([value for _, value in past] + [v], dim=1)
            if keep:
                self.past[layer] = [*past, (k, v)][-(self.window - 1) :]
            scores = torch.einsum("bqhd,bkhd->bhqk", q, keys) * q.shape[-1] ** -0.5
            return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), values)

        attends = [partial(attend, layer) for layer in range(len(self.past))]
        levels = torch.full((len(latents), 1), float(timestep))
        positions = torch.tensor([self.position])
        return self.dit(latents, levels, controls, self.previous, positions, attends)


def to_frames(pixels: Tensor) -> np.ndarray:
    """Pixels `[N, 3, H, W]` in [-1, 1] to uint8 `[N, H, W, 3]`."""
    rounded = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(0, 2, 3, 1).numpy())


def _controls(actions: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(actions), dtype=torch.float32)[:, None]
