"""Stage 4: the world model, by teacher forcing.

A sequence holds T clean frames and T - 1 noisy ones. A noisy frame sees the clean frames
before it in its window and itself, exactly as a rollout sees its KV cache; every noisy frame
has a noise of its own. In some sequences the clean frames carry a little noise too, whose
level the model is told: a rollout's own frames are never quite clean. For the same reason every
other step shows the model some of its own predictions of clean frames in their place: they are
blurred where a frame holds something new, and the frame after must be sharp all the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from flashdreams_pocket.network import FRAME_TOKENS, RacerDiT
from flashdreams_pocket.train.latents import Sequences
from flashdreams_pocket.train.optim import Average, Muon, average_gradients, schedule
from flashdreams_pocket.train.parallel import Clock, launch, load_checkpoint, log, save_checkpoint

WINDOW = 12  # latent frames that attention sees, the current one included
FRAMES = 16  # of a sequence
BATCH = 8  # sequences per rank
SHIFT = 2.5  # of the noise levels, towards high noise
GRID = (1.0, 0.9, 0.75, 0.5)  # noise levels that rollouts use
ON_GRID = 0.5  # share of noisy frames whose level is one of these
CONTEXT_NOISE = 0.5  # highest noise level of clean frames
CONTEXT_NOISED = 0.7  # share of sequences whose clean frames are noised
OWN_EVERY = 2  # steps; in one of so many the model sees predictions of its own
OWN_LEVELS = (0.7, 1.0)  # noise that these are predicted from
MUON_RATE, ADAM_RATE = 0.012, 2e-3
KEEP = 0.998
DECAY = 0.5  # share of the time, the last, in which the rates fall to 0


class MaskedPass(nn.Module):
    """The parallel pass over [T clean | T - 1 noisy] frames."""

    mask: Tensor
    positions: Tensor

    def __init__(self, dit: RacerDiT, frames: int = FRAMES, window: int = WINDOW) -> None:
        super().__init__()
        self.dit, self.frames = dit, frames
        clean, noisy = torch.arange(frames), torch.arange(1, frames)
        self.register_buffer("positions", torch.cat([clean, noisy]), persistent=False)
        age = self.positions[:, None] - self.positions[None, :]
        key_clean = torch.arange(2 * frames - 1)[None, :] < frames
        query_clean = key_clean.T
        past = key_clean & (age < window) & torch.where(query_clean, age >= 0, age > 0)
        itself = torch.eye(2 * frames - 1, dtype=torch.bool)
        seen = (past | itself).repeat_interleave(FRAME_TOKENS, 0).repeat_interleave(FRAME_TOKENS, 1)
        self.register_buffer("mask", torch.zeros(seen.shape).masked_fill(~seen, -1e4), persistent=False)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Plain attention under the mask."""
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return ((scores + self.mask).softmax(-1).to(v.dtype) @ v).transpose(1, 2)

    def forward(self, clean: Tensor, noisy: Tensor, levels: Tensor, actions: Tensor, before: Tensor):
        """Predictions of the noisy frames' clean latents, `[B, C, T - 1, 8, 8]`.

        Args:
            clean: `[B, C, T, 8, 8]`.
            noisy: `[B, C, T - 1, 8, 8]`, for frames 1 to T - 1.
            levels: `[B, 2 T - 1]` noise of every frame in [0, 1].
            actions: `[B, T, 3]`.
            before: `[B, C, 1, 8, 8]`, the frame before the first.
        """
        previous = torch.cat([before, clean[:, :, :-1], clean[:, :, :-1]], dim=2)
        latents = torch.cat([clean, noisy], dim=2)
        controls = torch.cat([actions, actions[:, 1:]], dim=1)
        attends = [self.attend] * len(self.dit.blocks)
        out = self.dit(latents, levels * 1000, controls, previous, self.positions, attends)
        return out[:, :, self.frames :]


def corrupt(latents: Tensor, level: Tensor, noise: Tensor) -> Tensor:
    """Rectified flow: `(1 - level) latents + level noise`, level in [0, 1]."""
    return (1 - level) * latents + level * noise


def draw_levels(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise of the clean frames `[B, 1]` and of the noisy ones `[B, T - 1]`, in [0, 1]."""
    u = torch.rand(batch, FRAMES - 1, generator=generator)
    noisy = SHIFT * u / (1 + (SHIFT - 1) * u)
    grid = torch.tensor(GRID)[torch.randint(len(GRID), noisy.shape, generator=generator)]
    noisy = torch.where(torch.rand(noisy.shape, generator=generator) < ON_GRID, grid, noisy)
    noised = torch.rand(batch, 1, generator=generator) < CONTEXT_NOISED
    clean = CONTEXT_NOISE * torch.rand(batch, 1, generator=generator) ** 1.5 * noised
    return clean, noisy


@torch.no_grad()
def with_own_predictions(
    model: nn.Module, latents: Tensor, actions: Tensor, generator: torch.Generator
) -> Tensor:
    """`latents` with some frames replaced by what the model predicts from the true frames before."""
    low, high = OWN_LEVELS
    level = low + (high - low) * torch.rand(len(latents), FRAMES - 1, generator=generator)
    clean = torch.zeros(len(latents), 1)
    target = latents[:, :, 2:]
    noise = torch.randn(target.shape, generator=generator)
    noisy = corrupt(target, level[:, None, :, None, None], noise)
    levels = torch.cat([clean.expand(-1, FRAMES), level], dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        own = model(latents[:, :, 1:], noisy, levels, actions, latents[:, :, :1]).float()
    share = torch.rand(len(latents), 1, 1, 1, 1, generator=generator)
    chosen = torch.rand(len(latents), 1, FRAMES - 1, 1, 1, generator=generator) < share
    return torch.cat([latents[:, :, :2], torch.where(chosen, own, target)], dim=2)


def sample_loss(
    model: nn.Module,
    latents: Tensor,
    actions: Tensor,
    clean_level: Tensor,
    level: Tensor,
    generator: torch.Generator,
    seen: Tensor | None = None,
) -> Tensor:
    """Mean squared error of every noisy frame, `[B, T - 1]`.

    `latents` and `actions` as in `Sequences`; `seen` is what the model sees for clean frames.
    """
    noise = torch.randn(latents.shape, generator=generator)
    context = corrupt(latents if seen is None else seen, clean_level[:, None, :, None, None], noise)
    begins = torch.rand(len(latents), 1, 1, 1, 1, generator=generator) < 0.3
    before = context[:, :, :1].masked_fill(begins, 0.0)  # some sequences have no past at all
    target = latents[:, :, 2:]
    fresh = torch.randn(target.shape, generator=generator)
    noisy = corrupt(target, level[:, None, :, None, None], fresh)
    levels = torch.cat([clean_level.expand(-1, FRAMES), level], dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(context[:, :, 1:], noisy, levels, actions, before)
    return (output.float() - target).square().mean(dim=(1, 3, 4))


@torch.no_grad()
def judge(model: nn.Module, latents: Tensor, actions: Tensor) -> dict[str, float]:
    """Held-out error at three noise levels, with the same noise every time."""
    out = {}
    for level in (1.0, 0.75, 0.5):
        generator = torch.Generator().manual_seed(0)
        losses = []
        for part, acts in zip(latents.split(BATCH), actions.split(BATCH), strict=True):
            zero = torch.zeros(len(part), 1)
            levels = torch.full((len(part), FRAMES - 1), level)
            losses.append(sample_loss(model, part, acts, zero, levels, generator).mean())
        out[f"held_out_{level}"] = torch.stack(losses).mean().item()
    return out


def _optimisers(dit: RacerDiT) -> list[torch.optim.Optimizer]:
    stacked = [b.qkv.weight for b in dit.blocks]
    matrices = [w.weight for b in dit.blocks for w in (b.out, b.up, b.down)]
    chosen = {id(p) for p in stacked + matrices}
    others = [p for p in dit.parameters() if id(p) not in chosen]
    muon = Muon(matrices, MUON_RATE, decay=0.05)
    muon.add_param_group({"params": stacked, "split": 3})
    return [muon, torch.optim.AdamW(others, ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.01)]


def _train(rank: int, run: Path, seconds: float, seed: int) -> None:
    torch.manual_seed(seed)
    dit = RacerDiT()
    optimisers, average, step, spent = _optimisers(dit), Average(dit, KEEP), 0, 0.0
    path = run / "world_model.pt"
    saved = load_checkpoint(path)
    if saved:
        dit.load_state_dict(saved["model"])
        average.state, average.steps = saved["average"], saved["step"]
        for optimiser, state in zip(optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        step, spent = saved["step"], saved["spent"]
    model = torch.compile(MaskedPass(dit), dynamic=False)
    data = Sequences(run, FRAMES, np.random.default_rng([seed, rank, step]))
    generator = torch.Generator().manual_seed(
        int(np.random.default_rng([seed, rank, step, 1]).integers(2**31))
    )
    held_out = data.judge(4 * BATCH)
    shadow = RacerDiT()
    judged = MaskedPass(shadow)
    clock, noted, judged_at, running = Clock(seconds, spent), spent, spent, 0.0
    while (spent := clock.spent()) < seconds:
        factor = schedule(spent / seconds, decay=DECAY)
        for optimiser, rate in zip(optimisers, (MUON_RATE, ADAM_RATE), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
        latents, actions = data.batch(BATCH)
        clean_level, level = draw_levels(BATCH, generator)
        own = step % OWN_EVERY == 0
        seen = with_own_predictions(model, latents, actions, generator) if own else latents
        loss = sample_loss(model, latents, actions, clean_level, level, generator, seen).mean()
        dit.zero_grad()
        loss.backward()
        average_gradients(dit)
        norm = nn.utils.clip_grad_norm_(dit.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        average.update(dit)
        step += 1
        running += (loss.item() - running) / min(step, 100)
        if rank == 0 and spent - noted > 30:
            noted = spent
            values = {"step": step, "spent": spent, "loss": running, "norm": norm.item()}
            if spent - judged_at > 240:
                judged_at = spent
                shadow.load_state_dict(average.state)
                values |= judge(judged, *held_out)
            log(run / "world_model.jsonl", **values)
            _save(path, dit, average, optimisers, step, spent)
    if rank == 0:
        shadow.load_state_dict(average.state)
        log(run / "world_model.jsonl", step=step, spent=spent, loss=running, **judge(judged, *held_out))
        _save(path, dit, average, optimisers, step, spent)


def _save(path: Path, dit: RacerDiT, average: Average, optimisers, step: int, spent: float) -> None:
    state = {"model": dit.state_dict(), "average": average.state, "step": step, "spent": spent}
    save_checkpoint(path, state | {"optimisers": [o.state_dict() for o in optimisers]})


def train_world_model(run: Path, seconds: float, seed: int = 2, processes: int = 2) -> None:
    """Trains for `seconds` in all, from `world_model.pt` on if there is one."""
    launch(_train, processes, run, seconds, seed)
