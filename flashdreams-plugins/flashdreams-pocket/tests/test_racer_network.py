"""The network: what it sees, and that the parallel pass is the streaming pass."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from flashdreams_pocket.network import FRAME_TOKENS, RacerDiT
from flashdreams_pocket.train.train_world_model import MaskedPass

FRAMES, WINDOW = 5, 3


@pytest.fixture(scope="module")
def dit() -> RacerDiT:
    torch.manual_seed(0)
    model = RacerDiT(latent_channels=4, width=32, layers=2, heads=2)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def full(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)


def inputs(frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    latents = torch.randn(2, 4, frames, 8, 8)
    levels = 1000 * torch.rand(2, frames)
    return latents, levels, torch.rand(2, frames, 3), torch.randn_like(latents)


@torch.no_grad()
def test_streaming_equals_parallel(dit: RacerDiT) -> None:
    masked = MaskedPass(dit, frames=FRAMES, window=WINDOW)
    clean, noisy = torch.randn(2, 4, FRAMES, 8, 8), torch.randn(2, 4, FRAMES - 1, 8, 8)
    levels = torch.cat([torch.zeros(2, FRAMES), torch.rand(2, FRAMES - 1)], dim=1)
    actions, before = torch.rand(2, FRAMES, 3), torch.zeros(2, 4, 1, 8, 8)
    parallel = masked(clean, noisy, levels, actions, before)

    past: list[list[tuple[Tensor, Tensor]]] = [[] for _ in dit.blocks]

    def run(latents: Tensor, level: Tensor, frame: int, previous: Tensor, keep: bool) -> Tensor:
        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            seen = [*past[layer][-(WINDOW - 1) :], (k, v)]
            if keep:
                past[layer].append((k, v))
            return full(q, torch.cat([p[0] for p in seen], 1), torch.cat([p[1] for p in seen], 1))

        controls, position = actions[:, frame : frame + 1], torch.tensor([frame + 1000])
        attends = [partial(attend, layer) for layer in range(len(dit.blocks))]
        return dit(latents, 1000 * level, controls, previous, position, attends)

    previous = before
    for frame in range(FRAMES):
        if frame:
            level = levels[:, FRAMES + frame - 1, None]
            streamed = run(noisy[:, :, frame - 1 : frame], level, frame, previous, keep=False)
            torch.testing.assert_close(streamed, parallel[:, :, frame - 1 : frame], atol=5e-5, rtol=1e-4)
        now = clean[:, :, frame : frame + 1]
        run(now, levels[:, frame, None], frame, previous, keep=True)
        previous = now


@torch.no_grad()
def test_only_relative_positions_matter(dit: RacerDiT) -> None:
    given = inputs(3)
    near = dit(*given, torch.arange(3), [full] * 2)
    far = dit(*given, torch.arange(3) + 100_000, [full] * 2)
    torch.testing.assert_close(near, far, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_every_input_is_used(dit: RacerDiT) -> None:
    latents, levels, controls, previous = inputs(1)
    at, attends = torch.arange(1), [full] * 2
    base = dit(latents, levels, controls, previous, at, attends)
    assert base.shape == latents.shape
    for changed in (
        dit(latents + 1, levels, controls, previous, at, attends),
        dit(latents, levels * 0.5, controls, previous, at, attends),
        dit(latents, levels, controls * 0.5, previous, at, attends),
        dit(latents, levels, controls, previous + 1, at, attends),
    ):
        assert (changed - base).abs().max() > 1e-4


@torch.no_grad()
def test_attend_sees_every_layer_and_token(dit: RacerDiT) -> None:
    layers = []

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        layers.append(layer)
        assert q.shape == k.shape == v.shape == (2, 2 * FRAME_TOKENS, 2, 16)
        return v

    dit(*inputs(2), torch.arange(2), [partial(attend, layer) for layer in range(2)])
    assert layers == [0, 1]
