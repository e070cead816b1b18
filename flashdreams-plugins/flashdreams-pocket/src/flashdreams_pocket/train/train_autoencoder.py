"""Stage 2: the autoencoder.

Loss: L1 + 2 MSE + 0.5 L1 of the image gradients, in [-1, 1] pixel units. Latents are
standardised by the statistics of the batch while training, by their running average after
it; noise up to a tenth of their standard deviation makes the decoder forgive.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from flashdreams_pocket.autoencoder import FrameDecoder, FrameEncoder
from flashdreams_pocket.train.collect import shard_paths
from flashdreams_pocket.train.optim import Average, Muon, average_gradients, schedule
from flashdreams_pocket.train.parallel import Clock, launch, load_checkpoint, log, save_checkpoint

BATCH = 32  # per rank
LATENT_NOISE = 0.1
MUON_RATE, ADAM_RATE = 0.01, 2e-3
KEEP = 0.998  # of the moving average
STATISTICS_MOMENTUM = 0.02


class Frames:
    """Random frames of the data, those with kerbs more often; half of them mirrored."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.rng = rng
        shards = shard_paths(folder)
        self.frames = [np.load(s / "frames.npy", mmap_mode="r") for s in shards]
        self.frames = [f.reshape(-1, *f.shape[2:]) for f in self.frames]
        kerbs = [np.load(s / "states.npy")[..., 3].ravel() for s in shards]
        self.held_out = np.nan_to_num(kerbs[-1], nan=-1) >= 0  # the last shard judges
        weights = [np.nan_to_num(1 + np.minimum(k, 60) / 20) for k in kerbs[:-1]]
        self.starts = np.cumsum([0] + [len(w) for w in weights])
        self.cumulative = np.cumsum(np.concatenate(weights))

    def batch(self, count: int) -> Tensor:
        """uint8 `[count, 64, 64, 3]`."""
        draws = self.rng.random(count) * self.cumulative[-1]
        indices = np.searchsorted(self.cumulative, draws)
        shard = np.searchsorted(self.starts, indices, side="right") - 1
        picked = [self.frames[s][i - self.starts[s]] for s, i in zip(shard, indices, strict=True)]
        flip = self.rng.random(count) < 0.5
        return torch.from_numpy(np.stack([f[:, ::-1] if m else f for f, m in zip(picked, flip, strict=True)]))

    def judge(self, count: int = 256) -> Tensor:
        """The same held-out frames every time."""
        chosen = np.flatnonzero(self.held_out)
        chosen = chosen[np.linspace(0, len(chosen) - 1, count).astype(int)]
        return torch.from_numpy(self.frames[-1][chosen])


def to_pixels(frames: Tensor) -> Tensor:
    """uint8 `[N, H, W, 3]` to float32 `[N, 3, H, W]` in [-1, 1], channels last in memory."""
    return frames.permute(0, 3, 1, 2).float() / 127.5 - 1


class Autoencoder(nn.Module):
    """Both halves, with the noise between them that training needs."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = FrameEncoder(), FrameDecoder()

    def forward(self, pixels: Tensor, noise: Tensor) -> Tensor:
        """Reconstructions under latent noise of standard deviation `noise` `[N, 1, 1, 1]`."""
        raw = self.encoder.raw(pixels).float()
        mean, std = raw.mean(dim=(0, 2, 3), keepdim=True), raw.std(dim=(0, 2, 3), keepdim=True)
        with torch.no_grad():
            self.encoder.mean.lerp_(mean, STATISTICS_MOMENTUM)
            self.encoder.std.lerp_(std, STATISTICS_MOMENTUM)
        latents = (raw - mean) / std
        return self.decoder(latents + noise * torch.randn_like(latents))


def loss_of(output: Tensor, pixels: Tensor) -> Tensor:
    """The loss of the module's docstring."""
    error = output - pixels
    gradients = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * gradients


@torch.no_grad()
def psnr_of(state: dict[str, Tensor], frames: Tensor) -> float:
    """Decibels over all pixels of all frames, of reconstructions rounded to 8 bits."""
    model = Autoencoder()
    model.load_state_dict(state)
    total = 0.0
    for part in frames.split(64):
        output = model.decoder(model.encoder(to_pixels(part)))
        rounded = ((output.clamp(-1, 1) + 1) * 127.5).round()
        total += (rounded - part.permute(0, 3, 1, 2)).square().mean().item() * len(part)
    return 10 * np.log10(255**2 / (total / len(frames)))


def _train(rank: int, run: Path, seconds: float, seed: int) -> None:
    torch.manual_seed(seed)
    model = Autoencoder().to(memory_format=torch.channels_last)
    kernels = [p for p in model.parameters() if p.ndim == 4]
    others = [p for p in model.parameters() if p.ndim != 4]
    optimisers = [Muon(kernels, MUON_RATE), torch.optim.AdamW(others, ADAM_RATE, weight_decay=0)]
    rates = [MUON_RATE, ADAM_RATE]
    average, step, spent = Average(model, KEEP), 0, 0.0
    saved = load_checkpoint(run / "autoencoder.pt")
    if saved:
        model.load_state_dict(saved["model"])
        average.state, average.steps = saved["average"], saved["step"]
        for optimiser, state in zip(optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        step, spent = saved["step"], saved["spent"]
    rng = np.random.default_rng([seed, rank, step])
    torch.manual_seed(int(rng.integers(2**31)))
    data, clock, noted = Frames(run / "data", rng), Clock(seconds, spent), spent
    running = 0.0

    def save() -> None:
        state = {"model": model.state_dict(), "average": average.state, "step": step}
        state |= {"optimisers": [o.state_dict() for o in optimisers], "spent": spent}
        save_checkpoint(run / "autoencoder.pt", state)

    while (spent := clock.spent()) < seconds:
        factor = schedule(spent / seconds)
        for optimiser, rate in zip(optimisers, rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
        pixels = to_pixels(data.batch(BATCH))
        with torch.autocast("cpu", torch.bfloat16):
            output = model(pixels, LATENT_NOISE * torch.rand(BATCH, 1, 1, 1))
        loss = loss_of(output.float(), pixels)
        model.zero_grad()
        loss.backward()
        average_gradients(model)
        for optimiser in optimisers:
            optimiser.step()
        average.update(model)
        step += 1
        running += (loss.item() - running) / min(step, 50)
        if rank == 0 and spent - noted > 45:
            noted = spent
            quality = psnr_of(average.state, data.judge())
            log(run / "autoencoder.jsonl", step=step, spent=spent, loss=running, psnr=quality)
            save()
    if dist.is_initialized():
        for buffer in (average.state["encoder.mean"], average.state["encoder.std"]):
            dist.all_reduce(buffer)
            buffer /= dist.get_world_size()
    if rank == 0:
        quality = psnr_of(average.state, data.judge(2048))
        log(run / "autoencoder.jsonl", step=step, spent=spent, loss=running, psnr=quality)
        save()


def train_autoencoder(run: Path, seconds: float, seed: int = 1, processes: int = 2) -> None:
    """Trains for `seconds` in all, from `autoencoder.pt` on if there is one."""
    launch(_train, processes, run, seconds, seed)
