"""Trees of several videos as the tree of one batch, and back; see :mod:`flashdreams.infra.state_tree`.

The dimension that counts videos is the one in which the two differ. Where there is no tensor of a batch yet
to tell it by, it is the first. What is the same in a batch of any size is shared, and must be equal. An
object that looks after itself does it by ``gather(others)`` and ``scatter(others)``, as a KV cache does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flashdreams.errors import RolloutError
from flashdreams.infra.state_tree import children, looks_after_itself, mapped, rebuilt, signature

DIFFERENT_FORMS = "their states have different forms, or hold what cannot be gathered"
"""Why trees that are not alike are no batch."""


def are_alike(trees: Sequence[Any]) -> bool:
    """Whether trees of single videos have one form, and nothing in them that cannot be gathered."""
    first = signature(trees[0])
    return all(signature(tree) == first for tree in trees[1:]) and _can_gather(trees[0])


def gathered(current: Any, trees: Sequence[Any]) -> Any:
    """The trees of single videos as that of a batch, at ``current``'s addresses where it fits them.

    Raises:
        RolloutError: The trees differ in more than what a batch holds side by side.
    """
    if not are_alike(trees):
        raise not_together(DIFFERENT_FORMS)
    return _gathered(current, trees)


def scatter(batch: Any, trees: Sequence[Any]) -> None:
    """Write each video's part of a batch to its own tree, at the addresses that this has."""
    if isinstance(batch, Tensor):
        dim = _dim_of_videos(batch, trees[0])
        for number, tensor in enumerate(trees):
            tensor.copy_(batch if dim is None else _part(batch, dim, number, len(trees)))
    elif looks_after_itself(batch):
        batch.scatter(trees)
    else:
        for place, child in children(batch):
            scatter(child, [dict(children(tree))[place] for tree in trees])


def part_of(batch: Any, number: int, videos: int) -> Any:
    """The tree of one video out of that of a batch, whose tensors count videos in their first dimension.

    Its tensors are views. A tensor of one row, or of none, belongs to every video.

    Raises:
        RolloutError: A tensor counts anything else in its first dimension.
    """

    def part(tensor: Tensor) -> Tensor:
        if tensor.dim() == 0 or tensor.shape[0] == 1:
            return tensor
        if tensor.shape[0] != videos:
            raise not_together(f"a tensor {[*tensor.shape]} counts no videos in its first dimension")
        return _part(tensor, 0, number, videos)

    return mapped(part, batch)


def not_together(why: str) -> RolloutError:
    """The error that says why rollouts are no batch."""
    return RolloutError(
        f"Rollouts cannot be computed together: {why}.",
        "Together go single videos of one pipeline and size, at one step, with states of one form.",
        "Go on with each alone: pipeline.generate() and pipeline.finalize().",
    )


def _can_gather(tree: Any) -> bool:
    if looks_after_itself(tree):
        return hasattr(tree, "gather") and hasattr(tree, "scatter")
    return all(_can_gather(child) for _, child in children(tree))


def _gathered(current: Any, trees: Sequence[Any]) -> Any:
    first = trees[0]
    if isinstance(first, Tensor):
        return _gathered_tensor(current, trees)
    if looks_after_itself(first):
        if type(current) is not type(first):
            raise not_together(f"a {type(first).__name__} of theirs has no counterpart in a batch")
        current.gather(trees)
        return current
    here = dict(children(current)) if type(current) is type(first) else {}
    inside = zip(*(children(tree) for tree in trees), strict=True)
    return rebuilt(first, [_gathered(here.get(same[0][0]), [child for _, child in same]) for same in inside])


def _gathered_tensor(current: Any, tensors: Sequence[Tensor]) -> Tensor:
    first, videos = tensors[0], len(tensors)
    batch = current if isinstance(current, Tensor) and _fits(current, first, videos) else None
    if batch is None and first.dim() > 0 and len(first) == 1:
        return torch.cat([*tensors])
    batch = first.clone() if batch is None else batch
    dim = _dim_of_videos(batch, first)
    if dim is None and not all(torch.equal(first, tensor) for tensor in tensors[1:]):
        raise not_together(f"a tensor {[*first.shape]} that belongs to all videos differs among them")
    for number, tensor in enumerate(tensors):
        (batch if dim is None else _part(batch, dim, number, videos)).copy_(tensor)
    return batch


def _fits(batch: Tensor, single: Tensor, videos: int) -> bool:
    """Whether the tensor of a batch is one of a single video's kind."""
    if batch.dtype != single.dtype or batch.device != single.device or batch.dim() != single.dim():
        return False
    pairs = [(b, s) for b, s in zip(batch.shape, single.shape, strict=True) if b != s]
    return not pairs or (len(pairs) == 1 and pairs[0][0] == videos * pairs[0][1])


def _dim_of_videos(batch: Tensor, single: Tensor) -> int | None:
    """The dimension that counts videos; None where the tensor is shared by all."""
    pairs = enumerate(zip(batch.shape, single.shape, strict=True))
    return next((dim for dim, (b, s) in pairs if b != s), None)


def _part(batch: Tensor, dim: int, number: int, videos: int) -> Tensor:
    """One video's rows, a view. Where it has several, its n-th stands among the n-th of all videos."""
    return batch[(slice(None),) * dim + (slice(number, None, videos),)]
