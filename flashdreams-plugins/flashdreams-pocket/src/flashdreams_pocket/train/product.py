"""The product as a dreamer: what is judged is the pipeline that users run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline import Rollout
from flashdreams.io.video import to_uint8
from flashdreams_pocket.config import POCKET_RACER


class PipelineDreamer:
    """B dreams on one rollout of the pocket-racer pipeline."""

    def __init__(
        self,
        weights: str = "shipped",
        timesteps: tuple[float, ...] | None = None,
        context_noise: float | None = None,
    ) -> None:
        transformer: dict[str, Any] = {"weights": weights, "context_encoder": {"weights": weights}}
        if context_noise is not None:
            transformer["context_noise"] = context_noise
        changes: dict[str, Any] = {"transformer": transformer}
        if timesteps is not None:
            changes["scheduler"] = {"denoising_timesteps": [float(t) for t in timesteps]}
        config = derive_config(POCKET_RACER.pipeline, diffusion_model=changes, decoder={"weights": weights})
        self.pipeline = config.setup()
        self.rollout: Rollout | None = None

    @torch.no_grad()
    def reconstruct(self, pixels: Tensor) -> Tensor:
        """Pixels `[N, 3, 64, 64]` encoded and decoded: the ceiling of what can be dreamt."""
        encoder = self.pipeline.diffusion_model.transformer.context_encoder.frames
        decoded: Tensor = self.pipeline.decoder.frames(encoder(pixels))
        return decoded

    def start(self, clips: np.ndarray, actions: np.ndarray, seed: int = 0) -> None:
        """Begins anew after clips uint8 `[B, T, 64, 64, 3]` and the actions `[B, T, 3]` behind them."""
        if self.rollout is not None:
            self.rollout.close()
        pixels = torch.from_numpy(np.ascontiguousarray(clips)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        self.rollout = self.pipeline.initialize_cache(
            first_frame=pixels,
            first_controls=torch.as_tensor(np.asarray(actions), dtype=torch.float32),
            batch_size=len(clips),
            seed=seed,
        )

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Next frames under actions `[B, 3]`, uint8 `[B, 64, 64, 3]`."""
        if self.rollout is None:
            raise RuntimeError("start() comes before step().")
        index = self.rollout.next_index
        chunk = self.pipeline.generate(index, self.rollout, input=actions)
        self.pipeline.finalize(index, self.rollout)
        return to_uint8(chunk)[:, -1]
