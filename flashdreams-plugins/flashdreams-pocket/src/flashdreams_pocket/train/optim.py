"""Muon for matrices, AdamW for the rest, a moving average of the weights, and the schedule.

Muon (K. Jordan, 2024): the momentum of a matrix is replaced by a nearly orthogonal matrix with
the same row and column spaces, found by five Newton-Schulz iterations.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, iterations: int = 5) -> Tensor:
    """`[N, rows, columns]` to about the nearest matrices whose singular values are all 1."""
    a, b, c = _NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.float().norm(dim=(1, 2), keepdim=True).bfloat16() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised. Convolutions count as `[out, in * kh * kw]`.

    A group's `split` says how many matrices are stacked in the rows, such as 3 for q, k and v.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, decay: float = 0.0) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "decay": decay, "split": 1})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(momentum, group["momentum"])
                rows = parameter.shape[0] // group["split"]
                for part, target in zip(
                    update.flatten(1).split(rows), parameter.data.split(rows), strict=True
                ):
                    by_shape.setdefault(tuple(part.shape), []).append((part, target))
            for (rows, columns), pairs in by_shape.items():
                updates = orthogonalise(torch.stack([part for part, _ in pairs]))
                scale = max(1.0, rows / columns) ** 0.5
                for update, (_, target) in zip(updates, pairs, strict=True):
                    target.mul_(1 - group["lr"] * group["decay"])
                    target.add_(update.reshape(target.shape), alpha=-group["lr"] * scale)


class Average:
    """Exponential moving average of a module's state, faster while it is young."""

    def __init__(self, module: nn.Module, keep: float) -> None:
        self.keep, self.steps = keep, 0
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves towards the module's present state."""
        self.steps += 1
        keep = min(self.keep, (1 + self.steps) / (10 + self.steps))
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value.detach(), 1 - keep)
            else:
                self.state[key].copy_(value)


def schedule(progress: float, warmup: float = 0.01, decay: float = 0.4) -> float:
    """Factor on the learning rate: up over the first `warmup`, down to 0 over the last `decay`."""
    return max(0.0, min(1.0, progress / warmup, (1 - progress) / decay))


def average_gradients(module: nn.Module) -> None:
    """All-reduces the gradients of all ranks in one message; nothing to do on one rank."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, piece in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(piece.view_as(gradient))
